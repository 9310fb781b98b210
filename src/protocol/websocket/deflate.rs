//! Compresses messages for permessage-deflate (RFC 7692 section 7.2.1).
//!
//! A compressor needs up to 320 KiB. Without context takeover it starts anew with each message, so one
//! compressor per thread serves all connections. A connection with context takeover gets its own with
//! its first compressed message.

use std::cell::Cell;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Method, Strategy};

/// The end of a flushed DEFLATE stream, which is not sent (RFC 7692 section 7.2.1).
pub(super) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The bytes of one step of compression.
const STEP: usize = 16 * 1024;
/// The most compressors that a thread keeps: one for each combination of settings.
const MAX_KEPT: usize = 4;

/// How messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Messages of fewer bytes are not compressed.
    pub threshold: usize,
    /// The size of the window, as a power of two from 9 to 15.
    pub window_bits: u8,
    /// The level of compression, from -1 to 9.
    pub level: i32,
    /// The memory of the compressor, from 1 to 9.
    pub mem_level: i32,
    /// zlib's number of the strategy.
    pub strategy: u8,
}

impl Settings {
    fn compressor(self) -> Deflate {
        Deflate::new_with_config(DeflateConfig {
            level: self.level.clamp(-1, 9),
            method: Method::Deflated,
            // A negative number asks for a raw stream. zlib has no raw streams with 8 bits.
            window_bits: i32::from(self.window_bits.clamp(9, 15)).saturating_neg(),
            mem_level: self.mem_level.clamp(1, 9),
            strategy: match self.strategy {
                1 => Strategy::Filtered,
                2 => Strategy::HuffmanOnly,
                3 => Strategy::Rle,
                4 => Strategy::Fixed,
                _ => Strategy::Default,
            },
        })
    }
}

/// What a thread keeps for connections without context takeover.
#[derive(Default)]
struct Kept {
    compressors: Vec<(Settings, Deflate)>,
}

thread_local! {
    static KEPT: Cell<Kept> = const { Cell::new(Kept { compressors: Vec::new() }) };
}

/// Compresses one message without a context. Returns the payload of its frame; `None` if that would not
/// be shorter than the message.
pub fn compress_alone(settings: Settings, prefix: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let mut kept = KEPT.take();
    let at = kept.compressors.iter().position(|(of, _)| *of == settings);
    let (of, mut compressor) = match at {
        Some(at) => kept.compressors.swap_remove(at),
        None => (settings, settings.compressor()),
    };
    let compressed = compress(&mut compressor, prefix, body);
    compressor.reset();
    if kept.compressors.len() >= MAX_KEPT {
        kept.compressors.remove(0);
    }
    kept.compressors.push((of, compressor));
    KEPT.set(kept);
    compressed.filter(|bytes| bytes.len() < prefix.len().saturating_add(body.len()))
}

/// Runs a compressor over a message and removes the tail. zlib only fails for streams that are in use
/// wrongly; then the message is sent without compression.
fn compress(compressor: &mut Deflate, prefix: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    // Small messages fit into the first step; the capacity only grows with what they need.
    let mut step = [0; STEP];
    for (input, flush) in [(prefix, DeflateFlush::NoFlush), (body, DeflateFlush::SyncFlush)] {
        let mut rest = input;
        loop {
            let (read, written) = (compressor.total_in(), compressor.total_out());
            compressor.compress(rest, &mut step, flush).ok()?;
            let read = compressor.total_in().saturating_sub(read);
            let written = compressor.total_out().saturating_sub(written);
            let written = usize::try_from(written).ok()?;
            rest = rest.get(usize::try_from(read).ok()?..)?;
            out.extend_from_slice(step.get(..written)?);
            // A step that is not full means that nothing is left to flush.
            if written < STEP && rest.is_empty() {
                break;
            }
            if written == 0 {
                return None;
            }
        }
    }
    if out.ends_with(&TAIL) {
        out.truncate(out.len().saturating_sub(TAIL.len()));
    }
    Some(out)
}

/// The compressor of one connection.
pub struct Deflater {
    settings: Settings,
    /// Whether messages refer to earlier ones.
    has_context: bool,
    /// The context, once there is one.
    context: Option<Deflate>,
    /// Whether the context must be emptied before the next message.
    is_stale: bool,
    /// Whether a message was compressed with the context since [`Self::release_idle`].
    is_used: bool,
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflater")
            .field("settings", &self.settings)
            .field("has_context", &self.has_context)
            .finish_non_exhaustive()
    }
}

impl Deflater {
    /// A compressor. With `has_context`, messages may refer to earlier ones.
    pub fn new(settings: Settings, has_context: bool) -> Self {
        Self { settings, has_context, context: None, is_stale: false, is_used: false }
    }

    /// How messages are compressed.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// The payload of a compressed frame for a message; `None` if the message should be sent as it is,
    /// because it is short or cannot be compressed.
    pub fn compress(&mut self, prefix: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        let length = prefix.len().saturating_add(body.len());
        if length < self.settings.threshold || length == 0 {
            return None;
        }
        if !self.has_context {
            return compress_alone(self.settings, prefix, body);
        }
        self.is_used = true;
        let settings = self.settings;
        let context = self.context.get_or_insert_with(|| settings.compressor());
        if std::mem::take(&mut self.is_stale) {
            context.reset();
        }
        let compressed = compress(context, prefix, body).filter(|bytes| bytes.len() < length);
        if compressed.is_none() {
            self.forget();
        }
        compressed
    }

    /// Empties the context, because the peer has inflated a message that is not in it, or the context
    /// has a message that the peer does not inflate. Distances into it would be wrong.
    pub fn forget(&mut self) {
        self.is_stale = true;
    }

    /// Drops a context that was not used since the last call. Its next message starts a new one.
    pub fn release_idle(&mut self) {
        if !std::mem::take(&mut self.is_used) {
            self.context = None;
        }
    }
}
