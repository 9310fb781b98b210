//! The I/O threads of one Node environment: started with its first engine, and joined when it ends.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::commands::CommandBatch;
use super::driver::{self, Inline, Mailbox};
use super::shard::Shard;
use super::shared::Shared;
use super::sync::Mutex;

/// The most commands that the JavaScript thread applies itself; more would block it for too long.
const INLINE_COMMANDS: usize = 8;

/// One I/O thread, as the JavaScript thread sees it.
struct Thread {
    mailbox: Arc<Mailbox>,
    shard: Arc<Mutex<Shard>>,
    handle: Option<JoinHandle<()>>,
}

/// Running I/O threads. Dropping the pool stops and joins them.
pub struct Pool {
    threads: Vec<Thread>,
    shared: Arc<Shared>,
}

impl Pool {
    /// Starts a thread for each mailbox. This opens all descriptors that the threads need, so that a
    /// lack of them is an error here and not in a thread.
    pub fn start(shared: Shared) -> io::Result<Self> {
        let shared = Arc::new(shared);
        let mut pool = Self { threads: Vec::new(), shared: Arc::clone(&shared) };
        for number in 0..shared.mailboxes.len() {
            pool.threads.push(start_thread(number, Arc::clone(&shared))?);
        }
        Ok(pool)
    }

    /// How many threads there are. Thread `n` has the slots with `slot % len() == n`.
    pub fn len(&self) -> u32 {
        u32::try_from(self.threads.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is no thread.
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// The state that the threads share with the JavaScript thread.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Applies commands. If they are few and light, and the I/O thread has nothing to do, the calling thread
    /// applies them, which saves a wake-up; otherwise the I/O thread does.
    pub fn submit(&self, thread: u32, batch: CommandBatch) {
        let Some(thread) = self.threads.get(thread as usize) else { return };
        let turn = |shard: &mut Shard, batch: CommandBatch| {
            if batch.commands.len() > INLINE_COMMANDS || batch.is_heavy || shard.has_work() {
                return Inline::Declined(batch);
            }
            Inline::Done { wakes: shard.turn_inline(driver::now(), batch) }
        };
        thread.mailbox.submit(&thread.shard, batch, turn);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for thread in &self.threads {
            thread.mailbox.stop();
        }
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take() {
                // A thread that panicked has ended as well.
                let _ = handle.join();
            }
        }
    }
}

#[cfg(poller)]
fn start_thread(number: usize, shared: Arc<Shared>) -> io::Result<Thread> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let poll = mio::Poll::new()?;
    let mailbox = Arc::clone(&shared.mailboxes[number]);
    let shard = Shard::new(shared, number, poll.registry().try_clone()?);
    let poller = {
        let _context = runtime.enter();
        driver::Poller::new(poll)?
    };
    let drive = move |shard, mailbox| driver::drive(shard, mailbox, poller);
    spawn(number, shard, mailbox, runtime, drive)
}

#[cfg(not(poller))]
fn start_thread(number: usize, shared: Arc<Shared>) -> io::Result<Thread> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mailbox = Arc::clone(&shared.mailboxes[number]);
    spawn(number, Shard::new(shared, number), mailbox, runtime, driver::drive)
}

fn spawn<F: Future<Output = ()>>(
    number: usize,
    shard: Shard,
    mailbox: Arc<Mailbox>,
    runtime: tokio::runtime::Runtime,
    drive: impl FnOnce(Arc<Mutex<Shard>>, Arc<Mailbox>) -> F + Send + 'static,
) -> io::Result<Thread> {
    let shard = Arc::new(Mutex::new(shard));
    let (for_thread, shard_for_thread) = (Arc::clone(&mailbox), Arc::clone(&shard));
    let handle = std::thread::Builder::new()
        .name(format!("upwire-io-{number}"))
        .spawn(move || runtime.block_on(drive(shard_for_thread, for_thread)))?;
    Ok(Thread { mailbox, shard, handle: Some(handle) })
}
