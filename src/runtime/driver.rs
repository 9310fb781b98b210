//! One I/O thread: waits for sockets, commands and deadlines, and turns the shard.
//!
//! A tokio `current_thread` runtime with a single task. The shard's sockets sit in a poller of
//! their own (mio), which tokio watches as one descriptor; so a turn costs the same whether one
//! connection has something to say or a thousand have. The only place that reads the clock.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::commands::CommandBatch;
use super::shard::Shard;

/// What JavaScript and an I/O thread share.
#[derive(Debug, Default)]
pub struct Mailbox {
    batches: Mutex<Vec<CommandBatch>>,
    notify: Notify,
    stopped: AtomicBool,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Vec<CommandBatch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a batch over and wakes the thread if it sleeps.
    pub fn submit(&self, batch: CommandBatch) {
        self.lock().push(batch);
        self.wake();
    }

    /// Makes the thread take a turn.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Whether all that was handed over has been taken.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Makes the thread end after its next turn.
    pub fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.notify.notify_one();
    }

    fn take(&self) -> Vec<CommandBatch> {
        std::mem::take(&mut *self.lock())
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
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
        let poll = super::descriptor::watch(poll)?;
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
        let is_over = event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || is_over;
        let seen = super::shard::Seen { readable, is_over, writable: event.is_writable() };
        shard.event(event.token().0, seen);
    }
    Ok(count >= events.capacity())
}

/// Turns the shard until the mailbox says stop. The shard's lock is never held while waiting.
#[cfg(poller)]
pub async fn drive(shard: Arc<Mutex<Shard>>, mailbox: Arc<Mailbox>, mut poller: Poller) {
    let sleep = tokio::time::sleep_until(now().into());
    tokio::pin!(sleep);
    loop {
        let (has_work, deadline) = {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let now = now();
            if shard.deadline().is_some_and(|deadline| deadline <= now) {
                poller.collect_all(&mut shard);
            } else {
                poller.collect(&mut shard);
            }
            shard.turn(now, mailbox.take());
            (shard.has_work(), shard.wait_until())
        };
        if mailbox.is_stopped() {
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
            () = mailbox.notify.notified() => {}
            () = poller.wait() => {}
            () = &mut sleep, if deadline.is_some() => {}
        }
    }
}

/// Without a poller there are only commands and deadlines.
#[cfg(not(poller))]
pub async fn drive(shard: Arc<Mutex<Shard>>, mailbox: Arc<Mailbox>) {
    loop {
        let (has_work, deadline) = {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.turn(now(), mailbox.take());
            (shard.has_work(), shard.wait_until())
        };
        if mailbox.is_stopped() {
            return;
        }
        if has_work {
            tokio::task::yield_now().await;
            continue;
        }
        let sleep = tokio::time::sleep_until(deadline.unwrap_or_else(now).into());
        tokio::select! {
            biased;
            () = mailbox.notify.notified() => {}
            () = sleep, if deadline.is_some() => {}
        }
    }
}
