//! The I/O threads of one Node environment.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::commands::CommandBatch;
use super::driver::{self, Mailbox};
use super::shard::{Shard, Shared};

/// Up to so many commands the JavaScript thread carries out itself; more would keep it too long.
const INLINE_COMMANDS: usize = 8;

struct Thread {
    mailbox: Arc<Mailbox>,
    shard: Arc<Mutex<Shard>>,
    handle: Option<JoinHandle<()>>,
}

/// Running I/O threads. Dropping the pool ends them.
pub struct Pool {
    threads: Vec<Thread>,
    shared: Arc<Shared>,
}

impl Pool {
    /// Starts `count` threads. All descriptors they need to wait and be woken are made here.
    pub fn start(count: u32, shared: Shared) -> io::Result<Self> {
        let shared = Arc::new(shared);
        let mut pool = Self { threads: Vec::new(), shared: Arc::clone(&shared) };
        for number in 0..count {
            pool.threads.push(start_thread(number, count, Arc::clone(&shared))?);
        }
        Ok(pool)
    }

    /// How many threads there are; the slots of thread `n` are those with `slot % len() == n`.
    pub fn len(&self) -> u32 {
        u32::try_from(self.threads.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is no thread.
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// What the threads share with JavaScript.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Has commands carried out: a few by the calling thread when the I/O thread is not at work,
    /// which saves waking it; else by the I/O thread.
    pub fn submit(&self, thread: u32, batch: CommandBatch) {
        let Some(thread) = self.threads.get(thread as usize) else { return };
        if batch.commands.len() <= INLINE_COMMANDS
            && let Ok(mut shard) = thread.shard.try_lock()
            && thread.mailbox.is_empty()
        {
            if shard.turn_inline(driver::now(), batch) {
                thread.mailbox.wake();
            }
            return;
        }
        thread.mailbox.submit(batch);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for thread in &self.threads {
            thread.mailbox.stop();
        }
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take() {
                // A thread that panicked is gone as well.
                let _ = handle.join();
            }
        }
    }
}

#[cfg(poller)]
fn start_thread(number: u32, stride: u32, shared: Arc<Shared>) -> io::Result<Thread> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let poll = mio::Poll::new()?;
    let shard = Shard::new(shared, stride, poll.registry().try_clone()?);
    let poller = {
        let _guard = runtime.enter();
        driver::Poller::new(poll)?
    };
    spawn(number, shard, runtime, move |shard, mailbox| driver::drive(shard, mailbox, poller))
}

#[cfg(not(poller))]
fn start_thread(number: u32, stride: u32, shared: Arc<Shared>) -> io::Result<Thread> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    spawn(number, Shard::new(shared, stride), runtime, driver::drive)
}

fn spawn<F: Future<Output = ()>>(
    number: u32,
    shard: Shard,
    runtime: tokio::runtime::Runtime,
    drive: impl FnOnce(Arc<Mutex<Shard>>, Arc<Mailbox>) -> F + Send + 'static,
) -> io::Result<Thread> {
    let mailbox = Arc::new(Mailbox::default());
    let shard = Arc::new(Mutex::new(shard));
    let (for_thread, shard_for_thread) = (Arc::clone(&mailbox), Arc::clone(&shard));
    let handle = std::thread::Builder::new()
        .name(format!("upwire-io-{number}"))
        .spawn(move || runtime.block_on(drive(shard_for_thread, for_thread)))?;
    Ok(Thread { mailbox, shard, handle: Some(handle) })
}
