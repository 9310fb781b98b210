//! What the app sends, and what becomes of it when the peer does not take it.

use super::{Session, Transport};
use crate::protocol::close_reason::{CloseDetail, CloseReason, code};
use crate::protocol::effects::{Effects, Event, Role};
use crate::protocol::limits::SlowConsumer;
use crate::protocol::outbox::Outgoing;
use crate::protocol::packet::PacketType;

impl Session {
    pub(super) fn send(&mut self, message: Outgoing<'_>, receipt: bool, fx: &mut impl Effects) {
        if self.closing.is_some() {
            return;
        }
        if self.is_full() {
            return self.overflow(receipt, fx);
        }
        match &mut self.transport {
            Transport::Polling { .. } => {
                self.outbox.push_message(message, receipt);
                self.flush_polling(fx);
            }
            Transport::WebSocket(connection) => {
                let prefix = [PacketType::Message as u8];
                match message {
                    Outgoing::Text(body) => connection.send_text(&prefix, body),
                    Outgoing::OwnText(body) => connection.send_text_owned(&prefix, body),
                    Outgoing::Binary(body) => connection.send_binary(body),
                    Outgoing::OwnBinary(body) => connection.send_binary_owned(body),
                    Outgoing::Shared(broadcast) => connection.send_shared(broadcast),
                }
                if receipt {
                    self.receipts.push_back(connection.wire().queued());
                }
                fx.wants_write(Role::Main);
            }
        }
    }

    /// Has the app told when what waits now has left; at once when nothing does.
    pub(super) fn report(&mut self, fx: &mut impl Effects) {
        match &mut self.transport {
            Transport::Polling { .. } if !self.outbox.is_empty() => self.outbox.expect_receipt(),
            Transport::WebSocket(connection) if !connection.wire().is_empty() => {
                self.receipts.push_back(connection.wire().queued());
            }
            Transport::Polling { .. } | Transport::WebSocket(_) => fx.event(Event::Sent(1)),
        }
    }

    /// The queue is full: the message is refused, which ends the session unless the app chose to
    /// lose messages.
    pub(super) fn overflow(&mut self, receipt: bool, fx: &mut impl Effects) {
        if self.limits.slow_consumer == SlowConsumer::Drop {
            let owed = u32::try_from(self.receipts.len()).unwrap_or(u32::MAX);
            let owed = owed.saturating_add(self.outbox.receipts());
            let waiting = self.waiting() as u64;
            return fx.event(Event::Dropped { waiting, receipt: receipt.then_some(owed) });
        }
        self.evict("maxSendBuffer", self.limits.max_send_buffer as u64, fx);
    }

    /// Ends the session because of what waits for its peer; the connection is reset.
    pub fn evict(&mut self, limit: &'static str, value: u64, fx: &mut impl Effects) {
        let mut detail =
            CloseDetail::new(code::SLOW_CONSUMER, format!("{limit} exceeded by a slow consumer"));
        detail.limit = Some((limit, value));
        self.dropped = self.waiting_messages();
        if let Transport::WebSocket(connection) = &mut self.transport {
            connection.abort();
        }
        self.finish(CloseReason::TransportError, Some(detail), fx);
    }
}
