//! Why a session ended: the engine.io reason and, where there is more to tell, a detail that
//! becomes the `description` of the `close` event.

/// The reasons of engine.io; no others are ever given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    TransportError,
    TransportClose,
    ForcedClose,
    PingTimeout,
    ParseError,
}

/// Who or what broke the rules, in the words of the `description` error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloseDetail {
    /// The text of the error.
    pub message: String,
    /// `ERR_UPWIRE_…`.
    pub code: Option<&'static str>,
    /// Status code of the peer's close frame, or of the one we answered with.
    pub ws_code: Option<u16>,
    /// Reason in the peer's close frame.
    pub ws_reason: Option<String>,
    /// `errno` of the failed system call.
    pub errno: Option<i32>,
    /// Name and value of the limit that was reached.
    pub limit: Option<(&'static str, u64)>,
}

impl CloseDetail {
    /// A detail with a message and a code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), code: Some(code), ..Self::default() }
    }
}

/// The codes of [`CloseDetail`], one place for Rust and `docs/api.md`.
pub mod code {
    pub const INTERNAL: &str = "ERR_UPWIRE_INTERNAL";
    pub const PAYLOAD_TOO_LARGE: &str = "ERR_UPWIRE_PAYLOAD_TOO_LARGE";
    pub const SLOW_CONSUMER: &str = "ERR_UPWIRE_SLOW_CONSUMER";
    pub const SLOW_PRODUCER: &str = "ERR_UPWIRE_SLOW_PRODUCER";
    pub const UNDELIVERABLE: &str = "ERR_UPWIRE_UNDELIVERABLE";
    pub const INVALID_FRAME: &str = "ERR_UPWIRE_INVALID_FRAME";
    pub const INVALID_UTF8: &str = "ERR_UPWIRE_INVALID_UTF8";
    pub const TOO_MANY_FRAGMENTS: &str = "ERR_UPWIRE_TOO_MANY_FRAGMENTS";
    pub const MAX_DEPTH: &str = "ERR_UPWIRE_MAX_DEPTH";
    pub const MESSAGE_RATE: &str = "ERR_UPWIRE_MESSAGE_RATE";
    pub const INVALID_PACKET: &str = "ERR_UPWIRE_INVALID_PACKET";
    pub const HEARTBEAT_DIRECTION: &str = "ERR_UPWIRE_HEARTBEAT_DIRECTION";
    pub const OVERLAP: &str = "ERR_UPWIRE_OVERLAP";
    pub const INVALID_CONTENT: &str = "ERR_UPWIRE_INVALID_CONTENT";
    pub const CLOSE_TIMEOUT: &str = "ERR_UPWIRE_CLOSE_TIMEOUT";
    pub const CONNECTION_ENDED: &str = "ERR_UPWIRE_CONNECTION_ENDED";
    pub const CONNECTION_LOST: &str = "ERR_UPWIRE_CONNECTION_LOST";
    pub const PEER_CLOSED: &str = "ERR_UPWIRE_PEER_CLOSED";
    pub const PING_TIMEOUT: &str = "ERR_UPWIRE_PING_TIMEOUT";
    pub const SHUTDOWN: &str = "ERR_UPWIRE_SHUTDOWN";
}
