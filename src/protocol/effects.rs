//! What a session asks of the world. The driver implements [`Effects`]; tests record it.

use std::time::Duration;

use super::close_reason::{CloseDetail, CloseReason};
use super::packet::Message;
use super::websocket::Connection;

/// Which of a session's two possible WebSockets is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The transport of the session.
    Main,
    /// The WebSocket that is being probed for an upgrade.
    Probe,
}

/// Names one polling request; made by the caller, never interpreted here.
pub type Token = u32;

/// Something the app may hear of, besides messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A pong came: engine.io's `heartbeat`.
    Heartbeat,
    /// A ping was queued.
    PingSent,
    /// The probe was answered.
    Upgrading,
    /// The WebSocket has become the transport.
    Upgraded,
    /// The probed WebSocket is gone; the session stays on polling.
    UpgradeFailed,
    /// So many messages that asked for a receipt have been handed to the operating system (or to
    /// a polling response).
    Sent(u32),
    /// A message found the queue full and was dropped. `waiting` is what waited, in bytes; `receipt`
    /// the number of earlier receipts still owed, if it asked for one itself.
    Dropped { waiting: u64, receipt: Option<u32> },
    /// The session is over, with so many messages that were not sent. Always the last event, exactly
    /// once.
    Closed { reason: CloseReason, unsent: usize, detail: Option<Box<CloseDetail>> },
}

/// The consequences of one input, in order.
pub trait Effects {
    /// A message for the app.
    fn message(&mut self, message: Message<'_>);
    /// An event for the app.
    fn event(&mut self, event: Event);
    /// The payload a parked GET is answered with.
    fn answer_get(&mut self, token: Token, payload: Vec<u8>);
    /// The second of two overlapping GETs: 400.
    fn refuse_get(&mut self, token: Token);
    /// The probed WebSocket is now the main one.
    fn promote(&mut self);
    /// The session lets go of a WebSocket; what it still has to write, and the closing handshake,
    /// go on without the session, for `patience` at the most.
    fn release(&mut self, role: Role, connection: Connection, patience: Duration);
    /// There may be bytes to write on this WebSocket.
    fn wants_write(&mut self, role: Role);
}
