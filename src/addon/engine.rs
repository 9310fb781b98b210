//! One engine: what it allows, and which sessions it has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use napi::Either;
use napi_derive::napi;

use super::environment::{is_overloaded, with};
use super::guard::{Result, guard};
use super::raw::{CopiedBytes, NodeDescriptor};
use crate::protocol::handshake::{
    self, Accepted, KnownSession, Refusal, Request, Rules, TransportName,
};
use crate::protocol::limits::{Limits, SlowConsumer};
use crate::protocol::websocket::opening::{self, UpgradeHeaders, UpgradeRefusal};
use crate::runtime::commands::{Action, NewLink, NewWebSocket, Open, SessionId};

/// Options of an engine, checked and completed in JavaScript. Times in milliseconds.
#[napi(object)]
pub struct EngineLimits {
    pub ping_interval: f64,
    pub ping_timeout: f64,
    pub upgrade_timeout: f64,
    pub close_timeout: f64,
    pub max_depth: f64,
    pub max_http_buffer_size: f64,
    pub max_message_rate: u32,
    pub max_fragments: u32,
    pub max_pending_pongs: u32,
    pub max_send_buffer: f64,
    pub drop_when_slow: bool,
    pub max_receive_queue: f64,
    pub polling: bool,
    pub websocket: bool,
}

/// A refused request: engine.io's code and message, `name` of the context, and the transport in
/// use where that is the matter.
#[napi(object)]
pub struct Refused {
    pub code: u32,
    pub message: String,
    pub name: Option<String>,
    pub previous_transport: Option<String>,
    /// 405 instead of 400.
    pub is_method: bool,
}

/// Why a request cannot become a WebSocket.
#[napi(object)]
pub struct UpgradeRefused {
    pub message: String,
    /// The answer names the supported version.
    pub is_version: bool,
}

/// A session's place.
#[napi(object)]
pub struct Opened {
    pub slot: u32,
    pub generation: u32,
    /// The descriptor was taken; the stream is not needed.
    pub taken: bool,
}

/// An engine's native half.
#[napi]
pub struct NativeEngine {
    limits: Arc<Limits>,
    max_receive_queue: u64,
    rules: Rules,
    sessions: HashMap<String, KnownSession<SessionId>>,
}

const GET: f64 = 0.0;
const POST: f64 = 1.0;
const UPGRADE: f64 = 2.0;
const HANDSHAKE: f64 = 3.0;
const OVERLOADED: f64 = 4.0;

#[napi]
#[allow(clippy::needless_pass_by_value)]
impl NativeEngine {
    #[napi(constructor)]
    pub fn new(options: EngineLimits) -> Self {
        let millis = |value: f64| Duration::from_secs_f64((value / 1000.0).clamp(0.0, 1e9));
        let limits = Limits {
            ping_interval: millis(options.ping_interval),
            ping_timeout: millis(options.ping_timeout),
            upgrade_timeout: millis(options.upgrade_timeout),
            close_timeout: millis(options.close_timeout),
            max_message: options.max_http_buffer_size as usize,
            max_fragments: options.max_fragments,
            max_depth: options.max_depth as usize,
            max_message_rate: options.max_message_rate,
            max_pending_pongs: options.max_pending_pongs,
            max_send_buffer: options.max_send_buffer as usize,
            slow_consumer: if options.drop_when_slow {
                SlowConsumer::Drop
            } else {
                SlowConsumer::Close
            },
            ..Limits::default()
        };
        Self {
            limits: Arc::new(limits),
            max_receive_queue: options.max_receive_queue as u64,
            rules: Rules { polling: options.polling, websocket: options.websocket },
            sessions: HashMap::new(),
        }
    }

    /// Checks a request. A good one is a number: 0 GET, 1 POST or 2 upgrade of a session, 3 a
    /// handshake, 4 one for which there is no room.
    #[napi]
    pub fn verify(
        &self,
        method: String,
        upgrade: bool,
        transport: Option<String>,
        eio: Option<String>,
        sid: Option<String>,
        origin: Option<String>,
    ) -> Result<Either<f64, Refused>> {
        guard(|| {
            let request = Request {
                method: &method,
                upgrade,
                transport: transport.as_deref(),
                eio: eio.as_deref(),
                sid: sid.as_deref(),
                origin: origin.as_deref(),
            };
            let lookup = |sid: &str| self.sessions.get(sid).copied();
            Ok(match handshake::verify(&request, self.rules, lookup) {
                Ok(Accepted::Get(_)) => Either::A(GET),
                Ok(Accepted::Post(_)) => Either::A(POST),
                Ok(Accepted::Upgrade(_)) => Either::A(UPGRADE),
                Ok(Accepted::Handshake(_)) if is_overloaded() => Either::A(OVERLOADED),
                Ok(Accepted::Handshake(_)) => Either::A(HANDSHAKE),
                Err(refusal) => Either::B(refused(refusal)),
            })
        })
    }

    /// Checks the WebSocket part of an upgrade request. Its headers come one by one, as
    /// `req.headers` has them: an object would cost more than the check.
    #[napi]
    #[allow(clippy::too_many_arguments)]
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
            };
            Ok(opening::verify(&headers).err().map(|refusal| UpgradeRefused {
                message: refusal.to_string(),
                is_version: refusal == UpgradeRefusal::Version,
            }))
        })
    }

    /// Opens a polling session; its first GET comes next.
    #[napi]
    pub fn open_polling(&mut self, sid: String, can_upgrade: bool) -> Result<Opened> {
        let upgrades: &[&str] = if can_upgrade { &["websocket"] } else { &[] };
        guard(|| self.open(sid, upgrades, None))
    }

    /// Opens a session on a WebSocket whose request has been verified. With a `descriptor` of at
    /// least 0 the connection is taken from Node, else its bytes travel through the JavaScript
    /// stream of number `stream`. `headers` are whole lines for the 101, with `base64` binary messages
    /// are sent as text, `early` is what came behind the request.
    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn open_web_socket(
        &mut self,
        sid: String,
        #[napi(ts_arg_type = "number")] descriptor: NodeDescriptor,
        stream: u32,
        key: String,
        protocol: Option<String>,
        headers: String,
        base64: bool,
        #[napi(ts_arg_type = "Uint8Array | undefined | null")] early: Option<CopiedBytes>,
    ) -> Result<Opened> {
        guard(|| {
            let answer = opening::response(&key, protocol.as_deref(), &headers);
            let link = new_websocket(descriptor, stream, answer, base64, early);
            self.open(sid, &[], Some(link))
        })
    }

    fn open(
        &mut self,
        sid: String,
        upgrades: &[&str],
        link: Option<(NewWebSocket, bool)>,
    ) -> Result<Opened> {
        let (transport, websocket, taken) = match link {
            Some((websocket, taken)) => (TransportName::WebSocket, Some(websocket), taken),
            None => (TransportName::Polling, None, false),
        };
        let packet = handshake::open_packet(&sid, upgrades, &self.limits);
        let (limits, max_receive_queue) = (Arc::clone(&self.limits), self.max_receive_queue);
        let id = with(|host| {
            let (id, gauge) = host.slots.allocate(max_receive_queue);
            let open = Open { limits, max_receive_queue, gauge, packet, websocket };
            host.stage(id, Action::Open(Box::new(open)));
            id
        })?;
        self.sessions.insert(sid, KnownSession { session: id, transport, upgrading: false });
        Ok(Opened { slot: id.slot, generation: id.generation, taken })
    }

    /// Gives a polling session a WebSocket to probe; the arguments are those of
    /// [`Self::open_web_socket`]. Returns whether the descriptor was taken.
    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn probe(
        &mut self,
        sid: String,
        #[napi(ts_arg_type = "number")] descriptor: NodeDescriptor,
        stream: u32,
        key: String,
        protocol: Option<String>,
        headers: String,
        base64: bool,
        #[napi(ts_arg_type = "Uint8Array | undefined | null")] early: Option<CopiedBytes>,
    ) -> Result<bool> {
        guard(|| {
            let Some(known) = self.sessions.get_mut(&sid) else { return Ok(false) };
            known.upgrading = true;
            let answer = opening::response(&key, protocol.as_deref(), &headers);
            let (websocket, taken) = new_websocket(descriptor, stream, answer, base64, early);
            with(|host| host.stage(known.session, Action::Probe(Box::new(websocket))))?;
            Ok(taken)
        })
    }

    /// The probe has ended: the session is on WebSocket now, or still on polling.
    #[napi]
    pub fn probe_ended(&mut self, sid: String, upgraded: bool) {
        if let Some(known) = self.sessions.get_mut(&sid) {
            known.upgrading = false;
            if upgraded {
                known.transport = TransportName::WebSocket;
            }
        }
    }

    /// The session is over.
    #[napi]
    pub fn forget(&mut self, sid: String) {
        self.sessions.remove(&sid);
    }
}

fn refused(refusal: Refusal) -> Refused {
    let previous = match refusal {
        Refusal::TransportMismatch { previous: TransportName::Polling } => Some("polling"),
        Refusal::TransportMismatch { previous: TransportName::WebSocket } => Some("websocket"),
        _ => None,
    };
    Refused {
        code: refusal.code() as u32,
        message: refusal.code().message().to_owned(),
        name: refusal.name().map(str::to_owned),
        previous_transport: previous.map(str::to_owned),
        is_method: refusal == Refusal::MethodNotAllowed,
    }
}

/// Takes the connection from Node where that can be had.
fn new_websocket(
    descriptor: NodeDescriptor,
    stream: u32,
    answer: String,
    base64: bool,
    early: Option<CopiedBytes>,
) -> (NewWebSocket, bool) {
    let taken = descriptor.duplicate();
    let is_taken = taken.is_ok();
    let websocket = NewWebSocket {
        link: taken.map_or(NewLink::Stream(stream), NewLink::Tcp),
        answer: answer.into_bytes(),
        base64,
        early: early.map(|early| early.0).unwrap_or_default(),
    };
    (websocket, is_taken)
}
