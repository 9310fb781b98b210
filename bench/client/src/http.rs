//! Just enough HTTP/1.1: the requests of this client, and answers with a Content-Length.

use std::fmt::Write as _;

use crate::driver::Io;
use crate::fault::{Fault, Result, excerpt};
use crate::loopback;
use crate::poller::{Poller, Readiness};
use crate::socket::{Inflow, Outbox, Scratch, Socket};

/// Key and accept value are the example in RFC 6455, section 1.3: one key for all, so that the
/// answer is known.
const WEBSOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const WEBSOCKET_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The headers that a browser adds; their length matters more than their content, since the server
/// must parse them.
const BROWSER: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\n";

pub fn get(path: &str, port: u16) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{BROWSER}\r\n")
}

/// All of a POST except its body.
pub fn post_head(path: &str, port: u16, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{BROWSER}\
         Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// The request for a WebSocket; browsers always offer permessage-deflate.
pub fn upgrade(path: &str, port: u16) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{BROWSER}Origin: http://127.0.0.1:{port}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {WEBSOCKET_KEY}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    )
}

/// The path of the Engine.IO endpoint, with the session's id if there is one.
pub fn engine_path(transport: &str, sid: Option<&str>) -> String {
    let mut path = format!("/socket.io/?EIO=4&transport={transport}");
    if let Some(sid) = sid {
        let _ = write!(path, "&sid={sid}");
    }
    path
}

/// The length of a message head with its empty line, once it is complete.
pub fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

struct Head {
    status: u16,
    body: usize,
}

fn parse_head(head: &[u8]) -> Result<Head> {
    let malformed = || Fault::peer(format!("unexpected HTTP answer {}", excerpt(head)));
    let text = std::str::from_utf8(head).map_err(|_| malformed())?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|line| line.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(malformed)?;
    let body = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(malformed)?;
    Ok(Head { status, body })
}

/// A keep-alive connection with at most one request in flight.
pub struct Exchange {
    socket: Socket,
    busy: bool,
}

impl Exchange {
    pub fn open(io: &Io, token: u64, port: u16, index: usize) -> Result<Self> {
        let from = loopback::source(index);
        let socket = Socket::open(&io.poller, token, port, from, Outbox::default())?;
        Ok(Self { socket, busy: false })
    }

    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Sends a request in pieces, so that a prepared head and body need no joining.
    pub fn send(&mut self, io: &Io, pieces: &[&[u8]]) -> Result<()> {
        debug_assert!(!self.busy, "one request at a time");
        self.busy = true;
        for piece in pieces {
            self.socket.outbox.push(piece);
        }
        self.socket.flush(&io.poller)
    }

    /// The body of the answer once it is complete. Any status but 200 is a fault.
    pub fn ready<'s>(
        &mut self,
        poller: &Poller,
        scratch: &'s mut Scratch,
        readiness: Readiness,
    ) -> Result<Option<&'s [u8]>> {
        self.socket.unblock(poller, readiness)?;
        if !readiness.readable {
            return Ok(None);
        }
        let bytes = match self.socket.fill(scratch)? {
            Inflow::Nothing => return Ok(None),
            Inflow::End => return Err(Fault::peer("an HTTP connection was closed")),
            Inflow::Bytes(bytes) => bytes,
        };
        if !self.busy {
            return Err(Fault::peer(format!("an answer nobody asked for: {}", excerpt(bytes))));
        }
        let Some(start) = head_length(bytes) else {
            self.socket.keep(bytes);
            return Ok(None);
        };
        let head = parse_head(&bytes[..start])?;
        if bytes.len() < start + head.body {
            self.socket.keep(bytes);
            return Ok(None);
        }
        if head.status != 200 || bytes.len() > start + head.body {
            return Err(Fault::peer(format!("unexpected HTTP answer {}", excerpt(bytes))));
        }
        self.busy = false;
        Ok(Some(&bytes[start..]))
    }
}
