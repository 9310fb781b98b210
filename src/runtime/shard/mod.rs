//! The sessions of one I/O thread. In a turn the shard applies commands, reads sockets and handles
//! deadlines, and then writes everything that has to go out, usually with one system call per
//! connection. A turn never waits. The thread that holds the shard's lock can take one: the I/O thread
//! calls [`Shard::turn`], the JavaScript thread [`Shard::turn_inline`].

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

/// The most bytes read from one connection in a turn.
const READ_BUDGET: usize = 64 * 1024;

/// A session and the state that the shard keeps for it.
struct Entry {
    id: SessionId,
    session: Session,
    /// The limits of its engine.
    limits: Arc<Limits>,
    /// The counters that it shares with JavaScript.
    gauge: Arc<Gauge>,
    links: Links,
    /// The deadline of its timer, if it has one.
    scheduled: Option<Instant>,
    /// How many of its queued bytes are counted in the total.
    counted: usize,
    /// Its place among the send queues.
    send_queue: SendQueue,
    /// How much of what its peer has sent it holds.
    receive: ReceiveState,
    /// Its WebSocket is not read until the bytes that it holds have been handled.
    is_held: bool,
    /// It is on the list of sessions that have more packets to handle.
    is_in_backlogs: bool,
    /// A batch for its events alone, while there are so many that other sessions should not wait
    /// for them.
    lane: Option<Box<EventBatch>>,
}

/// The state of one I/O thread.
pub struct Shard {
    shared: Arc<Shared>,
    /// Which of the environment's threads this is.
    number: usize,
    /// The sessions, by index.
    entries: Vec<Option<Box<Entry>>>,
    /// The links of all sessions, and those that sessions have released.
    links: Slab<Link>,
    /// The links of JavaScript streams, by the stream's number.
    streams: HashMap<u32, usize>,
    timers: Timers,
    /// The events of this turn, except those in lanes.
    batch: EventBatch,
    /// Sessions whose lane has events.
    lanes: Vec<usize>,
    /// The inbox has events for which JavaScript has not been woken.
    has_put: bool,
    /// Links to write in this turn or the next.
    writes: Vec<usize>,
    /// Links to read in this turn or the next.
    reads: Vec<usize>,
    /// Sessions with packets to handle before they are read again.
    backlogs: Vec<SessionId>,
    /// Sessions that are paused until [`Shared::is_relieved`] holds.
    deferred: Vec<SessionId>,
    /// How many sessions `maxTotalReceiveQueue` has paused since that was last reported.
    paused: u32,
    /// When that was last reported.
    reported_at: Option<Instant>,
    /// Sessions with an unfinished message, by the time at which it last grew.
    growing: BTreeSet<(Instant, usize)>,
    send_queues: SendQueues,
    trim: Trim,
    /// The memory that sockets are read into.
    buffer: Vec<u8>,
    /// Channels to signal at the end of this turn.
    barriers: Vec<SyncSender<()>>,
    /// When the I/O thread wakes up by itself.
    sleeps_until: Option<Instant>,
    /// Where sockets are added to the poller.
    #[cfg(poller)]
    registry: mio::Registry,
}

impl Shard {
    /// An empty shard for thread `number`. `registry` belongs to the poller whose events are passed to
    /// [`Self::note_readiness`].
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

    /// Notes what a link is ready for, and schedules it to be read and written.
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

    /// A turn of the I/O thread: does everything that can be done now.
    pub fn turn(&mut self, now: Instant, batches: Vec<CommandBatch>) {
        self.catch_panic(|shard| {
            for batch in batches {
                shard.apply(now, batch);
            }
            shard.resume_deferred(now);
            shard.read_scheduled(now);
            shard.read_backlogs(now);
            shard.handle_deadlines(now);
            shard.enforce_unfinished_bound(now);
        });
        // JavaScript can handle these events while this thread writes.
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

    /// A turn of the JavaScript thread, which applies a few commands of its own while the I/O thread
    /// sleeps. Events are put into the inbox without a wake-up. Returns whether the I/O thread has to
    /// take a turn as well.
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

    /// Does some work of the shard, and counts a panic instead of letting it end the thread.
    fn catch_panic(&mut self, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.shared.totals.panics.fetch_add(1, Relaxed);
        }
    }

    fn answer_barriers(&mut self) {
        for waiter in self.barriers.drain(..) {
            // The waiting thread may have given up.
            let _ = waiter.try_send(());
        }
    }

    /// Returns when the I/O thread, which is about to sleep, has to wake up by itself. The time is
    /// kept for [`Self::turn_inline`].
    pub fn note_sleep(&mut self) -> Option<Instant> {
        self.sleeps_until = self.deadline();
        self.sleeps_until
    }

    /// Whether another turn is needed at once.
    pub fn has_work(&self) -> bool {
        !self.reads.is_empty() || !self.writes.is_empty() || !self.backlogs.is_empty()
    }

    /// The latest time of the next turn.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [self.timers.next(), self.send_queues.deadline(), self.trim.deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn handle_deadlines(&mut self, now: Instant) {
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

    /// Whether the JavaScript thread has been blocked for too long.
    fn loop_stalls(&self, now: Instant) -> bool {
        self.shared.inbox.stalls(now, self.shared.limits.max_loop_stall)
    }

    /// Puts off a ping that is due. A blocked app must not look alive to its peers.
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

    /// The index of a slot. With n threads, every n-th slot belongs to this one.
    fn index(&self, slot: u32) -> usize {
        slot as usize / self.shared.mailboxes.len().max(1)
    }

    /// The index of a session, unless it is over.
    fn find(&self, id: SessionId) -> Option<usize> {
        let index = self.index(id.slot);
        let entry = self.entries.get(index)?.as_deref()?;
        (entry.id == id).then_some(index)
    }

    fn input(&mut self, now: Instant, index: usize, input: Input<'_>) {
        self.step(now, index, |session, effects| session.handle_input(now, input, effects));
    }

    /// Runs one change of a session and carries out its effects. A panic ends that session only.
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
            shared: &self.shared,
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

    /// Adds or moves a session's timer if its deadline is sooner.
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
