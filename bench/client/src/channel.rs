//! A WebSocket: the upgrade, then frames. It knows nothing of Engine.IO.

use crate::driver::Io;
use crate::fault::{Fault, Result, excerpt};
use crate::frame::{Header, Opcode, masked};
use crate::http::{WEBSOCKET_ACCEPT, head_length};
use crate::loopback;
use crate::poller::Readiness;
use crate::socket::{Inflow, Outbox, Socket};

/// The events of a channel, in order.
pub enum Incoming<'a> {
    /// The server accepted the upgrade.
    Open,
    Text(&'a [u8]),
    /// A stretch of a binary message. Binary messages are never gathered, since one is 1 MB.
    Part {
        offset: usize,
        total: usize,
        bytes: &'a [u8],
    },
    Close,
}

/// A binary message that is still arriving.
#[derive(Default)]
struct Body {
    total: usize,
    left: usize,
}

pub struct Channel {
    pub socket: Socket,
    open: bool,
    body: Body,
}

impl Channel {
    /// Starts to connect, with the upgrade request queued first.
    pub fn open(io: &Io, token: u64, port: u16, index: usize, request: &[u8]) -> Result<Self> {
        let mut outbox = Outbox::default();
        outbox.push(request);
        let socket = Socket::open(&io.poller, token, port, loopback::source(index), outbox)?;
        Ok(Self { socket, open: false, body: Body::default() })
    }

    /// Passes all received data to `on`, then writes what `on` pushed. Returns true once the server
    /// has closed the connection.
    pub fn ready(
        &mut self,
        io: &mut Io,
        readiness: Readiness,
        mut on: impl FnMut(&mut Outbox, Incoming) -> Result<()>,
    ) -> Result<bool> {
        self.socket.unblock(&io.poller, readiness)?;
        if !readiness.readable {
            return Ok(false);
        }
        let bytes = match self.socket.fill(&mut io.scratch)? {
            Inflow::Nothing => return Ok(false),
            Inflow::End => return Ok(true),
            Inflow::Bytes(bytes) => bytes,
        };
        let mut at = 0;
        if !self.open {
            let Some(length) = head_length(bytes) else {
                self.socket.keep(bytes);
                return Ok(false);
            };
            check_switch(&bytes[..length])?;
            self.open = true;
            at = length;
            on(&mut self.socket.outbox, Incoming::Open)?;
        }
        let used = self.frames(&bytes[at..], &mut on)?;
        self.socket.keep(&bytes[at + used..]);
        self.socket.flush(&io.poller)?;
        Ok(false)
    }

    /// Takes whole frames and stretches of binary ones; returns how many bytes those were.
    fn frames(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(&mut Outbox, Incoming) -> Result<()>,
    ) -> Result<usize> {
        let mut at = 0;
        while at < bytes.len() {
            let outbox = &mut self.socket.outbox;
            if self.body.left > 0 {
                let take = self.body.left.min(bytes.len() - at);
                let offset = self.body.total - self.body.left;
                self.body.left -= take;
                let part = &bytes[at..at + take];
                on(outbox, Incoming::Part { offset, total: self.body.total, bytes: part })?;
                at += take;
                continue;
            }
            let Some(header) = Header::parse(&bytes[at..])? else { break };
            let start = at + header.size;
            if header.opcode == Opcode::Binary {
                self.body = Body { total: header.length, left: header.length };
                at = start;
                continue;
            }
            let Some(payload) = bytes.get(start..start + header.length) else { break };
            at = start + header.length;
            match header.opcode {
                Opcode::Text => on(outbox, Incoming::Text(payload))?,
                Opcode::Close => on(outbox, Incoming::Close)?,
                Opcode::Ping => outbox.push(&masked(Opcode::Pong, payload)),
                Opcode::Pong | Opcode::Binary => {}
            }
        }
        Ok(at)
    }
}

fn check_switch(head: &[u8]) -> Result<()> {
    let accepted = std::str::from_utf8(head)
        .is_ok_and(|head| head.starts_with("HTTP/1.1 101 ") && head.contains(WEBSOCKET_ACCEPT));
    if accepted {
        Ok(())
    } else {
        Err(Fault::peer(format!("upgrade not accepted: {}", excerpt(head))))
    }
}
