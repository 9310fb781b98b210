//! One WebSocket: its reader, what waits to be written, and the closing handshake.
//!
//! ```text
//!            peer's close frame (answered)      ┌───────────┐
//!   ┌──────┐ ─────────────────────────────────> │ Finishing │  write the rest, end our side,
//!   │ Open │ ── violation (close frame sent) ──> │           │  read and drop until the peer ends
//!   └──────┘                                    └───────────┘
//!       │ close()                                     ^
//!       v                                             │ peer's close frame
//!   ┌─────────┐                                       │
//!   │ Closing │ ──────────────────────────────────────┘
//!   └─────────┘  ours is sent, the peer's is awaited; its messages are dropped
//! ```

use std::borrow::Cow;
use std::io::IoSlice;
use std::sync::Arc;

use super::frame::{Control, Data, OpCode};
use super::reader::{Chunk, Incoming, MessageLimits, Reader};
use super::violation::Violation;
use super::wire::Wire;
use crate::protocol::limits::Limits;
use crate::protocol::outbox::Broadcast;
use crate::protocol::packet;

use super::close_frame::CloseBody;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
    Finishing,
}

/// A WebSocket on the server's side.
#[derive(Debug)]
pub struct Connection {
    reader: Reader,
    wire: Wire,
    phase: Phase,
    /// Pongs on the wire since it was last empty.
    pongs: u32,
    /// The newest ping's payload, when more pongs wait than may.
    late_pong: Option<Vec<u8>>,
    /// The peer wants binary messages as text: engine.io's `b64`.
    base64: bool,
    /// To be reset without a word.
    aborted: bool,
}

/// What a peer said, as far as the session is concerned.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    Text(Cow<'a, [u8]>),
    Binary(Cow<'a, [u8]>),
    /// The peer closes; its close frame has been answered.
    Close(CloseBody),
}

impl Connection {
    /// An open WebSocket whose first outgoing bytes are the answer to its opening handshake.
    pub fn new(handshake_answer: &[u8]) -> Self {
        Self {
            reader: Reader::default(),
            wire: Wire::new(handshake_answer),
            phase: Phase::Open,
            pongs: 0,
            late_pong: None,
            base64: false,
            aborted: false,
        }
    }

    /// Has binary messages sent as text, in base64.
    pub fn use_base64(&mut self) {
        self.base64 = true;
    }

    /// What has been queued so far is sent whatever happens.
    pub fn keep_queued(&mut self) {
        self.wire.keep();
    }

    /// The next message in the chunk; pings are answered on the way.
    pub fn next<'a>(
        &mut self,
        chunk: &mut Chunk<'a>,
        limits: &Limits,
    ) -> Result<Option<Received<'a>>, Violation> {
        let bounds = MessageLimits { bytes: limits.max_message, fragments: limits.max_fragments };
        if self.phase == Phase::Finishing {
            chunk.take_all();
            return Ok(None);
        }
        loop {
            match self.reader.next(chunk, bounds)? {
                None => return Ok(None),
                Some(Incoming::Text(text)) => return Ok(Some(Received::Text(text))),
                Some(Incoming::Binary(bytes)) => return Ok(Some(Received::Binary(bytes))),
                Some(Incoming::Ping(payload)) => self.pong(&payload, limits.max_pending_pongs),
                Some(Incoming::Pong) => {}
                Some(Incoming::Close(body)) => {
                    if self.phase == Phase::Open {
                        self.push_close(body.code);
                    }
                    self.phase = Phase::Finishing;
                    chunk.take_all();
                    return Ok(Some(Received::Close(body)));
                }
            }
        }
    }

    /// Reads on after the session has let go: only the peer's close frame matters now.
    pub fn drop_received(&mut self, bytes: &mut [u8], limits: &Limits) {
        let mut chunk = Chunk::new(bytes);
        while self.phase == Phase::Closing {
            match self.next(&mut chunk, limits) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => self.phase = Phase::Finishing,
            }
        }
    }

    fn pong(&mut self, payload: &[u8], max_pending: u32) {
        if self.phase != Phase::Open {
            return;
        }
        if self.pongs >= max_pending {
            self.late_pong = Some(payload.to_vec());
            return;
        }
        self.pongs = self.pongs.saturating_add(1);
        self.wire.push_frame(OpCode::Control(Control::Pong), b"", payload);
    }

    /// Sends a text frame made of a prefix and a body.
    pub fn send_text(&mut self, prefix: &[u8], body: &[u8]) {
        if self.phase == Phase::Open {
            self.wire.push_frame(OpCode::Data(Data::Text), prefix, body);
        }
    }

    /// Sends a text frame whose body is given away.
    pub fn send_text_owned(&mut self, prefix: &[u8], body: Vec<u8>) {
        if self.phase == Phase::Open {
            self.wire.push_owned(OpCode::Data(Data::Text), prefix, body);
        }
    }

    /// Sends a binary message.
    pub fn send_binary(&mut self, body: &[u8]) {
        if self.base64 {
            self.send_base64(body);
        } else if self.phase == Phase::Open {
            self.wire.push_frame(OpCode::Data(Data::Binary), b"", body);
        }
    }

    /// Sends a binary message whose body is given away.
    pub fn send_binary_owned(&mut self, body: Vec<u8>) {
        if self.base64 {
            self.send_base64(&body);
        } else if self.phase == Phase::Open {
            self.wire.push_owned(OpCode::Data(Data::Binary), b"", body);
        }
    }

    fn send_base64(&mut self, body: &[u8]) {
        let mut text = Vec::new();
        packet::encode_binary(body, &mut text);
        self.send_text_owned(b"", text);
    }

    /// Sends a message shared with other connections.
    pub fn send_shared(&mut self, broadcast: &Arc<Broadcast>) {
        match broadcast.binary_body() {
            Some(body) if self.base64 => self.send_base64(body),
            _ if self.phase == Phase::Open => self.wire.push_shared(broadcast),
            _ => {}
        }
    }

    /// Sends a close frame, without status when `code` is `None`, and awaits the peer's.
    pub fn close(&mut self, code: Option<u16>) {
        if self.phase == Phase::Open {
            self.push_close(code);
            self.phase = Phase::Closing;
        }
    }

    /// Answers a violation: a close frame with its code; nothing more is read as frames.
    pub fn fail(&mut self, code: u16) {
        if self.phase == Phase::Open {
            self.push_close(Some(code));
        }
        self.phase = Phase::Finishing;
    }

    fn push_close(&mut self, code: Option<u16>) {
        let body = code.map(u16::to_be_bytes);
        let body = body.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        self.wire.push_frame(OpCode::Control(Control::Close), b"", body);
    }

    /// Drops what waits, for a close that is not to wait for a slow peer.
    pub fn discard(&mut self) {
        self.late_pong = None;
        self.wire.discard();
    }

    /// Gives the peer up: nothing more is written, the connection is to be reset.
    pub fn abort(&mut self) {
        self.phase = Phase::Finishing;
        self.aborted = true;
    }

    /// Whether the connection is to be reset at once.
    pub fn is_aborted(&self) -> bool {
        self.aborted
    }

    /// Whether our side may be ended: nothing waits and nothing more will be said.
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Finishing && self.wire.is_empty()
    }

    /// Memory of a message of the peer that has not arrived whole.
    pub fn unfinished(&self) -> usize {
        self.reader.unfinished()
    }

    /// What waits to be written.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Fills `slices` with what to write next and returns how many were filled.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.wire.fill(slices)
    }

    /// Takes note of what was written.
    pub fn written(&mut self, count: usize) {
        self.wire.written(count);
        if self.wire.is_empty() {
            self.pongs = 0;
            if let Some(payload) = self.late_pong.take() {
                self.pong(&payload, u32::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::client;

    fn drain(connection: &mut Connection) -> Vec<u8> {
        let mut out = Vec::new();
        while !connection.wire().is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = connection.fill(&mut slices);
            let all: Vec<u8> = slices[..filled].iter().flat_map(|s| s.to_vec()).collect();
            connection.written(all.len());
            out.extend(all);
        }
        out
    }

    #[test]
    fn keeps_only_the_newest_pong_beyond_the_bound() {
        let limits = Limits { max_pending_pongs: 2, ..Limits::default() };
        let mut connection = Connection::new(b"");
        let mut bytes: Vec<u8> = (0..9u8).flat_map(|n| client::frame(0x89, &[b'0' + n])).collect();
        let mut chunk = Chunk::new(&mut bytes);
        assert_eq!(connection.next(&mut chunk, &limits), Ok(None));
        assert_eq!(drain(&mut connection), b"\x8a\x010\x8a\x011\x8a\x018");
    }

    #[test]
    fn sends_binary_as_text_where_that_is_wanted() {
        let mut connection = Connection::new(b"");
        connection.use_base64();
        connection.send_binary(&[1, 2, 3]);
        connection.send_shared(&Arc::new(Broadcast::binary(&[4])));
        connection.send_shared(&Arc::new(Broadcast::text(b"t")));
        assert_eq!(drain(&mut connection), b"\x81\x05bAQID\x81\x05bBA==\x81\x024t");
    }

    #[test]
    fn echoes_the_close_code_and_reads_no_further() {
        let mut connection = Connection::new(b"");
        let mut bytes =
            [client::frame(0x88, b"\x0f\xa1bye"), client::frame(0x81, b"late")].concat();
        let mut chunk = Chunk::new(&mut bytes);
        let received = connection.next(&mut chunk, &Limits::default());
        let body = CloseBody { code: Some(4001), reason: "bye".into() };
        assert_eq!(received, Ok(Some(Received::Close(body))));
        assert_eq!(connection.next(&mut chunk, &Limits::default()), Ok(None));
        assert!(!connection.is_finished());
        assert_eq!(drain(&mut connection), b"\x88\x02\x0f\xa1");
        assert!(connection.is_finished());
    }

    #[test]
    fn waits_for_the_peers_close_frame() {
        let mut connection = Connection::new(b"");
        connection.close(None);
        connection.send_text(b"4", b"too late");
        assert_eq!(drain(&mut connection), b"\x88\x00");
        connection.drop_received(&mut client::frame(0x81, b"still talking"), &Limits::default());
        assert!(!connection.is_finished());
        connection.drop_received(&mut client::frame(0x88, b""), &Limits::default());
        assert!(connection.is_finished());
    }
}
