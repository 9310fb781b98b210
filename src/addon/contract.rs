//! The contract with JavaScript: every number, name and default that both sides must agree on, and
//! that is not an argument or a result of an export. `scripts/write-contract.mjs` writes it to
//! `native/contract.js` after each build, so that JavaScript can read it without loading the addon.

use napi_derive::napi;
use serde_json::{Value, json};

use super::guard::NOT_RUNNING;
use super::hot_calls::{META, PLAIN, RECEIPT};
use crate::protocol::close_reason::{CloseReason, code};
use crate::protocol::handshake::ErrorCode;
use crate::protocol::limits::Limits;
use crate::protocol::session::REPORTED_FROM;
use crate::protocol::websocket::extension::DeflateOptions;
use crate::runtime::gauge::SharedLimits;
use crate::runtime::inbox::{CLOSE_REASON_BITS, Kind, StreamKind};

/// Lists the variants of an enum with their names in JavaScript. The match has an arm for each, so a
/// variant without a name does not compile.
macro_rules! named {
    ($type:ident { $($variant:ident => $name:literal,)+ }) => {{
        let _is_complete = |value: $type| match value { $($type::$variant => (),)+ };
        [$(($name, $type::$variant)),+]
    }};
}

/// The kinds of events of a session, by their names in JavaScript.
const EVENTS: [(&str, Kind); 14] = named!(Kind {
    Text => "TEXT",
    Binary => "BINARY",
    Close => "CLOSE",
    Upgrading => "UPGRADING",
    Upgraded => "UPGRADED",
    UpgradeFailed => "UPGRADE_FAILED",
    Heartbeat => "HEARTBEAT",
    PingSent => "PING_SENT",
    Sent => "SENT",
    AnswerGet => "ANSWER_GET",
    RefuseGet => "REFUSE_GET",
    Limit => "LIMIT",
    PostWanted => "POST_WANTED",
    AnswerGetBytes => "ANSWER_GET_BYTES",
});

/// The contract, as JSON.
#[napi]
pub fn contract() -> String {
    const {
        let mut at = 0;
        while at < EVENTS.len() {
            assert!((EVENTS[at].1 as u8) < StreamKind::Write as u8, "a kind has a stream's number");
            at += 1;
        }
    }
    let stream_events = named!(StreamKind {
        Write => "STREAM_WRITE",
        End => "STREAM_END",
        Reset => "STREAM_RESET",
        Pause => "STREAM_PAUSE",
        Resume => "STREAM_RESUME",
    });
    let events = EVENTS.map(|(name, kind)| json!([name, kind as i32]));
    let stream_events = stream_events.map(|(name, kind)| json!([name, kind as i32]));
    let kinds = [&events[..], &stream_events[..]].concat();
    let mut reasons = named!(CloseReason {
        TransportError => "transport error",
        TransportClose => "transport close",
        ForcedClose => "forced close",
        PingTimeout => "ping timeout",
        ParseError => "parse error",
    });
    let errors = named!(ErrorCode {
        UnknownTransport => "UNKNOWN_TRANSPORT",
        UnknownSid => "UNKNOWN_SID",
        BadHandshakeMethod => "BAD_HANDSHAKE_METHOD",
        BadRequest => "BAD_REQUEST",
        Forbidden => "FORBIDDEN",
        UnsupportedProtocolVersion => "UNSUPPORTED_PROTOCOL_VERSION",
    });
    // JavaScript finds a reason by its place in the list.
    reasons.sort_by_key(|(_, reason)| *reason as i32);
    // Tables are lists of pairs, which keep their order.
    json!({
        "KIND": kinds,
        "EVENT_INTEGERS": META,
        "CLOSE_REASONS": reasons.map(|(name, _)| json!([screaming(name), name])),
        "CLOSE_REASON_BITS": CLOSE_REASON_BITS,
        "CODES": [
            ["NOT_RUNNING", NOT_RUNNING],
            ["SHUTDOWN", code::SHUTDOWN],
            ["SLOW_CONSUMER", code::SLOW_CONSUMER],
        ],
        "ERRORS": errors.map(|(name, error)| json!([name, error as u8])),
        "ERROR_MESSAGES": errors.map(|(_, error)| json!([error as u8, error.message()])),
        "DEFLATE": pairs(&DeflateOptions::default().to_json()),
        "FLAGS": [["RECEIPT", RECEIPT], ["PLAIN", PLAIN]],
        "LIMITS": pairs(&Limits::default().to_json()),
        "REPORTED_FROM": REPORTED_FROM,
        "SHARED_LIMITS": pairs(&SharedLimits::default().to_json()),
    })
    .to_string()
}

/// `ping timeout` as `PING_TIMEOUT`.
fn screaming(name: &str) -> String {
    name.to_uppercase().replace(' ', "_")
}

fn pairs(table: &Value) -> Value {
    table.as_object().into_iter().flatten().map(|(name, value)| json!([name, value])).collect()
}
