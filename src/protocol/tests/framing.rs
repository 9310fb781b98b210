//! However the writes are split, a peer reads complete frames and then at most one close frame, or
//! the connection is reset.

use std::io::IoSlice;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseResult;

use super::client::{self, ServerFrame};
use crate::protocol::broadcast::Broadcast;
use crate::protocol::limits::Limits;
use crate::protocol::revision::{Dialect, Revision};
use crate::protocol::websocket::{Connection, Unread};

const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

/// The longest message in bytes. Miri is a hundred times slower.
const LONGEST: usize = if cfg!(miri) { 5_000 } else { 70_000 };
/// The shortest write at the end, in bytes.
const SHORTEST: usize = if cfg!(miri) { 200 } else { 1 };

#[derive(Debug, Clone)]
enum Step {
    Text(usize),
    OwnText(usize),
    Binary(usize),
    OwnBinary(usize),
    Shared {
        text: bool,
        size: usize,
    },
    /// A broadcast whose frame the app built.
    Framed(usize),
    /// The peer pings.
    Ping(u8),
    /// The kernel takes a part of the bytes in this many slices.
    Write {
        slices: usize,
        part: Index,
    },
}

#[derive(Debug, Clone, Copy)]
enum End {
    Close(Option<u16>),
    DiscardingClose(Option<u16>),
    Failure(u16),
    /// The peer closes.
    PeerClose,
}

/// Sizes around the limits of joining, of header lengths, and of a joined piece.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        6 => 0usize..140,
        2 => 4_080usize..4_110,
        1 => 65_500usize..65_600,
        1 => 0usize..70_000,
    ]
    .prop_map(|size| size.min(LONGEST))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => size().prop_map(Step::Text),
        2 => size().prop_map(Step::OwnText),
        1 => size().prop_map(Step::Binary),
        2 => size().prop_map(Step::OwnBinary),
        2 => (any::<bool>(), size()).prop_map(|(text, size)| Step::Shared { text, size }),
        1 => (0usize..120).prop_map(Step::Framed),
        1 => (0u8..126).prop_map(Step::Ping),
        8 => (1usize..5, any::<Index>()).prop_map(|(slices, part)| Step::Write { slices, part }),
    ]
}

fn end() -> impl Strategy<Value = End> {
    let code = prop_oneof![Just(None), Just(Some(1001))];
    prop_oneof![
        1 => code.clone().prop_map(End::Close),
        4 => code.prop_map(End::DiscardingClose),
        1 => Just(End::Failure(1009)),
        1 => Just(End::PeerClose),
    ]
}

/// A connection, the bytes that its peer has read, and the messages that were sent.
struct Sender {
    connection: Connection,
    read: Vec<u8>,
    sent: Vec<(bool, Vec<u8>)>,
    dialect: Dialect,
}

impl Sender {
    fn new(dialect: Dialect) -> Self {
        let mut connection = Connection::new(ANSWER);
        connection.speak(dialect);
        Self { connection, read: Vec::new(), sent: Vec::new(), dialect }
    }

    /// A body that differs from those of all other messages.
    fn body(&self, size: usize) -> Vec<u8> {
        let number = self.sent.len().to_string().into_bytes();
        number.into_iter().chain(std::iter::repeat(b'.')).take(size).collect()
    }

    fn note(&mut self, is_text: bool, body: &[u8]) {
        if !is_text && self.dialect.base64 {
            let mut text = Vec::new();
            crate::protocol::packet::encode_base64(body, self.dialect, &mut text);
            return self.sent.push((true, text));
        }
        let prefix = if is_text { b"4" } else { self.dialect.binary_prefix() };
        self.sent.push((is_text, [prefix, body].concat()));
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Text(size) => {
                let body = self.body(size);
                self.connection.send_text(b"4", &body);
                self.note(true, &body);
            }
            Step::OwnText(size) => {
                let body = self.body(size);
                self.note(true, &body);
                self.connection.send_message_owned(b"4", body, true);
            }
            Step::Binary(size) => {
                let body = self.body(size);
                self.connection.send_binary(&body, true);
                self.note(false, &body);
            }
            Step::OwnBinary(size) => {
                let body = self.body(size);
                self.note(false, &body);
                self.connection.send_binary_owned(body, true);
            }
            Step::Shared { text, size } => {
                let body = self.body(size);
                let make = if text { Broadcast::text } else { Broadcast::binary };
                self.connection.send_shared(&Arc::new(make(&body)));
                self.note(text, &body);
            }
            Step::Framed(size) => {
                let body = self.body(size);
                let length = u8::try_from(body.len() + 1).unwrap();
                let frame = [&[0x81, length, b'4'], &body[..]].concat();
                self.note(true, &body);
                self.connection.send_shared(&Arc::new(Broadcast::with_frame(body, frame)));
            }
            Step::Ping(size) => self.receive(client::frame(0x89, &vec![b'p'; usize::from(size)])),
            Step::Write { slices, part } => self.write(slices, part),
        }
    }

    fn receive(&mut self, mut bytes: Vec<u8>) {
        let mut unread = Unread::new(&mut bytes);
        while self.connection.next(&mut unread, &Limits::default()).unwrap().is_some() {}
    }

    fn write(&mut self, slices: usize, part: Index) {
        let mut space = [IoSlice::new(&[]); 4];
        let filled = self.connection.fill(&mut space[..slices]);
        let offered: usize = space[..filled].iter().map(|slice| slice.len()).sum();
        self.take(slices, part.index(offered + 1));
    }

    /// The kernel takes up to `most` bytes in this many slices. Returns the number that it took.
    fn take(&mut self, slices: usize, most: usize) -> usize {
        let mut space = [IoSlice::new(&[]); 4];
        let filled = self.connection.fill(&mut space[..slices]);
        let before = self.read.len();
        for slice in &space[..filled] {
            let room = most - (self.read.len() - before);
            self.read.extend(&slice[..slice.len().min(room)]);
        }
        let count = self.read.len() - before;
        self.connection.written(count);
        count
    }

    fn end(&mut self, end: End) {
        match end {
            End::Close(code) => self.connection.close(code),
            End::DiscardingClose(code) => {
                self.connection.discard();
                self.connection.close(code);
            }
            End::Failure(code) => self.connection.fail(code),
            End::PeerClose => self.receive(client::frame(0x88, b"\x03\xe8")),
        }
    }

    /// Writes in steps of the given size until the queue is empty.
    fn drain(&mut self, step: usize) {
        while !self.connection.wire().is_empty() && !self.connection.is_aborted() {
            assert!(self.take(4, step) > 0, "queued bytes are not offered");
        }
    }
}

/// Sends and closes, then checks what the peer has read.
fn run(dialect: Dialect, steps: &[Step], end: End, late: &[Step], last: usize) -> TestCaseResult {
    let mut sender = Sender::new(dialect);
    for step in steps {
        sender.step(step);
    }
    let sent = sender.sent.len();
    sender.end(end);
    for step in late {
        sender.step(step);
    }
    sender.drain(last);
    let is_discarded = matches!(end, End::DiscardingClose(_));
    if sender.connection.is_aborted() {
        prop_assert!(is_discarded, "only a discarding close may reset");
        return Ok(());
    }
    prop_assert!(sender.read.starts_with(ANSWER));
    let (frames, rest) = client::read_frames(&sender.read[ANSWER.len()..]);
    prop_assert_eq!(rest, 0, "a frame is cut off");
    let closes = frames.iter().filter(|frame| frame.opcode == 8).count();
    prop_assert_eq!(closes, 1);
    prop_assert_eq!(frames.last().map(|frame| frame.opcode), Some(8));
    let messages: Vec<(bool, Vec<u8>)> = frames
        .into_iter()
        .filter(|frame| frame.opcode < 8)
        .map(|ServerFrame { opcode, payload }| (opcode == 1, payload))
        .collect();
    prop_assert_eq!(&messages[..], &sender.sent[..messages.len().min(sent)]);
    prop_assert!(is_discarded || messages.len() == sent);
    Ok(())
}

proptest! {
    #[test]
    fn a_peer_reads_complete_frames_and_then_a_close_frame(
        base64 in prop::bool::weighted(0.2),
        revision in prop::sample::select(&[Revision::V3, Revision::V4][..]),
        steps in prop::collection::vec(step(), 0..24),
        end in end(),
        late in prop::collection::vec(step(), 0..6),
        last in prop_oneof![SHORTEST..SHORTEST + 7, 1_000usize..100_000],
    ) {
        run(Dialect { revision, base64 }, &steps, end, &late, last)?;
    }
}
