//! Invariants for any interleaving of inputs and any split of writes:
//!
//! - On each WebSocket of the session, the peer reads complete frames and at most one close frame,
//!   as the last one, unless the connection was lost or is reset.
//! - Over both transports, messages arrive once and in order, as a prefix of those sent.
//! - The send queue stays within its limit.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::client::{frame, read_frames};
use super::world::{Effect, World, limits};
use crate::protocol::close_reason::CloseReason;
use crate::protocol::effects::Role;
use crate::protocol::limits::{Limits, SlowConsumer};
use crate::protocol::outbox::Outgoing;
use crate::protocol::session::{Input, Loss};
use crate::protocol::websocket::Connection;

/// The longest message in bytes. Miri is a hundred times slower.
const LONGEST: usize = if cfg!(miri) { 5_000 } else { 70_000 };
/// The most steps of a script.
const STEPS: usize = if cfg!(miri) { 20 } else { 100 };

#[derive(Debug, Clone)]
enum Step {
    Get,
    Post,
    Probe,
    OnProbe(&'static [u8]),
    OnMain(u8, &'static [u8]),
    Send {
        size: usize,
        own: bool,
    },
    /// The kernel takes up to this many bytes.
    Write(Role, usize),
    WriteReleased(prop::sample::Index, usize),
    /// A peer continues to send after the session released its connection.
    OnReleased(prop::sample::Index, &'static [u8]),
    Lost(Role, Loss),
    Wait(u16),
    Close {
        discard: bool,
    },
    Shutdown,
    Pause,
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    let role = || prop_oneof![3 => Just(Role::Main), 1 => Just(Role::Probe)];
    let part = || prop_oneof![4 => 0usize..12, 2 => 0usize..6_000, 1 => Just(usize::MAX)];
    let sizes =
        prop_oneof![6 => 8usize..150, 2 => 4_080usize..4_110, 1 => LONGEST - 4_500..LONGEST];
    let size = sizes.prop_map(|size| size.min(LONGEST));
    let loss = prop_oneof![Just(Loss::Ended), Just(Loss::Read(None)), Just(Loss::Write(Some(32)))];
    let on_main = prop_oneof![
        6 => Just((0x81, &b"4x"[..])),
        2 => Just((0x81, &b"3"[..])),
        3 => Just((0x89, &b"ping"[..])),
        1 => Just((0x81, &b"1"[..])),
        1 => Just((0x88, &b"\x03\xe8"[..])),
        1 => Just((0x83, &b""[..])),
    ];
    prop_oneof![
        6 => Just(Step::Get),
        2 => Just(Step::Post),
        3 => Just(Step::Probe),
        6 => prop_oneof![3 => Just(&b"2probe"[..]), 3 => Just(&b"5"[..]), 1 => Just(&b"4x"[..])]
            .prop_map(Step::OnProbe),
        4 => on_main.prop_map(|(first, payload)| Step::OnMain(first, payload)),
        16 => (size, any::<bool>()).prop_map(|(size, own)| Step::Send { size, own }),
        16 => (role(), part()).prop_map(|(role, most)| Step::Write(role, most)),
        4 => (any::<prop::sample::Index>(), part())
            .prop_map(|(which, most)| Step::WriteReleased(which, most)),
        1 => (any::<prop::sample::Index>(), prop_oneof![Just(&b"\x03\xe8"[..]), Just(&b"x"[..])])
            .prop_map(|(which, payload)| Step::OnReleased(which, payload)),
        1 => (role(), loss).prop_map(|(role, loss)| Step::Lost(role, loss)),
        3 => (0u16..20_000).prop_map(Step::Wait),
        2 => any::<bool>().prop_map(|discard| Step::Close { discard }),
        1 => Just(Step::Shutdown),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
    ]
}

/// The bytes that the peer of one WebSocket has read.
#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    is_main: bool,
    is_lost: bool,
}

/// A session and everything that its peers have received.
struct Run {
    world: World,
    /// The payloads of answered GETs.
    polled: Vec<String>,
    main: Stream,
    probe: Stream,
    /// In the order of `World::released`.
    released: Vec<Stream>,
    token: u32,
    sent: usize,
    /// The number of messages that must arrive, set by a close that discards nothing.
    owed: Option<usize>,
    closed: usize,
}

impl Run {
    fn new(world: World) -> Self {
        Self {
            world,
            polled: Vec::new(),
            main: Stream { is_main: true, ..Stream::default() },
            probe: Stream::default(),
            released: Vec::new(),
            token: 0,
            sent: 0,
            owed: None,
            closed: 0,
        }
    }

    fn step(&mut self, step: &Step) -> TestCaseResult {
        let is_on_websocket = self.world.session.connection(Role::Main).is_some();
        match *step {
            Step::Get => {
                self.token += 1;
                self.world.input(Input::Get { token: self.token });
            }
            Step::Post => self.world.input(Input::Post(b"4x".to_vec())),
            Step::Probe => return self.probe(),
            Step::OnProbe(text) => self.world.receive(Role::Probe, frame(0x81, text)),
            Step::OnMain(first, payload) => self.world.receive(Role::Main, frame(first, payload)),
            Step::Send { size, own } => return self.send(size, own),
            Step::Write(role, most) => {
                let bytes = self.world.write(role, most);
                self.stream(role).bytes.extend(bytes);
            }
            Step::WriteReleased(which, most) if !self.released.is_empty() => {
                self.write_released(which.index(self.released.len()), most);
            }
            Step::OnReleased(which, payload) if !self.released.is_empty() => {
                let index = which.index(self.released.len());
                let first = if payload.len() == 2 { 0x88 } else { 0x81 };
                self.world.released()[index]
                    .drop_received(&mut frame(first, payload), &Limits::default());
            }
            Step::Lost(role, loss) => {
                if self.world.session.connection(role).is_some() {
                    self.stream(role).is_lost = true;
                }
                self.world.input(Input::Lost { role, loss });
            }
            Step::Wait(millis) => self.world.wait(Duration::from_millis(millis.into())),
            Step::Close { discard } => {
                if is_on_websocket && !discard {
                    self.owed = Some(self.sent);
                }
                self.world.input(Input::Close { discard });
            }
            Step::Shutdown => self.world.input(Input::Shutdown),
            Step::Pause => self.world.input(Input::Pause),
            Step::Resume => self.world.input(Input::Resume),
            Step::WriteReleased(..) | Step::OnReleased(..) => {}
        }
        self.settle()
    }

    fn stream(&mut self, role: Role) -> &mut Stream {
        match role {
            Role::Main => &mut self.main,
            Role::Probe => &mut self.probe,
        }
    }

    /// Opens a WebSocket for an upgrade. If the session has a WebSocket already, the new one is
    /// released at once.
    fn probe(&mut self) -> TestCaseResult {
        let is_taken = |role| self.world.session.connection(role).is_some();
        let has_own_stream = !is_taken(Role::Main) && !is_taken(Role::Probe);
        let under_way = std::mem::take(&mut self.probe);
        self.world.input(Input::Probe(Connection::new(b"")));
        self.settle()?;
        if !has_own_stream {
            self.probe = under_way;
        }
        Ok(())
    }

    /// Sends a numbered message and checks the limit of the queue.
    fn send(&mut self, size: usize, own: bool) -> TestCaseResult {
        let number = self.sent.to_string();
        let text = "0".repeat(size.saturating_sub(number.len())) + &number;
        let before = self.world.session.waiting();
        let was_full = self.world.session.is_full();
        let is_dropped = was_full || self.world.session.is_closed();
        let message = if own {
            Outgoing::OwnText(text.into_bytes())
        } else {
            Outgoing::Text(text.as_bytes())
        };
        self.world.input(Input::Send { message, compress: true, receipt: false });
        let after = self.world.session.waiting();
        prop_assert!(after <= before + size + 256, "{before} + {size}: {after}");
        let effects = self.world.effects();
        let is_refused =
            is_dropped || effects.contains(&Effect::Closed(CloseReason::TransportError));
        self.sent += usize::from(!is_refused);
        self.take_in(effects)
    }

    fn settle(&mut self) -> TestCaseResult {
        let effects = self.world.effects();
        self.take_in(effects)
    }

    fn take_in(&mut self, effects: Vec<Effect>) -> TestCaseResult {
        for effect in effects {
            match effect {
                Effect::Get(_, payload) => self.polled.push(payload),
                Effect::Promoted => {
                    self.main.bytes = std::mem::take(&mut self.probe).bytes;
                }
                Effect::Released(role) => {
                    let stream = std::mem::take(self.stream(role));
                    self.released.push(stream);
                }
                Effect::Closed(_) => self.closed += 1,
                Effect::Text(_) | Effect::Binary(_) | Effect::Event(_) => {
                    prop_assert_eq!(self.closed, 0, "{:?} after the close", effect);
                }
                Effect::GetBytes(..) | Effect::RefusedGet(_) => {}
            }
        }
        prop_assert!(self.closed <= 1);
        prop_assert_eq!(self.closed == 1, self.world.session.is_closed());
        Ok(())
    }

    fn write_released(&mut self, index: usize, most: usize) {
        if !self.released[index].is_lost {
            let bytes = self.world.write_released(index, most);
            self.released[index].bytes.extend(bytes);
        }
    }

    /// Writes everything that is queued and checks what has arrived.
    fn finish(mut self) -> TestCaseResult {
        for index in 0..self.released.len() {
            for _ in 0..100_000 {
                let before = self.released[index].bytes.len();
                self.write_released(index, usize::MAX);
                if self.released[index].bytes.len() == before {
                    break;
                }
            }
        }
        let mut arrived: Vec<usize> =
            self.polled.iter().flat_map(|payload| numbers(payload)).collect();
        let mut is_whole = true;
        for (index, stream) in self.released.iter().enumerate() {
            let is_cut = stream.is_lost || self.world.released()[index].is_aborted();
            let found = judge(stream, !is_cut)?;
            if stream.is_main {
                arrived.extend(found);
                is_whole = !is_cut;
            }
        }
        arrived.extend(judge(&self.main, false)?);
        judge(&self.probe, false)?;
        let prefix: Vec<usize> = (0..arrived.len()).collect();
        prop_assert_eq!(&arrived, &prefix);
        prop_assert!(arrived.len() <= self.sent);
        if let Some(owed) = self.owed.filter(|_| is_whole) {
            prop_assert_eq!(arrived.len(), owed, "a message from before the close is lost");
        }
        Ok(())
    }
}

/// The numbers in the messages of a polling payload.
fn numbers(payload: &str) -> Vec<usize> {
    payload.split('\x1e').filter_map(|packet| packet.strip_prefix('4')?.parse().ok()).collect()
}

/// The numbers in the messages of a WebSocket. Checks that its frames are well-formed and, once it
/// is closed, complete.
fn judge(stream: &Stream, is_closed: bool) -> Result<Vec<usize>, TestCaseError> {
    let (frames, rest) = read_frames(&stream.bytes);
    if is_closed {
        prop_assert_eq!(rest, 0, "a frame is incomplete");
        prop_assert_eq!(frames.last().map(|frame| frame.opcode), Some(8), "no close frame");
    }
    let closes = frames.iter().filter(|frame| frame.opcode == 8).count();
    prop_assert_eq!(closes, usize::from(frames.last().is_some_and(|frame| frame.opcode == 8)));
    let texts = frames.iter().filter(|frame| frame.opcode == 1);
    Ok(texts.flat_map(|frame| numbers(std::str::from_utf8(&frame.payload).unwrap())).collect())
}

fn run(world: World, script: &[Step]) -> TestCaseResult {
    let mut run = Run::new(world);
    for step in script {
        run.step(step)?;
    }
    run.finish()
}

fn script() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..STEPS)
}

proptest! {
    #[test]
    fn on_polling_with_upgrades(script in script()) {
        run(World::polling(limits()), &script)?;
    }

    #[test]
    fn on_websocket(script in script()) {
        run(World::websocket(limits()), &script)?;
    }

    #[test]
    fn with_a_short_queue(script in script(), drop: bool) {
        let slow_consumer = if drop { SlowConsumer::Drop } else { SlowConsumer::Close };
        let limits = Limits { max_send_buffer: 5_000, slow_consumer, ..limits() };
        run(World::websocket(limits.clone()), &script)?;
        run(World::polling(limits), &script)?;
    }
}
