//! Tests of a shard without its thread, with real sockets and simulated time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shard;
use crate::protocol::broadcast::Broadcast;
use crate::protocol::limits::Limits;
use crate::protocol::payload::PayloadFormat;
use crate::protocol::revision::Dialect;
use crate::protocol::tests::{client, start};
use crate::protocol::upgrade::NOOP_DELAY;
use crate::runtime::commands::{
    Action, Body, Command, CommandBatch, NewLink, NewTransport, NewWebSocket, Open, SessionId,
};
use crate::runtime::gauge::{Gauge, SharedLimits};
use crate::runtime::inbox::{Event, Inbox, Kind, Record, cost};
use crate::runtime::link::Readiness;
use crate::runtime::shared::Shared;

const MIB: usize = 1024 * 1024;

/// A shard, with stand-ins for its thread and for JavaScript.
struct World {
    shard: Shard,
    shared: Arc<Shared>,
    now: Instant,
    poll: mio::Poll,
    /// The largest message that sessions accept, in bytes.
    max_message: usize,
}

/// A session, and its peer's end of the socket.
struct Client {
    id: SessionId,
    gauge: Arc<Gauge>,
    stream: Option<TcpStream>,
}

fn limits(receive: usize, send: usize) -> SharedLimits {
    SharedLimits {
        max_loop_stall: Duration::from_secs(30),
        max_total_receive_queue: receive as i64,
        max_total_send_buffer: send as i64,
    }
}

impl World {
    fn new(limits: SharedLimits) -> Self {
        let now = start();
        Self::of_thread(0, Arc::new(Shared::new(now, 1, Inbox::new(|| {}), limits)), now)
    }

    fn of_thread(number: usize, shared: Arc<Shared>, now: Instant) -> Self {
        let poll = mio::Poll::new().unwrap();
        let registry = poll.registry().try_clone().unwrap();
        let shard = Shard::new(Arc::clone(&shared), number, registry);
        Self { shard, shared, now, poll, max_message: 1_000_000 }
    }

    fn turn(&mut self, commands: Vec<Command>) {
        self.shard.turn(self.now, vec![CommandBatch { commands, ..CommandBatch::default() }]);
    }

    fn act(&mut self, id: SessionId, action: Action) {
        self.turn(vec![Command::Session(id, action)]);
    }

    /// Takes turns until there is nothing to do and no socket becomes ready for a moment.
    fn settle(&mut self) {
        let mut events = mio::Events::with_capacity(1024);
        for _ in 0..10_000 {
            self.turn(Vec::new());
            let patience = u64::from(!self.shard.has_work());
            self.poll.poll(&mut events, Some(Duration::from_millis(patience))).unwrap();
            for event in &events {
                self.shard.note_readiness(event.token().0, Readiness::of(event));
            }
            if !self.shard.has_work() {
                return;
            }
        }
        panic!("the shard does not run out of work");
    }

    fn polling(&mut self, slot: u32) -> Client {
        self.open(slot, None)
    }

    fn websocket(&mut self, slot: u32) -> Client {
        let (ours, theirs) = pair();
        let mut client = self.open(slot, Some(websocket(ours)));
        client.stream = Some(theirs);
        client
    }

    fn open(&mut self, slot: u32, websocket: Option<NewWebSocket>) -> Client {
        let id = SessionId { slot, generation: 0 };
        let gauge: Arc<Gauge> = Arc::default();
        let max_message = self.max_message;
        let limits = Limits {
            max_send_buffer: 0,
            max_message,
            max_receive_queue: 64 * MIB,
            ..Limits::default()
        };
        let open = Open {
            limits: Arc::new(limits),
            gauge: Arc::clone(&gauge),
            packet: "{}".into(),
            transport: websocket.map_or_else(
                || NewTransport::Polling(PayloadFormat::default()),
                NewTransport::WebSocket,
            ),
        };
        self.act(id, Action::Open(Box::new(open)));
        Client { id, gauge, stream: None }
    }

    /// Sends bytes as a client.
    fn receive(&mut self, client: &mut Client, bytes: &[u8]) {
        for piece in bytes.chunks(50_000) {
            // The connection of a closed session may have been reset.
            if client.stream.as_mut().unwrap().write_all(piece).is_err() {
                return;
            }
            self.settle();
        }
    }

    fn is_open(&self, client: &Client) -> bool {
        self.shard.find(client.id).is_some()
    }

    /// Takes all events, as JavaScript does, and returns their slots and kinds.
    fn deliver(&mut self, clients: &[&Client]) -> Vec<(u32, Kind)> {
        let mut seen = Vec::new();
        while let Some(batch) = self.shared.inbox.take() {
            for Record { event, payload } in batch.records {
                let Event::Session { id, kind, .. } = event else { panic!("{event:?}") };
                let cost = cost(kind, &payload);
                self.shared
                    .totals
                    .undelivered
                    .fetch_sub(cost.cast_signed(), std::sync::atomic::Ordering::SeqCst);
                if let Some(client) = clients.iter().find(|client| client.id == id) {
                    client.gauge.add_delivered(cost);
                }
                seen.push((id.slot, kind));
            }
        }
        seen
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours, theirs)
}

fn websocket(stream: TcpStream) -> NewWebSocket {
    NewWebSocket {
        link: NewLink::Tcp(stream),
        answer: b"101".to_vec(),
        dialect: Dialect::default(),
        deflate: None,
        early: Vec::new(),
    }
}

fn send(size: usize) -> Action {
    Action::Send { body: Body::OwnBinary(vec![0; size]), compress: true, receipt: false }
}

#[test]
fn a_session_has_one_timer_however_often_it_polls() {
    let mut world = World::new(limits(64 * MIB, 0));
    let client = world.polling(0);
    let (ours, _theirs) = pair();
    let mut probe = websocket(ours);
    probe.early = client::frame(0x81, b"2probe");
    world.act(client.id, Action::Probe(Box::new(probe)));
    for token in 0..500 {
        world.act(client.id, Action::Get(token));
        // A GET that is parked during a probe is answered with a noop.
        world.now += NOOP_DELAY;
        world.settle();
        assert!(world.is_open(&client));
    }
    assert_eq!(world.shard.timers.count(), 1);
}

#[test]
fn a_closed_session_has_no_timer() {
    let mut world = World::new(limits(64 * MIB, 0));
    let client = world.polling(0);
    assert_eq!(world.shard.timers.count(), 1);
    world.act(client.id, Action::Close { discard: true });
    assert_eq!(world.shard.timers.count(), 0);
}

#[test]
fn above_the_total_only_sessions_with_nothing_undelivered_are_read() {
    let mut world = World::new(limits(MIB, 0));
    world.max_message = 100_000;
    let mut clients: Vec<Client> = (0..40).map(|slot| world.websocket(slot)).collect();
    let flood: Vec<u8> = (0..4000).flat_map(|_| client::frame(0x81, b"4abcdef")).collect();
    for client in &mut clients {
        world.receive(client, &flood);
    }
    world.settle();
    let received = world.shared.totals.receive_queue();
    assert!(received > MIB as i64 && received < 3 * MIB as i64, "{received}");
    let mut quiet = world.websocket(40);
    world.receive(&mut quiet, &client::frame(0x81, b"4quiet"));
    assert!(quiet.gauge.undelivered() > 0, "a quiet session is read");

    let mut texts = 0;
    for _ in 0..1000 {
        let all: Vec<&Client> = clients.iter().chain([&quiet]).collect();
        let seen = world.deliver(&all);
        texts += seen.iter().filter(|(_, kind)| *kind == Kind::Text).count();
        assert!(world.shared.totals.receive_queue() < 3 * MIB as i64);
        let resumed: Vec<SessionId> =
            clients.iter().filter(|client| client.gauge.is_paused()).map(|it| it.id).collect();
        for id in resumed {
            world.act(id, Action::Resume);
        }
        world.settle();
        if texts > 40 * 4000 {
            break;
        }
    }
    assert_eq!(texts, 40 * 4000 + 1, "nothing is lost");
    assert_eq!(world.shared.totals.receive_queue(), 0);
}

#[test]
fn a_session_with_an_unfinished_message_resumes_once_others_are_delivered() {
    let mut world = World::new(limits(MIB, 0));
    world.max_message = 100_000;
    let mut large = world.websocket(0);
    let mut slow = world.websocket(1);
    let message = client::frame(0x82, &vec![7; 20_000]);
    world.receive(&mut slow, &message[..10_000]);
    for _ in 0..14 {
        world.receive(&mut large, &client::frame(0x82, &vec![0; 90_000]));
    }
    world.receive(&mut slow, &message[10_000..]);
    assert!(slow.gauge.is_paused());
    assert_eq!(slow.gauge.undelivered(), 0);
    for _ in 0..10 {
        world.deliver(&[&large, &slow]);
        if large.gauge.is_paused() {
            world.act(large.id, Action::Resume);
        }
        world.settle();
    }
    assert!(!slow.gauge.is_paused());
    assert_eq!(world.shared.totals.receive_queue(), 0);
}

#[test]
fn messages_almost_as_large_as_the_total_arrive() {
    let mut world = World::new(limits(MIB, 0));
    let mut clients: Vec<Client> = (0..3).map(|slot| world.websocket(slot)).collect();
    let message = client::frame(0x82, &vec![0; 990_000]);
    let (mut arrived, half) = (0, message.len() / 2);
    for part in [&message[..half], &message[half..]] {
        for client in &mut clients {
            world.receive(client, part);
        }
    }
    for _ in 0..20 {
        let all: Vec<&Client> = clients.iter().collect();
        let seen = world.deliver(&all);
        arrived += seen.iter().filter(|(_, kind)| *kind == Kind::Binary).count();
        let paused: Vec<SessionId> =
            clients.iter().filter(|client| client.gauge.is_paused()).map(|it| it.id).collect();
        for id in paused {
            world.act(id, Action::Resume);
        }
        world.settle();
    }
    assert_eq!(arrived, 3);
    assert_eq!(world.shared.totals.receive_queue(), 0);
}

#[test]
fn unfinished_messages_may_use_half_of_the_total() {
    let mut world = World::new(limits(16 * MIB, 0));
    let mut stalled: Vec<Client> = (0..30).map(|slot| world.websocket(slot)).collect();
    let message = client::frame(0x82, &vec![0; 900_000]);
    for client in &mut stalled {
        world.now += Duration::from_millis(1);
        world.receive(client, &message[..600_000]);
    }
    let unfinished = world.shared.totals.unfinished.load(std::sync::atomic::Ordering::SeqCst);
    assert!(unfinished <= 8 * MIB as i64, "{unfinished}");
    let open: Vec<bool> = stalled.iter().map(|client| world.is_open(client)).collect();
    assert!(!open[0] && open[29], "some are closed, the newest is not");
    assert!(open.is_sorted(), "the oldest are closed first");
    let mut answer = Vec::new();
    stalled[0].stream.take().unwrap().read_to_end(&mut answer).unwrap_or(0);
    assert!(answer.ends_with(b"\x88\x02\x03\xf5"), "close code 1013");
}

#[test]
fn the_session_with_the_longest_queue_is_closed() {
    let mut world = World::new(limits(64 * MIB, 40 * MIB));
    let clients: Vec<Client> = (0..4).map(|slot| world.websocket(slot)).collect();
    for (client, mib) in clients.iter().zip([14, 28, 15, 16]) {
        world.act(client.id, send(mib * MIB));
    }
    world.settle();
    let open: Vec<bool> = clients.iter().map(|client| world.is_open(client)).collect();
    assert_eq!(open, [true, false, true, true]);
    let unsent = world.shared.totals.unsent.load(std::sync::atomic::Ordering::Relaxed);
    assert!(unsent <= 40 * MIB as i64, "{unsent}");
}

#[test]
fn the_longest_queue_is_found_across_threads() {
    let now = start();
    let shared = Shared::new(now, 2, Inbox::new(|| {}), limits(64 * MIB, 45 * MIB));
    let shared = Arc::new(shared);
    let mut first = World::of_thread(0, Arc::clone(&shared), now);
    let mut second = World::of_thread(1, shared, now);
    let stalled = first.websocket(0);
    first.act(stalled.id, send(40 * MIB));
    let others: Vec<Client> = (0..10).map(|n| second.websocket(2 * n + 1)).collect();
    for client in &others {
        second.act(client.id, send(6 * MIB));
    }
    for _ in 0..20 {
        for world in [&mut second, &mut first] {
            world.now += Duration::from_millis(5);
            world.settle();
        }
    }
    assert!(!first.is_open(&stalled));
    assert!(others.iter().all(|client| second.is_open(client)), "shorter queues stay open");
}

#[test]
fn a_broadcast_closes_no_session_whose_peer_reads() {
    let mut world = World::new(limits(64 * MIB, 8 * MIB));
    let mut clients: Vec<Client> = (0..10).map(|slot| world.websocket(slot)).collect();
    let total = Arc::clone(&world.shared.totals.unsent);
    let mut commands = Vec::new();
    for _ in 0..1200 {
        let broadcast = Arc::new(Broadcast::binary(&[0; 10_000]).charged_to(&total));
        for client in &clients {
            let action = Action::SendBroadcast(Arc::clone(&broadcast));
            commands.push(Command::Session(client.id, action));
        }
    }
    world.turn(commands);
    let mut buffer = vec![0; MIB];
    let streams: Vec<TcpStream> = clients.iter_mut().map(|it| it.stream.take().unwrap()).collect();
    for stream in &streams {
        stream.set_nonblocking(true).unwrap();
    }
    for _ in 0..10_000 {
        for mut stream in &streams {
            while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
        }
        world.settle();
        if total.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            break;
        }
    }
    assert_eq!(total.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert!(clients.iter().all(|client| world.is_open(client)));
}

#[test]
fn a_broadcast_that_waits_for_stalled_peers_only_closes_sessions() {
    let mut world = World::new(limits(64 * MIB, 8 * MIB));
    let clients: Vec<Client> = (0..3).map(|slot| world.websocket(slot)).collect();
    let total = Arc::clone(&world.shared.totals.unsent);
    let broadcast = Arc::new(Broadcast::binary(&vec![0; 20 * MIB]).charged_to(&total));
    let commands = clients
        .iter()
        .map(|client| Command::Session(client.id, Action::SendBroadcast(Arc::clone(&broadcast))))
        .collect();
    drop(broadcast);
    world.turn(commands);
    world.settle();
    assert!(clients.iter().all(|client| world.is_open(client)), "the peers may still read");
    for _ in 0..20 {
        world.now += Duration::from_millis(200);
        world.settle();
    }
    assert!(total.load(std::sync::atomic::Ordering::Relaxed) <= 8 * MIB as i64);
    assert!(!clients.iter().all(|client| world.is_open(client)));
}

#[test]
fn queues_of_released_connections_count() {
    let mut world = World::new(limits(64 * MIB, 32 * MIB));
    let mut clients: Vec<Client> = (0..12).map(|slot| world.websocket(slot)).collect();
    for client in &mut clients {
        world.act(client.id, send(10 * MIB));
        world.receive(client, &client::frame(0x88, b"\x03\xe8"));
        assert!(!world.is_open(client));
        let unsent = world.shared.totals.unsent.load(std::sync::atomic::Ordering::Relaxed);
        assert!(unsent <= 32 * MIB as i64, "{unsent}");
    }
    world.now += Duration::from_secs(10);
    world.settle();
    assert_eq!(world.shared.totals.unsent.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert!(world.shard.links.is_empty());
    assert!(world.shard.send_queues.is_empty());
}
