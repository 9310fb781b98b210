//! Echo over long-polling alone: each client has one connection that polls and one that posts, with
//! one message outstanding.

use crate::crowd::index;
use crate::driver::{Io, Scenario};
use crate::engine_io::{SEPARATOR, check_ok, is_connected, packets, session_id};
use crate::fault::Result;
use crate::http::{Exchange, engine_path, get, post_head};
use crate::poller::Readiness;
use crate::template::{STAMP, Template, mismatch, stamp};

const CONNECT: &[u8] = b"40";
const PING: &[u8] = b"2";
const PONG: &[u8] = b"3";

struct Client {
    number: u16,
    poll: Exchange,
    post: Exchange,
    sid: String,
    poll_request: String,
    /// Head and body of the POST for one event; the stamp is patched in place.
    post_request: Vec<u8>,
    joined: bool,
    sent: u32,
    received: u32,
    pong_due: bool,
}

pub struct Polling {
    clients: Vec<Client>,
    target: u16,
    port: u16,
    template: Template,
    handshake: String,
    running: bool,
    joined: u16,
    received: u64,
}

impl Polling {
    pub fn new(port: u16, connections: u16, size: usize) -> Result<Self> {
        Ok(Self {
            clients: Vec::with_capacity(usize::from(connections)),
            target: connections,
            port,
            template: Template::event("echo", size)?,
            handshake: get(&engine_path("polling", None), port),
            running: false,
            joined: 0,
            received: 0,
        })
    }
}

impl Scenario for Polling {
    fn open(&mut self, io: &mut Io) -> Result<()> {
        for number in 0..self.target {
            let at = usize::from(number);
            let mut poll = Exchange::open(io, 2 * at as u64, self.port, at)?;
            poll.send(io, &[self.handshake.as_bytes()])?;
            self.clients.push(Client {
                number,
                poll,
                post: Exchange::open(io, 2 * at as u64 + 1, self.port, at)?,
                sid: String::new(),
                poll_request: String::new(),
                post_request: Vec::new(),
                joined: false,
                sent: 0,
                received: 0,
                pong_due: false,
            });
        }
        Ok(())
    }

    fn is_connected(&self) -> bool {
        self.joined == self.target
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        self.running = true;
        let Self { clients, template, port, .. } = self;
        clients.iter_mut().try_for_each(|client| client.post_next(io, template, *port, true))
    }

    fn ready(&mut self, io: &mut Io, token: u64, readiness: Readiness) -> Result<()> {
        let (at, posts) = (index(token) / 2, token % 2 == 1);
        let Self { clients, template, port, .. } = self;
        let client = &mut clients[at];
        let before = (client.joined, client.received);
        if posts {
            if let Some(body) = client.post.ready(&io.poller, &mut io.scratch, readiness)? {
                check_ok(body)?;
            }
        } else {
            client.poll_ready(io, readiness, template, *port)?;
        }
        self.joined += u16::from(client.joined && !before.0);
        self.received += u64::from(client.received - before.1);
        client.post_next(io, template, *port, self.running)
    }

    fn stop(&mut self) {
        self.running = false;
    }

    fn is_drained(&self) -> bool {
        self.clients.iter().all(|client| client.received == client.sent && !client.post.is_busy())
    }

    fn count(&self) -> u64 {
        self.received
    }

    fn progress(&self) -> String {
        let missing = self.clients.iter().filter(|client| client.received < client.sent).count();
        format!(
            "{} of {} clients joined, {} echoes, {missing} missing",
            self.joined, self.target, self.received
        )
    }
}

impl Client {
    fn poll_ready(
        &mut self,
        io: &mut Io,
        readiness: Readiness,
        template: &Template,
        port: u16,
    ) -> Result<()> {
        let Some(body) = self.poll.ready(&io.poller, &mut io.scratch, readiness)? else {
            return Ok(());
        };
        if self.poll_request.is_empty() {
            self.sid = session_id(body)?;
            let path = engine_path("polling", Some(&self.sid));
            self.poll_request = get(&path, port);
            self.post_request = post_head(&path, port, template.plain().len()).into_bytes();
            self.post_request.extend_from_slice(template.plain());
            self.post.send(io, &[post_head(&path, port, CONNECT.len()).as_bytes(), CONNECT])?;
        } else {
            for packet in packets(body) {
                if packet == PING {
                    self.pong_due = true;
                } else if !self.joined && is_connected(packet) {
                    self.joined = true;
                } else {
                    let expected = stamp(self.number, self.received);
                    if self.received == self.sent || !template.matches(packet, expected) {
                        return Err(mismatch(
                            "an echo",
                            usize::from(self.number),
                            expected,
                            packet,
                        ));
                    }
                    self.received += 1;
                }
            }
        }
        self.poll.send(io, &[self.poll_request.as_bytes()])
    }

    /// Posts what is due unless a POST is under way: a pong with or without the next event, or that
    /// event.
    fn post_next(&mut self, io: &Io, template: &Template, port: u16, running: bool) -> Result<()> {
        if self.post.is_busy() || !self.joined {
            return Ok(());
        }
        let event_due = running && self.received == self.sent;
        if event_due {
            let start = self.post_request.len() - template.plain().len() + template.at();
            self.post_request[start..start + STAMP].copy_from_slice(&stamp(self.number, self.sent));
            self.sent += 1;
        }
        let event = &self.post_request[self.post_request.len() - template.plain().len()..];
        match (self.pong_due, event_due) {
            (false, false) => Ok(()),
            (false, true) => self.post.send(io, &[&self.post_request]),
            (true, event_due) => {
                // Once in 25 seconds, so this one may build a new head.
                self.pong_due = false;
                let mut body = PONG.to_vec();
                if event_due {
                    body.push(SEPARATOR);
                    body.extend_from_slice(event);
                }
                let path = engine_path("polling", Some(&self.sid));
                self.post.send(io, &[post_head(&path, port, body.len()).as_bytes(), &body])
            }
        }
    }
}
