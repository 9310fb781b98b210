//! permessage-deflate. What was compressed is read again, however it is split. Any other compressed
//! data gives the same messages, or the same violation, for every split; no message exceeds the limit,
//! and no more memory is held than a message may have.

use upwire::protocol::limits::Limits;
use upwire::protocol::websocket::connection::{Connection, Received};
use upwire::protocol::websocket::deflate::Deflater;
use upwire::protocol::websocket::extension::{Contexts, DeflateOptions, WindowBits, negotiate};
use upwire::protocol::websocket::{Unread, inflate};

use crate::client;
use crate::script::Script;

/// The memory of an inflater, and what is charged for a message.
const FIXED: usize = 64 * 1024;

/// All messages, and the close code of the violation that ends them.
type Reading = (Vec<Vec<u8>>, Option<u16>);

/// The parameters of a connection.
struct Parameters {
    options: DeflateOptions,
    limits: Limits,
}

impl Parameters {
    fn read(script: &mut Script<'_>) -> Self {
        let keeps = script.flag();
        let bits = WindowBits::Exactly(9 + script.byte() % 7);
        let options = DeflateOptions {
            threshold: 0,
            server_no_context_takeover: Some(!keeps),
            client_no_context_takeover: Some(!keeps),
            server_max_window_bits: bits,
            client_max_window_bits: bits,
            level: i32::from(script.byte() % 10),
            mem_level: 1 + i32::from(script.byte() % 9),
            ..DeflateOptions::default()
        };
        let max_message = [50, 5_000, 3_000_000][usize::from(script.byte() % 3)];
        Self { options, limits: Limits { max_message, ..Limits::default() } }
    }

    fn connection(&self) -> Connection {
        let offer = "permessage-deflate; client_max_window_bits";
        let agreement = negotiate(offer, &self.options, &Contexts::default());
        let mut connection = Connection::new(b"");
        connection.use_deflate(agreement.expect("a list").expect("an offer that is accepted"));
        connection
    }

    /// The compressor of a client with the same parameters.
    fn deflater(&self) -> Deflater {
        let offer = "permessage-deflate; client_max_window_bits";
        let agreement = negotiate(offer, &self.options, &Contexts::default());
        let agreement = agreement.expect("a list").expect("an offer that is accepted");
        Deflater::new(agreement.settings, !agreement.client_no_context_takeover)
    }
}

pub fn check(data: &[u8]) {
    let mut script = Script(data);
    let parameters = Parameters::read(&mut script);
    let split = usize::from(script.byte());
    let mut deflater = parameters.deflater();
    let mut bytes = Vec::new();
    // The messages, as long as every byte is known.
    let mut expected = Some(Vec::new());
    while !script.is_over() && bytes.len() < 1 << 20 {
        let kind = script.byte() % 4;
        if kind == 0 {
            bytes.extend(client::frame(0xc2, script.piece()));
            expected = None;
            continue;
        }
        let piece = script.piece();
        let message =
            piece.repeat(1 + usize::from(script.byte()) * usize::from(script.byte() % 40));
        match deflater.compress(b"", &message) {
            Some(payload) if kind == 1 => {
                let (left, right) = payload.split_at(payload.len() / 2);
                bytes.extend(client::frame(0x42, left));
                bytes.extend(client::frame(0x80, right));
            }
            Some(payload) => bytes.extend(client::frame(0xc2, &payload)),
            None => bytes.extend(client::frame(0x82, &message)),
        }
        if message.len() > parameters.limits.max_message {
            expected = None;
        } else if let Some(expected) = &mut expected {
            expected.push(message);
        }
    }
    let whole = read(&parameters, &bytes, usize::MAX);
    assert_eq!(read(&parameters, &bytes, 1 + split), whole);
    assert_eq!(read(&parameters, &bytes, 4_000 + split), whole);
    if let Some(expected) = expected {
        assert_eq!(whole, (expected, None));
    }
}

fn read(parameters: &Parameters, bytes: &[u8], size: usize) -> Reading {
    let Parameters { limits, .. } = parameters;
    let mut connection = parameters.connection();
    let mut messages = Vec::new();
    for piece in bytes.chunks(size.min(bytes.len()).max(1)) {
        let mut piece = piece.to_vec();
        let mut unread = Unread::new(&mut piece);
        let mut inflated = 0;
        loop {
            assert!(connection.unfinished() <= 5 * limits.max_message + FIXED);
            match connection.next(&mut unread, limits) {
                Ok(Some(Received::Text(message) | Received::Binary(message))) => {
                    assert!(message.len() <= limits.max_message);
                    inflated += message.len();
                    messages.push(message.into_owned());
                }
                Ok(None) if connection.is_inflating() => {
                    assert!(inflated <= inflate::BUDGET + bytes.len());
                    inflated = 0;
                    connection.renew_budget();
                }
                Ok(Some(Received::Close(_)) | None) => break,
                Err(violation) => return (messages, Some(violation.close_code())),
            }
        }
        connection.renew_budget();
    }
    (messages, None)
}
