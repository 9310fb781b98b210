//! permessage-deflate against a second implementation of RFC 7692 section 7.2, the client's.

use std::io::IoSlice;
use std::sync::Arc;

use proptest::prelude::*;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

use super::client::frame;
use crate::protocol::broadcast::Broadcast;
use crate::protocol::limits::Limits;
use crate::protocol::websocket::connection::{Connection, Received};
use crate::protocol::websocket::extension::{Contexts, DeflateOptions, WindowBits, negotiate};
use crate::protocol::websocket::{Unread, Violation, inflate};

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// RSV1 and FIN with the opcodes for text and binary.
const TEXT: u8 = 0xc1;
const BINARY: u8 = 0xc2;

/// The parameters of a connection.
#[derive(Debug, Clone, Copy)]
struct Parameters {
    server_context: bool,
    client_context: bool,
    server_bits: u8,
    client_bits: u8,
    threshold: usize,
}

const DEFAULTS: Parameters = Parameters {
    server_context: false,
    client_context: false,
    server_bits: 15,
    client_bits: 15,
    threshold: 0,
};

/// Both ends of a connection.
struct Pair {
    connection: Connection,
    deflate: Deflate,
    inflate: Inflate,
    parameters: Parameters,
}

impl Pair {
    fn new(parameters: Parameters) -> Self {
        let Parameters { server_context, client_context, server_bits, client_bits, threshold } =
            parameters;
        let options = DeflateOptions {
            threshold,
            server_no_context_takeover: Some(!server_context),
            client_no_context_takeover: Some(!client_context),
            server_max_window_bits: WindowBits::Exactly(server_bits),
            client_max_window_bits: WindowBits::Exactly(client_bits),
            ..DeflateOptions::default()
        };
        let offer = "permessage-deflate; client_max_window_bits";
        let agreement = negotiate(offer, &options, &Contexts::default()).unwrap().unwrap();
        let mut connection = Connection::new(b"");
        connection.use_deflate(agreement);
        Self {
            connection,
            deflate: Deflate::new(6, false, client_bits),
            inflate: Inflate::new(false, 15),
            parameters,
        }
    }

    /// The payload of a compressed message from the client.
    fn compress(&mut self, message: &[u8]) -> Vec<u8> {
        if !self.parameters.client_context {
            self.deflate.reset();
        }
        let mut out = vec![0; message.len() * 2 + 1024];
        let before = self.deflate.total_out();
        self.deflate.compress(message, &mut out, DeflateFlush::SyncFlush).unwrap();
        out.truncate(usize::try_from(self.deflate.total_out() - before).unwrap());
        // zlib writes nothing if it is flushed twice without input between: RFC 7692 section 7.2.3.6.
        if out.is_empty() && message.is_empty() {
            return vec![0];
        }
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    /// What the server has sent: whether it was compressed, its opcode and the message.
    fn sent(&mut self) -> Vec<(bool, u8, Vec<u8>)> {
        let mut bytes = drain(&mut self.connection);
        let mut messages = Vec::new();
        while let &[first, second, ..] = bytes.as_slice() {
            let (header, length) = match second {
                126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
                127 => {
                    let length = u64::from_be_bytes(bytes[2..10].try_into().unwrap());
                    (10, usize::try_from(length).unwrap())
                }
                short => (2, usize::from(short)),
            };
            let rest = bytes.split_off(header + length);
            let payload = bytes.split_off(header);
            bytes = rest;
            let is_compressed = first & 0x40 != 0;
            let message = if is_compressed { self.decompress(&payload) } else { payload };
            messages.push((is_compressed, first & 0x0f, message));
        }
        messages
    }

    fn decompress(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.parameters.server_context {
            self.inflate.reset(false);
        }
        let input = [payload, &TAIL].concat();
        let mut out = vec![0; 1 << 20];
        let before = self.inflate.total_out();
        self.inflate.decompress(&input, &mut out, InflateFlush::SyncFlush).unwrap();
        out.truncate(usize::try_from(self.inflate.total_out() - before).unwrap());
        out
    }

    /// What the server reads from bytes that arrive in pieces.
    fn read(&mut self, bytes: &[u8], size: usize) -> Result<Vec<(bool, Vec<u8>)>, Violation> {
        let limits = Limits { max_message: MAX, ..Limits::default() };
        let mut messages = Vec::new();
        for piece in bytes.chunks(size.max(1)) {
            let mut piece = piece.to_vec();
            let mut unread = Unread::new(&mut piece);
            loop {
                match self.connection.next(&mut unread, &limits)? {
                    Some(Received::Text(text)) => messages.push((true, text.into_owned())),
                    Some(Received::Binary(bytes)) => messages.push((false, bytes.into_owned())),
                    None if self.connection.is_inflating() => self.connection.renew_budget(),
                    Some(Received::Close(_)) | None => break,
                }
            }
        }
        Ok(messages)
    }
}

/// The length of the longest random message.
const LONGEST: usize = if cfg!(miri) { 500 } else { 70_000 };

/// Compression is slow without optimizations.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.min(64), ..config }
}

/// `maxHttpBufferSize` in these tests.
const MAX: usize = 3 << 20;

fn drain(connection: &mut Connection) -> Vec<u8> {
    let mut out = Vec::new();
    while !connection.wire().is_empty() {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = connection.fill(&mut slices);
        let all: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
        connection.written(all.len());
        out.extend(all);
    }
    out
}

/// The frames of one message, whose compressed payload is cut at the given places.
fn fragments(first: u8, payload: &[u8], cuts: &[prop::sample::Index]) -> Vec<u8> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(payload.len());
    let mut bytes = Vec::new();
    let mut start = 0;
    for (number, end) in cuts.iter().enumerate() {
        let is_last = number + 1 == cuts.len();
        let opcode = if number == 0 { first & 0x7f } else { 0 };
        bytes.extend(frame(opcode | if is_last { 0x80 } else { 0 }, &payload[start..*end]));
        bytes.extend(frame(0x89, b"between"));
        start = *end;
    }
    bytes
}

fn parameters() -> impl Strategy<Value = Parameters> {
    (any::<bool>(), any::<bool>(), 9u8..=15, 9u8..=15, prop::sample::select(vec![0, 40, 1024]))
        .prop_map(|(server_context, client_context, server_bits, client_bits, threshold)| {
            Parameters { server_context, client_context, server_bits, client_bits, threshold }
        })
}

/// Messages that can be compressed, and others.
fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-f ]{0,400}".prop_map(String::into_bytes),
        "\\PC{0,60}".prop_map(String::into_bytes),
        (0..LONGEST, any::<u8>()).prop_map(|(size, byte)| vec![byte & 0x7f; size]),
        (0usize..40).prop_map(|count| b"{\"name\":\"value\"},".repeat(count)),
        prop::collection::vec(0u8..128, 0..LONGEST / 4),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn reads_what_a_client_compresses(
        parameters in parameters(),
        messages in prop::collection::vec(
            (message(), any::<bool>(), prop::collection::vec(any::<prop::sample::Index>(), 0..4)),
            0..6,
        ),
        size in prop_oneof![1usize..9, 1usize..100_000],
    ) {
        let mut pair = Pair::new(parameters);
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (message, is_compressed, cuts) in messages {
            if is_compressed {
                let payload = pair.compress(&message);
                bytes.extend(fragments(TEXT, &payload, &cuts));
            } else {
                bytes.extend(fragments(0x81, &message, &cuts));
            }
            expected.push((true, message));
        }
        prop_assert_eq!(pair.read(&bytes, size), Ok(expected));
        prop_assert_eq!(pair.connection.unfinished(), 0);
    }

    #[test]
    fn a_client_reads_what_is_compressed(
        parameters in parameters(),
        messages in prop::collection::vec((message(), 0u8..6), 0..8),
    ) {
        let mut pair = Pair::new(parameters);
        let mut expected = Vec::new();
        for (message, kind) in messages {
            let connection = &mut pair.connection;
            match kind {
                0 => connection.send_message(b"4", &message, true),
                1 => connection.send_message_owned(b"4", message.clone(), true),
                2 => connection.send_binary_owned(message.clone(), true),
                3 => connection.send_binary(&message, false),
                4 => connection.send_shared(&Arc::new(Broadcast::text(&message))),
                _ => connection.send_shared(&Arc::new(Broadcast::binary(&message))),
            }
            let is_text = matches!(kind, 0 | 1 | 4);
            let whole = if is_text { [b"4", &message[..]].concat() } else { message };
            expected.push((if is_text { 1 } else { 2 }, whole));
        }
        let sent = pair.sent();
        for (is_compressed, _, message) in &sent {
            prop_assert!(!is_compressed || message.len() >= parameters.threshold);
        }
        let sent: Vec<_> = sent.into_iter().map(|(_, opcode, bytes)| (opcode, bytes)).collect();
        prop_assert_eq!(sent, expected);
    }

    #[test]
    fn arbitrary_payloads_are_read_or_rejected(
        parameters in parameters(),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4),
        size in 1usize..400,
    ) {
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| frame(BINARY, payload)).collect();
        let pieces = Pair::new(parameters).read(&bytes, size);
        let whole = Pair::new(parameters).read(&bytes, bytes.len());
        prop_assert_eq!(pieces, whole);
    }
}

#[test]
fn reads_the_examples_of_the_rfc() {
    let hello = Ok(vec![(true, b"Hello".to_vec())]);
    let payload = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(Pair::new(DEFAULTS).read(&frame(TEXT, &payload), 99), hello);
    // Section 7.2.3.1, in two fragments.
    let two = [frame(0x41, &payload[..3]), frame(0x80, &payload[3..])].concat();
    assert_eq!(Pair::new(DEFAULTS).read(&two, 99), hello);
    // Section 7.2.3.3: without compression.
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(Pair::new(DEFAULTS).read(&frame(TEXT, &stored), 99), hello);
    // Section 7.2.3.4: the block is marked as the last.
    let ended = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(Pair::new(DEFAULTS).read(&frame(TEXT, &ended), 99), hello);
    // Section 7.2.3.5: two blocks.
    let blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(Pair::new(DEFAULTS).read(&frame(TEXT, &blocks), 99), hello);
    // Section 7.2.3.2: the second message refers to the first.
    let keeps = Parameters { client_context: true, ..DEFAULTS };
    let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let both = [frame(TEXT, &payload), frame(TEXT, &second)].concat();
    let twice = vec![(true, b"Hello".to_vec()), (true, b"Hello".to_vec())];
    assert_eq!(Pair::new(keeps).read(&both, 99), Ok(twice));
    assert_eq!(Pair::new(DEFAULTS).read(&both, 99), Err(Violation::InvalidCompression));
}

#[test]
fn reads_empty_messages() {
    for payload in [&[][..], &[0], &[2, 0], &[3, 0], &[3, 0, 0], &[1], &[1, 0, 0, 0xff, 0xff]] {
        for keeps in [false, true] {
            let parameters = Parameters { client_context: keeps, ..DEFAULTS };
            let bytes = [frame(TEXT, payload), frame(TEXT, payload)].concat();
            let read = Pair::new(parameters).read(&bytes, 99);
            assert_eq!(read, Ok(vec![(true, Vec::new()); 2]), "{payload:?}");
        }
    }
}

#[test]
fn rejects_invalid_data() {
    let cases: &[&[u8]] = &[
        // A reserved kind of block.
        &[0x06],
        &[0xff, 0xff, 0xff],
        // Data behind the last block.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2],
        // A distance beyond the beginning.
        &[0x02, 0x02],
        // The length of a stored block and its complement differ.
        &[0x00, 0x05, 0x00, 0x00, 0x00, 0x48],
        // Data that end within a block.
        &[0xf2],
        &[0xf2, 0x48, 0xcd],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65],
        &[0x00, 0xff, 0x00, 0x00, 0xff],
    ];
    for keeps in [false, true] {
        let parameters = Parameters { client_context: keeps, ..DEFAULTS };
        for payload in cases {
            let read = Pair::new(parameters).read(&frame(BINARY, payload), 99);
            assert_eq!(read, Err(Violation::InvalidCompression), "{payload:?}");
        }
        let mut pair = Pair::new(parameters);
        let payload = pair.compress(b"ab\xc3\x28");
        assert_eq!(pair.read(&frame(TEXT, &payload), 99), Err(Violation::Utf8));
    }
}

#[test]
fn only_the_first_frame_of_a_message_may_be_marked() {
    let cases = [
        [frame(0x41, b"\xf2"), frame(0xc0, b"\x48")].concat(),
        frame(0xc9, b""),
        frame(0xc8, b""),
        frame(0xe1, b""),
        frame(0xd1, b""),
    ];
    for bytes in cases {
        assert_eq!(Pair::new(DEFAULTS).read(&bytes, 99), Err(Violation::ReservedBits));
    }
    let mut plain = Connection::new(b"");
    let mut bytes = frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    let read = plain.next(&mut Unread::new(&mut bytes), &Limits::default());
    assert_eq!(read, Err(Violation::ReservedBits));
}

#[test]
#[cfg_attr(miri, ignore = "a megabyte takes Miri minutes")]
fn a_bomb_costs_no_more_memory_than_a_message() {
    for keeps in [false, true] {
        let mut pair = Pair::new(Parameters { client_context: keeps, ..DEFAULTS });
        let exact = pair.compress(&vec![b'a'; MAX]);
        assert!(exact.len() < 10_000);
        assert_eq!(pair.read(&frame(TEXT, &exact), 99).unwrap()[0].1.len(), MAX);
        let over = pair.compress(&vec![b'a'; MAX + 1]);
        assert_eq!(pair.read(&frame(TEXT, &over), 99), Err(Violation::MessageTooBig));
    }
    let limits = Limits { max_message: 100, ..Limits::default() };
    let mut pair = Pair::new(DEFAULTS);
    let mut bytes = frame(TEXT, &pair.compress(&vec![b'a'; 1 << 20]));
    let read = pair.connection.next(&mut Unread::new(&mut bytes), &limits);
    assert_eq!(read, Err(Violation::MessageTooBig));
}

#[test]
#[cfg_attr(miri, ignore = "a megabyte takes Miri minutes")]
fn a_turn_inflates_no_more_than_its_budget() {
    let limits = Limits { max_message: MAX, ..Limits::default() };
    let mut pair = Pair::new(DEFAULTS);
    let payload = pair.compress(&vec![b'a'; MAX]);
    let mut bytes = [frame(TEXT, &payload), frame(0x81, b"next")].concat();
    let mut unread = Unread::new(&mut bytes);
    let mut turns = 0;
    loop {
        pair.connection.renew_budget();
        turns += 1;
        match pair.connection.next(&mut unread, &limits).unwrap() {
            None => assert!(pair.connection.unfinished() > inflate::BUDGET / 2),
            Some(Received::Text(text)) => break assert_eq!(text.len(), MAX),
            other => panic!("{other:?}"),
        }
        assert!(pair.connection.unfinished() < MAX + 128 * 1024);
    }
    assert_eq!(turns, MAX / inflate::BUDGET + 1);
    assert_eq!(pair.connection.unfinished(), 0);
    let next = pair.connection.next(&mut unread, &limits);
    assert!(matches!(next, Ok(Some(Received::Text(text))) if &*text == b"next"));
}

#[test]
#[cfg_attr(miri, ignore = "a megabyte takes Miri minutes")]
fn a_message_of_noise_may_have_exactly_the_limit() {
    let mut pair = Pair::new(DEFAULTS);
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(MAX)
    .collect();
    let payload = pair.compress(&noise);
    assert!(payload.len() > MAX);
    assert_eq!(pair.read(&frame(BINARY, &payload), 65_536), Ok(vec![(false, noise.clone())]));
    // A message that compression would make longer is sent as it is.
    pair.connection.send_binary(&noise[..1000], true);
    assert_eq!(pair.sent(), [(false, 2, noise[..1000].to_vec())]);
}

#[test]
fn receivers_share_the_compressed_form_of_a_broadcast() {
    let broadcast = Arc::new(Broadcast::text(&b"to all ".repeat(200)));
    let ten = Parameters { server_bits: 10, ..DEFAULTS };
    let mut pairs = [Pair::new(DEFAULTS), Pair::new(DEFAULTS), Pair::new(ten)];
    let mut frames = Vec::new();
    for pair in &mut pairs {
        pair.connection.send_shared(&broadcast);
        let mut slices = [IoSlice::new(&[]); 1];
        assert_eq!(pair.connection.fill(&mut slices), 1);
        frames.push(slices[0].as_ptr() as usize);
        assert!(pair.connection.wire().own() <= 64);
        assert!(pair.sent()[0].0);
    }
    assert_eq!(frames[0], frames[1]);
    assert_ne!(frames[0], frames[2]);
    let plain = Arc::new(Broadcast::text(&b"to all ".repeat(200)).without_compression());
    pairs[0].connection.send_shared(&plain);
    assert!(!pairs[0].sent()[0].0);
}

#[test]
fn a_closed_connection_gives_its_context_back() {
    let contexts = Contexts::default();
    let options =
        DeflateOptions { server_no_context_takeover: Some(false), ..DeflateOptions::default() };
    let closes: [fn(&mut Connection); 3] =
        [|it| it.close(None), |it| it.fail(1002), Connection::abort];
    for close in closes {
        let agreement = negotiate("permessage-deflate", &options, &contexts).unwrap().unwrap();
        let mut connection = Connection::new(b"");
        connection.use_deflate(agreement);
        connection.send_message(b"4", &[b'a'; 2000], true);
        assert_eq!(contexts.count(), 1);
        close(&mut connection);
        assert_eq!(contexts.count(), 0);
    }
}

#[test]
fn an_idle_context_is_dropped_and_begins_anew() {
    let mut pair = Pair::new(Parameters { server_context: true, ..DEFAULTS });
    let message = b"the same words again and again";
    for _ in 0..3 {
        pair.connection.send_message(b"4", message, true);
        pair.connection.release_idle();
        pair.connection.send_message(b"4", message, true);
        pair.connection.release_idle();
        pair.connection.release_idle();
        let sent = pair.sent();
        assert!(sent.iter().all(|(_, _, bytes)| bytes[1..] == message[..]));
    }
}
