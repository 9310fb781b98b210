//! Echo of large binary messages, one outstanding per connection. Nothing is copied: the frame of a
//! connection is built once and sent again with a new stamp at both ends, and the echo is compared
//! as it arrives.

use crate::channel::Incoming;
use crate::crowd::{Crowd, index};
use crate::driver::{Io, Scenario};
use crate::fault::{Fault, Result};
use crate::frame::{Opcode, masked, patch};
use crate::poller::Readiness;
use crate::socket::Outbox;
use crate::template::{STAMP, Stamp, mismatch, stamp};

/// The packet that announces one attachment.
const ANNOUNCEMENT: &[u8] = br#"451-["echo",{"_placeholder":true,"num":0}]"#;

#[derive(Clone, Copy, Default)]
struct Lane {
    sent: u32,
    received: u32,
    /// The announcement of the current echo has arrived.
    announced: bool,
}

pub struct Binary {
    crowd: Crowd,
    lanes: Vec<Lane>,
    /// The attachment, with both stamps zero.
    pattern: Vec<u8>,
    running: bool,
    received: u64,
}

impl Binary {
    pub fn new(port: u16, connections: u16, size: usize) -> Result<Self> {
        if size < 2 * STAMP {
            return Err(Fault::Usage(format!("--size is {} or more", 2 * STAMP)));
        }
        // Not periodic in anything that a masking or chunking error could shift by.
        let mut state = 1_u32;
        let pattern = (0..size).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        Ok(Self {
            crowd: Crowd::new(port, usize::from(connections)),
            lanes: vec![Lane::default(); usize::from(connections)],
            pattern: pattern.collect(),
            running: false,
            received: 0,
        })
    }
}

impl Scenario for Binary {
    fn open(&mut self, io: &mut Io) -> Result<()> {
        self.crowd.open_more(io)
    }

    fn is_connected(&self) -> bool {
        self.crowd.is_complete()
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        self.running = true;
        let mut message = masked(Opcode::Text, ANNOUNCEMENT);
        message.extend(masked(Opcode::Binary, &self.pattern));
        for (lane, link) in self.lanes.iter_mut().zip(&mut self.crowd.links) {
            let socket = &mut link.channel.socket;
            socket.outbox = Outbox::keeping(message.clone());
            send(&mut socket.outbox, self.pattern.len(), lane);
            socket.flush(&io.poller)?;
        }
        Ok(())
    }

    fn ready(&mut self, io: &mut Io, token: u64, readiness: Readiness) -> Result<()> {
        let at = index(token);
        let Self { crowd, lanes, pattern, running, received } = self;
        let lane = &mut lanes[at];
        crowd.ready(io, at, readiness, |outbox, incoming| {
            let expected = stamp(0, lane.received);
            match incoming {
                Incoming::Text(ANNOUNCEMENT) if !lane.announced && lane.received < lane.sent => {
                    lane.announced = true;
                }
                Incoming::Part { offset, total, bytes }
                    if lane.announced
                        && total == pattern.len()
                        && part_matches(pattern, expected, offset, bytes) =>
                {
                    if offset + bytes.len() == total {
                        lane.announced = false;
                        lane.received += 1;
                        *received += 1;
                        if *running {
                            send(outbox, total, lane);
                        }
                    }
                }
                Incoming::Text(packet) => return Err(mismatch("an echo", at, expected, packet)),
                Incoming::Part { bytes, .. } => {
                    return Err(mismatch("an attachment", at, expected, bytes));
                }
                Incoming::Open | Incoming::Close => {}
            }
            Ok(())
        })
    }

    fn stop(&mut self) {
        self.running = false;
    }

    fn is_drained(&self) -> bool {
        self.lanes.iter().all(|lane| lane.received == lane.sent)
    }

    fn count(&self) -> u64 {
        self.received
    }

    fn progress(&self) -> String {
        format!("{}; {} echoes", self.crowd.progress(), self.received)
    }
}

/// Sends the connection's message again with a new stamp.
fn send(outbox: &mut Outbox, size: usize, lane: &mut Lane) {
    let message = outbox.replay();
    let start = message.len() - size;
    let payload = &mut message[start..];
    let stamp = stamp(0, lane.sent);
    patch(payload, 0, &stamp);
    patch(payload, size - STAMP, &stamp);
    lane.sent += 1;
}

/// Whether a stretch matches the pattern at that position, with the stamp at both ends.
fn part_matches(pattern: &[u8], stamp: Stamp, offset: usize, bytes: &[u8]) -> bool {
    let size = pattern.len();
    [(0, &stamp[..]), (STAMP, &pattern[STAMP..size - STAMP]), (size - STAMP, &stamp[..])]
        .into_iter()
        .all(|(start, expected)| {
            let from = start.max(offset);
            let to = (start + expected.len()).min(offset + bytes.len());
            from >= to || bytes[from - offset..to - offset] == expected[from - start..to - start]
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_matches_however_the_message_is_cut() {
        let mut echoed: Vec<u8> = (0..60).collect();
        let pattern = echoed.clone();
        let stamp = stamp(0, 7);
        echoed[..STAMP].copy_from_slice(&stamp);
        echoed[60 - STAMP..].copy_from_slice(&stamp);
        for from in 0..60 {
            for to in from + 1..=60 {
                assert!(part_matches(&pattern, stamp, from, &echoed[from..to]));
                let mut changed = echoed[from..to].to_vec();
                changed[(to - from) / 2] ^= 1;
                assert!(!part_matches(&pattern, stamp, from, &changed));
            }
        }
    }
}
