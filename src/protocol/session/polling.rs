//! A session on polling: GETs fetch what waits, POSTs bring packets.

use std::time::{Duration, Instant};

use super::{PACKET_BUDGET, Parked, PollingFault, Session, Transport};
use crate::protocol::close_reason::{CloseDetail, CloseReason, code};
use crate::protocol::effects::{Effects, Event, Token};
use crate::protocol::heartbeat::after;
use crate::protocol::packet::PacketType;
use crate::protocol::payload;

/// Answers from here on count as waiting until `Input::GetSent`; smaller ones are with the kernel
/// as soon as they are with Node.
const REPORTED_FROM: usize = 64 * 1024;

impl Session {
    pub(super) fn get(&mut self, now: Instant, token: Token, fx: &mut impl Effects) {
        let Transport::Polling { parked } = &mut self.transport else {
            // The GET crossed the upgrade on its way here.
            return fx.answer_get(token, vec![PacketType::Noop as u8]);
        };
        if parked.is_some() {
            fx.refuse_get(token);
            let detail = CloseDetail::new(code::OVERLAP, "overlap from client");
            return self.finish(CloseReason::TransportError, Some(detail), fx);
        }
        *parked = Some(Parked { token, since: now });
        if self.closing.is_some() {
            return self.get_while_closing(fx);
        }
        self.flush_polling(fx);
    }

    pub(super) fn get_lost(&mut self, token: Token, fx: &mut impl Effects) {
        let Transport::Polling { parked } = &mut self.transport else { return };
        if parked.is_none_or(|parked| parked.token != token) {
            return;
        }
        *parked = None;
        if let Some(probe) = &mut self.probe {
            probe.get_lost = true;
            return;
        }
        self.finish(CloseReason::TransportError, Some(lost_poll()), fx);
    }

    pub(super) fn post(&mut self, now: Instant, body: Vec<u8>, fx: &mut impl Effects) {
        self.post_begun = false;
        self.post_bytes = 0;
        self.backlog.push(payload::repair_utf8(body));
        self.handle_backlog(now, fx);
    }

    /// Handles some of the packets that POSTs have brought, then what a WebSocket has brought
    /// behind them.
    pub(super) fn handle_backlog(&mut self, now: Instant, fx: &mut impl Effects) {
        let mut backlog = std::mem::take(&mut self.backlog);
        for _ in 0..PACKET_BUDGET {
            let Some(packet) = backlog.take() else { break };
            self.packet(now, packet, fx);
            if self.closed {
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
        self.finish(CloseReason::TransportError, Some(detail), fx);
    }

    /// Answers the parked GET with what waits, if both are there.
    pub(super) fn flush_polling(&mut self, fx: &mut impl Effects) {
        let Transport::Polling { parked } = &mut self.transport else { return };
        if self.outbox.is_empty() {
            return;
        }
        let Some(get) = parked.take() else { return };
        let (payload, receipts) = self.outbox.take_payload();
        if payload.len() >= REPORTED_FROM {
            self.in_flight = self.in_flight.saturating_add(payload.len());
        }
        fx.answer_get(get.token, payload);
        if receipts > 0 {
            fx.event(Event::Sent(receipts));
        }
    }

    /// Answers a GET that has been parked for `delay` with a noop while a probe is live.
    pub(super) fn answer_noop(&mut self, now: Instant, delay: Duration, fx: &mut impl Effects) {
        let Transport::Polling { parked } = &mut self.transport else { return };
        if !self.probe.as_ref().is_some_and(|probe| probe.answered) {
            return;
        }
        if parked.is_some_and(|parked| now >= after(parked.since, delay))
            && let Some(get) = parked.take()
        {
            fx.answer_get(get.token, vec![PacketType::Noop as u8]);
        }
    }

    /// A GET comes while a close waits. What was sent before the close goes first, alone: clients
    /// drop what shares a payload with the close packet. The next GET gets that.
    pub(super) fn get_while_closing(&mut self, fx: &mut impl Effects) {
        if !self.outbox.is_empty() {
            return self.flush_polling(fx);
        }
        self.outbox.push_packet(PacketType::Noop, b"");
        self.close_parked(fx);
    }

    /// Answers the parked GET with a close packet and ends the session.
    pub(super) fn close_parked(&mut self, fx: &mut impl Effects) {
        self.outbox.push_packet(PacketType::Close, b"");
        self.flush_polling(fx);
        self.finish(CloseReason::ForcedClose, None, fx);
    }
}

/// The detail of a session whose GET was lost.
pub(super) fn lost_poll() -> CloseDetail {
    CloseDetail::new(code::CONNECTION_LOST, "poll connection closed prematurely")
}
