//! The bytes of a client, and a parser for those of a server.

/// A masked frame. `first` is its first byte: FIN, RSV and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xffff => {
            bytes.push(0xfe);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0xff);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerFrame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// Parses the bytes of a server. Returns the complete frames and the number of bytes after them.
/// Panics at anything a server must not send: masks, fragments, lengths that are not minimal.
pub fn read_frames(mut bytes: &[u8]) -> (Vec<ServerFrame>, usize) {
    let mut frames = Vec::new();
    while let Some((opcode, payload, rest)) = split_frame(bytes) {
        frames.push(ServerFrame { opcode, payload: payload.to_vec() });
        bytes = rest;
    }
    (frames, bytes.len())
}

fn split_frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let opcode = first & 0x0f;
    assert_eq!(first & 0xf0, 0x80, "a frame is fragmented or has reserved bits");
    assert!(matches!(opcode, 1 | 2 | 8 | 9 | 10), "opcode {opcode}");
    let (length, rest) = match second {
        126 => {
            rest.split_first_chunk().map(|(n, rest)| (u64::from(u16::from_be_bytes(*n)), rest))?
        }
        127 => rest.split_first_chunk().map(|(n, rest)| (u64::from_be_bytes(*n), rest))?,
        short => (u64::from(short), rest),
    };
    let least = match second {
        126 => 126,
        127 => 65_536,
        _ => 0,
    };
    assert!(second < 128 && length >= least, "a frame is masked, or its length is not minimal");
    assert!(opcode < 8 || length < 126, "a control frame is too long");
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).unwrap())?;
    Some((opcode, payload, rest))
}
