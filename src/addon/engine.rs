//! The native half of an engine: it checks requests, and opens sessions with the engine's limits.

use std::sync::{Arc, LazyLock};

use napi::Either;
use napi_derive::napi;

use super::environment::{is_overloaded, with};
use super::guard::{Result, guard, internal};
use super::raw::{CopiedBytes, NodeDescriptor};
use crate::protocol::handshake::{
    self, Accepted, KnownSession, Refusal, Request, Rules, TransportName,
};
use crate::protocol::jsonp::Callback;
use crate::protocol::limits::Limits;
use crate::protocol::packet::PacketType;
use crate::protocol::payload::{Payload, PayloadFormat};
use crate::protocol::revision::{Dialect, Revision};
use crate::protocol::websocket::extension::{self, Agreement, Contexts, DeflateOptions};
use crate::protocol::websocket::opening::{self, UpgradeHeaders, UpgradeRefusal};
use crate::runtime::commands::{Action, NewLink, NewTransport, NewWebSocket, Open};

/// What an accepted request asks for.
#[napi]
pub enum Verdict {
    /// A GET of a polling session.
    Get,
    /// A POST of a polling session.
    Post,
    /// A WebSocket for a polling session.
    Upgrade,
    /// A new session.
    Handshake,
    /// A new session, while too much of what peers have sent is undelivered.
    Overloaded,
}

/// How the session that a request names travels.
#[napi]
pub enum SessionTransport {
    /// HTTP long-polling.
    Polling,
    /// Polling, while a WebSocket is being probed.
    Probing,
    /// A WebSocket.
    WebSocket,
}

/// A refused request.
#[napi(object)]
pub struct Refused {
    /// engine.io's error code.
    pub code: u32,
    /// `context.name` of the `connection_error` event.
    pub name: Option<String>,
    /// The session's transport, when the request names another one.
    pub previous_transport: Option<String>,
    /// The status is 405 instead of 400.
    pub is_method: bool,
}

/// Why a request cannot become a WebSocket.
#[napi(object)]
pub struct UpgradeRefused {
    pub message: String,
    /// The answer must name the supported version.
    pub is_version: bool,
}

/// A new session: its place in the table of sessions, and how its connection travels.
#[napi(object)]
pub struct Opened {
    pub slot: u32,
    pub generation: u32,
    /// Whether the descriptor was taken from Node, so that the stream is not needed.
    pub taken: bool,
}

/// An engine's native half.
#[napi]
pub struct NativeEngine {
    limits: Arc<Limits>,
    rules: Rules,
    /// How permessage-deflate is used, if it is.
    deflate: Option<DeflateOptions>,
}

/// The connections of this process that have compression contexts.
pub static CONTEXTS: LazyLock<Contexts> = LazyLock::new(Contexts::default);

#[napi]
impl NativeEngine {
    /// `limits` is a JSON object with the limits by name, checked and completed in JavaScript;
    /// `deflate` is one with the options of permessage-deflate, if that is on.
    #[napi(constructor)]
    pub fn new(
        limits: String,
        transports: Vec<String>,
        allow_eio3: bool,
        deflate: Option<String>,
    ) -> Result<Self> {
        let parse = |text: &str| -> Result<serde_json::Value> {
            serde_json::from_str(text).map_err(|error| internal(error.to_string()))
        };
        let limits = parse(&limits)?;
        let deflate = deflate.map(|text| parse(&text)).transpose()?;
        let allows = |wanted| transports.iter().any(|it| TransportName::parse(it) == Some(wanted));
        Ok(Self {
            limits: Arc::new(Limits::from_json(&limits)),
            rules: Rules {
                polling: allows(TransportName::Polling),
                websocket: allows(TransportName::WebSocket),
                revision_3: allow_eio3,
            },
            deflate: deflate.as_ref().map(DeflateOptions::from_json),
        })
    }

    /// Checks a request. `known` is the transport of the session that its `sid` names, `known_eio`
    /// the revision that the session was opened with.
    #[napi]
    #[allow(clippy::too_many_arguments, reason = "an object would cost a lookup for each property")]
    pub fn verify(
        &self,
        method: String,
        upgrade: bool,
        transport: Option<String>,
        eio: Option<String>,
        sid: Option<String>,
        known: Option<SessionTransport>,
        known_eio: Option<u32>,
        origin: Option<String>,
    ) -> Result<Either<Verdict, Refused>> {
        guard(|| {
            let request = Request {
                method: &method,
                upgrade,
                transport: transport.as_deref(),
                eio: eio.as_deref(),
                sid: sid.as_deref(),
                origin: origin.as_deref(),
            };
            let known = known.map(|known| known_session(known, known_eio.unwrap_or(4)));
            Ok(match handshake::verify(&request, self.rules, |_| known) {
                Ok(Accepted::Get(())) => Either::A(Verdict::Get),
                Ok(Accepted::Post(())) => Either::A(Verdict::Post),
                Ok(Accepted::Upgrade(())) => Either::A(Verdict::Upgrade),
                Ok(Accepted::Handshake(_)) if is_overloaded() => Either::A(Verdict::Overloaded),
                Ok(Accepted::Handshake(_)) => Either::A(Verdict::Handshake),
                Err(refusal) => Either::B(refused(refusal)),
            })
        })
    }

    /// Checks the opening handshake of an upgrade request. The headers are arguments, with the values
    /// of `req.headers`, because reading them from an object would cost more than the check.
    #[napi]
    #[allow(clippy::too_many_arguments, reason = "an object would cost a lookup for each property")]
    pub fn verify_upgrade(
        &self,
        http_version: String,
        host: Option<String>,
        host_count: u32,
        upgrade: Option<String>,
        connection: Option<String>,
        key: Option<String>,
        version: Option<String>,
        protocol: Option<String>,
        transfer_encoding: Option<String>,
        content_length: Option<String>,
        extensions: Option<String>,
    ) -> Result<Option<UpgradeRefused>> {
        guard(|| {
            let headers = UpgradeHeaders {
                http_version: &http_version,
                host: host.as_deref(),
                host_count: host_count as usize,
                upgrade: upgrade.as_deref(),
                connection: connection.as_deref(),
                key: key.as_deref(),
                version: version.as_deref(),
                protocol: protocol.as_deref(),
                transfer_encoding: transfer_encoding.as_deref(),
                content_length: content_length.as_deref(),
                extensions: extensions.as_deref().filter(|_| self.deflate.is_some()),
            };
            Ok(opening::verify(&headers).err().map(|refusal| UpgradeRefused {
                message: refusal.to_string(),
                is_version: refusal == UpgradeRefusal::Version,
            }))
        })
    }

    /// The length in bytes of the payload that opens a polling session. The arguments are those of
    /// `openPolling`.
    #[napi]
    pub fn open_length(
        &self,
        sid: String,
        can_upgrade: bool,
        eio: u32,
        base64: bool,
        jsonp: Option<String>,
    ) -> Result<u32> {
        guard(|| {
            let packet = self.packet(&sid, can_upgrade);
            let format = payload_format(eio, base64, jsonp);
            let length = format.single_with(PacketType::Open, packet.as_bytes()).len();
            Ok(u32::try_from(length).unwrap_or(u32::MAX))
        })
    }

    /// Opens a polling session. Its first GET follows as a command. `eio` is the revision of the
    /// protocol. With `base64`, binary messages are sent as text. `jsonp` is the index of the function
    /// that answers call, if the session uses JSONP.
    #[napi]
    pub fn open_polling(
        &self,
        sid: String,
        can_upgrade: bool,
        eio: u32,
        base64: bool,
        jsonp: Option<String>,
    ) -> Result<Opened> {
        guard(|| {
            let format = payload_format(eio, base64, jsonp);
            let packet = self.packet(&sid, can_upgrade);
            self.open(packet, NewTransport::Polling(format), false)
        })
    }

    /// Opens a session on a WebSocket whose request was accepted. With a `descriptor` of at least 0
    /// the connection is taken from Node; otherwise its bytes travel through the JavaScript stream
    /// with the number `stream`. `extensions` are the offers of the request. `headers` are complete
    /// lines for the 101 response. `eio` is the revision of the protocol. With `base64`, binary
    /// messages are sent as text. `early` holds the bytes that followed the request.
    #[napi]
    #[allow(clippy::too_many_arguments, reason = "an object would cost a lookup for each property")]
    pub fn open_web_socket(
        &self,
        sid: String,
        #[napi(ts_arg_type = "number")] descriptor: NodeDescriptor,
        stream: u32,
        key: String,
        protocol: Option<String>,
        extensions: Option<String>,
        headers: String,
        eio: u32,
        base64: bool,
        #[napi(ts_arg_type = "Uint8Array | undefined | null")] early: Option<CopiedBytes>,
    ) -> Result<Opened> {
        guard(|| {
            let opening = Opening { key, protocol, extensions, headers };
            let dialect = dialect(eio, base64);
            let (websocket, taken) =
                self.new_websocket(descriptor, stream, opening, dialect, early)?;
            self.open(self.packet(&sid, false), NewTransport::WebSocket(websocket), taken)
        })
    }
}

/// The parts of an accepted opening handshake that its answer needs.
pub struct Opening {
    /// `Sec-WebSocket-Key`.
    pub key: String,
    /// `Sec-WebSocket-Protocol`.
    pub protocol: Option<String>,
    /// `Sec-WebSocket-Extensions`.
    pub extensions: Option<String>,
    /// More lines for the answer.
    pub headers: String,
}

impl NativeEngine {
    /// A WebSocket whose opening handshake was accepted, and whether its descriptor was taken from
    /// Node.
    pub fn new_websocket(
        &self,
        descriptor: NodeDescriptor,
        stream: u32,
        opening: Opening,
        dialect: Dialect,
        early: Option<CopiedBytes>,
    ) -> Result<(NewWebSocket, bool)> {
        let Opening { key, protocol, extensions, headers } = opening;
        let deflate = extensions.and_then(|offers| self.negotiate(&offers));
        if let Some(agreement) = &deflate {
            with(|host| host.compress_from(agreement.settings.threshold))?;
        }
        let extensions = deflate.as_ref().map(|agreement| agreement.response.as_str());
        let answer = opening::response(&key, protocol.as_deref(), extensions, &headers);
        let taken = descriptor.duplicate();
        let is_taken = taken.is_ok();
        let websocket = NewWebSocket {
            link: taken.map_or(NewLink::Stream(stream), NewLink::Tcp),
            answer: answer.into_bytes(),
            dialect,
            deflate: deflate.map(Box::new),
            early: early.map(|early| early.0).unwrap_or_default(),
        };
        Ok((websocket, is_taken))
    }

    /// Chooses one of a client's offers.
    fn negotiate(&self, offers: &str) -> Option<Agreement> {
        let options = self.deflate.as_ref()?;
        extension::negotiate(offers, options, &CONTEXTS).ok()?
    }

    fn packet(&self, sid: &str, can_upgrade: bool) -> String {
        let upgrades: &[&str] = if can_upgrade { &["websocket"] } else { &[] };
        handshake::open_packet(sid, upgrades, &self.limits)
    }

    fn open(&self, packet: String, transport: NewTransport, taken: bool) -> Result<Opened> {
        let limits = Arc::clone(&self.limits);
        let id = with(|host| {
            let (id, gauge) = host.slots.allocate(limits.max_receive_queue as u64);
            let open = Open { limits, gauge, packet, transport };
            host.stage(id, Action::Open(Box::new(open)));
            id
        })?;
        Ok(Opened { slot: id.slot, generation: id.generation, taken })
    }
}

/// What the check of a request needs to know about its session.
fn known_session(transport: SessionTransport, eio: u32) -> KnownSession<()> {
    let (transport, upgrading) = match transport {
        SessionTransport::Polling => (TransportName::Polling, false),
        SessionTransport::Probing => (TransportName::Polling, true),
        SessionTransport::WebSocket => (TransportName::WebSocket, false),
    };
    KnownSession { session: (), transport, revision: Revision::from_number(eio), upgrading }
}

fn refused(refusal: Refusal) -> Refused {
    let previous = match refusal {
        Refusal::TransportMismatch { previous: TransportName::Polling } => Some("polling"),
        Refusal::TransportMismatch { previous: TransportName::WebSocket } => Some("websocket"),
        _ => None,
    };
    Refused {
        code: refusal.code() as u32,
        name: refusal.name().map(str::to_owned),
        previous_transport: previous.map(str::to_owned),
        is_method: refusal == Refusal::MethodNotAllowed,
    }
}

/// How the peer of a request wants its packets.
pub fn dialect(eio: u32, base64: bool) -> Dialect {
    Dialect { revision: Revision::from_number(eio), base64 }
}

fn payload_format(eio: u32, base64: bool, jsonp: Option<String>) -> PayloadFormat {
    PayloadFormat {
        dialect: dialect(eio, base64),
        callback: jsonp.map(|index| Callback::new(&index)),
    }
}

/// A payload with one packet that has no body, for answers that JavaScript gives by itself: a noop, or
/// with `close` a close packet. The other arguments are those of `NativeEngine::open_polling`.
#[napi]
pub fn single_packet(close: bool, eio: u32, jsonp: Option<String>) -> Result<String> {
    guard(|| {
        let kind = if close { PacketType::Close } else { PacketType::Noop };
        let (Payload::Text(payload) | Payload::Bytes(payload)) =
            payload_format(eio, false, jsonp).single(kind);
        Ok(String::from_utf8_lossy(&payload).into_owned())
    })
}
