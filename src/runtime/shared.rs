//! What the I/O threads of an environment share with each other and with the JavaScript thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Instant;

use super::driver::Mailbox;
use super::gauge::{SharedLimits, Totals};
use super::inbox::Inbox;

/// What each thread has at the top of an order of its own: the longest send queue, or the longest wait
/// for the rest of a message.
#[derive(Debug)]
pub struct Ranking(Vec<Rank>);

#[derive(Debug, Default)]
struct Rank {
    rank: AtomicU64,
    /// Microseconds since the environment started.
    at: AtomicU64,
}

impl Ranking {
    fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Rank::default()).collect())
    }

    fn others(&self, thread: usize) -> impl Iterator<Item = (usize, &Rank)> {
        self.0.iter().enumerate().filter(move |(other, _)| *other != thread)
    }

    /// Publishes the rank of a thread, as it is at a moment; 0 is none.
    pub fn set(&self, thread: usize, rank: u64, at: u64) {
        if let Some(published) = self.0.get(thread) {
            published.rank.store(rank, SeqCst);
            published.at.store(at, SeqCst);
        }
    }

    /// Whether all other threads have published after a moment.
    pub fn is_complete(&self, thread: usize, moment: u64) -> bool {
        self.others(thread).all(|(_, published)| published.at.load(SeqCst) > moment)
    }

    /// The thread with a higher rank than `thread`, if there is one: the highest of them.
    pub fn above(&self, thread: usize, rank: u64) -> Option<usize> {
        let ranks = self.others(thread).map(|(other, it)| (it.rank.load(SeqCst), other));
        ranks.max().filter(|(published, _)| *published > rank).map(|(_, other)| other)
    }
}

/// The shared state of an environment.
pub struct Shared {
    pub inbox: Inbox,
    pub totals: Totals,
    pub limits: SharedLimits,
    /// One for each thread.
    pub mailboxes: Vec<Arc<Mailbox>>,
    /// Bytes that only the end of the largest queue of a thread would free, while
    /// `maxTotalSendBuffer` is exceeded.
    pub send_queues: Ranking,
    /// How early the oldest unfinished message of a thread last grew.
    pub unfinished: Ranking,
    /// A thread waits for [`Totals::receive_queue`] to fall.
    waits_for_relief: AtomicBool,
    /// Bytes of the largest message that any engine takes.
    largest_message: AtomicI64,
    /// The most memory that was held since it was last given back.
    peak: AtomicI64,
    started: Instant,
}

impl Shared {
    /// The state of an environment with `threads` I/O threads.
    pub fn new(now: Instant, threads: u32, inbox: Inbox, limits: SharedLimits) -> Self {
        let count = threads as usize;
        Self {
            inbox,
            totals: Totals::default(),
            limits,
            mailboxes: (0..count).map(|_| Arc::default()).collect(),
            send_queues: Ranking::new(count),
            unfinished: Ranking::new(count),
            waits_for_relief: AtomicBool::new(false),
            largest_message: AtomicI64::new(0),
            peak: AtomicI64::new(0),
            started: now,
        }
    }

    /// Bytes that unfinished messages may have: half of `maxTotalReceiveQueue`, and never less than
    /// what two messages of the largest size may take while they arrive.
    fn max_unfinished(&self) -> i64 {
        let least = self.largest_message.load(Relaxed).saturating_mul(4);
        (self.limits.max_total_receive_queue / 2).max(least)
    }

    /// Bytes of [`Totals::receive_queue`] that are too many. Above them more than half of
    /// `maxTotalReceiveQueue` is undelivered, because unfinished messages have less than the rest.
    fn max_receive_queue(&self) -> i64 {
        self.max_unfinished().saturating_add(self.limits.max_total_receive_queue / 2)
    }

    /// Whether too much is held of what peers have sent.
    pub fn is_overloaded(&self) -> bool {
        self.totals.receive_queue() > self.max_receive_queue()
    }

    /// Whether unfinished messages have more than they may.
    pub fn has_too_much_unfinished(&self) -> bool {
        self.totals.unfinished.load(SeqCst) > self.max_unfinished()
    }

    /// Whether so little is held that all sessions may be read again. JavaScript can always bring
    /// that about, as what is unfinished is less.
    pub fn is_relieved(&self) -> bool {
        self.totals.receive_queue()
            <= self.max_receive_queue() - self.limits.max_total_receive_queue / 4
    }

    /// Notes the largest message that an engine takes.
    pub fn allow_message(&self, bytes: usize) {
        self.largest_message.fetch_max(i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
    }

    /// Asks for a turn of the calling thread once [`Self::is_relieved`]. Returns whether it is
    /// already: the other side may have looked before it could see the wish.
    pub fn await_relief(&self) -> bool {
        self.waits_for_relief.store(true, SeqCst);
        self.is_relieved()
    }

    /// Wakes the threads that wait for relief, if it has come.
    pub fn check_relief(&self) {
        if self.waits_for_relief.load(SeqCst)
            && self.is_relieved()
            && self.waits_for_relief.swap(false, SeqCst)
        {
            self.wake_all();
        }
    }

    /// Makes every thread take a turn.
    pub fn wake_all(&self) {
        for mailbox in &self.mailboxes {
            mailbox.wake();
        }
    }

    /// Makes one thread take a turn.
    pub fn wake(&self, thread: usize) {
        if let Some(mailbox) = self.mailboxes.get(thread) {
            mailbox.wake();
        }
    }

    /// A moment in microseconds.
    pub fn micros(&self, moment: Instant) -> u64 {
        let age = moment.saturating_duration_since(self.started).as_micros();
        u64::try_from(age).unwrap_or(u64::MAX)
    }

    /// A moment as a rank: the earlier, the higher.
    pub fn earliness(&self, moment: Instant) -> u64 {
        u64::MAX.saturating_sub(self.micros(moment))
    }

    /// Bytes by which less is held than at the peak.
    pub fn below_peak(&self) -> i64 {
        let held = self.totals.memory();
        let peak = self.peak.load(Relaxed);
        if held > peak {
            self.peak.store(held, Relaxed);
        }
        peak.saturating_sub(held).max(0)
    }

    /// The memory above what is held now has been given back.
    pub fn forget_peak(&self) {
        self.peak.store(self.totals.memory(), Relaxed);
    }
}
