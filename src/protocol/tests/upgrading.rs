//! Upgrades from polling to WebSocket.

use std::time::Duration;

use super::client::frame;
use super::world::{Effect, World, limits};
use crate::protocol::close_reason::CloseReason;
use crate::protocol::effects::{Event, Role};
use crate::protocol::session::{Input, Loss};
use crate::protocol::websocket::Connection;

const MILLI: Duration = Duration::from_millis(1);

fn probing() -> World {
    let mut world = World::polling(limits());
    world.input(Input::Get { token: 1 });
    world.input(Input::Probe(Connection::new(b"101")));
    assert_eq!(world.effects(), [Effect::Get(1, "0{}".into())]);
    assert_eq!(world.written(Role::Probe), b"101");
    world
}

#[test]
fn a_probe_is_answered_and_a_parked_get_returns_at_once() {
    let mut world = probing();
    world.input(Input::Get { token: 2 });
    world.receive(Role::Probe, frame(0x81, b"2probe"));
    assert_eq!(world.effects(), [Effect::Event(Event::Upgrading), Effect::Get(2, "6".into())]);
    assert_eq!(world.written(Role::Probe), b"\x81\x063probe");
}

#[test]
fn a_later_get_returns_after_a_moment() {
    let mut world = probing();
    world.receive(Role::Probe, frame(0x81, b"2probe"));
    world.input(Input::Get { token: 2 });
    world.effects();
    world.wait(MILLI * 9);
    assert_eq!(world.effects(), []);
    world.wait(MILLI);
    assert_eq!(world.effects(), [Effect::Get(2, "6".into())]);
}

#[test]
fn the_queue_moves_to_the_websocket_in_order() {
    let mut world = probing();
    world.receive(Role::Probe, frame(0x81, b"2probe"));
    world.written(Role::Probe);
    world.send("a");
    world.input(Input::Send {
        message: crate::protocol::outbox::Outgoing::Binary(&[7]),
        compress: true,
        receipt: true,
    });
    world.effects();
    world.receive(Role::Probe, frame(0x81, b"5"));
    assert_eq!(world.effects(), [Effect::Promoted, Effect::Event(Event::Upgraded)]);
    world.send("b");
    assert_eq!(world.written(Role::Main), b"\x81\x024a\x82\x01\x07\x81\x024b");
    assert_eq!(world.effects(), [Effect::Event(Event::Sent(1))]);
}

#[test]
fn messages_after_the_upgrade_packet_are_delivered() {
    let mut world = probing();
    let bytes = [frame(0x81, b"2probe"), frame(0x81, b"5"), frame(0x81, b"4x")].concat();
    world.receive(Role::Probe, bytes);
    assert_eq!(
        world.effects(),
        [
            Effect::Event(Event::Upgrading),
            Effect::Promoted,
            Effect::Event(Event::Upgraded),
            Effect::Text("x".into())
        ]
    );
}

#[test]
fn messages_of_the_websocket_wait_for_a_post_that_has_begun() {
    let mut world = probing();
    world.input(Input::PostBegun);
    world.receive(Role::Probe, [frame(0x81, b"5"), frame(0x81, b"4second")].concat());
    world.receive(Role::Main, frame(0x81, b"4third"));
    assert_eq!(world.effects(), [Effect::Promoted, Effect::Event(Event::Upgraded)]);
    world.input(Input::Post(b"4first".to_vec()));
    let texts = ["first", "second", "third"].map(|text| Effect::Text(text.into()));
    assert_eq!(world.effects(), texts);
}

#[test]
fn other_messages_on_the_probe_fail_the_upgrade_but_not_the_session() {
    for bytes in [
        frame(0x81, b"4early"),
        frame(0x82, b"\x01"),
        frame(0x81, b"1"),
        frame(0x88, b""),
        frame(0x83, b""),
    ] {
        let mut world = probing();
        world.receive(Role::Probe, bytes);
        assert_eq!(
            world.effects(),
            [Effect::Released(Role::Probe), Effect::Event(Event::UpgradeFailed)]
        );
        world.send("still here");
        world.input(Input::Get { token: 2 });
        assert_eq!(world.effects(), [Effect::Get(2, "4still here".into())]);
    }
}

#[test]
fn a_silent_probe_times_out() {
    let mut world = probing();
    world.wait(limits().upgrade_timeout);
    assert_eq!(
        world.effects(),
        [Effect::Released(Role::Probe), Effect::Event(Event::UpgradeFailed)]
    );
    world.input(Input::Probe(Connection::new(b"")));
    world.receive(Role::Probe, frame(0x81, b"5"));
    assert_eq!(world.effects(), [Effect::Promoted, Effect::Event(Event::Upgraded)]);
}

#[test]
fn a_get_lost_during_an_upgrade_only_matters_if_the_upgrade_fails() {
    let mut world = probing();
    world.input(Input::Get { token: 2 });
    world.input(Input::GetLost { token: 2 });
    assert_eq!(world.effects(), []);
    world.receive(Role::Probe, frame(0x81, b"5"));
    assert!(!world.session.is_closed());

    let mut world = probing();
    world.input(Input::Get { token: 2 });
    world.input(Input::GetLost { token: 2 });
    world.input(Input::Lost { role: Role::Probe, loss: Loss::Ended });
    assert_eq!(world.effects().last(), Some(&Effect::Closed(CloseReason::TransportError)));
}

#[test]
fn an_upgrade_completes_a_close_that_waits() {
    let mut world = probing();
    world.send("last words");
    world.input(Input::Close { discard: false });
    world.effects();
    world.receive(Role::Probe, frame(0x81, b"5"));
    assert_eq!(
        world.effects(),
        [
            Effect::Promoted,
            Effect::Event(Event::Upgraded),
            Effect::Released(Role::Main),
            Effect::Closed(CloseReason::ForcedClose)
        ]
    );
    assert_eq!(world.written_after_release(), b"\x81\x0b4last words\x88\x00");
}

#[test]
fn a_repeated_probe_is_answered_once() {
    let mut world = probing();
    world.receive(Role::Probe, frame(0x81, b"2probe").repeat(1000));
    assert_eq!(world.effects(), [Effect::Event(Event::Upgrading)]);
    assert_eq!(world.written(Role::Probe), b"\x81\x063probe");
}
