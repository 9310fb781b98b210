//! What carries a WebSocket's bytes: a TCP socket of ours, or a JavaScript stream.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use crate::protocol::effects::Role;
use crate::protocol::limits::Limits;
use crate::protocol::websocket::Connection;

/// Bytes handed to a JavaScript stream that it may not have written yet.
pub const STREAM_WINDOW: usize = 256 * 1024;

/// Where bytes go.
pub enum Io {
    #[cfg(unix)]
    Tcp(mio::net::TcpStream),
    /// A JavaScript stream, and the bytes it has not reported as written.
    Stream { id: u32, in_flight: usize },
}

impl Io {
    /// Reads what has come.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Io::Tcp(stream) => stream.read(buffer),
            Io::Stream { .. } => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes to a socket; a stream is written to through the inbox.
    pub fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Io::Tcp(stream) => match slices {
                [one] => stream.write(one),
                many => stream.write_vectored(many),
            },
            Io::Stream { .. } => Err(io::ErrorKind::WouldBlock.into()),
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
    /// Tells a link from an earlier one under the same key.
    pub serial: u64,
    /// There may be something to read.
    pub readable: bool,
    /// The kernel may take more.
    pub writable: bool,
    /// It is on the list of links to write.
    pub is_dirty: bool,
    /// It is on the list of links to read.
    pub is_ready: bool,
    /// Our side has been ended.
    pub is_ended: bool,
    /// When a released link is reset.
    pub deadline: Option<Instant>,
}
