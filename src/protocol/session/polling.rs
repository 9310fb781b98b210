//! A session on polling: GETs fetch queued packets, POSTs bring packets.

use std::time::Instant;

use super::{CloseCause, PACKET_BUDGET, Poll, PollingFault, Session, Transport};
use crate::protocol::close_reason::{CloseDetail, CloseReason, code};
use crate::protocol::effects::{Effects, Token};
use crate::protocol::jsonp;
use crate::protocol::packet::{self, InvalidPacket, PacketType};
use crate::protocol::payload::{self, Form, RawPacket};
use crate::protocol::revision::Revision;

impl Session {
    pub(super) fn get(&mut self, now: Instant, token: Token, fx: &mut impl Effects) {
        let Transport::Polling(polling) = &mut self.transport else {
            // The GET was on its way while the upgrade was completed.
            return fx.answer_get(token, self.format.single(PacketType::Noop));
        };
        match polling.poll {
            Poll::Absent => {
                polling.poll = Poll::Parked { token, since: now };
                polling.flush(&self.format, fx);
            }
            Poll::Parked { .. } => {
                fx.refuse_get(token);
                let detail = CloseDetail::new(code::OVERLAP, "overlap from client");
                self.finish(CloseReason::TransportError, detail, fx);
            }
            // Clients drop packets that share a payload with the close packet, so the outbox is
            // sent alone, and the next GET fetches the close packet.
            Poll::Closing { .. } if !polling.outbox.is_empty() => {
                polling.answer(token, &self.format, fx);
            }
            Poll::Closing { cause, .. } => {
                polling.outbox.push_packet(PacketType::Noop, b"");
                self.close_with_answer(token, cause, fx);
            }
        }
    }

    pub(super) fn get_lost(&mut self, token: Token, fx: &mut impl Effects) {
        let Transport::Polling(polling) = &mut self.transport else { return };
        if !matches!(polling.poll, Poll::Parked { token: parked, .. } if parked == token) {
            return;
        }
        polling.poll = Poll::Absent;
        if let Some(probe) = &mut polling.probe {
            probe.get_lost = true;
            return;
        }
        self.finish_fault(PollingFault::PollLost, fx);
    }

    pub(super) fn get_sent(&mut self, bytes: usize) {
        if let Transport::Polling(polling) = &mut self.transport {
            polling.in_flight = polling.in_flight.saturating_sub(bytes);
        }
    }

    pub(super) fn post(&mut self, now: Instant, body: Vec<u8>, fx: &mut impl Effects) {
        let form = match self.format.dialect.revision {
            Revision::V3 => Form::Counted,
            Revision::V4 => Form::Separated,
        };
        let body = match self.format.callback {
            // A form without a payload counts as an empty one, which is invalid.
            Some(_) => jsonp::read_form(&body).unwrap_or_default(),
            None => body,
        };
        self.post_form(now, payload::repair_utf8(body), form, fx);
    }

    pub(super) fn post_form(
        &mut self,
        now: Instant,
        body: Vec<u8>,
        form: Form,
        fx: &mut impl Effects,
    ) {
        self.post_begun = false;
        self.post_bytes = 0;
        self.backlog.push(body, form);
        self.handle_backlog(now, fx);
    }

    /// Handles packets of POSTs within the budget, then WebSocket bytes that were held behind them.
    pub(super) fn handle_backlog(&mut self, now: Instant, fx: &mut impl Effects) {
        let mut backlog = std::mem::take(&mut self.backlog);
        for _ in 0..PACKET_BUDGET {
            match backlog.take() {
                None => break,
                Some(Ok(RawPacket::Text(text))) => self.packet(now, &text, fx),
                Some(Ok(RawPacket::Bytes(bytes))) => {
                    self.handle(now, packet::decode_bytes(bytes), fx);
                }
                Some(Err(InvalidPacket)) => self.handle(now, Err(InvalidPacket), fx),
            }
            if self.is_closed() {
                return;
            }
        }
        if !backlog.is_empty() {
            self.backlog = backlog;
        }
        self.receive_held(now, fx);
    }

    pub(super) fn finish_fault(&mut self, fault: PollingFault, fx: &mut impl Effects) {
        let mut detail = fault.detail();
        if fault == PollingFault::PostTooLarge {
            detail.limit = Some(("maxHttpBufferSize", self.limits.max_message as u64));
        }
        self.finish(CloseReason::TransportError, detail, fx);
    }

    /// Answers a GET with the outbox and a close packet, and closes the session.
    pub(super) fn close_with_answer(
        &mut self,
        token: Token,
        cause: CloseCause,
        fx: &mut impl Effects,
    ) {
        if let Transport::Polling(polling) = &mut self.transport {
            polling.poll = Poll::Absent;
            polling.outbox.push_packet(PacketType::Close, b"");
            polling.answer(token, &self.format, fx);
        }
        self.finish_forced(cause.detail(None), 0, fx);
    }
}
