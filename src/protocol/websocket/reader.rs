//! Bytes to messages: headers that arrive in pieces, fragments, control frames in between.
//!
//! A message that lies whole in the chunk is handed out as a slice of it, unmasked in place; only
//! what is split owns memory, and never more than has arrived.

use std::borrow::Cow;
use std::mem;

use super::close_frame::{self, CloseBody};
use super::frame::{self, Control, Data, Header, MAX_HEADER, OpCode};
use super::violation::Violation;

/// The unread rest of what was received.
#[derive(Debug)]
pub struct Chunk<'a>(&'a mut [u8]);

impl<'a> Chunk<'a> {
    /// Wraps received bytes; they are unmasked in place.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes up to `count` bytes from the front.
    fn take(&mut self, count: usize) -> &'a mut [u8] {
        let bytes = mem::take(&mut self.0);
        let (head, rest) = bytes.split_at_mut(count.min(bytes.len()));
        self.0 = rest;
        head
    }

    /// All that is left.
    pub fn take_all(&mut self) -> &'a mut [u8] {
        mem::take(&mut self.0)
    }
}

/// One thing the peer sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text message, known to be UTF-8.
    Text(Cow<'a, [u8]>),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// A ping and its payload.
    Ping(Cow<'a, [u8]>),
    /// A pong; nobody asked for it.
    Pong,
    /// A close frame.
    Close(CloseBody),
}

/// Bounds of one message.
#[derive(Debug, Clone, Copy)]
pub struct MessageLimits {
    /// Bytes of a message over all its fragments.
    pub bytes: usize,
    /// Frames of a message.
    pub fragments: u32,
}

/// What an unfinished message costs beyond its bytes.
const MESSAGE_COST: usize = 64;

/// Reads one connection's frames.
#[derive(Debug, Default)]
pub struct Reader {
    frame: Option<Partial>,
    head: Head,
    message: Option<Box<Assembly>>,
}

/// The first bytes of a header that has not arrived whole.
#[derive(Debug, Default)]
struct Head {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

/// A frame whose payload is still arriving.
#[derive(Debug)]
struct Partial {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    remaining: u64,
    /// Payload so far, of a control frame only; data goes to the assembly.
    control: Vec<u8>,
}

/// A message that came, or is coming, in pieces.
#[derive(Debug)]
struct Assembly {
    is_text: bool,
    bytes: Vec<u8>,
    fragments: u32,
    /// Bytes of a text already known to be UTF-8.
    validated: usize,
}

impl Reader {
    /// The next thing in the chunk; `None` when the chunk is used up.
    pub fn next<'a>(
        &mut self,
        chunk: &mut Chunk<'a>,
        limits: MessageLimits,
    ) -> Result<Option<Incoming<'a>>, Violation> {
        loop {
            if self.frame.is_some() {
                match self.continue_frame(chunk)? {
                    Step::Done(incoming) => return Ok(Some(incoming)),
                    Step::More => continue,
                    Step::Starved => return Ok(None),
                }
            }
            let Some(header) = self.read_header(chunk)? else { return Ok(None) };
            self.check(&header, limits)?;
            if let Some(incoming) = self.read_whole(&header, chunk)? {
                return Ok(Some(incoming));
            }
            self.begin_frame(&header);
        }
    }

    /// Memory of a message that has not arrived whole.
    pub fn unfinished(&self) -> usize {
        let control = self.frame.as_ref().map_or(0, |frame| frame.control.capacity());
        let message = self.message.as_ref();
        let message = message.map_or(0, |it| it.bytes.capacity().saturating_add(MESSAGE_COST));
        control.saturating_add(message)
    }

    fn read_header(&mut self, chunk: &mut Chunk<'_>) -> Result<Option<Header>, Violation> {
        if self.head.len == 0 {
            if let Some(header) = frame::parse(chunk.0)? {
                chunk.take(header.size);
                return Ok(Some(header));
            }
            self.head.push(chunk.take_all());
            return Ok(None);
        }
        while !chunk.is_empty() {
            self.head.push(chunk.take(1));
            if let Some(header) = frame::parse(self.head.filled())? {
                self.head.len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// All that a header can violate, given what came before it.
    fn check(&mut self, header: &Header, limits: MessageLimits) -> Result<(), Violation> {
        let OpCode::Data(data) = header.opcode else { return Ok(()) };
        let mut total = header.payload;
        match (data, &mut self.message) {
            (Data::Continue, Some(message)) => {
                message.fragments = message.fragments.saturating_add(1);
                if message.fragments > limits.fragments {
                    return Err(Violation::TooManyFragments);
                }
                total = total.saturating_add(message.bytes.len() as u64);
            }
            (Data::Continue, None) => return Err(Violation::UnexpectedContinuation),
            (_, Some(_)) => return Err(Violation::ExpectedContinuation),
            (_, None) => {}
        }
        if total > limits.bytes as u64 {
            return Err(Violation::MessageTooBig);
        }
        Ok(())
    }

    /// The common case: a frame that is all there and needs nothing from before.
    fn read_whole<'a>(
        &mut self,
        header: &Header,
        chunk: &mut Chunk<'a>,
    ) -> Result<Option<Incoming<'a>>, Violation> {
        if header.payload > chunk.0.len() as u64 {
            return Ok(None);
        }
        let OpCode::Control(control) = header.opcode else {
            if !header.is_final || self.message.is_some() {
                return Ok(None);
            }
            let payload = take_unmasked(header, chunk);
            return match header.opcode {
                OpCode::Data(Data::Text) => {
                    std::str::from_utf8(payload).map_err(|_| Violation::Utf8)?;
                    Ok(Some(Incoming::Text(Cow::Borrowed(payload))))
                }
                _ => Ok(Some(Incoming::Binary(Cow::Borrowed(payload)))),
            };
        };
        read_control(control, Cow::Borrowed(take_unmasked(header, chunk))).map(Some)
    }

    fn begin_frame(&mut self, header: &Header) {
        if let OpCode::Data(data) = header.opcode {
            self.message.get_or_insert_with(|| {
                Box::new(Assembly {
                    is_text: data == Data::Text,
                    bytes: Vec::new(),
                    fragments: 1,
                    validated: 0,
                })
            });
        }
        self.frame = Some(Partial {
            opcode: header.opcode,
            is_final: header.is_final,
            mask: header.mask,
            remaining: header.payload,
            control: Vec::new(),
        });
    }

    fn continue_frame<'a>(&mut self, chunk: &mut Chunk<'a>) -> Result<Step<'a>, Violation> {
        let Some(frame) = &mut self.frame else { return Ok(Step::More) };
        let wanted = usize::try_from(frame.remaining).unwrap_or(usize::MAX);
        let piece = chunk.take(wanted);
        frame.mask = frame::unmask(piece, frame.mask);
        frame.remaining = frame.remaining.saturating_sub(piece.len() as u64);
        match (frame.opcode, &mut self.message) {
            (OpCode::Data(_), Some(message)) => {
                let rest = frame.is_final.then_some(frame.remaining);
                message.append(piece, rest)?;
            }
            _ => frame.control.extend_from_slice(piece),
        }
        if frame.remaining > 0 {
            return Ok(Step::Starved);
        }
        let Some(frame) = self.frame.take() else { return Ok(Step::More) };
        match frame.opcode {
            OpCode::Control(control) => {
                read_control(control, Cow::Owned(frame.control)).map(Step::Done)
            }
            OpCode::Data(_) if !frame.is_final => Ok(Step::More),
            OpCode::Data(_) => match self.message.take() {
                Some(message) => message.finish().map(Step::Done),
                None => Ok(Step::More),
            },
        }
    }
}

/// What came of reading on in a frame.
enum Step<'a> {
    Done(Incoming<'a>),
    More,
    Starved,
}

impl Head {
    fn push(&mut self, bytes: &[u8]) {
        for (space, byte) in self.bytes.iter_mut().skip(self.len).zip(bytes) {
            *space = *byte;
        }
        self.len = self.len.saturating_add(bytes.len()).min(MAX_HEADER);
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl Assembly {
    /// Adds a piece. In the last frame of a message `rest` is what it has declared beyond that.
    fn append(&mut self, piece: &[u8], rest: Option<u64>) -> Result<(), Violation> {
        self.make_room(piece.len(), rest);
        self.bytes.extend_from_slice(piece);
        if self.is_text { self.validate() } else { Ok(()) }
    }

    /// Memory grows with the bytes that have arrived; a declared length only keeps it from growing
    /// too far.
    fn make_room(&mut self, count: usize, rest: Option<u64>) {
        let needed = self.bytes.len().saturating_add(count);
        if needed > self.bytes.capacity() {
            let rest = rest.and_then(|rest| usize::try_from(rest).ok()).unwrap_or(usize::MAX);
            let room = needed.saturating_mul(2).min(needed.saturating_add(rest));
            self.bytes.reserve_exact(room.saturating_sub(self.bytes.len()));
        }
    }

    /// Checks what has come since the last call, as early as the bytes allow.
    fn validate(&mut self) -> Result<(), Violation> {
        let fresh = self.bytes.get(self.validated..).unwrap_or(&[]);
        match std::str::from_utf8(fresh) {
            Ok(text) => self.validated = self.validated.saturating_add(text.len()),
            Err(error) if error.error_len().is_none() => {
                self.validated = self.validated.saturating_add(error.valid_up_to());
            }
            Err(_) => return Err(Violation::Utf8),
        }
        Ok(())
    }

    fn finish<'a>(self) -> Result<Incoming<'a>, Violation> {
        if !self.is_text {
            return Ok(Incoming::Binary(Cow::Owned(self.bytes)));
        }
        if self.validated != self.bytes.len() {
            return Err(Violation::Utf8);
        }
        Ok(Incoming::Text(Cow::Owned(self.bytes)))
    }
}

fn take_unmasked<'a>(header: &Header, chunk: &mut Chunk<'a>) -> &'a mut [u8] {
    let payload = chunk.take(usize::try_from(header.payload).unwrap_or(usize::MAX));
    frame::unmask(payload, header.mask);
    payload
}

fn read_control(control: Control, payload: Cow<'_, [u8]>) -> Result<Incoming<'_>, Violation> {
    match control {
        Control::Close => close_frame::parse(&payload).map(Incoming::Close),
        Control::Ping => Ok(Incoming::Ping(payload)),
        Control::Pong => Ok(Incoming::Pong),
        Control::Reserved(_) => Err(Violation::Opcode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::client;
    use proptest::prelude::*;

    const LIMITS: MessageLimits = MessageLimits { bytes: 1000, fragments: 4 };

    fn read(bytes: &[u8], pieces: usize) -> (Vec<String>, Option<Violation>) {
        let mut reader = Reader::default();
        let mut seen = Vec::new();
        for piece in bytes.chunks(pieces.max(1)) {
            let mut piece = piece.to_vec();
            let mut chunk = Chunk::new(&mut piece);
            loop {
                match reader.next(&mut chunk, LIMITS) {
                    Ok(Some(incoming)) => seen.push(describe(incoming)),
                    Ok(None) => break,
                    Err(violation) => return (seen, Some(violation)),
                }
            }
        }
        (seen, None)
    }

    fn describe(incoming: Incoming<'_>) -> String {
        match incoming {
            Incoming::Text(text) => format!("text {}", String::from_utf8(text.into()).unwrap()),
            Incoming::Binary(bytes) => format!("binary {bytes:?}"),
            Incoming::Ping(bytes) => format!("ping {bytes:?}"),
            Incoming::Pong => "pong".into(),
            Incoming::Close(body) => format!("close {body:?}"),
        }
    }

    #[test]
    fn joins_fragments_around_control_frames() {
        let bytes = [
            client::frame(0x01, "h\u{e9}".as_bytes().split_at(2).0),
            client::frame(0x89, b"x"),
            client::frame(0x80, "h\u{e9}".as_bytes().split_at(2).1),
            client::frame(0x82, &[1, 2]),
        ]
        .concat();
        for pieces in 1..bytes.len() {
            let (seen, violation) = read(&bytes, pieces);
            assert_eq!(seen, ["ping [120]", "text h\u{e9}", "binary [1, 2]"]);
            assert_eq!(violation, None);
        }
    }

    #[test]
    fn refuses_broken_sequences() {
        let cases = [
            (client::frame(0x80, b"x"), Violation::UnexpectedContinuation),
            (
                [client::frame(0x01, b"x"), client::frame(0x81, b"y")].concat(),
                Violation::ExpectedContinuation,
            ),
            (client::frame(0x81, b"\xff"), Violation::Utf8),
            (client::frame(0x01, b"ab\xc3\x28"), Violation::Utf8),
            (client::frame(0x81, &[b'a'; 1001]), Violation::MessageTooBig),
            (
                [client::frame(0x01, &[b'a'; 600]), client::frame(0x80, &[b'a'; 401])].concat(),
                Violation::MessageTooBig,
            ),
            (
                [
                    client::frame(0x01, b""),
                    client::frame(0x00, b""),
                    client::frame(0x00, b""),
                    client::frame(0x00, b""),
                    client::frame(0x00, b""),
                ]
                .concat(),
                Violation::TooManyFragments,
            ),
            (client::frame(0x88, b"\x03"), Violation::InvalidClose),
        ];
        for (bytes, expected) in cases {
            for pieces in [1, 3, bytes.len()] {
                assert_eq!(read(&bytes, pieces).1, Some(expected), "{bytes:?}");
            }
        }
        assert_eq!(read(&client::frame(0x81, &[b'a'; 1000]), 7).1, None);
    }

    #[test]
    fn finds_a_too_big_message_at_its_header() {
        assert_eq!(
            read(&[0x82, 0xfe, 0x03, 0xe9, 0, 0, 0, 0], 1).1,
            Some(Violation::MessageTooBig)
        );
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(
            messages in prop::collection::vec((0u8..4, prop::collection::vec(any::<u8>(), 0..200)), 0..6),
            noise: Vec<u8>,
            pieces in 1usize..64
        ) {
            let mut bytes = Vec::new();
            for (kind, body) in messages {
                match kind {
                    0 => bytes.extend(client::frame(0x82, &body)),
                    1 => bytes.extend(client::frame(0x81, String::from_utf8_lossy(&body).as_bytes())),
                    2 => bytes.extend(client::frame(0x89, &body[..body.len().min(125)])),
                    _ => {
                        let (left, right) = body.split_at(body.len() / 2);
                        bytes.extend(client::frame(0x02, left));
                        bytes.extend(client::frame(0x80, right));
                    }
                }
            }
            bytes.extend(noise);
            prop_assert_eq!(read(&bytes, pieces), read(&bytes, bytes.len()));
        }
    }
}
