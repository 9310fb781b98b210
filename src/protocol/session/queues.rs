//! What a session holds: packets that wait to be sent, and input that waits to be handled.

use super::transport::Transport;
use super::{Session, held};
use crate::protocol::effects::Role;
use crate::protocol::websocket::Connection;

impl Session {
    /// The memory in bytes of the send queue.
    pub fn waiting(&self) -> usize {
        match &self.transport {
            Transport::Polling(polling) => polling.outbox.cost().saturating_add(polling.in_flight),
            Transport::WebSocket(websocket) => websocket.connection.wire().cost(),
            Transport::Closed { .. } => 0,
        }
    }

    /// [`Self::waiting`] without broadcasts, which are shared.
    pub fn waiting_own(&self) -> usize {
        match &self.transport {
            Transport::Polling(polling) => polling.outbox.own().saturating_add(polling.in_flight),
            Transport::WebSocket(websocket) => websocket.connection.wire().own(),
            Transport::Closed { .. } => 0,
        }
    }

    /// The part of [`Self::waiting`] that closing the session would free.
    pub fn waiting_alone(&self) -> usize {
        match &self.transport {
            Transport::Polling(polling) => polling.outbox.alone().saturating_add(polling.in_flight),
            Transport::WebSocket(websocket) => websocket.connection.wire().alone(),
            Transport::Closed { .. } => 0,
        }
    }

    /// The number of messages and packets in the send queue.
    pub fn waiting_messages(&self) -> usize {
        match &self.transport {
            Transport::Polling(polling) => polling.outbox.len(),
            Transport::WebSocket(websocket) => websocket.connection.wire().messages(),
            Transport::Closed { .. } => 0,
        }
    }

    /// Whether the send queue exceeds `maxSendBuffer`, so that the next message is not queued.
    pub fn is_full(&self) -> bool {
        self.limits.max_send_buffer > 0 && self.waiting() > self.limits.max_send_buffer
    }

    /// Whether packets of POSTs wait for `Input::Continue`.
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether any input waits for `Input::Continue`.
    pub fn has_more(&self) -> bool {
        self.has_backlog() || ((!self.held.is_empty() || self.is_inflating()) && !self.post_begun)
    }

    /// Whether a message of the WebSocket is not inflated completely, because its turn was over.
    pub(super) fn is_inflating(&self) -> bool {
        match &self.transport {
            Transport::WebSocket(websocket) => websocket.connection.is_inflating(),
            Transport::Polling(_) | Transport::Closed { .. } => false,
        }
    }

    /// Whether the WebSocket must not be read for now, because too much of its input waits.
    pub fn is_holding(&self) -> bool {
        self.held.len() >= if self.post_begun { held::MAX_BEHIND_POST } else { 1 }
            || self.is_inflating()
    }

    /// The memory in bytes of input that has not been handled.
    pub fn unhandled(&self) -> usize {
        self.backlog.capacity().saturating_add(self.held.capacity())
    }

    /// The memory in bytes of a message or POST body that has not arrived completely.
    pub fn unfinished(&self) -> usize {
        let connection = self.connection(Role::Main).or_else(|| self.connection(Role::Probe));
        self.post_bytes.saturating_add(connection.map_or(0, Connection::unfinished))
    }
}
