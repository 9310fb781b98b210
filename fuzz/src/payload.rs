//! Polling payloads. However POSTs split them, the packets are the parts between separators, and
//! the payload of an outbox contains exactly the packets that were queued.

use std::collections::VecDeque;

use upwire::protocol::outbox::{Outbox, Outgoing};
use upwire::protocol::payload::{
    Backlog, Form, Payload, PayloadFormat, RawPacket, SEPARATOR, repair_utf8,
};

use crate::packet::unbase64;
use crate::script::Script;

pub fn check(data: &[u8]) {
    read_counted(Form::Counted, repair_utf8(data.to_vec()));
    read_counted(Form::CountedBytes, data.to_vec());
    let mut script = Script(data);
    read(&mut script);
    write(&mut script);
}

/// Reads payloads of which some arrive before the packets of earlier ones have been taken.
fn read(script: &mut Script<'_>) {
    let mut backlog = Backlog::default();
    let mut expected: VecDeque<Vec<u8>> = VecDeque::new();
    for _ in 0..script.byte() % 16 {
        if script.flag() {
            let body = script.piece().to_vec();
            let is_text = std::str::from_utf8(&body).is_ok();
            let repaired = repair_utf8(body.clone());
            assert!(std::str::from_utf8(&repaired).is_ok());
            assert!(repaired.len() <= 3 * body.len());
            assert!(!is_text || repaired == body);
            assert_eq!(repair_utf8(repaired.clone()), repaired);
            expected.extend(repaired.split(|byte| *byte == SEPARATOR).map(<[u8]>::to_vec));
            backlog.push(repaired, Form::Separated);
        } else {
            assert_eq!(take(&mut backlog), expected.pop_front());
        }
        assert_eq!(backlog.is_empty(), expected.is_empty());
    }
    while let Some(packet) = expected.pop_front() {
        assert_eq!(take(&mut backlog), Some(packet));
    }
    assert_eq!(take(&mut backlog), None);
}

/// Reads a payload of revision 3. Its packets are parts of it.
fn read_counted(form: Form, payload: Vec<u8>) {
    let whole = payload.clone();
    let mut backlog = Backlog::default();
    backlog.push(payload, form);
    let mut total = 0;
    while let Some(taken) = backlog.take() {
        let Ok(packet) = taken else { return };
        let packet = match &packet {
            RawPacket::Text(text) => {
                assert!(std::str::from_utf8(text).is_ok());
                &text[..]
            }
            RawPacket::Bytes(bytes) => bytes,
        };
        total += packet.len() + 1;
        assert!(total <= whole.len(), "the packets are longer than the payload");
    }
    assert!(backlog.is_empty());
}

fn take(backlog: &mut Backlog) -> Option<Vec<u8>> {
    match backlog.take()? {
        Ok(RawPacket::Text(text)) => Some(text.into_owned()),
        other => panic!("{other:?} in separated text"),
    }
}

/// Writes messages. Text contains no separators, because the JSON of Socket.IO escapes them.
fn write(script: &mut Script<'_>) {
    let mut outbox = Outbox::default();
    let mut sent = Vec::new();
    let mut receipts = 0;
    while !script.is_over() {
        let (is_text, receipt) = (script.flag(), script.flag());
        receipts += u32::from(receipt);
        let body = script.piece();
        if is_text {
            let body: Vec<u8> = body.iter().copied().filter(|byte| *byte != SEPARATOR).collect();
            outbox.push_message(Outgoing::Text(&body), true, receipt);
            sent.push((true, body));
        } else {
            outbox.push_message(Outgoing::Binary(body), true, receipt);
            sent.push((false, body.to_vec()));
        }
        assert_eq!(outbox.len(), sent.len());
    }
    let cost = outbox.cost();
    let (payload, found) = outbox.take_payload(&PayloadFormat::default());
    let Payload::Text(payload) = payload else { panic!("revision 4 has no payloads of bytes") };
    assert_eq!(found, receipts);
    assert!(payload.len() <= 2 * cost, "{} bytes for {cost}", payload.len());
    if sent.is_empty() {
        return assert!(payload.is_empty());
    }
    let packets = payload.split(|byte| *byte == SEPARATOR);
    let arrived: Vec<(bool, Vec<u8>)> = packets
        .map(|packet| match packet.split_first() {
            Some((b'4', body)) => (true, body.to_vec()),
            Some((b'b', body)) => (false, unbase64(body).expect("the body is base64")),
            other => panic!("{other:?} is not a message"),
        })
        .collect();
    assert_eq!(arrived, sent);
}
