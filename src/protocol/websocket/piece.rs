//! The pieces that a send queue consists of.

use std::sync::Arc;

use crate::protocol::broadcast::{Broadcast, Form};

/// Bytes of a send queue that one slice of a system call can cover.
#[derive(Debug)]
pub(super) struct Piece {
    /// The bytes.
    pub memory: Memory,
    /// The number of data frames that end in this piece.
    pub messages: usize,
    /// Whether the piece begins within a frame whose header ends the piece before it.
    pub continues: bool,
}

/// The owner of a piece's bytes.
#[derive(Debug)]
pub(super) enum Memory {
    /// The queue alone.
    Own(Vec<u8>),
    /// All queues that hold the broadcast, in one of its forms.
    Shared(Arc<Broadcast>, Form),
}

impl Piece {
    pub fn bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Own(bytes) => bytes,
            Memory::Shared(broadcast, form) => broadcast.frame(*form),
        }
    }

    /// The number of bytes that other queues hold as well.
    pub fn held_elsewhere(&self) -> usize {
        match &self.memory {
            Memory::Shared(broadcast, _) if Arc::strong_count(broadcast) > 1 => self.bytes().len(),
            Memory::Shared(..) | Memory::Own(_) => 0,
        }
    }
}
