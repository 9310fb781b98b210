//! A Socket.IO client on WebSocket alone: open packet, CONNECT to the main namespace, heartbeat.

use crate::channel::{Channel, Incoming};
use crate::driver::Io;
use crate::fault::{Fault, Result, excerpt};
use crate::frame::{self, Opcode};
use crate::poller::Readiness;
use crate::socket::Outbox;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the 101 and the open packet.
    Opening,
    /// CONNECT has been sent.
    Joining,
    Joined,
    /// DISCONNECT and a close frame have been sent.
    Leaving,
    /// The server has answered the close frame.
    Left,
}

/// What a call to `ready` has changed for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Nothing,
    Joined,
    Closed,
}

const CONNECT: [u8; 8] = frame::short(Opcode::Text, *b"40");
const PONG: [u8; 7] = frame::short(Opcode::Text, *b"3");
pub const DISCONNECT: [u8; 8] = frame::short(Opcode::Text, *b"41");
pub const CLOSE: [u8; 8] = frame::short(Opcode::Close, 1000_u16.to_be_bytes());

pub struct Link {
    pub channel: Channel,
    phase: Phase,
}

impl Link {
    pub fn open(io: &Io, token: u64, port: u16, index: usize, request: &[u8]) -> Result<Self> {
        let channel = Channel::open(io, token, port, index, request)?;
        Ok(Self { channel, phase: Phase::Opening })
    }

    /// Leaves as socket.io-client does: DISCONNECT, then the close handshake.
    pub fn leave(&mut self, io: &Io) -> Result<()> {
        self.phase = Phase::Leaving;
        self.channel.socket.outbox.push(&DISCONNECT);
        self.channel.socket.outbox.push(&CLOSE);
        self.channel.socket.flush(&io.poller)
    }

    /// Passes events (and binary stretches) to `on` while joined.
    pub fn ready(
        &mut self,
        io: &mut Io,
        readiness: Readiness,
        mut on: impl FnMut(&mut Outbox, Incoming) -> Result<()>,
    ) -> Result<Change> {
        let before = self.phase;
        let phase = &mut self.phase;
        let ended = self.channel.ready(io, readiness, |outbox, incoming| {
            match (*phase, incoming) {
                (_, Incoming::Text(b"2")) => outbox.push(&PONG),
                (Phase::Joined, incoming @ (Incoming::Text(_) | Incoming::Part { .. })) => {
                    return on(outbox, incoming);
                }
                (Phase::Opening, Incoming::Open) => {}
                (Phase::Opening, Incoming::Text(text)) if text.starts_with(b"0{") => {
                    outbox.push(&CONNECT);
                    *phase = Phase::Joining;
                }
                (Phase::Joining, Incoming::Text(text)) if text.starts_with(b"40{\"sid\":") => {
                    *phase = Phase::Joined;
                }
                (Phase::Leaving, Incoming::Close) => *phase = Phase::Left,
                (phase, incoming) => return Err(unexpected(phase, &incoming)),
            }
            Ok(())
        })?;
        if ended {
            return match self.phase {
                Phase::Left => Ok(Change::Closed),
                phase => Err(Fault::peer(format!("connection closed by the server ({phase:?})"))),
            };
        }
        let joined = before != Phase::Joined && self.phase == Phase::Joined;
        Ok(if joined { Change::Joined } else { Change::Nothing })
    }
}

fn unexpected(phase: Phase, incoming: &Incoming) -> Fault {
    let what = match incoming {
        Incoming::Open => "a second upgrade answer".to_owned(),
        Incoming::Text(text) => excerpt(text),
        Incoming::Part { total, .. } => format!("a binary message of {total} bytes"),
        Incoming::Close => "a close frame".to_owned(),
    };
    Fault::peer(format!("unexpected {what} while {phase:?}"))
}
