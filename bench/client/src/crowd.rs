//! Many long-lived links, opened with a bounded number in flight so that the accept queue never
//! overflows.

use crate::channel::Incoming;
use crate::driver::Io;
use crate::fault::{Fault, Result};
use crate::http::{engine_path, upgrade};
use crate::link::{Change, Link};
use crate::poller::Readiness;
use crate::socket::Outbox;

const IN_FLIGHT: usize = 64;

pub struct Crowd {
    pub links: Vec<Link>,
    target: usize,
    joined: usize,
    port: u16,
    request: Vec<u8>,
}

impl Crowd {
    pub fn new(port: u16, target: usize) -> Self {
        let request = upgrade(&engine_path("websocket", None), port).into_bytes();
        Self { links: Vec::with_capacity(target), target, joined: 0, port, request }
    }

    pub fn is_complete(&self) -> bool {
        self.joined == self.target
    }

    pub fn progress(&self) -> String {
        format!("{} of {} connections joined", self.joined, self.target)
    }

    pub fn open_more(&mut self, io: &Io) -> Result<()> {
        while self.links.len() < self.target && self.links.len() < self.joined + IN_FLIGHT {
            let index = self.links.len();
            self.links.push(Link::open(io, index as u64, self.port, index, &self.request)?);
        }
        Ok(())
    }

    /// Passes readiness to link number `token`, and its events to `on`.
    pub fn ready(
        &mut self,
        io: &mut Io,
        index: usize,
        readiness: Readiness,
        on: impl FnMut(&mut Outbox, Incoming) -> Result<()>,
    ) -> Result<()> {
        match self.links[index].ready(io, readiness, on)? {
            Change::Nothing => Ok(()),
            Change::Joined => {
                self.joined += 1;
                self.open_more(io)
            }
            Change::Closed => Err(Fault::peer("a connection was closed by the server")),
        }
    }
}

/// The index that a token stands for.
pub fn index(token: u64) -> usize {
    usize::try_from(token).expect("tokens are made from usize")
}
