//! What JavaScript asks of an I/O thread: batches of commands in call order, one a tick.

use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::gauge::Gauge;
use crate::protocol::broadcast::Broadcast;
use crate::protocol::effects::Token;
use crate::protocol::limits::Limits;
use crate::protocol::session::{Loss, PollingFault};

/// Names a session: stale commands carry an older generation and are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId {
    pub slot: u32,
    pub generation: u32,
}

/// How a WebSocket's bytes travel.
#[derive(Debug)]
pub enum NewLink {
    /// A descriptor taken from Node.
    Tcp(TcpStream),
    /// A JavaScript stream, by its number.
    Stream(u32),
}

/// A WebSocket whose opening handshake was accepted.
#[derive(Debug)]
pub struct NewWebSocket {
    pub link: NewLink,
    /// The 101 answer.
    pub answer: Vec<u8>,
    /// The peer wants binary messages as text.
    pub base64: bool,
    /// What the peer sent behind its request.
    pub early: Vec<u8>,
}

/// A session to open.
#[derive(Debug)]
pub struct Open {
    pub limits: Arc<Limits>,
    pub max_receive_queue: u64,
    pub gauge: Arc<Gauge>,
    /// Body of the open packet.
    pub packet: String,
    /// `None` for polling.
    pub websocket: Option<NewWebSocket>,
}

/// Text or binary, as bytes of the batch or its own.
#[derive(Debug)]
pub enum Body {
    Text(Range<usize>),
    Binary(Range<usize>),
    OwnText(Vec<u8>),
    OwnBinary(Vec<u8>),
}

/// What to do with a session.
#[derive(Debug)]
pub enum Action {
    Open(Box<Open>),
    Probe(Box<NewWebSocket>),
    Send {
        body: Body,
        receipt: bool,
    },
    SendBroadcast(Arc<Broadcast>),
    Get(Token),
    GetLost(Token),
    GetSent(usize),
    PostBegun,
    /// So many bytes of a POST's body have arrived.
    PostProgress(usize),
    Post(Vec<u8>),
    Fault(PollingFault),
    Report,
    Close {
        discard: bool,
    },
    Shutdown,
    Leave,
    Observe(bool),
    /// JavaScript has caught up with a paused session.
    Resume,
    /// A message could not be made a JavaScript value.
    Undeliverable,
    #[cfg(feature = "test-panic")]
    Panic,
}

/// One thing to do.
#[derive(Debug)]
pub enum Command {
    Session(SessionId, Action),
    /// A JavaScript stream brought bytes.
    StreamReceived {
        stream: u32,
        bytes: Vec<u8>,
    },
    /// A JavaScript stream has written so many bytes.
    StreamSent {
        stream: u32,
        bytes: usize,
    },
    /// A JavaScript stream is gone.
    StreamLost {
        stream: u32,
        loss: Loss,
    },
    /// Answered when the turn that met it has written what it could.
    Barrier(SyncSender<()>),
    #[cfg(feature = "test-panic")]
    Panic,
}

/// Commands in call order, with the bytes of the small messages.
#[derive(Debug, Default)]
pub struct CommandBatch {
    pub commands: Vec<Command>,
    pub bytes: Vec<u8>,
}

impl CommandBatch {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}
