//! Reads sockets that the poller has reported. Each connection has a budget per turn, and is only read
//! while JavaScript keeps up with its session.

use std::io;
use std::time::Instant;

use super::{READ_BUDGET, Shard};
use crate::protocol::effects::Role;
use crate::protocol::session::{Input, Loss};
use crate::runtime::inbox::{Kind, Payload, StreamKind};
use crate::runtime::link::{Io, State};

impl Shard {
    /// Puts a link on the list of links to read.
    pub(super) fn schedule_read(&mut self, key: usize) {
        let Some(link) = self.links.get_mut(key) else { return };
        if !link.is_read_scheduled {
            link.is_read_scheduled = true;
            self.reads.push(key);
        }
    }

    /// Reads the links on the list.
    pub(super) fn read_scheduled(&mut self, now: Instant) {
        for key in std::mem::take(&mut self.reads) {
            if let Some(link) = self.links.get_mut(key) {
                link.is_read_scheduled = false;
                self.read_link(now, key);
            }
        }
    }

    /// Reads a connection once. If there is more, it is read in the next turn.
    fn read_link(&mut self, now: Instant, key: usize) {
        let Some(link) = self.links.get_mut(key) else { return };
        if !link.readiness.readable {
            return;
        }
        let mut budget = READ_BUDGET;
        if let State::Owned { index, .. } = link.state {
            if let Some(Some(entry)) = self.entries.get(index)
                && (entry.gauge.is_paused() || entry.is_held)
            {
                return;
            }
            let Some(allowed) = self.read_budget(now, index) else { return };
            budget = allowed;
        }
        let Some(link) = self.links.get_mut(key) else { return };
        let mut buffer = std::mem::take(&mut self.buffer);
        // The buffer is empty on the first read, and after a read in which a session has panicked.
        buffer.resize(READ_BUDGET, 0);
        match link.io.read(&mut buffer[..budget]) {
            Ok(0) => self.lose_link(now, key, Loss::Ended),
            Ok(count) => {
                // After a short read the socket is empty, and the poller reports when more comes.
                // An end behind these bytes has been reported already.
                link.readiness.readable = count == budget || link.readiness.is_over;
                if link.readiness.readable {
                    self.schedule_read(key);
                }
                self.received(now, key, &mut buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                link.readiness.readable = false;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.schedule_read(key),
            Err(error) => self.lose_link(now, key, Loss::Read(error.raw_os_error())),
        }
        self.buffer = buffer;
    }

    /// Passes bytes to the session that owns the link, or drops them if the link is released.
    pub(super) fn received(&mut self, now: Instant, key: usize, bytes: &mut [u8]) {
        let Some(link) = self.links.get_mut(key) else { return };
        match &mut link.state {
            State::Released(released) => {
                released.connection.drop_received(bytes, &released.limits);
                self.schedule_write(key);
            }
            State::Owned { index, role } => {
                let (index, role) = (*index, *role);
                self.input(now, index, Input::Received { role, bytes });
                self.check_receive_bounds(now, index);
            }
        }
    }

    /// Passes a part of a POST to a session.
    pub(super) fn post(&mut self, now: Instant, index: usize, input: Input<'_>) {
        self.input(now, index, input);
        self.check_receive_bounds(now, index);
    }

    /// Counts what a session holds after an input, and pauses it if that is too much.
    fn check_receive_bounds(&mut self, now: Instant, index: usize) {
        self.count_receive_queue(now, index);
        self.pause_if_over(now, index);
        self.check_backlog(index);
    }

    /// Handles more of the packets that sessions could not handle within their last input, unless the
    /// sessions are paused.
    pub(super) fn read_backlogs(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.backlogs) {
            let Some(index) = self.find(id) else { continue };
            let Some(entry) = self.entry_mut(index) else { continue };
            entry.is_in_backlogs = false;
            if !entry.gauge.is_paused() {
                self.input(now, index, Input::Continue);
                self.check_receive_bounds(now, index);
            }
        }
    }

    /// Schedules what is left of a POST or of a read, and stops reads that would queue behind it.
    pub(super) fn check_backlog(&mut self, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        let (id, main) = (entry.id, entry.links.get(Role::Main));
        let is_paused = entry.gauge.is_paused();
        let is_busy = entry.session.has_backlog() || is_paused;
        let was_busy = entry.gauge.is_busy();
        entry.gauge.set_busy(is_busy);
        let is_held = entry.session.is_holding();
        let was_held = std::mem::replace(&mut entry.is_held, is_held);
        // The stream is paused for either reason, and resumed when neither holds.
        let is_stopped = is_held || is_paused;
        let was_stopped = entry.gauge.is_stream_paused();
        entry.gauge.set_stream_paused(is_stopped);
        if entry.session.has_more() && !is_paused && !entry.is_in_backlogs {
            entry.is_in_backlogs = true;
            self.backlogs.push(id);
        }
        if was_busy && !is_busy {
            self.push_event(index, Kind::PostWanted, |_| Payload::None);
        }
        if was_stopped != is_stopped {
            let kind = if is_stopped { StreamKind::Pause } else { StreamKind::Resume };
            self.push_stream_event(index, kind);
        }
        if let Some(key) = main.filter(|_| was_held && !is_held) {
            self.schedule_read(key);
        }
    }

    /// Drops a link whose connection is lost, and reports the loss to its session.
    pub(super) fn lose_link(&mut self, now: Instant, key: usize, loss: Loss) {
        let Some(link) = self.drop_link(key) else { return };
        if let State::Owned { index, role } = link.state {
            if let Some(entry) = self.entry_mut(index) {
                entry.links.take(role);
            }
            self.input(now, index, Input::Lost { role, loss });
        }
    }

    /// Streams are read in JavaScript, so pausing them is an event.
    fn push_stream_event(&mut self, index: usize, kind: StreamKind) {
        let Some(entry) = self.entry(index) else { return };
        for key in entry.links.keys() {
            if let Some(Io::Stream { number, .. }) = self.links.get(key).map(|link| &link.io) {
                self.batch.push_stream(*number, kind, Payload::None);
            }
        }
    }
}
