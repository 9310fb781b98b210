//! Commands from JavaScript to an I/O thread. The addon stages them in call order and flushes them
//! as one [`CommandBatch`] per tick; `shard/apply.rs` applies them.

use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::gauge::Gauge;
use crate::protocol::broadcast::Broadcast;
use crate::protocol::effects::Token;
use crate::protocol::limits::Limits;
use crate::protocol::payload::PayloadFormat;
use crate::protocol::revision::Dialect;
use crate::protocol::session::{Loss, PollingFault};
use crate::protocol::websocket::extension::Agreement;

/// Identifies a session. A slot is reused after a close, with the next generation; commands and
/// events that carry an older generation are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// The session's place in the table of its environment. It also decides the I/O thread.
    pub slot: u32,
    /// How many sessions have used the slot before.
    pub generation: u32,
}

/// How the bytes of a new WebSocket travel.
#[derive(Debug)]
pub enum NewLink {
    /// Through a socket whose descriptor was taken from Node.
    Tcp(TcpStream),
    /// Through the JavaScript stream with this number.
    Stream(u32),
}

/// A WebSocket whose opening handshake was accepted.
#[derive(Debug)]
pub struct NewWebSocket {
    /// How its bytes travel.
    pub link: NewLink,
    /// The 101 response, which is still to be written.
    pub answer: Vec<u8>,
    /// How the peer wants its packets.
    pub dialect: Dialect,
    /// The parameters of permessage-deflate, if it was negotiated.
    pub deflate: Option<Box<Agreement>>,
    /// The bytes that the peer sent right after its request.
    pub early: Vec<u8>,
}

/// The transport that a session begins with.
#[derive(Debug)]
pub enum NewTransport {
    /// Polling, with payloads in this format.
    Polling(PayloadFormat),
    /// A WebSocket.
    WebSocket(NewWebSocket),
}

/// A session to open.
#[derive(Debug)]
pub struct Open {
    /// The limits of its engine.
    pub limits: Arc<Limits>,
    /// The counters that it shares with JavaScript.
    pub gauge: Arc<Gauge>,
    /// The body of the open packet.
    pub packet: String,
    /// How it begins.
    pub transport: NewTransport,
}

/// The body of a message: a range of the batch's bytes, or memory of its own if it is long.
#[derive(Debug)]
pub enum Body {
    /// UTF-8 text within the batch.
    Text(Range<usize>),
    /// Bytes within the batch.
    Binary(Range<usize>),
    /// UTF-8 text in its own memory.
    OwnText(Vec<u8>),
    /// Bytes in their own memory.
    OwnBinary(Vec<u8>),
}

impl Body {
    /// The length of the message in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(range) | Self::Binary(range) => range.len(),
            Self::OwnText(body) | Self::OwnBinary(body) => body.len(),
        }
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What to do with a session.
#[derive(Debug)]
pub enum Action {
    /// Open it.
    Open(Box<Open>),
    /// Start to probe a WebSocket for an upgrade.
    Probe(Box<NewWebSocket>),
    /// Send a message; with `receipt`, report when it has been sent.
    Send {
        /// The message.
        body: Body,
        /// Whether it may be compressed.
        compress: bool,
        /// Whether to report it.
        receipt: bool,
    },
    /// Send a message that other sessions send as well.
    SendBroadcast(Arc<Broadcast>),
    /// Answer this GET as soon as there are packets.
    Get(Token),
    /// The parked GET's connection was lost.
    GetLost(Token),
    /// Node has sent the answer to a GET, of this many bytes, or has lost its connection.
    GetSent(usize),
    /// A POST has begun.
    PostBegun,
    /// This many bytes of a POST's body have arrived.
    PostProgress(usize),
    /// Handle the complete body of a POST.
    Post(Vec<u8>),
    /// Handle the complete body of a POST that is bytes, which only revision 3 has.
    PostBytes(Vec<u8>),
    /// End the session because a polling request broke the rules.
    Fault(PollingFault),
    /// Report when everything that is queued now has been sent.
    NotifyDrained,
    /// Close it.
    Close {
        /// Whether to drop what is queued.
        discard: bool,
    },
    /// Close it because its engine closes; what is queued is dropped.
    Shutdown,
    /// Close it because its engine is drained; what is queued is sent first.
    CloseDrained,
    /// Start or stop reporting heartbeats.
    Observe(bool),
    /// Read from its peer again: JavaScript has caught up.
    Resume,
    /// End it because the JavaScript value of one of its messages could not be created.
    Undeliverable,
    /// Panic in the session.
    #[cfg(feature = "test-panic")]
    Panic,
}

/// One command.
#[derive(Debug)]
pub enum Command {
    /// Do something with a session.
    Session(SessionId, Action),
    /// A JavaScript stream has received bytes.
    StreamReceived {
        /// The stream's number.
        stream: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A JavaScript stream has written bytes that it was given.
    StreamSent {
        /// The stream's number.
        stream: u32,
        /// How many bytes.
        bytes: usize,
    },
    /// A JavaScript stream has ended or failed.
    StreamLost {
        /// The stream's number.
        stream: u32,
        /// How it was lost.
        loss: Loss,
    },
    /// Signal this channel at the end of the turn, when one attempt to write has been made.
    Barrier(SyncSender<()>),
    /// Panic outside of any session.
    #[cfg(feature = "test-panic")]
    Panic,
}

/// Commands in call order.
#[derive(Debug, Default)]
pub struct CommandBatch {
    /// The commands.
    pub commands: Vec<Command>,
    /// The bytes of short messages, which [`Body`] refers to.
    pub bytes: Vec<u8>,
    /// The commands may compress or inflate messages. That must not happen on the JavaScript thread.
    pub is_heavy: bool,
}

impl CommandBatch {
    /// Whether it has no commands.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}
