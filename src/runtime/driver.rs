//! One I/O thread: waits for sockets, commands and deadlines, and turns the shard.
//!
//! The thread runs a tokio `current_thread` runtime with a single task. The shard's sockets are in a
//! poller of their own (mio), which tokio sees as one descriptor, so that the cost of a turn does not
//! depend on how many connections are ready. This is the only file that reads the clock.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Instant;

use super::commands::CommandBatch;
#[cfg(poller)]
use super::link::Readiness;
use super::shard::Shard;
use super::sync::{AtomicBool, Mutex, MutexGuard, Notify};

/// The command batches that wait for one I/O thread, and what wakes it.
#[derive(Default)]
pub struct Mailbox {
    /// The batches, in the order in which they were flushed.
    batches: Mutex<Vec<CommandBatch>>,
    wakeup: Notify,
    /// The thread ends after its next turn.
    stopped: AtomicBool,
}

/// The outcome of offering a batch to the calling thread.
pub enum Inline {
    /// The calling thread has applied the batch.
    Done {
        /// Whether the I/O thread has to take a turn as well.
        wakes: bool,
    },
    /// The batch is for the I/O thread.
    Declined(CommandBatch),
}

/// Locks a shard, unless the I/O thread holds it. A shard stays usable after a panic, because
/// sessions catch their own.
fn try_lock<S>(shard: &Mutex<S>) -> Option<MutexGuard<'_, S>> {
    match shard.try_lock() {
        Ok(shard) => Some(shard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Vec<CommandBatch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a batch for the I/O thread and wakes the thread.
    pub fn enqueue(&self, batch: CommandBatch) {
        self.lock().push(batch);
        self.wake();
    }

    /// Applies a batch: with `turn` on the calling thread if the shard is free, no earlier batch
    /// waits and `turn` does not decline; otherwise on the I/O thread.
    pub fn submit<S>(
        &self,
        shard: &Mutex<S>,
        batch: CommandBatch,
        turn: impl FnOnce(&mut S, CommandBatch) -> Inline,
    ) {
        let batch = match try_lock(shard) {
            Some(mut shard) if self.is_empty() => match turn(&mut shard, batch) {
                Inline::Done { wakes } => {
                    if wakes {
                        self.wake();
                    }
                    return;
                }
                Inline::Declined(batch) => batch,
            },
            Some(_) | None => batch,
        };
        self.enqueue(batch);
    }

    /// Wakes the I/O thread for a turn.
    pub fn wake(&self) {
        self.wakeup.notify_one();
    }

    /// Whether no batch waits.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Ends the I/O thread once it has applied the batches that wait.
    pub fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.wakeup.notify_one();
    }

    /// Takes the batches that wait, and returns whether the thread ends after them.
    pub(super) fn take(&self) -> (Vec<CommandBatch>, bool) {
        // The flag is read first, so that batches queued before the stop are not left behind.
        let is_stopped = self.stopped.load(SeqCst);
        (std::mem::take(&mut *self.lock()), is_stopped)
    }
}

#[cfg(all(test, model))]
impl Mailbox {
    /// Waits for a wake-up.
    pub fn wait(&self) {
        self.wakeup.wait();
    }
}

/// The current time.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits for sockets.
#[cfg(poller)]
pub struct Poller {
    poll: tokio::io::unix::AsyncFd<mio::Poll>,
    events: mio::Events,
}

#[cfg(poller)]
impl Poller {
    /// Registers `poll` with the current tokio runtime.
    pub fn new(poll: mio::Poll) -> std::io::Result<Self> {
        let poll = super::descriptor::register(poll)?;
        Ok(Self { poll, events: mio::Events::with_capacity(1024) })
    }

    /// Resolves when a socket is ready.
    async fn wait(&mut self) {
        // An error means that the runtime shuts down; the stop flag then ends the loop.
        let _ = self.poll.readable_mut().await;
    }

    /// Passes readiness to the shard, if tokio has seen the poller ready.
    fn collect(&mut self, shard: &mut Shard) {
        let Self { poll, events } = self;
        // Does nothing unless tokio has seen the poller ready.
        let _ = poll.try_io_mut(tokio::io::Interest::READABLE, |poll| {
            // A full list may not have all events. Only a shorter one lets tokio wait for the
            // next edge.
            if take_events(poll, events, shard)? {
                Ok(())
            } else {
                Err(std::io::ErrorKind::WouldBlock.into())
            }
        });
    }

    /// Passes all readiness to the shard, even if tokio has not seen it yet. A process that was
    /// stopped resumes with expired deadlines and unread bytes, and bytes that came in time must be
    /// read before the deadlines are checked.
    fn collect_all(&mut self, shard: &mut Shard) {
        let Self { poll, events } = self;
        while take_events(poll.get_mut(), events, shard).unwrap_or(false) {}
    }
}

/// Passes one list of events to the shard. Returns whether the list was full.
#[cfg(poller)]
fn take_events(
    poll: &mut mio::Poll,
    events: &mut mio::Events,
    shard: &mut Shard,
) -> std::io::Result<bool> {
    poll.poll(events, Some(std::time::Duration::ZERO))?;
    let mut count = 0;
    for event in &*events {
        count += 1;
        shard.note_readiness(event.token().0, Readiness::of(event));
    }
    Ok(count >= events.capacity())
}

/// Turns the shard until the mailbox is stopped. The shard's lock is never held while waiting.
#[cfg(poller)]
pub async fn drive(shard: Arc<Mutex<Shard>>, mailbox: Arc<Mailbox>, mut poller: Poller) {
    let sleep = tokio::time::sleep_until(now().into());
    tokio::pin!(sleep);
    loop {
        let (is_stopped, has_work, deadline) = {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let now = now();
            if shard.deadline().is_some_and(|deadline| deadline <= now) {
                poller.collect_all(&mut shard);
            } else {
                poller.collect(&mut shard);
            }
            let (batches, is_stopped) = mailbox.take();
            shard.turn(now, batches);
            (is_stopped, shard.has_work(), shard.note_sleep())
        };
        if is_stopped {
            return;
        }
        if has_work {
            tokio::task::yield_now().await;
            continue;
        }
        if let Some(deadline) = deadline
            && sleep.deadline() != deadline.into()
        {
            sleep.as_mut().reset(deadline.into());
        }
        tokio::select! {
            biased;
            () = mailbox.wakeup.notified() => {}
            () = poller.wait() => {}
            () = &mut sleep, if deadline.is_some() => {}
        }
    }
}

/// Turns the shard until the mailbox is stopped; without a poller there are only commands and
/// deadlines.
#[cfg(not(poller))]
pub async fn drive(shard: Arc<Mutex<Shard>>, mailbox: Arc<Mailbox>) {
    loop {
        let (is_stopped, has_work, deadline) = {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let (batches, is_stopped) = mailbox.take();
            shard.turn(now(), batches);
            (is_stopped, shard.has_work(), shard.note_sleep())
        };
        if is_stopped {
            return;
        }
        if has_work {
            tokio::task::yield_now().await;
            continue;
        }
        let sleep = tokio::time::sleep_until(deadline.unwrap_or_else(now).into());
        tokio::select! {
            biased;
            () = mailbox.wakeup.notified() => {}
            () = sleep, if deadline.is_some() => {}
        }
    }
}
