//! Frame headers (RFC 6455 section 5.2) and masking (section 5.3).

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
pub use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::Violation;

/// The length in bytes of the longest header: two bytes, a 64-bit payload length, the mask.
pub const MAX_HEADER: usize = 14;
/// The length in bytes of the longest payload of a control frame (RFC 6455 section 5.5).
pub const MAX_CONTROL: u64 = 125;

/// The header of a client's frame. It satisfies every rule that the header alone can violate.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// The kind of frame.
    pub opcode: OpCode,
    /// The FIN bit: no further frame of the message follows.
    pub is_final: bool,
    /// The RSV1 bit, on the first frame of a message: the message is compressed (RFC 7692 section
    /// 6). Only allowed if permessage-deflate was negotiated, which the header does not show.
    pub is_compressed: bool,
    /// The masking key.
    pub mask: [u8; 4],
    /// The length of the payload in bytes.
    pub payload: u64,
    /// The length of the header itself in bytes.
    pub size: usize,
}

/// Parses a header; `None` when more bytes are needed.
///
/// # Errors
///
/// The rule that the header violates.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let mut cursor = Cursor::new(bytes);
    let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Violation::Opcode)?;
    let Some((header, payload)) = parsed else { return Ok(None) };
    let begins_message = matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
    if header.rsv2 || header.rsv3 || (header.rsv1 && !begins_message) {
        return Err(Violation::ReservedBits);
    }
    let mask = header.mask.ok_or(Violation::Unmasked)?;
    if matches!(header.opcode, OpCode::Control(_)) {
        if !header.is_final {
            return Err(Violation::FragmentedControl);
        }
        if payload > MAX_CONTROL {
            return Err(Violation::LongControl);
        }
    }
    let size = usize::try_from(cursor.position()).unwrap_or(MAX_HEADER);
    if payload > i64::MAX.unsigned_abs() || size != minimal_size(payload) {
        return Err(Violation::LengthNotMinimal);
    }
    Ok(Some(Header {
        opcode: header.opcode,
        is_final: header.is_final,
        is_compressed: header.rsv1,
        mask,
        payload,
        size,
    }))
}

/// The length in bytes of the shortest masked header for a payload.
fn minimal_size(payload: u64) -> usize {
    match payload {
        0..=125 => 6,
        126..=65_535 => 8,
        _ => MAX_HEADER,
    }
}

/// The length in bytes of the unmasked frame that the bytes begin with, header included; `None` if
/// its header is incomplete.
pub fn extent(bytes: &[u8]) -> Option<usize> {
    let mut cursor = Cursor::new(bytes);
    let (_, payload) = FrameHeader::parse(&mut cursor).ok()??;
    usize::try_from(cursor.position().saturating_add(payload)).ok()
}

/// Appends the header of an unmasked, final frame.
pub fn write_header(opcode: OpCode, payload: usize, out: &mut Vec<u8>) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    // Writing to a Vec cannot fail.
    let _ = header.format(payload as u64, out);
}

/// Appends the header of an unmasked, final frame with a compressed message.
pub fn write_compressed_header(opcode: OpCode, payload: usize, out: &mut Vec<u8>) {
    let header = FrameHeader { opcode, rsv1: true, ..FrameHeader::default() };
    // Writing to a Vec cannot fail.
    let _ = header.format(payload as u64, out);
}

/// Removes the mask in place, eight bytes per step. Returns the mask rotated to the next byte of
/// the payload.
pub fn unmask(bytes: &mut [u8], mask: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut steps = bytes.chunks_exact_mut(8);
    for step in &mut steps {
        if let Ok(word) = <[u8; 8]>::try_from(&*step) {
            step.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
        }
    }
    let tail = steps.into_remainder();
    let rotation = tail.len() % 4;
    for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c, d]) {
        *byte ^= key;
    }
    let mut next = mask;
    next.rotate_left(rotation);
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rejects_headers_that_violate_a_rule() {
        let violation = |bytes: &[u8]| parse(bytes).unwrap_err();
        assert_eq!(violation(&[0x81, 0x00]), Violation::Unmasked);
        for first in [0xc0, 0xc9, 0xa1, 0x91, 0xf1] {
            assert_eq!(violation(&[first, 0x80, 0, 0, 0, 0]), Violation::ReservedBits);
        }
        assert!(parse(&[0xc1, 0x80, 0, 0, 0, 0]).unwrap().unwrap().is_compressed);
        assert_eq!(violation(&[0x83, 0x80, 0, 0, 0, 0]), Violation::Opcode);
        assert_eq!(violation(&[0x09, 0x80, 0, 0, 0, 0]), Violation::FragmentedControl);
        assert_eq!(violation(&[0x89, 0xfe, 0, 126, 0, 0, 0, 0]), Violation::LongControl);
        assert_eq!(violation(&[0x81, 0xfe, 0, 125, 0, 0, 0, 0]), Violation::LengthNotMinimal);
        let mut long = vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0];
        long.extend([0; 4]);
        assert_eq!(violation(&long), Violation::LengthNotMinimal);
        assert!(parse(&[0x81]).unwrap().is_none());
        assert!(parse(&[0x81, 0xfe, 0]).unwrap().is_none());
        assert_eq!(parse(&[0x81, 0x85, 1, 2, 3, 4]).unwrap().unwrap().payload, 5);
    }

    proptest! {
        #[test]
        fn unmasking_in_pieces_equals_unmasking_at_once(
            bytes: Vec<u8>, mask: [u8; 4], at: prop::sample::Index
        ) {
            let mut whole = bytes.clone();
            unmask(&mut whole, mask);
            let mut pieces = bytes.clone();
            let (left, right) = pieces.split_at_mut(if bytes.is_empty() { 0 } else { at.index(bytes.len()) });
            let next = unmask(left, mask);
            unmask(right, next);
            prop_assert_eq!(&whole, &pieces);
            let plain: Vec<u8> =
                bytes.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
            prop_assert_eq!(whole, plain);
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
