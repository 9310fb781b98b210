//! A session that is driven by a script of inputs, partial writes and time steps. For any script:
//!
//! - The session closes at most once, as its last event.
//! - Each GET is answered once.
//! - On each WebSocket, the peer reads complete frames and at most one close frame.
//! - Messages arrive once and in order, as a prefix of those sent.
//! - The send queue stays within its limit.
//! - The size of the answers is limited by the size of the input.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use upwire::protocol::broadcast::Broadcast;
use upwire::protocol::effects::{Effects, Event, Role, Token};
use upwire::protocol::limits::{Limits, SlowConsumer};
use upwire::protocol::outbox::Outgoing;
use upwire::protocol::packet::Message;
use upwire::protocol::payload::{Payload, PayloadFormat};
use upwire::protocol::revision::{Dialect, Revision};
use upwire::protocol::session::{Input, Loss, PollingFault, Session};
use upwire::protocol::websocket::Connection;

use crate::client;
use crate::counted::{split_bytes, split_text};
use crate::packet::unbase64;
use crate::script::Script;

/// Bytes that a queue may hold above its limit, in addition to one message: pongs, pings, and the
/// fixed cost of pieces.
const SLACK: usize = 2_000;

pub fn check(data: &[u8]) {
    let mut script = Script(data);
    let flags = script.byte();
    let limits = Limits {
        max_message: 2_000,
        max_fragments: 8,
        max_pending_pongs: 3,
        max_send_buffer: if flags & 1 == 0 { 3_000 } else { 100_000 },
        slow_consumer: if flags & 2 == 0 { SlowConsumer::Close } else { SlowConsumer::Drop },
        ..Limits::default()
    };
    let revision = if flags & 16 == 0 { Revision::V4 } else { Revision::V3 };
    let dialect = Dialect { revision, base64: flags & 32 != 0 };
    let mut run = Run::new(limits, dialect, flags & 4 == 0, flags & 8 == 0);
    while !script.is_over() && run.steps < 3_000 {
        run.steps += 1;
        run.step(&mut script);
        run.settle();
    }
    run.finish();
}

/// A recorded effect.
enum Effect {
    Message(Vec<u8>),
    Event(Event),
    Get(Token, Payload),
    RefusedGet(Token),
    Promoted,
    Released(Role, Connection),
}

#[derive(Default)]
struct Recorder(Vec<Effect>);

impl Effects for Recorder {
    fn message(&mut self, message: Message<'_>) {
        let (Message::Text(body) | Message::Binary(body)) = message;
        self.0.push(Effect::Message(body.into_owned()));
    }
    fn event(&mut self, event: Event) {
        self.0.push(Effect::Event(event));
    }
    fn answer_get(&mut self, token: Token, payload: Payload) {
        self.0.push(Effect::Get(token, payload));
    }
    fn refuse_get(&mut self, token: Token) {
        self.0.push(Effect::RefusedGet(token));
    }
    fn promote(&mut self) {
        self.0.push(Effect::Promoted);
    }
    fn release(&mut self, role: Role, connection: Connection, _patience: Duration) {
        self.0.push(Effect::Released(role, connection));
    }
    fn wants_write(&mut self, _role: Role) {}
    fn is_app_stalled(&self) -> bool {
        false
    }
}

/// The bytes that the peer of one WebSocket has read.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    is_main: bool,
    is_lost: bool,
}

struct Run {
    session: Session,
    limits: Limits,
    now: Instant,
    recorder: Recorder,
    main: Stream,
    probe: Stream,
    released: Vec<(Stream, Connection)>,
    dialect: Dialect,
    polled: Vec<Payload>,
    token: Token,
    parked: BTreeSet<Token>,
    /// The number of messages that the app sent and the session accepted.
    sent: usize,
    /// The number of receipts that were requested and are not due yet.
    receipts: u32,
    /// The number of numbered messages that the peer sent.
    posted: usize,
    delivered: Vec<Vec<u8>>,
    /// The peer also sends arbitrary bytes.
    has_noise: bool,
    /// The app has closed the session, so messages are not accepted any more.
    is_closing: bool,
    closed: usize,
    steps: usize,
    pings: usize,
    received: usize,
    sent_bytes: usize,
    /// The length in bytes of the app's longest message.
    longest: usize,
}

impl Run {
    fn new(limits: Limits, dialect: Dialect, is_polling: bool, has_noise: bool) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the only way to make an Instant")]
        let now = Instant::now();
        let shared = Arc::new(limits.clone());
        let session = if is_polling {
            Session::polling(now, shared, PayloadFormat { dialect, callback: None }, b"{}")
        } else {
            let mut connection = Connection::new(b"");
            connection.speak(dialect);
            Session::websocket(now, shared, connection, b"{}")
        };
        Self {
            session,
            limits,
            now,
            recorder: Recorder::default(),
            main: Stream { is_main: true, ..Stream::default() },
            probe: Stream::default(),
            released: Vec::new(),
            dialect,
            polled: Vec::new(),
            token: 0,
            parked: BTreeSet::new(),
            sent: 0,
            receipts: 0,
            posted: 0,
            delivered: Vec::new(),
            has_noise,
            is_closing: false,
            closed: 0,
            steps: 0,
            pings: 0,
            received: 0,
            sent_bytes: 0,
            longest: 0,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.session.handle_input(self.now, input, &mut self.recorder);
    }

    fn receive(&mut self, role: Role, mut bytes: Vec<u8>) {
        self.received += bytes.len();
        self.input(Input::Received { role, bytes: &mut bytes });
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 32 {
            0..=2 => {
                self.token += 1;
                self.parked.insert(self.token);
                self.input(Input::Get { token: self.token });
            }
            3 => {
                let token = self.token.saturating_sub(u32::from(script.byte() % 4));
                self.parked.remove(&token);
                self.input(Input::GetLost { token });
            }
            4 | 5 => self.post(usize::from(script.byte())),
            6 if self.has_noise => {
                let body = script.piece().to_vec();
                self.received += body.len();
                let is_bytes = self.dialect.revision == Revision::V3 && script.flag();
                self.input(if is_bytes { Input::PostBytes(body) } else { Input::Post(body) });
            }
            7 => self.input(Input::PostBegun),
            8 => self.input(Input::Continue),
            9 | 10 => self.probe(script.flag()),
            11 | 12 => {
                let text = [&b"2probe"[..], b"5", b"2probe", b"x"];
                let text = text[usize::from(script.byte() % 4)];
                self.receive(Role::Probe, client::frame(0x81, text));
            }
            13 | 14 => self.talk(script),
            15 if self.has_noise => {
                let role = if script.flag() { Role::Main } else { Role::Probe };
                self.receive(role, script.piece().to_vec());
            }
            16..=19 => self.send(script),
            20 | 21 => {
                let role = if script.byte().is_multiple_of(4) { Role::Probe } else { Role::Main };
                self.write(role, script.size());
            }
            22 => {
                let (which, most) = (usize::from(script.byte()), script.size());
                let index = which % self.released.len().max(1);
                self.write_released(index, most);
            }
            23 => {
                let which = usize::from(script.byte());
                let mut bytes = script.piece().to_vec();
                let count = self.released.len().max(1);
                if let Some((_, connection)) = self.released.get_mut(which % count) {
                    connection.drop_received(&mut bytes, &self.limits);
                }
            }
            24 => self.lose(script),
            25 | 26 => self.wait(Duration::from_millis(u64::from(script.byte()) * 200)),
            27 => self.rare(script),
            28 => {
                self.receipts += 1;
                self.input(Input::NotifyDrained);
                if self.session.is_closed() {
                    self.receipts -= 1;
                }
            }
            29 => self.input(Input::GetSent(script.size())),
            30 => self.input(if script.flag() { Input::Pause } else { Input::Resume }),
            31 if script.byte().is_multiple_of(4) => {
                self.input(Input::Close { discard: script.flag() });
                self.is_closing = true;
            }
            _ => {}
        }
    }

    /// Rare inputs, most of which close the session.
    fn rare(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0 => self.input(Input::Shutdown),
            1 => self.input(Input::Broken),
            2 => self.input(Input::Observe(script.flag())),
            3 => self.session.postpone_ping(self.now, Duration::from_secs(1)),
            4 if !self.session.is_closed() => {
                self.session.evict("maxTotalSendBuffer", 1, &mut self.recorder);
            }
            kind @ 5..=10 => self.input(Input::Fault(match kind {
                5 => PollingFault::PollLost,
                6 => PollingFault::PostOverlap,
                7 => PollingFault::PostLost,
                8 => PollingFault::PostTooLarge,
                9 => PollingFault::BinaryContent,
                _ => PollingFault::EncodedContent,
            })),
            _ => {}
        }
    }

    /// A message of the given size that contains its number.
    fn numbered(number: usize, size: usize) -> Vec<u8> {
        let number = number.to_string();
        let mut text = vec![b'0'; size.saturating_sub(number.len())];
        text.extend(number.into_bytes());
        text
    }

    fn post(&mut self, count: usize) {
        if self.session.connection(Role::Main).is_some() || count == 0 {
            return;
        }
        let packets: Vec<Vec<u8>> =
            (0..count).map(|n| [b"4", &Self::numbered(self.posted + n, 0)[..]].concat()).collect();
        self.posted += count;
        let counted =
            |packet: &Vec<u8>| [packet.len().to_string().as_bytes(), b":", packet].concat();
        let body = match self.dialect.revision {
            Revision::V3 => packets.iter().flat_map(counted).collect(),
            Revision::V4 => packets.join(&0x1e),
        };
        self.received += body.len();
        self.input(Input::Post(body));
    }

    /// The peer sends a legal frame on the main WebSocket.
    fn talk(&mut self, script: &mut Script<'_>) {
        if self.session.connection(Role::Main).is_none() {
            return;
        }
        let (first, payload) = match script.byte() % 16 {
            0..=7 => {
                let body = Self::numbered(self.posted, usize::from(script.byte()));
                self.posted += 1;
                let is_text = script.flag();
                let prefix = if is_text { b"4" } else { self.dialect.binary_prefix() };
                (if is_text { 0x81 } else { 0x82 }, [prefix, &body[..]].concat())
            }
            8..=10 => (0x89, vec![b'p'; usize::from(script.byte() % 126)]),
            11 | 12 => match self.dialect.revision {
                Revision::V3 => (0x81, b"2".to_vec()),
                Revision::V4 => (0x81, b"3".to_vec()),
            },
            13 => (0x8a, Vec::new()),
            14 if script.flag() => (0x88, b"\x03\xe8bye".to_vec()),
            14 => (0x81, b"1".to_vec()),
            _ if self.has_noise => (script.byte(), script.piece().to_vec()),
            _ => (0x89, Vec::new()),
        };
        self.receive(Role::Main, client::frame(first, &payload));
    }

    /// Opens a WebSocket for an upgrade. If the session has a WebSocket already, the new one is
    /// released at once.
    fn probe(&mut self, base64: bool) {
        let is_taken = |role| self.session.connection(role).is_some();
        let has_own_stream = !is_taken(Role::Main) && !is_taken(Role::Probe);
        let under_way = std::mem::take(&mut self.probe);
        let mut connection = Connection::new(b"");
        connection.speak(Dialect { base64, ..self.dialect });
        self.input(Input::Probe(connection));
        self.settle();
        if !has_own_stream {
            self.probe = under_way;
        }
    }

    fn send(&mut self, script: &mut Script<'_>) {
        let (kind, size) = (script.byte(), script.size());
        let body = Self::numbered(self.sent, size);
        let is_refused = self.session.is_full() || self.session.is_closed() || self.is_closing;
        let receipt = kind & 8 != 0;
        let length = body.len();
        let shared;
        let message = match kind % 6 {
            0 => Outgoing::Text(&body),
            1 => Outgoing::Binary(&body),
            2 => Outgoing::OwnText(body),
            3 => Outgoing::OwnBinary(body),
            4 => {
                shared = Arc::new(Broadcast::text(&body));
                Outgoing::Shared(&shared)
            }
            _ => {
                shared = Arc::new(Broadcast::binary(&body));
                Outgoing::Shared(&shared)
            }
        };
        let receipt = receipt && kind % 6 < 4;
        self.receipts += u32::from(receipt);
        self.input(Input::Send { message, compress: true, receipt });
        self.sent_bytes += length;
        self.sent += usize::from(!is_refused);
        self.longest = self.longest.max(length);
        let most = self.limits.max_send_buffer + self.longest * 4 / 3 + SLACK;
        assert!(self.session.waiting() <= most, "{} waiting", self.session.waiting());
    }

    fn lose(&mut self, script: &mut Script<'_>) {
        let role = if script.flag() { Role::Main } else { Role::Probe };
        if self.session.connection(role).is_some() {
            self.stream(role).is_lost = true;
        }
        let loss = match script.byte() % 3 {
            0 => Loss::Ended,
            1 => Loss::Read(Some(104)),
            _ => Loss::Write(None),
        };
        self.input(Input::Lost { role, loss });
    }

    fn stream(&mut self, role: Role) -> &mut Stream {
        match role {
            Role::Main => &mut self.main,
            Role::Probe => &mut self.probe,
        }
    }

    /// Lets time pass, and handles each deadline in order.
    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        for _ in 0..100 {
            match self.session.deadline() {
                Some(deadline) if deadline <= end => {
                    self.now = self.now.max(deadline);
                    self.pings += 1;
                    self.session.handle_timeout(self.now, &mut self.recorder);
                }
                _ => return self.now = end,
            }
        }
        panic!("deadlines do not move on");
    }

    fn write(&mut self, role: Role, most: usize) {
        let Some(connection) = self.session.connection(role) else { return };
        let bytes = offered(connection, most);
        self.session.written(role, bytes.len(), &mut self.recorder);
        self.stream(role).bytes.extend(bytes);
    }

    fn write_released(&mut self, index: usize, most: usize) -> usize {
        let Some((stream, connection)) = self.released.get_mut(index) else { return 0 };
        if stream.is_lost || connection.is_aborted() {
            return 0;
        }
        let bytes = offered(connection, most);
        connection.written(bytes.len());
        stream.bytes.extend(&bytes);
        bytes.len()
    }

    /// Checks and records the effects of the last step.
    fn settle(&mut self) {
        for effect in std::mem::take(&mut self.recorder.0) {
            match effect {
                Effect::Message(body) => {
                    assert_eq!(self.closed, 0, "a message after the close");
                    self.delivered.push(body);
                }
                Effect::Event(event) => self.event(&event),
                Effect::Get(token, payload) => {
                    assert!(self.parked.remove(&token), "GET {token} is answered twice");
                    self.polled.push(payload);
                }
                Effect::RefusedGet(token) => {
                    assert!(self.parked.remove(&token), "GET {token} is answered twice");
                }
                Effect::Promoted => self.main.bytes = std::mem::take(&mut self.probe).bytes,
                Effect::Released(role, connection) => {
                    let stream = std::mem::take(self.stream(role));
                    self.released.push((stream, connection));
                }
            }
        }
        assert_eq!(self.closed == 1, self.session.is_closed());
        let has_deadline = self.session.deadline().is_some();
        // Revision 3 has no pings of its own, so that a paused session waits for nothing.
        let may_have_none = self.session.is_closed() || self.dialect.revision == Revision::V3;
        assert!(if self.session.is_closed() {
            !has_deadline
        } else {
            has_deadline || may_have_none
        });
        assert!(self.parked.len() <= 1, "two GETs are parked");
    }

    fn event(&mut self, event: &Event) {
        assert_eq!(self.closed, 0, "{event:?} after the close");
        match event {
            Event::Closed { .. } => self.closed += 1,
            Event::Sent(count) => {
                self.receipts =
                    self.receipts.checked_sub(*count).expect("more receipts than requested");
            }
            Event::Dropped { .. } => assert_eq!(self.limits.slow_consumer, SlowConsumer::Drop),
            _ => {}
        }
    }

    /// Writes everything that is queued and checks what has arrived.
    fn finish(mut self) {
        if self.session.is_closed() {
            assert!(self.parked.is_empty(), "a GET is not answered");
            assert!(self.session.connection(Role::Main).is_none());
        }
        for index in 0..self.released.len() {
            while self.write_released(index, usize::MAX) > 0 {}
        }
        let mut arrived: Vec<usize> =
            self.polled.iter().flat_map(|payload| self.polled_numbers(payload)).collect();
        for (stream, connection) in &self.released {
            let is_cut = stream.is_lost || connection.is_aborted();
            let found = read_stream(stream, self.dialect, !is_cut);
            if stream.is_main {
                arrived.extend(found);
            }
        }
        arrived.extend(read_stream(&self.main, self.dialect, false));
        read_stream(&self.probe, self.dialect, false);
        let prefix: Vec<usize> = (0..arrived.len()).collect();
        assert_eq!(arrived, prefix, "messages are out of order");
        assert!(arrived.len() <= self.sent);
        self.check_delivered();
        self.check_amount();
    }

    fn check_delivered(&self) {
        let bytes: usize = self.delivered.iter().map(Vec::len).sum();
        // An invalid byte becomes U+FFFD, which has three bytes.
        assert!(bytes <= 3 * self.received);
        if !self.has_noise {
            for (number, body) in self.delivered.iter().enumerate() {
                let text = std::str::from_utf8(body).expect("a message is a number");
                assert_eq!(text.parse(), Ok(number), "delivered out of order");
            }
            assert!(self.delivered.len() <= self.posted);
        }
    }

    /// The numbers in the messages of a polling payload.
    fn polled_numbers(&self, payload: &Payload) -> Vec<usize> {
        let base64 = self.dialect.base64_prefix();
        match (payload, self.dialect.revision) {
            (Payload::Text(text), Revision::V4) => {
                let packets = text.split(|byte| *byte == 0x1e);
                packets.filter_map(|packet| packet_number(packet, base64)).collect()
            }
            (Payload::Text(text), Revision::V3) => {
                let packets = split_text(text);
                packets.iter().filter_map(|packet| packet_number(packet, base64)).collect()
            }
            (Payload::Bytes(bytes), _) => {
                assert!(!self.dialect.base64 && self.dialect.revision == Revision::V3);
                let numbers = split_bytes(bytes).into_iter().filter_map(|(is_text, packet)| {
                    if is_text {
                        packet_number(&packet, base64)
                    } else {
                        Some(number(&packet[1..]))
                    }
                });
                numbers.collect()
            }
        }
    }

    /// Checks that little is written beyond the app's messages.
    fn check_amount(&self) {
        let written: usize = self.released.iter().map(|(stream, _)| stream.bytes.len()).sum();
        let polled: usize = self.polled.iter().map(Payload::len).sum();
        let all = written + polled + self.main.bytes.len() + self.probe.bytes.len();
        let most = 2 * self.sent_bytes + 4 * self.received + 100 * (self.steps + self.pings + 1);
        assert!(all <= most, "{all} written, for {} received", self.received);
    }
}

/// Up to `most` queued bytes of a connection.
fn offered(connection: &Connection, most: usize) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 8];
    let filled = connection.fill(&mut slices);
    let mut bytes = Vec::new();
    for slice in &slices[..filled] {
        bytes.extend(&slice[..slice.len().min(most - bytes.len())]);
    }
    bytes
}

fn number(text: &[u8]) -> usize {
    let text = std::str::from_utf8(text).expect("a message is a number");
    text.parse().unwrap_or_else(|_| panic!("{text} is not a message of the app"))
}

/// The number in a packet, if it is a message.
fn packet_number(packet: &[u8], base64: &[u8]) -> Option<usize> {
    if let Some(body) = packet.strip_prefix(base64) {
        return Some(number(&unbase64(body).expect("the body is base64")));
    }
    match packet.split_first().expect("a packet is not empty") {
        (b'4', body) => Some(number(body)),
        (b'0', b"{}") | (b'1' | b'2' | b'6', b"") | (b'3', b"probe") => None,
        (b'3', b"") if base64.len() > 1 => None,
        other => panic!("{other:?} is not a packet of a server"),
    }
}

/// The numbers in the messages of a WebSocket. Checks that its frames are well-formed and, once it
/// is closed, complete.
fn read_stream(stream: &Stream, dialect: Dialect, is_over: bool) -> Vec<usize> {
    let (frames, rest) = client::read_frames(&stream.bytes);
    let is_closed = frames.last().is_some_and(|frame| frame.opcode == 8);
    assert!(!is_over || rest == 0, "a frame is incomplete");
    assert!(!is_over || is_closed, "the close frame is missing");
    let closes = frames.iter().filter(|frame| frame.opcode == 8).count();
    assert_eq!(closes, usize::from(is_closed));
    let numbers = frames.iter().filter_map(|frame| match frame.opcode {
        1 => packet_number(&frame.payload, dialect.base64_prefix()),
        2 => Some(number(&frame.payload[dialect.binary_prefix().len()..])),
        _ => None,
    });
    numbers.collect()
}
