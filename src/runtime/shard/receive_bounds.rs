//! The bounds of what peers have sent and JavaScript has not received: `maxReceiveQueue` for one
//! session and `maxTotalReceiveQueue` for all together.
//!
//! Above the total, sessions that hold anything undelivered or unfinished are paused, and all others
//! are read in small pieces. JavaScript frees what is undelivered by taking it. Unfinished messages
//! can only be freed by their peers, so they may use half of the total; beyond that, the session whose
//! message has not grown for the longest time is closed.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use super::{READ_BUDGET, Shard};
use crate::protocol::session::Input;
use crate::runtime::inbox::Kind;

/// The most bytes read from a session at a time while the total is exceeded.
const SCARCE_READ: usize = 4 * 1024;
/// Pauses because of the total are reported together, at most this often.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// How much of what its peer has sent a session holds, as counted in the totals.
#[derive(Debug, Default)]
pub struct ReceiveState {
    /// Bytes that have arrived and have not become events.
    unhandled: usize,
    /// Bytes of a message or request body that has not arrived completely.
    unfinished: usize,
    /// When that message last grew: its key in [`Shard::growing`].
    grew_at: Option<Instant>,
    /// Whether it is on the list of sessions that wait for the total to fall.
    is_deferred: bool,
}

impl Shard {
    /// How much to read from a session now. Returns `None` after pausing it instead.
    pub(super) fn read_budget(&mut self, now: Instant, index: usize) -> Option<usize> {
        if !self.shared.is_overloaded() {
            return Some(READ_BUDGET);
        }
        if self.has_receive_queue(index) {
            self.pause_for_total(now, index);
            return None;
        }
        Some(SCARCE_READ)
    }

    /// Whether a session holds anything that counts towards the total.
    fn has_receive_queue(&mut self, index: usize) -> bool {
        self.entry_mut(index)
            .is_some_and(|entry| entry.gauge.undelivered() > 0 || entry.receive.unfinished > 0)
    }

    /// Updates the totals with what a session holds after an input.
    pub(super) fn count_receive_queue(&mut self, now: Instant, index: usize) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let totals = &self.shared.totals;
        let received = &mut entry.receive;
        let unhandled = entry.session.unhandled();
        if unhandled != received.unhandled {
            let change = unhandled as i64 - received.unhandled as i64;
            totals.undelivered.fetch_add(change, SeqCst);
            received.unhandled = unhandled;
        }
        let unfinished = entry.session.unfinished();
        if unfinished == 0 && received.unfinished == 0 {
            return;
        }
        totals.unfinished.fetch_add(unfinished as i64 - received.unfinished as i64, SeqCst);
        received.unfinished = unfinished;
        if let Some(grew_at) = received.grew_at.take() {
            self.growing.remove(&(grew_at, index));
        }
        if unfinished > 0 {
            received.grew_at = Some(now);
            self.growing.insert((now, index));
        }
        self.rank_oldest();
    }

    /// Subtracts a session that is over from the totals.
    pub(super) fn forget_receive_queue(&mut self, index: usize, received: &mut ReceiveState) {
        let totals = &self.shared.totals;
        totals.undelivered.fetch_sub(received.unhandled as i64, SeqCst);
        totals.unfinished.fetch_sub(received.unfinished as i64, SeqCst);
        if let Some(grew_at) = received.grew_at.take() {
            self.growing.remove(&(grew_at, index));
            self.rank_oldest();
        }
    }

    /// Sets this thread's rank among those with unfinished messages.
    fn rank_oldest(&self) {
        self.shared.unfinished.set(self.number, self.oldest(), 0);
    }

    /// The rank of the message that has not grown for the longest time, or 0 if there is none.
    fn oldest(&self) -> u64 {
        self.growing.first().map_or(0, |(grew_at, _)| self.shared.earliness(*grew_at))
    }

    /// Closes sessions while unfinished messages take up too much, beginning with the one whose message
    /// has not grown for the longest time. If that one is on another thread, wakes that thread.
    pub(super) fn enforce_unfinished_bound(&mut self, now: Instant) {
        while self.shared.has_too_much_unfinished() {
            if let Some(other) = self.shared.unfinished.above(self.number, self.oldest()) {
                return self.shared.wake(other);
            }
            let Some((_, index)) = self.growing.first().copied() else { return };
            let limit = self.shared.limits.max_total_receive_queue.unsigned_abs();
            self.step(now, index, |session, effects| {
                session.evict_unfinished("maxTotalReceiveQueue", limit, effects);
            });
        }
    }

    /// Pauses a session that is above its own bound, or that holds anything while the total is
    /// exceeded.
    pub(super) fn pause_if_over(&mut self, now: Instant, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        let (value, limit) = (entry.gauge.undelivered(), entry.limits.max_receive_queue as u64);
        if value > limit {
            if !entry.gauge.is_paused() {
                self.report_pause(index, "maxReceiveQueue", limit, value, 1);
                self.pause(now, index);
            }
        } else if self.shared.is_overloaded() && self.has_receive_queue(index) {
            self.pause_for_total(now, index);
        }
    }

    /// Pauses a session until the total has fallen.
    fn pause_for_total(&mut self, now: Instant, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        let (id, value) = (entry.id, entry.gauge.undelivered());
        if entry.gauge.is_paused() {
            return;
        }
        if !std::mem::replace(&mut entry.receive.is_deferred, true) {
            self.deferred.push(id);
        }
        self.paused = self.paused.saturating_add(1);
        let is_due = self.reported_at.is_none_or(|at| now.duration_since(at) >= REPORT_INTERVAL);
        if is_due {
            let limit = self.shared.limits.max_total_receive_queue.unsigned_abs();
            let times = std::mem::take(&mut self.paused);
            self.reported_at = Some(now);
            self.report_pause(index, "maxTotalReceiveQueue", limit, value, times);
        }
        self.pause(now, index);
        if self.shared.await_relief() {
            self.resume_deferred(now);
        }
    }

    fn report_pause(&mut self, index: usize, name: &str, limit: u64, value: u64, times: u32) {
        let text = serde_json::json!({
            "name": name, "action": "paused", "limit": limit, "value": value, "times": times,
        });
        let text = text.to_string().into_bytes();
        self.push_event(index, Kind::Limit, |batch| batch.text(text.into()));
    }

    /// Stops reading from a session.
    fn pause(&mut self, now: Instant, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        entry.gauge.set_paused(true);
        let is_deferred = entry.receive.is_deferred;
        self.input(now, index, Input::Pause);
        // If JavaScript took the last events before it could see the mark, it will not resume the
        // session.
        let has_caught_up =
            self.entry_mut(index).is_some_and(|entry| entry.gauge.undelivered() == 0);
        if has_caught_up && !is_deferred {
            return self.resume(now, index);
        }
        self.check_backlog(index);
    }

    /// Reads from a paused session again.
    pub(super) fn resume(&mut self, now: Instant, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        entry.gauge.set_paused(false);
        let links = entry.links.keys();
        self.input(now, index, Input::Resume);
        for key in links {
            self.schedule_read(key);
        }
        self.check_backlog(index);
    }

    /// Resumes the sessions that were paused because of the total, once it has fallen.
    pub(super) fn resume_deferred(&mut self, now: Instant) {
        if self.deferred.is_empty() || !self.shared.is_relieved() {
            return;
        }
        for id in std::mem::take(&mut self.deferred) {
            let Some(index) = self.find(id) else { continue };
            let Some(entry) = self.entry_mut(index) else { continue };
            entry.receive.is_deferred = false;
            let is_full = entry.gauge.undelivered() > entry.limits.max_receive_queue as u64 / 2;
            if entry.gauge.is_paused() && !is_full {
                self.resume(now, index);
            }
        }
    }
}
