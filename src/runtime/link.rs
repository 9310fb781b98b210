//! What carries a WebSocket's bytes: a TCP socket of ours, or a JavaScript stream.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use crate::protocol::effects::Role;
use crate::protocol::limits::Limits;
use crate::protocol::websocket::Connection;

use super::inbox::{EventBatch, Payload, StreamKind};
use super::shard::SendQueue;

/// Bytes handed to a JavaScript stream that it may not have written yet.
pub const STREAM_WINDOW: usize = 256 * 1024;

/// Where bytes go.
pub enum Io {
    #[cfg(poller)]
    Tcp(mio::net::TcpStream),
    /// A JavaScript stream, and the bytes it has not reported as written.
    Stream { id: u32, in_flight: usize },
}

impl Io {
    /// Reads what has come. A stream's bytes come as commands instead.
    #[cfg_attr(not(poller), allow(unused_variables))]
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            #[cfg(poller)]
            Io::Tcp(stream) => io::Read::read(stream, buffer),
            Io::Stream { .. } => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes to the socket, or through the inbox to the stream.
    pub fn write(&mut self, slices: &[IoSlice<'_>], batch: &mut EventBatch) -> io::Result<usize> {
        match self {
            #[cfg(poller)]
            Io::Tcp(stream) => match slices {
                [one] => io::Write::write(stream, one),
                many => io::Write::write_vectored(stream, many),
            },
            Io::Stream { id, in_flight } => {
                let room = STREAM_WINDOW.saturating_sub(*in_flight);
                let all = slices.iter().flat_map(|slice| slice.iter().copied());
                let bytes: Vec<u8> = all.take(room).collect();
                if bytes.is_empty() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let count = bytes.len();
                *in_flight += count;
                batch.push_stream(*id, StreamKind::Write, Payload::OwnBytes(bytes));
                Ok(count)
            }
        }
    }
}

/// What the poller has reported of a connection, and reading and writing have not used up yet.
#[derive(Debug, Clone, Copy)]
pub struct Readiness {
    /// There may be something to read.
    pub readable: bool,
    /// The peer has ended its side, or the connection is broken: it is read until the end shows.
    pub is_over: bool,
    /// The kernel, or the stream's window, may have room.
    pub writable: bool,
}

impl Readiness {
    /// What a poller's event reports.
    #[cfg(poller)]
    pub fn of(event: &mio::event::Event) -> Self {
        let is_over = event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || is_over;
        Self { readable, is_over, writable: event.is_writable() }
    }

    /// Adds what was reported since.
    pub fn add(&mut self, news: Self) {
        self.readable |= news.readable;
        self.is_over |= news.is_over;
        self.writable |= news.writable;
    }
}

/// What a link is used for.
pub enum State {
    /// It carries the session at `index`, as its transport or as the WebSocket that it probes.
    Owned { index: usize, role: Role },
    /// Its session has let go of it. It writes what is left and finishes the closing handshake.
    Released(Box<Released>),
}

/// A connection without a session.
pub struct Released {
    pub connection: Connection,
    pub limits: Arc<Limits>,
    /// When the connection is reset: the deadline of its entry among the timers.
    pub until: Instant,
    /// Our side of the connection has been ended.
    pub is_ended: bool,
    /// Of its waiting bytes, those that are counted in the total.
    pub counted: usize,
    /// Its place among the send queues.
    pub send_queue: SendQueue,
}

impl Released {
    /// A connection that its session has just let go of.
    pub fn new(connection: Connection, limits: Arc<Limits>, until: Instant) -> Self {
        let send_queue = SendQueue::default();
        Self { connection, limits, until, is_ended: false, counted: 0, send_queue }
    }
}

/// One connection.
pub struct Link {
    pub io: Io,
    pub state: State,
    pub readiness: Readiness,
    /// It is on the list of links to write.
    pub is_write_scheduled: bool,
    /// It is on the list of links to read.
    pub is_read_scheduled: bool,
}

impl Link {
    /// A new connection, which may be readable and writable already.
    pub fn new(io: Io, state: State) -> Self {
        let readiness = Readiness { readable: true, is_over: false, writable: true };
        Self { io, state, readiness, is_write_scheduled: false, is_read_scheduled: false }
    }
}

/// Keys of a session's links. It has two while it probes, and also after a second probe has reached
/// a session on WebSocket, until the session releases that one.
#[derive(Debug, Default)]
pub struct Links {
    main: Option<usize>,
    probe: Option<usize>,
}

impl Links {
    /// The links of a session whose transport has a link, or none.
    pub fn new(main: Option<usize>) -> Self {
        Self { main, probe: None }
    }

    /// The link in a role.
    pub fn get(&self, role: Role) -> Option<usize> {
        match role {
            Role::Main => self.main,
            Role::Probe => self.probe,
        }
    }

    /// Takes the link in a role away.
    pub fn take(&mut self, role: Role) -> Option<usize> {
        match role {
            Role::Main => self.main.take(),
            Role::Probe => self.probe.take(),
        }
    }

    /// Adds a probed link.
    pub fn set_probe(&mut self, key: usize) {
        self.probe = Some(key);
    }

    /// Makes the probed link the main one, and returns it.
    pub fn promote(&mut self) -> Option<usize> {
        self.main = self.probe.take();
        self.main
    }

    /// The keys of all its links.
    pub fn keys(&self) -> impl Iterator<Item = usize> + use<> {
        self.main.into_iter().chain(self.probe)
    }
}
