//! The bytes that a connection writes. However the writes are split, they are complete frames and
//! then one close frame, or the connection is reset.

use std::io::IoSlice;
use std::sync::Arc;

use upwire::protocol::broadcast::Broadcast;
use upwire::protocol::limits::Limits;
use upwire::protocol::websocket::Connection;
use upwire::protocol::websocket::Unread;

use crate::client;
use crate::script::Script;

const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

pub fn check(data: &[u8]) {
    let mut script = Script(data);
    let mut sender = Sender { connection: Connection::new(ANSWER), ..Sender::default() };
    if script.flag() {
        sender.connection.send_text(b"0", b"{}");
        sender.connection.keep_queued();
        sender.sent.push((true, b"0{}".to_vec()));
    }
    while !script.is_over() && !sender.is_over {
        sender.step(&mut script);
    }
    if !sender.is_over {
        sender.close(&mut script);
    }
    while !script.is_over() {
        sender.step(&mut script);
    }
    sender.finish();
}

struct Sender {
    connection: Connection,
    read: Vec<u8>,
    sent: Vec<(bool, Vec<u8>)>,
    is_over: bool,
    has_discarded: bool,
    /// The number of bytes that may still be sent; limits the work.
    budget: usize,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            connection: Connection::new(b""),
            read: Vec::new(),
            sent: Vec::new(),
            is_over: false,
            has_discarded: false,
            budget: 4_000_000,
        }
    }
}

impl Sender {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            kind @ 0..=7 => {
                let (most, slices) = match kind {
                    0..=5 => (usize::from(script.byte() % 12), 1),
                    6 => (script.size(), 2),
                    _ => (script.size(), 8),
                };
                self.write(most, slices);
            }
            8 => self.ping(script.byte()),
            9 if !self.is_over => self.close(script),
            kind => self.send(kind, script.size()),
        }
    }

    fn send(&mut self, kind: u8, size: usize) {
        let Some(left) = self.budget.checked_sub(size) else { return };
        self.budget = left;
        let number = self.sent.len().to_string().into_bytes();
        let body: Vec<u8> = number.into_iter().chain(std::iter::repeat(b'.')).take(size).collect();
        let text = [b"4", &body[..]].concat();
        let connection = &mut self.connection;
        let sent = match kind {
            10 => {
                connection.send_text(b"4", &body);
                (true, text)
            }
            11 => {
                connection.send_message_owned(b"4", body, true);
                (true, text)
            }
            12 => {
                connection.send_binary(&body, true);
                (false, body)
            }
            13 => {
                connection.send_binary_owned(body.clone(), true);
                (false, body)
            }
            14 => {
                connection.send_shared(&Arc::new(Broadcast::text(&body)));
                (true, text)
            }
            _ => {
                connection.send_shared(&Arc::new(Broadcast::binary(&body)));
                (false, body)
            }
        };
        if !self.is_over {
            self.sent.push(sent);
        }
    }

    fn ping(&mut self, size: u8) {
        let mut bytes = client::frame(0x89, &vec![b'p'; usize::from(size % 126)]);
        let mut unread = Unread::new(&mut bytes);
        while let Ok(Some(_)) = self.connection.next(&mut unread, &Limits::default()) {}
    }

    fn close(&mut self, script: &mut Script<'_>) {
        self.is_over = true;
        match script.byte() % 8 {
            0 => self.connection.close(None),
            1 => self.connection.close(Some(1001)),
            2 => self.connection.fail(1002),
            3 => {
                let mut bytes = client::frame(0x88, b"\x03\xe8");
                let mut unread = Unread::new(&mut bytes);
                while let Ok(Some(_)) = self.connection.next(&mut unread, &Limits::default()) {}
            }
            _ => {
                self.has_discarded = true;
                self.connection.discard();
                self.connection.close(Some(1001));
            }
        }
    }

    /// The kernel takes up to `most` bytes in this many slices. Returns the number that it took.
    fn write(&mut self, most: usize, slices: usize) -> usize {
        if self.connection.is_aborted() {
            return 0;
        }
        let mut space = [IoSlice::new(&[]); 8];
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

    fn finish(&mut self) {
        while !self.connection.wire().is_empty() && !self.connection.is_aborted() {
            assert!(self.write(usize::MAX, 8) > 0, "queued bytes are not offered");
        }
        if self.connection.is_aborted() {
            return assert!(self.has_discarded, "only a discarding close may reset");
        }
        assert_eq!(self.connection.wire().cost(), 0);
        assert_eq!(self.connection.wire().messages(), 0);
        let frames = self.read.strip_prefix(ANSWER).expect("the output begins with the response");
        let (frames, rest) = client::read_frames(frames);
        assert_eq!(rest, 0, "a frame is incomplete");
        let closes = frames.iter().filter(|frame| frame.opcode == 8).count();
        assert_eq!((closes, frames.last().map(|frame| frame.opcode)), (1, Some(8)));
        let messages = frames.into_iter().filter(|frame| frame.opcode < 8);
        let messages: Vec<_> = messages.map(|frame| (frame.opcode == 1, frame.payload)).collect();
        assert!(self.sent.starts_with(&messages), "the messages differ from those sent");
        assert!(self.has_discarded || messages.len() == self.sent.len(), "messages are lost");
    }
}
