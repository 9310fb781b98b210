//! Echo: every connection keeps a number of messages outstanding, or all together send at a steady
//! pace.

use std::time::Duration;

use crate::channel::Incoming;
use crate::crowd::{Crowd, index};
use crate::driver::{Io, Scenario};
use crate::fault::{Fault, Result};
use crate::poller::Readiness;
use crate::template::{Template, mismatch, stamp};

/// When a paced connection is this far behind, the server cannot keep the pace, and the figure
/// would measure something else.
const FAR_BEHIND: u32 = 2000;

/// The counters of one connection.
#[derive(Clone, Copy, Default)]
struct Lane {
    sent: u32,
    received: u32,
}

#[derive(Clone, Copy)]
pub enum Load {
    Outstanding(u32),
    PerSecond(u32),
}

pub struct Echo {
    crowd: Crowd,
    lanes: Vec<Lane>,
    template: Template,
    load: Load,
    running: bool,
    /// The connection that sends next, when paced.
    turn: usize,
    received: u64,
    sent: u64,
}

impl Echo {
    pub fn new(port: u16, connections: u16, size: usize, load: Load) -> Result<Self> {
        Ok(Self {
            crowd: Crowd::new(port, usize::from(connections)),
            lanes: vec![Lane::default(); usize::from(connections)],
            template: Template::event("echo", size)?,
            load,
            running: false,
            turn: 0,
            received: 0,
            sent: 0,
        })
    }

    fn send(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        let outbox = &mut self.crowd.links[at].channel.socket.outbox;
        self.template.push(outbox, stamp(number(at), lane.sent));
        lane.sent += 1;
        self.sent += 1;
    }
}

impl Scenario for Echo {
    fn open(&mut self, io: &mut Io) -> Result<()> {
        self.crowd.open_more(io)
    }

    fn is_connected(&self) -> bool {
        self.crowd.is_complete()
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        self.running = true;
        let Load::Outstanding(count) = self.load else { return Ok(()) };
        for at in 0..self.lanes.len() {
            for _ in 0..count {
                self.send(at);
            }
            self.crowd.links[at].channel.socket.flush(&io.poller)?;
        }
        Ok(())
    }

    fn ready(&mut self, io: &mut Io, token: u64, readiness: Readiness) -> Result<()> {
        let at = index(token);
        let Self { crowd, lanes, template, .. } = self;
        let lane = &mut lanes[at];
        let before = *lane;
        let replying = self.running && matches!(self.load, Load::Outstanding(_));
        crowd.ready(io, at, readiness, |outbox, incoming| {
            let Incoming::Text(packet) = incoming else {
                return Err(Fault::peer("a binary echo of a text"));
            };
            let expected = stamp(number(at), lane.received);
            if lane.received == lane.sent || !template.matches(packet, expected) {
                return Err(mismatch("an echo", at, expected, packet));
            }
            lane.received += 1;
            if replying {
                template.push(outbox, stamp(number(at), lane.sent));
                lane.sent += 1;
            }
            Ok(())
        })?;
        self.received += u64::from(lane.received - before.received);
        self.sent += u64::from(lane.sent - before.sent);
        Ok(())
    }

    fn interval(&self) -> Option<Duration> {
        match self.load {
            Load::Outstanding(_) => None,
            Load::PerSecond(rate) => Some(Duration::from_secs(1) / rate),
        }
    }

    fn tick(&mut self, io: &mut Io, due: u64) -> Result<()> {
        for _ in 0..due {
            let at = self.turn;
            self.turn = (at + 1) % self.lanes.len();
            self.send(at);
            self.crowd.links[at].channel.socket.flush(&io.poller)?;
            let Lane { sent, received } = self.lanes[at];
            if sent - received > FAR_BEHIND {
                return Err(Fault::peer(format!(
                    "the server cannot keep the pace: {FAR_BEHIND} echoes missing at connection {at}"
                )));
            }
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.running = false;
    }

    fn is_drained(&self) -> bool {
        self.received == self.sent
    }

    fn count(&self) -> u64 {
        self.received
    }

    fn progress(&self) -> String {
        format!("{}; {} of {} echoes", self.crowd.progress(), self.received, self.sent)
    }
}

/// A connection's number in a stamp; there are at most 65,536.
fn number(index: usize) -> u16 {
    u16::try_from(index).expect("connections are counted in u16")
}
