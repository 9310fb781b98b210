//! A session on polling.

use std::time::Duration;

use super::world::{Effect, World, limits};
use crate::protocol::close_reason::CloseReason;
use crate::protocol::effects::Event;
use crate::protocol::limits::{Limits, SlowConsumer};
use crate::protocol::outbox::Outgoing;
use crate::protocol::session::{Input, PollingFault};

const SECOND: Duration = Duration::from_secs(1);

fn opened() -> World {
    let mut world = World::polling(limits());
    world.input(Input::Get { token: 1 });
    assert_eq!(world.effects(), [Effect::Get(1, "0{}".into())]);
    world
}

#[test]
fn a_get_waits_for_packets_and_takes_the_whole_queue() {
    let mut world = opened();
    world.input(Input::Get { token: 2 });
    assert_eq!(world.effects(), []);
    world.send("a");
    assert_eq!(world.effects(), [Effect::Get(2, "4a".into())]);
    world.send("b");
    world.input(Input::Send { message: Outgoing::Binary(&[1]), compress: true, receipt: true });
    world.input(Input::Get { token: 3 });
    assert_eq!(
        world.effects(),
        [Effect::Get(3, "4b\x1ebAQ==".into()), Effect::Event(Event::Sent(1))]
    );
}

#[test]
fn a_post_delivers_its_packets_in_order_until_an_invalid_one() {
    let mut world = opened();
    world.input(Input::Post(b"4a\x1ebAQI=\x1e4c\x1e9\x1e4d".to_vec()));
    assert_eq!(
        world.effects(),
        [
            Effect::Text("a".into()),
            Effect::Binary(vec![1, 2]),
            Effect::Text("c".into()),
            Effect::Closed(CloseReason::ParseError)
        ]
    );
}

#[test]
fn control_packets_out_of_place_are_ignored() {
    let mut world = opened();
    world.input(Input::Post(b"0\x1e3\x1e5\x1e6\x1e4x".to_vec()));
    assert_eq!(world.effects(), [Effect::Text("x".into())]);
}

#[test]
fn a_ping_from_the_client_is_an_error() {
    let mut world = opened();
    world.input(Input::Post(b"2".to_vec()));
    assert_eq!(world.effects(), [Effect::Closed(CloseReason::TransportError)]);
    assert_eq!(world.detail().unwrap().message, "invalid heartbeat direction");
}

#[test]
fn a_close_packet_answers_the_get_with_a_noop() {
    let mut world = opened();
    world.input(Input::Get { token: 2 });
    world.input(Input::Post(b"1\x1e4ignored".to_vec()));
    assert_eq!(
        world.effects(),
        [Effect::Get(2, "6".into()), Effect::Closed(CloseReason::TransportClose)]
    );
}

#[test]
fn overlapping_gets_close_the_session() {
    let mut world = opened();
    world.input(Input::Get { token: 2 });
    world.input(Input::Get { token: 3 });
    assert_eq!(
        world.effects(),
        [
            Effect::RefusedGet(3),
            Effect::Get(2, "1".into()),
            Effect::Closed(CloseReason::TransportError)
        ]
    );
    assert_eq!(world.detail().unwrap().message, "overlap from client");
}

#[test]
fn faults_close_the_session() {
    let mut world = opened();
    world.input(Input::Get { token: 2 });
    world.input(Input::Fault(PollingFault::PostTooLarge));
    assert_eq!(
        world.effects(),
        [Effect::Get(2, "1".into()), Effect::Closed(CloseReason::TransportError)]
    );
    assert_eq!(world.detail().unwrap().code, Some("ERR_UPWIRE_PAYLOAD_TOO_LARGE"));
}

#[test]
fn a_lost_get_closes_the_session_unless_it_was_answered() {
    let mut world = opened();
    world.input(Input::GetLost { token: 1 });
    assert_eq!(world.effects(), []);
    world.input(Input::Get { token: 2 });
    world.input(Input::GetLost { token: 2 });
    assert_eq!(world.effects(), [Effect::Closed(CloseReason::TransportError)]);
}

#[test]
fn a_silent_client_times_out() {
    let mut world = opened();
    world.input(Input::Get { token: 2 });
    world.wait(SECOND * 25);
    assert_eq!(world.effects(), [Effect::Get(2, "2".into())]);
    world.input(Input::Get { token: 3 });
    world.wait(SECOND * 19);
    assert_eq!(world.effects(), []);
    world.wait(SECOND);
    assert_eq!(
        world.effects(),
        [Effect::Get(3, "1".into()), Effect::Closed(CloseReason::PingTimeout)]
    );
}

#[test]
fn heartbeats_are_reported_while_they_are_observed() {
    let mut world = opened();
    world.input(Input::Observe(true));
    world.wait(SECOND * 25);
    world.input(Input::Post(b"3".to_vec()));
    assert_eq!(world.effects(), [Effect::Event(Event::PingSent), Effect::Event(Event::Heartbeat)]);
    world.wait(SECOND * 24);
    assert!(!world.session.is_closed());
}

#[test]
fn a_full_queue_closes_the_session_or_drops_the_message() {
    let full = Limits { max_send_buffer: 100, ..limits() };
    let mut world = World::polling(full.clone());
    world.send("a message of any size passes while less than the bound waits");
    assert_eq!(world.effects(), []);
    world.send("the next does not");
    assert_eq!(world.effects(), [Effect::Closed(CloseReason::TransportError)]);
    assert_eq!(world.detail().unwrap().code, Some("ERR_UPWIRE_SLOW_CONSUMER"));

    let mut world = World::polling(Limits { slow_consumer: SlowConsumer::Drop, ..full });
    world.send("a message of any size passes while less than the bound waits");
    world.send("the next does not");
    assert!(matches!(world.effects()[..], [Effect::Event(Event::Dropped { .. })]));
    assert!(!world.session.is_closed());
}

#[test]
fn packets_of_a_large_post_are_handled_in_parts_and_in_order() {
    let mut world = World::polling(limits());
    world.input(Input::Post(["4a"; 300].join("\x1e").into()));
    assert_eq!(world.effects(), vec![Effect::Text("a".into()); 256]);
    assert!(world.session.has_backlog());
    world.input(Input::Post(b"4b".into()));
    assert_eq!(
        world.effects(),
        [vec![Effect::Text("a".into()); 44], vec![Effect::Text("b".into())]].concat()
    );
    assert!(!world.session.has_backlog());
    world.input(Input::Continue);
    assert_eq!(world.effects(), []);
}
