//! Bytes of a WebSocket that wait to be handled.

/// Received bytes, handled piece by piece.
#[derive(Debug, Default)]
pub struct Held {
    bytes: Vec<u8>,
    /// Bytes at the start that have been handled.
    done: usize,
}

impl Held {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.done)
    }

    /// Memory in use.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds bytes behind those that wait.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes that wait.
    pub fn rest(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.done..).unwrap_or_default()
    }

    /// All but the last `left` bytes have been handled.
    pub fn keep(&mut self, left: usize) {
        if left == 0 {
            *self = Self::default();
        } else {
            self.done = self.bytes.len().saturating_sub(left);
        }
    }
}
