//! Applies commands from JavaScript: most become inputs of a session, some add or feed links.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::receive_bounds::ReceiveState;
use super::send_bounds::SendQueue;
use super::{Entry, Shard};
use crate::protocol::effects::Role;
use crate::protocol::limits::Limits;
use crate::protocol::outbox::Outgoing;
use crate::protocol::revision::Dialect;
use crate::protocol::session::{Input, Loss, Session};
use crate::protocol::websocket::Connection;
use crate::protocol::websocket::extension::Agreement;
use crate::runtime::commands::{
    Action, Body, Command, CommandBatch, NewLink, NewTransport, NewWebSocket, Open, SessionId,
};
use crate::runtime::inbox::{Kind, Payload, StreamKind};
use crate::runtime::link::{Io, Link, Links, State};

impl Shard {
    pub(super) fn apply(&mut self, now: Instant, batch: CommandBatch) {
        let CommandBatch { commands, bytes, .. } = batch;
        for command in commands {
            match command {
                Command::Session(id, Action::Open(open)) => self.open(now, id, *open),
                Command::Session(id, action) => match self.find(id) {
                    Some(index) => self.act(now, index, action, &bytes),
                    None => self.reject(action),
                },
                Command::StreamReceived { stream, mut bytes } => {
                    if let Some(key) = self.streams.get(&stream).copied() {
                        self.received(now, key, &mut bytes);
                    }
                }
                #[cfg(feature = "test-panic")]
                Command::Panic => panic!("provoked by a test"),
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

    /// Drops a command for a session that is over. A probed socket is closed with the command, but a
    /// JavaScript stream has to be reset.
    fn reject(&mut self, action: Action) {
        if let Action::Probe(websocket) = action {
            self.reject_link(&websocket.link);
        }
    }

    fn reject_link(&mut self, link: &NewLink) {
        if let NewLink::Stream(number) = link {
            self.batch.push_stream(*number, StreamKind::Reset, Payload::None);
        }
    }

    fn act(&mut self, now: Instant, index: usize, action: Action, bytes: &[u8]) {
        let slice = |range| bytes.get::<std::ops::Range<usize>>(range).unwrap_or(&[]);
        let input = match action {
            Action::Send { body, compress, receipt } => {
                let message = match body {
                    Body::Text(range) => Outgoing::Text(slice(range)),
                    Body::Binary(range) => Outgoing::Binary(slice(range)),
                    Body::OwnText(body) => Outgoing::OwnText(body),
                    Body::OwnBinary(body) => Outgoing::OwnBinary(body),
                };
                return self.send(now, index, message, compress, receipt);
            }
            Action::SendBroadcast(broadcast) => {
                return self.send(now, index, Outgoing::Shared(&broadcast), true, false);
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
            Action::PostProgress(bytes) => {
                return self.post(now, index, Input::PostProgress(bytes));
            }
            Action::Post(body) => return self.post(now, index, Input::Post(body)),
            Action::PostBytes(body) => return self.post(now, index, Input::PostBytes(body)),
            Action::Fault(fault) => Input::Fault(fault),
            Action::NotifyDrained => Input::NotifyDrained,
            Action::Close { discard } => Input::Close { discard },
            Action::Shutdown => Input::Shutdown,
            Action::CloseDrained => Input::CloseDrained,
            Action::Observe(on) => Input::Observe(on),
            Action::Undeliverable => Input::Undeliverable,
        };
        self.input(now, index, input);
        self.count_polling(now, index);
    }

    /// Counts what is queued after a command. A session on polling also gets its place among the send
    /// queues here; one on a WebSocket gets it after the next write.
    fn count_polling(&mut self, now: Instant, index: usize) {
        self.count_session(index);
        if self.entry(index).is_some_and(|entry| entry.links.get(Role::Main).is_none()) {
            self.order_session(now, index);
        }
    }

    fn send(
        &mut self,
        now: Instant,
        index: usize,
        message: Outgoing<'_>,
        compress: bool,
        receipt: bool,
    ) {
        // A queue only counts as full after the kernel has taken what it can.
        if let Some(entry) = self.entry_mut(index)
            && entry.session.is_full()
            && let Some(key) = entry.links.get(Role::Main)
        {
            self.write_link(now, key);
        }
        self.input(now, index, Input::Send { message, compress, receipt });
        self.count_polling(now, index);
    }

    fn open(&mut self, now: Instant, id: SessionId, open: Open) {
        let index = self.index(id.slot);
        if self.entries.len() <= index {
            self.entries.resize_with(index + 1, || None);
        }
        let Open { limits, gauge, packet, transport } = open;
        let packet = packet.as_bytes();
        self.shared.allow_message(limits.max_message);
        let mut early = Vec::new();
        let (session, main) = match transport {
            NewTransport::Polling(format) => {
                (Session::polling(now, Arc::clone(&limits), format, packet), None)
            }
            NewTransport::WebSocket(websocket) => {
                let NewWebSocket { link, answer, dialect, deflate, early: bytes } = websocket;
                early = bytes;
                let connection = new_connection(&answer, dialect, deflate);
                let state = State::Owned { index, role: Role::Main };
                let key = self.add_link(link, state, patience(&limits));
                (Session::websocket(now, Arc::clone(&limits), connection, packet), key)
            }
        };
        let is_lost = main.is_none() && session.connection(Role::Main).is_some();
        self.entries[index] = Some(Box::new(Entry {
            id,
            session,
            limits,
            gauge,
            links: Links::new(main),
            scheduled: None,
            counted: 0,
            send_queue: SendQueue::default(),
            receive: ReceiveState::default(),
            is_held: false,
            is_in_backlogs: false,
            lane: None,
        }));
        self.schedule_timeout(index);
        if is_lost {
            let loss = Loss::Read(None);
            return self.input(now, index, Input::Lost { role: Role::Main, loss });
        }
        if let Some(key) = main {
            self.schedule_write(key);
            self.receive_early(now, key, early);
        }
    }

    fn probe(&mut self, now: Instant, index: usize, websocket: NewWebSocket) {
        let NewWebSocket { link, answer, dialect, deflate, early } = websocket;
        let Some(entry) = self.entry_mut(index) else { return };
        if entry.links.get(Role::Probe).is_some() {
            return self.reject_link(&link);
        }
        let user_timeout = patience(&entry.limits);
        let state = State::Owned { index, role: Role::Probe };
        let Some(key) = self.add_link(link, state, user_timeout) else {
            return self.push_event(index, Kind::UpgradeFailed, |_| Payload::None);
        };
        if let Some(entry) = self.entry_mut(index) {
            entry.links.set_probe(key);
        }
        self.input(now, index, Input::Probe(new_connection(&answer, dialect, deflate)));
        self.receive_early(now, key, early);
    }

    /// Handles the bytes that arrived right after the request.
    fn receive_early(&mut self, now: Instant, key: usize, mut bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.received(now, key, &mut bytes);
        }
    }

    /// Adds a link. Returns `None` if the poller does not accept its socket.
    fn add_link(
        &mut self,
        link: NewLink,
        state: State,
        #[cfg_attr(not(poller), allow(unused_variables))] user_timeout: Duration,
    ) -> Option<usize> {
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
            NewLink::Stream(number) => {
                self.streams.insert(number, key);
                Io::Stream { number, in_flight: 0 }
            }
        };
        entry.insert(Link::new(io, state));
        Some(key)
    }

    fn stream_sent(&mut self, stream: u32, bytes: usize) {
        let Some(key) = self.streams.get(&stream).copied() else { return };
        if let Some(link) = self.links.get_mut(key)
            && let Io::Stream { in_flight, .. } = &mut link.io
        {
            *in_flight = in_flight.saturating_sub(bytes);
            link.readiness.writable = true;
            self.schedule_write(key);
        }
    }
}

fn new_connection(answer: &[u8], dialect: Dialect, deflate: Option<Box<Agreement>>) -> Connection {
    let mut connection = Connection::new(answer);
    connection.speak(dialect);
    if let Some(agreement) = deflate {
        connection.use_deflate(*agreement);
    }
    connection
}

/// The longest time for which a peer may stay silent.
fn patience(limits: &Limits) -> Duration {
    limits.ping_interval + limits.ping_timeout
}

/// Sets the options of a socket. The kernel drops a connection whose peer acknowledges nothing for
/// `user_timeout`, however recent the last heartbeat is.
#[cfg(poller)]
fn prepare_socket(stream: &std::net::TcpStream, user_timeout: Duration) {
    // Errors are ignored, because other sockets (Unix ones) work without these options.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(user_timeout));
    #[cfg(not(target_os = "linux"))]
    let _ = user_timeout;
}
