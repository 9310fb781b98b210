//! Decides which requests the engine accepts, with the checks of engine.io's `verify` in the same
//! order and with the same error codes, and writes the open packet that answers a handshake.

use serde_json::json;

use super::limits::Limits;
use super::revision::Revision;

/// engine.io's error codes (`Server.errors`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ErrorCode {
    /// The `transport` parameter names no transport, or a disabled one.
    UnknownTransport = 0,
    /// The `sid` parameter names no session.
    UnknownSid = 1,
    /// The method is not allowed for this request.
    BadHandshakeMethod = 2,
    /// The request is malformed, or does not fit the state of its session.
    BadRequest = 3,
    /// The app refused the request in `allowRequest`.
    Forbidden = 4,
    /// The `EIO` parameter of a handshake is not 4, and `allowEIO3` is not set.
    UnsupportedProtocolVersion = 5,
}

impl ErrorCode {
    /// engine.io's message for the code.
    pub fn message(self) -> &'static str {
        match self {
            ErrorCode::UnknownTransport => "Transport unknown",
            ErrorCode::UnknownSid => "Session ID unknown",
            ErrorCode::BadHandshakeMethod => "Bad handshake method",
            ErrorCode::BadRequest => "Bad request",
            ErrorCode::Forbidden => "Forbidden",
            ErrorCode::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }
}

/// The transports of this engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportName {
    /// HTTP long-polling, `polling`.
    Polling,
    /// `websocket`.
    WebSocket,
}

impl TransportName {
    /// Parses the `transport` parameter of a query.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "polling" => Some(Self::Polling),
            "websocket" => Some(Self::WebSocket),
            _ => None,
        }
    }
}

/// The parts of a request that [`verify`] checks.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// Whether the request is an HTTP upgrade.
    pub upgrade: bool,
    /// The `transport` parameter.
    pub transport: Option<&'a str>,
    /// The `EIO` parameter: the protocol version.
    pub eio: Option<&'a str>,
    /// The `sid` parameter.
    pub sid: Option<&'a str>,
    /// The `Origin` header.
    pub origin: Option<&'a str>,
}

/// What the engine offers: the options `transports` and `allowEIO3`.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Polling is enabled.
    pub polling: bool,
    /// WebSocket is enabled.
    pub websocket: bool,
    /// Revision 3 of the protocol is enabled.
    pub revision_3: bool,
}

/// An existing session, as far as [`verify`] needs it.
#[derive(Debug, Clone, Copy)]
pub struct KnownSession<S> {
    /// The caller's name for the session; returned in [`Accepted`].
    pub session: S,
    /// The transport in use.
    pub transport: TransportName,
    /// The revision that it was opened with.
    pub revision: Revision,
    /// Whether a WebSocket is being probed for the session, or has become its transport.
    pub upgrading: bool,
}

/// What an accepted request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted<S> {
    /// The first request of a session.
    Handshake(TransportName),
    /// A GET of a polling session.
    Get(S),
    /// A POST of a polling session.
    Post(S),
    /// A WebSocket for a polling session.
    Upgrade(S),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The `transport` parameter names no transport, or a disabled one.
    UnknownTransport,
    /// The `Origin` header contains bytes that a header value must not contain.
    InvalidOrigin,
    /// The `sid` parameter names no session.
    UnknownSid,
    /// The session uses another transport, or a WebSocket is already being probed for it.
    TransportMismatch {
        /// The transport in use.
        previous: TransportName,
    },
    /// The `EIO` parameter of a session's request names another revision than its handshake.
    ProtocolMismatch,
    /// A handshake or upgrade with a method other than GET.
    BadHandshakeMethod,
    /// A WebSocket without an HTTP upgrade, or polling with one.
    TransportHandshakeError,
    /// The `EIO` parameter of a handshake is not 4, and `allowEIO3` is not set.
    UnsupportedProtocolVersion,
    /// A polling request of a session with a method other than GET and POST; answered with 405.
    MethodNotAllowed,
}

impl Refusal {
    /// engine.io's code.
    pub fn code(self) -> ErrorCode {
        match self {
            Refusal::UnknownTransport => ErrorCode::UnknownTransport,
            Refusal::UnknownSid => ErrorCode::UnknownSid,
            Refusal::BadHandshakeMethod | Refusal::MethodNotAllowed => {
                ErrorCode::BadHandshakeMethod
            }
            Refusal::UnsupportedProtocolVersion => ErrorCode::UnsupportedProtocolVersion,
            Refusal::InvalidOrigin
            | Refusal::TransportMismatch { .. }
            | Refusal::ProtocolMismatch
            | Refusal::TransportHandshakeError => ErrorCode::BadRequest,
        }
    }

    /// The `context.name` of the `connection_error` event.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Refusal::InvalidOrigin => Some("INVALID_ORIGIN"),
            Refusal::TransportMismatch { .. } => Some("TRANSPORT_MISMATCH"),
            Refusal::ProtocolMismatch => Some("PROTOCOL_MISMATCH"),
            Refusal::TransportHandshakeError => Some("TRANSPORT_HANDSHAKE_ERROR"),
            Refusal::UnknownTransport
            | Refusal::UnknownSid
            | Refusal::BadHandshakeMethod
            | Refusal::UnsupportedProtocolVersion
            | Refusal::MethodNotAllowed => None,
        }
    }
}

/// Checks a request in engine.io's order: transport, origin, then session or handshake. `lookup`
/// finds a session by its sid and is called at most once.
///
/// Only the bytes of the origin are checked here. `lib/admission/origin/rule.js` decides whether
/// the origin is allowed.
///
/// # Errors
///
/// The first check that the request fails.
pub fn verify<S>(
    request: &Request<'_>,
    rules: Rules,
    lookup: impl FnOnce(&str) -> Option<KnownSession<S>>,
) -> Result<Accepted<S>, Refusal> {
    let transport = request.transport.and_then(TransportName::parse);
    let transport = match transport {
        Some(TransportName::Polling) if rules.polling => TransportName::Polling,
        Some(TransportName::WebSocket) if rules.websocket => TransportName::WebSocket,
        _ => return Err(Refusal::UnknownTransport),
    };
    if request.origin.is_some_and(|origin| origin.bytes().any(is_forbidden_in_header)) {
        return Err(Refusal::InvalidOrigin);
    }
    match request.sid.filter(|sid| !sid.is_empty()) {
        Some(sid) => verify_session(request, transport, lookup(sid).ok_or(Refusal::UnknownSid)?),
        None => verify_handshake(request, transport, rules),
    }
}

fn verify_session<S>(
    request: &Request<'_>,
    transport: TransportName,
    known: KnownSession<S>,
) -> Result<Accepted<S>, Refusal> {
    let mismatch = Refusal::TransportMismatch { previous: known.transport };
    if request.upgrade {
        if transport == TransportName::Polling {
            return Err(Refusal::TransportHandshakeError);
        }
        // The first verified WebSocket wins, and a session never leaves a WebSocket.
        if known.transport == TransportName::WebSocket || known.upgrading {
            return Err(mismatch);
        }
    } else if transport != known.transport {
        return Err(mismatch);
    }
    if Revision::of_request(request.eio) != known.revision {
        return Err(Refusal::ProtocolMismatch);
    }
    match (request.upgrade, request.method) {
        (true, "GET") => Ok(Accepted::Upgrade(known.session)),
        (true, _) => Err(Refusal::BadHandshakeMethod),
        (false, _) if transport == TransportName::WebSocket => {
            Err(Refusal::TransportHandshakeError)
        }
        (false, "GET") => Ok(Accepted::Get(known.session)),
        (false, "POST") => Ok(Accepted::Post(known.session)),
        (false, _) => Err(Refusal::MethodNotAllowed),
    }
}

fn verify_handshake<S>(
    request: &Request<'_>,
    transport: TransportName,
    rules: Rules,
) -> Result<Accepted<S>, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::BadHandshakeMethod);
    }
    if request.upgrade != (transport == TransportName::WebSocket) {
        return Err(Refusal::TransportHandshakeError);
    }
    if Revision::of_request(request.eio) == Revision::V3 && !rules.revision_3 {
        return Err(Refusal::UnsupportedProtocolVersion);
    }
    Ok(Accepted::Handshake(transport))
}

/// Whether a header value must not contain this byte (RFC 9110 section 5.5).
fn is_forbidden_in_header(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// The body of the open packet: JSON with its members in engine.io's order.
pub fn open_packet(sid: &str, upgrades: &[&str], limits: &Limits) -> String {
    format!(
        r#"{{"sid":{},"upgrades":{},"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        json!(sid),
        json!(upgrades),
        millis(limits.ping_interval),
        millis(limits.ping_timeout),
        limits.max_message,
    )
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { polling: true, websocket: true, revision_3: false };

    fn poll() -> Request<'static> {
        Request {
            method: "GET",
            upgrade: false,
            transport: Some("polling"),
            eio: Some("4"),
            sid: None,
            origin: None,
        }
    }

    fn websocket() -> Request<'static> {
        Request { upgrade: true, transport: Some("websocket"), ..poll() }
    }

    fn check(request: Request<'_>) -> Result<Accepted<u32>, Refusal> {
        verify(&request, RULES, |sid| {
            let known = |session, transport, upgrading| {
                let revision = if session == 4 { Revision::V3 } else { Revision::V4 };
                KnownSession { session, transport, revision, upgrading }
            };
            match sid {
                "p" => Some(known(1, TransportName::Polling, false)),
                "u" => Some(known(2, TransportName::Polling, true)),
                "w" => Some(known(3, TransportName::WebSocket, false)),
                "3" => Some(known(4, TransportName::Polling, false)),
                _ => None,
            }
        })
    }

    #[test]
    fn accepts_each_kind_of_request() {
        let with = |sid| Request { sid: Some(sid), ..poll() };
        assert_eq!(check(poll()), Ok(Accepted::Handshake(TransportName::Polling)));
        assert_eq!(check(websocket()), Ok(Accepted::Handshake(TransportName::WebSocket)));
        assert_eq!(check(with("p")), Ok(Accepted::Get(1)));
        assert_eq!(check(Request { method: "POST", ..with("p") }), Ok(Accepted::Post(1)));
        assert_eq!(check(Request { sid: Some("p"), ..websocket() }), Ok(Accepted::Upgrade(1)));
        assert_eq!(check(with("")), Ok(Accepted::Handshake(TransportName::Polling)));
    }

    #[test]
    fn refuses_in_the_order_of_engine_io() {
        use Refusal as R;
        let polling = R::TransportMismatch { previous: TransportName::Polling };
        let socket = R::TransportMismatch { previous: TransportName::WebSocket };
        let cases = [
            (Request { transport: None, ..poll() }, R::UnknownTransport),
            (Request { transport: Some("__proto__"), ..poll() }, R::UnknownTransport),
            (Request { origin: Some("a\u{7f}"), ..poll() }, R::InvalidOrigin),
            (Request { sid: Some("x"), ..poll() }, R::UnknownSid),
            (Request { sid: Some("P"), ..poll() }, R::UnknownSid),
            (Request { sid: Some("w"), ..poll() }, socket),
            (Request { sid: Some("u"), ..websocket() }, polling),
            (Request { sid: Some("w"), ..websocket() }, socket),
            (Request { sid: Some("p"), eio: Some("3"), ..poll() }, R::ProtocolMismatch),
            (Request { sid: Some("p"), eio: None, ..websocket() }, R::ProtocolMismatch),
            (Request { sid: Some("3"), ..poll() }, R::ProtocolMismatch),
            (Request { sid: Some("p"), method: "PUT", ..poll() }, R::MethodNotAllowed),
            (Request { sid: Some("p"), method: "POST", ..websocket() }, R::BadHandshakeMethod),
            (Request { method: "POST", ..poll() }, R::BadHandshakeMethod),
            (Request { upgrade: true, ..poll() }, R::TransportHandshakeError),
            (Request { upgrade: false, ..websocket() }, R::TransportHandshakeError),
            (Request { eio: None, ..poll() }, R::UnsupportedProtocolVersion),
            (Request { eio: Some("5"), ..websocket() }, R::UnsupportedProtocolVersion),
        ];
        for (request, refusal) in cases {
            assert_eq!(check(request), Err(refusal), "{request:?}");
        }
    }

    #[test]
    fn accepts_revision_3_where_it_is_enabled() {
        let rules = Rules { revision_3: true, ..RULES };
        let polling = Ok(Accepted::Handshake(TransportName::Polling));
        for eio in [None, Some("3"), Some("2"), Some("04"), Some("5"), Some("")] {
            let request = Request { eio, ..poll() };
            assert_eq!(verify(&request, rules, |_| None::<KnownSession<u32>>), polling);
            assert_eq!(check(request), Err(Refusal::UnsupportedProtocolVersion));
            assert_eq!(check(Request { sid: Some("3"), eio, ..poll() }), Ok(Accepted::Get(4)));
        }
    }

    #[test]
    fn refuses_disabled_transports() {
        let rules = Rules { websocket: false, ..RULES };
        let lookup = |_: &str| None::<KnownSession<u32>>;
        assert_eq!(verify(&websocket(), rules, lookup), Err(Refusal::UnknownTransport));
    }

    #[test]
    fn writes_the_open_packet_of_engine_io() {
        assert_eq!(
            open_packet("a\"b", &["websocket"], &Limits::default()),
            r#"{"sid":"a\"b","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }
}
