//! The opening handshake: reads the head of a request and passes it to upwire.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

use upwire::protocol::websocket::opening::{self, UpgradeHeaders};

/// The most bytes of a head.
const MAX_HEAD: usize = 16 * 1024;

/// Reads the head. Returns the response with status 101 and the bytes after the head, or the
/// response that refuses the request.
pub fn read(stream: &mut TcpStream) -> io::Result<Result<(String, Vec<u8>), String>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break at.saturating_add(4);
        }
        let mut part = [0; 4096];
        let count = stream.read(&mut part)?;
        if count == 0 || bytes.len() > MAX_HEAD {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(part.get(..count).unwrap_or(&[]));
    };
    let rest = bytes.split_off(end);
    Ok(answer(&String::from_utf8_lossy(&bytes)).map(|answer| (answer, rest)))
}

fn answer(head: &str) -> Result<String, String> {
    let mut lines = head.lines();
    let version = lines.next().and_then(|line| line.rsplit('/').next()).unwrap_or_default();
    let headers: HashMap<String, &str> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let get = |name: &str| headers.get(name).copied();
    let headers = UpgradeHeaders {
        http_version: version,
        host: get("host"),
        host_count: 1,
        upgrade: get("upgrade"),
        connection: get("connection"),
        key: get("sec-websocket-key"),
        version: get("sec-websocket-version"),
        protocol: get("sec-websocket-protocol"),
        transfer_encoding: get("transfer-encoding"),
        content_length: get("content-length"),
    };
    opening::verify(&headers).map_err(|refusal| {
        format!("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{refusal}")
    })?;
    Ok(opening::response(headers.key.unwrap_or_default(), headers.protocol, ""))
}
