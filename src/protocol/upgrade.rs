//! A polling session's way to WebSocket: a second connection is probed while packets go on over
//! polling, then it takes over.
//!
//! ```text
//!   peer                         server
//!   WebSocket with the sid  ──>  Waiting      at most `upgradeTimeout` from here
//!   2probe                  ──>  Probed       answers 3probe, and a parked GET with a noop
//!   (the GET has returned)       a GET that comes now gets its noop after a moment
//!   5                       ──>  swapped      the queue goes out on the WebSocket
//! ```

use std::time::{Duration, Instant};

use super::heartbeat::after;
use super::limits::Limits;
use super::websocket::Connection;

/// How long a GET that comes during a live probe stays parked, so that a stalled probe cannot
/// spin the peer's poll loop.
pub const NOOP_DELAY: Duration = Duration::from_millis(10);

/// A WebSocket on its way to become the transport.
#[derive(Debug)]
pub struct Probe {
    pub connection: Connection,
    /// When to give up.
    pub deadline: Instant,
    /// Whether the probe has been answered.
    pub answered: bool,
    /// The GET was lost meanwhile: without this probe the session has no transport.
    pub get_lost: bool,
}

impl Probe {
    /// Starts to wait for the probe.
    pub fn new(now: Instant, connection: Connection, limits: &Limits) -> Self {
        Self {
            connection,
            deadline: after(now, limits.upgrade_timeout),
            answered: false,
            get_lost: false,
        }
    }
}

/// What the first messages on a probed WebSocket ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// `2probe`
    Answer,
    /// `5`
    Swap,
    /// Anything else ends the attempt.
    Refuse,
}

/// Reads a text message on a probed WebSocket.
pub fn step(text: &[u8]) -> Step {
    match text {
        b"2probe" => Step::Answer,
        b"5" => Step::Swap,
        _ => Step::Refuse,
    }
}
