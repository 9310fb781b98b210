//! The limits of a session. `docs/api.md` lists the options that set them, their defaults, and what
//! happens when one is exceeded.

use std::time::Duration;

/// The limits that all sessions of one engine share.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time between a pong and the next ping. engine.io's `pingInterval`, default 25 s.
    pub ping_interval: Duration,
    /// Time within which a pong must arrive. engine.io's `pingTimeout`, default 20 s.
    pub ping_timeout: Duration,
    /// Time within which a probed WebSocket must complete the upgrade. engine.io's
    /// `upgradeTimeout`, default 10 s.
    pub upgrade_timeout: Duration,
    /// Time within which a peer must answer a close frame before its connection is reset.
    /// `closeTimeout`, default 3 s.
    pub close_timeout: Duration,
    /// Time that a closing polling session waits for the GET that fetches its close packet.
    /// engine.io's `closeTimeout` of a polling transport, default 30 s.
    pub polling_close_timeout: Duration,
    /// Bytes of one message or POST body. engine.io's `maxHttpBufferSize`, default 1,000,000.
    pub max_message: usize,
    /// Frames of one message, empty ones included. `maxFragments`, default 16,384.
    pub max_fragments: u32,
    /// Nesting depth of the JSON in a text message. `maxDepth`; 0, the default here, allows any.
    pub max_depth: usize,
    /// Messages that a peer may send per second. `maxMessageRate`; 0, the default, allows any.
    pub max_message_rate: u32,
    /// Pongs that may be queued for one peer. `maxPendingPongs`, default 60.
    pub max_pending_pongs: u32,
    /// Bytes that may be queued for one peer before the next message finds its queue full.
    /// `maxSendBuffer`, default 16 MiB; 0 disables the limit.
    pub max_send_buffer: usize,
    /// What happens to a message that finds the queue full. Default [`SlowConsumer::Close`].
    pub slow_consumer: SlowConsumer,
}

/// What happens to a message for a peer whose send queue is full. The option `slowConsumer`.
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
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(3),
            polling_close_timeout: Duration::from_secs(30),
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
