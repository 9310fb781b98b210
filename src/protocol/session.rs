//! One Engine.IO session, from the open packet to the close reason, whatever its transport.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::close::{CloseDetail, CloseReason, code};
use super::effects::{Effects, Event, Role, Token};
use super::heartbeat::{Beat, Heartbeat, after};
use super::limits::{Limits, SlowConsumer};
use super::outbox::{Outbox, Outgoing};
use super::packet::{self, Message, Packet, PacketType};
use super::payload;
use super::upgrade::{self, NOOP_DELAY, Probe, Step};
use super::websocket::Connection;
use super::websocket::Violation;
use super::websocket::connection::Received;
use super::websocket::reader::Chunk;

/// Close code for a server that goes away (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;

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
    /// A GET's answer has left Node.
    GetSent,
    /// A POST has begun; its body is still coming.
    PostBegun,
    /// A POST's body is complete; its request has been answered.
    Post(Vec<u8>),
    /// A polling request broke the rules; whoever speaks HTTP has answered it.
    Fault(PollingFault),
    /// A WebSocket asks to take over.
    Probe(Connection),
    /// The app sends a message; with `receipt` it hears when the message has left.
    Send { message: Outgoing<'a>, receipt: bool },
    /// The app closes the session; `discard` drops what waits.
    Close { discard: bool },
    /// The engine closes: drops what waits, tells the peer that the server goes away.
    Shutdown,
    /// Nothing is read from the peer until `Resume`.
    Pause,
    /// Reading goes on.
    Resume,
    /// Whether the app wants to hear of heartbeats.
    Observe(bool),
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
    PostOverlap,
    PostLost,
    PostTooLarge,
    BinaryContent,
    EncodedContent,
}

impl PollingFault {
    fn detail(self) -> CloseDetail {
        let (code, message) = match self {
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
    outbox: Outbox,
    /// Wire positions at which receipts are due.
    receipts: VecDeque<u64>,
    /// Bytes handed to Node as a GET's answer and not reported as sent.
    in_flight: usize,
    /// Set while a close waits for the GET that fetches the last packets.
    closing: Option<Instant>,
    /// A POST is being received.
    post_begun: bool,
    /// WebSocket bytes that came before that POST was complete; its packets go first.
    held: Vec<u8>,
    observed: bool,
    paused: bool,
    closed: bool,
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
        Self::new(now, limits, Transport::WebSocket(connection))
    }

    fn new(now: Instant, limits: Arc<Limits>, transport: Transport) -> Self {
        Self {
            heartbeat: Heartbeat::new(now, &limits),
            limits,
            transport,
            probe: None,
            outbox: Outbox::default(),
            receipts: VecDeque::new(),
            in_flight: 0,
            closing: None,
            post_begun: false,
            held: Vec::new(),
            observed: false,
            paused: false,
            closed: false,
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
        self.outbox.cost().saturating_add(wire).saturating_add(self.held.len())
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
        if self.closing.is_some() {
            return min(self.closing, self.probe.as_ref().map(|probe| probe.deadline));
        }
        let mut deadline = self.heartbeat.deadline();
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
            Input::GetSent => self.in_flight = 0,
            Input::PostBegun => self.post_begun = true,
            Input::Post(body) => self.post(now, body, fx),
            Input::Fault(fault) => self.finish_fault(fault, fx),
            Input::Probe(connection) => self.begin_probe(now, connection, fx),
            Input::Send { message, receipt } => self.send(message, receipt, fx),
            Input::Close { discard } => self.close(now, discard, fx),
            Input::Shutdown => self.shutdown(fx),
            Input::Pause => {
                self.paused = true;
                self.heartbeat.pause(now);
            }
            Input::Resume => {
                self.paused = false;
                self.heartbeat.resume(now);
            }
            Input::Observe(on) => self.observed = on,
            Input::Broken => self.broken(fx),
        }
    }

    /// A closed session still answers what was on its way.
    fn handle_late(&mut self, input: Input<'_>, fx: &mut impl Effects) {
        match input {
            Input::Get { token } => fx.answer_get(token, vec![PacketType::Close as u8]),
            Input::Probe(mut connection) => {
                connection.close(None);
                fx.release(Role::Probe, connection);
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
        if let Some(closing) = self.closing {
            if now >= closing {
                self.finish(CloseReason::ForcedClose, None, fx);
            }
            return;
        }
        if self.closed {
            return;
        }
        match self.heartbeat.poll(now, &self.limits) {
            None => {}
            Some(Beat::Ping) => self.ping(now, fx),
            Some(Beat::Timeout) => {
                return self.finish(CloseReason::PingTimeout, None, fx);
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
            self.heartbeat.pause(now);
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

    // ---- WebSocket ----

    fn receive(&mut self, now: Instant, bytes: &mut [u8], fx: &mut impl Effects) {
        if self.post_begun {
            self.held.extend_from_slice(bytes);
            return;
        }
        self.receive_chunk(now, Chunk::new(bytes), fx);
    }

    fn receive_chunk(&mut self, now: Instant, mut chunk: Chunk<'_>, fx: &mut impl Effects) {
        while !self.closed {
            let Transport::WebSocket(connection) = &mut self.transport else { return };
            match connection.next(&mut chunk, &self.limits) {
                Ok(None) => break,
                Ok(Some(Received::Text(text))) => self.text(now, text, fx),
                Ok(Some(Received::Binary(bytes))) => {
                    self.heartbeat.traffic(now, &self.limits);
                    fx.message(Message::Binary(bytes));
                }
                Ok(Some(Received::Close(body))) => {
                    let mut detail = CloseDetail::new(code::PEER_CLOSED, "closed by the client");
                    detail.ws_code = body.code;
                    detail.ws_reason = Some(body.reason);
                    self.finish(CloseReason::TransportClose, Some(detail), fx);
                }
                Err(violation) => {
                    connection.fail(violation.close_code());
                    self.finish_violation(violation, fx);
                }
            }
        }
        if self.connection(Role::Main).is_some_and(|connection| !connection.wire().is_empty()) {
            fx.wants_write(Role::Main);
        }
    }

    fn finish_violation(&mut self, violation: Violation, fx: &mut impl Effects) {
        let mut detail = violation.detail();
        detail.limit = match violation {
            Violation::MessageTooBig => Some(("maxHttpBufferSize", self.limits.max_message as u64)),
            Violation::TooManyFragments => {
                Some(("maxFragments", u64::from(self.limits.max_fragments)))
            }
            _ => None,
        };
        self.finish(CloseReason::TransportError, Some(detail), fx);
    }

    /// A text message on a WebSocket is one packet.
    fn text(&mut self, now: Instant, text: Cow<'_, [u8]>, fx: &mut impl Effects) {
        // Handled apart so that a large message keeps its memory.
        if text.first() == Some(&b'4') {
            self.heartbeat.traffic(now, &self.limits);
            let body = match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.get(1..).unwrap_or(&[])),
                Cow::Owned(mut text) => {
                    text.drain(..1);
                    Cow::Owned(text)
                }
            };
            return fx.message(Message::Text(body));
        }
        self.packet(now, &text, fx);
    }

    /// Handles one packet given as text, of either transport.
    fn packet(&mut self, now: Instant, text: &[u8], fx: &mut impl Effects) {
        let packet = packet::decode(text);
        if !matches!(packet, Ok(Packet::Pong)) {
            self.heartbeat.traffic(now, &self.limits);
        }
        match packet {
            Ok(Packet::Message(message)) => fx.message(message),
            Ok(Packet::Pong) => {
                if self.heartbeat.pong(now, &self.limits) && self.observed {
                    fx.event(Event::Heartbeat);
                }
            }
            Ok(Packet::Ping(_)) => {
                let detail =
                    CloseDetail::new(code::HEARTBEAT_DIRECTION, "invalid heartbeat direction");
                self.finish(CloseReason::TransportError, Some(detail), fx);
            }
            Ok(Packet::Close) => self.peer_close(fx),
            Ok(Packet::Open | Packet::Upgrade | Packet::Noop) => {}
            Err(_) => {
                let detail = CloseDetail::new(code::INVALID_PACKET, "invalid packet");
                self.finish(CloseReason::ParseError, Some(detail), fx);
            }
        }
    }

    /// The peer sent a close packet. A parked GET gets a noop: there is nothing to close any more.
    fn peer_close(&mut self, fx: &mut impl Effects) {
        if let Transport::Polling { parked } = &mut self.transport
            && let Some(parked) = parked.take()
        {
            fx.answer_get(parked.token, vec![PacketType::Noop as u8]);
        }
        self.finish(CloseReason::TransportClose, None, fx);
    }

    fn lost(&mut self, loss: Loss, fx: &mut impl Effects) {
        let (reason, errno) = match loss {
            Loss::Ended => (CloseReason::TransportClose, None),
            Loss::Read(errno) => (CloseReason::TransportClose, errno),
            Loss::Write(errno) => (CloseReason::TransportError, errno),
        };
        let detail = (loss != Loss::Ended).then(|| {
            let mut detail = CloseDetail::new(code::CONNECTION_LOST, "connection lost");
            detail.errno = errno;
            detail
        });
        self.finish(reason, detail, fx);
    }

    // ---- Polling ----

    fn get(&mut self, now: Instant, token: Token, fx: &mut impl Effects) {
        let Transport::Polling { parked } = &mut self.transport else {
            // The GET crossed the upgrade on its way here.
            return fx.answer_get(token, vec![PacketType::Noop as u8]);
        };
        if parked.is_some() {
            fx.refuse_get(token);
            let detail = CloseDetail::new(code::OVERLAP, "overlap from client");
            return self.finish(CloseReason::TransportError, Some(detail), fx);
        }
        *parked = Some(Parked { token, since: now });
        if self.closing.is_some() {
            return self.get_while_closing(fx);
        }
        self.flush_polling(fx);
    }

    fn get_lost(&mut self, token: Token, fx: &mut impl Effects) {
        let Transport::Polling { parked } = &mut self.transport else { return };
        if parked.is_none_or(|parked| parked.token != token) {
            return;
        }
        *parked = None;
        if let Some(probe) = &mut self.probe {
            probe.get_lost = true;
            return;
        }
        self.finish(CloseReason::TransportError, Some(lost_poll()), fx);
    }

    fn post(&mut self, now: Instant, body: Vec<u8>, fx: &mut impl Effects) {
        self.post_begun = false;
        let body = payload::repair_utf8(body);
        for packet in payload::split(&body) {
            if self.closed {
                return;
            }
            self.packet(now, packet, fx);
        }
        if !self.closed && !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            self.receive_chunk(now, Chunk::new(&mut held), fx);
        }
    }

    fn finish_fault(&mut self, fault: PollingFault, fx: &mut impl Effects) {
        let mut detail = fault.detail();
        if fault == PollingFault::PostTooLarge {
            detail.limit = Some(("maxHttpBufferSize", self.limits.max_message as u64));
        }
        self.finish(CloseReason::TransportError, Some(detail), fx);
    }

    /// Answers the parked GET with what waits, if both are there.
    fn flush_polling(&mut self, fx: &mut impl Effects) {
        let Transport::Polling { parked } = &mut self.transport else { return };
        if self.outbox.is_empty() {
            return;
        }
        let Some(get) = parked.take() else { return };
        let (payload, receipts) = self.outbox.take_payload();
        self.in_flight = payload.len();
        fx.answer_get(get.token, payload);
        if receipts > 0 {
            fx.event(Event::Sent(receipts));
        }
    }

    /// Answers a GET that has been parked for `delay` with a noop while a probe is live.
    fn answer_noop(&mut self, now: Instant, delay: Duration, fx: &mut impl Effects) {
        let Transport::Polling { parked } = &mut self.transport else { return };
        if !self.probe.as_ref().is_some_and(|probe| probe.answered) {
            return;
        }
        if parked.is_some_and(|parked| now >= after(parked.since, delay))
            && let Some(get) = parked.take()
        {
            fx.answer_get(get.token, vec![PacketType::Noop as u8]);
        }
    }

    // ---- Upgrade ----

    fn begin_probe(&mut self, now: Instant, mut connection: Connection, fx: &mut impl Effects) {
        if self.probe.is_some() || matches!(self.transport, Transport::WebSocket(_)) {
            connection.close(None);
            return fx.release(Role::Probe, connection);
        }
        self.probe = Some(Box::new(Probe::new(now, connection, &self.limits)));
        fx.wants_write(Role::Probe);
    }

    fn receive_probe(&mut self, now: Instant, bytes: &mut [u8], fx: &mut impl Effects) {
        let mut chunk = Chunk::new(bytes);
        while let Some(probe) = &mut self.probe {
            match probe.connection.next(&mut chunk, &self.limits) {
                Ok(None) => {
                    if !probe.connection.wire().is_empty() {
                        fx.wants_write(Role::Probe);
                    }
                    return;
                }
                Ok(Some(Received::Text(text))) => match upgrade::step(&text) {
                    Step::Answer => {
                        probe.answered = true;
                        probe.connection.send_text(&[PacketType::Pong as u8], b"probe");
                        fx.event(Event::Upgrading);
                        self.answer_noop(now, Duration::ZERO, fx);
                    }
                    Step::Swap => {
                        self.swap(now, fx);
                        // What follows in the same chunk is ordinary traffic.
                        return self.receive(now, chunk.take_all(), fx);
                    }
                    Step::Refuse => self.end_probe(None, fx),
                },
                Ok(Some(Received::Binary(_) | Received::Close(_))) => self.end_probe(None, fx),
                Err(violation) => self.end_probe(Some(violation), fx),
            }
        }
    }

    /// The probed WebSocket takes over: whatever waited goes out on it, in order.
    fn swap(&mut self, now: Instant, fx: &mut impl Effects) {
        let Some(probe) = self.probe.take() else { return };
        if let Transport::Polling { parked: Some(parked) } = &self.transport {
            fx.answer_get(parked.token, vec![PacketType::Noop as u8]);
        }
        let mut connection = probe.connection;
        let receipts = self.outbox.move_to(&mut connection);
        let position = connection.wire().queued();
        self.receipts.extend((0..receipts).map(|_| position));
        self.transport = Transport::WebSocket(connection);
        self.in_flight = 0;
        self.heartbeat.forget_ping(now, &self.limits);
        fx.promote();
        fx.event(Event::Upgraded);
        fx.wants_write(Role::Main);
        if self.closing.is_some() {
            self.finish(CloseReason::ForcedClose, None, fx);
        }
    }

    /// The attempt is over; the session stays on polling, if it still has it.
    fn end_probe(&mut self, violation: Option<Violation>, fx: &mut impl Effects) {
        let Some(mut probe) = self.probe.take() else { return };
        match violation {
            Some(violation) => probe.connection.fail(violation.close_code()),
            None => probe.connection.close(None),
        }
        fx.release(Role::Probe, probe.connection);
        fx.event(Event::UpgradeFailed);
        if probe.get_lost {
            self.finish(CloseReason::TransportError, Some(lost_poll()), fx);
        }
    }

    // ---- From the app ----

    fn send(&mut self, message: Outgoing<'_>, receipt: bool, fx: &mut impl Effects) {
        if self.closing.is_some() {
            return;
        }
        if self.is_full() {
            return self.overflow(fx);
        }
        match &mut self.transport {
            Transport::Polling { .. } => {
                self.outbox.push_message(message, receipt);
                self.flush_polling(fx);
            }
            Transport::WebSocket(connection) => {
                let prefix = [PacketType::Message as u8];
                match message {
                    Outgoing::Text(body) => connection.send_text(&prefix, body),
                    Outgoing::OwnText(body) => connection.send_text_owned(&prefix, body),
                    Outgoing::Binary(body) => connection.send_binary(body),
                    Outgoing::OwnBinary(body) => connection.send_binary_owned(body),
                    Outgoing::Shared(broadcast) => connection.send_shared(broadcast),
                }
                if receipt {
                    self.receipts.push_back(connection.wire().queued());
                }
                fx.wants_write(Role::Main);
            }
        }
    }

    /// The queue is full: the message is refused, which ends the session unless the app chose to
    /// lose messages.
    fn overflow(&mut self, fx: &mut impl Effects) {
        if self.limits.slow_consumer == SlowConsumer::Drop {
            return fx.event(Event::Dropped(self.waiting() as u64));
        }
        self.evict("maxSendBuffer", self.limits.max_send_buffer as u64, fx);
    }

    /// Ends the session because of what waits for its peer; the connection is reset.
    pub fn evict(&mut self, limit: &'static str, value: u64, fx: &mut impl Effects) {
        let mut detail =
            CloseDetail::new(code::SLOW_CONSUMER, format!("{limit} exceeded by a slow consumer"));
        detail.limit = Some((limit, value));
        if let Transport::WebSocket(connection) = &mut self.transport {
            connection.abort();
        }
        self.finish(CloseReason::TransportError, Some(detail), fx);
    }

    fn close(&mut self, now: Instant, discard: bool, fx: &mut impl Effects) {
        match &mut self.transport {
            Transport::WebSocket(connection) => {
                if discard {
                    connection.discard();
                }
                self.finish(CloseReason::ForcedClose, None, fx);
            }
            // A parked GET means that nothing waits.
            Transport::Polling { parked: Some(_) } => self.close_parked(fx),
            Transport::Polling { parked: None } if discard => {
                self.finish(CloseReason::ForcedClose, None, fx);
            }
            Transport::Polling { parked: None } => {
                let wait = self.limits.polling_close_timeout;
                self.closing.get_or_insert(after(now, wait));
            }
        }
    }

    /// A GET comes while a close waits. What was sent before the close goes first, alone: clients
    /// drop what shares a payload with the close packet. The next GET gets that.
    fn get_while_closing(&mut self, fx: &mut impl Effects) {
        if !self.outbox.is_empty() {
            return self.flush_polling(fx);
        }
        self.outbox.push_packet(PacketType::Noop, b"");
        self.close_parked(fx);
    }

    /// Answers the parked GET with a close packet and ends the session.
    fn close_parked(&mut self, fx: &mut impl Effects) {
        self.outbox.push_packet(PacketType::Close, b"");
        self.flush_polling(fx);
        self.finish(CloseReason::ForcedClose, None, fx);
    }

    fn shutdown(&mut self, fx: &mut impl Effects) {
        if let Transport::WebSocket(connection) = &mut self.transport {
            connection.discard();
            connection.close(Some(GOING_AWAY));
        }
        if let Some(probe) = &mut self.probe {
            probe.connection.close(Some(GOING_AWAY));
        }
        self.finish(CloseReason::ForcedClose, None, fx);
    }

    fn broken(&mut self, fx: &mut impl Effects) {
        const INTERNAL_ERROR: u16 = 1011;
        if let Transport::WebSocket(connection) = &mut self.transport {
            connection.fail(INTERNAL_ERROR);
        }
        let detail = CloseDetail::new(code::INTERNAL, "internal error");
        self.finish(CloseReason::TransportError, Some(detail), fx);
    }

    /// The end, once: lets go of every transport and tells the app.
    fn finish(&mut self, reason: CloseReason, detail: Option<CloseDetail>, fx: &mut impl Effects) {
        self.closed = true;
        if let Some(mut probe) = self.probe.take() {
            probe.connection.close(None);
            fx.release(Role::Probe, probe.connection);
        }
        let transport = std::mem::replace(&mut self.transport, Transport::Polling { parked: None });
        match transport {
            Transport::WebSocket(mut connection) => {
                connection.close(None);
                fx.release(Role::Main, connection);
            }
            Transport::Polling { parked: Some(parked) } => {
                fx.answer_get(parked.token, vec![PacketType::Close as u8]);
            }
            Transport::Polling { parked: None } => {}
        }
        self.outbox = Outbox::default();
        self.held = Vec::new();
        fx.event(Event::Closed(reason, detail.map(Box::new)));
    }
}

fn lost_poll() -> CloseDetail {
    CloseDetail::new(code::CONNECTION_LOST, "poll connection closed prematurely")
}

/// The earlier of two deadlines.
fn min(left: Option<Instant>, right: Option<Instant>) -> Option<Instant> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (deadline, None) | (None, deadline) => deadline,
    }
}
