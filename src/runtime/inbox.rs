//! The way of events from the I/O threads to the JavaScript thread: a queue of batches, and one
//! wake-up for as many batches as are in it. `addon/hot_calls.rs` delivers them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use super::commands::SessionId;
use super::sync::{AtomicBool, Mutex, MutexGuard};

/// Bits of a close event's `extra` that hold the close reason; the bits above count unsent messages.
pub const CLOSE_REASON_BITS: u32 = 8;

/// What happened to a session. `src/addon/contract.rs` exports the numbers to JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A text message.
    Text = 0,
    /// A binary message.
    Binary = 1,
    /// The session is closed. `extra` has the close reason and the number of unsent messages, the
    /// payload the details. This is its last event.
    Close = 2,
    /// A WebSocket has been probed and answered.
    Upgrading = 3,
    /// The WebSocket has become the transport.
    Upgraded = 4,
    /// The WebSocket is gone; the session stays on polling.
    UpgradeFailed = 5,
    /// A pong came, or in revision 3 a ping.
    Heartbeat = 6,
    /// A ping was queued.
    PingSent = 7,
    /// `extra` messages that asked for a receipt have been sent.
    Sent = 8,
    /// Answer the GET with the token `extra`.
    AnswerGet = 9,
    /// Refuse the GET with the token `extra`.
    RefuseGet = 10,
    /// A limit was met; the payload describes it.
    Limit = 11,
    /// The session can take another POST.
    PostWanted = 12,
    /// Answer the GET with the token `extra` with bytes.
    AnswerGetBytes = 13,
}

/// What to do with a JavaScript stream. JavaScript tells these from a [`Kind`] by their numbers, which
/// are larger; `src/addon/contract.rs` does not compile otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamKind {
    /// Write the payload.
    Write = 32,
    /// End it.
    End = 33,
    /// Destroy it.
    Reset = 34,
    /// Stop reading it.
    Pause = 35,
    /// Read it again.
    Resume = 36,
}

/// What happened, and to which session or stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// An event of a session.
    Session {
        /// The session.
        id: SessionId,
        /// What happened.
        kind: Kind,
        /// A token, a count or a close reason; 0 for other kinds.
        extra: i32,
    },
    /// A request to a JavaScript stream.
    Stream {
        /// The stream's number.
        stream: u32,
        /// What to do.
        kind: StreamKind,
    },
}

/// What an event costs beyond the bytes of a message.
const EVENT_COST: u64 = 64;

/// The bytes of an event: a range of the batch's bytes, or memory of its own if they are many.
#[derive(Debug)]
pub enum Payload {
    /// No bytes.
    None,
    /// ASCII text within the batch.
    Ascii(Range<usize>),
    /// UTF-8 text within the batch.
    Utf8(Range<usize>),
    /// Bytes within the batch.
    Bytes(Range<usize>),
    /// UTF-8 text in its own memory.
    OwnUtf8(Vec<u8>),
    /// Bytes in their own memory.
    OwnBytes(Vec<u8>),
}

impl Payload {
    /// The number of bytes.
    pub fn len(&self) -> usize {
        match self {
            Payload::None => 0,
            Payload::Ascii(range) | Payload::Utf8(range) | Payload::Bytes(range) => range.len(),
            Payload::OwnUtf8(bytes) | Payload::OwnBytes(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An event and its bytes.
#[derive(Debug)]
pub struct Record {
    /// What happened.
    pub event: Event,
    /// The bytes that belong to it.
    pub payload: Payload,
}

/// The memory of a session's event that counts as undelivered: that of the event itself, and of a
/// message that the peer has sent.
pub fn cost(kind: Kind, payload: &Payload) -> u64 {
    match kind {
        Kind::Text | Kind::Binary => EVENT_COST.saturating_add(payload.len() as u64),
        _ => EVENT_COST,
    }
}

/// Events in order.
#[derive(Debug, Default)]
pub struct EventBatch {
    /// The events.
    pub records: VecDeque<Record>,
    /// The bytes of small payloads, which [`Payload`] refers to.
    pub bytes: Vec<u8>,
    /// The session that all events belong to, if it has a lane of its own.
    pub owner: Option<SessionId>,
}

/// The longest payload that is stored within a batch; longer ones have their own memory.
pub const MAX_SMALL: usize = 8 * 1024;

impl EventBatch {
    /// Adds an event of a session and returns its [`cost`].
    pub fn push(&mut self, id: SessionId, kind: Kind, extra: i32, payload: Payload) -> u64 {
        let cost = cost(kind, &payload);
        let event = Event::Session { id, kind, extra };
        self.records.push_back(Record { event, payload });
        cost
    }

    /// Adds an event of a JavaScript stream.
    pub fn push_stream(&mut self, stream: u32, kind: StreamKind, payload: Payload) {
        let event = Event::Stream { stream, kind };
        self.records.push_back(Record { event, payload });
    }

    /// Stores text within the batch, or takes it over if it is long.
    pub fn text(&mut self, text: std::borrow::Cow<'_, [u8]>) -> Payload {
        if text.len() > MAX_SMALL {
            return Payload::OwnUtf8(text.into_owned());
        }
        let range = self.copy(&text);
        if text.is_ascii() { Payload::Ascii(range) } else { Payload::Utf8(range) }
    }

    /// Stores bytes within the batch, or takes them over if they are many.
    pub fn binary(&mut self, bytes: std::borrow::Cow<'_, [u8]>) -> Payload {
        if bytes.len() > MAX_SMALL {
            return Payload::OwnBytes(bytes.into_owned());
        }
        Payload::Bytes(self.copy(&bytes))
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

/// Locks a value that no panic can leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The queue from all I/O threads of an environment to its JavaScript thread.
pub struct Inbox {
    /// The batches that JavaScript has not taken.
    queue: Mutex<VecDeque<EventBatch>>,
    /// The JavaScript thread has no reason to deliver, so the next batch has to wake it.
    armed: AtomicBool,
    /// Schedules a delivery on the JavaScript thread.
    wake: Box<dyn Fn() + Send + Sync>,
    /// The JavaScript thread has taken a batch since this was last checked.
    has_turned: AtomicBool,
    /// Whether the JavaScript thread is blocked; `None` until the first check.
    pulse: Mutex<Option<Pulse>>,
}

/// The last sign of life of the JavaScript thread, or the request for one.
#[derive(Clone, Copy)]
enum Pulse {
    /// It was known to run at this time.
    Seen(Instant),
    /// It was woken at this time, and has not run since.
    Asked(Instant),
}

impl Inbox {
    /// An empty inbox. `wake` schedules a call of [`Self::take`] on the JavaScript thread.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            queue: Mutex::default(),
            armed: AtomicBool::new(true),
            wake: Box::new(wake),
            has_turned: AtomicBool::new(true),
            pulse: Mutex::default(),
        }
    }

    /// Adds a batch; call [`Self::wake`] or [`Self::wake_self`] next.
    pub fn put(&self, batch: EventBatch) {
        lock(&self.queue).push_back(batch);
    }

    /// Wakes the JavaScript thread if it sleeps.
    pub fn wake(&self) {
        if self.armed.swap(false, SeqCst) {
            (self.wake)();
        }
    }

    /// As [`Self::wake`], for the JavaScript thread itself: returns whether it has to deliver. It
    /// does not if nothing is queued or if a wake-up is on its way.
    pub fn wake_self(&self) -> bool {
        !lock(&self.queue).is_empty() && self.armed.swap(false, SeqCst)
    }

    /// Takes the next batch.
    pub fn take(&self) -> Option<EventBatch> {
        self.has_turned.store(true, SeqCst);
        lock(&self.queue).pop_front()
    }

    /// Asks for a wake-up once nothing is queued. Returns `false` if a batch has been added in the
    /// meantime: then the caller has to go on delivering.
    pub fn arm(&self) -> bool {
        self.armed.store(true, SeqCst);
        lock(&self.queue).is_empty() || !self.armed.swap(false, SeqCst)
    }

    /// Whether the JavaScript thread has been blocked for `limit`. When it has shown no sign of life
    /// for a quarter of that time, it is woken to give one.
    pub fn stalls(&self, now: Instant, limit: Duration) -> bool {
        let mut pulse = lock(&self.pulse);
        let has_turned = self.has_turned.swap(false, SeqCst);
        let last = pulse.filter(|_| !has_turned).unwrap_or(Pulse::Seen(now));
        let next = match last {
            Pulse::Seen(at) if now.duration_since(at) >= limit / 4 => {
                self.wake();
                Pulse::Asked(now)
            }
            Pulse::Seen(_) | Pulse::Asked(_) => last,
        };
        *pulse = Some(next);
        matches!(next, Pulse::Asked(at) if now.duration_since(at) >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::start;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_record_stays_small() {
        // The kind's niche holds the tag of the event, so its target costs no memory of its own.
        assert!(size_of::<Event>() <= 16);
        assert!(size_of::<Record>() <= size_of::<Payload>() + 16);
    }

    #[test]
    fn wakes_once_until_it_is_armed_again() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&wakes);
        let inbox = Inbox::new(move || {
            counter.fetch_add(1, SeqCst);
        });
        let put = || {
            inbox.put(EventBatch::default());
            inbox.wake();
        };
        put();
        put();
        assert_eq!(wakes.load(SeqCst), 1);
        assert!(inbox.take().is_some());
        assert!(!inbox.arm(), "one batch is left");
        assert!(inbox.take().is_some());
        assert!(inbox.arm());
        put();
        assert_eq!(wakes.load(SeqCst), 2);
    }

    #[test]
    fn detects_a_blocked_thread() {
        const SECOND: Duration = Duration::from_secs(1);
        let (now, limit) = (start(), SECOND * 30);
        let inbox = Inbox::new(|| {});
        assert!(!inbox.stalls(now, limit));
        assert!(!inbox.stalls(now + SECOND * 20, limit));
        assert!(!inbox.stalls(now + SECOND * 49, limit));
        assert!(inbox.stalls(now + SECOND * 50, limit));
        inbox.take();
        assert!(!inbox.stalls(now + SECOND * 51, limit));
    }
}
