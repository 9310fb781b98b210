//! The upgrade of a polling session to WebSocket: a second connection is probed while packets still
//! travel over polling, then it becomes the transport.
//!
//! ```text
//!   peer                         server
//!   WebSocket with the sid  ──>  Waiting      for at most `upgradeTimeout` in all
//!   2probe                  ──>  Answered     sends 3probe, and answers a parked GET with a noop
//!   (its GET has returned)       a GET that arrives now gets its noop after a moment
//!   5                       ──>  upgraded     the outbox moves to the WebSocket
//! ```

use std::time::{Duration, Instant};

use super::deadline::after;
use super::limits::Limits;
use super::websocket::Connection;

/// How long a GET stays parked if it arrives after the probe was answered. Without this pause a
/// stalled upgrade would make the client poll in a busy loop.
pub const NOOP_DELAY: Duration = Duration::from_millis(10);

/// How far an upgrade has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The WebSocket is open; the peer has not sent its probe.
    Waiting,
    /// The probe was answered; the upgrade packet is awaited.
    Answered,
}

/// A WebSocket that is being probed.
#[derive(Debug)]
pub struct Probe {
    /// The probed WebSocket.
    pub connection: Connection,
    /// When the upgrade fails.
    pub deadline: Instant,
    /// How far the upgrade has come.
    pub stage: Stage,
    /// The session's GET was lost during the upgrade. If the upgrade fails as well, the session has
    /// no transport left and closes.
    pub get_lost: bool,
}

impl Probe {
    /// Starts to wait for the peer's probe.
    pub fn new(now: Instant, connection: Connection, limits: &Limits) -> Self {
        Self {
            connection,
            deadline: after(now, limits.upgrade_timeout),
            stage: Stage::Waiting,
            get_lost: false,
        }
    }
}

/// A text message on a probed WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub enum ProbeMessage {
    /// `2probe`: asks whether the WebSocket works.
    Probe,
    /// `5`: makes the WebSocket the transport.
    Upgrade,
    /// Anything else; the upgrade fails.
    Other,
}

impl ProbeMessage {
    /// Classifies a text message.
    pub fn parse(text: &[u8]) -> Self {
        match text {
            b"2probe" => Self::Probe,
            b"5" => Self::Upgrade,
            _ => Self::Other,
        }
    }
}
