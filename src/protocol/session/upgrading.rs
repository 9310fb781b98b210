//! The upgrade from polling to WebSocket. `protocol/upgrade.rs` shows the exchange.

use std::time::{Duration, Instant};

use super::{Poll, Polling, PollingFault, Session, Transport, WebSocket};
use crate::protocol::effects::{Effects, Event, Role};
use crate::protocol::packet::PacketType;
use crate::protocol::upgrade::{Probe, ProbeMessage, Stage};
use crate::protocol::websocket::connection::Received;
use crate::protocol::websocket::{Connection, Unread, Violation};

impl Session {
    pub(super) fn begin_probe(
        &mut self,
        now: Instant,
        mut connection: Connection,
        fx: &mut impl Effects,
    ) {
        if let Transport::Polling(polling) = &mut self.transport
            && polling.probe.is_none()
        {
            polling.probe = Some(Box::new(Probe::new(now, connection, &self.limits)));
            return fx.wants_write(Role::Probe);
        }
        connection.close(None);
        fx.release(Role::Probe, connection, self.limits.close_timeout);
    }

    pub(super) fn receive_probe(&mut self, now: Instant, bytes: &mut [u8], fx: &mut impl Effects) {
        let mut unread = Unread::new(bytes);
        if let Transport::Polling(polling) = &mut self.transport
            && let Some(probe) = &mut polling.probe
        {
            probe.connection.renew_budget();
        }
        while let Transport::Polling(polling) = &mut self.transport
            && let Some(probe) = &mut polling.probe
        {
            match probe.connection.next(&mut unread, &self.limits) {
                // No packet of a probe is that long.
                Ok(None) if probe.connection.is_inflating() => self.fail_upgrade(None, fx),
                Ok(None) => {
                    if !probe.connection.wire().is_empty() {
                        fx.wants_write(Role::Probe);
                    }
                    return;
                }
                Ok(Some(Received::Text(text))) => match ProbeMessage::parse(&text) {
                    ProbeMessage::Probe => match probe.stage {
                        Stage::Waiting => {
                            probe.stage = Stage::Answered;
                            probe.connection.send_text(&[PacketType::Pong as u8], b"probe");
                            fx.event(Event::Upgrading);
                            polling.answer_noop(now, Duration::ZERO, &self.format, fx);
                        }
                        // A peer that repeats its probe must not fill our queue with answers.
                        Stage::Answered => {}
                    },
                    ProbeMessage::Upgrade => {
                        self.complete_upgrade(now, fx);
                        // Bytes after the upgrade packet are messages of the session.
                        return self.receive(now, unread.take_all(), fx);
                    }
                    ProbeMessage::Other => self.fail_upgrade(None, fx),
                },
                Ok(Some(Received::Binary(_) | Received::Close(_))) => self.fail_upgrade(None, fx),
                Err(violation) => self.fail_upgrade(Some(violation), fx),
            }
        }
    }

    /// Makes the probed WebSocket the transport, and moves the outbox to it.
    fn complete_upgrade(&mut self, now: Instant, fx: &mut impl Effects) {
        let Transport::Polling(Polling { poll, outbox, probe, .. }) = &mut self.transport else {
            return;
        };
        let Some(probe) = probe.take() else { return };
        let cause = match *poll {
            Poll::Absent => None,
            Poll::Parked { token, .. } => {
                fx.answer_get(token, self.format.single(PacketType::Noop));
                None
            }
            Poll::Closing { cause, .. } => Some(cause),
        };
        let mut connection = probe.connection;
        let receipts = outbox.move_to(&mut connection);
        self.transport = Transport::WebSocket(WebSocket::new(connection, receipts));
        self.heartbeat.forget_ping(now, &self.limits);
        fx.promote();
        fx.event(Event::Upgraded);
        fx.wants_write(Role::Main);
        if let Some(cause) = cause {
            self.finish_on_websocket(cause, 0, fx);
        }
    }

    /// Releases the probed WebSocket. The session stays on polling, unless it lost its GET.
    pub(super) fn fail_upgrade(&mut self, violation: Option<Violation>, fx: &mut impl Effects) {
        let Transport::Polling(polling) = &mut self.transport else { return };
        let Some(mut probe) = polling.probe.take() else { return };
        match violation {
            Some(violation) => probe.connection.fail(violation.close_code()),
            None => probe.connection.close(None),
        }
        fx.release(Role::Probe, probe.connection, self.limits.close_timeout);
        fx.event(Event::UpgradeFailed);
        if probe.get_lost {
            self.finish_fault(PollingFault::PollLost, fx);
        }
    }
}
