//! The send queue of one WebSocket, in bytes. Small frames are joined, so that one system call can
//! write everything that a turn has queued. Large and shared payloads are not copied.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use super::frame::{self, OpCode};
use super::piece::{Memory, Piece};
use crate::protocol::broadcast::{Broadcast, Form};

/// Payloads of at least this many bytes keep their own memory; smaller ones are joined.
const JOIN_BELOW: usize = 4 * 1024;
/// The most bytes of joined frames in one piece.
const MAX_JOINED: usize = 64 * 1024;
/// The memory in bytes that a piece is charged beyond its bytes.
const PIECE_COST: usize = 64;

/// The send queue of one WebSocket.
#[derive(Debug, Default)]
pub struct Wire {
    pieces: VecDeque<Piece>,
    /// Joined small frames, written after the pieces.
    tail: Vec<u8>,
    /// The number of data frames in the tail.
    tail_messages: usize,
    /// Bytes of the first piece, or of the tail without one, that have been written.
    offset: usize,
    /// Bytes at the start of the first piece that [`Self::discard`] keeps: the answer to the
    /// opening handshake, and the open packet.
    kept: usize,
    /// The number of queued bytes.
    waiting: usize,
    /// The number of queued data frames. Those of a piece count until all of it has been written.
    messages: usize,
    /// The number of queued bytes that are shared with other connections.
    shared: usize,
    /// The number of bytes that have ever been queued: the position of a receipt.
    queued: u64,
}

impl Wire {
    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Queued memory in bytes: the bytes themselves and a fixed cost per piece.
    pub fn cost(&self) -> usize {
        self.waiting.saturating_add(self.pieces.len().saturating_mul(PIECE_COST))
    }

    /// The part of [`Self::cost`] that is not shared with other connections.
    pub fn own(&self) -> usize {
        self.cost().saturating_sub(self.shared.min(self.waiting))
    }

    /// The memory in bytes that dropping this queue would free: [`Self::own`], and broadcasts that
    /// no other queue holds any more.
    pub fn alone(&self) -> usize {
        let held_elsewhere = self.pieces.iter().map(Piece::held_elsewhere);
        self.cost().saturating_sub(held_elsewhere.fold(0, usize::saturating_add))
    }

    /// The number of queued bytes.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The number of queued data frames.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// The number of bytes that have ever been queued.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// The number of bytes that have left the queue.
    pub fn written_total(&self) -> u64 {
        self.queued.saturating_sub(self.waiting as u64)
    }

    /// A queue whose first bytes are the answer to the opening handshake.
    pub fn new(answer: &[u8]) -> Self {
        let mut wire = Self::default();
        wire.push_raw(answer);
        wire.keep();
        wire
    }

    /// Makes [`Self::discard`] keep everything that is queued now.
    pub fn keep(&mut self) {
        if self.pieces.is_empty() {
            self.kept = self.tail.len();
        }
    }

    /// Queues bytes unchanged.
    fn push_raw(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.tail.extend_from_slice(bytes);
        self.count(bytes.len());
    }

    /// Queues a frame with the payload `prefix` and `body`.
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

    /// Queues a frame and takes over its body. A large body is not copied.
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
        self.pieces.push_back(Piece { memory: Memory::Own(body), messages: 1, continues: true });
    }

    /// Queues a frame with a compressed message.
    pub fn push_compressed(&mut self, opcode: OpCode, body: Vec<u8>) {
        let is_long = body.len() >= JOIN_BELOW;
        self.make_room(frame::MAX_HEADER.saturating_add(if is_long { 0 } else { body.len() }));
        let before = self.tail.len();
        frame::write_compressed_header(opcode, body.len(), &mut self.tail);
        self.count(self.tail.len().saturating_sub(before).saturating_add(body.len()));
        if !is_long {
            self.tail.extend_from_slice(&body);
            return self.count_in_tail();
        }
        self.seal();
        self.messages = self.messages.saturating_add(1);
        self.pieces.push_back(Piece { memory: Memory::Own(body), messages: 1, continues: true });
    }

    /// Queues a frame of a broadcast, which all its receivers share.
    pub fn push_shared(&mut self, broadcast: &Arc<Broadcast>, form: Form) {
        let frame = broadcast.frame(form);
        // After a few small frames, a copy is cheaper than one more slice in the system call.
        let is_short = self.waiting < MAX_JOINED && !self.tail.is_empty();
        if frame.len() < JOIN_BELOW && is_short {
            self.push_raw(frame);
            return self.count_in_tail();
        }
        self.count(frame.len());
        self.shared = self.shared.saturating_add(frame.len());
        self.seal();
        self.messages = self.messages.saturating_add(1);
        let memory = Memory::Shared(Arc::clone(broadcast), form);
        self.pieces.push_back(Piece { memory, messages: 1, continues: false });
    }

    fn count_in_tail(&mut self) {
        self.messages = self.messages.saturating_add(1);
        self.tail_messages = self.tail_messages.saturating_add(1);
    }

    /// Reserves room in the tail. A tail that would become too long is sealed first.
    fn make_room(&mut self, room: usize) {
        if !self.tail.is_empty() && self.tail.len().saturating_add(room) > MAX_JOINED {
            self.seal();
        }
        let needed = self.tail.len().saturating_add(room);
        if needed > self.tail.capacity() {
            // Doubling beyond the longest tail would reserve memory that is never used.
            let doubled = self.tail.capacity().saturating_mul(2).min(MAX_JOINED);
            self.tail.reserve_exact(doubled.max(needed).saturating_sub(self.tail.len()));
        }
    }

    /// Turns the tail into a piece.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let memory = Memory::Own(std::mem::take(&mut self.tail));
            let messages = std::mem::take(&mut self.tail_messages);
            self.pieces.push_back(Piece { memory, messages, continues: false });
        }
    }

    fn count(&mut self, added: usize) {
        self.waiting = self.waiting.saturating_add(added);
        self.queued = self.queued.saturating_add(added as u64);
    }

    /// Fills `slices` with the next bytes to write and returns the number of filled slices.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled: usize = 0;
        let mut skip = self.offset;
        let tail = Some(self.tail.as_slice()).filter(|tail| !tail.is_empty());
        let pieces = self.pieces.iter().map(Piece::bytes).chain(tail);
        for (slice, bytes) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(bytes.get(skip..).unwrap_or(&[]));
            skip = 0;
            filled = filled.saturating_add(1);
        }
        filled
    }

    /// Removes written bytes from the queue.
    pub fn written(&mut self, mut count: usize) {
        self.waiting = self.waiting.saturating_sub(count);
        if self.waiting == 0 {
            // An idle connection should not own memory.
            self.pieces = VecDeque::new();
            self.tail = Vec::new();
            self.tail_messages = 0;
            self.offset = 0;
            self.kept = 0;
            self.messages = 0;
            self.shared = 0;
            return;
        }
        while let Some(front) = self.pieces.front() {
            let left = front.bytes().len().saturating_sub(self.offset);
            if count < left {
                break;
            }
            count = count.saturating_sub(left);
            self.offset = 0;
            self.kept = 0;
            let Some(Piece { memory, messages, .. }) = self.pieces.pop_front() else { break };
            self.messages = self.messages.saturating_sub(messages);
            if let Memory::Shared(broadcast, form) = memory {
                self.shared = self.shared.saturating_sub(broadcast.frame(form).len());
            }
        }
        self.offset = self.offset.saturating_add(count);
    }

    /// Empties the queue, except for bytes that are kept and for the rest of a frame that has been
    /// written in part. Without that rest, the peer would take the next frame for its payload.
    pub fn discard(&mut self) {
        self.seal();
        let end = self.end_of_begun_frame();
        let rest = self.pieces.pop_front().map(|front| {
            let bytes = front.bytes();
            bytes.get(self.offset..end.min(bytes.len())).unwrap_or(&[]).to_vec()
        });
        let rest = rest.unwrap_or_default();
        let body = self.pieces.pop_front().filter(|next| next.continues && end == usize::MAX);
        *self = Self {
            waiting: rest.len().saturating_add(body.as_ref().map_or(0, |body| body.bytes().len())),
            kept: self.kept.saturating_sub(self.offset).min(rest.len()),
            queued: self.queued,
            tail: rest,
            ..Self::default()
        };
        if let Some(body) = body {
            self.seal();
            self.pieces.push_back(body);
        }
    }

    /// The offset in the first piece at which the frame ends that has been written in part;
    /// `usize::MAX` if it ends in the next piece.
    fn end_of_begun_frame(&self) -> usize {
        let Some(front) = self.pieces.front() else { return 0 };
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
        if matches!(front.memory, Memory::Shared(..)) {
            return bytes.len();
        }
        let mut end = self.kept;
        while end < self.offset {
            // Bytes that are not a frame come from a frame that the app built; it is sent whole.
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
    fn keeps_order_over_all_kinds_of_pieces() {
        let text = OpCode::Data(Data::Text);
        for step in [1, 3, 1000, usize::MAX] {
            let mut wire = Wire::default();
            wire.push_frame(text, b"4", b"a");
            wire.push_shared(&Arc::new(Broadcast::text(b"b")), Form::Plain);
            wire.push_owned(text, b"4", vec![b'c'; JOIN_BELOW]);
            wire.push_shared(&Arc::new(Broadcast::text(b"d")), Form::Plain);
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
    fn discarding_keeps_the_answer_to_the_opening_handshake() {
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
    fn counts_the_messages_that_are_not_written() {
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

    /// A queue with frames of all sizes and kinds of memory, and the offset of each frame.
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
        wire.push_shared(&Arc::new(Broadcast::text(&[b'y'; 300])), Form::Plain);
        starts.push(wire.waiting());
        wire.push_frame(OpCode::Control(frame::Control::Pong), b"", b"");
        starts.push(wire.waiting());
        wire.push_owned(text, b"", vec![b'z'; 2 * JOIN_BELOW]);
        starts.push(wire.waiting());
        (wire, starts)
    }

    /// Whether the bytes consist of complete frames.
    fn are_frames(mut bytes: &[u8]) -> bool {
        while let Some(extent) = frame::extent(bytes) {
            let Some(rest) = bytes.get(extent..) else { return false };
            bytes = rest;
        }
        bytes.is_empty()
    }

    #[test]
    fn discarding_completes_a_frame_that_has_begun() {
        let (mut whole, starts) = mixed();
        let all = drain(&mut whole, usize::MAX);
        let (distance, stride) = if cfg!(miri) { (1, 20_011) } else { (16, 101) };
        let is_near = |at: &usize| starts.iter().any(|start| at.abs_diff(*start) < distance);
        for written in (0..all.len()).filter(|at| is_near(at) || at % stride == 0) {
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
    fn reserves_no_more_than_a_piece() {
        let mut wire = Wire::default();
        for _ in 0..1000 {
            wire.push_frame(OpCode::Data(Data::Text), b"4", &[0; 199]);
        }
        let reserved = |piece: &Piece| match &piece.memory {
            Memory::Own(bytes) => bytes.capacity(),
            Memory::Shared(..) => 0,
        };
        let reserved: usize = wire.pieces.iter().map(reserved).sum();
        assert!(reserved <= wire.waiting() * 21 / 20, "{reserved} for {}", wire.waiting());
    }
}
