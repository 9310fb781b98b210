//! Engine.IO v4 polling payloads: packets joined by the record separator.

/// The record separator between two packets of a payload.
pub const SEPARATOR: u8 = 0x1e;

/// The unhandled packets of received payloads. As in engine.io-parser, an empty payload is one
/// empty packet, which is invalid.
#[derive(Debug, Default)]
pub struct Backlog {
    bytes: Vec<u8>,
    /// The offset of the next packet; `None` when all have been taken.
    next: Option<usize>,
}

impl Backlog {
    /// Whether all packets have been taken.
    pub fn is_empty(&self) -> bool {
        self.next.is_none()
    }

    /// Allocated memory in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends a payload.
    pub fn push(&mut self, payload: Vec<u8>) {
        let Some(next) = self.next else {
            *self = Self { bytes: payload, next: Some(0) };
            return;
        };
        self.bytes.drain(..next.min(self.bytes.len()));
        self.next = Some(0);
        self.bytes.push(SEPARATOR);
        self.bytes.extend_from_slice(&payload);
    }

    /// Takes the next packet, undecoded.
    pub fn take(&mut self) -> Option<&[u8]> {
        let rest = self.bytes.get(self.next?..)?;
        let end = rest.iter().position(|byte| *byte == SEPARATOR);
        self.next = match (end, self.next) {
            (Some(end), Some(next)) => Some(next.saturating_add(end).saturating_add(1)),
            (None, _) | (_, None) => None,
        };
        rest.get(..end.unwrap_or(rest.len()))
    }
}

/// Makes a body valid UTF-8 like Node's `Buffer.toString()`: each invalid sequence becomes U+FFFD.
pub fn repair_utf8(body: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(body) {
        Ok(text) => text.into_bytes(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(backlog: &mut Backlog) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| backlog.take().map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn splits_at_the_separator() {
        let cases: [(&[u8], &[&[u8]]); 4] = [
            (b"4a\x1ebAQ==\x1e2", &[b"4a", b"bAQ==", b"2"]),
            (b"", &[b""]),
            (b"\x1e", &[b"", b""]),
            (b"4a\x1e", &[b"4a", b""]),
        ];
        for (payload, expected) in cases {
            let mut backlog = Backlog::default();
            backlog.push(payload.to_vec());
            assert!(!backlog.is_empty());
            assert_eq!(packets(&mut backlog), expected);
            assert!(backlog.is_empty());
        }
    }

    #[test]
    fn reads_payloads_one_after_the_other() {
        let mut backlog = Backlog::default();
        backlog.push(b"4a\x1e4b".to_vec());
        assert_eq!(backlog.take(), Some(&b"4a"[..]));
        backlog.push(b"4c".to_vec());
        assert_eq!(packets(&mut backlog), [b"4b", b"4c"]);
        backlog.push(b"4d".to_vec());
        assert_eq!(packets(&mut backlog), [b"4d"]);
    }

    #[test]
    fn repairs_invalid_utf8() {
        assert_eq!(repair_utf8(b"4a\xffb".to_vec()), "4a\u{fffd}b".as_bytes());
        assert_eq!(repair_utf8("4\u{20ac}".into()), "4\u{20ac}".as_bytes());
    }
}
