//! Sessions of revision 3: the clients of Socket.IO 2, and JSONP polling.

use std::sync::Arc;
use std::time::Duration;

use super::client;
use super::world::{Effect, World, limits};
use crate::protocol::broadcast::Broadcast;
use crate::protocol::close_reason::{CloseReason, code};
use crate::protocol::effects::{Event, Role};
use crate::protocol::jsonp::Callback;
use crate::protocol::limits::Limits;
use crate::protocol::outbox::Outgoing;
use crate::protocol::payload::PayloadFormat;
use crate::protocol::revision::{Dialect, Revision};
use crate::protocol::session::Input;
use crate::protocol::websocket::Connection;

const SECOND: Duration = Duration::from_secs(1);

const V3: Dialect = Dialect { revision: Revision::V3, base64: false };

fn polling(dialect: Dialect) -> World {
    let mut world = World::polling_with(limits(), PayloadFormat { dialect, callback: None });
    world.input(Input::Get { token: 1 });
    assert_eq!(world.effects(), [Effect::Get(1, "3:0{}".into())]);
    world
}

fn websocket(limits: Limits) -> World {
    let mut world = World::websocket_with(limits, V3);
    assert_eq!(world.written(Role::Main), b"\x81\x030{}");
    world
}

fn send_binary(world: &mut World, bytes: &[u8]) {
    world.input(Input::Send { message: Outgoing::Binary(bytes), compress: true, receipt: false });
}

#[test]
fn payloads_have_lengths_and_become_bytes_for_binary_messages() {
    let mut world = polling(V3);
    world.send("h\u{e9}\u{1f600}");
    world.send("b");
    world.input(Input::Get { token: 2 });
    assert_eq!(world.effects(), [Effect::Get(2, "5:4h\u{e9}\u{1f600}2:4b".into())]);
    world.send("a");
    send_binary(&mut world, &[1, 2]);
    world.input(Input::Get { token: 3 });
    let bytes = b"\0\x02\xff4a\x01\x03\xff\x04\x01\x02".to_vec();
    assert_eq!(world.effects(), [Effect::GetBytes(3, bytes)]);
}

#[test]
fn a_peer_without_binary_gets_base64() {
    let mut world = polling(Dialect { base64: true, ..V3 });
    send_binary(&mut world, &[1, 2]);
    world.input(Input::Send {
        message: Outgoing::Shared(&Arc::new(Broadcast::binary(&[3]))),
        compress: true,
        receipt: false,
    });
    world.input(Input::Get { token: 2 });
    assert_eq!(world.effects(), [Effect::Get(2, "6:b4AQI=6:b4Aw==".into())]);
}

#[test]
fn posts_of_both_forms_are_delivered_until_an_invalid_packet() {
    let mut world = polling(V3);
    world.input(Input::Post("4:4h\u{e9}\u{20ac}6:b4AQI=1:6".into()));
    world.input(Input::PostBytes(b"\0\x03\xff4\xc3\xa9\x01\x03\xff\x04\x03\x04".to_vec()));
    world.input(Input::Post("2:4a9:4".into()));
    assert_eq!(
        world.effects(),
        [
            Effect::Text("h\u{e9}\u{20ac}".into()),
            Effect::Binary(vec![1, 2]),
            Effect::Text("\u{e9}".into()),
            Effect::Binary(vec![3, 4]),
            Effect::Text("a".into()),
            Effect::Closed(CloseReason::ParseError)
        ]
    );
}

#[test]
fn a_ping_is_answered_and_keeps_the_session() {
    let mut world = polling(V3);
    world.input(Input::Observe(true));
    for _ in 0..3 {
        world.wait(SECOND * 44);
        world.input(Input::Post(b"1:2".to_vec()));
    }
    world.input(Input::Get { token: 2 });
    let beat = Effect::Event(Event::Heartbeat);
    assert_eq!(
        world.effects(),
        [beat.clone(), beat.clone(), beat, Effect::Get(2, "1:31:31:3".into())]
    );
    world.input(Input::Get { token: 3 });
    world.wait(SECOND * 45);
    assert_eq!(
        world.effects(),
        [Effect::Get(3, "1:1".into()), Effect::Closed(CloseReason::PingTimeout)]
    );
}

#[test]
fn only_a_ping_keeps_the_session() {
    let mut world = websocket(limits());
    world.wait(SECOND * 44);
    world.receive(Role::Main, client::frame(0x81, b"4a"));
    world.wait(SECOND);
    assert_eq!(world.effects()[..2], [Effect::Text("a".into()), Effect::Released(Role::Main)]);
    assert_eq!(world.detail().and_then(|detail| detail.code), Some(code::PING_TIMEOUT));
}

#[test]
fn a_pong_from_the_client_is_an_error() {
    let mut world = polling(V3);
    world.input(Input::Post(b"1:3".to_vec()));
    assert_eq!(world.effects(), [Effect::Closed(CloseReason::TransportError)]);
    assert_eq!(world.detail().and_then(|detail| detail.code), Some(code::HEARTBEAT_DIRECTION));
}

#[test]
fn frames_have_types() {
    let mut world = websocket(limits());
    let bytes = [
        client::frame(0x82, &[4, 1, 2]),
        client::frame(0x82, &[2]),
        client::frame(0x81, b"b4Aw=="),
        client::frame(0x82, &[6, 6]),
        client::frame(0x82, &[9]),
    ];
    world.receive(Role::Main, bytes.concat());
    assert_eq!(
        world.effects(),
        [
            Effect::Binary(vec![1, 2]),
            Effect::Binary(vec![3]),
            Effect::Released(Role::Main),
            Effect::Closed(CloseReason::ParseError)
        ]
    );
    assert_eq!(world.written_after_release(), b"\x81\x013\x88\0");
}

#[test]
fn broadcasts_reach_both_revisions() {
    let broadcast = Arc::new(Broadcast::binary(&[7]));
    let text = Arc::new(Broadcast::text(b"t"));
    for (dialect, expected) in [
        (V3, &b"\x82\x02\x04\x07\x81\x024t"[..]),
        (Dialect::default(), b"\x82\x01\x07\x81\x024t"),
        (Dialect { base64: true, ..V3 }, b"\x81\x06b4Bw==\x81\x024t"),
    ] {
        let mut world = World::websocket_with(limits(), dialect);
        world.written(Role::Main);
        for message in [&broadcast, &text] {
            world.input(Input::Send {
                message: Outgoing::Shared(message),
                compress: true,
                receipt: false,
            });
        }
        assert_eq!(world.written(Role::Main), expected);
    }
}

#[test]
fn a_peer_that_only_pings_does_not_fill_the_queue() {
    let mut world = websocket(Limits { max_pending_pongs: 2, ..limits() });
    world.receive(Role::Main, client::frame(0x81, b"2").repeat(1000));
    assert_eq!(world.written(Role::Main), b"\x81\x013\x81\x013");
    world.receive(Role::Main, client::frame(0x81, b"2"));
    assert_eq!(world.written(Role::Main), b"\x81\x013");
}

#[test]
fn a_blocked_app_does_not_look_alive() {
    let mut world = websocket(limits());
    world.stall_app(true);
    world.receive(Role::Main, client::frame(0x81, b"2"));
    assert_eq!(world.written(Role::Main), b"");
    assert!(world.session.is_ping_due(world.now));
    world.session.postpone_ping(world.now, SECOND);
    world.stall_app(false);
    world.wait(SECOND);
    assert_eq!(world.written(Role::Main), b"\x81\x013");
}

#[test]
fn an_upgrade_moves_the_queue_and_releases_the_get() {
    let mut world = polling(V3);
    world.input(Input::Get { token: 2 });
    let mut connection = Connection::new(b"");
    connection.speak(V3);
    world.input(Input::Probe(connection));
    world.receive(Role::Probe, client::frame(0x81, b"2probe"));
    assert_eq!(world.effects(), [Effect::Event(Event::Upgrading), Effect::Get(2, "1:6".into())]);
    assert_eq!(world.written(Role::Probe), b"\x81\x063probe");
    send_binary(&mut world, &[1]);
    world.receive(Role::Probe, client::frame(0x81, b"5"));
    assert_eq!(world.effects(), [Effect::Promoted, Effect::Event(Event::Upgraded)]);
    assert_eq!(world.written(Role::Main), b"\x82\x02\x04\x01");
    world.input(Input::Get { token: 3 });
    assert_eq!(world.effects(), [Effect::Get(3, "1:6".into())]);
    // The heartbeat goes on: engine.io forgets it here, and the session of a dead peer stays.
    world.wait(SECOND * 45);
    assert_eq!(
        world.effects(),
        [Effect::Released(Role::Main), Effect::Closed(CloseReason::PingTimeout)]
    );
}

#[test]
fn a_close_is_fetched_like_any_payload() {
    let mut world = polling(V3);
    world.input(Input::Close { discard: false });
    world.input(Input::Get { token: 2 });
    world.input(Input::Get { token: 3 });
    assert_eq!(
        world.effects(),
        [
            Effect::Get(2, "1:61:1".into()),
            Effect::Closed(CloseReason::ForcedClose),
            Effect::Get(3, "1:1".into())
        ]
    );
}

#[test]
fn jsonp_answers_with_scripts_and_reads_forms() {
    let dialect = Dialect::default();
    let callback = Some(Callback::new("0"));
    let mut world = World::polling_with(limits(), PayloadFormat { dialect, callback });
    world.input(Input::Get { token: 1 });
    send_binary(&mut world, &[1]);
    world.send("\u{2028}\"");
    world.input(Input::Get { token: 2 });
    world.input(Input::Post(b"d=4a%5Cnb%1E4c".to_vec()));
    world.input(Input::Post(b"x=4d".to_vec()));
    assert_eq!(
        world.effects(),
        [
            Effect::Get(1, r#"___eio[0]("0{}");"#.into()),
            Effect::Get(2, r#"___eio[0]("bAQ==\u001e4\u2028\"");"#.into()),
            Effect::Text("a\nb".into()),
            Effect::Text("c".into()),
            Effect::Closed(CloseReason::ParseError)
        ]
    );
}
