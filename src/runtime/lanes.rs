//! The order in which JavaScript gets events. Sessions share one queue, first in, first out, but the
//! I/O thread puts the events of a session with a long queue into batches of its own. Such a session
//! is a lane. Lanes take turns with each other and with the shared queue.

use std::collections::{HashMap, VecDeque};

use super::commands::SessionId;
use super::inbox::EventBatch;

/// The most batches that one call of [`Lanes::next`] takes, because it runs on the JavaScript thread.
const MAX_TAKEN: usize = 64;

/// The batches that the JavaScript thread has taken from the inbox, in fair order.
#[derive(Debug, Default)]
pub struct Lanes {
    /// The batch that sessions without a lane share.
    current: EventBatch,
    /// The batches of each lane.
    queues: HashMap<SessionId, VecDeque<EventBatch>>,
    /// The lanes that wait for a turn, in order.
    turns: VecDeque<SessionId>,
    /// The lane that had the last turn, unless the shared batch had it.
    last_lane: Option<SessionId>,
}

impl Lanes {
    /// The batch to deliver from next. Calls `take` for more batches once the shared one is used up,
    /// and returns `None` when `take` has none left either.
    pub fn next(
        &mut self,
        mut take: impl FnMut() -> Option<EventBatch>,
    ) -> Option<&mut EventBatch> {
        let was_lanes_turn = self.end_turn();
        for _ in 0..MAX_TAKEN {
            if !self.current.records.is_empty() {
                break;
            }
            let Some(batch) = take() else { break };
            self.sort_in(batch);
        }
        let has_current = !self.current.records.is_empty();
        if self.turns.is_empty() || (has_current && was_lanes_turn) {
            return has_current.then_some(&mut self.current);
        }
        self.last_lane = self.turns.pop_front();
        self.queues.get_mut(&self.last_lane?)?.front_mut()
    }

    /// Moves the lane that had the last turn to the end of the line, or removes it if it is empty.
    /// Returns whether a lane had the last turn.
    fn end_turn(&mut self) -> bool {
        let Some(id) = self.last_lane.take() else { return false };
        let Some(batches) = self.queues.get_mut(&id) else { return true };
        if batches.front().is_some_and(|batch| batch.records.is_empty()) {
            batches.pop_front();
        }
        if batches.is_empty() {
            self.queues.remove(&id);
        } else {
            self.turns.push_back(id);
        }
        true
    }

    /// Adds a batch to its lane, or makes it the shared one.
    fn sort_in(&mut self, batch: EventBatch) {
        let Some(id) = batch.owner else {
            self.current = batch;
            return;
        };
        if batch.records.is_empty() {
            return;
        }
        let batches = self.queues.entry(id).or_default();
        if batches.is_empty() {
            self.turns.push_back(id);
        }
        batches.push_back(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::inbox::{Event, Kind, Payload, Record};

    fn session(slot: u32) -> SessionId {
        SessionId { slot, generation: 0 }
    }

    fn batch(events: &[(u32, i32)], owner: Option<u32>) -> EventBatch {
        let mut batch = EventBatch::default();
        for (slot, extra) in events {
            let payload = batch.text(extra.to_string().into_bytes().into());
            batch.push(session(*slot), Kind::Text, *extra, payload);
        }
        batch.owner = owner.map(session);
        batch
    }

    /// Delivers everything, in groups of up to `group` events.
    fn drain(batches: Vec<EventBatch>, group: usize) -> Vec<(u32, i32)> {
        let mut batches = VecDeque::from(batches);
        let mut lanes = Lanes::default();
        let mut seen = Vec::new();
        while let Some(batch) = lanes.next(|| batches.pop_front()) {
            let count = batch.records.len().min(group);
            for Record { event, payload } in batch.records.drain(..count) {
                let Event::Session { id, extra, .. } = event else { panic!("{event:?}") };
                let Payload::Ascii(range) = payload else { panic!("{payload:?}") };
                let text = std::str::from_utf8(&batch.bytes[range]).unwrap();
                assert_eq!(text, extra.to_string());
                seen.push((id.slot, extra));
            }
        }
        assert!(lanes.queues.is_empty() && lanes.turns.is_empty(), "empty lanes are removed");
        seen
    }

    #[test]
    fn a_lane_takes_turns_with_the_shared_batch() {
        let long: Vec<(u32, i32)> = (0..6).map(|n| (1, n)).collect();
        let seen = drain(vec![batch(&long, Some(1)), batch(&[(2, 0), (2, 1), (2, 2)], None)], 2);
        assert_eq!(seen, [(1, 0), (1, 1), (2, 0), (2, 1), (1, 2), (1, 3), (2, 2), (1, 4), (1, 5)]);
    }

    #[test]
    fn lanes_take_turns_with_each_other() {
        let own = |slot| batch(&[(slot, 0), (slot, 1)], Some(slot));
        let seen = drain(vec![own(1), own(2), own(1), own(3)], 1);
        let slots: Vec<u32> = seen.iter().map(|(slot, _)| *slot).collect();
        assert_eq!(slots, [1, 2, 3, 1, 2, 3, 1, 1]);
    }

    #[test]
    fn the_events_of_a_session_keep_their_order() {
        // A session gets a lane while it has events in a shared batch, and loses it once all of its
        // events have been delivered.
        let batches = || {
            vec![
                batch(&[(1, 0), (2, 0)], None),
                batch(&[(1, 1), (1, 2), (1, 3)], Some(1)),
                batch(&[(2, 1), (3, 0)], None),
                batch(&[(1, 4)], Some(1)),
                batch(&[(3, 1), (3, 2)], Some(3)),
            ]
        };
        for group in 1..4 {
            let seen = drain(batches(), group);
            assert_eq!(seen.len(), 10);
            for slot in 1..=3 {
                let mine: Vec<i32> =
                    seen.iter().filter(|(other, _)| *other == slot).map(|(_, n)| *n).collect();
                assert!(mine.is_sorted(), "{slot}: {mine:?}");
            }
        }
    }

    #[test]
    fn takes_a_bounded_number_of_batches_in_a_turn() {
        let mut taken = 0;
        let mut lanes = Lanes::default();
        lanes.next(|| {
            taken += 1;
            Some(batch(&[(taken, 0)], Some(taken)))
        });
        assert_eq!(taken as usize, MAX_TAKEN);
    }
}
