//! Messages from the app, and what happens if the peer does not read them.

use super::{Session, Transport};
use crate::protocol::close_reason::{CloseDetail, CloseReason, code};
use crate::protocol::effects::{Effects, Event, Role};
use crate::protocol::limits::SlowConsumer;
use crate::protocol::outbox::Outgoing;

impl Session {
    pub(super) fn send(
        &mut self,
        message: Outgoing<'_>,
        compress: bool,
        receipt: bool,
        fx: &mut impl Effects,
    ) {
        if self.closing_until().is_some() {
            return;
        }
        if self.is_full() {
            return self.overflow(receipt, fx);
        }
        match &mut self.transport {
            Transport::Polling(polling) => {
                polling.outbox.push_message(message, compress, receipt);
                polling.flush(&self.format, fx);
            }
            Transport::WebSocket(websocket) => {
                websocket.send(message, compress, receipt);
                fx.wants_write(Role::Main);
            }
            Transport::Closed { .. } => {}
        }
    }

    /// Requests a receipt for the whole queue; it is due at once if the queue is empty.
    pub(super) fn notify_drained(&mut self, fx: &mut impl Effects) {
        match &mut self.transport {
            Transport::Polling(polling) if !polling.outbox.is_empty() => {
                polling.outbox.expect_receipt();
            }
            Transport::WebSocket(websocket) if !websocket.connection.wire().is_empty() => {
                websocket.expect_receipt();
            }
            Transport::Polling(_) | Transport::WebSocket(_) | Transport::Closed { .. } => {
                fx.event(Event::Sent(1));
            }
        }
    }

    /// Handles a message that finds the queue full, as `slowConsumer` says.
    fn overflow(&mut self, receipt: bool, fx: &mut impl Effects) {
        match self.limits.slow_consumer {
            SlowConsumer::Close => {
                self.evict("maxSendBuffer", self.limits.max_send_buffer as u64, fx);
            }
            SlowConsumer::Drop => {
                let receipt = receipt.then(|| self.receipts());
                fx.event(Event::Dropped { waiting: self.waiting() as u64, receipt });
            }
        }
    }

    /// The number of receipts that are not due yet.
    fn receipts(&self) -> u32 {
        match &self.transport {
            Transport::Polling(polling) => polling.outbox.receipts(),
            Transport::WebSocket(websocket) => {
                u32::try_from(websocket.receipts()).unwrap_or(u32::MAX)
            }
            Transport::Closed { .. } => 0,
        }
    }

    /// Closes the session and resets its connection, because its peer does not read. `limit` and
    /// `value` are the name and value of the option that was exceeded.
    pub fn evict(&mut self, limit: &'static str, value: u64, fx: &mut impl Effects) {
        let mut detail =
            CloseDetail::new(code::SLOW_CONSUMER, format!("{limit} exceeded by a slow consumer"));
        detail.limit = Some((limit, value));
        if let Transport::WebSocket(websocket) = &mut self.transport {
            websocket.connection.abort();
        }
        self.finish(CloseReason::TransportError, detail, fx);
    }
}
