//! Polling payloads: the packets of one GET's answer or one POST's body. There are three forms:
//!
//! | Form | Revision | A packet |
//! |---|---|---|
//! | separated text | 4 | followed by the record separator, unless it is the last |
//! | counted text | 3 | `<length>:<packet>`, with the length in UTF-16 code units |
//! | counted bytes | 3 | `0` for text or `1` for bytes, the digits of the length in bytes, 255, the packet |
//!
//! [`PayloadFormat`] writes them, [`Backlog`] reads them. Neither allocates by a declared length.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use super::jsonp::Callback;
use super::packet::{self, InvalidPacket, PacketType};
use super::revision::{Dialect, Revision};

/// The record separator between two packets of separated text.
pub const SEPARATOR: u8 = 0x1e;

/// The byte that ends the length of a packet in counted bytes.
const END_OF_LENGTH: u8 = 255;

/// The memory in bytes that a waiting POST is charged beyond its body.
const POST_COST: usize = 64;

/// How a polling session writes its payloads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PayloadFormat {
    /// The revision, and whether binary messages become base64 text.
    pub dialect: Dialect,
    /// The function that answers call, if the session polls with JSONP.
    pub callback: Option<Callback>,
}

/// A written payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Text, known to be UTF-8 if all messages are.
    Text(Vec<u8>),
    /// Counted bytes.
    Bytes(Vec<u8>),
}

impl Payload {
    /// The length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Payload::Text(bytes) | Payload::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PayloadFormat {
    /// Whether a payload with a binary message is written as bytes instead of text.
    pub fn has_bytes(&self) -> bool {
        match self.dialect {
            Dialect { revision: Revision::V3, base64: false } => self.callback.is_none(),
            Dialect { .. } => false,
        }
    }

    /// The payload with a packet that has no body.
    pub fn single(&self, kind: PacketType) -> Payload {
        self.single_with(kind, b"")
    }

    /// The payload with one packet that is text.
    pub fn single_with(&self, kind: PacketType, body: &[u8]) -> Payload {
        let mut writer = Writer::new(self, false, body.len());
        writer.text(kind, body);
        writer.finish()
    }
}

/// Writes one payload.
#[derive(Debug)]
pub struct Writer<'a> {
    format: &'a PayloadFormat,
    /// Whether the payload is counted bytes.
    is_bytes: bool,
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// An empty payload. `is_bytes` is only allowed if the format [has bytes](PayloadFormat::has_bytes).
    /// `room` is about how many bytes it will have.
    pub fn new(format: &'a PayloadFormat, is_bytes: bool, room: usize) -> Self {
        Self { format, is_bytes, out: Vec::with_capacity(room) }
    }

    /// Appends a packet that is text.
    pub fn text(&mut self, kind: PacketType, body: &[u8]) {
        let length = if self.is_bytes { body.len() } else { self.count_text(body) };
        self.begin(false, length.saturating_add(1));
        self.out.push(kind as u8);
        self.out.extend_from_slice(body);
    }

    /// Appends a binary message.
    pub fn binary(&mut self, body: &[u8]) {
        let dialect = self.format.dialect;
        if self.is_bytes {
            let prefix = dialect.binary_prefix();
            self.begin(true, body.len().saturating_add(prefix.len()));
            self.out.extend_from_slice(prefix);
            self.out.extend_from_slice(body);
        } else {
            let prefix = dialect.base64_prefix().len();
            self.begin(false, packet::base64_len(body).saturating_add(prefix));
            packet::encode_base64(body, dialect, &mut self.out);
        }
    }

    /// The length of a text in counted text; separated text needs none.
    fn count_text(&self, body: &[u8]) -> usize {
        match self.format.dialect.revision {
            Revision::V3 => utf16_len(body),
            Revision::V4 => 0,
        }
    }

    /// Writes what precedes a packet.
    fn begin(&mut self, is_binary: bool, length: usize) {
        match self.format.dialect.revision {
            Revision::V4 => {
                if !self.out.is_empty() {
                    self.out.push(SEPARATOR);
                }
            }
            Revision::V3 if self.is_bytes => {
                self.out.push(u8::from(is_binary));
                let digits = length.to_string();
                self.out.extend(digits.bytes().map(|digit| digit.wrapping_sub(b'0')));
                self.out.push(END_OF_LENGTH);
            }
            Revision::V3 => {
                self.out.extend_from_slice(length.to_string().as_bytes());
                self.out.push(b':');
            }
        }
    }

    /// The payload.
    pub fn finish(self) -> Payload {
        match &self.format.callback {
            _ if self.is_bytes => Payload::Bytes(self.out),
            Some(callback) => Payload::Text(callback.call(&self.out)),
            None => Payload::Text(self.out),
        }
    }
}

/// The number of UTF-16 code units of a text that is UTF-8: one for each character, and another one
/// for each with four bytes.
fn utf16_len(text: &[u8]) -> usize {
    let units = |byte: &u8| match byte {
        0x80..=0xbf => 0,
        0xf0.. => 2,
        _ => 1,
    };
    text.iter().map(units).fold(0, usize::saturating_add)
}

/// A packet of a payload, not decoded.
#[derive(Debug, PartialEq, Eq)]
pub enum RawPacket<'a> {
    /// Text, known to be UTF-8.
    Text(Cow<'a, [u8]>),
    /// Bytes of revision 3.
    Bytes(&'a [u8]),
}

/// The form of a received payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Packets with separators; valid UTF-8.
    Separated,
    /// Packets with lengths in UTF-16 code units; valid UTF-8.
    Counted,
    /// Packets with lengths in bytes.
    CountedBytes,
}

/// A received payload.
#[derive(Debug)]
struct Post {
    bytes: Vec<u8>,
    form: Form,
    /// The offset of the next packet; `None` when all have been taken.
    next: Option<usize>,
}

/// The unhandled packets of received payloads. An empty payload is one empty packet, which is
/// invalid.
#[derive(Debug, Default)]
pub struct Backlog {
    posts: VecDeque<Post>,
}

impl Backlog {
    /// Whether all packets have been taken.
    pub fn is_empty(&self) -> bool {
        self.posts.iter().all(|post| post.next.is_none())
    }

    /// Allocated memory in bytes.
    pub fn capacity(&self) -> usize {
        let costs = self.posts.iter().map(|post| post.bytes.capacity().saturating_add(POST_COST));
        costs.fold(0, usize::saturating_add)
    }

    /// Appends a payload.
    pub fn push(&mut self, bytes: Vec<u8>, form: Form) {
        self.posts.push_back(Post { bytes, form, next: Some(0) });
    }

    /// Takes the next packet. Nothing that follows an error may be used: the session ends.
    ///
    /// # Errors
    ///
    /// A length is missing or wrong, or a text among bytes is not UTF-8.
    pub fn take(&mut self) -> Option<Result<RawPacket<'_>, InvalidPacket>> {
        loop {
            match self.posts.front_mut()?.advance() {
                Some(Ok((content, range))) => {
                    return self.posts.front().map(|post| post.packet(content, range));
                }
                Some(Err(invalid)) => return Some(Err(invalid)),
                None => self.posts.pop_front(),
            };
        }
    }
}

/// What a packet of a payload consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Text, known to be UTF-8.
    Text,
    /// Text that has not been checked.
    RawText,
    /// Bytes.
    Bytes,
}

/// Where the first packet of a payload is.
struct Extent {
    content: Content,
    /// The number of bytes in front of it.
    head: usize,
    /// Its length in bytes.
    length: usize,
    /// The number of bytes between it and the next packet; `None` if it is the last one.
    tail: Option<usize>,
}

impl Post {
    /// Finds the next packet and moves on behind it.
    fn advance(&mut self) -> Option<Result<(Content, Range<usize>), InvalidPacket>> {
        loop {
            let next = self.next.take()?;
            let rest = self.bytes.get(next..).unwrap_or(&[]);
            let found = match self.form {
                Form::Separated => Some(split_separated(rest)),
                Form::Counted => split_counted(rest),
                Form::CountedBytes => split_counted_bytes(rest),
            };
            let Some(Extent { content, head, length, tail }) = found else {
                return Some(Err(InvalidPacket));
            };
            let start = next.saturating_add(head);
            let end = start.saturating_add(length);
            self.next = tail.map(|tail| end.saturating_add(tail));
            // As in engine.io, whose encoder writes a payload without packets as `0:`.
            if self.form != Form::Counted || length > 0 {
                return Some(Ok((content, start..end)));
            }
        }
    }

    fn packet(
        &self,
        content: Content,
        range: Range<usize>,
    ) -> Result<RawPacket<'_>, InvalidPacket> {
        let packet = self.bytes.get(range).unwrap_or(&[]);
        match content {
            Content::Text => Ok(RawPacket::Text(packet.into())),
            Content::RawText => {
                replace_surrogates(packet).map(RawPacket::Text).ok_or(InvalidPacket)
            }
            Content::Bytes => Ok(RawPacket::Bytes(packet)),
        }
    }
}

fn split_separated(text: &[u8]) -> Extent {
    let end = text.iter().position(|byte| *byte == SEPARATOR);
    let length = end.unwrap_or(text.len());
    Extent { content: Content::Text, head: 0, length, tail: end.map(|_| 1) }
}

/// `None` if the text does not begin with a length, or the length ends within a character or behind
/// the text.
fn split_counted(text: &[u8]) -> Option<Extent> {
    let digits = text.iter().position(|byte| *byte == b':')?;
    let head = digits.checked_add(1)?;
    let units = number(text.get(..digits)?.iter().map(|byte| byte.wrapping_sub(b'0')))?;
    let rest = text.get(head..)?;
    let length = utf16_prefix(rest, units)?;
    let tail = (length < rest.len()).then_some(0);
    Some(Extent { content: Content::Text, head, length, tail })
}

/// `None` if the bytes do not begin with a tag and a length, or the length ends behind the bytes.
fn split_counted_bytes(bytes: &[u8]) -> Option<Extent> {
    let (tag, rest) = bytes.split_first()?;
    let content = match tag {
        0 => Content::RawText,
        1 => Content::Bytes,
        _ => return None,
    };
    let digits = rest.iter().position(|byte| *byte == END_OF_LENGTH)?;
    let head = digits.checked_add(2)?;
    let length = number(rest.get(..digits)?.iter().copied())?;
    let left = bytes.len().checked_sub(head)?.checked_sub(length)?;
    Some(Extent { content, head, length, tail: (left > 0).then_some(0) })
}

/// The number with these digits. A number that does not fit is larger than any payload.
fn number(digits: impl ExactSizeIterator<Item = u8>) -> Option<usize> {
    if digits.len() == 0 {
        return None;
    }
    let mut value: usize = 0;
    for digit in digits {
        if digit > 9 {
            return None;
        }
        value = value.saturating_mul(10).saturating_add(digit.into());
    }
    Some(value)
}

/// The length in bytes of the first `units` UTF-16 code units of a text.
fn utf16_prefix(text: &[u8], units: usize) -> Option<usize> {
    if text.get(..units)?.is_ascii() {
        return Some(units);
    }
    let mut left = units;
    let mut length: usize = 0;
    while left > 0 {
        let (bytes, units) = match text.get(length)? {
            ..0x80 => (1, 1),
            ..0xe0 => (2, 1),
            ..0xf0 => (3, 1),
            _ => (4, 2),
        };
        left = left.checked_sub(units)?;
        length = length.checked_add(bytes)?;
    }
    (length <= text.len()).then_some(length)
}

/// Checks that a text is UTF-8. The clients of revision 3 encode a lone surrogate as if it were a
/// character; as in engine.io, it becomes U+FFFD.
fn replace_surrogates(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if std::str::from_utf8(text).is_ok() {
        return Some(Cow::Borrowed(text));
    }
    let mut text = text.to_vec();
    let mut rest = text.as_mut_slice();
    while let Some(at) = rest.iter().position(|byte| *byte == 0xed) {
        rest = rest.get_mut(at..)?;
        if let [first, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, ..] = rest {
            [*first, *second, *third] = [0xef, 0xbf, 0xbd];
        }
        rest = rest.get_mut(1..)?;
    }
    std::str::from_utf8(&text).is_ok().then_some(Cow::Owned(text))
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
    use proptest::prelude::*;

    fn format(revision: Revision, base64: bool) -> PayloadFormat {
        PayloadFormat { dialect: Dialect { revision, base64 }, callback: None }
    }

    fn packets(backlog: &mut Backlog) -> Vec<Option<Vec<u8>>> {
        let mut packets = Vec::new();
        while let Some(taken) = backlog.take() {
            packets.push(taken.ok().map(|packet| match packet {
                RawPacket::Text(text) => text.into_owned(),
                RawPacket::Bytes(bytes) => bytes.to_vec(),
            }));
        }
        packets
    }

    /// Checks the packets of a payload; `None` is an error.
    fn check(form: Form, payload: &[u8], expected: &[Option<&[u8]>]) {
        let mut backlog = Backlog::default();
        backlog.push(payload.to_vec(), form);
        assert!(!backlog.is_empty());
        let expected: Vec<_> = expected.iter().map(|packet| packet.map(<[u8]>::to_vec)).collect();
        assert_eq!(packets(&mut backlog), expected, "{form:?} {payload:?}");
        assert!(backlog.is_empty());
    }

    #[test]
    fn splits_at_the_separator() {
        let check = |payload: &[u8], expected: &[Option<&[u8]>]| {
            check(Form::Separated, payload, expected);
        };
        check(b"4a\x1ebAQ==\x1e2", &[Some(b"4a"), Some(b"bAQ=="), Some(b"2")]);
        check(b"", &[Some(b"")]);
        check(b"\x1e", &[Some(b""), Some(b"")]);
        check(b"4a\x1e", &[Some(b"4a"), Some(b"")]);
    }

    #[test]
    fn splits_counted_text() {
        let check = |payload: &str, expected: &[Option<&str>]| {
            let expected: Vec<_> =
                expected.iter().map(|packet| packet.map(str::as_bytes)).collect();
            check(Form::Counted, payload.as_bytes(), &expected);
        };
        check("2:4a6:b4AQ==1:2", &[Some("4a"), Some("b4AQ=="), Some("2")]);
        check("0:", &[]);
        check("0:2:4a0:", &[Some("4a")]);
        check("3:4\u{1f600}2:4b", &[Some("4\u{1f600}"), Some("4b")]);
        check("4:4\u{20ac}\u{e9}a1:2", &[Some("4\u{20ac}\u{e9}a"), Some("2")]);
        check("002:4a", &[Some("4a")]);
        for invalid in ["", ":", "2", "a", "2:4", "-1:4", "1e0:4", "0x1:4", " 1:4", "+1:4", "1.0:4"]
        {
            check(invalid, &[None]);
        }
        check("1:4:", &[Some("4"), None]);
        check("2:4a3:4b", &[Some("4a"), None]);
        check("2:4a3", &[Some("4a"), None]);
        check("2:4\u{1f600}", &[None]);
        check(&format!("{}:4", "9".repeat(400)), &[None]);
        check(&format!("{}1:4", "0".repeat(400)), &[Some("4")]);
    }

    #[test]
    fn splits_counted_bytes() {
        let check = |payload: &[u8], expected: &[Option<&[u8]>]| {
            check(Form::CountedBytes, payload, expected);
        };
        check(b"\0\x02\xff4a\x01\x03\xff\x04\x01\xff", &[Some(b"4a"), Some(b"\x04\x01\xff")]);
        check(b"\0\x01\x00\xff4123456789", &[Some(b"4123456789")]);
        check(b"\0\x04\xff4\xe2\x82\xac", &[Some("4\u{20ac}".as_bytes())]);
        check(b"\0\x04\xff4\xed\xa0\x80", &[Some("4\u{fffd}".as_bytes())]);
        check(b"\0\x00\xff", &[Some(b"")]);
        let invalid: [&[u8]; 8] = [
            b"",
            b"\0",
            b"\0\xff4",
            b"\x02\x01\xff4",
            b"\0\x02\xff4",
            b"\0\x0a\xff4",
            b"\0\x02\xff4\x80",
            b"\x01\x02\x04",
        ];
        for payload in invalid {
            check(payload, &[None]);
        }
        check(b"\0\x01\xff4\0", &[Some(b"4"), None]);
        let huge = [&[1][..], &[9; 400], &[255, 4]].concat();
        check(&huge, &[None]);
    }

    #[test]
    fn reads_payloads_one_after_the_other() {
        let mut backlog = Backlog::default();
        backlog.push(b"4a\x1e4b".to_vec(), Form::Separated);
        assert_eq!(backlog.take(), Some(Ok(RawPacket::Text(b"4a".into()))));
        backlog.push(b"2:4c".to_vec(), Form::Counted);
        backlog.push(b"\x01\x01\xff\x04".to_vec(), Form::CountedBytes);
        assert!(backlog.capacity() >= 3 * POST_COST + 11);
        let left: [Option<Vec<u8>>; 3] = [Some(b"4b".into()), Some(b"4c".into()), Some(vec![4])];
        assert_eq!(packets(&mut backlog), left);
        assert_eq!(backlog.capacity(), 0);
    }

    #[test]
    fn writes_each_form() {
        let write = |format: &PayloadFormat, is_bytes| {
            let mut writer = Writer::new(format, is_bytes, 0);
            writer.text(PacketType::Message, "\u{20ac}\u{1f600}".as_bytes());
            writer.binary(&[1, 2]);
            writer.text(PacketType::Noop, b"");
            writer.finish()
        };
        let text = |text: &str| Payload::Text(text.as_bytes().to_vec());
        let v4 = format(Revision::V4, false);
        assert_eq!(write(&v4, false), text("4\u{20ac}\u{1f600}\x1ebAQI=\x1e6"));
        let v3 = format(Revision::V3, false);
        assert_eq!(write(&v3, false), text("4:4\u{20ac}\u{1f600}6:b4AQI=1:6"));
        let bytes = b"\0\x08\xff4\xe2\x82\xac\xf0\x9f\x98\x80\x01\x03\xff\x04\x01\x02\0\x01\xff6";
        assert_eq!(write(&v3, true), Payload::Bytes(bytes.to_vec()));
        assert!(v3.has_bytes() && !v4.has_bytes() && !format(Revision::V3, true).has_bytes());
        let jsonp = PayloadFormat { callback: Some(Callback::new("3")), ..v3 };
        assert!(!jsonp.has_bytes());
        let script = "___eio[3](\"4:4\u{20ac}\u{1f600}6:b4AQI=1:6\");";
        assert_eq!(write(&jsonp, false), text(script));
        assert_eq!(v4.single(PacketType::Noop), text("6"));
        assert_eq!(jsonp.single(PacketType::Close), text("___eio[3](\"1:1\");"));
    }

    #[test]
    fn repairs_invalid_utf8() {
        assert_eq!(repair_utf8(b"4a\xffb".to_vec()), "4a\u{fffd}b".as_bytes());
        assert_eq!(repair_utf8("4\u{20ac}".into()), "4\u{20ac}".as_bytes());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            messages in prop::collection::vec(
                prop_oneof![".{0,40}".prop_map(Ok), any::<Vec<u8>>().prop_map(Err)],
                1..8,
            ),
            base64: bool,
        ) {
            let format = format(Revision::V3, base64);
            let mut writer = Writer::new(&format, format.has_bytes(), 0);
            for message in &messages {
                match message {
                    Ok(text) => writer.text(PacketType::Message, text.as_bytes()),
                    Err(bytes) => writer.binary(bytes),
                }
            }
            let mut backlog = Backlog::default();
            match writer.finish() {
                Payload::Text(payload) => backlog.push(payload, Form::Counted),
                Payload::Bytes(payload) => backlog.push(payload, Form::CountedBytes),
            }
            for message in messages {
                let expected = match message {
                    Ok(text) => packet::Message::Text(text.into_bytes().into()),
                    Err(bytes) => packet::Message::Binary(bytes.into()),
                };
                let raw = backlog.take().unwrap().unwrap();
                let packet = match &raw {
                    RawPacket::Text(text) => packet::decode(text, Revision::V3),
                    RawPacket::Bytes(bytes) => packet::decode_bytes(bytes),
                };
                prop_assert_eq!(packet, Ok(packet::Packet::Message(expected)));
            }
            prop_assert_eq!(backlog.take(), None);
        }

        #[test]
        fn never_panics_and_ends(payload: Vec<u8>, text in "[0-9:4b\u{20ac}\u{1f600}]{0,40}") {
            for (form, bytes) in [
                (Form::CountedBytes, payload),
                (Form::Counted, text.clone().into_bytes()),
                (Form::Separated, text.into_bytes()),
            ] {
                let mut backlog = Backlog::default();
                let most = bytes.len() + 1;
                backlog.push(bytes, form);
                prop_assert!(packets(&mut backlog).len() <= most);
            }
        }
    }
}
