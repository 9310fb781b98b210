//! The bytes of a client. However they are split, a connection reads the same messages as a second
//! parser that has all bytes at once, rejects the same violations, and answers with frames of
//! limited size.

use std::io::IoSlice;

use upwire::protocol::limits::Limits;
use upwire::protocol::websocket::Connection;
use upwire::protocol::websocket::Unread;
use upwire::protocol::websocket::connection::Received;

use crate::client;
use crate::script::Script;

/// A message or close frame from the client.
#[derive(Debug, PartialEq, Eq)]
enum Message {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Close(Option<u16>, String),
}

/// All messages, and the close code of the violation that ends them.
type Reading = (Vec<Message>, Option<u16>);

pub fn check(data: &[u8]) {
    let mut script = Script(data);
    let limits = Limits {
        max_message: [50, 1_000, 100_000][usize::from(script.byte() % 3)],
        max_fragments: 1 + u32::from(script.byte() % 8),
        max_pending_pongs: 1 + u32::from(script.byte() % 4),
        ..Limits::default()
    };
    let split = script.byte();
    let bytes = if script.flag() { script.0.to_vec() } else { conversation(&mut script) };
    let expected = parse(&bytes, &limits);
    let whole = read(&bytes, std::iter::repeat(usize::MAX), &limits);
    assert_eq!(whole, expected);
    let sizes = (0..).map(|n: usize| 1 + (usize::from(split) * (n + 1)) % 7);
    assert_eq!(read(&bytes, sizes, &limits), expected);
    assert_eq!(read(&bytes, std::iter::repeat(1 + usize::from(split)), &limits), expected);
}

/// Frames that are masked and mostly legal, so that the code after the header checks is reached.
fn conversation(script: &mut Script<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !script.is_over() {
        let first = [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88];
        let first = first.get(usize::from(script.byte() % 16)).copied();
        let first = first.unwrap_or_else(|| script.byte());
        bytes.extend(client::frame(first, script.piece()));
    }
    bytes
}

fn read(bytes: &[u8], mut sizes: impl Iterator<Item = usize>, limits: &Limits) -> Reading {
    let mut connection = Connection::new(b"");
    let mut messages = Vec::new();
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        let (piece, behind) = rest.split_at_mut(size);
        rest = behind;
        let mut unread = Unread::new(piece);
        loop {
            match connection.next(&mut unread, limits) {
                Ok(None) => break,
                Ok(Some(Received::Text(text))) => messages.push(Message::Text(text.into_owned())),
                Ok(Some(Received::Binary(bytes))) => {
                    messages.push(Message::Binary(bytes.into_owned()))
                }
                Ok(Some(Received::Close(body))) => {
                    messages.push(Message::Close(body.code, body.reason))
                }
                Err(violation) => {
                    connection.fail(violation.close_code());
                    check_output(&mut connection, limits);
                    return (messages, Some(violation.close_code()));
                }
            }
        }
        assert!(unread.is_empty());
    }
    check_output(&mut connection, limits);
    (messages, None)
}

/// Checks the answers to a client that does not read: they are well-formed and limited in size.
fn check_output(connection: &mut Connection, limits: &Limits) {
    assert!(connection.wire().cost() <= (limits.max_pending_pongs as usize + 2) * 200);
    let mut out = Vec::new();
    while !connection.wire().is_empty() {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = connection.fill(&mut slices);
        let count = slices[0].len();
        assert!(filled > 0 && count > 0);
        out.extend(slices[0].iter());
        connection.written(count);
    }
    let (frames, rest) = client::read_frames(&out);
    assert_eq!(rest, 0);
    assert!(frames.iter().all(|frame| frame.opcode == 8 || frame.opcode == 10));
}

/// A second parser for RFC 6455, which has all bytes at once.
fn parse(mut bytes: &[u8], limits: &Limits) -> Reading {
    let mut messages = Vec::new();
    let mut message: Option<(u8, Vec<u8>, u32)> = None;
    loop {
        let frame = match header(bytes) {
            Ok(Some(frame)) => frame,
            Ok(None) => return (messages, None),
            Err(code) => return (messages, Some(code)),
        };
        let available = frame.size.min(bytes.len() - frame.header);
        let payload: Vec<u8> = bytes[frame.header..frame.header + available]
            .iter()
            .zip(frame.mask.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        let is_complete = available == frame.size;
        bytes = &bytes[frame.header + available..];
        if frame.opcode >= 8 {
            if !is_complete {
                return (messages, None);
            }
            match control(frame.opcode, &payload) {
                Ok(Some(close)) => {
                    messages.push(close);
                    return (messages, None);
                }
                Ok(None) => continue,
                Err(code) => return (messages, Some(code)),
            }
        }
        let (opcode, mut all, fragments) = match (message.take(), frame.opcode) {
            (None, 0) | (Some(_), 1 | 2) => return (messages, Some(1002)),
            (None, opcode) => (opcode, Vec::new(), 1),
            (Some((opcode, all, fragments)), _) => (opcode, all, fragments + 1),
        };
        if fragments > limits.max_fragments && fragments > 1 {
            return (messages, Some(1008));
        }
        if all.len() as u64 + frame.size as u64 > limits.max_message as u64 {
            return (messages, Some(1009));
        }
        all.extend(payload);
        let is_final = frame.is_final && is_complete;
        if opcode == 1 {
            match std::str::from_utf8(&all) {
                Ok(_) => {}
                Err(error) if error.error_len().is_none() && !is_final => {}
                Err(_) => return (messages, Some(1007)),
            }
        }
        if !is_complete {
            return (messages, None);
        }
        if is_final {
            messages.push(if opcode == 1 { Message::Text(all) } else { Message::Binary(all) });
        } else {
            message = Some((opcode, all, fragments));
        }
    }
}

struct Frame {
    opcode: u8,
    is_final: bool,
    mask: [u8; 4],
    header: usize,
    size: usize,
}

/// Parses a header; `None` if it is incomplete. The error is the close code.
fn header(bytes: &[u8]) -> Result<Option<Frame>, u16> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (opcode, is_final) = (first & 0x0f, first & 0x80 != 0);
    let wide = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let masked = second & 0x80 != 0;
    let header = 2 + wide + if masked { 4 } else { 0 };
    if bytes.len() < header {
        return Ok(None);
    }
    let extended = rest[..wide].iter().fold(0u64, |size, byte| size << 8 | u64::from(*byte));
    let size = if wide == 0 { u64::from(second & 0x7f) } else { extended };
    let is_minimal = match wide {
        2 => size > 125,
        8 => size > 65_535 && size >> 63 == 0,
        _ => true,
    };
    let is_known = matches!(opcode, 0..=2 | 8..=10);
    let is_control_legal = opcode < 8 || (is_final && size < 126);
    if first & 0x70 != 0 || !masked || !is_known || !is_minimal || !is_control_legal {
        return Err(1002);
    }
    let mask = rest[wide..wide + 4].try_into().expect("four bytes");
    let size = usize::try_from(size).expect("usize has 64 bits");
    Ok(Some(Frame { opcode, is_final, mask, header, size }))
}

/// Parses a control frame. Only a close frame reaches the session. The error is the close code.
fn control(opcode: u8, payload: &[u8]) -> Result<Option<Message>, u16> {
    match (opcode, payload) {
        (9 | 10, _) => Ok(None),
        (8, []) => Ok(Some(Message::Close(None, String::new()))),
        (8, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(1002);
            }
            let reason = std::str::from_utf8(reason).map_err(|_| 1007u16)?;
            Ok(Some(Message::Close(Some(code), reason.to_owned())))
        }
        _ => Err(1002),
    }
}
