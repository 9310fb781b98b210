//! Counters that the I/O threads share with the JavaScript thread: those of one session, those of
//! all sessions, and the bounds of the latter.

use std::sync::Arc;
use std::sync::atomic::{self, AtomicI64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use super::sync::{AtomicBool, AtomicU64};
use crate::protocol::limits::limits;

/// The counters and marks of one session.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Bytes queued for the peer that the kernel has not taken; `volatile` messages are dropped
    /// while there are any.
    unsent: AtomicU64,
    /// Messages among them: the length of `writeBuffer`.
    unsent_messages: AtomicU64,
    /// Cost of all events put into the inbox so far. Only the I/O thread writes it.
    queued: AtomicU64,
    /// Cost of all events delivered so far. Only the JavaScript thread writes it.
    delivered: AtomicU64,
    /// Nothing is read from the peer, because JavaScript lags behind.
    paused: AtomicBool,
    /// The next POST has to wait.
    busy: AtomicBool,
    /// The JavaScript stream that carries the session must not be read.
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

    /// Sets how much is queued for the peer.
    pub fn set_unsent(&self, bytes: usize, messages: usize) {
        self.unsent.store(bytes as u64, Relaxed);
        self.unsent_messages.store(messages as u64, Relaxed);
    }

    /// Counts an event that was put into the inbox.
    pub fn add_undelivered(&self, cost: u64) {
        self.queued.fetch_add(cost, Relaxed);
    }

    /// Counts an event that was delivered.
    pub fn add_delivered(&self, cost: u64) {
        self.delivered.fetch_add(cost, SeqCst);
    }

    /// Cost of the events that have not been delivered.
    pub fn undelivered(&self) -> u64 {
        self.queued.load(Relaxed).saturating_sub(self.delivered.load(SeqCst))
    }

    /// Whether reading is paused. The I/O thread sets the mark and then checks what is undelivered;
    /// the JavaScript thread delivers and then checks the mark. All four accesses are sequentially
    /// consistent, so that at least one side sees what the other did.
    pub fn is_paused(&self) -> bool {
        self.paused.load(SeqCst)
    }

    /// Marks reading as paused or resumed.
    pub fn set_paused(&self, paused: bool) {
        self.paused.store(paused, SeqCst);
    }

    /// Whether the JavaScript stream that carries the session must not be read.
    pub fn is_stream_paused(&self) -> bool {
        self.stream_paused.load(Relaxed)
    }

    /// Marks the JavaScript stream as paused or resumed.
    pub fn set_stream_paused(&self, paused: bool) {
        self.stream_paused.store(paused, Relaxed);
    }

    /// Whether the next POST has to wait.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Relaxed)
    }

    /// Marks whether the next POST has to wait.
    pub fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Relaxed);
    }
}

/// Sums over all sessions of one environment, in bytes of memory.
#[derive(Debug, Default)]
pub struct Totals {
    /// Cost of all events that have not been delivered, and received bytes that have not become
    /// events yet.
    pub undelivered: AtomicI64,
    /// Messages and request bodies that have not arrived completely.
    pub unfinished: AtomicI64,
    /// Bytes queued for all peers. A broadcast counts once, however many sessions queue it.
    pub unsent: Arc<AtomicI64>,
    /// Panics caught on I/O threads.
    pub panics: atomic::AtomicU64,
}

impl Totals {
    /// Memory of what peers have sent and JavaScript has not received.
    pub fn receive_queue(&self) -> i64 {
        self.undelivered.load(SeqCst).saturating_add(self.unfinished.load(SeqCst))
    }

    /// Counts an event that was put into the inbox.
    pub fn add_undelivered(&self, cost: u64) {
        self.undelivered.fetch_add(cost.cast_signed(), SeqCst);
    }

    /// Counts a change of what is queued for a peer.
    pub fn add_unsent(&self, change: i64) {
        self.unsent.fetch_add(change, Relaxed);
    }

    /// Memory of everything that waits, in either direction.
    pub fn memory(&self) -> i64 {
        self.receive_queue().saturating_add(self.unsent.load(Relaxed))
    }
}

limits! {
    /// The bounds of [`Totals`].
    pub struct SharedLimits {
        /// How long the JavaScript thread may be blocked before pings stop.
        max_loop_stall: Duration = Duration::from_secs(30), "maxLoopStall";
        /// Bytes of [`Totals::receive_queue`] above which sessions that hold any of them are paused.
        max_total_receive_queue: i64 = 64 * 1024 * 1024, "maxTotalReceiveQueue";
        /// Bytes of [`Totals::unsent`] above which the session with the longest queue is closed; 0
        /// disables this. JavaScript computes another default.
        max_total_send_buffer: i64 = 0, "maxTotalSendBuffer";
    }
}
