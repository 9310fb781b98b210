//! One I/O thread: waits for sockets, commands and deadlines, and turns the shard.
//!
//! A tokio `current_thread` runtime with a single task. The shard's sockets sit in a poller of
//! their own (mio), which tokio watches as one descriptor; so a turn costs the same whether one
//! connection has something to say or a thousand have. The only place that reads the clock.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Instant;

use super::commands::CommandBatch;
#[cfg(poller)]
use super::link::Readiness;
use super::shard::Shard;
use super::sync::{AtomicBool, Mutex, MutexGuard, Notify};

/// What JavaScript and an I/O thread share.
#[derive(Default)]
pub struct Mailbox {
    batches: Mutex<Vec<CommandBatch>>,
    wakeup: Notify,
    stopped: AtomicBool,
}

/// What came of a turn on the JavaScript thread.
pub enum Inline {
    /// It was taken; the I/O thread has to look at the shard, or not.
    Done { wakes: bool },
    /// It is for the I/O thread.
    Declined(CommandBatch),
}

/// A shard, unless the I/O thread is at work on it. A panic outside of any session leaves a shard
/// usable.
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

    /// Hands a batch over and wakes the thread if it sleeps.
    pub fn enqueue(&self, batch: CommandBatch) {
        self.lock().push(batch);
        self.wake();
    }

    /// Has a batch carried out: by `turn` on the calling thread, unless the I/O thread is at work on
    /// the shard, something that was handed over before waits, or `turn` refuses; else by the thread.
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

    /// Makes the thread take a turn.
    pub fn wake(&self) {
        self.wakeup.notify_one();
    }

    /// Whether all that was handed over has been taken.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Makes the thread end when it has carried out what was handed over.
    pub fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.wakeup.notify_one();
    }

    /// What has been handed over, and whether the thread ends when that is done.
    pub(super) fn take(&self) -> (Vec<CommandBatch>, bool) {
        // In this order: what was handed over before the stop must not be left behind.
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

/// The time.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// Where sockets are waited for.
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

    /// Resolves when a socket has something to say.
    async fn wait(&mut self) {
        // An error means that the runtime is going away; the stop flag tells the rest.
        let _ = self.poll.readable_mut().await;
    }

    /// Tells the shard what the sockets have to say, as far as tokio has heard of it.
    fn collect(&mut self, shard: &mut Shard) {
        let Self { poll, events } = self;
        // Does nothing unless tokio has seen the poller ready.
        let _ = poll.try_io_mut(tokio::io::Interest::READABLE, |poll| {
            // Only a list that is not full has all; then tokio may wait for the next edge.
            match take_events(poll, events, shard)? {
                true => Ok(()),
                false => Err(std::io::ErrorKind::WouldBlock.into()),
            }
        });
    }

    /// Tells the shard all that the sockets have to say, whatever tokio has heard: before a
    /// deadline is judged, what came in time is read. A process that was stopped wakes up with
    /// deadlines and bytes at once.
    fn collect_all(&mut self, shard: &mut Shard) {
        let Self { poll, events } = self;
        while take_events(poll.get_mut(), events, shard).unwrap_or(false) {}
    }
}

/// Takes a list of events. Returns whether it was full.
#[cfg(poller)]
fn take_events(
    poll: &mut mio::Poll,
    events: &mut mio::Events,
    shard: &mut Shard,
) -> std::io::Result<bool> {
    poll.poll(events, Some(std::time::Duration::ZERO))?;
    let mut count = 0;
    for event in events.iter() {
        count += 1;
        shard.note_readiness(event.token().0, Readiness::of(event));
    }
    Ok(count >= events.capacity())
}

/// Turns the shard until the mailbox says stop. The shard's lock is never held while waiting.
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

/// Without a poller there are only commands and deadlines.
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
