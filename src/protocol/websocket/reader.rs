//! Turns received bytes into messages: joins headers that arrive in pieces and fragmented messages,
//! and handles control frames between fragments.
//!
//! A message that arrives in one piece is handed out as a slice of the received bytes, unmasked in
//! place. Only a message that arrives in several pieces owns memory.

use std::borrow::Cow;
use std::mem;

use super::assembly::Assembly;
use super::close_frame::{self, CloseBody};
use super::frame::{self, Control, Data, Header, OpCode};
use super::inflate::{Inflated, Inflater};
use super::partial_header::PartialHeader;
use super::unread::Unread;
use super::violation::Violation;

/// A message or control frame from the peer.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A text message, known to be UTF-8.
    Text(Cow<'a, [u8]>),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// A ping with its payload.
    Ping(Cow<'a, [u8]>),
    /// A pong. Its payload is dropped, because this side never sends a ping frame.
    Pong,
    /// A close frame.
    Close(CloseBody),
}

/// The limits of one message.
#[derive(Debug, Clone, Copy)]
pub struct MessageLimits {
    /// Bytes of a message, over all its fragments.
    pub bytes: usize,
    /// Frames of a message.
    pub fragments: u32,
}

/// Reads the frames of one connection.
#[derive(Debug, Default)]
pub struct Reader {
    stage: Stage,
    /// A fragmented message between two of its frames. While one of its frames arrives, that frame
    /// owns the message.
    message: Option<Box<Assembly>>,
    /// Inflates messages, if permessage-deflate was negotiated.
    inflater: Option<Box<Inflater>>,
}

/// Where in a frame the connection is.
#[derive(Debug)]
enum Stage {
    /// Before or within a header.
    Header(PartialHeader),
    /// Within the payload of a control frame.
    Control(ControlFrame),
    /// Within the payload of a data frame.
    Data(DataFrame),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Header(PartialHeader::default())
    }
}

/// A control frame whose payload is still arriving.
#[derive(Debug)]
struct ControlFrame {
    kind: Control,
    payload: Payload,
    bytes: Vec<u8>,
}

/// A data frame whose payload is still arriving; its bytes go to the message.
#[derive(Debug)]
struct DataFrame {
    is_final: bool,
    payload: Payload,
    message: Box<Assembly>,
}

/// A masked payload that is still arriving.
#[derive(Debug)]
struct Payload {
    /// The mask, rotated to the next byte.
    mask: [u8; 4],
    /// The number of bytes that have not arrived.
    remaining: u64,
}

impl Reader {
    /// Makes the reader accept compressed messages.
    pub fn use_inflater(&mut self, inflater: Inflater) {
        self.inflater = Some(Box::new(inflater));
    }

    /// Allows another [`BUDGET`](super::inflate::BUDGET) of inflated bytes.
    pub fn renew_budget(&mut self) {
        if let Some(inflater) = &mut self.inflater {
            inflater.renew_budget();
        }
    }

    /// Whether a message is not inflated completely because the budget is used up.
    pub fn is_inflating(&self) -> bool {
        self.inflater.as_ref().is_some_and(|inflater| inflater.is_pending())
    }

    /// Stops inflating messages; those that follow are empty.
    pub fn stop_inflating(&mut self) {
        if let Some(inflater) = &mut self.inflater {
            inflater.stop();
        }
    }

    /// The next message or control frame; `None` when all bytes have been read, or when the budget for
    /// inflated bytes is used up.
    ///
    /// # Errors
    ///
    /// The rule or limit that the peer has violated. The connection must not be read any further.
    pub fn next<'a>(
        &mut self,
        unread: &mut Unread<'a>,
        limits: MessageLimits,
    ) -> Result<Option<Incoming<'a>>, Violation> {
        if self.is_inflating() {
            return self.proceed(limits);
        }
        loop {
            let Stage::Header(partial) = &mut self.stage else {
                match self.read_payload(unread, limits)? {
                    Progress::Incoming(incoming) => return Ok(Some(incoming)),
                    Progress::FrameRead => continue,
                    Progress::Starved => return Ok(None),
                }
            };
            let Some(header) = partial.read(unread)? else { return Ok(None) };
            self.check(&header, limits)?;
            match self.read_whole(&header, unread, limits)? {
                Progress::Incoming(incoming) => return Ok(Some(incoming)),
                Progress::FrameRead => self.begin_frame(&header),
                Progress::Starved => return Ok(None),
            }
        }
    }

    /// Goes on with the message that is being inflated.
    fn proceed<'a>(&mut self, limits: MessageLimits) -> Result<Option<Incoming<'a>>, Violation> {
        let Some(inflater) = &mut self.inflater else { return Ok(None) };
        Ok(inflater.proceed(limits.bytes)?.map(Incoming::from))
    }

    /// Inflates a message that has arrived completely.
    fn inflate<'a>(
        &mut self,
        is_text: bool,
        compressed: Cow<'_, [u8]>,
        limits: MessageLimits,
    ) -> Result<Progress<'a>, Violation> {
        let inflater = self.inflater.as_mut().ok_or(Violation::ReservedBits)?;
        let inflated = inflater.inflate(is_text, compressed, limits.bytes)?;
        Ok(inflated.map_or(Progress::Starved, |inflated| Progress::Incoming(inflated.into())))
    }

    /// The memory in bytes of a message that has not arrived or is not inflated completely.
    pub fn unfinished(&self) -> usize {
        let arriving = match &self.stage {
            Stage::Header(_) => 0,
            Stage::Control(frame) => frame.bytes.capacity(),
            Stage::Data(frame) => frame.message.memory(),
        };
        let between_frames = self.message.as_ref().map_or(0, |message| message.memory());
        let inflating = self.inflater.as_ref().map_or(0, |inflater| inflater.memory());
        arriving.saturating_add(between_frames).saturating_add(inflating)
    }

    /// Checks everything about a header that depends on the frames before it.
    fn check(&mut self, header: &Header, limits: MessageLimits) -> Result<(), Violation> {
        let OpCode::Data(data) = header.opcode else { return Ok(()) };
        let mut total = header.payload;
        let mut is_compressed = header.is_compressed;
        match (data, &mut self.message) {
            (Data::Continue, Some(message)) => {
                if message.count_fragment() > limits.fragments {
                    return Err(Violation::TooManyFragments);
                }
                total = total.saturating_add(message.len() as u64);
                is_compressed = message.is_compressed();
            }
            (Data::Continue, None) => return Err(Violation::UnexpectedContinuation),
            (Data::Text | Data::Binary | Data::Reserved(_), Some(_)) => {
                return Err(Violation::ExpectedContinuation);
            }
            (Data::Text | Data::Binary | Data::Reserved(_), None) => {}
        }
        let mut max = limits.bytes as u64;
        if is_compressed {
            if self.inflater.is_none() {
                return Err(Violation::ReservedBits);
            }
            max = Inflater::max_compressed(limits.bytes);
        }
        if total > max {
            return Err(Violation::MessageTooBig);
        }
        Ok(())
    }

    /// The common case: reads a frame that has arrived completely and is not part of a fragmented
    /// message. Returns `FrameRead` for any other frame, of which only the header has been read.
    fn read_whole<'a>(
        &mut self,
        header: &Header,
        unread: &mut Unread<'a>,
        limits: MessageLimits,
    ) -> Result<Progress<'a>, Violation> {
        if header.payload > unread.len() as u64 {
            return Ok(Progress::FrameRead);
        }
        match header.opcode {
            OpCode::Control(kind) => {
                read_control(kind, Cow::Borrowed(take_unmasked(header, unread)))
                    .map(Progress::Incoming)
            }
            OpCode::Data(_) if !header.is_final || self.message.is_some() => {
                Ok(Progress::FrameRead)
            }
            OpCode::Data(data) if header.is_compressed => {
                let compressed = Cow::Borrowed(&*take_unmasked(header, unread));
                self.inflate(data == Data::Text, compressed, limits)
            }
            OpCode::Data(Data::Text) => {
                let payload = take_unmasked(header, unread);
                std::str::from_utf8(payload).map_err(|_| Violation::Utf8)?;
                Ok(Progress::Incoming(Incoming::Text(Cow::Borrowed(payload))))
            }
            OpCode::Data(Data::Binary | Data::Continue | Data::Reserved(_)) => {
                let payload = Cow::Borrowed(&*take_unmasked(header, unread));
                Ok(Progress::Incoming(Incoming::Binary(payload)))
            }
        }
    }

    fn begin_frame(&mut self, header: &Header) {
        let payload = Payload { mask: header.mask, remaining: header.payload };
        self.stage = match header.opcode {
            OpCode::Control(kind) => {
                Stage::Control(ControlFrame { kind, payload, bytes: Vec::new() })
            }
            OpCode::Data(data) => {
                let message = self.message.take();
                let message = message.unwrap_or_else(|| {
                    Box::new(Assembly::new(data == Data::Text, header.is_compressed))
                });
                Stage::Data(DataFrame { is_final: header.is_final, payload, message })
            }
        };
    }

    /// Reads on in the payload of a frame that arrives in pieces.
    fn read_payload<'a>(
        &mut self,
        unread: &mut Unread<'a>,
        limits: MessageLimits,
    ) -> Result<Progress<'a>, Violation> {
        let remaining = match &mut self.stage {
            Stage::Header(_) => return Ok(Progress::FrameRead),
            Stage::Control(frame) => {
                frame.bytes.extend_from_slice(frame.payload.take(unread));
                frame.payload.remaining
            }
            Stage::Data(frame) => {
                let piece = frame.payload.take(unread);
                let rest = frame.is_final.then_some(frame.payload.remaining);
                frame.message.append(piece, rest)?;
                frame.payload.remaining
            }
        };
        if remaining > 0 {
            return Ok(Progress::Starved);
        }
        match mem::take(&mut self.stage) {
            Stage::Header(_) => Ok(Progress::FrameRead),
            Stage::Control(frame) => {
                read_control(frame.kind, Cow::Owned(frame.bytes)).map(Progress::Incoming)
            }
            Stage::Data(frame) if frame.is_final => {
                let is_text = frame.message.is_text();
                if frame.message.is_compressed() {
                    let compressed = Cow::Owned(frame.message.finish()?);
                    return self.inflate(is_text, compressed, limits);
                }
                let bytes = Cow::Owned(frame.message.finish()?);
                let incoming =
                    if is_text { Incoming::Text(bytes) } else { Incoming::Binary(bytes) };
                Ok(Progress::Incoming(incoming))
            }
            Stage::Data(frame) => {
                self.message = Some(frame.message);
                Ok(Progress::FrameRead)
            }
        }
    }
}

impl From<Inflated> for Incoming<'_> {
    fn from(Inflated { is_text, bytes }: Inflated) -> Self {
        if is_text { Self::Text(Cow::Owned(bytes)) } else { Self::Binary(Cow::Owned(bytes)) }
    }
}

/// The result of reading on in a payload.
enum Progress<'a> {
    /// A message or control frame is complete.
    Incoming(Incoming<'a>),
    /// The frame is complete, but its message is not.
    FrameRead,
    /// More bytes are needed, or another budget.
    Starved,
}

impl Payload {
    /// Takes what has arrived of the payload, unmasked.
    fn take<'a>(&mut self, unread: &mut Unread<'a>) -> &'a mut [u8] {
        let piece = unread.take(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        self.mask = frame::unmask(piece, self.mask);
        self.remaining = self.remaining.saturating_sub(piece.len() as u64);
        piece
    }
}

/// Takes a payload that has arrived completely, unmasked.
fn take_unmasked<'a>(header: &Header, unread: &mut Unread<'a>) -> &'a mut [u8] {
    let payload = unread.take(usize::try_from(header.payload).unwrap_or(usize::MAX));
    frame::unmask(payload, header.mask);
    payload
}

fn read_control(kind: Control, payload: Cow<'_, [u8]>) -> Result<Incoming<'_>, Violation> {
    match kind {
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

    fn read(bytes: &[u8], size: usize) -> (Vec<String>, Option<Violation>) {
        let mut reader = Reader::default();
        let mut read = Vec::new();
        for piece in bytes.chunks(size.max(1)) {
            let mut piece = piece.to_vec();
            let mut unread = Unread::new(&mut piece);
            loop {
                match reader.next(&mut unread, LIMITS) {
                    Ok(Some(incoming)) => read.push(describe(incoming)),
                    Ok(None) => break,
                    Err(violation) => return (read, Some(violation)),
                }
            }
        }
        (read, None)
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
        for size in 1..bytes.len() {
            let (incoming, violation) = read(&bytes, size);
            assert_eq!(incoming, ["ping [120]", "text h\u{e9}", "binary [1, 2]"]);
            assert_eq!(violation, None);
        }
    }

    #[test]
    fn rejects_invalid_sequences_of_frames() {
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
            for size in [1, 3, bytes.len()] {
                assert_eq!(read(&bytes, size).1, Some(expected), "{bytes:?}");
            }
        }
        assert_eq!(read(&client::frame(0x81, &[b'a'; 1000]), 7).1, None);
    }

    #[test]
    fn rejects_a_message_that_is_too_big_at_its_header() {
        assert_eq!(
            read(&[0x82, 0xfe, 0x03, 0xe9, 0, 0, 0, 0], 1).1,
            Some(Violation::MessageTooBig)
        );
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_result(
            messages in prop::collection::vec((0u8..4, prop::collection::vec(any::<u8>(), 0..200)), 0..6),
            noise: Vec<u8>,
            size in 1usize..64
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
            prop_assert_eq!(read(&bytes, size), read(&bytes, bytes.len()));
        }
    }
}
