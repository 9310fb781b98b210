//! One Engine.IO session, from the open packet to the close reason, whatever its transport.

mod closing;
mod held;
mod message;
mod polling;
mod sending;
mod upgrading;
mod websocket;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::close_reason::{CloseDetail, CloseReason, code};
use super::effects::{Effects, Event, Role, Token};
use super::heartbeat::{Beat, Heartbeat, after};
use super::limits::Limits;
use super::message_rate::MessageRate;
use super::outbox::{Outbox, Outgoing};
use super::packet::PacketType;
use super::payload::Backlog;
use super::upgrade::{NOOP_DELAY, Probe};
use super::websocket::Connection;
use held::Held;

/// What happens to a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes came on a WebSocket; they are unmasked in place.
    Received { role: Role, bytes: &'a mut [u8] },
    /// A WebSocket's connection is gone.
    Lost { role: Role, loss: Loss },
    /// A GET came and waits for packets.
    Get { token: Token },
    /// The parked GET's connection is gone.
    GetLost { token: Token },
    /// A GET's answer of so many bytes has left Node, or is lost.
    GetSent(usize),
    /// A POST has begun; its body is still coming.
    PostBegun,
    /// So many bytes of a POST's body have arrived, and are held until it is complete.
    PostProgress(usize),
    /// A POST's body is complete; its request has been answered. Handles up to
    /// [`PACKET_BUDGET`] packets; the rest wait for `Continue`.
    Post(Vec<u8>),
    /// Handles up to [`PACKET_BUDGET`] more of the packets that wait.
    Continue,
    /// A polling request broke the rules; whoever speaks HTTP has answered it.
    Fault(PollingFault),
    /// A WebSocket asks to take over.
    Probe(Connection),
    /// The app sends a message; with `receipt` it hears when the message has left.
    Send { message: Outgoing<'a>, receipt: bool },
    /// The app wants to hear when what waits has left.
    Report,
    /// The app closes the session; `discard` drops what waits.
    Close { discard: bool },
    /// The engine closes: drops what waits, tells the peer that the server goes away.
    Shutdown,
    /// The engine is drained: sends what waits, then tells the peer that the server goes away.
    Leave,
    /// Nothing is read from the peer until `Resume`.
    Pause,
    /// Reading goes on.
    Resume,
    /// Whether the app wants to hear of heartbeats.
    Observe(bool),
    /// An event could not be delivered to the app: the session ends, or there would be a hole.
    Undeliverable,
    /// The session's state cannot be trusted any more.
    Broken,
}

/// How a connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The peer ended it.
    Ended,
    /// Reading failed.
    Read(Option<i32>),
    /// Writing failed.
    Write(Option<i32>),
}

/// What a polling request did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollingFault {
    PollLost,
    PostOverlap,
    PostLost,
    PostTooLarge,
    BinaryContent,
    EncodedContent,
}

impl PollingFault {
    fn detail(self) -> CloseDetail {
        let (code, message) = match self {
            PollingFault::PollLost => return polling::lost_poll(),
            PollingFault::PostOverlap => (code::OVERLAP, "data request overlap from client"),
            PollingFault::PostLost => {
                (code::CONNECTION_LOST, "data request connection closed prematurely")
            }
            PollingFault::PostTooLarge => (code::PAYLOAD_TOO_LARGE, "Max payload size exceeded"),
            PollingFault::BinaryContent => (code::INVALID_CONTENT, "invalid content"),
            PollingFault::EncodedContent => (code::INVALID_CONTENT, "invalid content encoding"),
        };
        CloseDetail::new(code, message)
    }
}

/// Packets of a POST, or messages of a WebSocket, that one input handles.
pub const PACKET_BUDGET: usize = 256;

/// Stop reading a WebSocket once this much is held behind a POST whose body is incomplete.
const MAX_HELD: usize = 64 * 1024;

/// How packets travel at the moment.
#[derive(Debug)]
enum Transport {
    Polling { parked: Option<Parked> },
    WebSocket(Connection),
}

/// A GET that waits for packets.
#[derive(Debug, Clone, Copy)]
struct Parked {
    token: Token,
    since: Instant,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    limits: Arc<Limits>,
    transport: Transport,
    probe: Option<Box<Probe>>,
    heartbeat: Heartbeat,
    rate: MessageRate,
    outbox: Outbox,
    /// Wire positions at which receipts are due.
    receipts: VecDeque<u64>,
    /// Bytes handed to Node as answers to GETs and not reported as sent.
    in_flight: usize,
    /// Messages that were dropped, at a close that does not wait for them.
    dropped: usize,
    /// Set while a close waits for the GET that fetches the last packets.
    closing: Option<Instant>,
    /// A POST is being received.
    post_begun: bool,
    /// Bytes of its body so far, held by the caller.
    post_bytes: usize,
    /// Packets of POSTs that have not been handled.
    backlog: Backlog,
    /// WebSocket bytes that have not been handled: they wait for a POST that came before them, or
    /// were too many messages for one input.
    held: Held,
    observed: bool,
    paused: bool,
    closed: bool,
    /// The engine closes: peers get less time to answer.
    shutting_down: bool,
    /// The engine is drained, and the session was told to end.
    leaving: bool,
}

impl Session {
    /// A session born on polling; the open packet waits for the first GET.
    pub fn polling(now: Instant, limits: Arc<Limits>, open: &[u8]) -> Self {
        let mut session = Self::new(now, limits, Transport::Polling { parked: None });
        session.outbox.push_packet(PacketType::Open, open);
        session
    }

    /// A session born on a WebSocket.
    pub fn websocket(
        now: Instant,
        limits: Arc<Limits>,
        mut connection: Connection,
        open: &[u8],
    ) -> Self {
        connection.send_text(&[PacketType::Open as u8], open);
        // Without the open packet a client would not know that it has been let in, and thrown out.
        connection.keep_queued();
        Self::new(now, limits, Transport::WebSocket(connection))
    }

    fn new(now: Instant, limits: Arc<Limits>, transport: Transport) -> Self {
        Self {
            heartbeat: Heartbeat::new(now, &limits),
            limits,
            transport,
            probe: None,
            rate: MessageRate::default(),
            outbox: Outbox::default(),
            receipts: VecDeque::new(),
            in_flight: 0,
            dropped: 0,
            closing: None,
            post_begun: false,
            post_bytes: 0,
            backlog: Backlog::default(),
            held: Held::default(),
            observed: false,
            paused: false,
            closed: false,
            shutting_down: false,
            leaving: false,
        }
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The WebSocket in a role, to write what it has.
    pub fn connection(&self, role: Role) -> Option<&Connection> {
        match (role, &self.transport, &self.probe) {
            (Role::Main, Transport::WebSocket(connection), _) => Some(connection),
            (Role::Probe, _, Some(probe)) => Some(&probe.connection),
            (Role::Main, Transport::Polling { .. }, _) | (Role::Probe, _, None) => None,
        }
    }

    fn connection_mut(&mut self, role: Role) -> Option<&mut Connection> {
        match (role, &mut self.transport, &mut self.probe) {
            (Role::Main, Transport::WebSocket(connection), _) => Some(connection),
            (Role::Probe, _, Some(probe)) => Some(&mut probe.connection),
            (Role::Main, Transport::Polling { .. }, _) | (Role::Probe, _, None) => None,
        }
    }

    /// Memory that waits to be sent, in bytes.
    pub fn waiting(&self) -> usize {
        let wire = match &self.transport {
            Transport::WebSocket(connection) => connection.wire().cost(),
            Transport::Polling { .. } => self.in_flight,
        };
        self.outbox.cost().saturating_add(wire)
    }

    /// Whether packets of a POST wait for `Input::Continue`.
    pub fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether anything waits for `Input::Continue`.
    pub fn has_more(&self) -> bool {
        self.has_backlog() || (!self.held.is_empty() && !self.post_begun)
    }

    /// Whether no more is to be read from the WebSocket for now.
    pub fn is_holding(&self) -> bool {
        self.held.len() >= if self.post_begun { MAX_HELD } else { 1 }
    }

    /// Memory of what the peer has sent and this session has yet to handle.
    pub fn unhandled(&self) -> usize {
        self.backlog.capacity().saturating_add(self.held.capacity())
    }

    /// Memory of a message or a POST's body that the peer has not finished.
    pub fn unfinished(&self) -> usize {
        let websockets = [self.connection(Role::Main), self.connection(Role::Probe)];
        let websockets = websockets.into_iter().flatten().map(Connection::unfinished);
        websockets.fold(self.post_bytes, usize::saturating_add)
    }

    /// Messages that wait to be sent.
    pub fn waiting_messages(&self) -> usize {
        let wire = self.connection(Role::Main).map_or(0, |connection| connection.wire().messages());
        self.outbox.len().saturating_add(wire)
    }

    /// `waiting`, without shared broadcasts.
    pub fn waiting_own(&self) -> usize {
        let wire = match &self.transport {
            Transport::WebSocket(connection) => connection.wire().own(),
            Transport::Polling { .. } => self.in_flight,
        };
        self.outbox.own().saturating_add(wire)
    }

    /// Of `waiting`, the memory that the end of the session would free.
    pub fn waiting_alone(&self) -> usize {
        let wire = match &self.transport {
            Transport::WebSocket(connection) => connection.wire().alone(),
            Transport::Polling { .. } => self.in_flight,
        };
        self.outbox.alone().saturating_add(wire)
    }

    /// Whether the next message meets the bound of the queue.
    pub fn is_full(&self) -> bool {
        self.limits.max_send_buffer > 0 && self.waiting() > self.limits.max_send_buffer
    }

    /// When to call [`Self::handle_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let mut deadline = min(self.heartbeat.deadline(), self.closing);
        if let Some(probe) = &self.probe {
            deadline = min(deadline, Some(probe.deadline));
            if let (true, Transport::Polling { parked: Some(parked) }) =
                (probe.answered, &self.transport)
            {
                deadline = min(deadline, Some(after(parked.since, NOOP_DELAY)));
            }
        }
        deadline
    }

    /// Takes one input; its consequences are handed to `fx` before this returns.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>, fx: &mut impl Effects) {
        if self.closed {
            return self.handle_late(input, fx);
        }
        match input {
            Input::Received { role: Role::Main, bytes } => self.receive(now, bytes, fx),
            Input::Received { role: Role::Probe, bytes } => self.receive_probe(now, bytes, fx),
            Input::Lost { role: Role::Main, loss } => self.lost(loss, fx),
            Input::Lost { role: Role::Probe, .. } => self.end_probe(None, fx),
            Input::Get { token } => self.get(now, token, fx),
            Input::GetLost { token } => self.get_lost(token, fx),
            Input::GetSent(bytes) => self.in_flight = self.in_flight.saturating_sub(bytes),
            Input::PostBegun => self.post_begun = true,
            Input::PostProgress(bytes) => self.post_bytes = bytes,
            Input::Post(body) => self.post(now, body, fx),
            Input::Continue => self.handle_backlog(now, fx),
            Input::Fault(fault) => self.finish_fault(fault, fx),
            Input::Probe(connection) => self.begin_probe(now, connection, fx),
            Input::Send { message, receipt } => self.send(message, receipt, fx),
            Input::Report => self.report(fx),
            Input::Close { discard } => self.close(now, discard, fx),
            Input::Shutdown => self.shutdown(fx),
            Input::Leave => self.leave(now, fx),
            Input::Pause => {
                self.paused = true;
                self.heartbeat.pause(now, &self.limits);
                self.rate.pause(now);
            }
            Input::Resume => {
                self.paused = false;
                self.heartbeat.resume(now);
                self.rate.resume(now);
            }
            Input::Observe(on) => self.observed = on,
            Input::Undeliverable => self.undeliverable(fx),
            Input::Broken => self.broken(fx),
        }
    }

    /// A closed session still answers what was on its way.
    fn handle_late(&mut self, input: Input<'_>, fx: &mut impl Effects) {
        match input {
            Input::Get { token } => fx.answer_get(token, vec![PacketType::Close as u8]),
            Input::Probe(mut connection) => {
                connection.close(None);
                fx.release(Role::Probe, connection, self.patience());
            }
            _ => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant, fx: &mut impl Effects) {
        if self.closed {
            return;
        }
        if self.probe.as_ref().is_some_and(|probe| now >= probe.deadline) {
            self.end_probe(None, fx);
        }
        if !self.closed && self.closing.is_some_and(|closing| now >= closing) {
            let detail = CloseDetail::new(code::CLOSE_TIMEOUT, "no GET fetched the close packet");
            self.finish(CloseReason::ForcedClose, Some(detail), fx);
        }
        if self.closed {
            return;
        }
        match self.heartbeat.poll(now, &self.limits) {
            None => {}
            // A closing session sends nothing more; the answer that does not come ends it.
            Some(Beat::Ping) if self.closing.is_some() => {}
            Some(Beat::Ping) => self.ping(now, fx),
            Some(Beat::Timeout) => {
                let detail = CloseDetail::new(code::PING_TIMEOUT, "no pong came in time");
                return self.finish(CloseReason::PingTimeout, Some(detail), fx);
            }
        }
        self.answer_noop(now, NOOP_DELAY, fx);
    }

    /// Puts off the ping that is due; for a driver whose app has stopped taking turns.
    pub fn postpone_ping(&mut self, now: Instant, delay: Duration) {
        self.heartbeat.postpone(now, delay);
    }

    /// Whether a ping is due.
    pub fn is_ping_due(&self, now: Instant) -> bool {
        !self.closed && self.heartbeat.is_ping_due(now)
    }

    /// Takes note of what was written on a WebSocket.
    pub fn written(&mut self, role: Role, count: usize, fx: &mut impl Effects) {
        let Some(connection) = self.connection_mut(role) else { return };
        connection.written(count);
        let total = connection.wire().written_total();
        if role == Role::Probe {
            return;
        }
        let mut sent: u32 = 0;
        while self.receipts.front().is_some_and(|position| *position <= total) {
            self.receipts.pop_front();
            sent = sent.saturating_add(1);
        }
        if sent > 0 {
            fx.event(Event::Sent(sent));
        }
    }

    fn ping(&mut self, now: Instant, fx: &mut impl Effects) {
        if self.paused {
            self.heartbeat.pause(now, &self.limits);
        }
        match &mut self.transport {
            Transport::WebSocket(connection) => {
                connection.send_text(&[PacketType::Ping as u8], b"");
                fx.wants_write(Role::Main);
            }
            Transport::Polling { .. } => {
                self.outbox.push_packet(PacketType::Ping, b"");
                self.flush_polling(fx);
            }
        }
        if self.observed {
            fx.event(Event::PingSent);
        }
    }
}

/// The earlier of two deadlines.
fn min(left: Option<Instant>, right: Option<Instant>) -> Option<Instant> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (deadline, None) | (None, deadline) => deadline,
    }
}
