//! Counters shared between an I/O thread and the JavaScript thread: one small record a slot, in
//! blocks that never move, so that JavaScript can look at them without a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering::Relaxed};

/// Slots of one block.
pub const BLOCK: usize = 1024;
/// 32-bit words of a gauge; the first is `unsent`.
pub const WORDS: usize = size_of::<Gauge>() / 4;

/// What is counted for one session.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Gauge {
    /// Bytes queued for the peer beyond the kernel's; JavaScript reads it for `volatile`.
    unsent: AtomicI32,
    /// Reading from the peer is paused because JavaScript lags.
    paused: AtomicBool,
    /// Cost of all messages put into the inbox; only the I/O thread writes it.
    received: AtomicU64,
    /// Cost of those that JavaScript has taken; only the JavaScript thread writes it.
    delivered: AtomicU64,
}

/// A block of gauges.
pub type Block = [Gauge; BLOCK];

/// Makes a block.
pub fn block() -> Arc<Block> {
    Arc::new(std::array::from_fn(|_| Gauge::default()))
}

/// One slot's gauge.
#[derive(Debug, Clone)]
pub struct GaugeRef {
    block: Arc<Block>,
    index: usize,
}

impl GaugeRef {
    /// The gauge of a slot in its block, set back to zero.
    pub fn new(block: Arc<Block>, slot: u32) -> Self {
        let gauge = Self { block, index: slot as usize % BLOCK };
        let counters = gauge.get();
        counters.unsent.store(0, Relaxed);
        counters.paused.store(false, Relaxed);
        counters.received.store(0, Relaxed);
        counters.delivered.store(0, Relaxed);
        gauge
    }

    fn get(&self) -> &Gauge {
        &self.block[self.index]
    }

    /// Sets what is queued for the peer.
    pub fn set_unsent(&self, bytes: usize) {
        self.get().unsent.store(i32::try_from(bytes).unwrap_or(i32::MAX), Relaxed);
    }

    /// Counts a message on its way to JavaScript.
    pub fn add_received(&self, cost: u64) {
        self.get().received.fetch_add(cost, Relaxed);
    }

    /// Counts a message that JavaScript took.
    pub fn add_delivered(&self, cost: u64) {
        self.get().delivered.fetch_add(cost, Relaxed);
    }

    /// What JavaScript has not taken yet.
    pub fn undelivered(&self) -> u64 {
        let gauge = self.get();
        gauge.received.load(Relaxed).saturating_sub(gauge.delivered.load(Relaxed))
    }

    /// Whether reading is paused.
    pub fn is_paused(&self) -> bool {
        self.get().paused.load(Relaxed)
    }

    /// Marks reading as paused or not.
    pub fn set_paused(&self, paused: bool) {
        self.get().paused.store(paused, Relaxed);
    }
}

/// Sums over all connections of one environment.
#[derive(Debug, Default)]
pub struct Totals {
    /// Cost of all undelivered messages.
    pub undelivered: AtomicI64,
    /// Bytes queued for all peers.
    pub unsent: AtomicI64,
    /// Panics caught on I/O threads.
    pub panics: AtomicU64,
}

/// Bounds over all connections of an environment.
#[derive(Debug, Clone)]
pub struct SharedLimits {
    /// How long JavaScript may take no turn before pings stop. 30 s.
    pub max_loop_stall: std::time::Duration,
    /// Undelivered bytes of all connections at which the largest stop.
    pub max_total_receive_queue: i64,
    /// Bytes queued for all peers at which the longest queue is closed.
    pub max_total_send_buffer: i64,
}
