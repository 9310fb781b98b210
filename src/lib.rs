//! upwire: a native Engine.IO engine for Node.js.
//!
//! The crate consists of three rings. A ring may only use the rings inside it, which Cargo features
//! enforce.
//!
//! | Ring | What it does | Feature |
//! |---|---|---|
//! | [`protocol`] | Turns bytes and time into effects, without sockets, clocks, threads or Node. | none |
//! | [`runtime`] | Owns sockets, threads and timers, and makes no protocol decisions. | `runtime` |
//! | `addon` | Converts Node-API values and errors. | `addon` |
//!
//! # The path of a connection
//!
//! 1. JavaScript (`lib/http-server/path-claims.js`) receives a request for the engine's path and
//!    passes it to `addon/engine.rs`.
//! 2. [`protocol::handshake`] decides whether the request may open a session or belongs to one.
//!    For an upgrade, [`protocol::websocket::opening`] checks the opening handshake and writes the
//!    101.
//! 3. [`runtime::descriptor`] duplicates the TCP connection's descriptor, so that Node can
//!    release it. Connections without a descriptor (TLS) stay JavaScript streams.
//! 4. [`runtime::commands`] carries the new session to its I/O thread. [`runtime::driver`] polls
//!    that thread's sockets and calls [`runtime::shard`], which owns its sessions.
//! 5. [`protocol::session`] reads packets from polling payloads or from [`protocol::websocket`]
//!    messages, keeps the heartbeat, upgrades from polling to WebSocket, and closes with a
//!    [`protocol::close_reason`].
//!
//! # The path of a message
//!
//! In: `runtime/shard/read.rs` → [`protocol::websocket::reader`] → [`protocol::session`] →
//! `runtime/shard/effects.rs` → [`runtime::inbox`] → `addon/hot_calls.rs` →
//! `lib/bridge/events.js` → `lib/engine/engine-socket.js`.
//!
//! Out: `lib/engine/engine-socket.js` → `lib/bridge/commands.js` → `addon/hot_calls.rs` →
//! [`runtime::commands`] → `runtime/shard/apply.rs` → [`protocol::session`] →
//! [`protocol::websocket::wire`] → `runtime/shard/write.rs`. On polling, the message waits in the
//! [`protocol::outbox`] until a GET fetches it.

#[cfg(feature = "addon")]
mod addon;
pub mod protocol;
#[cfg(feature = "runtime")]
pub mod runtime;
