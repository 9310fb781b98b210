//! Connections that begin with long-polling and upgrade as engine.io-client does: the WebSocket
//! opens at once and sends `2probe`; after `3probe` no new poll starts, and `5` follows only when
//! the parked poll (and a POST under way) has been answered. Then come DISCONNECT and the close.
//! Used for the connect storm and for the time from probe to upgrade.

use std::time::Instant;

use crate::channel::{Channel, Incoming};
use crate::crowd::index;
use crate::driver::{Io, Scenario};
use crate::engine_io::{check_ok, is_connected, packets, session_id};
use crate::fault::{Fault, Result, excerpt};
use crate::frame::{self, Opcode};
use crate::http::{Exchange, engine_path, get, post_head, upgrade};
use crate::link::{CLOSE, DISCONNECT};
use crate::poller::Readiness;

const PROBE: [u8; 12] = frame::short(Opcode::Text, *b"2probe");
const UPGRADE: [u8; 7] = frame::short(Opcode::Text, *b"5");
const CONNECT: &[u8] = b"40";

/// A browser also uses three connections here: the parked poll, the POST and the WebSocket.
const POLL: usize = 0;
const POST: usize = 1;
const SOCKET: usize = 2;
const ROLES: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Probe {
    Unsent,
    Sent(Instant),
    /// `3probe` has come; only the parked poll remains.
    Answered(Instant),
    Upgraded,
}

/// One connection on its way through the upgrade.
struct Attempt {
    /// The connection's number in the run, which selects the source address.
    number: usize,
    poll: Exchange,
    post: Option<Exchange>,
    channel: Option<Channel>,
    /// The polling request, once there is a session.
    poll_request: String,
    channel_request: String,
    joined: bool,
    probe: Probe,
    /// The server has answered the close frame.
    closed: bool,
}

pub struct Upgrade {
    slots: Vec<Option<Attempt>>,
    port: u16,
    handshake: String,
    /// Open the WebSocket only after CONNECT is done and a poll is parked: then only the server's
    /// noop answers that poll, and the time is the server's own.
    settled: bool,
    running: bool,
    opened: usize,
    completed: u64,
    samples: Vec<u32>,
}

impl Upgrade {
    pub fn new(port: u16, in_flight: usize, settled: bool) -> Self {
        Self {
            slots: (0..in_flight).map(|_| None).collect(),
            port,
            handshake: get(&engine_path("polling", None), port),
            settled,
            running: false,
            opened: 0,
            completed: 0,
            samples: Vec::with_capacity(1 << 16),
        }
    }

    fn open_in(&mut self, io: &Io, slot: usize) -> Result<()> {
        self.opened += 1;
        let number = self.opened;
        let mut poll = Exchange::open(io, token(slot, POLL), self.port, number)?;
        poll.send(io, &[self.handshake.as_bytes()])?;
        self.slots[slot] = Some(Attempt {
            number,
            poll,
            post: None,
            channel: None,
            poll_request: String::new(),
            channel_request: String::new(),
            joined: false,
            probe: Probe::Unsent,
            closed: false,
        });
        Ok(())
    }
}

impl Scenario for Upgrade {
    fn open(&mut self, _io: &mut Io) -> Result<()> {
        Ok(())
    }

    fn is_connected(&self) -> bool {
        true
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        self.running = true;
        (0..self.slots.len()).try_for_each(|slot| self.open_in(io, slot))
    }

    fn ready(&mut self, io: &mut Io, token: u64, readiness: Readiness) -> Result<()> {
        let (slot, role) = (index(token) / ROLES, index(token) % ROLES);
        let Some(attempt) = &mut self.slots[slot] else { return Ok(()) };
        let ended = match role {
            POLL => attempt.poll_ready(io, readiness, slot, self.port, self.settled)?,
            POST => attempt.post_ready(io, readiness)?,
            _ => attempt.channel_ready(io, readiness)?,
        };
        attempt.finish(io, &mut self.samples)?;
        if ended {
            self.slots[slot] = None;
            self.completed += 1;
            if self.running {
                self.open_in(io, slot)?;
            }
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.running = false;
    }

    fn is_drained(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    fn count(&self) -> u64 {
        self.completed
    }

    fn progress(&self) -> String {
        format!("{} connections opened, {} completed", self.opened, self.completed)
    }

    fn samples(&mut self) -> Option<&mut Vec<u32>> {
        Some(&mut self.samples)
    }
}

impl Attempt {
    fn poll_ready(
        &mut self,
        io: &mut Io,
        readiness: Readiness,
        slot: usize,
        port: u16,
        settled: bool,
    ) -> Result<bool> {
        let Some(body) = self.poll.ready(&io.poller, &mut io.scratch, readiness)? else {
            return Ok(false);
        };
        if self.poll_request.is_empty() {
            let sid = session_id(body)?;
            let path = engine_path("polling", Some(&sid));
            self.poll_request = get(&path, port);
            self.channel_request = upgrade(&engine_path("websocket", Some(&sid)), port);
            let post = Exchange::open(io, token(slot, POST), port, self.number)?;
            self.post
                .insert(post)
                .send(io, &[post_head(&path, port, CONNECT.len()).as_bytes(), CONNECT])?;
        } else {
            for packet in packets(body) {
                match packet {
                    b"6" => {}
                    packet if is_connected(packet) && !self.joined => self.joined = true,
                    packet => return Err(unexpected("poll", packet)),
                }
            }
        }
        if !matches!(self.probe, Probe::Answered(_) | Probe::Upgraded) {
            self.poll.send(io, &[self.poll_request.as_bytes()])?;
        }
        if self.channel.is_none() && (self.joined || !settled) {
            let request = self.channel_request.as_bytes();
            let channel = Channel::open(io, token(slot, SOCKET), port, self.number, request)?;
            self.channel = Some(channel);
        }
        Ok(false)
    }

    fn post_ready(&mut self, io: &mut Io, readiness: Readiness) -> Result<bool> {
        if let Some(post) = &mut self.post
            && let Some(body) = post.ready(&io.poller, &mut io.scratch, readiness)?
        {
            check_ok(body)?;
        }
        Ok(false)
    }

    /// True once the server has closed the connection after the close handshake.
    fn channel_ready(&mut self, io: &mut Io, readiness: Readiness) -> Result<bool> {
        let Some(channel) = &mut self.channel else { return Ok(false) };
        let Self { probe, joined, closed, .. } = self;
        let ended = channel.ready(io, readiness, |outbox, incoming| {
            match (*probe, incoming) {
                (Probe::Unsent, Incoming::Open) => {
                    outbox.push(&PROBE);
                    *probe = Probe::Sent(Instant::now());
                }
                (Probe::Sent(at), Incoming::Text(b"3probe")) => *probe = Probe::Answered(at),
                (Probe::Upgraded, Incoming::Text(packet)) if is_connected(packet) && !*joined => {
                    *joined = true;
                    outbox.push(&DISCONNECT);
                    outbox.push(&CLOSE);
                }
                (Probe::Upgraded, Incoming::Close) if *joined => *closed = true,
                (_, Incoming::Text(packet)) => return Err(unexpected("WebSocket", packet)),
                (_, Incoming::Open | Incoming::Close | Incoming::Part { .. }) => {
                    return Err(Fault::peer("an open, close or binary frame at the wrong time"));
                }
            }
            Ok(())
        })?;
        if ended && !*closed {
            return Err(Fault::peer("connection closed by the server"));
        }
        Ok(ended)
    }

    /// Sends `5` as soon as nothing is under way on polling any more.
    fn finish(&mut self, io: &Io, samples: &mut Vec<u32>) -> Result<()> {
        let Probe::Answered(since) = self.probe else { return Ok(()) };
        let posting = self.post.as_ref().is_some_and(Exchange::is_busy);
        let Some(channel) = self.channel.as_mut().filter(|_| !posting && !self.poll.is_busy())
        else {
            return Ok(());
        };
        self.probe = Probe::Upgraded;
        samples.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
        channel.socket.outbox.push(&UPGRADE);
        if self.joined {
            channel.socket.outbox.push(&DISCONNECT);
            channel.socket.outbox.push(&CLOSE);
        }
        channel.socket.flush(&io.poller)
    }
}

fn token(slot: usize, role: usize) -> u64 {
    (slot * ROLES + role) as u64
}

fn unexpected(where_from: &str, packet: &[u8]) -> Fault {
    Fault::peer(format!("unexpected packet by {where_from}: {}", excerpt(packet)))
}
