//! Polling payloads. However POSTs split them, the packets are the parts between separators, and
//! the payload of an outbox contains exactly the packets that were queued.

use std::collections::VecDeque;

use upwire::protocol::outbox::{Outbox, Outgoing};
use upwire::protocol::payload::{Backlog, SEPARATOR, repair_utf8};

use crate::packet::unbase64;
use crate::script::Script;

pub fn check(data: &[u8]) {
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
            backlog.push(repaired);
        } else {
            assert_eq!(backlog.take().map(<[u8]>::to_vec), expected.pop_front());
        }
        assert_eq!(backlog.is_empty(), expected.is_empty());
    }
    while let Some(packet) = expected.pop_front() {
        assert_eq!(backlog.take(), Some(&packet[..]));
    }
    assert_eq!(backlog.take(), None);
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
    let (payload, found) = outbox.take_payload();
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
