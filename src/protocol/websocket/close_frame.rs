//! The body of a close frame (RFC 6455 section 5.5.1).

use tungstenite::protocol::frame::coding::CloseCode;

use super::Violation;

/// The content of a close frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloseBody {
    /// The status code; `None` if the body is empty, which RFC 6455 reports as 1005.
    pub code: Option<u16>,
    /// The reason, at most 123 bytes of text.
    pub reason: String,
}

/// Parses an unmasked close body.
///
/// # Errors
///
/// The body has one byte, its code must not be sent, or its reason is not UTF-8.
pub fn parse(body: &[u8]) -> Result<CloseBody, Violation> {
    match body {
        [] => Ok(CloseBody::default()),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_allowed(code) {
                return Err(Violation::InvalidClose);
            }
            let reason = std::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
            Ok(CloseBody { code: Some(code), reason: reason.to_owned() })
        }
        [_] => Err(Violation::InvalidClose),
    }
}

/// Whether a close frame may carry this code. tungstenite does not know 1012 to 1014, which IANA
/// has registered later.
fn is_allowed(code: u16) -> bool {
    matches!(code, 1012..=1014) || (CloseCode::from(code).is_allowed() && code < 5000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allows_exactly_the_codes_that_a_frame_may_carry() {
        let allowed: Vec<u16> = (0..=u16::MAX).filter(|code| is_allowed(*code)).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(allowed, expected);
    }

    #[test]
    fn parses_bodies() {
        assert_eq!(parse(b""), Ok(CloseBody::default()));
        assert_eq!(parse(b"\x03"), Err(Violation::InvalidClose));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(Violation::Utf8));
        assert_eq!(parse(b"\x0f\xa0bye"), Ok(CloseBody { code: Some(4000), reason: "bye".into() }));
    }
}
