//! The sessions of one I/O thread, and what happens to them in a turn: commands are applied,
//! sockets read, deadlines met, and then all that has to go out is written, one system call a
//! connection. Whoever holds the shard may call [`Shard::turn`]; it never waits.

mod applying;
mod reading;
mod sink;
mod writing;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use slab::Slab;

use super::commands::{CommandBatch, SessionId};
use super::gauge::{Gauge, SharedLimits, Totals};
use super::inbox::{EventBatch, Inbox};
use super::lanes::LANE_FROM;
use super::link::Link;
use super::timers::{Target, Timers};
use crate::protocol::limits::Limits;
use crate::protocol::session::{Input, Session};
pub use sink::MESSAGE_COST;
use sink::Sink;

/// Bytes read from one connection in a turn.
const READ_BUDGET: usize = 64 * 1024;

/// What the poller saw on a link.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub readable: bool,
    /// The peer has ended its side, or the connection is broken.
    pub is_over: bool,
    pub writable: bool,
}

/// What all shards of an environment share.
pub struct Shared {
    pub inbox: Inbox,
    pub totals: Totals,
    pub limits: SharedLimits,
}

/// A session and what belongs to it on this side.
struct Entry {
    id: SessionId,
    session: Session,
    limits: Arc<Limits>,
    gauge: Arc<Gauge>,
    max_receive_queue: u64,
    /// Keys of its links.
    main: Option<usize>,
    probe: Option<usize>,
    /// The soonest look that the timers have been asked for.
    scheduled: Option<Instant>,
    /// What of its waiting bytes is in the total.
    counted: usize,
    /// Its WebSocket is not read, because a POST has to be handled first.
    is_held: bool,
}

/// One I/O thread's state.
pub struct Shard {
    shared: Arc<Shared>,
    /// The slots of a shard are every `stride`-th, so a slot's index is `slot / stride`.
    stride: u32,
    entries: Vec<Option<Box<Entry>>>,
    links: Slab<Link>,
    /// Links of JavaScript streams, by the stream's number.
    streams: HashMap<u32, usize>,
    timers: Timers,
    batch: EventBatch,
    /// Events are in the inbox that JavaScript has not been woken for.
    has_put: bool,
    /// Links that may have something to write, or to read.
    dirty: Vec<usize>,
    ready: Vec<usize>,
    /// Sessions that have packets of a POST to handle.
    backlogs: Vec<SessionId>,
    buffer: Box<[u8]>,
    /// Who waits for the end of this turn.
    barriers: Vec<SyncSender<()>>,
    serial: u64,
    /// When the I/O thread wakes up by itself.
    waits_until: Option<Instant>,
    #[cfg(poller)]
    registry: mio::Registry,
}

impl Shard {
    /// An empty shard; `registry` is that of the poller whose events [`Self::event`] is told.
    pub fn new(shared: Arc<Shared>, stride: u32, #[cfg(poller)] registry: mio::Registry) -> Self {
        Self {
            shared,
            stride,
            entries: Vec::new(),
            links: Slab::new(),
            streams: HashMap::new(),
            timers: Timers::default(),
            batch: EventBatch::default(),
            has_put: false,
            dirty: Vec::new(),
            ready: Vec::new(),
            backlogs: Vec::new(),
            buffer: vec![0; READ_BUDGET].into_boxed_slice(),
            barriers: Vec::new(),
            serial: 0,
            waits_until: None,
            #[cfg(poller)]
            registry,
        }
    }

    /// Notes what the poller saw on a link.
    pub fn event(&mut self, key: usize, seen: Seen) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.readable |= seen.readable;
        link.is_over |= seen.is_over;
        link.writable |= seen.writable;
        if seen.readable {
            self.want_read(key);
        }
        if seen.writable {
            self.want_write(key);
        }
    }

    /// A turn of the I/O thread: does all that can be done now.
    pub fn turn(&mut self, now: Instant, batches: Vec<CommandBatch>) {
        self.survive(|shard| {
            for batch in batches {
                shard.apply(now, batch);
            }
            shard.read_ready(now);
            shard.read_backlogs(now);
            shard.meet_deadlines(now);
        });
        // JavaScript can start on what came while this thread writes.
        self.publish();
        self.survive(|shard| shard.write_dirty(now));
        self.publish();
        self.answer_barriers();
    }

    /// A turn taken by the JavaScript thread for a few commands of its own, while the I/O thread
    /// waits. Events go into the inbox without a wake-up. Returns whether the I/O thread has to
    /// look at the shard.
    pub fn turn_inline(&mut self, now: Instant, batch: CommandBatch) -> bool {
        self.survive(|shard| {
            shard.apply(now, batch);
            shard.write_dirty(now);
        });
        self.put();
        self.has_put = false;
        self.answer_barriers();
        let is_sooner = match (self.deadline(), self.waits_until) {
            (Some(deadline), Some(waits_until)) => deadline < waits_until,
            (deadline, None) => deadline.is_some(),
            (None, Some(_)) => false,
        };
        self.has_work() || is_sooner
    }

    fn publish(&mut self) {
        self.put();
        if std::mem::take(&mut self.has_put) {
            self.shared.inbox.wake();
        }
    }

    /// A defect outside of any session must not take the thread with it.
    fn survive(&mut self, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.shared.totals.panics.fetch_add(1, Relaxed);
        }
    }

    fn answer_barriers(&mut self) {
        for waiter in self.barriers.drain(..) {
            // Whoever waited may have given up.
            let _ = waiter.try_send(());
        }
    }

    /// Notes until when the I/O thread is going to wait.
    pub fn wait_until(&mut self) -> Option<Instant> {
        self.waits_until = self.deadline();
        self.waits_until
    }

    /// Whether another turn has something to do at once.
    pub fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.dirty.is_empty() || !self.backlogs.is_empty()
    }

    /// When the next turn is needed at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn meet_deadlines(&mut self, now: Instant) {
        while let Some(target) = self.timers.due(now) {
            match target {
                Target::Session { index, generation } => self.session_due(now, index, generation),
                Target::Link { key, serial } => self.link_due(now, key, serial),
            }
        }
    }

    fn session_due(&mut self, now: Instant, index: usize, generation: u32) {
        let Some(entry) = self.entry_mut(index) else { return };
        if entry.id.generation != generation {
            return;
        }
        entry.scheduled = None;
        if entry.session.deadline().is_none_or(|deadline| deadline > now) {
            return self.schedule(index);
        }
        if self.loop_stalls(now) {
            self.postpone_ping(now, index);
        }
        self.step(now, index, |session, sink| session.handle_timeout(now, sink));
    }

    fn loop_stalls(&self, now: Instant) -> bool {
        self.shared.inbox.stalls(now, self.shared.limits.max_loop_stall)
    }

    /// While JavaScript takes no turns, peers are not told that all is well.
    fn postpone_ping(&mut self, now: Instant, index: usize) {
        const RETRY: Duration = Duration::from_secs(1);
        if let Some(entry) = self.entry_mut(index)
            && entry.session.is_ping_due(now)
        {
            entry.session.postpone_ping(now, RETRY);
        }
    }

    fn link_due(&mut self, now: Instant, key: usize, serial: u64) {
        let is_due = self.links.get(key).is_some_and(|link| {
            link.serial == serial && link.deadline.is_some_and(|deadline| deadline <= now)
        });
        if is_due {
            self.reset_link(key);
        }
    }

    fn entry_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)?.as_deref_mut()
    }

    /// The index of a session that is still there.
    fn find(&self, id: SessionId) -> Option<usize> {
        let index = (id.slot / self.stride) as usize;
        let entry = self.entries.get(index)?.as_deref()?;
        (entry.id == id).then_some(index)
    }

    fn input(&mut self, now: Instant, index: usize, input: Input<'_>) {
        self.step(now, index, |session, sink| session.handle_input(now, input, sink));
    }

    /// Runs one change of a session. A panic in it ends that session alone.
    fn step(
        &mut self,
        now: Instant,
        index: usize,
        change: impl FnOnce(&mut Session, &mut Sink<'_>),
    ) {
        let before = self.batch.records.len();
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let Entry { id, session, limits, gauge, main, probe, .. } = &mut **entry;
        let mut sink = Sink {
            now,
            id: *id,
            index,
            limits,
            batch: &mut self.batch,
            gauge,
            totals: &self.shared.totals,
            links: &mut self.links,
            main,
            probe,
            dirty: &mut self.dirty,
            timers: &mut self.timers,
        };
        if catch_unwind(AssertUnwindSafe(|| change(session, &mut sink))).is_err() {
            self.shared.totals.panics.fetch_add(1, Relaxed);
            session.handle_input(now, Input::Broken, &mut sink);
        }
        let id = *id;
        if session.is_closed() {
            self.forget(index)
        } else {
            self.schedule(index)
        }
        if self.batch.records.len() - before >= LANE_FROM {
            self.move_to_lane(before, id);
        }
    }

    /// One step has brought more events than is fair to others: they go in a batch of their own.
    fn move_to_lane(&mut self, before: usize, id: SessionId) {
        let mut own = self.batch.split_off(before);
        own.owner = Some(id);
        self.put();
        self.shared.inbox.put(own);
        self.has_put = true;
    }

    /// Puts what there is into the inbox, without a wake-up.
    fn put(&mut self) {
        if !self.batch.records.is_empty() {
            self.shared.inbox.put(std::mem::take(&mut self.batch));
            self.has_put = true;
        }
    }

    /// Drops a session that is over.
    fn forget(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(index).and_then(Option::take) else { return };
        self.shared.totals.unsent.fetch_sub(entry.counted as i64, Relaxed);
        entry.gauge.set_unsent(0, 0);
    }

    fn schedule(&mut self, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        let Some(deadline) = entry.session.deadline() else { return };
        if entry.scheduled.is_none_or(|scheduled| deadline < scheduled) {
            entry.scheduled = Some(deadline);
            let generation = entry.id.generation;
            self.timers.push(deadline, Target::Session { index, generation });
        }
    }
}
