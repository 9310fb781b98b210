//! Packets. A decoded packet matches its text, and a binary message survives encoding.

use upwire::protocol::packet::{Message, Packet, decode, decode_bytes, encode_base64};
use upwire::protocol::revision::{Dialect, Revision};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub fn check(data: &[u8]) {
    for revision in [Revision::V3, Revision::V4] {
        let dialect = Dialect { revision, base64: true };
        let mut encoded = Vec::new();
        encode_base64(data, dialect, &mut encoded);
        assert_eq!(encoded.len(), dialect.base64_prefix().len() + data.len().div_ceil(3) * 4);
        let message = Ok(Packet::Message(Message::Binary(data.into())));
        assert_eq!(decode(&encoded, revision), message);
        let bytes = [dialect.binary_prefix(), data].concat();
        assert!(revision == Revision::V4 || decode_bytes(&bytes) == message);
    }
    check_revision_3(data);

    let Ok(packet) = decode(data, Revision::V4) else {
        assert!(data.first().is_none_or(|kind| !b"0123456".contains(kind)));
        return;
    };
    match (packet, data[0]) {
        (Packet::Message(Message::Text(body)), b'4') => assert_eq!(&*body, &data[1..]),
        (Packet::Ping(body), b'2') => assert_eq!(body, &data[1..]),
        (Packet::Message(Message::Binary(body)), b'b') => {
            let unpadded = data[1..].split(|byte| *byte == b'=').next().unwrap_or(&[]);
            assert_eq!(base64(&body), unpadded);
            assert!(data[1 + unpadded.len()..].iter().all(|byte| *byte == b'='));
        }
        (Packet::Open, b'0')
        | (Packet::Close, b'1')
        | (Packet::Pong, b'3')
        | (Packet::Upgrade, b'5')
        | (Packet::Noop, b'6') => {}
        (packet, kind) => panic!("type {kind} was decoded as {packet:?}"),
    }
}

/// The revisions differ in `b`, and revision 3 has packets of bytes.
fn check_revision_3(data: &[u8]) {
    let text = decode(data, Revision::V3);
    match data {
        [b'b'] => assert!(text.is_err(), "the type is missing"),
        [b'b', kind, ..] => assert!(text.is_err() || b"0123456".contains(kind)),
        _ => assert_eq!(text, decode(data, Revision::V4)),
    }
    let is_packet = data.first().is_some_and(|kind| *kind <= 6);
    match decode_bytes(data) {
        Ok(Packet::Message(Message::Binary(body))) => assert_eq!([&[4], &*body].concat(), data),
        bytes => assert_eq!(bytes.is_ok(), is_packet),
    }
}

/// A second implementation of base64, without padding.
pub fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        out.extend((0..=group.len()).map(|n| ALPHABET[(bits >> (18 - 6 * n)) as usize & 63]));
    }
    out
}

/// Decodes base64 with or without padding.
pub fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.iter().filter(|byte| **byte != b'=') {
        let value = ALPHABET.iter().position(|known| known == byte)?;
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}
