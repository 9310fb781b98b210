//! Commands from JavaScript.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{Entry, Shard};
use crate::protocol::effects::Role;
use crate::protocol::limits::Limits;
use crate::protocol::outbox::Outgoing;
use crate::protocol::session::{Input, Loss, Session};
use crate::protocol::websocket::Connection;
use crate::runtime::commands::{
    Action, Body, Command, CommandBatch, NewLink, NewWebSocket, Open, SessionId,
};
use crate::runtime::inbox::{Kind, Payload};
use crate::runtime::link::{Io, Link, Owner};

impl Shard {
    pub(super) fn apply(&mut self, now: Instant, batch: CommandBatch) {
        let CommandBatch { commands, bytes } = batch;
        for command in commands {
            match command {
                Command::Session(id, Action::Open(open)) => self.open(now, id, *open),
                Command::Session(id, action) => match self.find(id) {
                    Some(index) => self.act(now, index, action, &bytes),
                    None => self.refuse(action),
                },
                Command::StreamReceived { stream, mut bytes } => {
                    if let Some(key) = self.streams.get(&stream).copied() {
                        self.received(now, key, &mut bytes);
                    }
                }
                Command::Barrier(waiter) => self.barriers.push(waiter),
                Command::StreamSent { stream, bytes } => self.stream_sent(stream, bytes),
                Command::StreamLost { stream, loss } => {
                    if let Some(key) = self.streams.get(&stream).copied() {
                        self.lose_link(now, key, loss);
                    }
                }
            }
        }
    }

    /// A command for a session that is over. Only a stream has to hear of it; a socket closes
    /// with the command.
    fn refuse(&mut self, action: Action) {
        if let Action::Probe(websocket) = action {
            self.refuse_link(&websocket.link);
        }
    }

    fn refuse_link(&mut self, link: &NewLink) {
        if let NewLink::Stream(id) = link {
            self.batch.push(*id, 0, Kind::StreamReset, 0, Payload::None);
        }
    }

    fn act(&mut self, now: Instant, index: usize, action: Action, bytes: &[u8]) {
        let slice = |range| bytes.get::<std::ops::Range<usize>>(range).unwrap_or(&[]);
        let input = match action {
            Action::Send { body, receipt } => {
                let message = match body {
                    Body::Text(range) => Outgoing::Text(slice(range)),
                    Body::Binary(range) => Outgoing::Binary(slice(range)),
                    Body::OwnText(body) => Outgoing::OwnText(body),
                    Body::OwnBinary(body) => Outgoing::OwnBinary(body),
                };
                return self.send(now, index, message, receipt);
            }
            Action::SendShared(broadcast) => {
                return self.send(now, index, Outgoing::Shared(&broadcast), false);
            }
            Action::Probe(websocket) => return self.probe(now, index, *websocket),
            Action::Resume => return self.resume(now, index),
            #[cfg(feature = "test-panic")]
            Action::Panic => {
                return self.step(now, index, |_, _| panic!("provoked by a test"));
            }
            Action::Open(_) => return,
            Action::Get(token) => Input::Get { token },
            Action::GetLost(token) => Input::GetLost { token },
            Action::GetSent(bytes) => Input::GetSent(bytes),
            Action::PostBegun => Input::PostBegun,
            Action::Post(body) => return self.post(now, index, body),
            Action::Fault(fault) => Input::Fault(fault),
            Action::Report => Input::Report,
            Action::Close { discard } => Input::Close { discard },
            Action::Shutdown => Input::Shutdown,
            Action::Observe(on) => Input::Observe(on),
        };
        self.input(now, index, input);
        self.count_session(index);
    }

    fn send(&mut self, now: Instant, index: usize, message: Outgoing<'_>, receipt: bool) {
        // Before a queue is judged as full, the kernel gets what it can take.
        if let Some(entry) = self.entry_mut(index)
            && entry.session.is_full()
            && let Some(key) = entry.main
        {
            self.write_link(now, key);
        }
        self.input(now, index, Input::Send { message, receipt });
        self.count_session(index);
        let limit = self.shared.limits.max_total_send_buffer;
        if limit > 0 && self.shared.totals.unsent.load(Relaxed) > limit {
            self.evict_longest(now, limit);
        }
    }

    /// All queues together are too long: the longest is closed, once writing has not helped.
    fn evict_longest(&mut self, now: Instant, limit: i64) {
        let size = |(index, entry): (usize, &Option<Box<Entry>>)| {
            entry.as_ref().map(|entry| (entry.session.waiting(), index, entry.main))
        };
        let longest = self.entries.iter().enumerate().filter_map(size).max();
        let Some((_, index, main)) = longest else { return };
        if let Some(key) = main {
            self.write_link(now, key);
        }
        if self.shared.totals.unsent.load(Relaxed) <= limit {
            return;
        }
        let value = limit.unsigned_abs();
        self.step(now, index, |session, sink| session.evict("maxTotalSendBuffer", value, sink));
    }

    fn open(&mut self, now: Instant, id: SessionId, open: Open) {
        let index = (id.slot / self.stride) as usize;
        if self.entries.len() <= index {
            self.entries.resize_with(index + 1, || None);
        }
        let Open { limits, max_receive_queue, gauge, packet, websocket } = open;
        let mut early = Vec::new();
        let (session, main) = match websocket {
            None => (Session::polling(now, Arc::clone(&limits), packet.as_bytes()), None),
            Some(NewWebSocket { link, answer, base64, early: bytes }) => {
                early = bytes;
                let connection = new_connection(&answer, base64);
                let owner = Owner::Session { index, role: Role::Main };
                let key = self.add_link(link, owner, patience(&limits));
                let packet = packet.as_bytes();
                (Session::websocket(now, Arc::clone(&limits), connection, packet), key)
            }
        };
        let lost = main.is_none() && session.connection(Role::Main).is_some();
        self.entries[index] = Some(Box::new(Entry {
            id,
            session,
            limits,
            gauge,
            max_receive_queue,
            main,
            probe: None,
            scheduled: None,
            counted: 0,
            is_held: false,
        }));
        self.schedule(index);
        if lost {
            let loss = Loss::Read(None);
            return self.input(now, index, Input::Lost { role: Role::Main, loss });
        }
        if let Some(key) = main {
            self.want_write(key);
            self.receive_early(now, key, early);
        }
    }

    fn probe(&mut self, now: Instant, index: usize, websocket: NewWebSocket) {
        let NewWebSocket { link, answer, base64, early } = websocket;
        let Some(entry) = self.entry_mut(index) else { return };
        if entry.probe.is_some() {
            return self.refuse_link(&link);
        }
        let user_timeout = patience(&entry.limits);
        let owner = Owner::Session { index, role: Role::Probe };
        let Some(key) = self.add_link(link, owner, user_timeout) else {
            if let Some(Entry { id, .. }) = self.entry_mut(index) {
                let SessionId { slot, generation } = *id;
                self.batch.push(slot, generation, Kind::UpgradeFailed, 0, Payload::None);
            }
            return;
        };
        if let Some(entry) = self.entry_mut(index) {
            entry.probe = Some(key);
        }
        self.input(now, index, Input::Probe(new_connection(&answer, base64)));
        self.receive_early(now, key, early);
    }

    /// Bytes that came in one piece with the request.
    fn receive_early(&mut self, now: Instant, key: usize, mut bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.received(now, key, &mut bytes);
        }
    }

    /// Takes a connection in; `None` when the poller will not have it.
    fn add_link(
        &mut self,
        link: NewLink,
        owner: Owner,
        #[cfg_attr(not(poller), allow(unused_variables))] user_timeout: Duration,
    ) -> Option<usize> {
        self.serial += 1;
        let entry = self.links.vacant_entry();
        let key = entry.key();
        let io = match link {
            #[cfg(poller)]
            NewLink::Tcp(stream) => {
                prepare_socket(&stream, user_timeout);
                let mut stream = mio::net::TcpStream::from_std(stream);
                let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
                self.registry.register(&mut stream, mio::Token(key), interest).ok()?;
                Io::Tcp(stream)
            }
            #[cfg(not(poller))]
            NewLink::Tcp(_) => return None,
            NewLink::Stream(id) => {
                self.streams.insert(id, key);
                Io::Stream { id, in_flight: 0 }
            }
        };
        entry.insert(Link {
            io,
            owner,
            serial: self.serial,
            readable: true,
            is_over: false,
            writable: true,
            is_dirty: false,
            is_ready: false,
            is_ended: false,
            deadline: None,
        });
        Some(key)
    }

    fn stream_sent(&mut self, stream: u32, bytes: usize) {
        let Some(key) = self.streams.get(&stream).copied() else { return };
        if let Some(link) = self.links.get_mut(key)
            && let Io::Stream { in_flight, .. } = &mut link.io
        {
            *in_flight = in_flight.saturating_sub(bytes);
            link.writable = true;
            self.want_write(key);
        }
    }
}

fn new_connection(answer: &[u8], base64: bool) -> Connection {
    let mut connection = Connection::new(answer);
    if base64 {
        connection.use_base64();
    }
    connection
}

/// How long a peer may be silent at the most.
fn patience(limits: &Limits) -> Duration {
    limits.ping_interval + limits.ping_timeout
}

/// A peer that acknowledges nothing for that long is gone, whatever its heartbeat said last.
#[cfg(poller)]
fn prepare_socket(stream: &std::net::TcpStream, user_timeout: Duration) {
    // A socket that knows no such options (a Unix socket) works without.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(user_timeout));
    #[cfg(not(target_os = "linux"))]
    let _ = user_timeout;
}
