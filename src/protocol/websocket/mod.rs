//! The server side of WebSocket (RFC 6455), on tungstenite's frame layer. tungstenite parses and
//! formats frame headers and knows the opcodes and close codes. Joining fragments, unmasking,
//! incremental UTF-8 validation and the closing handshake are implemented here.
//!
//! [`opening`] checks an opening handshake and writes its answer. [`frame`] parses headers, and
//! [`reader`] turns [`unread`] bytes into messages. [`wire`] is the send queue. [`connection`]
//! joins reader and wire and does the closing handshake.
//!
//! permessage-deflate (RFC 7692): [`extension`] negotiates it, [`inflate`] and [`deflate`] run it.

mod assembly;
pub mod close_frame;
pub mod connection;
pub mod deflate;
pub mod extension;
pub mod frame;
pub mod inflate;
pub mod opening;
mod partial_header;
mod piece;
pub mod reader;
pub mod unread;
pub mod violation;
pub mod wire;

pub use connection::Connection;
pub use unread::Unread;
pub use violation::Violation;
