//! A session in simulated time, and its effects in order.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::close_reason::{CloseDetail, CloseReason};
use crate::protocol::effects::{Effects, Event, Role, Token};
use crate::protocol::limits::Limits;
use crate::protocol::outbox::Outgoing;
use crate::protocol::packet::Message;
use crate::protocol::payload::{Payload, PayloadFormat};
use crate::protocol::revision::Dialect;
use crate::protocol::session::{Input, Session};
use crate::protocol::websocket::Connection;

/// A recorded effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    Text(String),
    Binary(Vec<u8>),
    Event(Event),
    Closed(CloseReason),
    Get(Token, String),
    GetBytes(Token, Vec<u8>),
    RefusedGet(Token),
    Promoted,
    Released(Role),
}

#[derive(Default)]
struct Recorder {
    effects: Vec<Effect>,
    released: Vec<Connection>,
    detail: Option<CloseDetail>,
    is_app_stalled: bool,
}

impl Effects for Recorder {
    fn message(&mut self, message: Message<'_>) {
        self.effects.push(match message {
            Message::Text(text) => Effect::Text(String::from_utf8(text.into_owned()).unwrap()),
            Message::Binary(bytes) => Effect::Binary(bytes.into_owned()),
        });
    }
    fn event(&mut self, event: Event) {
        self.effects.push(match event {
            Event::Closed { reason, detail, .. } => {
                self.detail = detail.map(|detail| *detail);
                Effect::Closed(reason)
            }
            other => Effect::Event(other),
        });
    }
    fn answer_get(&mut self, token: Token, payload: Payload) {
        self.effects.push(match payload {
            Payload::Text(text) => Effect::Get(token, String::from_utf8(text).unwrap()),
            Payload::Bytes(bytes) => Effect::GetBytes(token, bytes),
        });
    }
    fn refuse_get(&mut self, token: Token) {
        self.effects.push(Effect::RefusedGet(token));
    }
    fn promote(&mut self) {
        self.effects.push(Effect::Promoted);
    }
    fn release(&mut self, role: Role, connection: Connection, _patience: Duration) {
        self.effects.push(Effect::Released(role));
        self.released.push(connection);
    }
    fn wants_write(&mut self, _role: Role) {}
    fn is_app_stalled(&self) -> bool {
        self.is_app_stalled
    }
}

/// A session under test.
pub struct World {
    pub session: Session,
    pub now: Instant,
    recorder: Recorder,
}

/// The default limits: pings after 25 s, pongs within 20 s, upgrades within 10 s.
pub fn limits() -> Limits {
    Limits::default()
}

impl World {
    pub fn polling(limits: Limits) -> Self {
        Self::polling_with(limits, PayloadFormat::default())
    }

    /// A session on polling whose peer wants its payloads in this format.
    pub fn polling_with(limits: Limits, format: PayloadFormat) -> Self {
        let now = super::start();
        Self::with(Session::polling(now, Arc::new(limits), format, b"{}"), now)
    }

    pub fn websocket(limits: Limits) -> Self {
        Self::websocket_with(limits, Dialect::default())
    }

    /// A session on a WebSocket whose peer wants its packets in this dialect.
    pub fn websocket_with(limits: Limits, dialect: Dialect) -> Self {
        let now = super::start();
        let mut connection = Connection::new(b"");
        connection.speak(dialect);
        Self::with(Session::websocket(now, Arc::new(limits), connection, b"{}"), now)
    }

    fn with(session: Session, now: Instant) -> Self {
        Self { session, now, recorder: Recorder::default() }
    }

    pub fn input(&mut self, input: Input<'_>) {
        self.session.handle_input(self.now, input, &mut self.recorder);
    }

    /// Receives bytes and handles everything that they contain.
    pub fn receive(&mut self, role: Role, mut bytes: Vec<u8>) {
        self.input(Input::Received { role, bytes: &mut bytes });
        while self.session.has_more() {
            self.input(Input::Continue);
        }
    }

    /// Whether the app is blocked for too long.
    pub fn stall_app(&mut self, on: bool) {
        self.recorder.is_app_stalled = on;
    }

    pub fn evict_unfinished(&mut self) {
        self.session.evict_unfinished("maxTotalReceiveQueue", 1, &mut self.recorder);
    }

    pub fn send(&mut self, text: &str) {
        self.input(Input::Send {
            message: Outgoing::Text(text.as_bytes()),
            compress: true,
            receipt: false,
        });
    }

    /// Lets time pass, and handles each deadline in order.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..1000 {
            match self.session.deadline() {
                Some(deadline) if deadline <= end => {
                    self.now = self.now.max(deadline);
                    self.session.handle_timeout(self.now, &mut self.recorder);
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("deadlines do not move on");
    }

    /// The effects since the last call.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.recorder.effects)
    }

    /// The detail of the close.
    pub fn detail(&self) -> Option<&CloseDetail> {
        self.recorder.detail.as_ref()
    }

    /// Writes up to `most` queued bytes of one of the session's WebSockets, and returns them.
    pub fn write(&mut self, role: Role, most: usize) -> Vec<u8> {
        let Some(connection) = self.session.connection(role) else { return Vec::new() };
        let bytes = offered(connection, most);
        self.session.written(role, bytes.len(), &mut self.recorder);
        bytes
    }

    /// The released WebSockets, in the order of their release.
    pub fn released(&mut self) -> &mut [Connection] {
        &mut self.recorder.released
    }

    /// Writes up to `most` queued bytes of a released WebSocket, and returns them.
    pub fn write_released(&mut self, index: usize, most: usize) -> Vec<u8> {
        let connection = &mut self.recorder.released[index];
        if connection.is_aborted() {
            return Vec::new();
        }
        let bytes = offered(connection, most);
        connection.written(bytes.len());
        bytes
    }

    /// Writes all queued bytes of one of the session's WebSockets, and returns them.
    pub fn written(&mut self, role: Role) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(connection) = self.session.connection(role) {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = connection.fill(&mut slices);
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
            if bytes.is_empty() {
                break;
            }
            self.session.written(role, bytes.len(), &mut self.recorder);
            out.extend(bytes);
        }
        out
    }

    /// Writes all queued bytes of the released WebSockets, and returns them.
    pub fn written_after_release(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for connection in &mut self.recorder.released {
            while !connection.wire().is_empty() {
                let mut slices = [IoSlice::new(&[]); 8];
                let filled = connection.fill(&mut slices);
                let bytes: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
                connection.written(bytes.len());
                out.extend(bytes);
            }
        }
        out
    }
}

/// Up to `most` queued bytes of a connection.
fn offered(connection: &Connection, most: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = connection.fill(&mut slices);
    slices[..filled].iter().flat_map(|slice| slice.iter().copied()).take(most).collect()
}
