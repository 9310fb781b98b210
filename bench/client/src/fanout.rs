//! Fan-out: connections that only receive; each broadcast carries the next number. Either the first
//! connection requests broadcasts, so that a number of them is always outstanding, or the runner
//! tells the server when to broadcast. Without broadcasts these are the idle connections of the
//! memory row.

use std::time::Duration;

use crate::channel::Incoming;
use crate::crowd::{Crowd, index};
use crate::driver::{Io, Scenario};
use crate::fault::{Fault, Result};
use crate::frame::{Opcode, masked};
use crate::poller::Readiness;
use crate::template::{Template, mismatch, stamp};

pub struct Fanout {
    crowd: Crowd,
    /// The number of broadcasts that each connection has received.
    received: Vec<u32>,
    total: u64,
    template: Template,
    /// How many broadcasts to keep outstanding: a new one is requested for each that has arrived
    /// everywhere. Zero where the server paces them.
    outstanding: u32,
    asked: u64,
    /// The prebuilt frame that requests a broadcast.
    request: Vec<u8>,
    running: bool,
}

impl Fanout {
    pub fn new(port: u16, connections: u16, size: usize, outstanding: u32) -> Result<Self> {
        Ok(Self {
            outstanding,
            asked: 0,
            request: masked(Opcode::Text, br#"42["more"]"#),
            running: false,
            crowd: Crowd::new(port, usize::from(connections)),
            received: vec![0; usize::from(connections)],
            total: 0,
            template: Template::event("news", size)?,
        })
    }

    /// Requests a broadcast over the first connection.
    fn ask(&mut self, io: &Io, broadcasts: u64) -> Result<()> {
        let socket = &mut self.crowd.links[0].channel.socket;
        self.asked += broadcasts;
        for _ in 0..broadcasts {
            socket.outbox.push(&self.request);
        }
        socket.flush(&io.poller)
    }
}

impl Scenario for Fanout {
    fn open(&mut self, io: &mut Io) -> Result<()> {
        self.crowd.open_more(io)
    }

    fn is_connected(&self) -> bool {
        self.crowd.is_complete()
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        self.running = self.outstanding > 0;
        self.ask(io, self.outstanding.into())
    }

    fn ready(&mut self, io: &mut Io, token: u64, readiness: Readiness) -> Result<()> {
        let at = index(token);
        let Self { crowd, received, total, template, .. } = self;
        let complete = *total / received.len() as u64;
        let received = &mut received[at];
        crowd.ready(io, at, readiness, |_, incoming| {
            let Incoming::Text(packet) = incoming else {
                return Err(Fault::peer("a binary broadcast"));
            };
            let expected = stamp(0, *received);
            if !template.matches(packet, expected) {
                return Err(mismatch("a broadcast", at, expected, packet));
            }
            *received += 1;
            *total += 1;
            Ok(())
        })?;
        let completed = self.total / self.received.len() as u64 - complete;
        if self.running && completed > 0 { self.ask(io, completed) } else { Ok(()) }
    }

    /// Sending to a process that sleeps in epoll includes the cost of waking it. Real receivers are
    /// on other machines, and deliveries come in thousands: without this pause the row would
    /// measure how this client wakes up.
    fn nap(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }

    fn stop(&mut self) {
        self.running = false;
    }

    /// Whether every requested broadcast has arrived. When the server paces them, a connection that
    /// has received fewer than another is still waiting.
    fn is_drained(&self) -> bool {
        if self.outstanding > 0 {
            return self.total == self.asked * self.received.len() as u64;
        }
        let first = self.received.first().copied().unwrap_or(0);
        self.received.iter().all(|received| *received == first)
    }

    fn count(&self) -> u64 {
        self.total
    }

    fn progress(&self) -> String {
        format!(
            "{}; {} deliveries, between {} and {} each",
            self.crowd.progress(),
            self.total,
            self.received.iter().min().unwrap_or(&0),
            self.received.iter().max().unwrap_or(&0)
        )
    }
}
