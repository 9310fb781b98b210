//! What one JavaScript thread owns: its I/O threads, its sessions' slots, and the commands staged
//! in this tick.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use napi::bindgen_prelude::{Env, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode::NonBlocking;
use napi_derive::napi;

use super::guard::{Result, guard, internal, not_running};

use crate::runtime::commands::{Action, Command, CommandBatch, SessionId};
use crate::runtime::driver::now;
use crate::runtime::gauge::SharedLimits;
use crate::runtime::inbox::{Inbox, Kind};
use crate::runtime::lanes::Lanes;
use crate::runtime::pool::Pool;
use crate::runtime::shared::Shared;
use crate::runtime::slots::Slots;

/// One environment's state.
pub struct Host {
    pub pool: Pool,
    pub slots: Slots,
    staged: Vec<CommandBatch>,
    /// What is being delivered.
    pub lanes: Lanes,
    /// Sessions that end because an event of theirs could not be delivered.
    pub undeliverable: Undeliverable,
    /// Events that JavaScript gets in one call.
    pub group: usize,
}

/// Sessions of which no more messages are delivered: there would be a hole before them.
#[derive(Default)]
pub struct Undeliverable(HashSet<SessionId>);

impl Undeliverable {
    /// Adds a session.
    pub fn add(&mut self, id: SessionId) {
        self.0.insert(id);
    }

    /// Whether an event is to be left out. The last one, the close, is not.
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

/// Runs `run` with this thread's host.
pub fn with<T>(run: impl FnOnce(&mut Host) -> T) -> Result<T> {
    HOST.with_borrow_mut(|host| host.as_mut().map(run)).ok_or_else(not_running)
}

impl Host {
    fn thread_of(&self, slot: u32) -> u32 {
        slot % self.pool.len().max(1)
    }

    /// The batch of the thread that has a slot.
    pub fn batch(&mut self, slot: u32) -> &mut CommandBatch {
        let thread = self.thread_of(slot) as usize;
        &mut self.staged[thread]
    }

    /// Stages a command.
    pub fn stage(&mut self, id: SessionId, action: Action) {
        self.batch(id.slot).commands.push(Command::Session(id, action));
    }

    /// Counts a delivered event. Returns whether its paused session may go on: JavaScript has
    /// caught up with it, and with all others or at least with all of this one.
    pub fn deliver(&mut self, id: SessionId, cost: u64) -> bool {
        let shared = self.pool.shared();
        shared.totals.undelivered.fetch_sub(cost.cast_signed(), SeqCst);
        let Some((gauge, resume_below)) = self.slots.gauge(id) else { return false };
        gauge.add_delivered(cost);
        let left = gauge.undelivered();
        gauge.is_paused() && (left == 0 || (left <= resume_below && shared.is_relieved()))
    }

    /// Hands over what was staged.
    pub fn flush(&mut self) {
        for thread in 0..self.pool.len() {
            let batch = &mut self.staged[thread as usize];
            if !batch.is_empty() {
                self.pool.submit(thread, std::mem::take(batch));
            }
        }
    }

    /// Hands over what was staged and waits until it has been written as far as that goes at once.
    fn flush_and_wait(&mut self, patience: Duration) {
        let count = self.pool.len() as usize;
        let (done, waiter) = sync_channel(count);
        for batch in &mut self.staged {
            batch.commands.push(Command::Barrier(done.clone()));
        }
        self.flush();
        // A turn taken inline tells nobody of its events.
        self.pool.shared().inbox.wake();
        for _ in 0..count {
            if waiter.recv_timeout(patience).is_err() {
                return;
            }
        }
    }
}

/// Names this image of the addon: JavaScript that is evaluated twice in a thread may meet it twice.
#[napi]
pub fn image() -> String {
    static HERE: u8 = 0;
    format!("{:p}", &raw const HERE)
}

/// What all engines of an environment share; taken from the first that starts.
#[napi(object)]
pub struct HostOptions {
    pub io_threads: u32,
    /// Bytes.
    pub max_total_receive_queue: f64,
    /// Bytes; 0 is none.
    pub max_total_send_buffer: f64,
    /// Milliseconds.
    pub max_loop_stall: f64,
}

/// Starts the I/O threads of this environment, unless they run. `wake` is called when there is
/// something to deliver. Returns whether they were started now.
#[napi]
#[allow(clippy::needless_pass_by_value)]
pub fn start(env: Env, options: HostOptions, wake: Function<(), ()>) -> Result<bool> {
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
        let limits = SharedLimits {
            max_loop_stall: Duration::from_secs_f64(options.max_loop_stall / 1000.0),
            max_total_receive_queue: options.max_total_receive_queue as i64,
            max_total_send_buffer: options.max_total_send_buffer as i64,
        };
        let shared = Shared::new(now(), options.io_threads, inbox, limits);
        let pool = Pool::start(shared).map_err(|error| internal(error.to_string()))?;
        let host = Host {
            pool,
            slots: Slots::default(),
            staged: (0..options.io_threads).map(|_| CommandBatch::default()).collect(),
            lanes: Lanes::default(),
            undeliverable: Undeliverable::default(),
            group: 1,
        };
        HOST.set(Some(host));
        // The threads end before the environment's memory goes.
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

/// Hands over what was staged and blocks until each I/O thread has made one attempt to write it,
/// at most `patience` milliseconds each: for a close after which the process may exit at once.
#[napi]
pub fn flush_and_wait(patience: f64) -> Result<()> {
    guard(|| with(|host| host.flush_and_wait(Duration::from_secs_f64(patience / 1000.0))))
}

/// Sums over all sessions of this environment.
#[napi(object)]
pub struct HostStats {
    /// Bytes queued for all peers.
    pub unsent: f64,
    /// Bytes of messages that JavaScript has not taken.
    pub undelivered: f64,
    /// Bytes of messages and bodies that peers have begun and not finished.
    pub unfinished: f64,
    /// Panics caught on I/O threads.
    pub panics: f64,
}

/// The sums.
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
            }
        })
    })
}

/// Whether more is held of what peers have sent than `maxTotalReceiveQueue`.
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

/// Lets the slots of new sessions begin with a generation.
#[cfg(feature = "test-panic")]
#[napi]
pub fn start_generations(first: u32) -> Result<()> {
    guard(|| with(|host| host.slots.start_generations(first)))
}
