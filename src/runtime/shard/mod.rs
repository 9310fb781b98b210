//! The sessions of one I/O thread, and what happens to them in a turn: commands are applied,
//! sockets read, deadlines met, and then all that has to go out is written, one system call a
//! connection. Whoever holds the shard may call [`Shard::turn`]; it never waits.

mod apply;
mod effects;
mod events;
mod read;
mod receive_bounds;
mod send_bounds;
#[cfg(all(test, poller))]
mod tests;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use slab::Slab;

use super::commands::{CommandBatch, SessionId};
use super::gauge::Gauge;
use super::inbox::EventBatch;
use super::link::{Link, Links, Readiness};
use super::memory::Trim;
use super::shared::Shared;
use super::timers::{Member, Timers};
use crate::protocol::limits::Limits;
use crate::protocol::session::{Input, Session};
use effects::SessionEffects;
use receive_bounds::ReceiveState;
pub use send_bounds::SendQueue;
use send_bounds::SendQueues;

/// Bytes read from one connection in a turn.
const READ_BUDGET: usize = 64 * 1024;

/// A session and what belongs to it on this side.
struct Entry {
    id: SessionId,
    session: Session,
    limits: Arc<Limits>,
    gauge: Arc<Gauge>,
    max_receive_queue: u64,
    links: Links,
    /// The deadline of its entry among the timers.
    scheduled: Option<Instant>,
    /// Of its waiting bytes, those that are counted in the total.
    counted: usize,
    /// Its place among the send queues.
    send_queue: SendQueue,
    /// What it holds of what its peer has sent.
    receive: ReceiveState,
    /// Its WebSocket is not read, because what it brought before has to be handled first.
    is_held: bool,
    /// It is on the list of sessions with packets to handle.
    is_in_backlogs: bool,
    /// Its own batch of events, while it has more of them than other sessions should wait for.
    lane: Option<Box<EventBatch>>,
}

/// One I/O thread's state.
pub struct Shard {
    shared: Arc<Shared>,
    /// Which of the environment's threads this is.
    number: usize,
    entries: Vec<Option<Box<Entry>>>,
    links: Slab<Link>,
    /// Links of JavaScript streams, by the stream's number.
    streams: HashMap<u32, usize>,
    timers: Timers,
    batch: EventBatch,
    /// Sessions whose own batch has events.
    lanes: Vec<usize>,
    /// Events are in the inbox that JavaScript has not been woken for.
    has_put: bool,
    /// Links that may have something to write, or to read.
    writes: Vec<usize>,
    reads: Vec<usize>,
    /// Sessions that have packets to handle before more is read.
    backlogs: Vec<SessionId>,
    /// Sessions that are not read until less is held for JavaScript.
    deferred: Vec<SessionId>,
    /// How many sessions `maxTotalReceiveQueue` has paused, and when that was last reported.
    paused: u32,
    reported_at: Option<Instant>,
    /// Sessions with an unfinished message, by when it last grew.
    growing: BTreeSet<(Instant, usize)>,
    send_queues: SendQueues,
    trim: Trim,
    buffer: Vec<u8>,
    /// Threads that wait for the end of this turn.
    barriers: Vec<SyncSender<()>>,
    /// When the I/O thread wakes up by itself.
    sleeps_until: Option<Instant>,
    #[cfg(poller)]
    registry: mio::Registry,
}

impl Shard {
    /// The empty shard of thread `number`; `registry` is that of the poller whose events
    /// [`Self::note_readiness`] receives.
    pub fn new(shared: Arc<Shared>, number: usize, #[cfg(poller)] registry: mio::Registry) -> Self {
        Self {
            shared,
            number,
            entries: Vec::new(),
            links: Slab::new(),
            streams: HashMap::new(),
            timers: Timers::default(),
            batch: EventBatch::default(),
            lanes: Vec::new(),
            has_put: false,
            writes: Vec::new(),
            reads: Vec::new(),
            backlogs: Vec::new(),
            deferred: Vec::new(),
            paused: 0,
            reported_at: None,
            growing: BTreeSet::new(),
            send_queues: SendQueues::default(),
            trim: Trim::default(),
            buffer: Vec::new(),
            barriers: Vec::new(),
            sleeps_until: None,
            #[cfg(poller)]
            registry,
        }
    }

    /// Notes what the poller saw on a link.
    pub fn note_readiness(&mut self, key: usize, news: Readiness) {
        let Some(link) = self.links.get_mut(key) else { return };
        link.readiness.add(news);
        if news.readable {
            self.schedule_read(key);
        }
        if news.writable {
            self.schedule_write(key);
        }
    }

    /// A turn of the I/O thread: does all that can be done now.
    pub fn turn(&mut self, now: Instant, batches: Vec<CommandBatch>) {
        self.catch_panic(|shard| {
            for batch in batches {
                shard.apply(now, batch);
            }
            shard.resume_deferred(now);
            shard.read_scheduled(now);
            shard.read_backlogs(now);
            shard.meet_deadlines(now);
            shard.enforce_unfinished_bound(now);
        });
        // JavaScript can start on what came while this thread writes.
        self.publish();
        self.catch_panic(|shard| {
            shard.write_scheduled(now);
            shard.enforce_send_bound(now);
        });
        self.publish();
        self.answer_barriers();
        self.shared.check_relief();
        self.trim.turn(now, &self.shared);
    }

    /// A turn taken by the JavaScript thread for a few commands of its own, while the I/O thread
    /// waits. Events go into the inbox without a wake-up. Returns whether the I/O thread has to
    /// look at the shard.
    pub fn turn_inline(&mut self, now: Instant, batch: CommandBatch) -> bool {
        self.catch_panic(|shard| {
            shard.apply(now, batch);
            shard.enforce_unfinished_bound(now);
            shard.write_scheduled(now);
            shard.enforce_send_bound(now);
        });
        self.put();
        self.has_put = false;
        self.answer_barriers();
        let is_sooner = match (self.deadline(), self.sleeps_until) {
            (Some(deadline), Some(sleeps_until)) => deadline < sleeps_until,
            (deadline, None) => deadline.is_some(),
            (None, Some(_)) => false,
        };
        self.has_work() || is_sooner
    }

    /// A defect outside of any session must not take the thread with it.
    fn catch_panic(&mut self, work: impl FnOnce(&mut Self)) {
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
    pub fn note_sleep(&mut self) -> Option<Instant> {
        self.sleeps_until = self.deadline();
        self.sleeps_until
    }

    /// Whether another turn has something to do at once.
    pub fn has_work(&self) -> bool {
        !self.reads.is_empty() || !self.writes.is_empty() || !self.backlogs.is_empty()
    }

    /// When the next turn is needed at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.timers.next(), self.send_queues.deadline(), self.trim.deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn meet_deadlines(&mut self, now: Instant) {
        while let Some(member) = self.timers.due(now) {
            match member {
                Member::Session(index) => self.session_due(now, index),
                Member::Link(key) => self.reset_link(key),
            }
        }
    }

    fn session_due(&mut self, now: Instant, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        entry.scheduled = None;
        if entry.session.deadline().is_none_or(|deadline| deadline > now) {
            return self.schedule_timeout(index);
        }
        if self.loop_stalls(now) {
            self.postpone_ping(now, index);
        }
        self.step(now, index, |session, effects| session.handle_timeout(now, effects));
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

    fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)?.as_deref()
    }

    fn entry_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)?.as_deref_mut()
    }

    /// The place of a slot: those of a thread are every n-th, with n threads.
    fn index(&self, slot: u32) -> usize {
        slot as usize / self.shared.mailboxes.len().max(1)
    }

    /// The index of a session that is still there.
    fn find(&self, id: SessionId) -> Option<usize> {
        let index = self.index(id.slot);
        let entry = self.entries.get(index)?.as_deref()?;
        (entry.id == id).then_some(index)
    }

    fn input(&mut self, now: Instant, index: usize, input: Input<'_>) {
        self.step(now, index, |session, effects| session.handle_input(now, input, effects));
    }

    /// Runs one change of a session. A panic in it ends that session alone.
    fn step(
        &mut self,
        now: Instant,
        index: usize,
        change: impl FnOnce(&mut Session, &mut SessionEffects<'_>),
    ) {
        self.choose_lane(index);
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let Entry { id, session, limits, gauge, links, lane, .. } = &mut **entry;
        let mut effects = SessionEffects {
            now,
            id: *id,
            index,
            limits,
            batch: lane.as_deref_mut().unwrap_or(&mut self.batch),
            gauge,
            totals: &self.shared.totals,
            links,
            all_links: &mut self.links,
            writes: &mut self.writes,
            timers: &mut self.timers,
        };
        if catch_unwind(AssertUnwindSafe(|| change(session, &mut effects))).is_err() {
            self.shared.totals.panics.fetch_add(1, Relaxed);
            session.handle_input(now, Input::Broken, &mut effects);
        }
        let is_closed = session.is_closed();
        self.note_lane(index);
        if is_closed { self.forget(index) } else { self.schedule_timeout(index) }
    }

    /// Drops a session that is over.
    fn forget(&mut self, index: usize) {
        self.put_lane(index);
        let Some(mut entry) = self.entries.get_mut(index).and_then(Option::take) else { return };
        if let Some(scheduled) = entry.scheduled {
            self.timers.remove(scheduled, Member::Session(index));
        }
        self.shared.totals.unsent.fetch_sub(entry.counted as i64, Relaxed);
        self.send_queues.remove(Member::Session(index), &mut entry.send_queue);
        self.forget_receive_queue(index, &mut entry.receive);
        entry.gauge.set_unsent(0, 0);
    }

    fn schedule_timeout(&mut self, index: usize) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let Some(deadline) = entry.session.deadline() else { return };
        if entry.scheduled.is_none_or(|scheduled| deadline < scheduled) {
            let member = Member::Session(index);
            if let Some(scheduled) = entry.scheduled.replace(deadline) {
                self.timers.remove(scheduled, member);
            }
            self.timers.add(deadline, member);
        }
    }
}
