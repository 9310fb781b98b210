//! The work that one input may cause, and the memory that counts as held.

use super::client::frame;
use super::world::{Effect, World, limits};
use crate::protocol::close_reason::{CloseReason, code};
use crate::protocol::effects::Role;
use crate::protocol::session::{Input, PACKET_BUDGET};

fn messages(count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| frame(0x81, format!("4{n}").as_bytes())).collect()
}

fn texts(effects: Vec<Effect>) -> Vec<String> {
    effects
        .into_iter()
        .map(|effect| match effect {
            Effect::Text(text) => text,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn one_input_handles_a_limited_number_of_messages() {
    let mut world = World::websocket(limits());
    let mut bytes = messages(3 * PACKET_BUDGET - 1);
    bytes.extend(&frame(0x81, b"4tail")[..5]);
    world.input(Input::Received { role: Role::Main, bytes: &mut bytes });
    let mut received = texts(world.effects());
    assert_eq!(received.len(), PACKET_BUDGET);
    assert!(world.session.has_more() && world.session.is_holding());
    assert!(world.session.unhandled() > 0);
    for _ in 0..2 {
        world.input(Input::Continue);
        received.extend(texts(world.effects()));
    }
    let expected: Vec<String> = (0..3 * PACKET_BUDGET - 1).map(|n| n.to_string()).collect();
    assert_eq!(received, expected);
    assert!(!world.session.has_more() && !world.session.is_holding());
    assert_eq!(world.session.unhandled(), 0);
    world.receive(Role::Main, frame(0x81, b"4tail")[5..].to_vec());
    assert_eq!(texts(world.effects()), ["tail"]);
}

#[test]
fn later_bytes_stay_behind_held_ones() {
    let mut world = World::websocket(limits());
    let all = messages(2 * PACKET_BUDGET);
    let (mut first, second) = all.split_at(all.len() - 3);
    let mut first = std::mem::take(&mut first).to_vec();
    world.input(Input::Received { role: Role::Main, bytes: &mut first });
    world.receive(Role::Main, second.to_vec());
    let expected: Vec<String> = (0..2 * PACKET_BUDGET).map(|n| n.to_string()).collect();
    assert_eq!(texts(world.effects()), expected);
}

#[test]
fn an_unfinished_message_owns_little_more_than_has_arrived() {
    let mut world = World::websocket(limits());
    let size = if cfg!(miri) { 18_000 } else { 900_000 };
    let bytes = frame(0x82, &vec![0; size]);
    let mut arrived = 0;
    for piece in bytes.chunks(size / 18) {
        arrived += piece.len();
        world.receive(Role::Main, piece.to_vec());
        let held = world.session.unfinished();
        if arrived < bytes.len() {
            assert!(held >= arrived - 14 && held <= 2 * arrived + 64, "{held} for {arrived}");
        }
    }
    assert_eq!(world.session.unfinished(), 0);
    let mut empty = frame(0x02, b"");
    empty.extend(frame(0x00, b""));
    world.receive(Role::Main, empty);
    assert!((1..1000).contains(&world.session.unfinished()), "an empty fragment must count");
}

#[test]
fn a_post_counts_until_it_is_complete() {
    let mut world = World::polling(limits());
    world.input(Input::PostProgress(70_000));
    assert_eq!(world.session.unfinished(), 70_000);
    world.input(Input::Post(b"4a".to_vec()));
    assert_eq!(world.session.unfinished(), 0);
}

#[test]
fn a_closed_session_holds_nothing() {
    for ends in [Input::Close { discard: true }, Input::Shutdown, Input::Broken] {
        let mut world = World::polling(limits());
        world.send(&"x".repeat(70_000));
        world.input(Input::Get { token: 1 });
        world.input(Input::PostProgress(1000));
        assert!(world.session.waiting() > 70_000 && world.session.unfinished() == 1000);
        world.input(ends);
        assert!(world.session.is_closed());
        assert_eq!((world.session.waiting(), world.session.unfinished()), (0, 0));
    }
}

#[test]
fn an_unfinished_message_can_be_evicted() {
    let mut world = World::websocket(limits());
    world.written(Role::Main);
    world.receive(Role::Main, frame(0x82, &[0; 200])[..100].to_vec());
    world.evict_unfinished();
    assert!(world.effects().contains(&Effect::Closed(CloseReason::TransportError)));
    assert_eq!(world.detail().and_then(|detail| detail.code), Some(code::SLOW_PRODUCER));
    assert_eq!(world.written_after_release(), b"\x88\x02\x03\xf5");
}
