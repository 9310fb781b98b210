//! The body of a close frame (RFC 6455 section 5.5.1).

use tungstenite::protocol::frame::coding::CloseCode;

use super::Violation;

/// What the peer said when it closed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloseBody {
    /// Status code; `None` when the frame was empty (1005).
    pub code: Option<u16>,
    /// At most 123 bytes of text.
    pub reason: String,
}

/// Reads a close body, unmasked.
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

/// Codes that may travel. tungstenite leaves out 1012 to 1014, which IANA has registered since.
fn is_allowed(code: u16) -> bool {
    matches!(code, 1012..=1014) || (CloseCode::from(code).is_allowed() && code < 5000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_codes_that_may_travel() {
        let allowed: Vec<u16> = (0..=u16::MAX).filter(|code| is_allowed(*code)).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(allowed, expected);
    }

    #[test]
    fn reads_bodies() {
        assert_eq!(parse(b""), Ok(CloseBody::default()));
        assert_eq!(parse(b"\x03"), Err(Violation::InvalidClose));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(Violation::Utf8));
        assert_eq!(parse(b"\x0f\xa0bye"), Ok(CloseBody { code: Some(4000), reason: "bye".into() }));
    }
}
