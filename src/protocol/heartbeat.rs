//! The heartbeat of Engine.IO v4: the server pings, the client answers.

use std::time::{Duration, Instant};

use super::limits::Limits;

#[derive(Debug, Clone, Copy)]
enum State {
    /// When to send the next ping.
    Quiet { ping_at: Instant },
    /// When to give up on the pong. `extended` once another packet has restarted the wait.
    Awaiting { until: Instant, extended: bool },
    /// The wait stands still: nothing is read from the peer. What is left of it.
    Paused { left: Duration, extended: bool },
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
            State::Quiet { ping_at } => Some(ping_at),
            State::Awaiting { until, .. } => Some(until),
            State::Paused { .. } => None,
        }
    }

    /// What is due now, if anything.
    pub fn poll(&mut self, now: Instant, limits: &Limits) -> Option<Beat> {
        match self.0 {
            State::Quiet { ping_at } if now >= ping_at => {
                let until = after(now, limits.ping_timeout);
                self.0 = State::Awaiting { until, extended: false };
                Some(Beat::Ping)
            }
            State::Awaiting { until, .. } if now >= until => Some(Beat::Timeout),
            State::Quiet { .. } | State::Awaiting { .. } | State::Paused { .. } => None,
        }
    }

    /// Whether a ping is due.
    pub fn is_ping_due(&self, now: Instant) -> bool {
        matches!(self.0, State::Quiet { ping_at } if now >= ping_at)
    }

    /// A ping cannot go out just now; ask again later.
    pub fn postpone(&mut self, now: Instant, delay: Duration) {
        self.0 = State::Quiet { ping_at: after(now, delay) };
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
        if let State::Awaiting { extended: false, .. } = self.0 {
            self.0 = State::Awaiting { until: after(now, limits.ping_timeout), extended: true };
        }
    }

    /// The transport was swapped: a pong asked for on the old one is not waited for any more.
    pub fn forget_ping(&mut self, now: Instant, limits: &Limits) {
        self.pong(now, limits);
    }

    /// Nothing is read from the peer for now: its pong cannot be judged.
    pub fn pause(&mut self, now: Instant) {
        if let State::Awaiting { until, extended } = self.0 {
            self.0 = State::Paused { left: until.saturating_duration_since(now), extended };
        }
    }

    /// Reading goes on.
    pub fn resume(&mut self, now: Instant) {
        if let State::Paused { left, extended } = self.0 {
            self.0 = State::Awaiting { until: after(now, left), extended };
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
    fn stands_still_while_nothing_is_read() {
        let (now, limits) = (start(), limits());
        let mut beat = Heartbeat::new(now, &limits);
        beat.poll(now + SECOND * 25, &limits);
        beat.pause(now + SECOND * 35);
        assert_eq!(beat.deadline(), None);
        beat.resume(now + SECOND * 100);
        assert_eq!(beat.deadline(), Some(now + SECOND * 110));
    }
}
