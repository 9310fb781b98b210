//! WebSocket (RFC 6455), server side, on tungstenite's frame layer: tungstenite parses and formats
//! frame headers and knows the opcodes and close codes; joining fragments, unmasking, incremental
//! UTF-8 and the closing handshake are here.
//!
//! [`opening`] checks an opening handshake, [`frame`] reads headers, [`reader`] turns bytes into
//! messages, [`wire`] holds what waits to be written, [`connection`] joins them.

pub mod close_frame;
pub mod connection;
pub mod frame;
pub mod opening;
pub mod reader;
pub mod violation;
pub mod wire;

pub use connection::Connection;
pub use violation::Violation;
