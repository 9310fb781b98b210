//! The state of one JavaScript thread: its I/O threads, the slots of its sessions, and the commands
//! staged in this tick.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use napi::bindgen_prelude::{Env, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode::NonBlocking;
use napi_derive::napi;

use super::engine::CONTEXTS;
use super::guard::{Result, guard, internal, not_running};

use crate::runtime::commands::{Action, Command, CommandBatch, SessionId};
use crate::runtime::driver::now;
use crate::runtime::gauge::SharedLimits;
use crate::runtime::inbox::{Inbox, Kind};
use crate::runtime::lanes::Lanes;
use crate::runtime::pool::Pool;
use crate::runtime::shared::Shared;
use crate::runtime::slots::Slots;

/// The state of one Node environment.
pub struct Host {
    pub pool: Pool,
    pub slots: Slots,
    /// One batch for each I/O thread.
    staged: Vec<CommandBatch>,
    /// Events that wait for delivery.
    pub lanes: Lanes,
    pub undeliverable: Undeliverable,
    /// How many events one call of JavaScript delivers.
    pub group: usize,
    /// Messages of at least this many bytes may be compressed; `usize::MAX` as long as no connection
    /// has negotiated compression.
    compresses_from: usize,
}

/// Sessions that are closing because an event could not become a JavaScript value. Their later
/// messages are skipped, because the app would not see that one is missing before them.
#[derive(Default)]
pub struct Undeliverable(HashSet<SessionId>);

impl Undeliverable {
    /// Adds a session.
    pub fn add(&mut self, id: SessionId) {
        self.0.insert(id);
    }

    /// Whether to skip an event. The close event, the last of a session, is delivered.
    pub fn skips(&mut self, id: SessionId, kind: Kind) -> bool {
        if self.0.is_empty() {
            return false;
        }
        if kind == Kind::Close {
            self.0.remove(&id);
        }
        matches!(kind, Kind::Text | Kind::Binary) && self.0.contains(&id)
    }
}

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// Calls `run` with this thread's host.
pub fn with<T>(run: impl FnOnce(&mut Host) -> T) -> Result<T> {
    HOST.with_borrow_mut(|host| host.as_mut().map(run)).ok_or_else(not_running)
}

impl Host {
    fn thread_of(&self, slot: u32) -> u32 {
        slot % self.pool.len().max(1)
    }

    /// The batch of the I/O thread that owns a slot.
    pub fn batch(&mut self, slot: u32) -> &mut CommandBatch {
        let thread = self.thread_of(slot) as usize;
        &mut self.staged[thread]
    }

    /// Notes that a connection compresses messages of at least `threshold` bytes.
    pub fn compress_from(&mut self, threshold: usize) {
        self.compresses_from = self.compresses_from.min(threshold);
    }

    /// Makes the I/O thread carry out what is staged, if a message of this many bytes may have to be
    /// compressed or inflated. This thread would be blocked by that.
    pub fn note_compressible(&mut self, slot: u32, bytes: usize) {
        if bytes >= self.compresses_from && self.compresses_from != usize::MAX {
            self.batch(slot).is_heavy = true;
        }
    }

    /// Stages a command for a session.
    pub fn stage(&mut self, id: SessionId, action: Action) {
        self.batch(id.slot).commands.push(Command::Session(id, action));
    }

    /// Counts a delivered event. Returns whether to resume its paused session: JavaScript has taken
    /// all events of this session, or enough of them and of all other sessions'.
    pub fn deliver(&mut self, id: SessionId, cost: u64) -> bool {
        let shared = self.pool.shared();
        shared.totals.undelivered.fetch_sub(cost.cast_signed(), SeqCst);
        let Some((gauge, resume_below)) = self.slots.gauge(id) else { return false };
        gauge.add_delivered(cost);
        let left = gauge.undelivered();
        gauge.is_paused() && (left == 0 || (left <= resume_below && shared.is_relieved()))
    }

    /// Flushes the staged commands to the I/O threads.
    pub fn flush(&mut self) {
        for thread in 0..self.pool.len() {
            let batch = &mut self.staged[thread as usize];
            if !batch.is_empty() {
                self.pool.submit(thread, std::mem::take(batch));
            }
        }
    }

    /// Flushes the staged commands, and waits until each I/O thread has made one attempt to write.
    fn flush_and_wait(&mut self, patience: Duration) {
        let count = self.pool.len() as usize;
        let (done, waiter) = sync_channel(count);
        for batch in &mut self.staged {
            batch.commands.push(Command::Barrier(done.clone()));
        }
        self.flush();
        // When this thread carries out commands itself, their events wake nothing.
        self.pool.shared().inbox.wake();
        for _ in 0..count {
            if waiter.recv_timeout(patience).is_err() {
                return;
            }
        }
    }
}

/// Identifies the loaded addon. JavaScript files that are evaluated twice in a thread, by a bundler or a
/// test runner, use it to detect that they share an addon.
#[napi]
pub fn image() -> String {
    static HERE: u8 = 0;
    format!("{:p}", &raw const HERE)
}

/// Starts the I/O threads of this environment, unless they run. `limits` is a JSON object with the
/// shared limits by name. `wake` is called when there are events to deliver. Returns whether this call
/// started the threads.
#[napi]
pub fn start(env: Env, io_threads: u32, limits: String, wake: Function<(), ()>) -> Result<bool> {
    guard(|| {
        if with(|_| ()).is_ok() {
            return Ok(false);
        }
        let failed = |error: napi::Error| internal(error.reason.clone());
        let wake = wake
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .build_callback(|_| Ok(()))
            .map_err(failed)?;
        let inbox = Inbox::new(move || {
            wake.call((), NonBlocking);
        });
        let limits = serde_json::from_str(&limits).map_err(|error| internal(error.to_string()))?;
        let shared = Shared::new(now(), io_threads, inbox, SharedLimits::from_json(&limits));
        let pool = Pool::start(shared).map_err(|error| internal(error.to_string()))?;
        let host = Host {
            pool,
            slots: Slots::default(),
            staged: (0..io_threads).map(|_| CommandBatch::default()).collect(),
            lanes: Lanes::default(),
            undeliverable: Undeliverable::default(),
            group: 1,
            compresses_from: usize::MAX,
        };
        HOST.set(Some(host));
        // The threads must end before the environment's memory is freed.
        env.add_env_cleanup_hook((), |()| {
            let host = HOST.take();
            if let Some(mut host) = host {
                host.flush();
            }
        })
        .map_err(failed)?;
        Ok(true)
    })
}

/// Flushes the staged commands, and blocks until each I/O thread has made one attempt to write, at most
/// `patience` milliseconds for each thread. After a close the process may exit at once.
#[napi]
pub fn flush_and_wait(patience: f64) -> Result<()> {
    guard(|| with(|host| host.flush_and_wait(Duration::from_secs_f64(patience / 1000.0))))
}

/// Totals of all sessions of this environment.
#[napi(object)]
pub struct HostStats {
    /// Bytes queued for all peers.
    pub unsent: f64,
    /// Bytes of events that JavaScript has not taken.
    pub undelivered: f64,
    /// Bytes of messages and bodies that peers have begun to send.
    pub unfinished: f64,
    /// Panics caught on I/O threads.
    pub panics: f64,
    /// Connections of the process with compression contexts.
    pub deflate_contexts: f64,
}

/// Reads the totals.
#[napi]
pub fn stats() -> Result<HostStats> {
    guard(|| {
        with(|host| {
            let totals = &host.pool.shared().totals;
            HostStats {
                unsent: totals.unsent.load(Relaxed) as f64,
                undelivered: totals.undelivered.load(Relaxed) as f64,
                unfinished: totals.unfinished.load(Relaxed) as f64,
                panics: totals.panics.load(Relaxed) as f64,
                deflate_contexts: CONTEXTS.count() as f64,
            }
        })
    })
}

/// Whether undelivered events and unfinished messages exceed `maxTotalReceiveQueue`.
#[napi]
pub fn is_overloaded() -> bool {
    with(|host| host.pool.shared().is_overloaded()).unwrap_or(false)
}

/// Panics in an export.
#[cfg(feature = "test-panic")]
#[napi]
pub fn test_panic() -> Result<()> {
    guard(|| panic!("provoked by a test"))
}

/// Panics on the I/O thread of a slot, outside of any session.
#[cfg(feature = "test-panic")]
#[napi]
pub fn panic_thread(slot: u32) -> Result<()> {
    guard(|| with(|host| host.batch(slot).commands.push(Command::Panic)))
}

/// Sets the generation of all free slots.
#[cfg(feature = "test-panic")]
#[napi]
pub fn start_generations(first: u32) -> Result<()> {
    guard(|| with(|host| host.slots.start_generations(first)))
}
