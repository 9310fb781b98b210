//! How many messages a session may send in a second: `maxMessageRate`, with twice as many at once.

use std::time::{Duration, Instant};

use super::heartbeat::after;

/// What may come at once, as the time in which it would come at the rate.
const BURST: Duration = Duration::from_secs(2);

/// Counts messages against a rate (the generic cell rate algorithm).
#[derive(Debug, Default)]
pub struct MessageRate {
    /// When the messages so far would have come at the rate.
    due: Option<Instant>,
    /// Since when nothing is read.
    paused: Option<Instant>,
    /// Time in which nothing was read, and whose messages have not come: they come later, at once.
    missed: Duration,
}

impl MessageRate {
    /// Counts a message. Returns whether it may pass; with a `rate` of 0 all may.
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

    /// Reading stops: what the peer sends meanwhile comes later.
    pub fn pause(&mut self, now: Instant) {
        self.paused.get_or_insert(now);
    }

    /// Reading goes on.
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
    fn lets_twice_the_rate_come_at_once_and_the_rate_after_that() {
        for limit in [1, 3, 7, 10, 1000, 1_000_000] {
            let (mut rate, now) = (MessageRate::default(), start());
            let burst = 2 * limit as usize;
            assert_eq!(passing(&mut rate, now, limit, burst + 1), burst, "{limit}");
            assert_eq!(passing(&mut rate, now + SECOND, limit, burst), limit as usize, "{limit}");
            assert_eq!(passing(&mut rate, now + SECOND * 9, limit, burst + 1), burst, "{limit}");
        }
    }

    #[test]
    fn zero_is_none() {
        let mut rate = MessageRate::default();
        assert_eq!(passing(&mut rate, start(), 0, 100_000), 100_000);
    }

    #[test]
    fn what_comes_late_because_it_was_not_read_is_not_too_much() {
        let (mut rate, now) = (MessageRate::default(), start());
        assert_eq!(passing(&mut rate, now, 10, 100), 20);
        rate.pause(now);
        rate.pause(now + SECOND);
        rate.resume(now + SECOND * 30);
        // Those of the time in between, while 20 have come before.
        assert_eq!(passing(&mut rate, now + SECOND * 30, 10, 1000), 300);
        assert_eq!(passing(&mut rate, now + SECOND * 90, 10, 1000), 20, "only once");
    }

    proptest! {
        #[test]
        fn never_lets_more_pass_than_the_rate_and_the_burst(
            limit in 1u32..50, gaps in prop::collection::vec(0u64..400, 1..300)
        ) {
            let (mut rate, mut now) = (MessageRate::default(), start());
            let begin = now;
            let mut passed: u64 = 0;
            for gap in gaps {
                now += Duration::from_millis(gap);
                passed += u64::from(rate.allows(now, limit));
                let most = 2.0 * f64::from(limit) + (now - begin).as_secs_f64() * f64::from(limit);
                prop_assert!(passed as f64 <= most + 1e-3, "{} of {}", passed, most);
            }
        }
    }
}
