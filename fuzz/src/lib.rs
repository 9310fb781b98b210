//! Invariants of the protocol that must hold for every input. Each target in `fuzz_targets/` calls
//! one `check` of this crate, and `cargo test` replays the committed corpus through the same
//! checks.

#[path = "../../src/protocol/tests/client.rs"]
pub mod client;
pub mod counted;
pub mod deflate;
pub mod frames;
pub mod handshake;
pub mod json_depth;
pub mod opening;
pub mod packet;
pub mod payload;
pub mod script;
pub mod session;
pub mod wire;

/// The check of a target, by the name of the target.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    Some(match name {
        "deflate" => deflate::check,
        "frames" => frames::check,
        "handshake" => handshake::check,
        "json_depth" => json_depth::check,
        "opening" => opening::check,
        "packet" => packet::check,
        "payload" => payload::check,
        "session" => session::check,
        "wire" => wire::check,
        _ => return None,
    })
}
