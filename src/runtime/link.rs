//! What carries a WebSocket's bytes: a TCP socket of ours, or a JavaScript stream.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use crate::protocol::effects::Role;
use crate::protocol::limits::Limits;
use crate::protocol::websocket::Connection;

use super::inbox::{EventBatch, Kind, Payload};
use super::shard::Queue;

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
                batch.push(*id, 0, Kind::StreamWrite, 0, Payload::OwnBytes(bytes));
                Ok(count)
            }
        }
    }
}

/// Who a link works for.
pub enum Owner {
    Session {
        index: usize,
        role: Role,
    },
    /// Nobody any more: it writes what is left and finishes the closing handshake.
    Released(Box<Connection>, Arc<Limits>),
}

/// One connection.
pub struct Link {
    pub io: Io,
    pub owner: Owner,
    /// There may be something to read.
    pub readable: bool,
    /// The peer has said its last: read until the end shows.
    pub is_over: bool,
    /// The kernel may take more.
    pub writable: bool,
    /// It is on the list of links to write.
    pub is_dirty: bool,
    /// It is on the list of links to read.
    pub is_ready: bool,
    /// Our side has been ended.
    pub is_ended: bool,
    /// When a released link is reset: the deadline of its entry among the timers.
    pub deadline: Option<Instant>,
    /// Once released, of its waiting bytes those that are counted in the total, and its place among
    /// the send queues.
    pub counted: usize,
    pub queue: Queue,
}
