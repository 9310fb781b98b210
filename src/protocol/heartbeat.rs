//! The heartbeat of Engine.IO v4: the server pings, the client answers.

use std::time::{Duration, Instant};

use super::limits::Limits;

/// A ping that goes out later than this was held up.
const LATE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
enum State {
    /// When to send the next ping.
    Quiet { ping_at: Instant },
    /// When to give up on the pong. `extended` once another packet has restarted the wait.
    Awaiting { pinged_at: Instant, until: Instant, extended: bool },
    /// The wait stands still, because nothing is read from the peer; what is left of it. Pings go
    /// on meanwhile, for the peer has a wait of its own.
    Paused { pinged_at: Instant, ping_at: Instant, left: Duration, extended: bool },
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    /// Send a ping.
    Ping,
    /// The peer is gone.
    Timeout,
}

/// One session's heartbeat.
#[derive(Debug)]
pub struct Heartbeat(State);

impl Heartbeat {
    /// Starts with the session: the first ping is due after an interval.
    pub fn new(now: Instant, limits: &Limits) -> Self {
        Self(State::Quiet { ping_at: after(now, limits.ping_interval) })
    }

    /// When [`Self::poll`] has something to say.
    pub fn deadline(&self) -> Option<Instant> {
        match self.0 {
            State::Quiet { ping_at } | State::Paused { ping_at, .. } => Some(ping_at),
            State::Awaiting { until, .. } => Some(until),
        }
    }

    /// What is due now, if anything.
    pub fn poll(&mut self, now: Instant, limits: &Limits) -> Option<Beat> {
        match &mut self.0 {
            State::Quiet { ping_at } if now >= *ping_at => {
                // Counted from when the ping was due, so that two late timers do not add up; but
                // a process that slept gives its peers the whole time.
                let is_late = now.duration_since(*ping_at) > LATE;
                let until = after(if is_late { now } else { *ping_at }, limits.ping_timeout);
                self.0 = State::Awaiting { pinged_at: now, until, extended: false };
                Some(Beat::Ping)
            }
            State::Paused { pinged_at, ping_at, .. } if now >= *ping_at => {
                *pinged_at = now;
                *ping_at = after(now, limits.ping_interval);
                Some(Beat::Ping)
            }
            State::Awaiting { until, .. } if now >= *until => Some(Beat::Timeout),
            State::Quiet { .. } | State::Awaiting { .. } | State::Paused { .. } => None,
        }
    }

    /// Whether a ping is due.
    pub fn is_ping_due(&self, now: Instant) -> bool {
        match self.0 {
            State::Quiet { ping_at } | State::Paused { ping_at, .. } => now >= ping_at,
            State::Awaiting { .. } => false,
        }
    }

    /// A ping cannot go out just now; ask again later.
    pub fn postpone(&mut self, now: Instant, delay: Duration) {
        if let State::Quiet { ping_at } | State::Paused { ping_at, .. } = &mut self.0 {
            *ping_at = after(now, delay);
        }
    }

    /// A pong came. An unsolicited one changes nothing; returns whether it was awaited.
    pub fn pong(&mut self, now: Instant, limits: &Limits) -> bool {
        match self.0 {
            State::Awaiting { .. } | State::Paused { .. } => {
                self.0 = State::Quiet { ping_at: after(now, limits.ping_interval) };
                true
            }
            State::Quiet { .. } => false,
        }
    }

    /// Any other packet came: the first after a ping restarts the wait, once.
    pub fn traffic(&mut self, now: Instant, limits: &Limits) {
        if let State::Awaiting { until, extended: extended @ false, .. } = &mut self.0 {
            *until = after(now, limits.ping_timeout);
            *extended = true;
        }
    }

    /// The transport was swapped: a pong asked for on the old one is not waited for any more.
    pub fn forget_ping(&mut self, now: Instant, limits: &Limits) {
        self.pong(now, limits);
    }

    /// Nothing is read from the peer for now: its pong cannot be judged.
    pub fn pause(&mut self, now: Instant, limits: &Limits) {
        if let State::Awaiting { pinged_at, until, extended } = self.0 {
            let ping_at = after(pinged_at, limits.ping_interval).max(now);
            let left = until.saturating_duration_since(now);
            self.0 = State::Paused { pinged_at, ping_at, left, extended };
        }
    }

    /// Reading goes on.
    pub fn resume(&mut self, now: Instant) {
        if let State::Paused { pinged_at, left, extended, .. } = self.0 {
            self.0 = State::Awaiting { pinged_at, until: after(now, left), extended };
        }
    }
}

/// `now + delay`, or `now` where the clock cannot tell.
pub fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::start;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits { ping_interval: SECOND * 25, ping_timeout: SECOND * 20, ..Limits::default() }
    }

    #[test]
    fn pings_after_the_interval_and_again_after_the_pong() {
        let (now, limits) = (start(), limits());
        let mut beat = Heartbeat::new(now, &limits);
        assert_eq!(beat.poll(now + SECOND * 24, &limits), None);
        assert_eq!(beat.poll(now + SECOND * 25, &limits), Some(Beat::Ping));
        assert!(beat.pong(now + SECOND * 30, &limits));
        assert_eq!(beat.deadline(), Some(now + SECOND * 55));
    }

    #[test]
    fn extends_the_wait_once() {
        let (now, limits) = (start(), limits());
        let mut beat = Heartbeat::new(now, &limits);
        beat.poll(now + SECOND * 25, &limits);
        beat.traffic(now + SECOND * 40, &limits);
        beat.traffic(now + SECOND * 50, &limits);
        assert_eq!(beat.poll(now + SECOND * 59, &limits), None);
        assert_eq!(beat.poll(now + SECOND * 60, &limits), Some(Beat::Timeout));
    }

    #[test]
    fn stands_still_while_nothing_is_read_but_pings_go_on() {
        let (now, limits) = (start(), limits());
        let mut beat = Heartbeat::new(now, &limits);
        beat.poll(now + SECOND * 25, &limits);
        beat.pause(now + SECOND * 35, &limits);
        for ping in [50, 75, 100] {
            assert_eq!(beat.deadline(), Some(now + SECOND * ping));
            assert_eq!(beat.poll(now + SECOND * ping, &limits), Some(Beat::Ping));
        }
        beat.resume(now + SECOND * 100);
        assert_eq!(beat.deadline(), Some(now + SECOND * 110));
    }
}
