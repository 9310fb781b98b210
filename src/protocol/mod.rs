//! Ring 1: the protocol, as a pure core. It turns bytes and time into effects and uses no socket,
//! clock, thread or Node.
//!
//! The path of a connection through these files: [`handshake`] (and [`websocket::opening`] for an
//! upgrade) decides whether a request may open a [`session`]. The session reads packets from
//! polling [`payload`]s or from [`websocket`] messages, keeps its [`heartbeat`], moves from polling
//! to WebSocket in an [`upgrade`], queues packets in its [`outbox`] or on a WebSocket's
//! [`wire`](websocket::wire), and closes with a [`close_reason`]. A [`broadcast`] is shared by the
//! queues of many sessions.
//!
//! The contract of [`session::Session`]: every change is one call of `handle_input` or
//! `handle_timeout`, which passes all consequences to an [`effects::Effects`] before it returns.
//! `deadline` then returns when to call `handle_timeout` next. Nothing happens between calls.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod broadcast;
pub mod close_reason;
pub mod deadline;
pub mod effects;
pub mod handshake;
pub mod heartbeat;
pub mod json_depth;
pub mod jsonp;
pub mod limits;
pub mod message_rate;
pub mod outbox;
pub mod packet;
pub mod payload;
pub mod revision;
pub mod session;
pub mod upgrade;
pub mod websocket;

#[cfg(test)]
pub(crate) mod tests;
