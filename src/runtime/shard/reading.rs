//! Bytes in: from sockets that the poller named, within a budget a connection and turn, and only
//! while JavaScript keeps up.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::{Entry, READ_BUDGET, Shard};
use crate::protocol::effects::Role;
use crate::protocol::session::{Input, Loss};
use crate::runtime::inbox::{Kind, Payload};
use crate::runtime::link::{Io, Owner};

impl Shard {
    /// Puts a link on the list of those to read.
    pub(super) fn want_read(&mut self, key: usize) {
        let Some(link) = self.links.get_mut(key) else { return };
        if !link.is_ready {
            link.is_ready = true;
            self.ready.push(key);
        }
    }

    pub(super) fn read_ready(&mut self, now: Instant) {
        for key in std::mem::take(&mut self.ready) {
            if let Some(link) = self.links.get_mut(key) {
                link.is_ready = false;
                self.read_link(now, key);
            }
        }
    }

    /// One read of one connection; what is left is read in the next turn.
    fn read_link(&mut self, now: Instant, key: usize) {
        let Some(link) = self.links.get_mut(key) else { return };
        if !link.readable {
            return;
        }
        if let Owner::Session { index, .. } = link.owner
            && let Some(Some(entry)) = self.entries.get(index)
            && (entry.gauge.is_paused() || entry.is_held)
        {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        match link.io.read(&mut buffer) {
            Ok(0) => self.lose_link(now, key, Loss::Ended),
            Ok(count) => {
                // A short read has emptied the socket, and the poller tells when more comes; but
                // it has told already of an end that waits behind these bytes.
                link.readable = count == READ_BUDGET || link.is_over;
                if link.readable {
                    self.want_read(key);
                }
                self.received(now, key, &mut buffer[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => link.readable = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.want_read(key),
            Err(error) => self.lose_link(now, key, Loss::Read(error.raw_os_error())),
        }
        self.buffer = buffer;
    }

    /// Hands bytes to whom the link works for.
    pub(super) fn received(&mut self, now: Instant, key: usize, bytes: &mut [u8]) {
        let Some(link) = self.links.get_mut(key) else { return };
        match &mut link.owner {
            Owner::Released(connection, limits) => {
                connection.drop_received(bytes, limits);
                self.want_write(key);
            }
            Owner::Session { index, role } => {
                let (index, role) = (*index, *role);
                self.input(now, index, Input::Received { role, bytes });
                self.check_receive_queue(now, index);
                self.check_backlog(index);
            }
        }
    }

    /// A POST's packets; of very many those that are left wait for the I/O thread's next turns.
    pub(super) fn post(&mut self, now: Instant, index: usize, body: Vec<u8>) {
        self.input(now, index, Input::Post(body));
        self.check_receive_queue(now, index);
        self.check_backlog(index);
    }

    /// Goes on with POSTs of very many packets, as long as JavaScript keeps up with them.
    pub(super) fn read_backlogs(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.backlogs) {
            let Some(index) = self.find(id) else { continue };
            if self.entry_mut(index).is_some_and(|entry| entry.gauge.is_paused()) {
                continue;
            }
            self.input(now, index, Input::Continue);
            self.check_receive_queue(now, index);
            self.check_backlog(index);
        }
    }

    /// Sees to it that packets of a POST are gone on with, and that nothing is read meanwhile that
    /// would have to wait for them.
    fn check_backlog(&mut self, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        let (id, main) = (entry.id, entry.main);
        let has_backlog = entry.session.has_backlog();
        let is_busy = has_backlog || entry.gauge.is_paused();
        let was_busy = entry.gauge.is_busy();
        entry.gauge.set_busy(is_busy);
        let is_held = entry.session.is_holding();
        let was_held = std::mem::replace(&mut entry.is_held, is_held);
        // One mark for both reasons: what ends one of them is not to end the other.
        let is_stopped = is_held || entry.gauge.is_paused();
        let was_stopped = entry.gauge.is_stream_paused();
        entry.gauge.set_stream_paused(is_stopped);
        if has_backlog && !entry.gauge.is_paused() && !self.backlogs.contains(&id) {
            self.backlogs.push(id);
        }
        if was_busy && !is_busy {
            self.batch.push(id.slot, id.generation, Kind::PostWanted, 0, Payload::None);
        }
        if was_stopped != is_stopped {
            let kind = if is_stopped { Kind::StreamPause } else { Kind::StreamResume };
            self.tell_streams(index, kind);
        }
        if let Some(key) = main.filter(|_| was_held && !is_held) {
            self.want_read(key);
        }
    }

    /// The connection is gone: so is the link, whoever it worked for.
    pub(super) fn lose_link(&mut self, now: Instant, key: usize, loss: Loss) {
        let Some(link) = self.drop_link(key) else { return };
        if let Owner::Session { index, role } = link.owner {
            if let Some(entry) = self.entry_mut(index) {
                match role {
                    Role::Main => entry.main = None,
                    Role::Probe => entry.probe = None,
                }
            }
            self.input(now, index, Input::Lost { role, loss });
        }
    }

    /// Stops reading from a connection whose messages JavaScript does not take, or from the one
    /// with the most of them when all together are too many.
    fn check_receive_queue(&mut self, now: Instant, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        if entry.gauge.undelivered() > entry.max_receive_queue {
            let limit = entry.max_receive_queue;
            return self.pause(now, index, "maxReceiveQueue", limit);
        }
        let limit = self.shared.limits.max_total_receive_queue;
        if self.shared.totals.undelivered.load(Relaxed) > limit {
            let running = |(index, entry): (usize, &Option<Box<Entry>>)| {
                let gauge = &entry.as_ref()?.gauge;
                (!gauge.is_paused()).then(|| (gauge.undelivered(), index))
            };
            if let Some((_, largest)) = self.entries.iter().enumerate().filter_map(running).max() {
                self.pause(now, largest, "maxTotalReceiveQueue", limit.unsigned_abs());
            }
        }
    }

    fn pause(&mut self, now: Instant, index: usize, name: &str, limit: u64) {
        let Some(entry) = self.entry_mut(index) else { return };
        if entry.gauge.is_paused() {
            return;
        }
        entry.gauge.set_paused(true);
        let (id, value) = (entry.id, entry.gauge.undelivered());
        let text = serde_json::json!({
            "name": name, "action": "paused", "limit": limit, "value": value,
        });
        let payload = self.batch.text(text.to_string().into_bytes().into());
        self.batch.push(id.slot, id.generation, Kind::Limit, 0, payload);
        self.input(now, index, Input::Pause);
        // What JavaScript took before it could see the mark would never resume us.
        if self.entry_mut(index).is_some_and(|entry| entry.gauge.undelivered() == 0) {
            return self.resume(now, index);
        }
        self.check_backlog(index);
    }

    /// JavaScript has caught up.
    pub(super) fn resume(&mut self, now: Instant, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        entry.gauge.set_paused(false);
        let links = [entry.main, entry.probe];
        self.input(now, index, Input::Resume);
        for key in links.into_iter().flatten() {
            self.want_read(key);
        }
        self.check_backlog(index);
    }

    /// JavaScript streams are paused where they are read: there.
    fn tell_streams(&mut self, index: usize, kind: Kind) {
        let Some(entry) = self.entry_mut(index) else { return };
        for key in [entry.main, entry.probe].into_iter().flatten() {
            if let Some(Io::Stream { id, .. }) = self.links.get(key).map(|link| &link.io) {
                self.batch.push(*id, 0, kind, 0, Payload::None);
            }
        }
    }
}
