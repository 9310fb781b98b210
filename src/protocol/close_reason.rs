//! Why a session closed: the engine.io reason, and a detail that becomes the `description` of the
//! `close` event.

/// The close reasons of engine.io; upwire adds none of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// `transport error`: the peer broke a rule or a limit, or writing failed.
    TransportError,
    /// `transport close`: the peer closed the session, or its connection was lost.
    TransportClose,
    /// `forced close`: the app or the engine closed the session.
    ForcedClose,
    /// `ping timeout`: no pong arrived within `pingTimeout`.
    PingTimeout,
    /// `parse error`: the peer sent something that is not a packet.
    ParseError,
}

/// The cause of a close, in the fields of the `description` error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloseDetail {
    /// The text of the error.
    pub message: String,
    /// The error code, `ERR_UPWIRE_…`.
    pub code: Option<&'static str>,
    /// The status code of the peer's close frame, or of the one that was sent to it.
    pub ws_code: Option<u16>,
    /// The reason in the peer's close frame.
    pub ws_reason: Option<String>,
    /// The `errno` of the failed system call.
    pub errno: Option<i32>,
    /// Name and value of the option whose limit was exceeded.
    pub limit: Option<(&'static str, u64)>,
}

impl CloseDetail {
    /// A detail with a code and a message.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), code: Some(code), ..Self::default() }
    }
}

/// Every code of a [`CloseDetail`]. `docs/api.md` lists them for users.
pub mod code {
    /// A bug in upwire: the state of the session could not be trusted any more.
    pub const INTERNAL: &str = "ERR_UPWIRE_INTERNAL";
    /// A message or POST body is larger than `maxHttpBufferSize`.
    pub const PAYLOAD_TOO_LARGE: &str = "ERR_UPWIRE_PAYLOAD_TOO_LARGE";
    /// The peer does not read: `maxSendBuffer` or `maxTotalSendBuffer` was exceeded.
    pub const SLOW_CONSUMER: &str = "ERR_UPWIRE_SLOW_CONSUMER";
    /// The peer did not finish a message while `maxTotalReceiveQueue` was exceeded.
    pub const SLOW_PRODUCER: &str = "ERR_UPWIRE_SLOW_PRODUCER";
    /// An event could not be delivered to JavaScript.
    pub const UNDELIVERABLE: &str = "ERR_UPWIRE_UNDELIVERABLE";
    /// A WebSocket frame violates RFC 6455.
    pub const INVALID_FRAME: &str = "ERR_UPWIRE_INVALID_FRAME";
    /// A text message or close reason is not UTF-8.
    pub const INVALID_UTF8: &str = "ERR_UPWIRE_INVALID_UTF8";
    /// A compressed message is not valid.
    pub const INVALID_COMPRESSION: &str = "ERR_UPWIRE_INVALID_COMPRESSION";
    /// A message has more than `maxFragments` frames.
    pub const TOO_MANY_FRAGMENTS: &str = "ERR_UPWIRE_TOO_MANY_FRAGMENTS";
    /// The JSON of a message is nested deeper than `maxDepth`.
    pub const MAX_DEPTH: &str = "ERR_UPWIRE_MAX_DEPTH";
    /// The peer exceeded `maxMessageRate`.
    pub const MESSAGE_RATE: &str = "ERR_UPWIRE_MESSAGE_RATE";
    /// The peer sent something that is not an Engine.IO packet.
    pub const INVALID_PACKET: &str = "ERR_UPWIRE_INVALID_PACKET";
    /// The client sent a ping; in Engine.IO v4 only the server does.
    pub const HEARTBEAT_DIRECTION: &str = "ERR_UPWIRE_HEARTBEAT_DIRECTION";
    /// Two GETs or two POSTs of the session overlapped.
    pub const OVERLAP: &str = "ERR_UPWIRE_OVERLAP";
    /// A POST has a content type or encoding that is not supported.
    pub const INVALID_CONTENT: &str = "ERR_UPWIRE_INVALID_CONTENT";
    /// No GET fetched the close packet in time.
    pub const CLOSE_TIMEOUT: &str = "ERR_UPWIRE_CLOSE_TIMEOUT";
    /// The peer ended the connection without a close frame.
    pub const CONNECTION_ENDED: &str = "ERR_UPWIRE_CONNECTION_ENDED";
    /// The connection failed, or a polling request lost its connection.
    pub const CONNECTION_LOST: &str = "ERR_UPWIRE_CONNECTION_LOST";
    /// The peer sent a close packet or a close frame.
    pub const PEER_CLOSED: &str = "ERR_UPWIRE_PEER_CLOSED";
    /// No pong arrived within `pingTimeout`.
    pub const PING_TIMEOUT: &str = "ERR_UPWIRE_PING_TIMEOUT";
    /// The engine was drained.
    pub const SHUTDOWN: &str = "ERR_UPWIRE_SHUTDOWN";
}
