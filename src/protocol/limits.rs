//! The bounds a session keeps; `docs/api.md` lists them with their defaults and what happens at
//! each.

use std::time::Duration;

/// What every session of one engine shares.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Interval between a pong and the next ping. engine.io `pingInterval`, 25 s.
    pub ping_interval: Duration,
    /// How long a pong may take. engine.io `pingTimeout`, 20 s.
    pub ping_timeout: Duration,
    /// How long a WebSocket may take to complete an upgrade. engine.io `upgradeTimeout`, 10 s.
    pub upgrade_timeout: Duration,
    /// How long a peer may take to answer our close frame before it is reset. 3 s.
    pub close_timeout: Duration,
    /// How long a closing polling session waits for the GET that fetches its last packets. 30 s.
    pub polling_close_timeout: Duration,
    /// Bytes of one message or POST body. engine.io `maxHttpBufferSize`, 1,000,000.
    pub max_message: usize,
    /// Frames of one message, empty ones counted. 16,384.
    pub max_fragments: u32,
    /// Nesting of the JSON in a text message. 0 is any.
    pub max_depth: usize,
    /// Messages that a peer may send in a second. 0 is any number.
    pub max_message_rate: u32,
    /// Pongs waiting to be written to one peer. 60.
    pub max_pending_pongs: u32,
    /// Bytes queued for one peer before the next message closes it. 16 MiB; 0 is none.
    pub max_send_buffer: usize,
    /// What becomes of a message that finds the queue full.
    pub slow_consumer: SlowConsumer,
}

/// What becomes of a message for a peer whose queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowConsumer {
    /// The session is closed.
    Close,
    /// The message is dropped and reported.
    Drop,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_millis(25_000),
            ping_timeout: Duration::from_millis(20_000),
            upgrade_timeout: Duration::from_millis(10_000),
            close_timeout: Duration::from_millis(3_000),
            polling_close_timeout: Duration::from_millis(30_000),
            max_message: 1_000_000,
            max_fragments: 16_384,
            max_depth: 0,
            max_message_rate: 0,
            max_pending_pongs: 60,
            max_send_buffer: 16 * 1024 * 1024,
            slow_consumer: SlowConsumer::Close,
        }
    }
}
