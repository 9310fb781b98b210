//! The state that the I/O threads of an environment share with each other and with the JavaScript
//! thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Instant;

use super::driver::Mailbox;
use super::gauge::{SharedLimits, Totals};
use super::inbox::Inbox;

/// One number for each thread, by which the threads agree on which of them acts: the size of its
/// longest send queue, or the age of its oldest unfinished message.
#[derive(Debug)]
pub struct Ranking(Vec<Rank>);

/// The number of one thread.
#[derive(Debug, Default)]
struct Rank {
    /// 0 for none.
    rank: AtomicU64,
    /// When it was set, in microseconds since the environment started.
    at: AtomicU64,
}

impl Ranking {
    fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Rank::default()).collect())
    }

    fn others(&self, thread: usize) -> impl Iterator<Item = (usize, &Rank)> {
        self.0.iter().enumerate().filter(move |(other, _)| *other != thread)
    }

    /// Sets the rank that a thread has at a moment; 0 means that it has none.
    pub fn set(&self, thread: usize, rank: u64, at: u64) {
        if let Some(own) = self.0.get(thread) {
            own.rank.store(rank, SeqCst);
            own.at.store(at, SeqCst);
        }
    }

    /// Whether all other threads have set their ranks after a moment.
    pub fn is_complete(&self, thread: usize, moment: u64) -> bool {
        self.others(thread).all(|(_, other)| other.at.load(SeqCst) > moment)
    }

    /// The thread with the highest rank, if it exceeds `rank`, the rank of `thread`.
    pub fn above(&self, thread: usize, rank: u64) -> Option<usize> {
        let ranks = self.others(thread).map(|(other, it)| (it.rank.load(SeqCst), other));
        ranks.max().filter(|(highest, _)| *highest > rank).map(|(_, other)| other)
    }
}

/// The shared state of an environment.
pub struct Shared {
    /// Events on their way to JavaScript.
    pub inbox: Inbox,
    /// Sums over all sessions.
    pub totals: Totals,
    /// The bounds of those sums.
    pub limits: SharedLimits,
    /// Commands on their way to the threads, one mailbox for each.
    pub mailboxes: Vec<Arc<Mailbox>>,
    /// How many bytes a thread would free by closing the send queue that holds the most. Set while
    /// `maxTotalSendBuffer` is exceeded.
    pub send_queues: Ranking,
    /// How long ago a thread's oldest unfinished message last grew; higher for longer ago.
    pub unfinished: Ranking,
    /// Whether a thread waits for [`Totals::receive_queue`] to fall.
    waits_for_relief: AtomicBool,
    /// Bytes of the largest message that any engine accepts.
    largest_message: AtomicI64,
    /// The most memory that was held since memory was last returned to the system.
    peak: AtomicI64,
    /// When the environment started.
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

    /// The most bytes that unfinished messages may take up: half of `maxTotalReceiveQueue`, but at
    /// least what two messages of the largest size can take while they arrive.
    fn max_unfinished(&self) -> i64 {
        let least = self.largest_message.load(Relaxed).saturating_mul(4);
        (self.limits.max_total_receive_queue / 2).max(least)
    }

    /// The bytes of [`Totals::receive_queue`] above which sessions are paused. As unfinished messages
    /// have a bound of their own, more than half of `maxTotalReceiveQueue` is undelivered then.
    fn max_receive_queue(&self) -> i64 {
        self.max_unfinished().saturating_add(self.limits.max_total_receive_queue / 2)
    }

    /// Whether too much of what peers have sent is held.
    pub fn is_overloaded(&self) -> bool {
        self.totals.receive_queue() > self.max_receive_queue()
    }

    /// Whether unfinished messages take up too much.
    pub fn has_too_much_unfinished(&self) -> bool {
        self.totals.unfinished.load(SeqCst) > self.max_unfinished()
    }

    /// Whether so little is held that all sessions may be read again. JavaScript always gets there by
    /// taking its events, because unfinished messages alone stay below this mark.
    pub fn is_relieved(&self) -> bool {
        self.totals.receive_queue()
            <= self.max_receive_queue() - self.limits.max_total_receive_queue / 4
    }

    /// Notes the size of the largest message that an engine accepts.
    pub fn allow_message(&self, bytes: usize) {
        self.largest_message.fetch_max(i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
    }

    /// Asks for a wake-up once [`Self::is_relieved`] holds. Returns whether it holds already, because
    /// the other side may have checked before it could see this request.
    pub fn await_relief(&self) -> bool {
        self.waits_for_relief.store(true, SeqCst);
        self.is_relieved()
    }

    /// Wakes all threads if one of them waits for [`Self::is_relieved`] and it holds now.
    pub fn check_relief(&self) {
        if self.waits_for_relief.load(SeqCst)
            && self.is_relieved()
            && self.waits_for_relief.swap(false, SeqCst)
        {
            self.wake_all();
        }
    }

    /// Wakes every thread.
    pub fn wake_all(&self) {
        for mailbox in &self.mailboxes {
            mailbox.wake();
        }
    }

    /// Wakes one thread.
    pub fn wake(&self, thread: usize) {
        if let Some(mailbox) = self.mailboxes.get(thread) {
            mailbox.wake();
        }
    }

    /// A moment, in microseconds since the environment started.
    pub fn micros(&self, moment: Instant) -> u64 {
        let age = moment.saturating_duration_since(self.started).as_micros();
        u64::try_from(age).unwrap_or(u64::MAX)
    }

    /// A moment as a rank: the earlier, the higher.
    pub fn earliness(&self, moment: Instant) -> u64 {
        u64::MAX.saturating_sub(self.micros(moment))
    }

    /// How far memory use is below the peak, in bytes.
    pub fn below_peak(&self) -> i64 {
        let held = self.totals.memory();
        let peak = self.peak.load(Relaxed);
        if held > peak {
            self.peak.store(held, Relaxed);
        }
        peak.saturating_sub(held).max(0)
    }

    /// Lowers the peak to what is held now. This is called when memory is returned to the system.
    pub fn forget_peak(&self) {
        self.peak.store(self.totals.memory(), Relaxed);
    }
}
