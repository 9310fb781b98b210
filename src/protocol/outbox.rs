//! What a session has to send while it is on polling: packets, in call order, until a GET comes
//! or a WebSocket takes over. On a WebSocket packets go straight to its wire.

use std::collections::VecDeque;
use std::sync::Arc;

use super::packet::{self, PacketType};
use super::payload;
use super::websocket::Connection;
use super::websocket::frame::{self, Data, OpCode};

/// What a queued packet costs beyond its body.
const PACKET_COST: usize = 64;

/// A message encoded once for many receivers.
#[derive(Debug, PartialEq, Eq)]
pub struct Broadcast {
    is_text: bool,
    body: Vec<u8>,
    /// Its WebSocket form.
    frame: Vec<u8>,
}

impl Broadcast {
    /// A text message.
    pub fn text(body: Vec<u8>) -> Self {
        let mut wire = Vec::with_capacity(body.len().saturating_add(frame::MAX_HEADER));
        frame::write_header(OpCode::Data(Data::Text), body.len().saturating_add(1), &mut wire);
        wire.push(PacketType::Message as u8);
        wire.extend_from_slice(&body);
        Self { is_text: true, body, frame: wire }
    }

    /// A text message whose WebSocket form the app made itself (`wsPreEncodedFrame`); it is sent
    /// as it is.
    pub fn with_frame(body: Vec<u8>, frame: Vec<u8>) -> Self {
        Self { is_text: true, body, frame }
    }

    /// A binary message.
    pub fn binary(body: Vec<u8>) -> Self {
        let mut wire = Vec::with_capacity(body.len().saturating_add(frame::MAX_HEADER));
        frame::write_header(OpCode::Data(Data::Binary), body.len(), &mut wire);
        wire.extend_from_slice(&body);
        Self { is_text: false, body, frame: wire }
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
            Queued::Shared(broadcast) => broadcast.body.len(),
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
                out.extend_from_slice(&shared.body);
            }
            Queued::Shared(shared) => packet::encode_binary(&shared.body, out),
        }
    }
}

/// Packets that wait for a polling GET.
#[derive(Debug, Default)]
pub struct Outbox {
    packets: VecDeque<Queued>,
    cost: usize,
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
        self.packets.push_back(packet);
    }

    /// Takes all that waits as one payload, with the number of receipts in it.
    pub fn take_payload(&mut self) -> (Vec<u8>, u32) {
        let Self { packets, cost, receipts } = std::mem::take(self);
        let mut body = Vec::with_capacity(cost);
        for packet in packets {
            if !body.is_empty() {
                body.push(payload::SEPARATOR);
            }
            packet.encode(&mut body);
        }
        (body, receipts)
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
        outbox.push_message(Outgoing::Shared(&Arc::new(Broadcast::text(b"all".to_vec()))), true);
        outbox.push_message(Outgoing::Shared(&Arc::new(Broadcast::binary(vec![4]))), false);
        assert!(outbox.cost() > 5 * PACKET_COST);
        let (payload, receipts) = outbox.take_payload();
        assert_eq!(payload, b"0{}\x1e4a\x1ebAQID\x1e4all\x1ebBA==");
        assert_eq!(receipts, 2);
        assert!(outbox.is_empty());
        assert_eq!(outbox.cost(), 0);
    }
}
