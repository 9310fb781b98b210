//! The bound of all send queues together, `maxTotalSendBuffer`. It is enforced after writing, when the
//! kernel has been offered everything.
//!
//! The queue that holds the most memory is closed. A broadcast belongs to no queue in particular,
//! because dropping one of many references to it frees nothing. So peers that still read are not
//! closed because of a broadcast that all of them wait for. For a peer that has stopped reading, a
//! broadcast counts if no other queue refers to it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{Entry, Shard};
use crate::protocol::deadline::after;
use crate::protocol::effects::Role;
use crate::runtime::link::State;
use crate::runtime::timers::Member;

/// How many of the longest queues are compared.
const CANDIDATES: usize = 16;
/// A queue that holds less than this is only closed if its peer has stopped reading.
const MIN_ALONE: usize = 64 * 1024;
/// A peer that takes nothing for this long has stopped reading.
const STALLED_AFTER: Duration = Duration::from_secs(2);
/// When to check whether the other threads have ranked their queues and closed theirs.
const ROUND: Duration = Duration::from_millis(5);
/// How long to wait for other threads to rank their queues.
const PATIENCE: Duration = Duration::from_millis(250);
/// When to try again while no queue can be closed.
const RETRY: Duration = Duration::from_millis(200);

/// A queue's place in the order of [`SendQueues`].
#[derive(Debug, Default)]
pub struct SendQueue {
    /// Queued bytes, including broadcasts; 0 if it has no place.
    bytes: usize,
    /// When the peer last took some of them.
    moved_at: Option<Instant>,
}

/// All send queues that are not empty, ordered by length.
#[derive(Debug, Default)]
pub struct SendQueues {
    ordered: BTreeSet<(usize, Member)>,
    /// Set while all queues together exceed the bound.
    overload: Option<Overload>,
}

/// How far this thread is with enforcing the bound.
#[derive(Debug)]
struct Overload {
    /// When to try again.
    retry_at: Instant,
    /// When the other threads were woken to rank their queues.
    asked_at: Option<Instant>,
}

impl SendQueues {
    /// When to enforce the bound again.
    pub fn deadline(&self) -> Option<Instant> {
        self.overload.as_ref().map(|overload| overload.retry_at)
    }

    /// Updates the length of a queue after a write.
    pub fn set(&mut self, now: Instant, member: Member, queue: &mut SendQueue, bytes: usize) {
        if bytes == queue.bytes {
            return;
        }
        if bytes < queue.bytes || queue.bytes == 0 {
            queue.moved_at = Some(now);
        }
        self.remove(member, queue);
        if bytes > 0 {
            self.ordered.insert((bytes, member));
            queue.bytes = bytes;
        }
    }

    /// Whether all queues are empty.
    #[cfg(all(test, poller))]
    pub fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }

    /// Removes a queue from the order.
    pub fn remove(&mut self, member: Member, queue: &mut SendQueue) {
        if queue.bytes > 0 {
            self.ordered.remove(&(queue.bytes, member));
            queue.bytes = 0;
        }
    }
}

/// A queue that may be closed.
struct Candidate {
    member: Member,
    /// Bytes that closing it is certain to free.
    alone: usize,
    is_stalled: bool,
}

impl Shard {
    /// Closes queues while all together are too long.
    pub(super) fn enforce_send_bound(&mut self, now: Instant) {
        let limit = self.shared.limits.max_total_send_buffer;
        if limit == 0 || self.shared.totals.unsent.load(Relaxed) <= limit {
            if self.send_queues.overload.take().is_some() {
                self.shared.send_queues.set(self.number, 0, self.shared.micros(now));
            }
            return;
        }
        self.retry_after(now, RETRY);
        while self.shared.totals.unsent.load(Relaxed) > limit {
            let candidate = self.candidate(now);
            let rank = candidate.as_ref().map_or(0, |candidate| candidate.alone as u64 + 1);
            self.shared.send_queues.set(self.number, rank, self.shared.micros(now));
            if self.is_for_others(now, rank) {
                return self.retry_after(now, ROUND);
            }
            let Some(Candidate { member, .. }) = candidate else { return };
            self.evict(now, member, limit.unsigned_abs());
        }
    }

    /// Notes when to enforce the bound again.
    fn retry_after(&mut self, now: Instant, delay: Duration) {
        let retry_at = after(now, delay);
        let overload = &mut self.send_queues.overload;
        overload.get_or_insert(Overload { retry_at, asked_at: None }).retry_at = retry_at;
    }

    /// Whether this thread has to wait for the others: until they have ranked their queues, or because
    /// one of them has a queue that should be closed first.
    fn is_for_others(&mut self, now: Instant, rank: u64) -> bool {
        if self.shared.mailboxes.len() < 2 {
            return false;
        }
        let Some(overload) = &mut self.send_queues.overload else { return false };
        let Some(asked_at) = overload.asked_at else {
            overload.asked_at = Some(now);
            self.shared.wake_all();
            return true;
        };
        let rankings = &self.shared.send_queues;
        if !rankings.is_complete(self.number, self.shared.micros(asked_at)) {
            return now.duration_since(asked_at) < PATIENCE;
        }
        let Some(other) = rankings.above(self.number, rank) else { return false };
        self.shared.wake(other);
        true
    }

    /// The queue to close: among the longest ones the one whose end frees the most, or else one whose
    /// peer has stopped reading.
    fn candidate(&self, now: Instant) -> Option<Candidate> {
        let longest = self.send_queues.ordered.iter().rev().take(CANDIDATES);
        let (mut most, mut stalled): (Option<Candidate>, Option<Candidate>) = (None, None);
        for (waiting, member) in longest {
            let candidate = self.examine(now, *member);
            let best = most.as_ref().map_or(0, |most| most.alone);
            let is_mostly_shared = candidate.alone < waiting / 4;
            if candidate.alone >= MIN_ALONE.max(best) && !is_mostly_shared {
                most = Some(candidate);
            } else if candidate.is_stalled && stalled.is_none() {
                stalled = Some(candidate);
            }
        }
        most.or(stalled)
    }

    fn examine(&self, now: Instant, member: Member) -> Candidate {
        let stalls = |queue: &SendQueue| {
            queue.moved_at.is_some_and(|at| now.duration_since(at) >= STALLED_AFTER)
        };
        let (is_stalled, alone) = match member {
            Member::Session(index) => match self.entry(index) {
                Some(Entry { session, send_queue, .. }) if stalls(send_queue) => {
                    (true, session.waiting_alone())
                }
                Some(Entry { session, .. }) => (false, session.waiting_own()),
                None => (false, 0),
            },
            Member::Link(key) => match self.links.get(key).map(|link| &link.state) {
                Some(State::Released(released)) if stalls(&released.send_queue) => {
                    (true, released.connection.wire().alone())
                }
                Some(State::Released(released)) => (false, released.connection.wire().own()),
                Some(State::Owned { .. }) | None => (false, 0),
            },
        };
        Candidate { member, alone, is_stalled }
    }

    fn evict(&mut self, now: Instant, member: Member, limit: u64) {
        match member {
            Member::Session(index) => {
                let main = self.entry(index).and_then(|entry| entry.links.get(Role::Main));
                self.step(now, index, |session, effects| {
                    session.evict("maxTotalSendBuffer", limit, effects);
                });
                // Resets the link at once, which frees the queue.
                if let Some(key) = main {
                    self.write_link(now, key);
                }
            }
            Member::Link(key) => self.reset_link(key),
        }
    }

    /// Updates the counters of a link's queue after a write.
    pub(super) fn count_waiting(&mut self, now: Instant, key: usize) {
        let Some(link) = self.links.get_mut(key) else { return };
        match &mut link.state {
            State::Owned { index, role: Role::Main } => {
                let index = *index;
                self.count_session(index);
                self.order_session(now, index);
            }
            State::Owned { role: Role::Probe, .. } => {}
            State::Released(released) => {
                let wire = released.connection.wire();
                let (waiting, own) = (wire.cost(), wire.own());
                self.shared.totals.add_unsent(own as i64 - released.counted as i64);
                released.counted = own;
                self.send_queues.set(now, Member::Link(key), &mut released.send_queue, waiting);
            }
        }
    }

    /// Updates what JavaScript and the total count of a session's queue.
    pub(super) fn count_session(&mut self, index: usize) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let own = entry.session.waiting_own();
        if own != entry.counted {
            self.shared.totals.add_unsent(own as i64 - entry.counted as i64);
            entry.counted = own;
        }
        entry.gauge.set_unsent(entry.session.waiting(), entry.session.waiting_messages());
    }

    /// Updates a session's place among the send queues.
    pub(super) fn order_session(&mut self, now: Instant, index: usize) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let waiting = entry.session.waiting();
        self.send_queues.set(now, Member::Session(index), &mut entry.send_queue, waiting);
    }
}
