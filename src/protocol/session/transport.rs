//! The transport of a session: polling, a WebSocket, or none once the session is closed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::protocol::deadline::{after, earlier};
use crate::protocol::effects::{Effects, Event, Token};
use crate::protocol::outbox::{Outbox, Outgoing};
use crate::protocol::packet::PacketType;
use crate::protocol::payload::PayloadFormat;
use crate::protocol::upgrade::{NOOP_DELAY, Probe, Stage};
use crate::protocol::websocket::Connection;

/// Answers of at least this many bytes count as queued until `Input::GetSent`. Node passes smaller
/// ones to the kernel at once.
pub const REPORTED_FROM: usize = 64 * 1024;

/// How packets travel at the moment.
#[derive(Debug)]
pub(super) enum Transport {
    /// GETs fetch packets, POSTs bring them.
    Polling(Polling),
    /// Each packet is a WebSocket message.
    WebSocket(WebSocket),
    /// The session is closed. A WebSocket that arrives now is released with this patience.
    Closed { patience: Duration },
}

/// The polling transport.
#[derive(Debug, Default)]
pub(super) struct Polling {
    pub poll: Poll,
    /// Packets that wait for a GET.
    pub outbox: Outbox,
    /// Bytes of answers that were passed to Node and have not been reported as sent.
    pub in_flight: usize,
    /// The upgrade that is under way.
    pub probe: Option<Box<Probe>>,
}

/// The GET of a polling session.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Poll {
    /// There is no GET; packets wait in the outbox.
    #[default]
    Absent,
    /// A GET waits for packets, so the outbox is empty.
    Parked { token: Token, since: Instant },
    /// The session was closed while there was no GET. The next ones fetch the outbox and then the
    /// close packet; at `until` the session closes without them.
    Closing { until: Instant, cause: CloseCause },
}

/// The cause of an orderly close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseCause {
    /// The app closed the session.
    App,
    /// The engine is drained.
    Drain,
}

/// The WebSocket transport.
#[derive(Debug)]
pub(super) struct WebSocket {
    pub connection: Connection,
    /// Positions in the wire at which receipts are due, in ascending order.
    receipts: VecDeque<u64>,
}

impl Polling {
    /// Answers the parked GET with everything that is queued, if there are both.
    pub fn flush(&mut self, format: &PayloadFormat, fx: &mut impl Effects) {
        if let Poll::Parked { token, .. } = self.poll
            && !self.outbox.is_empty()
        {
            self.poll = Poll::Absent;
            self.answer(token, format, fx);
        }
    }

    /// Answers a GET with everything that is queued.
    pub fn answer(&mut self, token: Token, format: &PayloadFormat, fx: &mut impl Effects) {
        let (payload, receipts) = self.outbox.take_payload(format);
        if payload.len() >= REPORTED_FROM {
            self.in_flight = self.in_flight.saturating_add(payload.len());
        }
        fx.answer_get(token, payload);
        if receipts > 0 {
            fx.event(Event::Sent(receipts));
        }
    }

    /// After the probe was answered: answers a GET that has been parked for `delay` with a noop, so
    /// that the client can complete the upgrade.
    pub fn answer_noop(
        &mut self,
        now: Instant,
        delay: Duration,
        format: &PayloadFormat,
        fx: &mut impl Effects,
    ) {
        if let Poll::Parked { token, since } = self.poll
            && self.is_probe_answered()
            && now >= after(since, delay)
        {
            self.poll = Poll::Absent;
            fx.answer_get(token, format.single(PacketType::Noop));
        }
    }

    fn is_probe_answered(&self) -> bool {
        match self.probe.as_ref().map(|probe| probe.stage) {
            Some(Stage::Answered) => true,
            Some(Stage::Waiting) | None => false,
        }
    }

    /// When the close, the upgrade or the parked GET times out.
    pub fn deadline(&self) -> Option<Instant> {
        let upgrade = self.probe.as_ref().map(|probe| probe.deadline);
        let poll = match self.poll {
            Poll::Absent => None,
            Poll::Parked { since, .. } => {
                self.is_probe_answered().then(|| after(since, NOOP_DELAY))
            }
            Poll::Closing { until, .. } => Some(until),
        };
        earlier(upgrade, poll)
    }
}

impl WebSocket {
    /// A new transport. `receipts` are due once everything that is queued now has been written.
    pub fn new(connection: Connection, receipts: u32) -> Self {
        let position = connection.wire().queued();
        Self { connection, receipts: (0..receipts).map(|_| position).collect() }
    }

    /// Queues a message, compressed if `compress` is set and the peer takes it.
    // Runs for each message, and is not inlined into the driver's crate without this attribute.
    #[inline]
    pub fn send(&mut self, message: Outgoing<'_>, compress: bool, receipt: bool) {
        let prefix = [PacketType::Message as u8];
        match message {
            Outgoing::Text(body) => self.connection.send_message(&prefix, body, compress),
            Outgoing::OwnText(body) => self.connection.send_message_owned(&prefix, body, compress),
            Outgoing::Binary(body) => self.connection.send_binary(body, compress),
            Outgoing::OwnBinary(body) => self.connection.send_binary_owned(body, compress),
            Outgoing::Shared(broadcast) => self.connection.send_shared(broadcast),
        }
        if receipt {
            self.expect_receipt();
        }
    }

    /// Requests a receipt for the moment when everything that is queued now has been written.
    pub fn expect_receipt(&mut self) {
        self.receipts.push_back(self.connection.wire().queued());
    }

    /// The number of receipts that are not due yet.
    pub fn receipts(&self) -> usize {
        self.receipts.len()
    }

    /// Removes written bytes from the queue. Returns the number of receipts that are now due.
    #[inline]
    pub fn written(&mut self, count: usize) -> u32 {
        self.connection.written(count);
        let total = self.connection.wire().written_total();
        let mut due: u32 = 0;
        while self.receipts.front().is_some_and(|position| *position <= total) {
            self.receipts.pop_front();
            due = due.saturating_add(1);
        }
        due
    }
}
