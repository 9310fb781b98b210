//! One Engine.IO session, from its open packet to its close reason, on any transport.
//!
//! A [`Session`] handles one [`Input`] at a time. The files of this folder implement one part of
//! its life each: `polling` and `websocket` read packets, `receiving` delivers messages, `sending`
//! queues them, `upgrading` changes the transport, and `closing` contains every way to close.
//! `transport` contains the state of each transport, and `queues` measures what a session holds.

mod closing;
mod held;
mod input;
mod polling;
mod queues;
mod receiving;
mod sending;
mod transport;
mod upgrading;
mod websocket;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::close_reason::{CloseDetail, CloseReason, code};
use super::deadline::earlier;
use super::effects::{Effects, Event, Role};
use super::heartbeat::{Beat, Heartbeat};
use super::limits::Limits;
use super::message_rate::MessageRate;
use super::packet::PacketType;
use super::payload::{Backlog, Form, PayloadFormat};
use super::revision::Revision;
use super::upgrade::NOOP_DELAY;
use super::websocket::Connection;
use held::Held;
pub use input::{Input, Loss, PollingFault};
pub use transport::REPORTED_FROM;
use transport::{CloseCause, Poll, Polling, Transport, WebSocket};

/// The most packets of POSTs, and the most messages of a WebSocket, that one input handles.
pub const PACKET_BUDGET: usize = 256;

/// A session.
#[derive(Debug)]
pub struct Session {
    limits: Arc<Limits>,
    transport: Transport,
    /// The revision of the protocol, and how payloads are written.
    format: PayloadFormat,
    heartbeat: Heartbeat,
    /// Revision 3: the number of pongs queued since the queue was last empty.
    pongs: u32,
    rate: MessageRate,
    /// A POST that began before the upgrade is not complete: WebSocket messages wait for it.
    post_begun: bool,
    /// Bytes of an incomplete POST body, held by the caller.
    post_bytes: usize,
    /// Packets of POSTs that have not been handled.
    backlog: Backlog,
    /// WebSocket bytes that have not been handled: they wait for an earlier POST, or contained too
    /// many messages for one input.
    held: Held,
    /// The app wants the events `Heartbeat` and `PingSent`.
    observed: bool,
}

impl Session {
    /// A session that was opened on polling. `open` is the body of the open packet, which waits for
    /// the first GET. `format` tells how the peer wants its payloads.
    pub fn polling(now: Instant, limits: Arc<Limits>, format: PayloadFormat, open: &[u8]) -> Self {
        let mut polling = Polling::default();
        polling.outbox.push_packet(PacketType::Open, open);
        Self::new(now, limits, format, Transport::Polling(polling))
    }

    /// A session that was opened on a WebSocket. `open` is the body of the open packet.
    pub fn websocket(
        now: Instant,
        limits: Arc<Limits>,
        mut connection: Connection,
        open: &[u8],
    ) -> Self {
        connection.send_text(&[PacketType::Open as u8], open);
        // Even if the session closes at once: without the open packet, a client would take the
        // close for a failed handshake.
        connection.keep_queued();
        let format = PayloadFormat { dialect: connection.dialect(), callback: None };
        Self::new(now, limits, format, Transport::WebSocket(WebSocket::new(connection, 0)))
    }

    fn new(now: Instant, limits: Arc<Limits>, format: PayloadFormat, transport: Transport) -> Self {
        Self {
            heartbeat: Heartbeat::new(now, &limits, format.dialect.revision),
            limits,
            transport,
            format,
            pongs: 0,
            rate: MessageRate::default(),
            post_begun: false,
            post_bytes: 0,
            backlog: Backlog::default(),
            held: Held::default(),
            observed: false,
        }
    }

    /// Whether the session is closed.
    pub fn is_closed(&self) -> bool {
        match self.transport {
            Transport::Polling(_) | Transport::WebSocket(_) => false,
            Transport::Closed { .. } => true,
        }
    }

    /// The WebSocket in a role, to write its queue.
    pub fn connection(&self, role: Role) -> Option<&Connection> {
        match (role, &self.transport) {
            (Role::Main, Transport::WebSocket(websocket)) => Some(&websocket.connection),
            (Role::Probe, Transport::Polling(polling)) => {
                polling.probe.as_ref().map(|probe| &probe.connection)
            }
            (Role::Main, Transport::Polling(_))
            | (Role::Probe, Transport::WebSocket(_))
            | (Role::Main | Role::Probe, Transport::Closed { .. }) => None,
        }
    }

    fn connection_mut(&mut self, role: Role) -> Option<&mut Connection> {
        match (role, &mut self.transport) {
            (Role::Main, Transport::WebSocket(websocket)) => Some(&mut websocket.connection),
            (Role::Probe, Transport::Polling(polling)) => {
                polling.probe.as_mut().map(|probe| &mut probe.connection)
            }
            (Role::Main, Transport::Polling(_))
            | (Role::Probe, Transport::WebSocket(_))
            | (Role::Main | Role::Probe, Transport::Closed { .. }) => None,
        }
    }

    /// When to call [`Self::handle_timeout`]; never once the session is closed.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.transport {
            Transport::Polling(polling) => earlier(self.heartbeat.deadline(), polling.deadline()),
            Transport::WebSocket(_) => self.heartbeat.deadline(),
            Transport::Closed { .. } => None,
        }
    }

    /// Handles one input and passes all consequences to `fx` before it returns.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>, fx: &mut impl Effects) {
        if let Transport::Closed { patience } = self.transport {
            return handle_late(input, &self.format, patience, fx);
        }
        match input {
            Input::Received { role: Role::Main, bytes } => self.receive(now, bytes, fx),
            Input::Received { role: Role::Probe, bytes } => self.receive_probe(now, bytes, fx),
            Input::Lost { role: Role::Main, loss } => self.lost(loss, fx),
            Input::Lost { role: Role::Probe, .. } => self.fail_upgrade(None, fx),
            Input::Get { token } => self.get(now, token, fx),
            Input::GetLost { token } => self.get_lost(token, fx),
            Input::GetSent(bytes) => self.get_sent(bytes),
            Input::PostBegun => self.post_begun = true,
            Input::PostProgress(bytes) => self.post_bytes = bytes,
            Input::Post(body) => self.post(now, body, fx),
            Input::PostBytes(body) => self.post_form(now, body, Form::CountedBytes, fx),
            Input::Continue => self.handle_backlog(now, fx),
            Input::Fault(fault) => self.finish_fault(fault, fx),
            Input::Probe(connection) => self.begin_probe(now, connection, fx),
            Input::Send { message, compress, receipt } => self.send(message, compress, receipt, fx),
            Input::NotifyDrained => self.notify_drained(fx),
            Input::Close { discard } => self.close(now, CloseCause::App, discard, fx),
            Input::Shutdown => self.shutdown(fx),
            Input::CloseDrained => self.close(now, CloseCause::Drain, false, fx),
            Input::Pause => {
                self.heartbeat.pause(now, &self.limits);
                self.rate.pause(now);
            }
            Input::Resume => {
                self.heartbeat.resume(now);
                self.rate.resume(now);
            }
            Input::Observe(on) => self.observed = on,
            Input::Undeliverable => self.undeliverable(fx),
            Input::Broken => self.broken(fx),
        }
    }

    /// Handles every deadline that has passed.
    pub fn handle_timeout(&mut self, now: Instant, fx: &mut impl Effects) {
        if let Transport::Polling(polling) = &self.transport
            && polling.probe.as_ref().is_some_and(|probe| now >= probe.deadline)
        {
            self.fail_upgrade(None, fx);
        }
        if self.closing_until().is_some_and(|until| now >= until) {
            let detail = CloseDetail::new(code::CLOSE_TIMEOUT, "no GET fetched the close packet");
            self.finish_forced(Some(detail), self.waiting_messages(), fx);
        }
        if self.is_closed() {
            return;
        }
        match self.heartbeat.poll(now, &self.limits) {
            None => {}
            // A closing session sends no more pings, but the missing pong still closes it.
            Some(Beat::Ping) if self.closing_until().is_some() => {}
            Some(Beat::Ping) => self.ping(now, fx),
            Some(Beat::Pong) => self.pong(fx),
            Some(Beat::Timeout) => {
                let awaited = match self.format.dialect.revision {
                    Revision::V3 => "no ping came in time",
                    Revision::V4 => "no pong came in time",
                };
                let detail = CloseDetail::new(code::PING_TIMEOUT, awaited);
                return self.finish(CloseReason::PingTimeout, detail, fx);
            }
        }
        if let Transport::Polling(polling) = &mut self.transport {
            polling.answer_noop(now, NOOP_DELAY, &self.format, fx);
        }
    }

    /// Delays the ping, or the pong of revision 3, that is due. A driver calls this while JavaScript
    /// is stalled.
    pub fn postpone_ping(&mut self, now: Instant, delay: Duration) {
        self.heartbeat.postpone(now, delay);
    }

    /// Whether a ping, or a pong of revision 3, is due.
    pub fn is_ping_due(&self, now: Instant) -> bool {
        !self.is_closed() && self.heartbeat.is_ping_due(now)
    }

    /// Removes bytes that were written on a WebSocket from its queue.
    pub fn written(&mut self, role: Role, count: usize, fx: &mut impl Effects) {
        match role {
            Role::Main => {
                let Transport::WebSocket(websocket) = &mut self.transport else { return };
                let due = websocket.written(count);
                if due > 0 {
                    fx.event(Event::Sent(due));
                }
            }
            Role::Probe => {
                if let Some(connection) = self.connection_mut(Role::Probe) {
                    connection.written(count);
                }
            }
        }
    }

    /// Until when a closed polling session waits for the GET that fetches its close packet; `None`
    /// in any other state.
    fn closing_until(&self) -> Option<Instant> {
        match &self.transport {
            Transport::Polling(polling) => match polling.poll {
                Poll::Closing { until, .. } => Some(until),
                Poll::Absent | Poll::Parked { .. } => None,
            },
            Transport::WebSocket(_) | Transport::Closed { .. } => None,
        }
    }

    fn ping(&mut self, now: Instant, fx: &mut impl Effects) {
        if self.rate.is_paused() {
            self.heartbeat.pause(now, &self.limits);
        }
        self.send_packet(PacketType::Ping, fx);
        if self.observed && !self.is_closed() {
            fx.event(Event::PingSent);
        }
    }

    /// Answers a ping of revision 3. A peer that does not read gets at most `maxPendingPongs`; any of
    /// them shows it that the session is alive.
    fn pong(&mut self, fx: &mut impl Effects) {
        if self.closing_until().is_some() {
            return;
        }
        if self.waiting_messages() == 0 {
            self.pongs = 0;
        }
        if self.pongs < self.limits.max_pending_pongs {
            self.pongs = self.pongs.saturating_add(1);
            self.send_packet(PacketType::Pong, fx);
        }
    }

    /// Sends a ping or a pong.
    fn send_packet(&mut self, kind: PacketType, fx: &mut impl Effects) {
        match &mut self.transport {
            Transport::Polling(polling) => {
                polling.outbox.push_packet(kind, b"");
                polling.flush(&self.format, fx);
            }
            Transport::WebSocket(websocket) => {
                websocket.connection.send_text(&[kind as u8], b"");
                websocket.connection.release_idle();
                fx.wants_write(Role::Main);
            }
            Transport::Closed { .. } => {}
        }
    }
}

/// Handles an input that arrives after the close: a request or a WebSocket still needs an answer.
fn handle_late(
    input: Input<'_>,
    format: &PayloadFormat,
    patience: Duration,
    fx: &mut impl Effects,
) {
    match input {
        Input::Get { token } => fx.answer_get(token, format.single(PacketType::Close)),
        Input::Probe(mut connection) => {
            connection.close(None);
            fx.release(Role::Probe, connection, patience);
        }
        _ => {}
    }
}
