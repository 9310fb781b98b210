//! Opening handshakes of WebSockets. A verified request satisfies every rule, and its response is a
//! well-formed head that contains nothing of the request but one token and the digest of the key.

use upwire::protocol::websocket::extension::{Contexts, DeflateOptions, negotiate};
use upwire::protocol::websocket::opening::{UpgradeHeaders, response, verify};

use crate::script::Script;

pub fn check(data: &[u8]) {
    let mut script = Script(data);
    let headers = UpgradeHeaders {
        http_version: script.one_of(&["1.1", "1.0"]),
        host: script.flag().then(|| script.one_of(&["a.example"])),
        host_count: usize::from(script.byte() % 3),
        upgrade: script.flag().then(|| script.one_of(&["websocket", "WebSocket"])),
        connection: script.flag().then(|| script.one_of(&["Upgrade", "keep-alive, Upgrade"])),
        key: script.flag().then(|| script.one_of(&["dGhlIHNhbXBsZSBub25jZQ=="])),
        version: script.flag().then(|| script.one_of(&["13", "8"])),
        protocol: script.optional(),
        transfer_encoding: script.optional(),
        content_length: script.optional(),
        extensions: script.optional(),
    };
    let Err(refusal) = verify(&headers) else { return check_accepted(&headers) };
    assert!(refusal.to_string().is_ascii());
}

/// Checks a request that was accepted, and its response.
fn check_accepted(headers: &UpgradeHeaders<'_>) {
    let key = headers.key.expect("an accepted request has a key");
    assert_eq!((headers.http_version, headers.version), ("1.1", Some("13")));
    assert!(headers.host.is_some() && headers.host_count < 2);
    assert!(headers.transfer_encoding.is_none());
    assert!(headers.content_length.is_none_or(|length| length == "0"));
    assert_eq!(key.len(), 24);

    let agreed = headers.extensions.and_then(agreed);
    let response = response(key, headers.protocol, agreed.as_deref(), "X-Extra: 1\r\n");
    let head = response.strip_suffix("\r\n\r\n").expect("the head ends with an empty line");
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some("HTTP/1.1 101 Switching Protocols"));
    let fields: Vec<(&str, &str)> =
        lines.map(|line| line.split_once(": ").expect("each line is a header")).collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let mut expected = vec!["Upgrade", "Connection", "Sec-WebSocket-Accept"];
    if headers.protocol.is_some() {
        expected.push("Sec-WebSocket-Protocol");
    }
    if agreed.is_some() {
        expected.push("Sec-WebSocket-Extensions");
    }
    expected.push("X-Extra");
    assert_eq!(names, expected);
    for (name, value) in fields {
        assert!(!value.is_empty() && value.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        match name {
            "Sec-WebSocket-Extensions" => assert!(value.starts_with("permessage-deflate")),
            "Sec-WebSocket-Accept" => assert_eq!(value.len(), 28),
            "Sec-WebSocket-Protocol" => {
                let offered = headers.protocol.unwrap_or_default();
                assert!(offered.split(',').any(|token| token.trim_matches([' ', '\t']) == value));
            }
            _ => {}
        }
    }
}

/// The answer to a list of offers.
fn agreed(offers: &str) -> Option<String> {
    let agreement = negotiate(offers, &DeflateOptions::default(), &Contexts::default());
    agreement.expect("the list was verified").map(|agreement| agreement.response)
}
