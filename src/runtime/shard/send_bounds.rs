//! The bound of all send queues together, `maxTotalSendBuffer`. It is judged after writing, when the
//! kernel has been offered everything, and by what a queue holds alone: to drop one of many references
//! to a broadcast frees nothing. Peers that read are not closed for a broadcast that all of them wait
//! for; of those that have stopped reading, the last reference counts.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{Entry, Shard};
use crate::protocol::deadline::after;
use crate::protocol::effects::Role;
use crate::runtime::link::State;
use crate::runtime::timers::Member;

/// Of the longest queues, how many are compared.
const CANDIDATES: usize = 16;
/// A queue that holds less is closed only when its peer has stopped reading.
const MIN_ALONE: usize = 64 * 1024;
/// A peer that takes nothing for so long has stopped reading.
const STALLED_AFTER: Duration = Duration::from_secs(2);
/// When to look whether another thread has done its part.
const ROUND: Duration = Duration::from_millis(5);
/// A thread that has not looked at its queues by then is not waited for.
const PATIENCE: Duration = Duration::from_millis(250);
/// When to look again while no queue can be closed.
const RETRY: Duration = Duration::from_millis(200);

/// A queue's place in the order.
#[derive(Debug, Default)]
pub struct SendQueue {
    /// Bytes that wait, shared ones included; 0 when it has no place.
    bytes: usize,
    /// When the peer last took some.
    moved_at: Option<Instant>,
}

/// Queues that their peers have not taken, in the order of their length.
#[derive(Debug, Default)]
pub struct SendQueues {
    ordered: BTreeSet<(usize, Member)>,
    /// Set while all queues together are over the limit.
    overload: Option<Overload>,
}

/// What a thread knows of an overload.
#[derive(Debug)]
struct Overload {
    /// When to judge again.
    retry_at: Instant,
    /// When the other threads were asked to look at their queues.
    asked_at: Option<Instant>,
}

impl SendQueues {
    /// When to judge again.
    pub fn deadline(&self) -> Option<Instant> {
        self.overload.as_ref().map(|overload| overload.retry_at)
    }

    /// Notes how much waits in a queue after a write.
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

    /// Whether no queue has a place.
    #[cfg(all(test, poller))]
    pub fn is_empty(&self) -> bool {
        self.ordered.is_empty()
    }

    /// Takes a queue out of the order.
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
    /// Bytes that this frees for certain.
    alone: usize,
    is_stalled: bool,
}

impl Shard {
    /// Closes the longest queues while all together are too long.
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

    fn retry_after(&mut self, now: Instant, delay: Duration) {
        let retry_at = after(now, delay);
        let overload = &mut self.send_queues.overload;
        overload.get_or_insert(Overload { retry_at, asked_at: None }).retry_at = retry_at;
    }

    /// Whether another thread has a queue that should be closed first, or has yet to look.
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

    /// Of the longest queues the one that holds most alone, or else one whose peer has stopped
    /// reading.
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
                // The link is reset at once, which frees the queue.
                if let Some(key) = main {
                    self.write_link(now, key);
                }
            }
            Member::Link(key) => self.reset_link(key),
        }
    }

    /// Keeps the counters of what waits behind a link after a write.
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

    /// Counts what a session has waiting, for JavaScript and for the total.
    pub(super) fn count_session(&mut self, index: usize) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let own = entry.session.waiting_own();
        if own != entry.counted {
            self.shared.totals.add_unsent(own as i64 - entry.counted as i64);
            entry.counted = own;
        }
        entry.gauge.set_unsent(entry.session.waiting(), entry.session.waiting_messages());
    }

    /// Gives a session its place among the queues.
    pub(super) fn order_session(&mut self, now: Instant, index: usize) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let waiting = entry.session.waiting();
        self.send_queues.set(now, Member::Session(index), &mut entry.send_queue, waiting);
    }
}
