//! Fetches a page at a fixed interval over keep-alive connections and records how long each fetch
//! took from the moment it was due: when the server is slower than the interval, requests queue
//! here and their waiting counts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::crowd::index;
use crate::driver::{Io, Scenario};
use crate::fault::{Fault, Result};
use crate::http::{Exchange, get};
use crate::poller::Readiness;

pub struct Probe {
    connections: Vec<(Exchange, Instant)>,
    target: u16,
    /// The connections without a request. The one idle longest is used first, so that none reaches
    /// a timeout.
    free: VecDeque<usize>,
    /// When the requests that wait for a connection were due.
    waiting: VecDeque<Instant>,
    port: u16,
    request: String,
    interval: Duration,
    page_length: Option<usize>,
    samples: Vec<u32>,
    answered: u64,
}

impl Probe {
    pub fn new(port: u16, connections: u16, interval: Duration) -> Self {
        Self {
            connections: Vec::new(),
            target: connections,
            free: VecDeque::new(),
            waiting: VecDeque::new(),
            port,
            request: get("/page", port),
            interval,
            page_length: None,
            samples: Vec::with_capacity(1 << 14),
            answered: 0,
        }
    }

    fn send_waiting(&mut self, io: &Io) -> Result<()> {
        while let (Some(&at), Some(&due)) = (self.free.front(), self.waiting.front()) {
            self.free.pop_front();
            self.waiting.pop_front();
            let (exchange, since) = &mut self.connections[at];
            *since = due;
            exchange.send(io, &[self.request.as_bytes()])?;
        }
        Ok(())
    }
}

impl Scenario for Probe {
    fn open(&mut self, io: &mut Io) -> Result<()> {
        for at in 0..usize::from(self.target) {
            let exchange = Exchange::open(io, at as u64, self.port, at)?;
            self.connections.push((exchange, Instant::now()));
            self.free.push_back(at);
        }
        Ok(())
    }

    fn is_connected(&self) -> bool {
        true
    }

    fn start(&mut self, _io: &mut Io) -> Result<()> {
        Ok(())
    }

    fn interval(&self) -> Option<Duration> {
        Some(self.interval)
    }

    /// The due time is when this process got to it: the server is not to blame for this process
    /// waking up late.
    fn tick(&mut self, io: &mut Io, due: u64) -> Result<()> {
        let now = Instant::now();
        self.waiting.extend((0..due).map(|_| now));
        self.send_waiting(io)
    }

    fn ready(&mut self, io: &mut Io, token: u64, readiness: Readiness) -> Result<()> {
        let at = index(token);
        let (exchange, since) = &mut self.connections[at];
        let Some(page) = exchange.ready(&io.poller, &mut io.scratch, readiness)? else {
            return Ok(());
        };
        if *self.page_length.get_or_insert(page.len()) != page.len() {
            return Err(Fault::Verify("the page changed its length".to_owned()));
        }
        self.samples.push(u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX));
        self.answered += 1;
        self.free.push_back(at);
        self.send_waiting(io)
    }

    fn stop(&mut self) {}

    fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.free.len() == self.connections.len()
    }

    fn count(&self) -> u64 {
        self.answered
    }

    fn progress(&self) -> String {
        let busy = self.connections.len() - self.free.len();
        format!(
            "{} pages, {busy} requests unanswered, {} unsent",
            self.answered,
            self.waiting.len()
        )
    }

    fn samples(&mut self) -> Option<&mut Vec<u32>> {
        Some(&mut self.samples)
    }
}
