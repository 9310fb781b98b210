//! A session on a WebSocket: each message is a packet.

use std::borrow::Cow;
use std::time::Instant;

use super::{Loss, PACKET_BUDGET, Poll, Session, Transport};
use crate::protocol::close_reason::{CloseDetail, CloseReason, code};
use crate::protocol::effects::{Effects, Event, Role};
use crate::protocol::packet::{self, InvalidPacket, Message, Packet, PacketType};
use crate::protocol::revision::Revision;
use crate::protocol::websocket::connection::Received;
use crate::protocol::websocket::{Unread, Violation};

impl Session {
    pub(super) fn receive(&mut self, now: Instant, bytes: &mut [u8], fx: &mut impl Effects) {
        if self.must_hold() || !self.held.is_empty() || self.is_inflating() {
            return self.held.push(bytes);
        }
        let left = self.receive_messages(now, Unread::new(bytes), fx);
        if left > 0 {
            self.held.push(bytes.get(bytes.len().saturating_sub(left)..).unwrap_or(&[]));
        }
    }

    /// Whether the messages of the WebSocket have to wait for packets of an earlier POST.
    fn must_hold(&self) -> bool {
        self.post_begun || self.has_backlog()
    }

    /// Handles held bytes, unless packets of a POST come first.
    pub(super) fn receive_held(&mut self, now: Instant, fx: &mut impl Effects) {
        if self.must_hold() || (self.held.is_empty() && !self.is_inflating()) {
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        let left = self.receive_messages(now, Unread::new(held.rest()), fx);
        held.keep(left);
        self.held = held;
    }

    /// Handles up to [`PACKET_BUDGET`] messages and returns the number of bytes that are left.
    fn receive_messages(
        &mut self,
        now: Instant,
        mut unread: Unread<'_>,
        fx: &mut impl Effects,
    ) -> usize {
        if let Transport::WebSocket(websocket) = &mut self.transport {
            websocket.connection.renew_budget();
        }
        for _ in 0..PACKET_BUDGET {
            let Transport::WebSocket(websocket) = &mut self.transport else { return 0 };
            match websocket.connection.next(&mut unread, &self.limits) {
                Ok(None) => break,
                Ok(Some(Received::Text(text))) => self.text(now, text, fx),
                Ok(Some(Received::Binary(bytes))) => self.binary(now, bytes, fx),
                Ok(Some(Received::Close(body))) => {
                    let mut detail = CloseDetail::new(code::PEER_CLOSED, "closed by the client");
                    detail.ws_code = body.code;
                    detail.ws_reason = Some(body.reason);
                    self.finish(CloseReason::TransportClose, detail, fx);
                }
                Err(violation) => self.finish_violation(violation, fx),
            }
        }
        let Transport::WebSocket(websocket) = &self.transport else { return 0 };
        if !websocket.connection.wire().is_empty() {
            fx.wants_write(Role::Main);
        }
        unread.len()
    }

    fn finish_violation(&mut self, violation: Violation, fx: &mut impl Effects) {
        let mut detail = violation.detail();
        detail.limit = match violation {
            Violation::MessageTooBig => Some(("maxHttpBufferSize", self.limits.max_message as u64)),
            Violation::TooManyFragments => {
                Some(("maxFragments", u64::from(self.limits.max_fragments)))
            }
            Violation::Unmasked
            | Violation::ReservedBits
            | Violation::Opcode
            | Violation::FragmentedControl
            | Violation::LongControl
            | Violation::UnexpectedContinuation
            | Violation::ExpectedContinuation
            | Violation::InvalidClose
            | Violation::LengthNotMinimal
            | Violation::Utf8
            | Violation::InvalidCompression => None,
        };
        self.fail(CloseReason::TransportError, detail, violation.close_code(), fx);
    }

    /// Handles a text message of the WebSocket, which is one packet.
    fn text(&mut self, now: Instant, text: Cow<'_, [u8]>, fx: &mut impl Effects) {
        // Decoding a packet would copy the body of a large message.
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

    /// Handles a binary message of the WebSocket. In revision 3 it is a packet with a type.
    fn binary(&mut self, now: Instant, bytes: Cow<'_, [u8]>, fx: &mut impl Effects) {
        match self.format.dialect.revision {
            Revision::V3 => self.handle(now, packet::decode_bytes(&bytes), fx),
            Revision::V4 => {
                self.heartbeat.traffic(now, &self.limits);
                self.message(now, Message::Binary(bytes), fx);
            }
        }
    }

    /// Handles one packet that is text, from either transport.
    pub(super) fn packet(&mut self, now: Instant, text: &[u8], fx: &mut impl Effects) {
        self.handle(now, packet::decode(text, self.format.dialect.revision), fx);
    }

    /// Handles one packet.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        packet: Result<Packet<'_>, InvalidPacket>,
        fx: &mut impl Effects,
    ) {
        let revision = self.format.dialect.revision;
        if !matches!(packet, Ok(Packet::Pong)) {
            self.heartbeat.traffic(now, &self.limits);
        }
        match packet {
            Ok(Packet::Message(message)) => self.message(now, message, fx),
            Ok(Packet::Pong) if revision == Revision::V4 => {
                if self.heartbeat.pong(now, &self.limits) && self.observed {
                    fx.event(Event::Heartbeat);
                }
            }
            Ok(Packet::Ping(_)) if revision == Revision::V3 => self.peer_ping(now, fx),
            Ok(Packet::Ping(_) | Packet::Pong) => {
                let detail =
                    CloseDetail::new(code::HEARTBEAT_DIRECTION, "invalid heartbeat direction");
                self.finish(CloseReason::TransportError, detail, fx);
            }
            Ok(Packet::Close) => self.peer_close(fx),
            Ok(Packet::Open | Packet::Upgrade | Packet::Noop) => {}
            Err(InvalidPacket) => {
                let detail = CloseDetail::new(code::INVALID_PACKET, "invalid packet");
                self.finish(CloseReason::ParseError, detail, fx);
            }
        }
    }

    /// Handles a ping of revision 3.
    fn peer_ping(&mut self, now: Instant, fx: &mut impl Effects) {
        self.heartbeat.ping(now, &self.limits);
        if fx.is_app_stalled() {
            self.heartbeat.answer_later(now);
        } else {
            self.pong(fx);
        }
        if self.observed {
            fx.event(Event::Heartbeat);
        }
    }

    /// Handles a close packet. A parked GET gets a noop, because the peer has closed already.
    fn peer_close(&mut self, fx: &mut impl Effects) {
        if let Transport::Polling(polling) = &mut self.transport
            && let Poll::Parked { token, .. } = polling.poll
        {
            polling.poll = Poll::Absent;
            fx.answer_get(token, self.format.single(PacketType::Noop));
        }
        let detail = CloseDetail::new(code::PEER_CLOSED, "closed by the client");
        self.finish(CloseReason::TransportClose, detail, fx);
    }

    /// Handles the loss of the WebSocket's connection.
    pub(super) fn lost(&mut self, loss: Loss, fx: &mut impl Effects) {
        let reason = match loss {
            Loss::Ended | Loss::Read(_) => CloseReason::TransportClose,
            Loss::Write(_) => CloseReason::TransportError,
        };
        self.finish(reason, loss.detail(), fx);
    }
}
