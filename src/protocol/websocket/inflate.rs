//! Inflates messages of permessage-deflate (RFC 7692 section 7.2.2), in steps, so that a small message
//! that inflates to a huge one costs neither more memory than a message may have nor more time than
//! other connections can wait.

use std::borrow::Cow;
use std::cell::Cell;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::deflate::TAIL;
use super::extension::MAX_WINDOW_BITS;
use super::violation::Violation;

/// The most bytes that one step inflates.
const STEP: usize = 16 * 1024;
/// The bytes that one input of a session may inflate; the rest waits for the next turn.
pub const BUDGET: usize = 1024 * 1024;
/// The memory of an inflater beyond its window, in bytes.
const INFLATER_COST: usize = 16 * 1024;

thread_local! {
    /// The inflater for all connections of a thread that have no context.
    static KEPT: Cell<Option<Inflate>> = const { Cell::new(None) };
}

/// The inflater of one connection.
pub struct Inflater {
    /// Whether messages refer to earlier ones.
    has_context: bool,
    /// The window of the client, as a power of two.
    window_bits: u8,
    /// The context, once there is one.
    context: Option<Inflate>,
    /// A message that has arrived and is not inflated completely.
    pending: Option<Box<Pending>>,
    /// The bytes that may be inflated before the next turn.
    budget: usize,
    /// The messages are not needed any more.
    is_stopped: bool,
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").field("has_context", &self.has_context).finish_non_exhaustive()
    }
}

/// A message that is being inflated.
struct Pending {
    is_text: bool,
    inflate: Inflate,
    compressed: Vec<u8>,
    /// Compressed bytes that have been read.
    read: usize,
    bytes: Vec<u8>,
}

/// An inflated message.
#[derive(Debug, PartialEq, Eq)]
pub struct Inflated {
    /// Whether the message is text, which is known to be UTF-8 then.
    pub is_text: bool,
    /// The message.
    pub bytes: Vec<u8>,
}

impl Inflater {
    /// An inflater. With `has_context`, messages may refer to earlier ones within the client's window.
    pub fn new(has_context: bool, window_bits: u8) -> Self {
        Self {
            has_context,
            window_bits,
            context: None,
            pending: None,
            budget: BUDGET,
            is_stopped: false,
        }
    }

    /// Allows another [`BUDGET`].
    pub fn renew_budget(&mut self) {
        self.budget = BUDGET;
    }

    /// Whether a message is waiting for the next budget.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Drops contexts, and makes messages that follow empty.
    pub fn stop(&mut self) {
        self.context = None;
        self.pending = None;
        self.is_stopped = true;
    }

    /// The memory in bytes of the message that is being inflated.
    pub fn memory(&self) -> usize {
        let Some(pending) = &self.pending else { return 0 };
        let inflater = INFLATER_COST.saturating_add(1 << MAX_WINDOW_BITS);
        let buffers = pending.compressed.capacity().saturating_add(pending.bytes.capacity());
        buffers.saturating_add(inflater)
    }

    /// The most bytes that a compressed message may have. A message that cannot be compressed grows a
    /// little, and must not be refused for that.
    pub fn max_compressed(max_message: usize) -> u64 {
        (max_message as u64).saturating_add(max_message as u64 / 8).saturating_add(64)
    }

    /// Inflates a message that has arrived completely. Returns `None` if the budget is used up; then
    /// [`Self::proceed`] goes on with it.
    ///
    /// # Errors
    ///
    /// The message is too long, is not valid DEFLATE data, or is a text and not UTF-8.
    pub fn inflate(
        &mut self,
        is_text: bool,
        compressed: Cow<'_, [u8]>,
        max: usize,
    ) -> Result<Option<Inflated>, Violation> {
        if self.is_stopped {
            return Ok(Some(Inflated { is_text: false, bytes: Vec::new() }));
        }
        // A message without even an empty block is not valid, but there are senders of it, and its
        // meaning is clear.
        if compressed.is_empty() {
            return Ok(Some(Inflated { is_text, bytes: Vec::new() }));
        }
        let mut inflate = self.take_inflate();
        let (mut read, mut bytes) = (0, Vec::new());
        let state =
            step_on(&mut inflate, &compressed, &mut read, &mut bytes, max, &mut self.budget)?;
        if state == State::OutOfBudget {
            let compressed = compressed.into_owned();
            self.pending = Some(Box::new(Pending { is_text, inflate, compressed, read, bytes }));
            return Ok(None);
        }
        self.finish(state, inflate, is_text, bytes).map(Some)
    }

    /// Goes on with the message that is being inflated; `None` if there is none, or if the budget is
    /// used up.
    ///
    /// # Errors
    ///
    /// As for [`Self::inflate`].
    pub fn proceed(&mut self, max: usize) -> Result<Option<Inflated>, Violation> {
        let Some(mut pending) = self.pending.take() else { return Ok(None) };
        let Pending { inflate, compressed, read, bytes, .. } = &mut *pending;
        let state = step_on(inflate, compressed, read, bytes, max, &mut self.budget)?;
        if state == State::OutOfBudget {
            self.pending = Some(pending);
            return Ok(None);
        }
        let Pending { is_text, inflate, bytes, .. } = *pending;
        self.finish(state, inflate, is_text, bytes).map(Some)
    }

    fn take_inflate(&mut self) -> Inflate {
        let taken = if self.has_context { self.context.take() } else { KEPT.take() };
        // Without a context, one inflater with the largest window serves all connections.
        let bits = if self.has_context { self.window_bits.clamp(9, 15) } else { MAX_WINDOW_BITS };
        taken.unwrap_or_else(|| Inflate::new(false, bits))
    }

    fn finish(
        &mut self,
        state: State,
        mut inflate: Inflate,
        is_text: bool,
        bytes: Vec<u8>,
    ) -> Result<Inflated, Violation> {
        if !self.has_context {
            inflate.reset(false);
            KEPT.set(Some(inflate));
        } else if state == State::Complete {
            self.context = Some(inflate);
        }
        // After a final block the peer has started a new stream, so its context is gone as well.
        if is_text && std::str::from_utf8(&bytes).is_err() {
            return Err(Violation::Utf8);
        }
        Ok(Inflated { is_text, bytes })
    }
}

/// How far a message is inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Completely.
    Complete,
    /// Completely, and its last block was marked as the stream's last.
    Ended,
    /// There is more, but the budget is used up.
    OutOfBudget,
}

/// Inflates until the message is complete or the budget is used up. Never holds more than `max` bytes
/// and one.
fn step_on(
    inflate: &mut Inflate,
    compressed: &[u8],
    read: &mut usize,
    bytes: &mut Vec<u8>,
    max: usize,
    budget: &mut usize,
) -> Result<State, Violation> {
    let mut step = [0; STEP];
    loop {
        if *budget == 0 {
            return Ok(State::OutOfBudget);
        }
        let rest = compressed.get(*read..).unwrap_or(&[]);
        let room = max.saturating_sub(bytes.len()).saturating_add(1).min(STEP);
        let space = step.get_mut(..room).unwrap_or(&mut []);
        let (consumed, produced, status) = run(inflate, rest, space)?;
        *read = read.saturating_add(consumed);
        *budget = budget.saturating_sub(consumed.saturating_add(produced).max(1));
        if bytes.len().saturating_add(produced) > max {
            return Err(Violation::MessageTooBig);
        }
        make_room(bytes, produced, max);
        bytes.extend_from_slice(step.get(..produced).unwrap_or(&[]));
        let rest = compressed.get(*read..).unwrap_or(&[]);
        if status == Status::StreamEnd {
            // A sender that ends its stream may append the header of an empty block, whose rest is the
            // tail that is not sent (RFC 7692 section 7.2.3.4).
            return if matches!(rest, [] | [0]) {
                Ok(State::Ended)
            } else {
                Err(Violation::InvalidCompression)
            };
        }
        if rest.is_empty() && produced < room {
            return end(inflate);
        }
        if consumed == 0 && produced == 0 {
            return Err(Violation::InvalidCompression);
        }
    }
}

/// Adds the tail that the sender has removed. It and an empty block behind it inflate to nothing,
/// unless the message ends within a block.
fn end(inflate: &mut Inflate) -> Result<State, Violation> {
    const END: [u8; 9] =
        [TAIL[0], TAIL[1], TAIL[2], TAIL[3], 0, TAIL[0], TAIL[1], TAIL[2], TAIL[3]];
    let mut space = [0; 1];
    let (consumed, produced, status) = run(inflate, &END, &mut space)?;
    match (status, produced, consumed) {
        (Status::StreamEnd, 0, _) => Ok(State::Ended),
        (Status::Ok | Status::BufError, 0, 9) => Ok(State::Complete),
        _ => Err(Violation::InvalidCompression),
    }
}

/// One call of zlib. Returns how many bytes it has read and written.
fn run(
    inflate: &mut Inflate,
    input: &[u8],
    output: &mut [u8],
) -> Result<(usize, usize, Status), Violation> {
    let (read, written) = (inflate.total_in(), inflate.total_out());
    let status = inflate
        .decompress(input, output, InflateFlush::SyncFlush)
        .map_err(|_| Violation::InvalidCompression)?;
    let read = inflate.total_in().saturating_sub(read);
    let written = inflate.total_out().saturating_sub(written);
    let size = |count| usize::try_from(count).map_err(|_| Violation::InvalidCompression);
    Ok((size(read)?, size(written)?, status))
}

/// A short message gets exactly the memory that it needs, a long one up to twice that, and none gets
/// more than `max` bytes.
fn make_room(bytes: &mut Vec<u8>, added: usize, max: usize) {
    let needed = bytes.len().saturating_add(added);
    if needed > bytes.capacity() {
        let doubled = bytes.capacity().saturating_mul(2).min(max);
        bytes.reserve_exact(doubled.max(needed).saturating_sub(bytes.len()));
    }
}
