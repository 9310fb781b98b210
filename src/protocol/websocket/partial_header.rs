//! Frame headers that arrive in pieces.

use super::frame::{self, Header, MAX_HEADER};
use super::unread::Unread;
use super::violation::Violation;

/// The first bytes of a header; none before the first has arrived.
#[derive(Debug, Default)]
pub(super) struct PartialHeader {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

impl PartialHeader {
    /// Reads on in a header; `None` when more bytes are needed.
    pub fn read(&mut self, unread: &mut Unread<'_>) -> Result<Option<Header>, Violation> {
        if self.len == 0 {
            if let Some(header) = frame::parse(unread.bytes())? {
                unread.take(header.size);
                return Ok(Some(header));
            }
            self.push(unread.take_all());
            return Ok(None);
        }
        while !unread.is_empty() {
            self.push(unread.take(1));
            if let Some(header) = frame::parse(self.filled())? {
                self.len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    fn push(&mut self, bytes: &[u8]) {
        for (space, byte) in self.bytes.iter_mut().skip(self.len).zip(bytes) {
            *space = *byte;
        }
        self.len = self.len.saturating_add(bytes.len()).min(MAX_HEADER);
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}
