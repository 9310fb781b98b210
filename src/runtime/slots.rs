//! The table of sessions on the JavaScript thread. A slot and its generation identify a session.

use std::sync::Arc;

use crate::runtime::commands::SessionId;
use crate::runtime::gauge::Gauge;

/// A place for one session at a time.
#[derive(Debug, Default)]
struct Slot {
    /// How many sessions have used it before.
    generation: u32,
    gauge: Arc<Gauge>,
    /// Undelivered bytes below which a paused session is resumed.
    resume_below: u64,
}

/// All slots of one environment.
#[derive(Debug, Default)]
pub struct Slots {
    slots: Vec<Slot>,
    /// The slots without a session.
    free: Vec<u32>,
}

impl Slots {
    /// Allocates a slot for a new session, and the counters that both threads share for it.
    pub fn allocate(&mut self, max_receive_queue: u64) -> (SessionId, Arc<Gauge>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = &mut self.slots[slot as usize];
        entry.gauge = Arc::default();
        entry.resume_below = max_receive_queue / 2;
        (SessionId { slot, generation: entry.generation }, Arc::clone(&entry.gauge))
    }

    /// Sets the generation of all free slots.
    #[cfg(feature = "test-panic")]
    pub fn start_generations(&mut self, first: u32) {
        for slot in &self.free {
            self.slots[*slot as usize].generation = first;
        }
    }

    /// Frees a slot. From then on the session's identifier is not found.
    pub fn release(&mut self, id: SessionId) {
        if let Some(entry) = self.slots.get_mut(id.slot as usize)
            && entry.generation == id.generation
        {
            entry.generation = entry.generation.wrapping_add(1);
            self.free.push(id.slot);
        }
    }

    /// A session's counters, and the undelivered bytes below which it is resumed when paused.
    pub fn gauge(&self, id: SessionId) -> Option<(&Gauge, u64)> {
        let entry = self.slots.get(id.slot as usize)?;
        (entry.generation == id.generation).then_some((&*entry.gauge, entry.resume_below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reusing_a_slot_changes_its_generation() {
        let mut slots = Slots::default();
        let (first, _) = slots.allocate(0);
        slots.release(first);
        slots.release(first);
        let (second, _) = slots.allocate(0);
        let (third, _) = slots.allocate(0);
        assert_eq!(second.slot, first.slot);
        assert_ne!(second, first);
        assert_ne!(third.slot, second.slot);
        assert!(slots.gauge(first).is_none());
        assert!(slots.gauge(second).is_some());
    }
}
