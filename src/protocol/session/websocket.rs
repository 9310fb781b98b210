//! A session on a WebSocket: its messages are packets.

use std::borrow::Cow;
use std::time::Instant;

use super::{Loss, PACKET_BUDGET, Session, Transport};
use crate::protocol::close_reason::{CloseDetail, CloseReason, code};
use crate::protocol::effects::{Effects, Event, Role};
use crate::protocol::packet::{self, Message, Packet, PacketType};
use crate::protocol::websocket::Violation;
use crate::protocol::websocket::connection::Received;
use crate::protocol::websocket::reader::Chunk;

impl Session {
    pub(super) fn receive(&mut self, now: Instant, bytes: &mut [u8], fx: &mut impl Effects) {
        if self.must_hold() || !self.held.is_empty() {
            return self.held.push(bytes);
        }
        let left = self.receive_chunk(now, Chunk::new(bytes), fx);
        if left > 0 {
            self.held.push(bytes.get(bytes.len().saturating_sub(left)..).unwrap_or(&[]));
        }
    }

    /// Whether packets of a POST come before what a WebSocket brings.
    pub(super) fn must_hold(&self) -> bool {
        self.post_begun || self.has_backlog()
    }

    /// Handles bytes that were held, unless something has to come before them.
    pub(super) fn receive_held(&mut self, now: Instant, fx: &mut impl Effects) {
        if self.must_hold() || self.held.is_empty() {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        let left = self.receive_chunk(now, Chunk::new(held.rest()), fx);
        held.keep(left);
        self.held = held;
    }

    /// Handles up to [`PACKET_BUDGET`] messages and returns how many bytes are left.
    fn receive_chunk(
        &mut self,
        now: Instant,
        mut chunk: Chunk<'_>,
        fx: &mut impl Effects,
    ) -> usize {
        for _ in 0..PACKET_BUDGET {
            if self.closed {
                return 0;
            }
            let Transport::WebSocket(connection) = &mut self.transport else { return 0 };
            match connection.next(&mut chunk, &self.limits) {
                Ok(None) => break,
                Ok(Some(Received::Text(text))) => self.text(now, text, fx),
                Ok(Some(Received::Binary(bytes))) => {
                    self.heartbeat.traffic(now, &self.limits);
                    self.message(now, Message::Binary(bytes), fx);
                }
                Ok(Some(Received::Close(body))) => {
                    let mut detail = CloseDetail::new(code::PEER_CLOSED, "closed by the client");
                    detail.ws_code = body.code;
                    detail.ws_reason = Some(body.reason);
                    self.finish(CloseReason::TransportClose, Some(detail), fx);
                }
                Err(violation) => {
                    connection.fail(violation.close_code());
                    self.finish_violation(violation, fx);
                }
            }
        }
        if self.connection(Role::Main).is_some_and(|connection| !connection.wire().is_empty()) {
            fx.wants_write(Role::Main);
        }
        if self.closed { 0 } else { chunk.len() }
    }

    pub(super) fn finish_violation(&mut self, violation: Violation, fx: &mut impl Effects) {
        let mut detail = violation.detail();
        detail.limit = match violation {
            Violation::MessageTooBig => Some(("maxHttpBufferSize", self.limits.max_message as u64)),
            Violation::TooManyFragments => {
                Some(("maxFragments", u64::from(self.limits.max_fragments)))
            }
            _ => None,
        };
        self.finish(CloseReason::TransportError, Some(detail), fx);
    }

    /// A text message on a WebSocket is one packet.
    pub(super) fn text(&mut self, now: Instant, text: Cow<'_, [u8]>, fx: &mut impl Effects) {
        // Handled apart so that a large message keeps its memory.
        if text.first() == Some(&b'4') {
            self.heartbeat.traffic(now, &self.limits);
            let body = match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.get(1..).unwrap_or(&[])),
                Cow::Owned(mut text) => {
                    text.drain(..1);
                    Cow::Owned(text)
                }
            };
            return self.message(now, Message::Text(body), fx);
        }
        self.packet(now, &text, fx);
    }

    /// Handles one packet given as text, of either transport.
    pub(super) fn packet(&mut self, now: Instant, text: &[u8], fx: &mut impl Effects) {
        let packet = packet::decode(text);
        if !matches!(packet, Ok(Packet::Pong)) {
            self.heartbeat.traffic(now, &self.limits);
        }
        match packet {
            Ok(Packet::Message(message)) => self.message(now, message, fx),
            Ok(Packet::Pong) => {
                if self.heartbeat.pong(now, &self.limits) && self.observed {
                    fx.event(Event::Heartbeat);
                }
            }
            Ok(Packet::Ping(_)) => {
                let detail =
                    CloseDetail::new(code::HEARTBEAT_DIRECTION, "invalid heartbeat direction");
                self.finish(CloseReason::TransportError, Some(detail), fx);
            }
            Ok(Packet::Close) => self.peer_close(fx),
            Ok(Packet::Open | Packet::Upgrade | Packet::Noop) => {}
            Err(_) => {
                let detail = CloseDetail::new(code::INVALID_PACKET, "invalid packet");
                self.finish(CloseReason::ParseError, Some(detail), fx);
            }
        }
    }

    /// The peer sent a close packet. A parked GET gets a noop: there is nothing to close any more.
    pub(super) fn peer_close(&mut self, fx: &mut impl Effects) {
        if let Transport::Polling { parked } = &mut self.transport
            && let Some(parked) = parked.take()
        {
            fx.answer_get(parked.token, vec![PacketType::Noop as u8]);
        }
        let detail = CloseDetail::new(code::PEER_CLOSED, "closed by the client");
        self.finish(CloseReason::TransportClose, Some(detail), fx);
    }

    pub(super) fn lost(&mut self, loss: Loss, fx: &mut impl Effects) {
        let (reason, errno) = match loss {
            Loss::Ended => (CloseReason::TransportClose, None),
            Loss::Read(errno) => (CloseReason::TransportClose, errno),
            Loss::Write(errno) => (CloseReason::TransportError, errno),
        };
        let mut detail = match loss {
            Loss::Ended => CloseDetail::new(code::CONNECTION_ENDED, "connection ended"),
            Loss::Read(_) | Loss::Write(_) => {
                CloseDetail::new(code::CONNECTION_LOST, "connection lost")
            }
        };
        detail.errno = errno;
        self.finish(reason, Some(detail), fx);
    }
}
