//! What a session asks its driver to do. The runtime carries [`Effects`] out; tests record them.

use std::time::Duration;

use super::close_reason::{CloseDetail, CloseReason};
use super::packet::Message;
use super::payload::Payload;
use super::websocket::Connection;

/// The part that a WebSocket plays in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The WebSocket is the session's transport.
    Main,
    /// The WebSocket is being probed for an upgrade.
    Probe,
}

/// Identifies one polling request. The caller chooses it; the session only passes it back.
pub type Token = u32;

/// An event for the app, other than a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An awaited pong arrived, or in revision 3 a ping: engine.io's `heartbeat`. Only emitted while
    /// heartbeats are observed.
    Heartbeat,
    /// A ping was queued. Only emitted while heartbeats are observed.
    PingSent,
    /// The probe was answered: engine.io's `upgrading`.
    Upgrading,
    /// The WebSocket has become the transport: engine.io's `upgrade`.
    Upgraded,
    /// The probed WebSocket is gone; the session stays on polling.
    UpgradeFailed,
    /// This many receipts are due: everything that was queued before them was handed to the
    /// operating system or to a polling response.
    Sent(u32),
    /// The send queue was full and a message was dropped.
    Dropped {
        /// Bytes in the queue.
        waiting: u64,
        /// If the dropped message requested a receipt: the number of earlier receipts still due.
        receipt: Option<u32>,
    },
    /// The session is closed. Emitted exactly once, as the last event.
    Closed {
        /// The reason that engine.io reports.
        reason: CloseReason,
        /// The number of messages that will not be sent.
        unsent: usize,
        /// The cause, unless the app closed the session itself.
        detail: Option<Box<CloseDetail>>,
    },
}

/// The consequences of one input, called in order.
pub trait Effects {
    /// Delivers a message to the app.
    fn message(&mut self, message: Message<'_>);
    /// Delivers an event to the app.
    fn event(&mut self, event: Event);
    /// Answers a GET with a payload.
    fn answer_get(&mut self, token: Token, payload: Payload);
    /// Answers a GET that overlaps another one with status 400.
    fn refuse_get(&mut self, token: Token);
    /// Makes the probed WebSocket the main one.
    fn promote(&mut self);
    /// Takes over a WebSocket that the session no longer needs. Its queue and its closing handshake
    /// are completed without the session, within `patience`.
    fn release(&mut self, role: Role, connection: Connection, patience: Duration);
    /// Schedules a write on a WebSocket that may have bytes to write.
    fn wants_write(&mut self, role: Role);
    /// Whether the app has been blocked for too long, so that a ping of revision 3 must not be
    /// answered yet: a blocked app must not look alive to its peers.
    fn is_app_stalled(&self) -> bool;
}
