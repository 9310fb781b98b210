//! The small part of Engine.IO v4 that long-polling needs besides HTTP.

use crate::fault::{Fault, Result, excerpt};

/// Separates packets in a polling payload.
pub const SEPARATOR: u8 = 0x1e;

/// The session's id from the answer to a handshake: a single open packet.
pub fn session_id(body: &[u8]) -> Result<String> {
    let unexpected = || Fault::peer(format!("unexpected open packet {}", excerpt(body)));
    let text = std::str::from_utf8(body).map_err(|_| unexpected())?;
    let fields = text.strip_prefix("0{").ok_or_else(unexpected)?;
    let (_, rest) = fields.split_once(r#""sid":""#).ok_or_else(unexpected)?;
    let (sid, _) = rest.split_once('"').ok_or_else(unexpected)?;
    Ok(sid.to_owned())
}

pub fn packets(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == SEPARATOR)
}

/// The server's answer to CONNECT.
pub fn is_connected(packet: &[u8]) -> bool {
    packet.starts_with(br#"40{"sid":"#)
}

/// The answer to every accepted POST.
pub fn check_ok(body: &[u8]) -> Result<()> {
    if body == b"ok" {
        Ok(())
    } else {
        Err(Fault::peer(format!("unexpected answer to a POST: {}", excerpt(body))))
    }
}
