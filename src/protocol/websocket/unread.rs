//! Received bytes that have not been read.

use std::mem;

/// The unread rest of received bytes. Payloads are unmasked in place and handed out as slices.
#[derive(Debug)]
pub struct Unread<'a>(&'a mut [u8]);

impl<'a> Unread<'a> {
    /// Wraps bytes as they were received.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all bytes have been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of unread bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The unread bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0
    }

    /// Takes up to `count` bytes from the front.
    pub(super) fn take(&mut self, count: usize) -> &'a mut [u8] {
        let bytes = mem::take(&mut self.0);
        let (head, rest) = bytes.split_at_mut(count.min(bytes.len()));
        self.0 = rest;
        head
    }

    /// Takes all unread bytes.
    pub fn take_all(&mut self) -> &'a mut [u8] {
        mem::take(&mut self.0)
    }
}
