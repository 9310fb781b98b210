//! The heartbeat of Engine.IO v4: the server sends pings, the client answers with pongs.

use std::time::{Duration, Instant};

use super::deadline::after;
use super::limits::Limits;

/// A ping that is sent more than this after it was due counts as delayed.
const LATE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy)]
enum State {
    /// No pong is awaited; the next ping is due at `ping_at`.
    Quiet { ping_at: Instant },
    /// A pong is awaited. `extended` is set once another packet has restarted the wait.
    Awaiting { pinged_at: Instant, until: Instant, extended: bool },
    /// A pong is awaited, but nothing is read from the peer, so the wait is frozen with `left`
    /// remaining. Pings continue, because the peer expects them.
    Paused { pinged_at: Instant, ping_at: Instant, left: Duration, extended: bool },
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    /// A ping has to be sent.
    Ping,
    /// The pong did not arrive in time.
    Timeout,
}

/// One session's heartbeat.
#[derive(Debug)]
pub struct Heartbeat(State);

impl Heartbeat {
    /// The heartbeat of a new session: the first ping is due after `pingInterval`.
    pub fn new(now: Instant, limits: &Limits) -> Self {
        Self(State::Quiet { ping_at: after(now, limits.ping_interval) })
    }

    /// When to call [`Self::poll`] next.
    pub fn deadline(&self) -> Option<Instant> {
        match self.0 {
            State::Quiet { ping_at } | State::Paused { ping_at, .. } => Some(ping_at),
            State::Awaiting { until, .. } => Some(until),
        }
    }

    /// Returns what is due now.
    pub fn poll(&mut self, now: Instant, limits: &Limits) -> Option<Beat> {
        match &mut self.0 {
            State::Quiet { ping_at } if now >= *ping_at => {
                // The wait starts when the ping was due, so that two late timers do not add up.
                // After a long delay it starts now, because the peer needs the whole time.
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

    /// Delays the ping that is due.
    pub fn postpone(&mut self, now: Instant, delay: Duration) {
        if let State::Quiet { ping_at } | State::Paused { ping_at, .. } = &mut self.0 {
            *ping_at = after(now, delay);
        }
    }

    /// Handles a pong and returns whether it was awaited. An unsolicited pong changes nothing.
    pub fn pong(&mut self, now: Instant, limits: &Limits) -> bool {
        match self.0 {
            State::Awaiting { .. } | State::Paused { .. } => {
                self.0 = State::Quiet { ping_at: after(now, limits.ping_interval) };
                true
            }
            State::Quiet { .. } => false,
        }
    }

    /// Handles any other packet: the first one after a ping restarts the wait.
    pub fn traffic(&mut self, now: Instant, limits: &Limits) {
        if let State::Awaiting { until, extended: extended @ false, .. } = &mut self.0 {
            *until = after(now, limits.ping_timeout);
            *extended = true;
        }
    }

    /// Stops waiting for a pong: after an upgrade it could only arrive on the old transport.
    pub fn forget_ping(&mut self, now: Instant, limits: &Limits) {
        self.pong(now, limits);
    }

    /// Freezes the wait for a pong while nothing is read from the peer.
    pub fn pause(&mut self, now: Instant, limits: &Limits) {
        if let State::Awaiting { pinged_at, until, extended } = self.0 {
            let ping_at = after(pinged_at, limits.ping_interval).max(now);
            let left = until.saturating_duration_since(now);
            self.0 = State::Paused { pinged_at, ping_at, left, extended };
        }
    }

    /// Continues the wait, because the peer is read again.
    pub fn resume(&mut self, now: Instant) {
        if let State::Paused { pinged_at, left, extended, .. } = self.0 {
            self.0 = State::Awaiting { pinged_at, until: after(now, left), extended };
        }
    }
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
    fn another_packet_restarts_the_wait_once() {
        let (now, limits) = (start(), limits());
        let mut beat = Heartbeat::new(now, &limits);
        beat.poll(now + SECOND * 25, &limits);
        beat.traffic(now + SECOND * 40, &limits);
        beat.traffic(now + SECOND * 50, &limits);
        assert_eq!(beat.poll(now + SECOND * 59, &limits), None);
        assert_eq!(beat.poll(now + SECOND * 60, &limits), Some(Beat::Timeout));
    }

    #[test]
    fn the_wait_is_frozen_while_nothing_is_read_but_pings_continue() {
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
