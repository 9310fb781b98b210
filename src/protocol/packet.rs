//! Engine.IO packets. As text: a type digit and a body, or `b` and base64 for a binary message, with
//! the type between the two in revision 3. As bytes, in revision 3: the type and a body. A WebSocket
//! message is one packet, a polling payload contains any number.
//! Source: Engine.IO protocol, revisions 3 and 4.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose};
use thiserror::Error;

use super::revision::{Dialect, Revision};

/// A decoded packet. Bodies borrow from the input; those that nothing reads are dropped.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0`: opens a session. Only servers send it.
    Open,
    /// `1`: closes the session.
    Close,
    /// `2` and a body: a heartbeat, or `probe`. In revision 4 clients only send the latter.
    Ping(&'a [u8]),
    /// `3`: answers a ping.
    Pong,
    /// `4` and text, or a binary message in any form.
    Message(Message<'a>),
    /// `5`: completes an upgrade.
    Upgrade,
    /// `6`: releases a parked GET during an upgrade. Only servers send it.
    Noop,
}

/// The body of a message packet.
#[derive(Debug, PartialEq, Eq, Clone)]
pub enum Message<'a> {
    /// Text, known to be UTF-8 when it comes from a session.
    Text(Cow<'a, [u8]>),
    /// Arbitrary bytes.
    Binary(Cow<'a, [u8]>),
}

impl Message<'_> {
    /// The length of the body in bytes.
    pub fn len(&self) -> usize {
        match self {
            Message::Text(body) | Message::Binary(body) => body.len(),
        }
    }

    /// Whether the body is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The type digits of the packets that a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PacketType {
    /// Opens a session; the body is JSON.
    Open = b'0',
    /// Closes the session.
    Close = b'1',
    /// A heartbeat.
    Ping = b'2',
    /// Answers a probe, and in revision 3 a heartbeat.
    Pong = b'3',
    /// A text message.
    Message = b'4',
    /// Releases a parked GET during an upgrade.
    Noop = b'6',
}

/// The input is not a packet: it is empty, its type is unknown, or its base64 is invalid.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("invalid packet")]
pub struct InvalidPacket;

/// Decodes a packet that is text.
///
/// # Errors
///
/// The text is not a packet.
pub fn decode(text: &[u8], revision: Revision) -> Result<Packet<'_>, InvalidPacket> {
    let (kind, body) = text.split_first().ok_or(InvalidPacket)?;
    match (kind, revision) {
        (b'b', Revision::V4) => Ok(binary_message(decode_base64(body)?.into())),
        (b'b', Revision::V3) => {
            let (kind, body) = body.split_first().ok_or(InvalidPacket)?;
            // Also for the types without a use for the body: it has to be valid.
            let body = decode_base64(body)?;
            if *kind == b'4' { Ok(binary_message(body.into())) } else { typed(*kind, b"") }
        }
        (b'4', _) => Ok(Packet::Message(Message::Text(Cow::Borrowed(body)))),
        (kind, _) => typed(*kind, body),
    }
}

/// Decodes a packet of revision 3 that is bytes: its type, as a number, and its body.
///
/// # Errors
///
/// The bytes are not a packet.
pub fn decode_bytes(bytes: &[u8]) -> Result<Packet<'_>, InvalidPacket> {
    match bytes.split_first().ok_or(InvalidPacket)? {
        (4, body) => Ok(binary_message(Cow::Borrowed(body))),
        (kind @ 0..=6, body) => typed(kind.saturating_add(b'0'), body),
        _ => Err(InvalidPacket),
    }
}

fn binary_message(body: Cow<'_, [u8]>) -> Packet<'_> {
    Packet::Message(Message::Binary(body))
}

/// A packet other than a message, by the digit of its type.
fn typed(kind: u8, body: &[u8]) -> Result<Packet<'_>, InvalidPacket> {
    match kind {
        b'0' => Ok(Packet::Open),
        b'1' => Ok(Packet::Close),
        b'2' => Ok(Packet::Ping(body)),
        b'3' => Ok(Packet::Pong),
        b'5' => Ok(Packet::Upgrade),
        b'6' => Ok(Packet::Noop),
        _ => Err(InvalidPacket),
    }
}

/// Padding is optional, because some clients omit it.
const BASE64: general_purpose::GeneralPurpose = general_purpose::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    general_purpose::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

fn decode_base64(body: &[u8]) -> Result<Vec<u8>, InvalidPacket> {
    BASE64.decode(body).map_err(|_| InvalidPacket)
}

/// Appends the base64 form of a binary message.
pub fn encode_base64(body: &[u8], dialect: Dialect, out: &mut Vec<u8>) {
    out.extend_from_slice(dialect.base64_prefix());
    let start = out.len();
    out.resize(start.saturating_add(base64_len(body)), 0);
    if let Some(space) = out.get_mut(start..) {
        let written = BASE64.encode_slice(body, space).unwrap_or(0);
        out.truncate(start.saturating_add(written));
    }
}

/// The length of the base64 form of a body, without a prefix.
pub fn base64_len(body: &[u8]) -> usize {
    body.len().div_ceil(3).saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V3: Dialect = Dialect { revision: Revision::V3, base64: false };

    fn binary(body: &[u8]) -> Packet<'_> {
        binary_message(Cow::Borrowed(body))
    }

    #[test]
    fn reads_every_type() {
        for revision in [Revision::V3, Revision::V4] {
            let decode = |text| decode(text, revision);
            assert_eq!(decode(b"0"), Ok(Packet::Open));
            assert_eq!(decode(b"1"), Ok(Packet::Close));
            assert_eq!(decode(b"2probe"), Ok(Packet::Ping(b"probe")));
            assert_eq!(decode(b"3"), Ok(Packet::Pong));
            assert_eq!(
                decode("4h\u{e9}".as_bytes()),
                Ok(Packet::Message(Message::Text("h\u{e9}".as_bytes().into())))
            );
            assert_eq!(decode(b"5"), Ok(Packet::Upgrade));
            assert_eq!(decode(b"6"), Ok(Packet::Noop));
        }
    }

    #[test]
    fn reads_base64() {
        assert_eq!(decode(b"bAQID", Revision::V4), Ok(binary(&[1, 2, 3])));
        assert_eq!(decode(b"bAQ", Revision::V4), Ok(binary(&[1])));
        assert_eq!(decode(b"b4AQID", Revision::V3), Ok(binary(&[1, 2, 3])));
        assert_eq!(decode(b"b4", Revision::V3), Ok(binary(&[])));
        assert_eq!(decode(b"b3AQID", Revision::V3), Ok(Packet::Pong));
    }

    #[test]
    fn reads_bytes_with_a_type() {
        assert_eq!(decode_bytes(&[4, 1, 2]), Ok(binary(&[1, 2])));
        assert_eq!(decode_bytes(&[4]), Ok(binary(&[])));
        assert_eq!(decode_bytes(&[2, 7]), Ok(Packet::Ping(&[7])));
        assert_eq!(decode_bytes(&[6]), Ok(Packet::Noop));
        for bytes in [&[][..], &[7], &[b'4', 1], &[255]] {
            assert_eq!(decode_bytes(bytes), Err(InvalidPacket), "{bytes:?}");
        }
    }

    #[test]
    fn rejects_text_that_is_not_a_packet() {
        for text in [&b""[..], b"7", b"a", b"b!", b"bA", b"b4!", b"\xff"] {
            assert_eq!(decode(text, Revision::V4), Err(InvalidPacket), "{text:?}");
            assert_eq!(decode(text, Revision::V3), Err(InvalidPacket), "{text:?}");
        }
        for text in [&b"b"[..], b"b7AQID", b"bbAQID", b"b4A"] {
            assert_eq!(decode(text, Revision::V3), Err(InvalidPacket), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn binary_survives_base64(body: Vec<u8>) {
            for dialect in [V3, Dialect::default()] {
                let mut text = Vec::new();
                encode_base64(&body, dialect, &mut text);
                prop_assert_eq!(text.len(), dialect.base64_prefix().len() + base64_len(&body));
                prop_assert_eq!(decode(&text, dialect.revision), Ok(binary(&body)));
            }
        }

        #[test]
        fn never_panics(text: Vec<u8>) {
            let _ = decode(&text, Revision::V3);
            let _ = decode(&text, Revision::V4);
            let _ = decode_bytes(&text);
        }
    }
}
