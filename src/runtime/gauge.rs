//! Counters shared between an I/O thread and the JavaScript thread.

use std::sync::Arc;
use std::sync::atomic::{self, AtomicI64, Ordering::Relaxed, Ordering::SeqCst};

use super::sync::{AtomicBool, AtomicU64};

/// What is counted for one session.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Bytes queued for the peer beyond the kernel's; `volatile` depends on it.
    unsent: AtomicU64,
    /// Messages among them; `writeBuffer` shows how many.
    unsent_messages: AtomicU64,
    /// Cost of all events put into the inbox; only the I/O thread writes it.
    queued: AtomicU64,
    /// Cost of those that JavaScript has taken; only the JavaScript thread writes it.
    delivered: AtomicU64,
    /// Reading from the peer is paused because JavaScript lags.
    paused: AtomicBool,
    /// The next POST is not to be read yet.
    busy: AtomicBool,
    /// The JavaScript streams that carry it are not to be read.
    stream_paused: AtomicBool,
}

impl Gauge {
    /// Bytes queued for the peer.
    pub fn unsent(&self) -> u64 {
        self.unsent.load(Relaxed)
    }

    /// Messages queued for the peer.
    pub fn unsent_messages(&self) -> u64 {
        self.unsent_messages.load(Relaxed)
    }

    /// Sets what is queued for the peer.
    pub fn set_unsent(&self, bytes: usize, messages: usize) {
        self.unsent.store(bytes as u64, Relaxed);
        self.unsent_messages.store(messages as u64, Relaxed);
    }

    /// Counts an event on its way to JavaScript.
    pub fn add_undelivered(&self, cost: u64) {
        self.queued.fetch_add(cost, Relaxed);
    }

    /// Counts an event that JavaScript took.
    pub fn add_delivered(&self, cost: u64) {
        self.delivered.fetch_add(cost, SeqCst);
    }

    /// What JavaScript has not taken yet.
    pub fn undelivered(&self) -> u64 {
        self.queued.load(Relaxed).saturating_sub(self.delivered.load(SeqCst))
    }

    /// Whether reading is paused. One side marks and then looks at what is undelivered, the other
    /// delivers and then looks at the mark: in one order for both, or both may miss the other.
    pub fn is_paused(&self) -> bool {
        self.paused.load(SeqCst)
    }

    /// Marks reading as paused or not.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, SeqCst);
    }

    /// Whether the JavaScript streams that carry it are not to be read.
    pub fn is_stream_paused(&self) -> bool {
        self.stream_paused.load(Relaxed)
    }

    /// Marks whether they may be read.
    pub fn set_stream_paused(&self, paused: bool) {
        self.stream_paused.store(paused, Relaxed);
    }

    /// Whether the next POST is not to be read yet.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// Marks whether the next POST may be read.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Relaxed);
    }
}

/// Sums over all connections of one environment, in bytes of memory.
#[derive(Debug, Default)]
pub struct Totals {
    /// Cost of all events that JavaScript has not taken, and what waits to be made events of.
    pub undelivered: AtomicI64,
    /// Messages and bodies that peers have begun and not finished.
    pub unfinished: AtomicI64,
    /// What is queued for all peers; a message that many wait for counts once.
    pub unsent: Arc<AtomicI64>,
    /// Panics caught on I/O threads.
    pub panics: atomic::AtomicU64,
}

impl Totals {
    /// Memory of what peers have sent and JavaScript has not taken.
    pub fn receive_queue(&self) -> i64 {
        self.undelivered.load(SeqCst).saturating_add(self.unfinished.load(SeqCst))
    }

    /// Counts an event on its way to JavaScript.
    pub fn add_undelivered(&self, cost: u64) {
        self.undelivered.fetch_add(cost.cast_signed(), SeqCst);
    }

    /// Counts what waits for a peer.
    pub fn add_unsent(&self, change: i64) {
        self.unsent.fetch_add(change, Relaxed);
    }

    /// All that is held for peers.
    pub fn memory(&self) -> i64 {
        self.receive_queue().saturating_add(self.unsent.load(Relaxed))
    }
}

/// Bounds over all connections of an environment.
#[derive(Debug, Clone)]
pub struct SharedLimits {
    /// How long JavaScript may take no turn before pings stop. 30 s.
    pub max_loop_stall: std::time::Duration,
    /// Bytes of [`Totals::receive_queue`] from which on a session that has any of them is not read.
    pub max_total_receive_queue: i64,
    /// Bytes queued for all peers at which the longest queue is closed.
    pub max_total_send_buffer: i64,
}
