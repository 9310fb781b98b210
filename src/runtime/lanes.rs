//! Which event JavaScript gets next: first come, first served, but a session that has very much to
//! say at once stands in a lane of its own, and lanes take turns with everybody else.

use std::collections::VecDeque;

use super::commands::SessionId;
use super::inbox::EventBatch;

/// Events of one session in a row from which on they go into a lane.
pub const LANE_FROM: usize = 256;

/// Bytes of a lane's batch from which on a new one is begun.
const BATCH_BYTES: usize = 64 * 1024;

/// One session's events, while they are too many.
#[derive(Debug)]
struct Lane {
    id: SessionId,
    batches: VecDeque<EventBatch>,
}

impl Lane {
    /// The batch to add to: one for each event would cost more than the events.
    fn last_batch(&mut self) -> &mut EventBatch {
        // A batch gives its bytes back only when it is used up, so none is added to for ever.
        let is_full = |batch: &EventBatch| {
            batch.records.len() >= LANE_FROM || batch.bytes.len() >= BATCH_BYTES
        };
        if self.batches.back().is_none_or(is_full) {
            self.batches.push_back(EventBatch::default());
        }
        let last = self.batches.len() - 1;
        &mut self.batches[last]
    }
}

/// Events on the JavaScript thread, in fair order.
#[derive(Debug, Default)]
pub struct Lanes {
    /// The batch that everybody shares.
    current: EventBatch,
    lanes: VecDeque<Lane>,
    /// The next turn is a lane's.
    is_lanes_turn: bool,
}

impl Lanes {
    /// The batch to deliver from next, with what `take` gives once the present ones are used up.
    pub fn next(
        &mut self,
        mut take: impl FnMut() -> Option<EventBatch>,
    ) -> Option<&mut EventBatch> {
        while self.current.records.is_empty() {
            let Some(batch) = take() else { break };
            self.sort_in(batch);
        }
        self.lanes.retain_mut(|lane| {
            while lane.batches.front().is_some_and(|batch| batch.records.is_empty()) {
                lane.batches.pop_front();
            }
            !lane.batches.is_empty()
        });
        let has_current = !self.current.records.is_empty();
        self.is_lanes_turn = !self.lanes.is_empty() && (!has_current || !self.is_lanes_turn);
        if self.is_lanes_turn {
            self.lanes.rotate_left(1);
            return self.lanes.back_mut()?.batches.front_mut();
        }
        has_current.then_some(&mut self.current)
    }

    fn sort_in(&mut self, batch: EventBatch) {
        match batch.owner {
            Some(id) => self.lane(id).push_back(batch),
            None if self.lanes.is_empty() => self.current = batch,
            None => self.separate(batch),
        }
    }

    fn lane(&mut self, id: SessionId) -> &mut VecDeque<EventBatch> {
        let place = self.lanes.iter().position(|lane| lane.id == id).unwrap_or_else(|| {
            self.lanes.push_back(Lane { id, batches: VecDeque::new() });
            self.lanes.len() - 1
        });
        &mut self.lanes[place].batches
    }

    /// Puts events of sessions that have a lane behind what is there.
    fn separate(&mut self, mut batch: EventBatch) {
        let mut others = EventBatch::default();
        for record in std::mem::take(&mut batch.records) {
            let id = record.id();
            match self.lanes.iter_mut().find(|lane| lane.id == id) {
                Some(lane) => lane.last_batch().take_over(record, &batch.bytes),
                None => others.take_over(record, &batch.bytes),
            }
        }
        self.current = others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::inbox::{Kind, Payload};

    fn batch(events: &[(u32, i32)], owner: Option<u32>) -> EventBatch {
        let mut batch = EventBatch::default();
        for (slot, extra) in events {
            let payload = batch.text(extra.to_string().into_bytes().into());
            batch.push(*slot, 0, Kind::Text, *extra, payload);
        }
        batch.owner = owner.map(|slot| SessionId { slot, generation: 0 });
        batch
    }

    /// Delivers everything, so many events a turn.
    fn drain(batches: Vec<EventBatch>, group: usize) -> Vec<(u32, i32)> {
        let mut batches = VecDeque::from(batches);
        let mut lanes = Lanes::default();
        let mut seen = Vec::new();
        while let Some(batch) = lanes.next(|| batches.pop_front()) {
            let count = batch.records.len().min(group);
            for record in batch.records.drain(..count) {
                let Payload::Ascii(range) = record.payload else { panic!("text") };
                let text = std::str::from_utf8(&batch.bytes[range]).unwrap();
                assert_eq!(text, record.extra.to_string());
                seen.push((record.slot, record.extra));
            }
        }
        seen
    }

    #[test]
    fn a_lane_takes_turns_with_the_rest() {
        let long: Vec<(u32, i32)> = (0..6).map(|n| (1, n)).collect();
        let seen = drain(vec![batch(&long, Some(1)), batch(&[(2, 0), (2, 1), (2, 2)], None)], 2);
        assert_eq!(seen, [(1, 0), (1, 1), (2, 0), (2, 1), (1, 2), (1, 3), (2, 2), (1, 4), (1, 5)]);
    }

    #[test]
    fn order_is_kept_within_a_session() {
        let batches = [
            batch(&[(1, 0), (2, 0)], None),
            batch(&[(1, 1), (1, 2), (1, 3)], Some(1)),
            batch(&[(2, 1), (1, 4), (3, 0)], None),
            batch(&[(1, 5)], None),
            batch(&[(3, 1), (3, 2)], Some(3)),
        ];
        for group in 1..4 {
            let copy = |owner: &EventBatch| {
                let mut copy = EventBatch { owner: owner.owner, ..EventBatch::default() };
                for record in &owner.records {
                    let payload = copy.text(record.extra.to_string().into_bytes().into());
                    copy.push(record.slot, 0, Kind::Text, record.extra, payload);
                }
                copy
            };
            let seen = drain(batches.iter().map(copy).collect(), group);
            assert_eq!(seen.len(), 11);
            for slot in 1..=3 {
                let mine: Vec<i32> =
                    seen.iter().filter(|(who, _)| *who == slot).map(|(_, n)| *n).collect();
                assert!(mine.is_sorted(), "{slot}: {mine:?}");
            }
        }
    }
}
