//! Deadlines of sessions and links: one entry for each. An entry may be earlier than the deadline it
//! stands for, because a deadline that moves back, like that of an answered heartbeat, leaves its
//! entry where it is.

use std::collections::BTreeSet;
use std::time::Instant;

/// A member of a shard, with a deadline and a send queue of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// A session, by its index.
    Session(usize),
    /// A link, by its key.
    Link(usize),
}

/// Deadlines, soonest first.
#[derive(Debug, Default)]
pub struct Timers(BTreeSet<(Instant, Member)>);

impl Timers {
    /// Adds an entry. The caller keeps `deadline`, to remove the entry before `member` is gone.
    pub fn add(&mut self, deadline: Instant, member: Member) {
        self.0.insert((deadline, member));
    }

    /// Removes the entry that was added with `deadline`, if it is still there.
    pub fn remove(&mut self, deadline: Instant, member: Member) {
        self.0.remove(&(deadline, member));
    }

    /// The soonest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.0.first().map(|(deadline, _)| *deadline)
    }

    /// Takes an entry that is due.
    pub fn due(&mut self, now: Instant) -> Option<Member> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, member)| member)
    }

    /// How many entries there are.
    #[cfg(all(test, poller))]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
