//! The opening handshake of a WebSocket (RFC 6455 section 4.2): checks the request and writes the
//! response.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use thiserror::Error;

use super::extension;

/// The parts of a request that [`verify`] checks; an absent header is `None`. Repeated headers are
/// joined with `, `, as Node does it.
#[derive(Debug, Default, Clone)]
pub struct UpgradeHeaders<'a> {
    /// The version of HTTP, such as `1.1`.
    pub http_version: &'a str,
    /// `Host`.
    pub host: Option<&'a str>,
    /// The number of `Host` headers. Node keeps only the first one.
    pub host_count: usize,
    /// `Upgrade`.
    pub upgrade: Option<&'a str>,
    /// `Connection`.
    pub connection: Option<&'a str>,
    /// `Sec-WebSocket-Key`.
    pub key: Option<&'a str>,
    /// `Sec-WebSocket-Version`.
    pub version: Option<&'a str>,
    /// `Sec-WebSocket-Protocol`: the subprotocols that the client offers.
    pub protocol: Option<&'a str>,
    /// `Transfer-Encoding`.
    pub transfer_encoding: Option<&'a str>,
    /// `Content-Length`.
    pub content_length: Option<&'a str>,
    /// `Sec-WebSocket-Extensions`, if the engine supports any.
    pub extensions: Option<&'a str>,
}

/// Why a request cannot become a WebSocket. The text is the body of the response with status 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UpgradeRefusal {
    /// Not HTTP/1.1, not exactly one `Host`, or the request has a body.
    #[error("Bad request")]
    Malformed,
    /// `Upgrade` is not `websocket`, or `Connection` does not contain `upgrade`.
    #[error("Invalid Upgrade header")]
    Upgrade,
    /// `Sec-WebSocket-Key` is not the base64 form of 16 bytes.
    #[error("Missing or invalid Sec-WebSocket-Key header")]
    Key,
    /// `Sec-WebSocket-Version` is not 13.
    #[error("Missing or invalid Sec-WebSocket-Version header")]
    Version,
    /// `Sec-WebSocket-Protocol` is not a list of different tokens.
    #[error("Invalid Sec-WebSocket-Protocol header")]
    Protocol,
    /// `Sec-WebSocket-Extensions` is not a list of extensions.
    #[error("Invalid or unacceptable Sec-WebSocket-Extensions header")]
    Extensions,
}

/// Checks an upgrade request.
///
/// # Errors
///
/// The first header that makes the opening handshake invalid.
pub fn verify(headers: &UpgradeHeaders<'_>) -> Result<(), UpgradeRefusal> {
    if headers.http_version != "1.1" || headers.host.is_none() || headers.host_count > 1 {
        return Err(UpgradeRefusal::Malformed);
    }
    // The bytes of a body would be read as frames.
    if headers.transfer_encoding.is_some() || headers.content_length.is_some_and(|n| n != "0") {
        return Err(UpgradeRefusal::Malformed);
    }
    if !headers.upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return Err(UpgradeRefusal::Upgrade);
    }
    let has_upgrade =
        |value: &str| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    if !headers.connection.is_some_and(has_upgrade) {
        return Err(UpgradeRefusal::Upgrade);
    }
    if !headers.key.is_some_and(is_nonce) {
        return Err(UpgradeRefusal::Key);
    }
    if headers.version != Some("13") {
        return Err(UpgradeRefusal::Version);
    }
    headers.protocol.map_or(Ok(()), verify_protocols)?;
    let extensions = headers.extensions.map_or(Ok(()), extension::verify);
    extensions.map_err(|_| UpgradeRefusal::Extensions)
}

/// Whether a key is the base64 form of 16 bytes.
fn is_nonce(key: &str) -> bool {
    let mut nonce = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut nonce) == Ok(16)
}

/// The value of `Sec-WebSocket-Accept` (RFC 6455 section 4.2.2).
fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

/// Checks that the offered subprotocols are tokens and differ from each other.
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

/// Whether the byte is a `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The head of the 101 response to a verified request. `key` and `protocol` are the request's; the
/// first subprotocol is chosen. `extensions` is the answer to the request's offers. `extra` consists of
/// complete header lines, each with its CRLF.
pub fn response(
    key: &str,
    protocol: Option<&str>,
    extensions: Option<&str>,
    extra: &str,
) -> String {
    let mut text = String::from(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    // Writing to a String cannot fail.
    let _ = write!(text, "Sec-WebSocket-Accept: {}\r\n", accept_key(key));
    if let Some(protocol) = protocol.and_then(|list| protocols(list).next()) {
        let _ = write!(text, "Sec-WebSocket-Protocol: {protocol}\r\n");
    }
    if let Some(extensions) = extensions {
        let _ = write!(text, "Sec-WebSocket-Extensions: {extensions}\r\n");
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
    fn accepts_the_example_of_the_rfc() {
        assert_eq!(verify(&sample()), Ok(()));
        let answer = response(sample().key.unwrap(), None, None, "X-A: 1\r\n");
        assert!(answer.ends_with("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-A: 1\r\n\r\n"));
    }

    #[test]
    fn refuses_missing_and_invalid_headers() {
        use UpgradeRefusal as R;
        let cases: [(UpgradeHeaders<'_>, R); 15] = [
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
            (UpgradeHeaders { extensions: Some("a;"), ..sample() }, R::Extensions),
        ];
        for (headers, refusal) in cases {
            assert_eq!(verify(&headers), Err(refusal), "{headers:?}");
        }
    }

    #[test]
    fn chooses_the_first_protocol() {
        let protocol = Some("chat.v2 , chat");
        assert_eq!(verify(&UpgradeHeaders { protocol, ..sample() }), Ok(()));
        let answer = response(sample().key.unwrap(), protocol, None, "");
        assert!(answer.ends_with("\r\nSec-WebSocket-Protocol: chat.v2\r\n\r\n"));
    }
}
