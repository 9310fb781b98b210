//! When to look at whom. A deadline that moved back or was dropped stays in the heap and is found
//! to be early when it comes up; so a heartbeat that is answered costs nothing here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Who has a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Session { index: usize, generation: u32 },
    Link { key: usize, serial: u64 },
}

/// Deadlines, soonest first.
#[derive(Debug, Default)]
pub struct Timers(BinaryHeap<Reverse<(Instant, Target)>>);

impl Timers {
    /// Asks for a look at `target` at `deadline`.
    pub fn push(&mut self, deadline: Instant, target: Target) {
        self.0.push(Reverse((deadline, target)));
    }

    /// The soonest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Takes one that is due.
    pub fn due(&mut self, now: Instant) -> Option<Target> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, target))| target)
    }
}
