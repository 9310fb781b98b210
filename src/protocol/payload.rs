//! Engine.IO v4 polling payloads: packets joined by the record separator.

/// Stands between two packets of a payload.
pub const SEPARATOR: u8 = 0x1e;

/// The packets of a payload, undecoded, in order. An empty payload is one empty (so invalid)
/// packet, as in engine.io-parser.
pub fn split(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == SEPARATOR)
}

/// Makes a body valid UTF-8 in the way Node's `Buffer.toString()` does: each broken sequence
/// becomes U+FFFD.
pub fn repair_utf8(body: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(body) {
        Ok(text) => text.into_bytes(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_separator() {
        let parts: Vec<_> = split(b"4a\x1ebAQ==\x1e2").collect();
        assert_eq!(parts, [&b"4a"[..], b"bAQ==", b"2"]);
        assert_eq!(split(b"").collect::<Vec<_>>(), [&b""[..]]);
        assert_eq!(split(b"\x1e").count(), 2);
    }

    #[test]
    fn repairs_broken_utf8() {
        assert_eq!(repair_utf8(b"4a\xffb".to_vec()), "4a\u{fffd}b".as_bytes());
        assert_eq!(repair_utf8("4\u{20ac}".into()), "4\u{20ac}".as_bytes());
    }
}
