//! The opening handshake of a WebSocket (RFC 6455 section 4.2): what a request must bring, and
//! the answer it gets.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use thiserror::Error;

/// The headers that decide; `None` when absent. Repeated ones are joined with `, `, as Node does.
#[derive(Debug, Default, Clone)]
pub struct UpgradeHeaders<'a> {
    pub http_version: &'a str,
    pub host: Option<&'a str>,
    /// How often `Host` occurs.
    pub host_count: usize,
    pub upgrade: Option<&'a str>,
    pub connection: Option<&'a str>,
    pub key: Option<&'a str>,
    pub version: Option<&'a str>,
    pub protocol: Option<&'a str>,
    pub transfer_encoding: Option<&'a str>,
    pub content_length: Option<&'a str>,
}

/// Why a request cannot become a WebSocket. The text is the body of the 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UpgradeRefusal {
    #[error("Bad request")]
    Malformed,
    #[error("Invalid Upgrade header")]
    Upgrade,
    #[error("Missing or invalid Sec-WebSocket-Key header")]
    Key,
    #[error("Missing or invalid Sec-WebSocket-Version header")]
    Version,
    #[error("Invalid Sec-WebSocket-Protocol header")]
    Protocol,
}

/// Checks an upgrade request.
pub fn verify(headers: &UpgradeHeaders<'_>) -> Result<(), UpgradeRefusal> {
    if headers.http_version != "1.1" || headers.host.is_none() || headers.host_count > 1 {
        return Err(UpgradeRefusal::Malformed);
    }
    // Body bytes must never be read as frames.
    if headers.transfer_encoding.is_some() || headers.content_length.is_some_and(|n| n != "0") {
        return Err(UpgradeRefusal::Malformed);
    }
    if !headers.upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return Err(UpgradeRefusal::Upgrade);
    }
    let asks = |value: &str| value.split(',').any(|t| t.trim().eq_ignore_ascii_case("upgrade"));
    if !headers.connection.is_some_and(asks) {
        return Err(UpgradeRefusal::Upgrade);
    }
    if !headers.key.is_some_and(is_nonce) {
        return Err(UpgradeRefusal::Key);
    }
    if headers.version != Some("13") {
        return Err(UpgradeRefusal::Version);
    }
    headers.protocol.map_or(Ok(()), verify_protocols)
}

/// Whether a key is the base64 form of 16 bytes.
fn is_nonce(key: &str) -> bool {
    let mut nonce = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut nonce) == Ok(16)
}

/// `Sec-WebSocket-Accept` (RFC 6455 section 4.2.2).
fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

/// Checks the list of offered subprotocols: tokens, none empty or twice.
fn verify_protocols(list: &str) -> Result<(), UpgradeRefusal> {
    let mut seen = std::collections::HashSet::new();
    for token in protocols(list) {
        if token.is_empty() || !token.bytes().all(is_token) || !seen.insert(token) {
            return Err(UpgradeRefusal::Protocol);
        }
    }
    Ok(())
}

fn protocols(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|token| token.trim_matches([' ', '\t']))
}

/// A `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The 101 answer to a verified request, by its key and its subprotocols, of which the first is
/// taken; `extra` are whole header lines, each ending in CRLF.
pub fn response(key: &str, protocol: Option<&str>, extra: &str) -> String {
    let mut text = String::from(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    // Writing to a String cannot fail.
    let _ = write!(text, "Sec-WebSocket-Accept: {}\r\n", accept_key(key));
    if let Some(protocol) = protocol.and_then(|list| protocols(list).next()) {
        let _ = write!(text, "Sec-WebSocket-Protocol: {protocol}\r\n");
    }
    text.push_str(extra);
    text.push_str("\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> UpgradeHeaders<'static> {
        UpgradeHeaders {
            http_version: "1.1",
            host: Some("server.example.com"),
            host_count: 1,
            upgrade: Some("WebSocket"),
            connection: Some("keep-alive, Upgrade"),
            key: Some("dGhlIHNhbXBsZSBub25jZQ=="),
            version: Some("13"),
            ..UpgradeHeaders::default()
        }
    }

    #[test]
    fn accepts_the_sample_of_the_rfc() {
        assert_eq!(verify(&sample()), Ok(()));
        let answer = response(sample().key.unwrap(), None, "X-A: 1\r\n");
        assert!(answer.ends_with("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-A: 1\r\n\r\n"));
    }

    #[test]
    fn refuses_what_is_missing_or_wrong() {
        use UpgradeRefusal as R;
        let cases: [(UpgradeHeaders<'_>, R); 14] = [
            (UpgradeHeaders { http_version: "1.0", ..sample() }, R::Malformed),
            (UpgradeHeaders { host: None, ..sample() }, R::Malformed),
            (UpgradeHeaders { host_count: 2, ..sample() }, R::Malformed),
            (UpgradeHeaders { transfer_encoding: Some("chunked"), ..sample() }, R::Malformed),
            (UpgradeHeaders { content_length: Some("5"), ..sample() }, R::Malformed),
            (UpgradeHeaders { upgrade: Some("h2c"), ..sample() }, R::Upgrade),
            (UpgradeHeaders { upgrade: Some("websocket, h2c"), ..sample() }, R::Upgrade),
            (UpgradeHeaders { upgrade: None, ..sample() }, R::Upgrade),
            (UpgradeHeaders { connection: Some("keep-alive"), ..sample() }, R::Upgrade),
            (UpgradeHeaders { key: None, ..sample() }, R::Key),
            (UpgradeHeaders { key: Some("dGhlIHNhbXBsZSBub25jZR=="), ..sample() }, R::Key),
            (UpgradeHeaders { version: Some("8"), ..sample() }, R::Version),
            (UpgradeHeaders { protocol: Some("a,,b"), ..sample() }, R::Protocol),
            (UpgradeHeaders { protocol: Some("a, b, a"), ..sample() }, R::Protocol),
        ];
        for (headers, refusal) in cases {
            assert_eq!(verify(&headers), Err(refusal), "{headers:?}");
        }
    }

    #[test]
    fn echoes_the_first_protocol() {
        let protocol = Some("chat.v2 , chat");
        assert_eq!(verify(&UpgradeHeaders { protocol, ..sample() }), Ok(()));
        let answer = response(sample().key.unwrap(), protocol, "");
        assert!(answer.ends_with("\r\nSec-WebSocket-Protocol: chat.v2\r\n\r\n"));
    }
}
