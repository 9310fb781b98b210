//! The opening handshake: reads the head of a request and passes it to upwire.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;

use upwire::protocol::websocket::extension::{self, Agreement, Contexts, DeflateOptions};
use upwire::protocol::websocket::opening::{self, UpgradeHeaders};

/// The most bytes of a head.
const MAX_HEAD: usize = 16 * 1024;

/// An accepted request.
pub struct Opening {
    /// The response with status 101.
    pub answer: String,
    /// The parameters of compression, if the client has offered it.
    pub deflate: Option<Agreement>,
    /// The bytes after the head.
    pub rest: Vec<u8>,
}

/// Reads the head. The error is the response that refuses the request.
pub fn read(stream: &mut TcpStream) -> io::Result<Result<Opening, String>> {
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
    let answer = answer(&String::from_utf8_lossy(&bytes));
    Ok(answer.map(|(answer, deflate)| Opening { answer, deflate, rest }))
}

fn answer(head: &str) -> Result<(String, Option<Agreement>), String> {
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
        extensions: get("sec-websocket-extensions"),
    };
    opening::verify(&headers).map_err(|refusal| {
        format!("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n{refusal}")
    })?;
    let offers = headers.extensions.unwrap_or_default();
    let deflate = extension::negotiate(offers, &deflate_options(), &Contexts::default());
    let deflate = deflate.ok().flatten();
    let extensions = deflate.as_ref().map(|agreement| agreement.response.as_str());
    let key = headers.key.unwrap_or_default();
    Ok((opening::response(key, headers.protocol, extensions, ""), deflate))
}

/// Keeps contexts where the client allows it, because that is harder to get right, and compresses short
/// messages as well.
fn deflate_options() -> DeflateOptions {
    DeflateOptions {
        threshold: 0,
        server_no_context_takeover: None,
        client_no_context_takeover: Some(false),
        ..DeflateOptions::default()
    }
}
