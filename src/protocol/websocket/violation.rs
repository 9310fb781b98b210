//! Violations of RFC 6455 or of a limit by a peer, and the close codes that answer them.

use thiserror::Error;

use crate::protocol::close_reason::{CloseDetail, code};

/// A violated rule. Its text becomes the `description` of the session's `close` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// A client's frame is not masked (RFC 6455 section 5.1).
    #[error("Invalid WebSocket frame: MASK must be set")]
    Unmasked,
    /// A reserved bit is set, and no negotiated extension gives it a meaning in this frame (section
    /// 5.2).
    #[error("Invalid WebSocket frame: RSV bits must be clear")]
    ReservedBits,
    /// The opcode is reserved (section 5.2).
    #[error("Invalid WebSocket frame: invalid opcode")]
    Opcode,
    /// A control frame is fragmented (section 5.5).
    #[error("Invalid WebSocket frame: FIN must be set on a control frame")]
    FragmentedControl,
    /// The payload of a control frame has more than 125 bytes (section 5.5).
    #[error("Invalid WebSocket frame: invalid payload length of a control frame")]
    LongControl,
    /// A continuation frame does not follow a fragment (section 5.4).
    #[error("Invalid WebSocket frame: continuation without a message")]
    UnexpectedContinuation,
    /// A new message begins before the last frame of a fragmented one (section 5.4).
    #[error("Invalid WebSocket frame: new message inside a fragmented one")]
    ExpectedContinuation,
    /// The body of a close frame has one byte, or a code that must not be sent (sections 5.5.1,
    /// 7.4).
    #[error("Invalid WebSocket frame: invalid close frame")]
    InvalidClose,
    /// The payload length is not encoded in the shortest form (section 5.2).
    #[error("Invalid WebSocket frame: payload length is not minimal")]
    LengthNotMinimal,
    /// A text message or a close reason is not UTF-8 (section 8.1).
    #[error("Invalid WebSocket frame: invalid UTF-8 sequence")]
    Utf8,
    /// A compressed message is not valid DEFLATE data, or ends within a block (RFC 7692 section
    /// 7.2.2).
    #[error("Invalid WebSocket frame: invalid compressed data")]
    InvalidCompression,
    /// A message is larger than `maxHttpBufferSize`.
    #[error("Max payload size exceeded")]
    MessageTooBig,
    /// A message has more than `maxFragments` frames.
    #[error("Too many message fragments")]
    TooManyFragments,
}

impl Violation {
    /// The status code of the close frame that answers the violation (RFC 6455 section 7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Violation::Utf8 | Violation::InvalidCompression => 1007,
            Violation::MessageTooBig => 1009,
            Violation::TooManyFragments => 1008,
            Violation::Unmasked
            | Violation::ReservedBits
            | Violation::Opcode
            | Violation::FragmentedControl
            | Violation::LongControl
            | Violation::UnexpectedContinuation
            | Violation::ExpectedContinuation
            | Violation::InvalidClose
            | Violation::LengthNotMinimal => 1002,
        }
    }

    /// The detail for the `close` event.
    pub fn detail(self) -> CloseDetail {
        let code = match self {
            Violation::Utf8 => code::INVALID_UTF8,
            Violation::InvalidCompression => code::INVALID_COMPRESSION,
            Violation::MessageTooBig => code::PAYLOAD_TOO_LARGE,
            Violation::TooManyFragments => code::TOO_MANY_FRAGMENTS,
            Violation::Unmasked
            | Violation::ReservedBits
            | Violation::Opcode
            | Violation::FragmentedControl
            | Violation::LongControl
            | Violation::UnexpectedContinuation
            | Violation::ExpectedContinuation
            | Violation::InvalidClose
            | Violation::LengthNotMinimal => code::INVALID_FRAME,
        };
        let mut detail = CloseDetail::new(code, self.to_string());
        detail.ws_code = Some(self.close_code());
        detail
    }
}
