//! Engine.IO packets as text: a type digit and a body, or `b` and base64 for a binary message. A
//! WebSocket text message is one packet, a polling payload contains any number.
//! Source: Engine.IO protocol, revision 4.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose};
use thiserror::Error;

/// A decoded packet. Bodies borrow from the input; those that nothing reads are dropped.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0`: opens a session. Only servers send it.
    Open,
    /// `1`: closes the session.
    Close,
    /// `2` and a body: a heartbeat, or `probe`. Clients only send the latter.
    Ping(&'a [u8]),
    /// `3`: answers a ping.
    Pong,
    /// `4` and text, or `b` and base64: a message.
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
    /// Answers a probe.
    Pong = b'3',
    /// A text message.
    Message = b'4',
    /// Releases a parked GET during an upgrade.
    Noop = b'6',
}

/// The text is not a packet: it is empty, its type is unknown, or its base64 is invalid.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("invalid packet")]
pub struct InvalidPacket;

/// Decodes one packet.
///
/// # Errors
///
/// The text is not a packet.
pub fn decode(text: &[u8]) -> Result<Packet<'_>, InvalidPacket> {
    let (kind, body) = text.split_first().ok_or(InvalidPacket)?;
    Ok(match kind {
        b'4' => Packet::Message(Message::Text(Cow::Borrowed(body))),
        b'0' => Packet::Open,
        b'1' => Packet::Close,
        b'2' => Packet::Ping(body),
        b'3' => Packet::Pong,
        b'5' => Packet::Upgrade,
        b'6' => Packet::Noop,
        b'b' => Packet::Message(Message::Binary(Cow::Owned(decode_base64(body)?))),
        _ => return Err(InvalidPacket),
    })
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

/// Appends `b` and the base64 form of a binary message.
pub fn encode_binary(body: &[u8], out: &mut Vec<u8>) {
    out.push(b'b');
    let start = out.len();
    let room = body.len().div_ceil(3).saturating_mul(4);
    out.resize(start.saturating_add(room), 0);
    if let Some(space) = out.get_mut(start..) {
        let written = BASE64.encode_slice(body, space).unwrap_or(0);
        out.truncate(start.saturating_add(written));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_type() {
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
        assert_eq!(decode(b"bAQID"), Ok(Packet::Message(Message::Binary(vec![1, 2, 3].into()))));
        assert_eq!(decode(b"bAQ"), Ok(Packet::Message(Message::Binary(vec![1].into()))));
    }

    #[test]
    fn rejects_text_that_is_not_a_packet() {
        for text in [&b""[..], b"7", b"a", b"b!", b"bA", b"\xff"] {
            assert_eq!(decode(text), Err(InvalidPacket), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn binary_survives_base64(body: Vec<u8>) {
            let mut text = Vec::new();
            encode_binary(&body, &mut text);
            prop_assert_eq!(decode(&text), Ok(Packet::Message(Message::Binary(body.into()))));
        }

        #[test]
        fn never_panics(text: Vec<u8>) {
            let _ = decode(&text);
        }
    }
}
