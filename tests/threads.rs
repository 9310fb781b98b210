//! I/O threads, a thread that plays the part of JavaScript, and real TCP connections, all at once.
//! Messages come back in order, paused sessions are resumed, and the pool can be dropped under load.
//! `npm run tsan` runs this under `ThreadSanitizer`.
#![cfg(all(feature = "runtime", not(feature = "stream-only"), unix))]

#[path = "../src/protocol/tests/client.rs"]
#[allow(dead_code)]
mod client;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use upwire::protocol::limits::Limits;
use upwire::protocol::revision::Dialect;
use upwire::runtime::commands::{
    Action, Body, Command, CommandBatch, NewLink, NewTransport, NewWebSocket, Open, SessionId,
};
use upwire::runtime::driver::now;
use upwire::runtime::gauge::SharedLimits;
use upwire::runtime::inbox::{Event, EventBatch, Inbox, Kind, Payload, Record, cost};
use upwire::runtime::pool::Pool;
use upwire::runtime::shared::Shared;
use upwire::runtime::slots::Slots;

const THREADS: u32 = 2;
const CLIENTS: usize = 4;
const SESSIONS: usize = 6;
const MESSAGES: usize = 150;
/// Small enough that sessions are paused all the time.
const RECEIVE_QUEUE: usize = 4_000;
/// A wait that takes longer than this fails the test.
const PATIENCE: Duration = Duration::from_secs(120);

/// What wakes the JavaScript thread.
enum Wakeup {
    /// There are events.
    Inbox,
    /// A client has connected.
    Connection(TcpStream),
}

/// The JavaScript thread. Its app echoes every message.
struct JavaScript {
    pool: Pool,
    slots: Slots,
    staged: Vec<CommandBatch>,
    limits: Arc<Limits>,
    wakeups: Receiver<Wakeup>,
    /// Sessions that have closed.
    closed: usize,
    /// Messages delivered.
    delivered: usize,
    /// Delivery stops after this many messages.
    enough: usize,
}

impl JavaScript {
    fn start() -> (Self, Sender<Wakeup>) {
        let (sender, wakeups) = channel();
        let wake = sender.clone();
        let inbox = Inbox::new(move || {
            // This fails while the pool is being dropped, when nothing receives any more.
            let _ = wake.send(Wakeup::Inbox);
        });
        let limits = SharedLimits {
            max_loop_stall: Duration::from_secs(30),
            max_total_receive_queue: 10 * RECEIVE_QUEUE as i64,
            max_total_send_buffer: 1 << 30,
        };
        let javascript = Self {
            pool: Pool::start(Shared::new(now(), THREADS, inbox, limits)).unwrap(),
            slots: Slots::default(),
            staged: (0..THREADS).map(|_| CommandBatch::default()).collect(),
            limits: Arc::new(Limits { max_receive_queue: RECEIVE_QUEUE, ..Limits::default() }),
            wakeups,
            closed: 0,
            delivered: 0,
            enough: usize::MAX,
        };
        (javascript, sender)
    }

    fn stage(&mut self, id: SessionId, action: Action) {
        let batch = &mut self.staged[(id.slot % THREADS) as usize];
        batch.commands.push(Command::Session(id, action));
    }

    fn flush(&mut self) {
        for thread in 0..THREADS {
            let batch = std::mem::take(&mut self.staged[thread as usize]);
            if !batch.is_empty() {
                self.pool.submit(thread, batch);
            }
        }
    }

    fn open(&mut self, stream: TcpStream) {
        stream.set_nonblocking(true).unwrap();
        let (id, gauge) = self.slots.allocate(RECEIVE_QUEUE as u64);
        let link = NewLink::Tcp(stream);
        let websocket = NewWebSocket {
            link,
            answer: Vec::new(),
            dialect: Dialect::default(),
            deflate: None,
            early: Vec::new(),
        };
        let open = Open {
            limits: Arc::clone(&self.limits),
            gauge,
            packet: "{}".into(),
            transport: NewTransport::WebSocket(websocket),
        };
        self.stage(id, Action::Open(Box::new(open)));
    }

    /// Delivers events until this many sessions have closed.
    fn run(&mut self, sessions: usize) {
        while self.closed < sessions {
            match self.wakeups.recv_timeout(PATIENCE).expect("a wake-up") {
                Wakeup::Connection(stream) => self.open(stream),
                Wakeup::Inbox => self.deliver(),
            }
            self.flush();
            if self.pool.shared().inbox.wake_self() {
                self.deliver();
                self.flush();
            }
        }
    }

    fn deliver(&mut self) {
        while self.delivered < self.enough {
            while let Some(batch) = self.pool.shared().inbox.take() {
                let EventBatch { records, bytes, .. } = batch;
                for record in records {
                    self.event(record, &bytes);
                }
                self.pool.shared().check_relief();
                self.flush();
            }
            if self.pool.shared().inbox.arm() {
                return;
            }
        }
    }

    fn event(&mut self, record: Record, bytes: &[u8]) {
        let Record { event, payload } = record;
        let Event::Session { id, kind, .. } = event else { panic!("{event:?}") };
        if self.credit(id, cost(kind, &payload)) {
            self.stage(id, Action::Resume);
        }
        match kind {
            Kind::Text => {
                self.delivered += 1;
                let text = match payload {
                    Payload::Ascii(range) | Payload::Utf8(range) => bytes[range].to_vec(),
                    Payload::OwnUtf8(text) => text,
                    other => panic!("{other:?} is not text"),
                };
                self.stage(
                    id,
                    Action::Send { body: Body::OwnText(text), compress: true, receipt: false },
                );
            }
            Kind::Close => {
                self.slots.release(id);
                self.closed += 1;
            }
            _ => {}
        }
    }

    /// As in `Host::deliver`.
    fn credit(&mut self, id: SessionId, cost: u64) -> bool {
        self.pool.shared().totals.undelivered.fetch_sub(cost.cast_signed(), Relaxed);
        let Some((gauge, resume_below)) = self.slots.gauge(id) else { return false };
        gauge.add_delivered(cost);
        let left = gauge.undelivered();
        let is_relieved = self.pool.shared().is_relieved();
        gauge.is_paused() && (left == 0 || (left <= resume_below && is_relieved))
    }
}

/// Connects a client and passes the other end of the connection to the JavaScript thread.
fn connect(wake: &Sender<Wakeup>) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    wake.send(Wakeup::Connection(listener.accept().unwrap().0)).unwrap();
    client
}

fn text(number: usize) -> String {
    format!("{number}:{}", "x".repeat(number * 37 % 1_500))
}

/// Sends messages in pieces that do not match frames, while this thread checks the echoes. Every
/// other client then closes the WebSocket; the rest just disconnect.
fn talk(wake: &Sender<Wakeup>, session: usize) {
    let client = connect(wake);
    let mut writer = client.try_clone().unwrap();
    let sender = thread::spawn(move || {
        let frames =
            (0..MESSAGES).flat_map(|n| client::frame(0x81, format!("4{}", text(n)).as_bytes()));
        let bytes: Vec<u8> = frames.collect();
        for piece in bytes.chunks(777 + session) {
            writer.write_all(piece).unwrap();
        }
        writer
    });
    let mut reader = FrameReader { stream: client, bytes: Vec::new() };
    assert_eq!(reader.next(), "0{}");
    for number in 0..MESSAGES {
        assert_eq!(reader.next(), format!("4{}", text(number)));
    }
    let mut writer = sender.join().unwrap();
    if session.is_multiple_of(2) {
        writer.write_all(&client::frame(0x88, b"\x03\xe8")).unwrap();
        let mut rest = Vec::new();
        reader.stream.read_to_end(&mut rest).unwrap();
        assert_eq!([reader.bytes, rest].concat(), b"\x88\x02\x03\xe8");
    }
}

struct FrameReader {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl FrameReader {
    fn next(&mut self) -> String {
        loop {
            let (frames, rest) = client::read_frames(&self.bytes);
            if let Some(frame) = frames.into_iter().next() {
                let header = if frame.payload.len() < 126 { 2 } else { 4 };
                self.bytes.drain(..header + frame.payload.len());
                return String::from_utf8(frame.payload).unwrap();
            }
            assert_eq!(rest, self.bytes.len());
            let mut buffer = [0; 16 * 1024];
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the connection has ended");
            self.bytes.extend(&buffer[..count]);
        }
    }
}

#[test]
fn messages_come_back_in_order_while_sessions_come_and_go() {
    let (mut javascript, wake) = JavaScript::start();
    let clients: Vec<JoinHandle<()>> = (0..CLIENTS)
        .map(|_| {
            let wake = wake.clone();
            thread::spawn(move || (0..SESSIONS).for_each(|session| talk(&wake, session)))
        })
        .collect();
    javascript.run(CLIENTS * SESSIONS);
    for client in clients {
        client.join().unwrap();
    }
    let totals = &javascript.pool.shared().totals;
    assert_eq!(totals.undelivered.load(Relaxed), 0);
    assert_eq!(totals.unsent.load(Relaxed), 0);
    assert_eq!(totals.panics.load(Relaxed), 0);
}

#[test]
fn a_pool_is_dropped_under_load() {
    let (mut javascript, wake) = JavaScript::start();
    let clients: Vec<JoinHandle<()>> = (0..CLIENTS)
        .map(|_| {
            let mut client = connect(&wake);
            thread::spawn(move || {
                // Until the server has closed the connection.
                while client.write_all(&client::frame(0x81, b"4x")).is_ok() {}
            })
        })
        .collect();
    javascript.enough = 1_000;
    while javascript.delivered < javascript.enough {
        match javascript.wakeups.recv_timeout(PATIENCE).expect("a wake-up") {
            Wakeup::Connection(stream) => javascript.open(stream),
            Wakeup::Inbox => javascript.deliver(),
        }
        javascript.flush();
    }
    drop(javascript);
    for client in clients {
        client.join().unwrap();
    }
}
