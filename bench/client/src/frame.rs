//! WebSocket frames: masked ones out, unmasked ones in. Fragmented or compressed frames are faults,
//! since no server sends them with default options.

use crate::fault::{Fault, Result, excerpt};

/// One key for all frames, so that they can be prebuilt. Not zero: `ws` skips unmasking for a zero key.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn bits(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn parse(bits: u8) -> Option<Self> {
        [Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong]
            .into_iter()
            .find(|opcode| opcode.bits() == bits)
    }
}

/// A whole masked frame.
pub fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode.bits()];
    if let Ok(short @ 0..=125) = u8::try_from(payload.len()) {
        frame.push(0x80 | short);
    } else if let Ok(medium) = u16::try_from(payload.len()) {
        frame.push(0x80 | 0x7e);
        frame.extend_from_slice(&medium.to_be_bytes());
    } else {
        frame.push(0x80 | 0x7f);
        frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    frame
}

/// A whole masked frame with constant content, six bytes longer than its payload.
pub const fn short<const P: usize, const F: usize>(opcode: Opcode, payload: [u8; P]) -> [u8; F] {
    assert!(P <= 125 && F == P + 6);
    let mut frame = [0; F];
    frame[0] = 0x80 | opcode.bits();
    #[expect(clippy::cast_possible_truncation, reason = "at most 125, asserted above")]
    let length = P as u8;
    frame[1] = 0x80 | length;
    let mut at = 0;
    while at < 4 {
        frame[2 + at] = MASK[at];
        at += 1;
    }
    at = 0;
    while at < P {
        frame[6 + at] = payload[at] ^ MASK[at % 4];
        at += 1;
    }
    frame
}

/// Overwrites part of a prebuilt frame's payload; `at` counts from the start of the payload.
pub fn patch(payload: &mut [u8], at: usize, plain: &[u8]) {
    for (offset, byte) in plain.iter().enumerate() {
        payload[at + offset] = byte ^ MASK[(at + offset) % 4];
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub opcode: Opcode,
    /// The length of the header itself.
    pub size: usize,
    pub length: usize,
}

impl Header {
    /// `None` while it is incomplete.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let [first, second, more @ ..] = bytes else { return Ok(None) };
        let refused = || Fault::peer(format!("unexpected frame {}", excerpt(bytes)));
        // Final, without reserved bits, unmasked.
        if first & 0xf0 != 0x80 || second & 0x80 != 0 {
            return Err(refused());
        }
        let opcode = Opcode::parse(first & 0x0f).ok_or_else(refused)?;
        let (size, length) = match second {
            126 => match more.first_chunk() {
                Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
                None => return Ok(None),
            },
            127 => match more.first_chunk() {
                Some(length) => {
                    (10, usize::try_from(u64::from_be_bytes(*length)).map_err(|_| refused())?)
                }
                None => return Ok(None),
            },
            length => (2, usize::from(*length)),
        };
        Ok(Some(Self { opcode, size, length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_frame_is_the_payload_under_the_key() {
        let frame = masked(Opcode::Text, b"Hello");
        assert_eq!(frame, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(frame[..], short::<5, 11>(Opcode::Text, *b"Hello"));
    }

    #[test]
    fn patching_equals_masking_the_patched_text() {
        let mut frame = masked(Opcode::Text, b"abcdefgh");
        patch(&mut frame[6..], 3, b"XY");
        assert_eq!(frame, masked(Opcode::Text, b"abcXYfgh"));
    }

    #[test]
    fn headers_of_all_three_lengths_parse_once_complete() {
        for (bytes, size, length) in [
            (&[0x81, 5][..], 2, 5),
            (&[0x82, 126, 1, 0], 4, 256),
            (&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 10, 65536),
        ] {
            let header = Header::parse(bytes).unwrap().unwrap();
            assert_eq!((header.size, header.length), (size, length));
            assert!(Header::parse(&bytes[..bytes.len() - 1]).unwrap().is_none());
        }
    }

    #[test]
    fn masked_fragmented_or_compressed_frames_are_refused() {
        for first_two in [[0x81, 0x85], [0x01, 5], [0xc1, 5]] {
            assert!(Header::parse(&first_two).is_err());
        }
    }
}
