//! Events on their way to JavaScript: batches, one wake-up for as many as are there.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use super::commands::SessionId;
use super::sync::{AtomicBool, Mutex, MutexGuard};

/// What happened to a session. The numbers are the contract with `lib/bridge/events.js`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Text = 0,
    Binary = 1,
    Close = 2,
    Upgrading = 3,
    Upgraded = 4,
    UpgradeFailed = 5,
    Heartbeat = 6,
    PingSent = 7,
    Sent = 8,
    AnswerGet = 9,
    RefuseGet = 10,
    Limit = 11,
    PostWanted = 12,
}

/// What to do with a JavaScript stream. The numbers continue those of [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamKind {
    Write = 13,
    End = 14,
    Reset = 15,
    Pause = 16,
    Resume = 17,
}

/// What happened, and to which session or stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Session {
        id: SessionId,
        kind: Kind,
        /// A token, a count or a close reason, depending on `kind`.
        extra: i32,
    },
    Stream {
        /// The stream's number.
        stream: u32,
        kind: StreamKind,
    },
}

/// What an event costs beyond the bytes of a message.
const EVENT_COST: u64 = 64;

/// The bytes of a record.
#[derive(Debug)]
pub enum Payload {
    None,
    /// Text that is all ASCII.
    Ascii(Range<usize>),
    Utf8(Range<usize>),
    Bytes(Range<usize>),
    OwnUtf8(Vec<u8>),
    OwnBytes(Vec<u8>),
}

impl Payload {
    /// Bytes of the payload.
    pub fn len(&self) -> usize {
        match self {
            Payload::None => 0,
            Payload::Ascii(range) | Payload::Utf8(range) | Payload::Bytes(range) => range.len(),
            Payload::OwnUtf8(bytes) | Payload::OwnBytes(bytes) => bytes.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One event and its bytes.
#[derive(Debug)]
pub struct Record {
    pub event: Event,
    pub payload: Payload,
}

/// Memory of a session's event that counts as undelivered: the event itself, and what a peer has
/// sent.
pub fn cost(kind: Kind, payload: &Payload) -> u64 {
    match kind {
        Kind::Text | Kind::Binary => EVENT_COST.saturating_add(payload.len() as u64),
        _ => EVENT_COST,
    }
}

/// Events in order, with the bytes of the small ones.
#[derive(Debug, Default)]
pub struct EventBatch {
    pub records: VecDeque<Record>,
    pub bytes: Vec<u8>,
    /// Set when all events are of one session, which has a lane of its own.
    pub owner: Option<SessionId>,
}

/// The longest payload that is stored in a batch; longer ones have their own memory.
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

    /// Stores text, in the batch or as given away.
    pub fn text(&mut self, text: std::borrow::Cow<'_, [u8]>) -> Payload {
        if text.len() > MAX_SMALL {
            return Payload::OwnUtf8(text.into_owned());
        }
        let range = self.copy(&text);
        if text.is_ascii() { Payload::Ascii(range) } else { Payload::Utf8(range) }
    }

    /// Stores bytes, in the batch or as given away.
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

/// Locks what no panic can leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The way from all I/O threads to one JavaScript thread.
pub struct Inbox {
    queue: Mutex<VecDeque<EventBatch>>,
    /// JavaScript sleeps and wants to be woken.
    armed: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
    /// JavaScript has taken a turn since this was last looked at.
    has_turned: AtomicBool,
    pulse: Mutex<Option<Pulse>>,
}

/// The last sign of life of the JavaScript thread, or the question after one.
#[derive(Clone, Copy)]
enum Pulse {
    /// A turn was seen then.
    Seen(Instant),
    /// A turn was asked for then, and none has been seen since.
    Asked(Instant),
}

impl Inbox {
    /// `wake` makes JavaScript call [`Self::take`] soon.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            queue: Mutex::default(),
            armed: AtomicBool::new(true),
            wake: Box::new(wake),
            has_turned: AtomicBool::new(true),
            pulse: Mutex::default(),
        }
    }

    /// Hands a batch over; [`Self::wake`] or [`Self::wake_self`] comes next.
    pub fn put(&self, batch: EventBatch) {
        lock(&self.queue).push_back(batch);
    }

    /// Wakes JavaScript if it sleeps.
    pub fn wake(&self) {
        if self.armed.swap(false, SeqCst) {
            (self.wake)();
        }
    }

    /// Whether there is something to deliver that nobody has been told of. JavaScript, which asks,
    /// has been told by that.
    pub fn wake_self(&self) -> bool {
        !lock(&self.queue).is_empty() && self.armed.swap(false, SeqCst)
    }

    /// The next batch.
    pub fn take(&self) -> Option<EventBatch> {
        self.has_turned.store(true, SeqCst);
        lock(&self.queue).pop_front()
    }

    /// JavaScript goes to sleep. Returns `false` when something came in between: go on.
    pub fn arm(&self) -> bool {
        self.armed.store(true, SeqCst);
        lock(&self.queue).is_empty() || !self.armed.swap(false, SeqCst)
    }

    /// Whether JavaScript has taken no turn for `limit`. Asks it for one when it has been quiet.
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
    fn wakes_once_until_armed_again() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&wakes);
        let inbox = Inbox::new(move || {
            counter.fetch_add(1, SeqCst);
        });
        let publish = || {
            inbox.put(EventBatch::default());
            inbox.wake();
        };
        publish();
        publish();
        assert_eq!(wakes.load(SeqCst), 1);
        assert!(inbox.take().is_some());
        assert!(!inbox.arm(), "one is left");
        assert!(inbox.take().is_some());
        assert!(inbox.arm());
        publish();
        assert_eq!(wakes.load(SeqCst), 2);
    }

    #[test]
    fn tells_a_stalled_loop() {
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
