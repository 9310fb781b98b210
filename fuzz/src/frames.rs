//! A client's bytes: in whatever pieces they come, a connection reads what a parser that has all of
//! them at once reads, refuses what it refuses, and answers with frames of bounded size.

use std::io::IoSlice;

use upwire::protocol::limits::Limits;
use upwire::protocol::websocket::Connection;
use upwire::protocol::websocket::connection::Received;
use upwire::protocol::websocket::reader::Chunk;

use crate::client;
use crate::script::Script;

/// What a client said.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Close(Option<u16>, String),
}

/// Everything, up to a violation's close code.
type Reading = (Vec<Said>, Option<u16>);

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

/// Frames that are masked and mostly legal, so that what lies behind the header is reached.
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
    let mut said = Vec::new();
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        let (piece, behind) = rest.split_at_mut(size);
        rest = behind;
        let mut chunk = Chunk::new(piece);
        loop {
            match connection.next(&mut chunk, limits) {
                Ok(None) => break,
                Ok(Some(Received::Text(text))) => said.push(Said::Text(text.into_owned())),
                Ok(Some(Received::Binary(bytes))) => said.push(Said::Binary(bytes.into_owned())),
                Ok(Some(Received::Close(body))) => said.push(Said::Close(body.code, body.reason)),
                Err(violation) => {
                    connection.fail(violation.close_code());
                    judge_output(&mut connection, limits);
                    return (said, Some(violation.close_code()));
                }
            }
        }
        assert!(chunk.is_empty());
    }
    judge_output(&mut connection, limits);
    (said, None)
}

/// What is answered to bytes that nobody reads answers to: bounded, and well-formed.
fn judge_output(connection: &mut Connection, limits: &Limits) {
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

/// RFC 6455 once more, for all bytes at once.
fn parse(mut bytes: &[u8], limits: &Limits) -> Reading {
    let mut said = Vec::new();
    let mut message: Option<(u8, Vec<u8>, u32)> = None;
    loop {
        let frame = match header(bytes) {
            Ok(Some(frame)) => frame,
            Ok(None) => return (said, None),
            Err(code) => return (said, Some(code)),
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
                return (said, None);
            }
            match control(frame.opcode, &payload) {
                Ok(Some(close)) => {
                    said.push(close);
                    return (said, None);
                }
                Ok(None) => continue,
                Err(code) => return (said, Some(code)),
            }
        }
        let (opcode, mut all, fragments) = match (message.take(), frame.opcode) {
            (None, 0) | (Some(_), 1 | 2) => return (said, Some(1002)),
            (None, opcode) => (opcode, Vec::new(), 1),
            (Some((opcode, all, fragments)), _) => (opcode, all, fragments + 1),
        };
        if fragments > limits.max_fragments && fragments > 1 {
            return (said, Some(1008));
        }
        if all.len() as u64 + frame.size as u64 > limits.max_message as u64 {
            return (said, Some(1009));
        }
        all.extend(payload);
        let is_final = frame.is_final && is_complete;
        if opcode == 1 {
            match std::str::from_utf8(&all) {
                Ok(_) => {}
                Err(error) if error.error_len().is_none() && !is_final => {}
                Err(_) => return (said, Some(1007)),
            }
        }
        if !is_complete {
            return (said, None);
        }
        if is_final {
            said.push(if opcode == 1 { Said::Text(all) } else { Said::Binary(all) });
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

/// A whole header, or the close code for one that must not be.
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
    let size = usize::try_from(size).expect("a 64-bit machine");
    Ok(Some(Frame { opcode, is_final, mask, header, size }))
}

/// A control frame: a close, or nothing that the session hears of.
fn control(opcode: u8, payload: &[u8]) -> Result<Option<Said>, u16> {
    match (opcode, payload) {
        (9 | 10, _) => Ok(None),
        (8, []) => Ok(Some(Said::Close(None, String::new()))),
        (8, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(1002);
            }
            let reason = std::str::from_utf8(reason).map_err(|_| 1007u16)?;
            Ok(Some(Said::Close(Some(code), reason.to_owned())))
        }
        _ => Err(1002),
    }
}
