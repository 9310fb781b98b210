//! The deadlines of sessions and released links, one entry for each. A deadline that moves back, as
//! that of an answered heartbeat does, leaves its entry in place; so an entry may be earlier than the
//! deadline that it stands for.

use std::collections::BTreeSet;
use std::time::Instant;

/// A member of a shard that has a deadline and a send queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// The session at this index.
    Session(usize),
    /// The link with this key, which its session has released.
    Link(usize),
}

/// All deadlines, soonest first.
#[derive(Debug, Default)]
pub struct Timers(BTreeSet<(Instant, Member)>);

impl Timers {
    /// Adds an entry. The caller keeps `deadline`, because it has to remove the entry before it drops
    /// the member.
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

    /// Removes an entry that is due.
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
