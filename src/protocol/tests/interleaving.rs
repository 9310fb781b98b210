//! In any interleaving of two transports, timers, closes and lost connections, messages arrive once
//! and in order, as a prefix of those sent, and the session closes at most once, as its last event.

use std::time::Duration;

use proptest::prelude::*;

use super::client::frame;
use super::world::{Effect, World, limits};
use crate::protocol::effects::{Event, Role};
use crate::protocol::limits::Limits;
use crate::protocol::session::{Input, Loss, PollingFault};
use crate::protocol::websocket::Connection;

/// The most steps of a script. Miri is a hundred times slower.
const STEPS: usize = if cfg!(miri) { 20 } else { 120 };

#[derive(Debug, Clone)]
enum Step {
    Get,
    GetLost,
    Post(u8),
    PostBegun,
    Probe,
    OnProbe(&'static [u8]),
    OnMain(u8),
    Noise(Role, Vec<u8>),
    Lost(Role),
    Send,
    Wait(u16),
    Close(bool),
    Shutdown,
    Fault,
    Pause,
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    let role = prop_oneof![Just(Role::Main), Just(Role::Probe)];
    prop_oneof![
        8 => Just(Step::Get),
        1 => Just(Step::GetLost),
        6 => (0u8..4).prop_map(Step::Post),
        1 => Just(Step::PostBegun),
        4 => Just(Step::Probe),
        6 => prop_oneof![Just(&b"2probe"[..]), Just(&b"5"[..]), Just(&b"4x"[..])]
            .prop_map(Step::OnProbe),
        8 => (0u8..4).prop_map(Step::OnMain),
        1 => (role.clone(), prop::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(role, bytes)| Step::Noise(role, bytes)),
        1 => role.prop_map(Step::Lost),
        12 => Just(Step::Send),
        3 => (0u16..20_000).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Close),
        1 => Just(Step::Shutdown),
        1 => Just(Step::Fault),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
    ]
}

/// The numbers in the text messages of a polling payload.
fn numbers_in_payload(payload: &str) -> Vec<u32> {
    payload.split('\x1e').filter_map(|packet| packet.strip_prefix('4')?.parse().ok()).collect()
}

/// The numbers in the text messages of unmasked frames.
fn numbers_in_frames(mut bytes: &[u8]) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (payload, next) = rest.split_at(usize::from(*length));
        if *first == 0x81 {
            numbers.extend(numbers_in_payload(std::str::from_utf8(payload).unwrap()));
        }
        bytes = next;
    }
    numbers
}

/// Runs a script and checks every invariant.
fn run(mut world: World, script: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut token, mut sent, mut posted) = (0, 0, 0u32);
    let (mut out, mut delivered, mut closed) = (Vec::new(), Vec::new(), 0);
    for step in script {
        let is_on_websocket = world.session.connection(Role::Main).is_some();
        match step {
            Step::Get => {
                token += 1;
                world.input(Input::Get { token });
            }
            Step::GetLost => world.input(Input::GetLost { token }),
            Step::Post(count) if !is_on_websocket => {
                let packets: Vec<String> =
                    (0..count).map(|n| format!("4{}", posted + u32::from(n))).collect();
                posted += u32::from(count);
                if !packets.is_empty() {
                    world.input(Input::Post(packets.join("\x1e").into_bytes()));
                }
            }
            Step::PostBegun if !is_on_websocket => world.input(Input::PostBegun),
            Step::Probe => world.input(Input::Probe(Connection::new(b""))),
            Step::OnProbe(text) => world.receive(Role::Probe, frame(0x81, text)),
            Step::OnMain(count) if is_on_websocket => {
                for _ in 0..count {
                    let text = format!("4{posted}");
                    posted += 1;
                    world.receive(Role::Main, frame(0x81, text.as_bytes()));
                }
            }
            Step::Noise(role, bytes) => world.receive(role, bytes),
            Step::Lost(role) => world.input(Input::Lost { role, loss: Loss::Ended }),
            Step::Send => {
                world.send(&sent.to_string());
                sent += 1;
            }
            Step::Wait(millis) => world.wait(Duration::from_millis(millis.into())),
            Step::Close(discard) => world.input(Input::Close { discard }),
            Step::Shutdown => world.input(Input::Shutdown),
            Step::Fault => world.input(Input::Fault(PollingFault::PostLost)),
            Step::Pause => world.input(Input::Pause),
            Step::Resume => world.input(Input::Resume),
            Step::Post(_) | Step::PostBegun | Step::OnMain(_) => {}
        }
        for effect in world.effects() {
            prop_assert!(closed == 0 || matches!(effect, Effect::Get(..) | Effect::Released(_)));
            match effect {
                Effect::Get(_, payload) => out.extend(numbers_in_payload(&payload)),
                Effect::Text(text) => delivered.extend(text.parse::<u32>().ok()),
                Effect::Closed(_) => closed += 1,
                Effect::Event(Event::Dropped { .. }) => {
                    prop_assert!(false, "a message was dropped");
                }
                _ => {}
            }
        }
        out.extend(numbers_in_frames(&world.written(Role::Main)));
        world.written(Role::Probe);
    }
    out.extend(numbers_in_frames(&world.written_after_release()));
    prop_assert!(closed <= 1);
    prop_assert_eq!(closed == 1, world.session.is_closed());
    let sent_prefix: Vec<u32> = (0..).take(out.len()).collect();
    prop_assert_eq!(out, sent_prefix);
    let posted_prefix: Vec<u32> = (0..).take(delivered.len()).collect();
    prop_assert_eq!(delivered, posted_prefix);
    Ok(())
}

proptest! {
    #[test]
    fn on_polling_with_upgrades(script in prop::collection::vec(step(), 0..STEPS)) {
        run(World::polling(limits()), script)?;
    }

    #[test]
    fn on_websocket(script in prop::collection::vec(step(), 0..STEPS)) {
        run(World::websocket(limits()), script)?;
    }

    #[test]
    fn with_a_short_queue(script in prop::collection::vec(step(), 0..STEPS)) {
        run(World::polling(Limits { max_send_buffer: 300, ..limits() }), script)?;
    }
}
