//! The option `maxMessageRate`: limits the messages that a peer sends per second, and allows bursts
//! of twice that number.

use std::time::{Duration, Instant};

use super::deadline::after;

/// The size of a burst, as the time that its messages take at the allowed rate.
const BURST: Duration = Duration::from_secs(2);

/// Counts messages against a rate with the generic cell rate algorithm (GCRA).
#[derive(Debug, Default)]
pub struct MessageRate {
    /// When the last message would have arrived at the allowed rate.
    due: Option<Instant>,
    /// When reading from the peer stopped; `None` while the peer is read.
    paused: Option<Instant>,
    /// Time during which nothing was read and whose messages have not arrived yet. They arrive all
    /// at once.
    missed: Duration,
}

impl MessageRate {
    /// Counts a message and returns whether it is within `rate`, in messages per second; 0 allows
    /// any number.
    pub fn allows(&mut self, now: Instant, rate: u32) -> bool {
        let Some(interval) = Duration::from_secs(1).checked_div(rate) else { return true };
        let start = now.checked_sub(self.missed).unwrap_or(now);
        let due = self.due.map_or(start, |due| due.max(start));
        let ahead = due.saturating_duration_since(now);
        if ahead.saturating_add(interval) > BURST {
            return false;
        }
        let due = after(due, interval);
        self.missed = self.missed.min(now.saturating_duration_since(due));
        self.due = Some(due);
        true
    }

    /// Notes that nothing is read for now. Messages of this time arrive later and are allowed then.
    pub fn pause(&mut self, now: Instant) {
        self.paused.get_or_insert(now);
    }

    /// Whether nothing is read for now.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Notes that the peer is read again.
    pub fn resume(&mut self, now: Instant) {
        if let Some(since) = self.paused.take() {
            self.missed = self.missed.saturating_add(now.saturating_duration_since(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::start;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn passing(rate: &mut MessageRate, now: Instant, limit: u32, most: usize) -> usize {
        (0..most).take_while(|_| rate.allows(now, limit)).count()
    }

    #[test]
    fn allows_a_burst_of_twice_the_rate_and_then_the_rate() {
        // Miri needs hours for millions of messages.
        let largest = if cfg!(miri) { 1000 } else { 1_000_000 };
        for limit in [1, 3, 7, 10, largest] {
            let (mut rate, now) = (MessageRate::default(), start());
            let burst = 2 * limit as usize;
            assert_eq!(passing(&mut rate, now, limit, burst + 1), burst, "{limit}");
            assert_eq!(passing(&mut rate, now + SECOND, limit, burst), limit as usize, "{limit}");
            assert_eq!(passing(&mut rate, now + SECOND * 9, limit, burst + 1), burst, "{limit}");
        }
    }

    #[test]
    fn zero_disables_the_limit() {
        let mut rate = MessageRate::default();
        let messages = if cfg!(miri) { 1000 } else { 100_000 };
        assert_eq!(passing(&mut rate, start(), 0, messages), messages);
    }

    #[test]
    fn messages_that_were_read_late_do_not_count() {
        let (mut rate, now) = (MessageRate::default(), start());
        assert_eq!(passing(&mut rate, now, 10, 100), 20);
        rate.pause(now);
        rate.pause(now + SECOND);
        rate.resume(now + SECOND * 30);
        // The messages of 30 seconds; the burst of 20 was used up before.
        assert_eq!(passing(&mut rate, now + SECOND * 30, 10, 1000), 300);
        assert_eq!(passing(&mut rate, now + SECOND * 90, 10, 1000), 20, "only once");
    }

    proptest! {
        #[test]
        fn never_allows_more_than_the_burst_and_the_rate(
            limit in 1u32..50, gaps in prop::collection::vec(0u64..400, 1..300)
        ) {
            let (mut rate, mut now) = (MessageRate::default(), start());
            let begin = now;
            let mut passed: u32 = 0;
            for gap in gaps {
                now += Duration::from_millis(gap);
                passed += u32::from(rate.allows(now, limit));
                let most = 2.0 * f64::from(limit) + (now - begin).as_secs_f64() * f64::from(limit);
                prop_assert!(f64::from(passed) <= most + 1e-3, "{} of {}", passed, most);
            }
        }
    }
}
