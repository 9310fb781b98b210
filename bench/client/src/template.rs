//! Messages that differ only in a stamp: the connection, and the sequence number. Everything else
//! is prebuilt, for sending and for comparing.

use crate::fault::{Fault, Result, excerpt};
use crate::frame::{Opcode, masked, patch};
use crate::socket::Outbox;

/// The length of a stamp: four hexadecimal digits for the connection, eight for the sequence
/// number.
pub const STAMP: usize = 12;

pub type Stamp = [u8; STAMP];

pub fn stamp(connection: u16, sequence: u32) -> Stamp {
    let bytes = connection.to_be_bytes().into_iter().chain(sequence.to_be_bytes());
    let mut digits = [0; STAMP];
    for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]);
    }
    digits
}

/// Describes a message that is not the expected one.
pub fn mismatch(what: &str, connection: usize, expected: Stamp, got: &[u8]) -> Fault {
    let expected = String::from_utf8_lossy(&expected).into_owned();
    Fault::Verify(format!(
        "{what} lost, doubled, reordered or changed at connection {connection}: \
         expected stamp {expected}, got {}",
        excerpt(got)
    ))
}

/// A Socket.IO event with one string argument, with the stamp at the start of the argument.
pub struct Template {
    plain: Vec<u8>,
    /// `plain` as a masked frame.
    frame: Vec<u8>,
    /// The position of the stamp in `plain`.
    at: usize,
}

impl Template {
    /// `size` is the length of the argument.
    pub fn event(name: &str, size: usize) -> Result<Self> {
        let filler = size
            .checked_sub(STAMP)
            .ok_or_else(|| Fault::Usage(format!("--size is {STAMP} or more")))?;
        let head = format!(r#"42["{name}",""#);
        let plain = format!(r#"{head}{}{}"]"#, "0".repeat(STAMP), "x".repeat(filler)).into_bytes();
        Ok(Self { frame: masked(Opcode::Text, &plain), at: head.len(), plain })
    }

    /// The packet, stamped with zeros.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// The position of the stamp in the packet.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Appends the masked frame with this stamp.
    pub fn push(&self, outbox: &mut Outbox, stamp: Stamp) {
        outbox.push(&self.frame);
        patch(outbox.last(self.plain.len()), self.at, &stamp);
    }

    pub fn matches(&self, packet: &[u8], stamp: Stamp) -> bool {
        let (at, end) = (self.at, self.at + STAMP);
        packet.len() == self.plain.len()
            && packet[at..end] == stamp
            && packet[end..] == self.plain[end..]
            && packet[..at] == self.plain[..at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_connection_and_sequence_in_hex() {
        assert_eq!(&stamp(0x12a, 0xbeef), b"012a0000beef");
    }

    #[test]
    fn only_the_same_stamp_and_text_match() {
        let template = Template::event("echo", 16).unwrap();
        assert_eq!(template.plain(), br#"42["echo","000000000000xxxx"]"#);
        assert!(template.matches(br#"42["echo","000100000002xxxx"]"#, stamp(1, 2)));
        assert!(!template.matches(br#"42["echo","000100000002xxxx"]"#, stamp(1, 3)));
        assert!(!template.matches(br#"42["echo","000100000002xxxy"]"#, stamp(1, 2)));
        assert!(!template.matches(br#"42["echo","000100000002xxx"]"#, stamp(1, 2)));
    }
}
