//! From polling to WebSocket; `protocol/upgrade.rs` has the picture.

use std::time::{Duration, Instant};

use super::polling::lost_poll;
use super::{Session, Transport};
use crate::protocol::close_reason::CloseReason;
use crate::protocol::effects::{Effects, Event, Role};
use crate::protocol::packet::PacketType;
use crate::protocol::upgrade::{self, Probe, Step};
use crate::protocol::websocket::connection::Received;
use crate::protocol::websocket::reader::Chunk;
use crate::protocol::websocket::{Connection, Violation};

impl Session {
    pub(super) fn begin_probe(
        &mut self,
        now: Instant,
        mut connection: Connection,
        fx: &mut impl Effects,
    ) {
        if self.probe.is_some() || matches!(self.transport, Transport::WebSocket(_)) {
            connection.close(None);
            return fx.release(Role::Probe, connection, self.patience());
        }
        self.probe = Some(Box::new(Probe::new(now, connection, &self.limits)));
        fx.wants_write(Role::Probe);
    }

    pub(super) fn receive_probe(&mut self, now: Instant, bytes: &mut [u8], fx: &mut impl Effects) {
        let mut chunk = Chunk::new(bytes);
        while let Some(probe) = &mut self.probe {
            match probe.connection.next(&mut chunk, &self.limits) {
                Ok(None) => {
                    if !probe.connection.wire().is_empty() {
                        fx.wants_write(Role::Probe);
                    }
                    return;
                }
                Ok(Some(Received::Text(text))) => match upgrade::step(&text) {
                    // One answer is enough: a peer that repeats itself is not to fill our queue.
                    Step::Answer if probe.answered => {}
                    Step::Answer => {
                        probe.answered = true;
                        probe.connection.send_text(&[PacketType::Pong as u8], b"probe");
                        fx.event(Event::Upgrading);
                        self.answer_noop(now, Duration::ZERO, fx);
                    }
                    Step::Swap => {
                        self.swap(now, fx);
                        // What follows in the same chunk is ordinary traffic.
                        return self.receive(now, chunk.take_all(), fx);
                    }
                    Step::Refuse => self.end_probe(None, fx),
                },
                Ok(Some(Received::Binary(_) | Received::Close(_))) => self.end_probe(None, fx),
                Err(violation) => self.end_probe(Some(violation), fx),
            }
        }
    }

    /// The probed WebSocket takes over: whatever waited goes out on it, in order.
    pub(super) fn swap(&mut self, now: Instant, fx: &mut impl Effects) {
        let Some(probe) = self.probe.take() else { return };
        if let Transport::Polling { parked: Some(parked) } = &self.transport {
            fx.answer_get(parked.token, vec![PacketType::Noop as u8]);
        }
        let mut connection = probe.connection;
        let receipts = self.outbox.move_to(&mut connection);
        let position = connection.wire().queued();
        self.receipts.extend((0..receipts).map(|_| position));
        self.transport = Transport::WebSocket(connection);
        self.heartbeat.forget_ping(now, &self.limits);
        fx.promote();
        fx.event(Event::Upgraded);
        fx.wants_write(Role::Main);
        if self.closing.is_some() {
            self.finish(CloseReason::ForcedClose, None, fx);
        }
    }

    /// The attempt is over; the session stays on polling, if it still has it.
    pub(super) fn end_probe(&mut self, violation: Option<Violation>, fx: &mut impl Effects) {
        let Some(mut probe) = self.probe.take() else { return };
        match violation {
            Some(violation) => probe.connection.fail(violation.close_code()),
            None => probe.connection.close(None),
        }
        fx.release(Role::Probe, probe.connection, self.patience());
        fx.event(Event::UpgradeFailed);
        if probe.get_lost {
            self.finish(CloseReason::TransportError, Some(lost_poll()), fx);
        }
    }
}
