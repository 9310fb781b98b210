//! Received WebSocket bytes that wait to be handled.

/// Once this many bytes wait for a POST to be completed, the WebSocket is not read any more.
pub(super) const MAX_BEHIND_POST: usize = 64 * 1024;

/// Received bytes that are handled piece by piece.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    /// The number of bytes at the start that have been handled.
    done: usize,
}

impl Held {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of waiting bytes.
    pub fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.done)
    }

    /// Allocated memory in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The waiting bytes.
    pub fn rest(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.done..).unwrap_or_default()
    }

    /// Removes all but the last `left` bytes, which have not been handled.
    pub fn keep(&mut self, left: usize) {
        if left == 0 {
            *self = Self::default();
        } else {
            self.done = self.bytes.len().saturating_sub(left);
        }
    }
}
