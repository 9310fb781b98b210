//! Reads fuzz input as a script of small numbers, pieces and text.

/// The rest of the input.
pub struct Script<'a>(pub &'a [u8]);

impl<'a> Script<'a> {
    /// Whether the script has ended.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A random condition.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A size in bytes. Most are small; some are around the limits of joining and of header
    /// lengths.
    pub fn size(&mut self) -> usize {
        match self.byte() {
            small @ 0..=199 => usize::from(small),
            near @ 200..=219 => 4_096 - 10 + usize::from(near - 200),
            near @ 220..=239 => 65_536 - 10 + usize::from(near - 220),
            large => usize::from(large - 239) * 3_000,
        }
    }

    /// A piece, preceded by its length.
    pub fn piece(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        piece
    }

    /// The part of a piece that is UTF-8.
    pub fn text(&mut self) -> &'a str {
        let piece = self.piece();
        match std::str::from_utf8(piece) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&piece[..error.valid_up_to()]).unwrap_or(""),
        }
    }

    /// Text, or nothing.
    pub fn optional(&mut self) -> Option<&'a str> {
        self.flag().then(|| self.text())
    }

    /// One of the known texts, or any other.
    pub fn one_of(&mut self, known: &[&'a str]) -> &'a str {
        let choice = usize::from(self.byte());
        known.get(choice).copied().unwrap_or_else(|| self.text())
    }
}
