//! What a session has to send while it is on polling: packets, in call order, until a GET comes
//! or a WebSocket takes over. On a WebSocket packets go straight to its wire.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::packet::{self, PacketType};
use super::payload;
use super::websocket::Connection;
use super::websocket::frame::{self, Data, OpCode};

/// What a queued packet costs beyond its body.
const PACKET_COST: usize = 64;

/// A message encoded once for many receivers.
#[derive(Debug)]
pub struct Broadcast {
    is_text: bool,
    /// Its WebSocket form.
    frame: Vec<u8>,
    body: Body,
    /// Held for what its end does.
    #[allow(dead_code)]
    charge: Option<Charge>,
}

/// Where the message itself is.
#[derive(Debug)]
enum Body {
    /// In the frame, from there on.
    InFrame(usize),
    /// Apart, because the app made the frame.
    Apart(Vec<u8>),
}

/// The memory of a shared message in a total, as long as somebody waits to send it.
#[derive(Debug)]
struct Charge {
    total: Arc<AtomicI64>,
    bytes: i64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Relaxed);
    }
}

impl Broadcast {
    /// A text message.
    pub fn text(body: &[u8]) -> Self {
        Self::framed(true, &[PacketType::Message as u8], body)
    }

    /// A binary message.
    pub fn binary(body: &[u8]) -> Self {
        Self::framed(false, &[], body)
    }

    fn framed(is_text: bool, prefix: &[u8], body: &[u8]) -> Self {
        let payload = prefix.len().saturating_add(body.len());
        let mut wire = Vec::with_capacity(payload.saturating_add(frame::MAX_HEADER));
        let data = if is_text { Data::Text } else { Data::Binary };
        frame::write_header(OpCode::Data(data), payload, &mut wire);
        wire.extend_from_slice(prefix);
        let start = wire.len();
        wire.extend_from_slice(body);
        Self { is_text, frame: wire, body: Body::InFrame(start), charge: None }
    }

    /// A text message whose WebSocket form the app made itself (`wsPreEncodedFrame`); it is sent
    /// as it is.
    pub fn with_frame(body: Vec<u8>, frame: Vec<u8>) -> Self {
        Self { is_text: true, frame, body: Body::Apart(body), charge: None }
    }

    fn body(&self) -> &[u8] {
        match &self.body {
            Body::InFrame(start) => self.frame.get(*start..).unwrap_or(&[]),
            Body::Apart(body) => body,
        }
    }

    /// The body of a binary message.
    pub fn binary_body(&self) -> Option<&[u8]> {
        (!self.is_text).then(|| self.body())
    }

    /// Counts the message in a total, once for all its receivers, until the last has sent it.
    pub fn charged_to(mut self, total: &Arc<AtomicI64>) -> Self {
        let apart = match &self.body {
            Body::InFrame(_) => 0,
            Body::Apart(body) => body.len(),
        };
        let bytes = i64::try_from(self.frame.len().saturating_add(apart)).unwrap_or(i64::MAX);
        total.fetch_add(bytes, Relaxed);
        self.charge = Some(Charge { total: Arc::clone(total), bytes });
        self
    }

    /// The WebSocket form.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }
}

/// A message the app sends.
#[derive(Debug)]
pub enum Outgoing<'a> {
    Text(&'a [u8]),
    Binary(&'a [u8]),
    OwnText(Vec<u8>),
    OwnBinary(Vec<u8>),
    Shared(&'a Arc<Broadcast>),
}

/// A packet that waits for a GET.
#[derive(Debug)]
enum Queued {
    /// Type digit and body.
    Plain(PacketType, Vec<u8>),
    Binary(Vec<u8>),
    Shared(Arc<Broadcast>),
}

impl Queued {
    fn cost(&self) -> usize {
        let body = match self {
            Queued::Plain(_, body) | Queued::Binary(body) => body.len(),
            Queued::Shared(broadcast) => broadcast.body().len(),
        };
        body.saturating_add(PACKET_COST)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Queued::Plain(kind, body) => {
                out.push(*kind as u8);
                out.extend_from_slice(body);
            }
            Queued::Binary(body) => packet::encode_binary(body, out),
            Queued::Shared(shared) if shared.is_text => {
                out.push(PacketType::Message as u8);
                out.extend_from_slice(shared.body());
            }
            Queued::Shared(shared) => packet::encode_binary(shared.body(), out),
        }
    }
}

/// Packets that wait for a polling GET.
#[derive(Debug, Default)]
pub struct Outbox {
    packets: VecDeque<Queued>,
    cost: usize,
    /// Bytes of the cost that are shared with other sessions.
    shared: usize,
    /// Receipts asked for by the messages that wait.
    receipts: u32,
}

impl Outbox {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Memory that waits, in bytes.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Of [`Self::cost`], what is not shared with other sessions.
    pub fn own(&self) -> usize {
        self.cost.saturating_sub(self.shared)
    }

    /// Memory that the end of this queue would free: its own, and broadcasts that no other queue
    /// waits to send.
    pub fn alone(&self) -> usize {
        let elsewhere = |packet: &Queued| match packet {
            Queued::Shared(broadcast) if Arc::strong_count(broadcast) > 1 => broadcast.body().len(),
            Queued::Shared(_) | Queued::Plain(..) | Queued::Binary(_) => 0,
        };
        let elsewhere = self.packets.iter().map(elsewhere).fold(0, usize::saturating_add);
        self.cost.saturating_sub(elsewhere)
    }

    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Asks for a receipt when all that waits has been taken.
    pub fn expect_receipt(&mut self) {
        self.receipts = self.receipts.saturating_add(1);
    }

    /// Queues a packet that is no message.
    pub fn push_packet(&mut self, kind: PacketType, body: &[u8]) {
        self.push(Queued::Plain(kind, body.to_vec()));
    }

    /// Queues a message.
    pub fn push_message(&mut self, message: Outgoing<'_>, receipt: bool) {
        self.receipts = self.receipts.saturating_add(u32::from(receipt));
        self.push(match message {
            Outgoing::Text(body) => Queued::Plain(PacketType::Message, body.to_vec()),
            Outgoing::OwnText(body) => Queued::Plain(PacketType::Message, body),
            Outgoing::Binary(body) => Queued::Binary(body.to_vec()),
            Outgoing::OwnBinary(body) => Queued::Binary(body),
            Outgoing::Shared(broadcast) => Queued::Shared(Arc::clone(broadcast)),
        });
    }

    fn push(&mut self, packet: Queued) {
        self.cost = self.cost.saturating_add(packet.cost());
        if let Queued::Shared(broadcast) = &packet {
            self.shared = self.shared.saturating_add(broadcast.body().len());
        }
        self.packets.push_back(packet);
    }

    /// Takes all that waits as one payload, with the number of receipts in it.
    pub fn take_payload(&mut self) -> (Vec<u8>, u32) {
        let Self { packets, cost, receipts, .. } = std::mem::take(self);
        let mut body = Vec::with_capacity(cost);
        for packet in packets {
            if !body.is_empty() {
                body.push(payload::SEPARATOR);
            }
            packet.encode(&mut body);
        }
        (body, receipts)
    }

    /// How many receipts the messages that wait have asked for.
    pub fn receipts(&self) -> u32 {
        self.receipts
    }

    /// Moves all that waits to a WebSocket and returns the number of receipts in it.
    pub fn move_to(&mut self, connection: &mut Connection) -> u32 {
        let Self { packets, receipts, .. } = std::mem::take(self);
        for packet in packets {
            match packet {
                Queued::Plain(kind, body) => connection.send_text_owned(&[kind as u8], body),
                Queued::Binary(body) => connection.send_binary_owned(body),
                Queued::Shared(broadcast) => connection.send_shared(&broadcast),
            }
        }
        receipts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_packets_into_one_payload() {
        let mut outbox = Outbox::default();
        outbox.push_packet(PacketType::Open, b"{}");
        outbox.push_message(Outgoing::Text(b"a"), true);
        outbox.push_message(Outgoing::Binary(&[1, 2, 3]), false);
        outbox.push_message(Outgoing::Shared(&Arc::new(Broadcast::text(b"all"))), true);
        outbox.push_message(Outgoing::Shared(&Arc::new(Broadcast::binary(&[4]))), false);
        assert!(outbox.cost() > 5 * PACKET_COST);
        let (payload, receipts) = outbox.take_payload();
        assert_eq!(payload, b"0{}\x1e4a\x1ebAQID\x1e4all\x1ebBA==");
        assert_eq!(receipts, 2);
        assert!(outbox.is_empty());
        assert_eq!(outbox.cost(), 0);
    }
}
