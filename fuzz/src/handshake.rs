//! Requests. An accepted request satisfies every rule, each of which is stated here a second time.
//! The open packet is JSON for any sid.

use upwire::protocol::handshake::{
    Accepted, ErrorCode, KnownSession, Refusal, Request, Rules, TransportName, open_packet, verify,
};
use upwire::protocol::limits::Limits;
use upwire::protocol::revision::Revision;

use crate::script::Script;

pub fn check(data: &[u8]) {
    let mut script = Script(data);
    let request = Request {
        method: script.one_of(&["GET", "POST", "OPTIONS"]),
        upgrade: script.flag(),
        transport: script.flag().then(|| script.one_of(&["polling", "websocket"])),
        eio: script.flag().then(|| script.one_of(&["4", "3"])),
        sid: script.optional(),
        origin: script.optional(),
    };
    let (polling, websocket, has_known) = (script.flag(), script.flag(), script.flag());
    let revision = |flag| if flag { Revision::V3 } else { Revision::V4 };
    let rules = Rules { polling, websocket, revision_3: data.len().is_multiple_of(3) };
    let known = has_known.then(|| KnownSession {
        session: 7,
        revision: revision(data.len().is_multiple_of(2)),
        transport: if script.flag() { TransportName::Polling } else { TransportName::WebSocket },
        upgrading: script.flag(),
    });
    let mut asked = None;
    let verdict = verify(&request, rules, |sid| {
        assert_eq!(asked.replace(sid.to_owned()), None, "the session is looked up twice");
        known
    });
    assert!(asked.is_none() || asked.as_deref() == request.sid);
    match verdict {
        Ok(accepted) => check_accepted(&request, rules, known, accepted),
        Err(refusal) => check_refusal(refusal),
    }

    let sid = script.text();
    let packet = open_packet(sid, &["websocket"], &Limits::default());
    let json: serde_json::Value = serde_json::from_str(&packet).expect("the open packet is JSON");
    assert_eq!(json["sid"], sid);
}

fn check_accepted(
    request: &Request<'_>,
    rules: Rules,
    known: Option<KnownSession<u32>>,
    accepted: Accepted<u32>,
) {
    let revision = if request.eio == Some("4") { Revision::V4 } else { Revision::V3 };
    let transport = match request.transport {
        Some("polling") if rules.polling => TransportName::Polling,
        Some("websocket") if rules.websocket => TransportName::WebSocket,
        other => panic!("accepted with the transport {other:?}"),
    };
    let is_clean = |origin: &str| origin.chars().all(|c| c == '\t' || !c.is_ascii_control());
    assert!(request.origin.is_none_or(is_clean));
    assert_eq!(request.upgrade, transport == TransportName::WebSocket);
    let has_sid = request.sid.is_some_and(|sid| !sid.is_empty());
    let is_handshake = matches!(accepted, Accepted::Handshake(_));
    assert_eq!(has_sid, !is_handshake);
    match accepted {
        Accepted::Handshake(named) => {
            assert_eq!((named, request.method), (transport, "GET"));
            assert!(revision == Revision::V4 || rules.revision_3);
        }
        Accepted::Get(session) => assert_eq!((session, request.method), (7, "GET")),
        Accepted::Post(session) => assert_eq!((session, request.method), (7, "POST")),
        Accepted::Upgrade(session) => {
            assert_eq!((session, request.method, request.upgrade), (7, "GET", true));
        }
    }
    if !is_handshake {
        let known = known.expect("the session is known");
        assert_eq!(known.transport, TransportName::Polling);
        assert_eq!(known.revision, revision);
        assert!(!request.upgrade || !known.upgrading);
    }
}

fn check_refusal(refusal: Refusal) {
    let code = refusal.code();
    assert!(!code.message().is_empty());
    // Refusals that share this code differ by their name, as in engine.io.
    assert!(code != ErrorCode::BadRequest || refusal.name().is_some());
}
