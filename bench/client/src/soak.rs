//! Soak: many connections echo at a steady pace, and some are replaced all the time, many of them
//! without a close frame.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::channel::Incoming;
use crate::crowd::index;
use crate::driver::{Io, Scenario};
use crate::fault::{Fault, Result};
use crate::http::{engine_path, upgrade};
use crate::link::{Change, Link};
use crate::poller::Readiness;
use crate::template::{Template, mismatch, stamp};

/// How many connections may be opening at once, so that the accept queue never overflows.
const IN_FLIGHT: usize = 64;

/// When a message is still missing after this many later ones of its connection, it is lost or the
/// server cannot keep the pace.
const FAR_BEHIND: usize = 60;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Joined,
    /// Replaced as soon as no message is outstanding: those under way must arrive.
    Retiring,
    Leaving,
}

/// A sequence of connections. Their messages are numbered throughout, so that an echo of an earlier
/// connection is noticed.
struct Seat {
    link: Link,
    stage: Stage,
    received: u32,
    /// The send times of the outstanding messages.
    outstanding: VecDeque<Instant>,
}

pub struct Soak {
    seats: Vec<Seat>,
    target: usize,
    port: u16,
    request: Vec<u8>,
    template: Template,
    interval: Duration,
    /// How many messages are sent between two replacements.
    spacing: u32,
    since_replaced: u32,
    /// The seat that sends next, and the seat that is replaced next.
    turn: usize,
    retire: usize,
    opened: usize,
    joined: usize,
    received: u64,
    latencies: Vec<u32>,
}

impl Soak {
    pub fn new(port: u16, connections: u16, size: usize, rate: u32, replaced: u32) -> Result<Self> {
        if rate == 0 || replaced == 0 || connections == 0 {
            return Err(Fault::Usage("connections, rate and replaced are 1 or more".to_owned()));
        }
        Ok(Self {
            seats: Vec::with_capacity(connections.into()),
            target: connections.into(),
            port,
            request: upgrade(&engine_path("websocket", None), port).into_bytes(),
            template: Template::event("echo", size)?,
            interval: Duration::from_secs(1) / rate,
            spacing: (rate / replaced).max(1),
            since_replaced: 0,
            turn: 0,
            retire: 0,
            opened: 0,
            joined: 0,
            received: 0,
            latencies: Vec::new(),
        })
    }

    fn link(&mut self, io: &Io, at: usize) -> Result<Link> {
        self.opened += 1;
        Link::open(io, at as u64, self.port, self.opened, &self.request)
    }

    fn open_more(&mut self, io: &Io) -> Result<()> {
        while self.seats.len() < self.target && self.seats.len() < self.joined + IN_FLIGHT {
            let link = self.link(io, self.seats.len())?;
            let outstanding = VecDeque::new();
            self.seats.push(Seat { link, stage: Stage::Opening, received: 0, outstanding });
        }
        Ok(())
    }

    fn reopen(&mut self, io: &Io, at: usize) -> Result<()> {
        let link = self.link(io, at)?;
        let seat = &mut self.seats[at];
        (seat.link, seat.stage) = (link, Stage::Opening);
        Ok(())
    }

    /// The next usable seat, starting at `from`.
    fn joined_from(&self, from: usize) -> Option<usize> {
        let count = self.seats.len();
        (from..from + count).map(|at| at % count).find(|&at| self.seats[at].stage == Stage::Joined)
    }

    fn send(&mut self, io: &Io) -> Result<()> {
        let Some(at) = self.joined_from(self.turn) else { return Ok(()) };
        self.turn = at + 1;
        let seat = &mut self.seats[at];
        let ahead = u32::try_from(seat.outstanding.len()).unwrap_or(u32::MAX);
        let outbox = &mut seat.link.channel.socket.outbox;
        self.template.push(outbox, stamp(number(at), seat.received.wrapping_add(ahead)));
        seat.outstanding.push_back(Instant::now());
        if seat.outstanding.len() > FAR_BEHIND {
            let text = format!("{FAR_BEHIND} echoes are missing at connection {at}");
            return Err(Fault::Verify(text));
        }
        seat.link.channel.socket.flush(&io.poller)
    }

    fn retire(&mut self, io: &Io) -> Result<()> {
        let Some(at) = self.joined_from(self.retire) else { return Ok(()) };
        self.retire = at + 1;
        self.seats[at].stage = Stage::Retiring;
        self.replace(io, at)
    }

    /// Replaces a seat that is marked for it, once no message is outstanding.
    fn replace(&mut self, io: &Io, at: usize) -> Result<()> {
        let politely = self.opened.is_multiple_of(2);
        let seat = &mut self.seats[at];
        if seat.stage != Stage::Retiring || !seat.outstanding.is_empty() {
            return Ok(());
        }
        if politely {
            seat.stage = Stage::Leaving;
            seat.link.leave(io)
        } else {
            self.reopen(io, at)
        }
    }
}

impl Scenario for Soak {
    fn open(&mut self, io: &mut Io) -> Result<()> {
        self.open_more(io)
    }

    fn is_connected(&self) -> bool {
        self.joined >= self.target
    }

    fn start(&mut self, _io: &mut Io) -> Result<()> {
        Ok(())
    }

    fn ready(&mut self, io: &mut Io, token: u64, readiness: Readiness) -> Result<()> {
        let at = index(token);
        let Self { seats, template, received, latencies, .. } = self;
        let Seat { link, stage, received: next, outstanding } = &mut seats[at];
        let change = link.ready(io, readiness, |_, incoming| {
            let Incoming::Text(packet) = incoming else {
                return Err(Fault::peer("a binary echo of a text"));
            };
            let expected = stamp(number(at), *next);
            let sent = outstanding.pop_front().filter(|_| template.matches(packet, expected));
            let sent = sent.ok_or_else(|| mismatch("an echo", at, expected, packet))?;
            *next = next.wrapping_add(1);
            *received += 1;
            latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
            Ok(())
        })?;
        match change {
            Change::Nothing => self.replace(io, at),
            Change::Joined => {
                *stage = Stage::Joined;
                self.joined += 1;
                self.open_more(io)
            }
            Change::Closed => self.reopen(io, at),
        }
    }

    fn interval(&self) -> Option<Duration> {
        Some(self.interval)
    }

    fn tick(&mut self, io: &mut Io, due: u64) -> Result<()> {
        for _ in 0..due {
            self.send(io)?;
            self.since_replaced += 1;
            if self.since_replaced >= self.spacing {
                self.since_replaced = 0;
                self.retire(io)?;
            }
        }
        Ok(())
    }

    fn stop(&mut self) {}

    fn is_drained(&self) -> bool {
        self.seats.iter().all(|seat| seat.stage == Stage::Joined && seat.outstanding.is_empty())
    }

    fn count(&self) -> u64 {
        self.received
    }

    fn progress(&self) -> String {
        let open = self.seats.iter().filter(|seat| seat.stage == Stage::Joined).count();
        let missing: usize = self.seats.iter().map(|seat| seat.outstanding.len()).sum();
        format!("{open} of {} connections, {missing} echoes outstanding", self.target)
    }

    fn samples(&mut self) -> Option<&mut Vec<u32>> {
        Some(&mut self.latencies)
    }
}

/// A connection's number in a stamp; there are at most 65,536.
fn number(index: usize) -> u16 {
    u16::try_from(index).expect("connections are counted in u16")
}
