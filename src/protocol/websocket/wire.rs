//! What waits to be written on one WebSocket, as bytes: small frames are joined so that all that
//! goes out in a turn leaves in one system call; large and shared payloads are not copied.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use super::frame::{self, OpCode};
use crate::protocol::outbox::Broadcast;

/// Payloads from here on keep their own memory instead of being joined.
const JOIN_BELOW: usize = 4 * 1024;
/// A joined chunk is not grown past this.
const MAX_JOINED: usize = 64 * 1024;
/// What one queued piece costs beyond its bytes.
const CHUNK_COST: usize = 64;

#[derive(Debug)]
struct Chunk {
    memory: Memory,
    /// Data frames that end in it.
    messages: usize,
}

#[derive(Debug)]
enum Memory {
    Own(Vec<u8>),
    Shared(Arc<Broadcast>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Own(bytes) => bytes,
            Memory::Shared(broadcast) => broadcast.frame(),
        }
    }
}

/// The outgoing bytes of one WebSocket.
#[derive(Debug, Default)]
pub struct Wire {
    chunks: VecDeque<Chunk>,
    /// Small frames joined; goes out after the chunks.
    tail: Vec<u8>,
    tail_messages: usize,
    /// Bytes of the first chunk, or of the tail, that are written already.
    offset: usize,
    /// Bytes at the start of the first chunk that are sent in any case: the answer to the opening
    /// handshake, and the open packet.
    kept: usize,
    /// Bytes that wait.
    waiting: usize,
    /// Data frames that wait; those of a chunk count until it has been written.
    messages: usize,
    /// Bytes of chunks that are shared with other connections.
    shared: usize,
    /// Bytes ever queued; positions of receipts count in these.
    queued: u64,
}

impl Wire {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Memory that waits: bytes and a fixed cost for each piece.
    pub fn cost(&self) -> usize {
        self.waiting.saturating_add(self.chunks.len().saturating_mul(CHUNK_COST))
    }

    /// Of [`Self::cost`], bytes that are shared with other connections.
    pub fn shared(&self) -> usize {
        self.shared.min(self.waiting)
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Data frames that wait.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Bytes ever queued.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// Bytes ever written.
    pub fn written_total(&self) -> u64 {
        self.queued.saturating_sub(self.waiting as u64)
    }

    /// A wire whose first bytes are the answer to the opening handshake.
    pub fn new(answer: &[u8]) -> Self {
        let mut wire = Self::default();
        wire.push_raw(answer);
        wire.keep();
        wire
    }

    /// What has been queued so far is sent in any case.
    pub fn keep(&mut self) {
        if self.chunks.is_empty() {
            self.kept = self.tail.len();
        }
    }

    /// Queues bytes as they are.
    fn push_raw(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.tail.extend_from_slice(bytes);
        self.count(bytes.len());
    }

    /// Queues a frame; `prefix` is the first part of its payload.
    pub fn push_frame(&mut self, opcode: OpCode, prefix: &[u8], body: &[u8]) {
        let payload = prefix.len().saturating_add(body.len());
        self.make_room(payload.saturating_add(frame::MAX_HEADER));
        let before = self.tail.len();
        frame::write_header(opcode, payload, &mut self.tail);
        self.tail.extend_from_slice(prefix);
        self.tail.extend_from_slice(body);
        self.count(self.tail.len().saturating_sub(before));
        if matches!(opcode, OpCode::Data(_)) {
            self.count_in_tail();
        }
    }

    /// Queues a frame whose payload is given away; a large one is not copied.
    pub fn push_owned(&mut self, opcode: OpCode, prefix: &[u8], body: Vec<u8>) {
        if body.len() < JOIN_BELOW {
            return self.push_frame(opcode, prefix, &body);
        }
        self.make_room(frame::MAX_HEADER);
        let before = self.tail.len();
        frame::write_header(opcode, prefix.len().saturating_add(body.len()), &mut self.tail);
        self.tail.extend_from_slice(prefix);
        self.count(self.tail.len().saturating_sub(before).saturating_add(body.len()));
        self.seal();
        self.messages = self.messages.saturating_add(1);
        self.chunks.push_back(Chunk { memory: Memory::Own(body), messages: 1 });
    }

    /// Queues a broadcast's frame, shared with all its receivers.
    pub fn push_shared(&mut self, broadcast: &Arc<Broadcast>) {
        let frame = broadcast.frame();
        // Behind small frames a copy is cheaper than one more slice for the system call.
        if frame.len() < JOIN_BELOW && !self.tail.is_empty() {
            self.push_raw(frame);
            return self.count_in_tail();
        }
        self.count(frame.len());
        self.shared = self.shared.saturating_add(frame.len());
        self.seal();
        self.messages = self.messages.saturating_add(1);
        self.chunks.push_back(Chunk { memory: Memory::Shared(Arc::clone(broadcast)), messages: 1 });
    }

    fn count_in_tail(&mut self) {
        self.messages = self.messages.saturating_add(1);
        self.tail_messages = self.tail_messages.saturating_add(1);
    }

    /// Makes the tail a chunk of its own when more would make it too long.
    fn make_room(&mut self, room: usize) {
        if !self.tail.is_empty() && self.tail.len().saturating_add(room) > MAX_JOINED {
            self.seal();
        }
        self.tail.reserve(room);
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let memory = Memory::Own(std::mem::take(&mut self.tail));
            let messages = std::mem::take(&mut self.tail_messages);
            self.chunks.push_back(Chunk { memory, messages });
        }
    }

    fn count(&mut self, added: usize) {
        self.waiting = self.waiting.saturating_add(added);
        self.queued = self.queued.saturating_add(added as u64);
    }

    /// Fills `slices` with what to write next and returns how many were filled.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled: usize = 0;
        let mut skip = self.offset;
        let tail = Some(self.tail.as_slice()).filter(|tail| !tail.is_empty());
        let pieces = self.chunks.iter().map(Chunk::bytes).chain(tail);
        for (slice, bytes) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(bytes.get(skip..).unwrap_or(&[]));
            skip = 0;
            filled = filled.saturating_add(1);
        }
        filled
    }

    /// Forgets what has been written.
    pub fn written(&mut self, mut count: usize) {
        self.waiting = self.waiting.saturating_sub(count);
        if self.waiting == 0 {
            // An idle connection owns no memory.
            self.chunks = VecDeque::new();
            self.tail = Vec::new();
            self.tail_messages = 0;
            self.offset = 0;
            self.kept = 0;
            self.messages = 0;
            self.shared = 0;
            return;
        }
        while let Some(front) = self.chunks.front() {
            let left = front.bytes().len().saturating_sub(self.offset);
            if count < left {
                break;
            }
            count = count.saturating_sub(left);
            self.offset = 0;
            self.kept = 0;
            let Some(Chunk { memory, messages }) = self.chunks.pop_front() else { break };
            self.messages = self.messages.saturating_sub(messages);
            if let Memory::Shared(broadcast) = memory {
                self.shared = self.shared.saturating_sub(broadcast.frame().len());
            }
        }
        self.offset = self.offset.saturating_add(count);
    }

    /// Drops all that waits but what is kept, or the rest of a chunk that is partly written.
    pub fn discard(&mut self) {
        let front = match self.chunks.pop_front() {
            Some(chunk) => chunk.bytes().to_vec(),
            None => std::mem::take(&mut self.tail),
        };
        let end = match self.offset {
            offset if offset < self.kept => self.kept,
            0 => 0,
            _ => front.len(),
        };
        self.kept = self.kept.saturating_sub(self.offset);
        self.tail = front.get(self.offset..end).unwrap_or(&[]).to_vec();
        self.tail_messages = 0;
        self.messages = 0;
        self.chunks = VecDeque::new();
        self.shared = 0;
        self.waiting = self.tail.len();
        self.offset = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::websocket::frame::Data;

    fn drain(wire: &mut Wire, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !wire.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = wire.fill(&mut slices);
            let all: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
            let count = step.min(all.len());
            out.extend(&all[..count]);
            wire.written(count);
        }
        out
    }

    #[test]
    fn keeps_order_over_all_kinds_of_chunks() {
        let text = OpCode::Data(Data::Text);
        for step in [1, 3, 1000, usize::MAX] {
            let mut wire = Wire::default();
            wire.push_frame(text, b"4", b"a");
            wire.push_shared(&Arc::new(Broadcast::text(b"b")));
            wire.push_owned(text, b"4", vec![b'c'; JOIN_BELOW]);
            wire.push_shared(&Arc::new(Broadcast::text(b"d")));
            wire.push_frame(text, b"4", b"e");
            let mut expected = b"\x81\x024a\x81\x024b\x81\x7e\x10\x014".to_vec();
            expected.extend([b'c'; JOIN_BELOW]);
            expected.extend(b"\x81\x024d\x81\x024e");
            assert_eq!(wire.waiting(), expected.len());
            assert_eq!(wire.messages(), 5);
            assert_eq!(drain(&mut wire, step), expected);
            assert_eq!((wire.cost(), wire.messages()), (0, 0));
        }
    }

    #[test]
    fn keeps_the_answer_to_the_handshake() {
        for written in 0..4 {
            let mut wire = Wire::new(b"101");
            wire.push_frame(OpCode::Data(Data::Text), b"", b"open");
            wire.written(written);
            wire.discard();
            wire.push_frame(OpCode::Data(Data::Text), b"", b"close");
            let left = drain(&mut wire, 1);
            let expected: &[u8] =
                if written < 3 { b"\x81\x05close" } else { b"\x81\x04open\x81\x05close" };
            assert_eq!(left, [&b"101"[written..], expected].concat());
        }
    }

    #[test]
    fn counts_the_messages_of_what_is_not_written() {
        let text = OpCode::Data(Data::Text);
        let mut wire = Wire::default();
        wire.push_frame(text, b"", b"ab");
        wire.push_frame(OpCode::Control(super::frame::Control::Pong), b"", b"");
        wire.push_owned(text, b"", vec![0; JOIN_BELOW]);
        assert_eq!(wire.messages(), 2);
        wire.written(4 + 2 + 4);
        assert_eq!(wire.messages(), 1);
        wire.written(JOIN_BELOW - 1);
        assert_eq!(wire.messages(), 1);
        wire.written(1);
        assert_eq!(wire.messages(), 0);
    }

    #[test]
    fn discards_all_but_a_begun_frame() {
        let text = OpCode::Data(Data::Text);
        let mut wire = Wire::default();
        wire.push_frame(text, b"", b"abc");
        wire.push_owned(text, b"", vec![0; JOIN_BELOW]);
        wire.written(2);
        wire.discard();
        wire.push_frame(OpCode::Data(Data::Binary), b"", b"z");
        let left = drain(&mut wire, 1);
        assert!(left.ends_with(b"\x82\x01z"));
        assert!(left.starts_with(b"abc"));
    }
}
