//! One WebSocket: its reader, its send queue and the closing handshake.
//!
//! ```text
//!            peer's close frame (is answered)     ┌───────────┐
//!   ┌──────┐ ───────────────────────────────────> │ Finishing │  writes the queue, ends our side,
//!   │ Open │ ── violation (close frame is sent) ─> │           │  drops input until the peer ends
//!   └──────┘                                      └───────────┘
//!       │ close(): our close frame is sent              ^
//!       v                                               │ peer's close frame, or a violation
//!   ┌─────────┐                                         │
//!   │ Closing │ ────────────────────────────────────────┘
//!   └─────────┘  drops messages until the peer's close frame arrives
//!
//!   abort(): from each phase to Aborted, where nothing is read or written any more
//! ```

use std::borrow::Cow;
use std::io::IoSlice;
use std::sync::Arc;

use super::close_frame::CloseBody;
use super::deflate::Deflater;
use super::extension::{Agreement, ContextPlace};
use super::frame::{Control, Data, OpCode};
use super::inflate::Inflater;
use super::reader::{Incoming, MessageLimits, Reader};
use super::unread::Unread;
use super::violation::Violation;
use super::wire::Wire;
use crate::protocol::broadcast::{Broadcast, Form};
use crate::protocol::limits::Limits;
use crate::protocol::packet;
use crate::protocol::revision::Dialect;

/// How far the closing handshake has come (RFC 6455 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No close frame was sent or received.
    Open,
    /// Our close frame was sent; the peer's is awaited.
    Closing,
    /// No more frames are read or queued. The queue is still written.
    Finishing,
    /// The connection must be reset without a close frame.
    Aborted,
}

/// The server side of a WebSocket.
#[derive(Debug)]
pub struct Connection {
    reader: Reader,
    wire: Wire,
    phase: Phase,
    /// The number of pongs queued since the queue was last empty.
    pongs: u32,
    /// The payload of the newest ping, if the allowed number of pongs was queued already.
    late_pong: Option<Vec<u8>>,
    /// How the peer wants its packets.
    dialect: Dialect,
    /// Compresses messages, if permessage-deflate was negotiated.
    deflation: Option<Box<Deflation>>,
}

/// The sending half of permessage-deflate.
#[derive(Debug)]
struct Deflation {
    deflater: Deflater,
    /// Never read; dropping it makes room for another connection with contexts.
    _place: Option<ContextPlace>,
}

/// What a session receives from its peer.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A text message, known to be UTF-8.
    Text(Cow<'a, [u8]>),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// A close frame, which has been answered.
    Close(CloseBody),
}

impl Connection {
    /// An open WebSocket. `response`, the answer to its opening handshake, is queued first.
    pub fn new(response: &[u8]) -> Self {
        Self {
            reader: Reader::default(),
            wire: Wire::new(response),
            phase: Phase::Open,
            pongs: 0,
            late_pong: None,
            dialect: Dialect::default(),
            deflation: None,
        }
    }

    /// Makes the connection compress messages, and accept compressed ones.
    pub fn use_deflate(&mut self, agreement: Agreement) {
        let Agreement { settings, place, client_window_bits, .. } = agreement;
        let has_context = !agreement.client_no_context_takeover;
        self.reader.use_inflater(Inflater::new(has_context, client_window_bits));
        let deflater = Deflater::new(settings, !agreement.server_no_context_takeover);
        self.deflation = Some(Box::new(Deflation { deflater, _place: place }));
    }

    /// Allows another budget of inflated bytes, which bounds the work of a turn.
    pub fn renew_budget(&mut self) {
        self.reader.renew_budget();
    }

    /// Whether a message is not inflated completely because the budget is used up. The next call of
    /// [`Self::next`] after [`Self::renew_budget`] goes on with it, also without bytes.
    pub fn is_inflating(&self) -> bool {
        self.reader.is_inflating()
    }

    /// Drops a compression context that was not used since the last call.
    pub fn release_idle(&mut self) {
        if let Some(deflation) = &mut self.deflation {
            deflation.deflater.release_idle();
        }
    }

    /// Drops all compression contexts: no more messages are sent or delivered.
    fn drop_contexts(&mut self) {
        self.deflation = None;
        self.reader.stop_inflating();
    }

    /// Sets how the peer wants its packets. The default is revision 4, with binary frames.
    pub fn speak(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// How the peer wants its packets.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Makes [`Self::discard`] keep everything that is queued now.
    pub fn keep_queued(&mut self) {
        self.wire.keep();
    }

    /// The next message or close frame; `None` when all bytes have been read, or when
    /// [`Self::is_inflating`]. Pings are answered.
    ///
    /// # Errors
    ///
    /// The rule or limit that the peer has violated; the caller answers with [`Self::fail`].
    pub fn next<'a>(
        &mut self,
        unread: &mut Unread<'a>,
        limits: &Limits,
    ) -> Result<Option<Received<'a>>, Violation> {
        let bounds = MessageLimits { bytes: limits.max_message, fragments: limits.max_fragments };
        match self.phase {
            Phase::Open | Phase::Closing => {}
            Phase::Finishing | Phase::Aborted => {
                unread.take_all();
                return Ok(None);
            }
        }
        loop {
            match self.reader.next(unread, bounds)? {
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
                    self.drop_contexts();
                    unread.take_all();
                    return Ok(Some(Received::Close(body)));
                }
            }
        }
    }

    /// Reads and drops input after the session has released the connection. Only the peer's close
    /// frame still has an effect.
    pub fn drop_received(&mut self, bytes: &mut [u8], limits: &Limits) {
        let mut unread = Unread::new(bytes);
        while self.phase == Phase::Closing {
            match self.next(&mut unread, limits) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => self.phase = Phase::Finishing,
            }
        }
    }

    /// Answers a ping. Above `max_pending` queued pongs only the newest ping is answered, later
    /// (RFC 6455 section 5.5.3 allows this).
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

    /// Queues a message in compressed form. Returns `false` if it has to be sent as it is.
    fn send_compressed(&mut self, data: Data, prefix: &[u8], body: &[u8]) -> bool {
        let Some(deflation) = &mut self.deflation else { return false };
        let Some(compressed) = deflation.deflater.compress(prefix, body) else { return false };
        self.wire.push_compressed(OpCode::Data(data), compressed);
        true
    }

    /// Queues a text message with the payload `prefix` and `body`, without compression.
    pub fn send_text(&mut self, prefix: &[u8], body: &[u8]) {
        if self.phase == Phase::Open {
            self.wire.push_frame(OpCode::Data(Data::Text), prefix, body);
        }
    }

    /// Queues a text message, which is compressed if `compress` is set and that was negotiated.
    pub fn send_message(&mut self, prefix: &[u8], body: &[u8], compress: bool) {
        let is_sent = compress && self.send_compressed(Data::Text, prefix, body);
        if !is_sent {
            self.send_text(prefix, body);
        }
    }

    /// [`Self::send_message`] that takes over the body.
    pub fn send_message_owned(&mut self, prefix: &[u8], body: Vec<u8>, compress: bool) {
        let is_sent = compress && self.send_compressed(Data::Text, prefix, &body);
        if !is_sent && self.phase == Phase::Open {
            self.wire.push_owned(OpCode::Data(Data::Text), prefix, body);
        }
    }

    /// Queues a binary message.
    pub fn send_binary(&mut self, body: &[u8], compress: bool) {
        if self.dialect.base64 {
            return self.send_base64(body, compress);
        }
        let prefix = self.dialect.binary_prefix();
        let is_sent = compress && self.send_compressed(Data::Binary, prefix, body);
        if !is_sent && self.phase == Phase::Open {
            self.wire.push_frame(OpCode::Data(Data::Binary), prefix, body);
        }
    }

    /// Queues a binary message and takes over its body.
    pub fn send_binary_owned(&mut self, body: Vec<u8>, compress: bool) {
        if self.dialect.base64 {
            return self.send_base64(&body, compress);
        }
        let prefix = self.dialect.binary_prefix();
        let is_sent = compress && self.send_compressed(Data::Binary, prefix, &body);
        if !is_sent && self.phase == Phase::Open {
            self.wire.push_owned(OpCode::Data(Data::Binary), prefix, body);
        }
    }

    fn send_base64(&mut self, body: &[u8], compress: bool) {
        let mut text = Vec::new();
        packet::encode_base64(body, self.dialect, &mut text);
        self.send_message_owned(b"", text, compress);
    }

    /// Queues a message that is shared with other connections.
    pub fn send_shared(&mut self, broadcast: &Arc<Broadcast>) {
        if self.phase == Phase::Open {
            let broadcast = broadcast.adapted(self.dialect).unwrap_or(broadcast);
            let form = self.form_of(broadcast);
            self.wire.push_shared(broadcast, form);
        }
    }

    /// The form of a broadcast that this peer gets. Peers with context takeover share the compressed
    /// form with the others, and pay for it with their context.
    fn form_of(&mut self, broadcast: &Broadcast) -> Form {
        let Some(deflation) = &mut self.deflation else { return Form::Plain };
        let form = broadcast.compress(deflation.deflater.settings());
        if form != Form::Plain {
            deflation.deflater.forget();
        }
        form
    }

    /// Queues a close frame, without a status code if `code` is `None`, and awaits the peer's.
    pub fn close(&mut self, code: Option<u16>) {
        if self.phase == Phase::Open {
            self.push_close(code);
            self.phase = Phase::Closing;
            self.drop_contexts();
        }
    }

    /// Queues a close frame with `code` and stops reading frames, without waiting for the peer's
    /// close frame.
    pub fn fail(&mut self, code: u16) {
        match self.phase {
            Phase::Open => {
                self.push_close(Some(code));
                self.phase = Phase::Finishing;
            }
            Phase::Closing => self.phase = Phase::Finishing,
            Phase::Finishing | Phase::Aborted => {}
        }
        self.drop_contexts();
    }

    fn push_close(&mut self, code: Option<u16>) {
        let body = code.map(u16::to_be_bytes);
        let body = body.as_ref().map_or(&[][..], |bytes| &bytes[..]);
        self.wire.push_frame(OpCode::Control(Control::Close), b"", body);
    }

    /// Empties the queue, so that a close does not wait for a slow peer. Keeps what
    /// [`Self::keep_queued`] protects and the rest of a frame that has been written in part.
    pub fn discard(&mut self) {
        self.late_pong = None;
        self.wire.discard();
    }

    /// Gives up on the peer: the caller must reset the connection, and nothing more is written.
    pub fn abort(&mut self) {
        self.phase = Phase::Aborted;
        self.drop_contexts();
    }

    /// Whether the connection must be reset.
    pub fn is_aborted(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Closing | Phase::Finishing => false,
            Phase::Aborted => true,
        }
    }

    /// Whether our side of the connection can be ended: everything has been written, and nothing
    /// will be queued any more.
    pub fn is_finished(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Closing => false,
            Phase::Finishing | Phase::Aborted => self.wire.is_empty(),
        }
    }

    /// The memory in bytes of a message that has not arrived or is not inflated completely.
    pub fn unfinished(&self) -> usize {
        self.reader.unfinished()
    }

    /// The send queue.
    pub fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Fills `slices` with the next bytes to write and returns the number of filled slices.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.wire.fill(slices)
    }

    /// Removes written bytes from the queue.
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
    use crate::protocol::revision::Revision;
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
    fn keeps_only_the_newest_pong_above_the_limit() {
        let limits = Limits { max_pending_pongs: 2, ..Limits::default() };
        let mut connection = Connection::new(b"");
        let mut bytes: Vec<u8> = (0..9u8).flat_map(|n| client::frame(0x89, &[b'0' + n])).collect();
        let mut unread = Unread::new(&mut bytes);
        assert_eq!(connection.next(&mut unread, &limits), Ok(None));
        assert_eq!(drain(&mut connection), b"\x8a\x010\x8a\x011\x8a\x018");
    }

    #[test]
    fn sends_binary_messages_as_the_peer_wants_them() {
        let sent = |revision, base64| {
            let mut connection = Connection::new(b"");
            connection.speak(Dialect { revision, base64 });
            connection.send_binary(&[1, 2, 3], true);
            connection.send_binary_owned(vec![5], false);
            connection.send_shared(&Arc::new(Broadcast::binary(&[4])));
            connection.send_shared(&Arc::new(Broadcast::text(b"t")));
            drain(&mut connection)
        };
        assert_eq!(sent(Revision::V4, true), b"\x81\x05bAQID\x81\x05bBQ==\x81\x05bBA==\x81\x024t");
        assert_eq!(
            sent(Revision::V3, true),
            b"\x81\x06b4AQID\x81\x06b4BQ==\x81\x06b4BA==\x81\x024t"
        );
        assert_eq!(
            sent(Revision::V3, false),
            b"\x82\x04\x04\x01\x02\x03\x82\x02\x04\x05\x82\x02\x04\x04\x81\x024t"
        );
    }

    #[test]
    fn echoes_the_close_code_and_stops_reading() {
        let mut connection = Connection::new(b"");
        let mut bytes =
            [client::frame(0x88, b"\x0f\xa1bye"), client::frame(0x81, b"late")].concat();
        let mut unread = Unread::new(&mut bytes);
        let received = connection.next(&mut unread, &Limits::default());
        let body = CloseBody { code: Some(4001), reason: "bye".into() };
        assert_eq!(received, Ok(Some(Received::Close(body))));
        assert_eq!(connection.next(&mut unread, &Limits::default()), Ok(None));
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
