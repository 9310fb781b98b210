//! Events on their way to the inbox. A session with many events that JavaScript has not taken puts
//! its events into a batch of its own, so that those of other sessions need not wait for them.

use super::{Entry, Shard};
use crate::runtime::inbox::{EventBatch, Kind, Payload};

/// Undelivered bytes from which on a session's events go into a batch of its own.
const LANE_FROM: u64 = 16 * 1024;

impl Shard {
    /// Puts what there is into the inbox and wakes JavaScript.
    pub(super) fn publish(&mut self) {
        self.put();
        if std::mem::take(&mut self.has_put) {
            self.shared.inbox.wake();
        }
    }

    /// Puts what there is into the inbox, without a wake-up.
    pub(super) fn put(&mut self) {
        if !self.batch.records.is_empty() {
            self.shared.inbox.put(std::mem::take(&mut self.batch));
            self.has_put = true;
        }
        for index in std::mem::take(&mut self.lanes) {
            self.put_lane(index);
        }
    }

    /// Puts a session's own batch into the inbox.
    pub(super) fn put_lane(&mut self, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        let id = entry.id;
        let Some(lane) = &mut entry.lane else { return };
        if lane.records.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut **lane);
        batch.owner = Some(id);
        // What the session has in the shared batch comes before what it has in its own.
        if !self.batch.records.is_empty() {
            self.shared.inbox.put(std::mem::take(&mut self.batch));
        }
        self.shared.inbox.put(batch);
        self.has_put = true;
    }

    /// Gives a session a batch of its own, or takes it away once JavaScript has caught up: from
    /// then on its events cannot overtake any in the other kind of batch.
    pub(super) fn choose_lane(&mut self, index: usize) {
        let Some(Some(entry)) = self.entries.get_mut(index) else { return };
        let undelivered = entry.gauge.undelivered();
        match &entry.lane {
            None if undelivered >= LANE_FROM => entry.lane = Some(Box::default()),
            Some(lane) if undelivered == 0 && lane.records.is_empty() => entry.lane = None,
            None | Some(_) => {}
        }
    }

    /// Notes that a session's own batch may have events.
    pub(super) fn note_lane(&mut self, index: usize) {
        let Some(Some(entry)) = self.entries.get(index) else { return };
        let has_events = entry.lane.as_ref().is_some_and(|lane| !lane.records.is_empty());
        if has_events && self.lanes.last() != Some(&index) {
            self.lanes.push(index);
        }
    }

    /// An event of a session that does not come from the session itself.
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
