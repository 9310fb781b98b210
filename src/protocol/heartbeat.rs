//! The heartbeat. In revision 4 the server sends pings, and the client answers with pongs. In revision
//! 3 the client sends the pings, and the server only checks that they arrive.

use std::time::{Duration, Instant};

use super::deadline::{after, earlier};
use super::limits::Limits;
use super::revision::Revision;

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
    /// Revision 3: the peer's next ping is awaited.
    Listening { until: Instant, pong_at: Option<Instant> },
    /// Revision 3: a ping is awaited, but nothing is read from the peer, so the wait is frozen with
    /// `left` remaining.
    Deaf { left: Duration, pong_at: Option<Instant> },
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Beat {
    /// A ping has to be sent.
    Ping,
    /// A pong that was [put off](Heartbeat::answer_later) has to be sent.
    Pong,
    /// The pong, or in revision 3 the ping, did not arrive in time.
    Timeout,
}

/// One session's heartbeat.
#[derive(Debug)]
pub struct Heartbeat(State);

impl Heartbeat {
    /// The heartbeat of a new session: the first ping is due after `pingInterval`.
    pub fn new(now: Instant, limits: &Limits, revision: Revision) -> Self {
        Self(match revision {
            Revision::V3 => {
                let wait = limits.ping_interval.saturating_add(limits.ping_timeout);
                State::Listening { until: after(now, wait), pong_at: None }
            }
            Revision::V4 => State::Quiet { ping_at: after(now, limits.ping_interval) },
        })
    }

    /// When to call [`Self::poll`] next.
    pub fn deadline(&self) -> Option<Instant> {
        match self.0 {
            State::Quiet { ping_at } | State::Paused { ping_at, .. } => Some(ping_at),
            State::Awaiting { until, .. } => Some(until),
            State::Listening { until, pong_at } => earlier(Some(until), pong_at),
            State::Deaf { pong_at, .. } => pong_at,
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
            State::Listening { pong_at, .. } | State::Deaf { pong_at, .. }
                if pong_at.is_some_and(|pong_at| now >= pong_at) =>
            {
                *pong_at = None;
                Some(Beat::Pong)
            }
            State::Listening { until, .. } if now >= *until => Some(Beat::Timeout),
            State::Quiet { .. }
            | State::Awaiting { .. }
            | State::Paused { .. }
            | State::Listening { .. }
            | State::Deaf { .. } => None,
        }
    }

    /// Whether a ping or a pong is due.
    pub fn is_ping_due(&self, now: Instant) -> bool {
        match self.0 {
            State::Quiet { ping_at } | State::Paused { ping_at, .. } => now >= ping_at,
            State::Listening { pong_at, .. } | State::Deaf { pong_at, .. } => {
                pong_at.is_some_and(|pong_at| now >= pong_at)
            }
            State::Awaiting { .. } => false,
        }
    }

    /// Delays the ping or pong that is due.
    pub fn postpone(&mut self, now: Instant, delay: Duration) {
        match &mut self.0 {
            State::Quiet { ping_at } | State::Paused { ping_at, .. } => {
                *ping_at = after(now, delay);
            }
            State::Listening { pong_at, .. } | State::Deaf { pong_at, .. } => {
                *pong_at = Some(after(now, delay));
            }
            State::Awaiting { .. } => {}
        }
    }

    /// Handles a ping of revision 3, which restarts the wait for the next one.
    pub fn ping(&mut self, now: Instant, limits: &Limits) {
        let wait = limits.ping_interval.saturating_add(limits.ping_timeout);
        match &mut self.0 {
            State::Listening { until, .. } => *until = after(now, wait),
            State::Deaf { left, .. } => *left = wait,
            State::Quiet { .. } | State::Awaiting { .. } | State::Paused { .. } => {}
        }
    }

    /// Puts off the pong for a ping of revision 3. It is due at once, so that the driver can
    /// [postpone](Self::postpone) it.
    pub fn answer_later(&mut self, now: Instant) {
        if let State::Listening { pong_at, .. } | State::Deaf { pong_at, .. } = &mut self.0 {
            *pong_at = pong_at.or(Some(now));
        }
    }

    /// Handles a pong and returns whether it was awaited. An unsolicited pong changes nothing.
    pub fn pong(&mut self, now: Instant, limits: &Limits) -> bool {
        match self.0 {
            State::Awaiting { .. } | State::Paused { .. } => {
                self.0 = State::Quiet { ping_at: after(now, limits.ping_interval) };
                true
            }
            State::Quiet { .. } | State::Listening { .. } | State::Deaf { .. } => false,
        }
    }

    /// Handles any other packet: the first one after a ping restarts the wait.
    pub fn traffic(&mut self, now: Instant, limits: &Limits) {
        if let State::Awaiting { until, extended: extended @ false, .. } = &mut self.0 {
            *until = after(now, limits.ping_timeout);
            *extended = true;
        }
    }

    /// Stops waiting for a pong: after an upgrade it could only arrive on the old transport. A wait
    /// for a ping starts again.
    pub fn forget_ping(&mut self, now: Instant, limits: &Limits) {
        self.pong(now, limits);
        self.ping(now, limits);
    }

    /// Freezes the wait for a pong while nothing is read from the peer.
    pub fn pause(&mut self, now: Instant, limits: &Limits) {
        match self.0 {
            State::Awaiting { pinged_at, until, extended } => {
                let ping_at = after(pinged_at, limits.ping_interval).max(now);
                let left = until.saturating_duration_since(now);
                self.0 = State::Paused { pinged_at, ping_at, left, extended };
            }
            State::Listening { until, pong_at } => {
                self.0 = State::Deaf { left: until.saturating_duration_since(now), pong_at };
            }
            State::Quiet { .. } | State::Paused { .. } | State::Deaf { .. } => {}
        }
    }

    /// Continues the wait, because the peer is read again.
    pub fn resume(&mut self, now: Instant) {
        match self.0 {
            State::Paused { pinged_at, left, extended, .. } => {
                self.0 = State::Awaiting { pinged_at, until: after(now, left), extended };
            }
            State::Deaf { left, pong_at } => {
                self.0 = State::Listening { until: after(now, left), pong_at };
            }
            State::Quiet { .. } | State::Awaiting { .. } | State::Listening { .. } => {}
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
        let mut beat = Heartbeat::new(now, &limits, Revision::V4);
        assert_eq!(beat.poll(now + SECOND * 24, &limits), None);
        assert_eq!(beat.poll(now + SECOND * 25, &limits), Some(Beat::Ping));
        assert!(beat.pong(now + SECOND * 30, &limits));
        assert_eq!(beat.deadline(), Some(now + SECOND * 55));
    }

    #[test]
    fn another_packet_restarts_the_wait_once() {
        let (now, limits) = (start(), limits());
        let mut beat = Heartbeat::new(now, &limits, Revision::V4);
        beat.poll(now + SECOND * 25, &limits);
        beat.traffic(now + SECOND * 40, &limits);
        beat.traffic(now + SECOND * 50, &limits);
        assert_eq!(beat.poll(now + SECOND * 59, &limits), None);
        assert_eq!(beat.poll(now + SECOND * 60, &limits), Some(Beat::Timeout));
    }

    #[test]
    fn the_wait_is_frozen_while_nothing_is_read_but_pings_continue() {
        let (now, limits) = (start(), limits());
        let mut beat = Heartbeat::new(now, &limits, Revision::V4);
        beat.poll(now + SECOND * 25, &limits);
        beat.pause(now + SECOND * 35, &limits);
        for ping in [50, 75, 100] {
            assert_eq!(beat.deadline(), Some(now + SECOND * ping));
            assert_eq!(beat.poll(now + SECOND * ping, &limits), Some(Beat::Ping));
        }
        beat.resume(now + SECOND * 100);
        assert_eq!(beat.deadline(), Some(now + SECOND * 110));
    }

    #[test]
    fn a_ping_of_revision_3_restarts_the_wait() {
        let (now, limits) = (start(), limits());
        let mut beat = Heartbeat::new(now, &limits, Revision::V3);
        assert_eq!(beat.poll(now + SECOND * 44, &limits), None);
        beat.traffic(now + SECOND * 44, &limits);
        assert_eq!(beat.deadline(), Some(now + SECOND * 45));
        beat.ping(now + SECOND * 44, &limits);
        assert_eq!(beat.deadline(), Some(now + SECOND * 89));
        assert!(!beat.pong(now + SECOND * 50, &limits));
        assert_eq!(beat.poll(now + SECOND * 89, &limits), Some(Beat::Timeout));
    }

    #[test]
    fn a_wait_for_a_ping_is_frozen_while_nothing_is_read() {
        let (now, limits) = (start(), limits());
        let mut beat = Heartbeat::new(now, &limits, Revision::V3);
        beat.pause(now + SECOND * 40, &limits);
        assert_eq!(beat.deadline(), None);
        beat.resume(now + SECOND * 100);
        assert_eq!(beat.deadline(), Some(now + SECOND * 105));
    }

    #[test]
    fn a_pong_can_be_put_off() {
        let (now, limits) = (start(), limits());
        let mut beat = Heartbeat::new(now, &limits, Revision::V3);
        beat.answer_later(now);
        assert!(beat.is_ping_due(now));
        beat.postpone(now, SECOND);
        assert_eq!(beat.deadline(), Some(now + SECOND));
        assert!(!beat.is_ping_due(now));
        assert_eq!(beat.poll(now + SECOND, &limits), Some(Beat::Pong));
        assert_eq!(beat.deadline(), Some(now + SECOND * 45));
    }
}
