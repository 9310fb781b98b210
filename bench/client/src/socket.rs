//! One non-blocking TCP connection: coalesced writes from an [`Outbox`], and reads into a
//! [`Scratch`] that all share.

use std::net::Ipv4Addr;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_reuseaddr, set_tcp_nodelay};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrV4, SocketFlags, SocketType, bind, connect,
    recv, send, socket_with,
};

use crate::fault::{Fault, Result};
use crate::loopback;
use crate::poller::{Poller, Readiness};

/// Room for one read: large enough for a good part of a 1 MB message, small enough to stay in the
/// cache.
const SCRATCH: usize = 256 * 1024;

/// The only read buffer of the process.
pub struct Scratch {
    bytes: Vec<u8>,
}

impl Scratch {
    pub fn new() -> Self {
        Self { bytes: vec![0; SCRATCH] }
    }
}

/// Bytes to be written. It keeps its memory, so that a warm connection allocates nothing.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// The length of a prefix that stays in place after sending, for `replay`. Zero for most.
    kept: usize,
}

impl Outbox {
    /// An outbox whose `bytes` count as already sent and can be replayed.
    pub fn keeping(bytes: Vec<u8>) -> Self {
        Self { sent: bytes.len(), kept: bytes.len(), bytes }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes pushed last, for patching in place.
    pub fn last(&mut self, length: usize) -> &mut [u8] {
        let start = self.bytes.len() - length;
        &mut self.bytes[start..]
    }

    /// Sends the kept prefix once more. Call only when everything has been sent.
    pub fn replay(&mut self) -> &mut [u8] {
        debug_assert!(self.is_empty());
        self.sent = 0;
        &mut self.bytes[..self.kept]
    }

    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    fn advance(&mut self, written: usize) {
        self.sent += written;
        if self.is_empty() {
            self.bytes.truncate(self.kept);
            self.sent = self.kept;
        }
    }
}

/// The result of a read.
pub enum Inflow<'s> {
    Nothing,
    /// The bytes kept from the last read, followed by the new ones.
    Bytes(&'s [u8]),
    End,
}

pub struct Socket {
    fd: OwnedFd,
    token: u64,
    pub outbox: Outbox,
    /// The incomplete end of the last read.
    rest: Vec<u8>,
    /// The kernel's buffer is full, or the connection is not established yet: epoll reports when to
    /// continue.
    blocked: bool,
}

impl Socket {
    /// Starts to connect; the contents of `outbox` are sent as soon as the connection is
    /// established.
    pub fn open(
        poller: &Poller,
        token: u64,
        port: u16,
        from: Ipv4Addr,
        outbox: Outbox,
    ) -> Result<Self> {
        let fd = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )
        .map_err(Fault::io("create a socket"))?;
        set_tcp_nodelay(&fd, true).map_err(Fault::io("set TCP_NODELAY"))?;
        // Allows ports of this address that are still in TIME_WAIT.
        set_socket_reuseaddr(&fd, true).map_err(Fault::io("set SO_REUSEADDR"))?;
        bind(&fd, &SocketAddrV4::new(from, 0)).map_err(Fault::io("bind a source address"))?;
        match connect(&fd, &loopback::server(port)) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(Fault::Io { what: "connect", errno }),
        }
        poller.watch(&fd, token, true)?;
        Ok(Self { fd, token, outbox, rest: Vec::new(), blocked: true })
    }

    /// Reads once. Level-triggered epoll reports again what one read left over.
    pub fn fill<'s>(&mut self, scratch: &'s mut Scratch) -> Result<Inflow<'s>> {
        let kept = self.rest.len();
        if scratch.bytes.len() < kept + SCRATCH / 2 {
            scratch.bytes.resize(kept + SCRATCH, 0);
        }
        scratch.bytes[..kept].copy_from_slice(&self.rest);
        match recv(&self.fd, &mut scratch.bytes[kept..], RecvFlags::empty()) {
            Ok((0, _)) => Ok(Inflow::End),
            Ok((read, _)) => {
                self.rest.clear();
                Ok(Inflow::Bytes(&scratch.bytes[..kept + read]))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Inflow::Nothing),
            Err(errno) => Err(Fault::Io { what: "read from the server", errno }),
        }
    }

    /// Keeps an incomplete end for the next `fill`.
    pub fn keep(&mut self, rest: &[u8]) {
        self.rest.extend_from_slice(rest);
    }

    /// Writes the queued bytes in as few system calls as the kernel allows.
    pub fn flush(&mut self, poller: &Poller) -> Result<()> {
        if self.blocked {
            return Ok(());
        }
        while !self.outbox.is_empty() {
            match send(&self.fd, self.outbox.unsent(), SendFlags::NOSIGNAL) {
                Ok(written) => self.outbox.advance(written),
                Err(Errno::AGAIN) => {
                    self.blocked = true;
                    return poller.rewatch(&self.fd, self.token, true);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Fault::Io { what: "write to the server", errno }),
            }
        }
        Ok(())
    }

    /// Records readiness to write; call it before `flush`.
    pub fn unblock(&mut self, poller: &Poller, readiness: Readiness) -> Result<()> {
        if readiness.writable && self.blocked {
            self.blocked = false;
            self.flush(poller)?;
            if !self.blocked {
                poller.rewatch(&self.fd, self.token, false)?;
            }
        }
        Ok(())
    }
}
