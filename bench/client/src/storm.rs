//! Connect storm on WebSocket alone: connect, CONNECT, DISCONNECT, close, again and again.

use crate::crowd::index;
use crate::driver::{Io, Scenario};
use crate::fault::{Fault, Result};
use crate::http::{engine_path, upgrade};
use crate::link::{Change, Link};
use crate::poller::Readiness;

pub struct Storm {
    slots: Vec<Option<Link>>,
    port: u16,
    request: Vec<u8>,
    running: bool,
    opened: usize,
    completed: u64,
}

impl Storm {
    pub fn new(port: u16, in_flight: usize) -> Self {
        Self {
            slots: (0..in_flight).map(|_| None).collect(),
            port,
            request: upgrade(&engine_path("websocket", None), port).into_bytes(),
            running: false,
            opened: 0,
            completed: 0,
        }
    }

    fn open_in(&mut self, io: &Io, at: usize) -> Result<()> {
        self.opened += 1;
        let link = Link::open(io, at as u64, self.port, self.opened, &self.request)?;
        self.slots[at] = Some(link);
        Ok(())
    }
}

impl Scenario for Storm {
    fn open(&mut self, _io: &mut Io) -> Result<()> {
        Ok(())
    }

    fn is_connected(&self) -> bool {
        true
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        self.running = true;
        (0..self.slots.len()).try_for_each(|at| self.open_in(io, at))
    }

    fn ready(&mut self, io: &mut Io, token: u64, readiness: Readiness) -> Result<()> {
        let at = index(token);
        let Some(link) = &mut self.slots[at] else { return Ok(()) };
        match link.ready(io, readiness, |_, _| Err(Fault::peer("a message nobody sent")))? {
            Change::Nothing => Ok(()),
            Change::Joined => link.leave(io),
            Change::Closed => {
                self.slots[at] = None;
                self.completed += 1;
                if self.running { self.open_in(io, at) } else { Ok(()) }
            }
        }
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
}
