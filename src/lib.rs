//! upwire: a native Engine.IO engine for Node.js.
//!
//! The crate consists of three rings. Each may only use the rings inside it, and a Cargo feature
//! keeps it so.
//!
//! | Ring | What it does | Feature |
//! |---|---|---|
//! | [`protocol`] | Turns bytes and time into effects. It has no socket, clock, thread or Node. | none |
//! | [`runtime`] | Owns sockets, threads and timers. It decides nothing about the protocol. | `runtime` |
//! | `addon` | Converts Node-API values and errors. It knows the protocol's names only. | `addon` |
//!
//! # The path of a connection
//!
//! 1. JavaScript (`lib/http-server/path-claims.js`) receives a request for the engine's path and
//!    passes it to `addon/engine.rs`.
//! 2. [`protocol::handshake`] decides whether the request may open a session or belongs to one.
//!    For an upgrade, [`protocol::websocket::opening`] checks the opening handshake and writes the
//!    101.
//! 3. [`runtime::descriptor`] duplicates the TCP connection's descriptor, so that Node can let go
//!    of it. Connections without a descriptor (TLS) stay JavaScript streams.
//! 4. [`runtime::commands`] carries the new session to its I/O thread. [`runtime::driver`] polls
//!    that thread's sockets and calls [`runtime::shard`], which owns its sessions.
//! 5. [`protocol::session`] reads packets from polling payloads or from [`protocol::websocket`]
//!    frames, keeps the heartbeat, and upgrades from polling to WebSocket.
//!
//! # The path of a message
//!
//! In: `runtime/shard/read.rs` → [`protocol::websocket::reader`] → [`protocol::session`] →
//! `runtime/shard/effects.rs` → [`runtime::inbox`] → `addon/hot_calls.rs` →
//! `lib/bridge/events.js` → `lib/engine/engine-socket.js`.
//!
//! Out: `lib/engine/engine-socket.js` → `lib/bridge/commands.js` → `addon/hot_calls.rs` →
//! [`runtime::commands`] → `runtime/shard/apply.rs` → [`protocol::outbox`] →
//! [`protocol::websocket::wire`] → `runtime/shard/write.rs`.

#[cfg(feature = "addon")]
mod addon;
pub mod protocol;
#[cfg(feature = "runtime")]
pub mod runtime;
