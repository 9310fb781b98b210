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
    /// It starts inside a frame whose header ends the chunk before it.
    continues: bool,
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

    /// Of [`Self::cost`], what is not shared with other connections.
    pub fn own(&self) -> usize {
        self.cost().saturating_sub(self.shared.min(self.waiting))
    }

    /// Memory that the end of this queue would free: its own, and broadcasts that no other queue
    /// waits to send.
    pub fn alone(&self) -> usize {
        let shared = |chunk: &Chunk| match &chunk.memory {
            Memory::Shared(broadcast) if Arc::strong_count(broadcast) > 1 => chunk.bytes().len(),
            Memory::Shared(_) | Memory::Own(_) => 0,
        };
        let elsewhere = self.chunks.iter().map(shared).fold(0, usize::saturating_add);
        self.cost().saturating_sub(elsewhere)
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
        self.chunks.push_back(Chunk { memory: Memory::Own(body), messages: 1, continues: true });
    }

    /// Queues a broadcast's frame, shared with all its receivers.
    pub fn push_shared(&mut self, broadcast: &Arc<Broadcast>) {
        let frame = broadcast.frame();
        // Behind a few small frames a copy is cheaper than one more slice for the system call.
        let is_short = self.waiting < MAX_JOINED && !self.tail.is_empty();
        if frame.len() < JOIN_BELOW && is_short {
            self.push_raw(frame);
            return self.count_in_tail();
        }
        self.count(frame.len());
        self.shared = self.shared.saturating_add(frame.len());
        self.seal();
        self.messages = self.messages.saturating_add(1);
        let memory = Memory::Shared(Arc::clone(broadcast));
        self.chunks.push_back(Chunk { memory, messages: 1, continues: false });
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
        let needed = self.tail.len().saturating_add(room);
        if needed > self.tail.capacity() {
            // Doubling past the longest chunk would reserve memory that is never used.
            let doubled = self.tail.capacity().saturating_mul(2).min(MAX_JOINED);
            self.tail.reserve_exact(doubled.max(needed).saturating_sub(self.tail.len()));
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let memory = Memory::Own(std::mem::take(&mut self.tail));
            let messages = std::mem::take(&mut self.tail_messages);
            self.chunks.push_back(Chunk { memory, messages, continues: false });
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
            let Some(Chunk { memory, messages, .. }) = self.chunks.pop_front() else { break };
            self.messages = self.messages.saturating_sub(messages);
            if let Memory::Shared(broadcast) = memory {
                self.shared = self.shared.saturating_sub(broadcast.frame().len());
            }
        }
        self.offset = self.offset.saturating_add(count);
    }

    /// Drops what waits, except for what is kept and for the rest of a frame that the peer has
    /// begun to receive: the next frame would be read as that one's payload.
    pub fn discard(&mut self) {
        self.seal();
        let end = self.end_of_begun_frame();
        let rest = self.chunks.pop_front().map(|front| {
            let bytes = front.bytes();
            bytes.get(self.offset..end.min(bytes.len())).unwrap_or(&[]).to_vec()
        });
        let rest = rest.unwrap_or_default();
        let body = self.chunks.pop_front().filter(|next| next.continues && end == usize::MAX);
        *self = Self {
            waiting: rest.len().saturating_add(body.as_ref().map_or(0, |body| body.bytes().len())),
            kept: self.kept.saturating_sub(self.offset).min(rest.len()),
            queued: self.queued,
            tail: rest,
            ..Self::default()
        };
        if let Some(body) = body {
            self.seal();
            self.chunks.push_back(body);
        }
    }

    /// Where in the first chunk the frame ends that has been written in part; `usize::MAX` when it
    /// ends in the chunk behind it.
    fn end_of_begun_frame(&self) -> usize {
        let Some(front) = self.chunks.front() else { return 0 };
        let bytes = front.bytes();
        if self.offset < self.kept {
            return self.kept;
        }
        if front.continues {
            return bytes.len();
        }
        if self.offset == 0 {
            return 0;
        }
        if matches!(front.memory, Memory::Shared(_)) {
            return bytes.len();
        }
        let mut end = self.kept;
        while end < self.offset {
            // What cannot be read as a frame was framed by the app; it is sent whole.
            let Some(extent) = bytes.get(end..).and_then(frame::extent) else { return bytes.len() };
            end = end.saturating_add(extent);
        }
        if end > bytes.len() { usize::MAX } else { end }
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
            assert_eq!(left, [&b"101"[written..], b"\x81\x05close"].concat());
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

    /// Frames of all sizes and kinds of memory, and where each of them starts.
    fn mixed() -> (Wire, Vec<usize>) {
        let text = OpCode::Data(Data::Text);
        let mut wire = Wire::new(b"HTTP/1.1 101");
        wire.push_frame(text, b"0", b"open");
        wire.keep();
        let mut starts = vec![wire.waiting()];
        wire.push_frame(text, b"4", b"abc");
        starts.push(wire.waiting());
        wire.push_owned(text, b"4", vec![b'x'; JOIN_BELOW]);
        starts.push(wire.waiting());
        wire.push_shared(&Arc::new(Broadcast::text(&[b'y'; 300])));
        starts.push(wire.waiting());
        wire.push_frame(OpCode::Control(frame::Control::Pong), b"", b"");
        starts.push(wire.waiting());
        wire.push_owned(text, b"", vec![b'z'; 2 * JOIN_BELOW]);
        starts.push(wire.waiting());
        (wire, starts)
    }

    /// Whether bytes are whole frames.
    fn are_frames(mut bytes: &[u8]) -> bool {
        while let Some(extent) = frame::extent(bytes) {
            let Some(rest) = bytes.get(extent..) else { return false };
            bytes = rest;
        }
        bytes.is_empty()
    }

    #[test]
    fn completes_a_frame_that_has_begun_and_discards_the_rest() {
        let (mut whole, starts) = mixed();
        let all = drain(&mut whole, usize::MAX);
        let is_near = |at: &usize| starts.iter().any(|start| at.abs_diff(*start) < 16);
        for written in (0..all.len()).filter(|at| is_near(at) || at % 101 == 0) {
            let (mut wire, _) = mixed();
            wire.written(written);
            wire.discard();
            let kept = starts.iter().copied().find(|start| *start >= written).unwrap();
            assert_eq!(wire.waiting(), kept - written, "{written}");
            wire.push_frame(OpCode::Control(frame::Control::Close), b"", b"");
            let left = drain(&mut wire, 1000);
            assert!(left.ends_with(b"\x88\0"));
            assert_eq!(left[..left.len() - 2], all[written..kept], "{written}");
            let out = [&all[..written], &left].concat();
            assert!(are_frames(&out[b"HTTP/1.1 101".len()..]), "{written}");
        }
    }

    #[test]
    fn reserves_no_more_than_a_chunk() {
        let mut wire = Wire::default();
        for _ in 0..1000 {
            wire.push_frame(OpCode::Data(Data::Text), b"4", &[0; 199]);
        }
        let reserved = |chunk: &Chunk| match &chunk.memory {
            Memory::Own(bytes) => bytes.capacity(),
            Memory::Shared(_) => 0,
        };
        let reserved: usize = wire.chunks.iter().map(reserved).sum();
        assert!(reserved <= wire.waiting() * 21 / 20, "{reserved} for {}", wire.waiting());
    }
}
