//! Puts events into the inbox. A session with many undelivered events gets a lane, a batch of its own,
//! so that the events of other sessions do not have to wait for them. `runtime/lanes.rs` then lets
//! lanes and other events take turns.

use super::{Entry, Shard};
use crate::runtime::inbox::{EventBatch, Kind, Payload};

/// A session with at least this many undelivered bytes gets a lane.
const LANE_FROM: u64 = 16 * 1024;

impl Shard {
    /// Puts all events into the inbox and wakes the JavaScript thread.
    pub(super) fn publish(&mut self) {
        self.put();
        if std::mem::take(&mut self.has_put) {
            self.shared.inbox.wake();
        }
    }

    /// Puts all events into the inbox, without a wake-up.
    pub(super) fn put(&mut self) {
        if !self.batch.records.is_empty() {
            self.shared.inbox.put(std::mem::take(&mut self.batch));
            self.has_put = true;
        }
        for index in std::mem::take(&mut self.lanes) {
            self.put_lane(index);
        }
    }

    /// Puts the events of a session's lane into the inbox.
    pub(super) fn put_lane(&mut self, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        let id = entry.id;
        let Some(lane) = &mut entry.lane else { return };
        if lane.records.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut **lane);
        batch.owner = Some(id);
        // The shared batch may have earlier events of the session.
        if !self.batch.records.is_empty() {
            self.shared.inbox.put(std::mem::take(&mut self.batch));
        }
        self.shared.inbox.put(batch);
        self.has_put = true;
    }

    /// Gives a session a lane, or takes it away once all of the session's events have been delivered:
    /// then its next events cannot overtake any.
    pub(super) fn choose_lane(&mut self, index: usize) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let undelivered = entry.gauge.undelivered();
        match &entry.lane {
            None if undelivered >= LANE_FROM => entry.lane = Some(Box::default()),
            Some(lane) if undelivered == 0 && lane.records.is_empty() => entry.lane = None,
            None | Some(_) => {}
        }
    }

    /// Notes that a session's lane may have events.
    pub(super) fn note_lane(&mut self, index: usize) {
        let Some(Some(entry)) = self.entries.get(index) else { return };
        let has_events = entry.lane.as_ref().is_some_and(|lane| !lane.records.is_empty());
        if has_events && self.lanes.last() != Some(&index) {
            self.lanes.push(index);
        }
    }

    /// Adds an event about a session that the shard itself causes.
    pub(super) fn push_event(
        &mut self,
        index: usize,
        kind: Kind,
        payload: impl FnOnce(&mut EventBatch) -> Payload,
    ) {
        self.choose_lane(index);
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let Entry { id, gauge, lane, .. } = &mut **entry;
        let batch = lane.as_deref_mut().unwrap_or(&mut self.batch);
        let payload = payload(batch);
        let cost = batch.push(*id, kind, 0, payload);
        gauge.add_undelivered(cost);
        self.shared.totals.add_undelivered(cost);
        self.note_lane(index);
    }
}
