//! Messages that arrive in pieces.

use super::violation::Violation;

/// The memory in bytes that an unfinished message is charged beyond its bytes.
const MESSAGE_COST: usize = 64;

/// A message of which a part has arrived. It never owns more memory than twice what has arrived.
#[derive(Debug)]
pub(super) struct Assembly {
    is_text: bool,
    /// The bytes are compressed. UTF-8 is validated once they are inflated.
    is_compressed: bool,
    bytes: Vec<u8>,
    fragments: u32,
    /// The length of the part of a text that is known to be UTF-8.
    validated: usize,
}

impl Assembly {
    /// An empty message whose first frame has begun.
    pub fn new(is_text: bool, is_compressed: bool) -> Self {
        Self { is_text, is_compressed, bytes: Vec::new(), fragments: 1, validated: 0 }
    }

    /// Whether the message is text.
    pub fn is_text(&self) -> bool {
        self.is_text
    }

    /// Whether the message is compressed.
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// The number of bytes that have arrived.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Counts one more frame and returns the number of frames.
    pub fn count_fragment(&mut self) -> u32 {
        self.fragments = self.fragments.saturating_add(1);
        self.fragments
    }

    /// The memory of the message in bytes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity().saturating_add(MESSAGE_COST)
    }

    /// Appends a piece. In the last frame of a message, `rest` is the number of bytes that the
    /// frame has announced beyond this piece.
    pub fn append(&mut self, piece: &[u8], rest: Option<u64>) -> Result<(), Violation> {
        self.make_room(piece.len(), rest);
        self.bytes.extend_from_slice(piece);
        if self.is_text && !self.is_compressed { self.validate() } else { Ok(()) }
    }

    /// Memory grows with the bytes that have arrived. An announced length can only make it grow
    /// less, so a peer cannot reserve memory without sending.
    fn make_room(&mut self, count: usize, rest: Option<u64>) {
        let needed = self.bytes.len().saturating_add(count);
        if needed > self.bytes.capacity() {
            let rest = rest.and_then(|rest| usize::try_from(rest).ok()).unwrap_or(usize::MAX);
            let room = needed.saturating_mul(2).min(needed.saturating_add(rest));
            self.bytes.reserve_exact(room.saturating_sub(self.bytes.len()));
        }
    }

    /// Validates what has arrived since the last call, so that invalid UTF-8 is found as early as
    /// possible. A character that is split stays unvalidated.
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

    /// The bytes of the complete message.
    pub fn finish(self) -> Result<Vec<u8>, Violation> {
        // A text that ends within a character has an unvalidated rest.
        if self.is_text && !self.is_compressed && self.validated != self.bytes.len() {
            return Err(Violation::Utf8);
        }
        Ok(self.bytes)
    }
}
