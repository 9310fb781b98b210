//! A link carries the bytes of a WebSocket, through a TCP socket that was taken from Node or through
//! a JavaScript stream. It belongs to a session until the session releases it; then it sends what is
//! left and finishes the closing handshake on its own.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use crate::protocol::effects::Role;
use crate::protocol::limits::Limits;
use crate::protocol::websocket::Connection;

use super::inbox::{EventBatch, Payload, StreamKind};
use super::shard::SendQueue;

/// The most bytes given to a JavaScript stream that it has not reported as written.
pub const STREAM_WINDOW: usize = 256 * 1024;

/// What the bytes go through.
pub enum Io {
    /// A socket.
    #[cfg(poller)]
    Tcp(mio::net::TcpStream),
    /// A JavaScript stream.
    Stream {
        /// The stream's number.
        number: u32,
        /// Bytes that it was given and has not reported as written.
        in_flight: usize,
    },
}

impl Io {
    /// Reads from the socket. The bytes of a stream arrive as commands instead.
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
            Io::Stream { number, in_flight } => {
                let room = STREAM_WINDOW.saturating_sub(*in_flight);
                let all = slices.iter().flat_map(|slice| slice.iter().copied());
                let bytes: Vec<u8> = all.take(room).collect();
                if bytes.is_empty() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let count = bytes.len();
                *in_flight += count;
                batch.push_stream(*number, StreamKind::Write, Payload::OwnBytes(bytes));
                Ok(count)
            }
        }
    }
}

/// What a connection is ready for, as the poller reported it.
#[derive(Debug, Clone, Copy)]
pub struct Readiness {
    /// There may be something to read.
    pub readable: bool,
    /// The peer has ended its side, or the connection is broken. The poller reports this once, so
    /// the connection is read until the end shows.
    pub is_over: bool,
    /// The kernel or the stream's window may have room.
    pub writable: bool,
}

impl Readiness {
    /// What an event of the poller reports.
    #[cfg(poller)]
    pub fn of(event: &mio::event::Event) -> Self {
        let is_over = event.is_read_closed() || event.is_error();
        let readable = event.is_readable() || is_over;
        Self { readable, is_over, writable: event.is_writable() }
    }

    /// Adds what a later event reports.
    pub fn add(&mut self, news: Self) {
        self.readable |= news.readable;
        self.is_over |= news.is_over;
        self.writable |= news.writable;
    }
}

/// Whether a link belongs to a session.
pub enum State {
    /// A session owns it.
    Owned {
        /// The session's index in the shard.
        index: usize,
        /// Whether it is the session's transport, or a WebSocket that is probed for an upgrade.
        role: Role,
    },
    /// Its session has released it. It sends what is left and finishes the closing handshake.
    Released(Box<Released>),
}

/// The connection of a released link.
pub struct Released {
    /// The protocol's state of the connection, which its session has handed over.
    pub connection: Connection,
    /// The limits of the session's engine.
    pub limits: Arc<Limits>,
    /// When the connection is reset. Its timer has this deadline.
    pub until: Instant,
    /// Whether our side has been ended.
    pub is_ended: bool,
    /// How many of its queued bytes are counted in the total.
    pub counted: usize,
    /// Its place among the send queues.
    pub send_queue: SendQueue,
}

impl Released {
    /// A connection that its session releases now.
    pub fn new(connection: Connection, limits: Arc<Limits>, until: Instant) -> Self {
        let send_queue = SendQueue::default();
        Self { connection, limits, until, is_ended: false, counted: 0, send_queue }
    }
}

/// One connection.
pub struct Link {
    /// What its bytes go through.
    pub io: Io,
    /// Whether it belongs to a session.
    pub state: State,
    /// What it is ready for.
    pub readiness: Readiness,
    /// Whether it is on the list of links to write.
    pub is_write_scheduled: bool,
    /// Whether it is on the list of links to read.
    pub is_read_scheduled: bool,
}

impl Link {
    /// A new link, which may be readable and writable already.
    pub fn new(io: Io, state: State) -> Self {
        let readiness = Readiness { readable: true, is_over: false, writable: true };
        Self { io, state, readiness, is_write_scheduled: false, is_read_scheduled: false }
    }
}

/// The keys of a session's links. A session on polling has at most a probed one, a session on
/// WebSocket a main one. The latter has both only while it rejects a probe.
#[derive(Debug, Default)]
pub struct Links {
    main: Option<usize>,
    probe: Option<usize>,
}

impl Links {
    /// The links of a new session: the main one, if it starts on a WebSocket.
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

    /// Removes the link in a role.
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

    /// Makes the probed link the main one and returns it.
    pub fn promote(&mut self) -> Option<usize> {
        self.main = self.probe.take();
        self.main
    }

    /// The keys of all its links.
    pub fn keys(&self) -> impl Iterator<Item = usize> + use<> {
        self.main.into_iter().chain(self.probe)
    }
}
