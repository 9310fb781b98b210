//! The send queue of a session on polling: packets in call order, until a GET fetches them or a
//! WebSocket takes over. On a WebSocket, packets go straight to its
//! [`wire`](super::websocket::wire).

use std::collections::VecDeque;
use std::sync::Arc;

use super::broadcast::Broadcast;
use super::packet::PacketType;
use super::payload::{Payload, PayloadFormat, Writer};
use super::websocket::Connection;

/// The memory in bytes that a queued packet is charged beyond its body.
const PACKET_COST: usize = 64;

/// A message that the app sends. Owned variants are queued without a copy.
#[derive(Debug)]
pub enum Outgoing<'a> {
    /// A text message, without the packet's type digit.
    Text(&'a [u8]),
    /// A binary message.
    Binary(&'a [u8]),
    /// A text message that the queue takes over.
    OwnText(Vec<u8>),
    /// A binary message that the queue takes over.
    OwnBinary(Vec<u8>),
    /// A message that other sessions send as well.
    Shared(&'a Arc<Broadcast>),
}

/// A packet that waits for a GET.
#[derive(Debug)]
enum Queued {
    /// A packet as text: type and body, and whether a WebSocket may compress it.
    Plain(PacketType, Vec<u8>, bool),
    /// A binary message, and whether a WebSocket may compress it.
    Binary(Vec<u8>, bool),
    /// A message that other sessions send as well.
    Shared(Arc<Broadcast>),
}

impl Queued {
    fn cost(&self) -> usize {
        let body = match self {
            Queued::Plain(_, body, _) | Queued::Binary(body, _) => body.len(),
            Queued::Shared(broadcast) => broadcast.body().len(),
        };
        body.saturating_add(PACKET_COST)
    }

    fn is_binary(&self) -> bool {
        match self {
            Queued::Plain(..) => false,
            Queued::Binary(..) => true,
            Queued::Shared(broadcast) => broadcast.is_binary(),
        }
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Queued::Plain(kind, body, _) => writer.text(*kind, body),
            Queued::Binary(body, _) => writer.binary(body),
            Queued::Shared(broadcast) => broadcast.write_packet(writer),
        }
    }
}

/// Packets that wait for a polling GET.
#[derive(Debug, Default)]
pub struct Outbox {
    packets: VecDeque<Queued>,
    cost: usize,
    /// The part of `cost` in bytes that is shared with other sessions.
    shared: usize,
    /// The number of receipts that queued messages have requested.
    receipts: u32,
}

impl Outbox {
    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Queued memory in bytes: bodies and a fixed cost per packet.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// The part of [`Self::cost`] that is not shared with other sessions.
    pub fn own(&self) -> usize {
        self.cost.saturating_sub(self.shared)
    }

    /// The memory in bytes that dropping this queue would free: [`Self::own`], and broadcasts that
    /// no other queue holds any more.
    pub fn alone(&self) -> usize {
        let held_elsewhere = |packet: &Queued| match packet {
            Queued::Shared(broadcast) if Arc::strong_count(broadcast) > 1 => broadcast.body().len(),
            Queued::Shared(_) | Queued::Plain(..) | Queued::Binary(..) => 0,
        };
        let elsewhere = self.packets.iter().map(held_elsewhere).fold(0, usize::saturating_add);
        self.cost.saturating_sub(elsewhere)
    }

    /// The number of queued packets.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Requests a receipt for the moment when the queue as it is now has been taken.
    pub fn expect_receipt(&mut self) {
        self.receipts = self.receipts.saturating_add(1);
    }

    /// Queues a packet that is not a message.
    pub fn push_packet(&mut self, kind: PacketType, body: &[u8]) {
        self.push(Queued::Plain(kind, body.to_vec(), false));
    }

    /// Queues a message, with a receipt if one is requested. `compress` is for a WebSocket that takes
    /// over.
    pub fn push_message(&mut self, message: Outgoing<'_>, compress: bool, receipt: bool) {
        self.receipts = self.receipts.saturating_add(u32::from(receipt));
        self.push(match message {
            Outgoing::Text(body) => Queued::Plain(PacketType::Message, body.to_vec(), compress),
            Outgoing::OwnText(body) => Queued::Plain(PacketType::Message, body, compress),
            Outgoing::Binary(body) => Queued::Binary(body.to_vec(), compress),
            Outgoing::OwnBinary(body) => Queued::Binary(body, compress),
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

    /// Empties the queue into one payload. Returns it with the number of receipts that are now due.
    pub fn take_payload(&mut self, format: &PayloadFormat) -> (Payload, u32) {
        let Self { packets, cost, receipts, .. } = std::mem::take(self);
        let is_bytes = format.has_bytes() && packets.iter().any(Queued::is_binary);
        let mut writer = Writer::new(format, is_bytes, cost);
        for packet in packets {
            packet.write(&mut writer);
        }
        (writer.finish(), receipts)
    }

    /// The number of receipts that queued messages have requested.
    pub fn receipts(&self) -> u32 {
        self.receipts
    }

    /// Moves the queue to a WebSocket. Returns the number of receipts that moved with it.
    pub fn move_to(&mut self, connection: &mut Connection) -> u32 {
        let Self { packets, receipts, .. } = std::mem::take(self);
        for packet in packets {
            match packet {
                Queued::Plain(kind, body, compress) => {
                    connection.send_message_owned(&[kind as u8], body, compress);
                }
                Queued::Binary(body, compress) => connection.send_binary_owned(body, compress),
                Queued::Shared(broadcast) => connection.send_shared(&broadcast),
            }
        }
        receipts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::revision::{Dialect, Revision};

    #[test]
    fn joins_packets_into_one_payload() {
        let mut outbox = Outbox::default();
        outbox.push_packet(PacketType::Open, b"{}");
        outbox.push_message(Outgoing::Text(b"a"), true, true);
        outbox.push_message(Outgoing::Binary(&[1, 2, 3]), true, false);
        outbox.push_message(Outgoing::Shared(&Arc::new(Broadcast::text(b"all"))), true, true);
        outbox.push_message(Outgoing::Shared(&Arc::new(Broadcast::binary(&[4]))), true, false);
        assert!(outbox.cost() > 5 * PACKET_COST);
        let (payload, receipts) = outbox.take_payload(&PayloadFormat::default());
        assert_eq!(payload, Payload::Text(b"0{}\x1e4a\x1ebAQID\x1e4all\x1ebBA==".into()));
        assert_eq!(receipts, 2);
        assert!(outbox.is_empty());
        assert_eq!(outbox.cost(), 0);
    }

    #[test]
    fn writes_bytes_only_for_binary_messages() {
        let dialect = Dialect { revision: Revision::V3, base64: false };
        let format = PayloadFormat { dialect, callback: None };
        let mut outbox = Outbox::default();
        outbox.push_message(Outgoing::Text(b"a"), true, false);
        outbox.push_message(Outgoing::Shared(&Arc::new(Broadcast::text(b"b"))), true, false);
        assert_eq!(outbox.take_payload(&format).0, Payload::Text(b"2:4a2:4b".into()));
        outbox.push_message(Outgoing::Text(b"a"), true, false);
        outbox.push_message(Outgoing::Shared(&Arc::new(Broadcast::binary(&[9]))), true, false);
        let bytes = b"\0\x02\xff4a\x01\x02\xff\x04\x09".to_vec();
        assert_eq!(outbox.take_payload(&format).0, Payload::Bytes(bytes));
    }
}
