//! What can happen to a session.

use crate::protocol::close_reason::{CloseDetail, code};
use crate::protocol::effects::{Role, Token};
use crate::protocol::outbox::Outgoing;
use crate::protocol::websocket::Connection;

/// An input of a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// A WebSocket received bytes. Handles up to [`PACKET_BUDGET`](super::PACKET_BUDGET) messages;
    /// the rest wait for `Continue`.
    Received {
        /// The WebSocket.
        role: Role,
        /// The bytes, which are unmasked in place.
        bytes: &'a mut [u8],
    },
    /// A WebSocket lost its connection.
    Lost {
        /// The WebSocket.
        role: Role,
        /// How the connection was lost.
        loss: Loss,
    },
    /// A GET arrived and waits for packets.
    Get {
        /// The caller's name for the GET.
        token: Token,
    },
    /// A GET lost its connection before it was answered.
    GetLost {
        /// The caller's name for the GET.
        token: Token,
    },
    /// The answer to a GET, of this many bytes, has left Node or is lost.
    GetSent(usize),
    /// A POST arrived whose body is not complete. WebSocket messages wait for it, because the peer
    /// sent it before the upgrade.
    PostBegun,
    /// This many bytes of a POST's body have arrived. The caller holds them until the body is
    /// complete.
    PostProgress(usize),
    /// The body of a POST is complete, and the POST has been answered. Handles up to
    /// [`PACKET_BUDGET`](super::PACKET_BUDGET) packets; the rest wait for `Continue`.
    Post(Vec<u8>),
    /// [`Input::Post`] for a body that is bytes, which only revision 3 has.
    PostBytes(Vec<u8>),
    /// Handles up to [`PACKET_BUDGET`](super::PACKET_BUDGET) waiting packets of POSTs, then as many
    /// waiting messages of the WebSocket.
    Continue,
    /// A polling request violated a rule. The caller has answered it.
    Fault(PollingFault),
    /// The peer opened a WebSocket for an upgrade.
    Probe(Connection),
    /// The app sends a message.
    Send {
        /// The message.
        message: Outgoing<'a>,
        /// Whether it may be compressed. A shared message has its own setting.
        compress: bool,
        /// Whether to emit `Sent` once the message has been written.
        receipt: bool,
    },
    /// Emits `Sent` once the current queue has been written, or at once if it is empty.
    NotifyDrained,
    /// The app closes the session.
    Close {
        /// Whether to drop the queue instead of sending it first.
        discard: bool,
    },
    /// The engine closes. The queue is dropped, and the peer learns that the server goes away.
    Shutdown,
    /// The engine is drained. The queue is sent, then the peer learns that the server goes away.
    CloseDrained,
    /// Nothing is read from the peer until `Resume`.
    Pause,
    /// The peer is read again.
    Resume,
    /// Turns the events `Heartbeat` and `PingSent` on or off.
    Observe(bool),
    /// An event could not be delivered to JavaScript. The session closes, because continuing would
    /// leave a gap.
    Undeliverable,
    /// A panic left the session in an unknown state.
    Broken,
}

/// How a connection was lost. The numbers are `errno`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The peer ended it.
    Ended,
    /// Reading failed.
    Read(Option<i32>),
    /// Writing failed.
    Write(Option<i32>),
}

impl Loss {
    /// The detail of the close that follows.
    pub(super) fn detail(self) -> CloseDetail {
        let (code, message, errno) = match self {
            Loss::Ended => (code::CONNECTION_ENDED, "connection ended", None),
            Loss::Read(errno) | Loss::Write(errno) => {
                (code::CONNECTION_LOST, "connection lost", errno)
            }
        };
        CloseDetail { errno, ..CloseDetail::new(code, message) }
    }
}

/// The rule that a polling request violated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollingFault {
    /// A GET lost its connection.
    PollLost,
    /// A POST arrived before the previous one was complete.
    PostOverlap,
    /// A POST lost its connection before its body was complete.
    PostLost,
    /// The body of a POST is larger than `maxHttpBufferSize`.
    PostTooLarge,
    /// The content of a POST is binary; Engine.IO v4 only allows text.
    BinaryContent,
    /// The content of a POST is compressed.
    EncodedContent,
}

impl PollingFault {
    /// The detail of the close that follows.
    pub(super) fn detail(self) -> CloseDetail {
        let (code, message) = match self {
            PollingFault::PollLost => (code::CONNECTION_LOST, "poll connection closed prematurely"),
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
