//! Writes to connections. Everything that a connection has to send in a turn leaves in as few system
//! calls as possible, usually one.

use std::io::{self, IoSlice};
use std::time::Instant;

use super::{Entry, Shard};
use crate::protocol::session::Loss;
use crate::protocol::websocket::Connection;
use crate::runtime::inbox::{Payload, StreamKind};
use crate::runtime::link::{Io, Link, State};
use crate::runtime::timers::Member;

/// The most bytes written to one connection in a turn.
const WRITE_BUDGET: usize = 256 * 1024;
/// The most pieces of memory in one system call.
const SLICES: usize = 64;

/// The outcome of one system call.
enum Outcome {
    Written(usize),
    Blocked,
    Failed(Option<i32>),
}

impl Shard {
    /// Puts a link on the list of links to write.
    pub(super) fn schedule_write(&mut self, key: usize) {
        let Some(link) = self.links.get_mut(key) else { return };
        if !link.is_write_scheduled {
            link.is_write_scheduled = true;
            self.writes.push(key);
        }
    }

    /// Writes the links on the list.
    pub(super) fn write_scheduled(&mut self, now: Instant) {
        // A link that its write puts back on the list waits for the next turn.
        for key in std::mem::take(&mut self.writes) {
            if let Some(link) = self.links.get_mut(key) {
                link.is_write_scheduled = false;
                self.write_link(now, key);
            }
        }
    }

    /// Writes until nothing is queued, the kernel is full, or the budget is used up.
    pub(super) fn write_link(&mut self, now: Instant, key: usize) {
        let mut written = 0;
        while written < WRITE_BUDGET {
            match self.write_once(key) {
                Outcome::Written(0) | Outcome::Blocked => break,
                Outcome::Written(count) => {
                    written += count;
                    self.note_written(now, key, count);
                }
                Outcome::Failed(errno) => return self.lose_link(now, key, Loss::Write(errno)),
            }
        }
        if written >= WRITE_BUDGET {
            self.schedule_write(key);
        }
        self.finish_link(key);
        self.count_waiting(now, key);
    }

    fn connection_of<'a>(
        entries: &'a [Option<Box<Entry>>],
        state: &'a State,
    ) -> Option<&'a Connection> {
        match state {
            State::Released(released) => Some(&released.connection),
            State::Owned { index, role } => {
                entries.get(*index)?.as_ref()?.session.connection(*role)
            }
        }
    }

    fn write_once(&mut self, key: usize) -> Outcome {
        let Some(link) = self.links.get_mut(key) else { return Outcome::Blocked };
        let Link { io, state, readiness, .. } = link;
        let Some(connection) = Self::connection_of(&self.entries, state) else {
            return Outcome::Blocked;
        };
        if connection.wire().is_empty() || !readiness.writable || connection.is_aborted() {
            return Outcome::Written(0);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = connection.fill(&mut slices);
        let slices = slices.get(..filled).unwrap_or(&[]);
        match io.write(slices, &mut self.batch) {
            Ok(count) => {
                let offered: usize = slices.iter().map(|slice| slice.len()).sum();
                // After a short write the kernel or the stream's window is full, and the poller or
                // a command reports when there is room.
                readiness.writable = count == offered;
                Outcome::Written(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                readiness.writable = false;
                Outcome::Blocked
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.write_once(key),
            Err(error) => Outcome::Failed(error.raw_os_error()),
        }
    }

    fn note_written(&mut self, now: Instant, key: usize, count: usize) {
        match self.links.get_mut(key).map(|link| &mut link.state) {
            Some(State::Released(released)) => released.connection.written(count),
            Some(State::Owned { index, role }) => {
                let (index, role) = (*index, *role);
                self.step(now, index, |session, effects| session.written(role, count, effects));
            }
            None => {}
        }
    }

    /// Ends our side of a released connection that has sent everything.
    fn finish_link(&mut self, key: usize) {
        let Some(link) = self.links.get_mut(key) else { return };
        let State::Released(released) = &mut link.state else { return };
        if released.connection.is_aborted() {
            return self.reset_link(key);
        }
        if !released.connection.is_finished() || released.is_ended {
            return;
        }
        released.is_ended = true;
        match &link.io {
            #[cfg(poller)]
            Io::Tcp(stream) => {
                // This fails if the peer is gone already; then there is nothing to end.
                let _ = stream.shutdown(std::net::Shutdown::Write);
            }
            Io::Stream { number, .. } => {
                self.batch.push_stream(*number, StreamKind::End, Payload::None);
            }
        }
    }

    /// Removes a link from the shard.
    pub(super) fn drop_link(&mut self, key: usize) -> Option<Link> {
        let mut link = self.links.try_remove(key)?;
        if let State::Released(released) = &mut link.state {
            self.timers.remove(released.until, Member::Link(key));
            self.shared.totals.add_unsent(-(released.counted as i64));
            self.send_queues.remove(Member::Link(key), &mut released.send_queue);
        }
        match &link.io {
            // Closing the descriptor also removes it from the poller.
            #[cfg(poller)]
            Io::Tcp(_) => {}
            Io::Stream { number, .. } => {
                self.streams.remove(number);
                self.batch.push_stream(*number, StreamKind::Reset, Payload::None);
            }
        }
        Some(link)
    }

    /// Drops a connection at once, so that its peer sees a reset.
    pub(super) fn reset_link(&mut self, key: usize) {
        let Some(link) = self.drop_link(key) else { return };
        #[cfg(poller)]
        if let Io::Tcp(stream) = &link.io {
            let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
        }
        drop(link);
    }
}
