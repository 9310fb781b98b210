//! What a peer did against RFC 6455 or a limit, and the close code it gets for it.

use thiserror::Error;

use crate::protocol::close_reason::{CloseDetail, code};

/// A broken rule. The text becomes the `description` of the session's `close` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    #[error("Invalid WebSocket frame: MASK must be set")]
    Unmasked,
    #[error("Invalid WebSocket frame: RSV bits must be clear")]
    ReservedBits,
    #[error("Invalid WebSocket frame: invalid opcode")]
    Opcode,
    #[error("Invalid WebSocket frame: FIN must be set on a control frame")]
    FragmentedControl,
    #[error("Invalid WebSocket frame: invalid payload length of a control frame")]
    LongControl,
    #[error("Invalid WebSocket frame: continuation without a message")]
    UnexpectedContinuation,
    #[error("Invalid WebSocket frame: new message inside a fragmented one")]
    ExpectedContinuation,
    #[error("Invalid WebSocket frame: invalid close frame")]
    InvalidClose,
    #[error("Invalid WebSocket frame: payload length is not minimal")]
    LengthNotMinimal,
    #[error("Invalid WebSocket frame: invalid UTF-8 sequence")]
    Utf8,
    #[error("Max payload size exceeded")]
    MessageTooBig,
    #[error("Too many message fragments")]
    TooManyFragments,
}

impl Violation {
    /// The status code of the close frame the peer gets (RFC 6455 section 7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Violation::Utf8 => 1007,
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

    /// The detail the app sees.
    pub fn detail(self) -> CloseDetail {
        let code = match self {
            Violation::Utf8 => code::INVALID_UTF8,
            Violation::MessageTooBig => code::PAYLOAD_TOO_LARGE,
            Violation::TooManyFragments => code::TOO_MANY_FRAGMENTS,
            _ => code::INVALID_FRAME,
        };
        let mut detail = CloseDetail::new(code, self.to_string());
        detail.ws_code = Some(self.close_code());
        detail
    }
}
