//! The ways in which sessions close.

use std::time::Duration;

use super::client::frame;
use super::world::{Effect, World, limits};
use crate::protocol::close_reason::CloseReason;
use crate::protocol::effects::Role;
use crate::protocol::limits::Limits;
use crate::protocol::session::{Input, Loss};

const SECOND: Duration = Duration::from_secs(1);

fn connected() -> World {
    let mut world = World::websocket(limits());
    assert_eq!(world.written(Role::Main), b"\x81\x030{}");
    world
}

#[test]
fn queued_messages_are_written_before_the_close_frame() {
    let mut world = connected();
    world.send("bye");
    world.input(Input::Close { discard: false });
    world.send("too late");
    assert_eq!(
        world.effects(),
        [Effect::Released(Role::Main), Effect::Closed(CloseReason::ForcedClose)]
    );
    assert_eq!(world.written_after_release(), b"\x81\x044bye\x88\x00");
}

#[test]
fn a_discarding_close_drops_the_queue() {
    let mut world = connected();
    world.send("bye");
    world.input(Input::Close { discard: true });
    assert_eq!(world.written_after_release(), b"\x88\x00");
}

#[test]
fn a_drained_session_sends_its_queue_before_it_closes() {
    let mut world = World::websocket(limits());
    world.send("last");
    world.input(Input::CloseDrained);
    assert!(world.effects().contains(&Effect::Closed(CloseReason::ForcedClose)));
    assert_eq!(world.written_after_release(), b"\x81\x030{}\x81\x054last\x88\x02\x03\xe9");

    let mut world = World::polling(limits());
    world.input(Input::Get { token: 1 });
    world.send("last");
    world.input(Input::CloseDrained);
    assert!(!world.session.is_closed(), "the client has not fetched its last message");
    world.input(Input::Get { token: 2 });
    world.input(Input::Get { token: 3 });
    assert!(world.session.is_closed());
}

#[test]
fn a_shutdown_closes_with_the_code_of_a_server_that_goes_away() {
    let mut world = connected();
    world.input(Input::Shutdown);
    assert_eq!(
        world.effects(),
        [Effect::Released(Role::Main), Effect::Closed(CloseReason::ForcedClose)]
    );
    assert_eq!(world.written_after_release(), b"\x88\x02\x03\xe9");
}

#[test]
#[cfg_attr(miri, ignore = "a megabyte takes Miri minutes")]
fn violations_are_answered_with_their_close_code() {
    let cases: [(Vec<u8>, &[u8], CloseReason); 5] = [
        (frame(0x83, b""), b"\x88\x02\x03\xea", CloseReason::TransportError),
        (frame(0x81, b"4\xff"), b"\x88\x02\x03\xef", CloseReason::TransportError),
        (frame(0x82, &vec![0; 1_000_001]), b"\x88\x02\x03\xf1", CloseReason::TransportError),
        (frame(0x81, b""), b"\x88\x00", CloseReason::ParseError),
        (frame(0x81, b"1"), b"\x88\x00", CloseReason::TransportClose),
    ];
    for (bytes, close, reason) in cases {
        let mut world = connected();
        world.receive(Role::Main, bytes);
        assert_eq!(world.effects(), [Effect::Released(Role::Main), Effect::Closed(reason)]);
        assert_eq!(world.written_after_release(), close);
    }
}

#[test]
fn the_peers_code_is_echoed_and_reported() {
    let mut world = connected();
    world.receive(Role::Main, frame(0x88, b"\x0f\xa1because"));
    assert_eq!(
        world.effects(),
        [Effect::Released(Role::Main), Effect::Closed(CloseReason::TransportClose)]
    );
    assert_eq!(world.written_after_release(), b"\x88\x02\x0f\xa1");
    let detail = world.detail().unwrap();
    assert_eq!((detail.ws_code, detail.ws_reason.as_deref()), (Some(4001), Some("because")));
}

#[test]
fn a_lost_connection_is_a_transport_close_unless_writing_failed() {
    for (loss, reason) in [
        (Loss::Ended, CloseReason::TransportClose),
        (Loss::Read(Some(104)), CloseReason::TransportClose),
        (Loss::Write(Some(32)), CloseReason::TransportError),
    ] {
        let mut world = connected();
        world.input(Input::Lost { role: Role::Main, loss });
        assert_eq!(world.effects().last(), Some(&Effect::Closed(reason)));
    }
}

#[test]
fn a_polling_close_waits_for_a_get_for_a_limited_time() {
    let mut world = World::polling(limits());
    world.input(Input::Get { token: 1 });
    world.effects();
    world.input(Input::Close { discard: false });
    assert_eq!(world.effects(), []);
    world.input(Input::Get { token: 2 });
    let ended = [Effect::Get(2, "6\x1e1".into()), Effect::Closed(CloseReason::ForcedClose)];
    assert_eq!(world.effects(), ended);

    let mut world = World::polling(limits());
    world.input(Input::Close { discard: false });
    world.wait(SECOND * 30);
    assert_eq!(world.effects(), [Effect::Closed(CloseReason::ForcedClose)]);

    let (ping_interval, ping_timeout) = (SECOND * 5, SECOND * 3);
    let mut world = World::polling(Limits { ping_interval, ping_timeout, ..limits() });
    world.input(Input::Close { discard: false });
    world.wait(SECOND * 8);
    assert_eq!(world.effects(), [Effect::Closed(CloseReason::PingTimeout)]);
}

#[test]
fn queued_messages_and_the_close_packet_take_separate_gets() {
    let mut world = World::polling(limits());
    world.input(Input::Get { token: 1 });
    world.send("last words");
    world.input(Input::Close { discard: false });
    world.effects();
    world.input(Input::Get { token: 2 });
    assert_eq!(world.effects(), [Effect::Get(2, "4last words".into())]);
    world.input(Input::Get { token: 3 });
    let ended = [Effect::Get(3, "6\x1e1".into()), Effect::Closed(CloseReason::ForcedClose)];
    assert_eq!(world.effects(), ended);
}

#[test]
fn a_polling_close_answers_the_parked_get() {
    let mut world = World::polling(limits());
    world.input(Input::Get { token: 1 });
    world.input(Input::Get { token: 2 });
    world.effects();
    world.input(Input::Close { discard: false });
    let ended = [Effect::Get(2, "1".into()), Effect::Closed(CloseReason::ForcedClose)];
    assert_eq!(world.effects(), ended);
}

#[test]
fn a_broken_session_closes_with_an_internal_error() {
    let mut world = connected();
    world.input(Input::Broken);
    assert_eq!(world.written_after_release(), b"\x88\x02\x03\xf3");
    assert_eq!(world.detail().unwrap().code, Some("ERR_UPWIRE_INTERNAL"));
}

#[test]
fn a_missing_pong_is_ignored_while_nothing_is_read() {
    let mut world = connected();
    world.wait(SECOND * 25);
    world.input(Input::Pause);
    world.wait(SECOND * 300);
    world.input(Input::Resume);
    world.receive(Role::Main, frame(0x81, b"3"));
    assert!(!world.session.is_closed());
}
