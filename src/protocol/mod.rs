//! Ring 1: the protocol, pure. Bytes and time come in, effects go out; there is no socket, clock,
//! thread or Node in here.
//!
//! A connection's path through these files: [`handshake`] (and [`websocket::opening`] for an
//! upgrade) decides whether a request may become a [`session`]; the session reads packets from
//! polling [`payload`]s or [`websocket`] messages, keeps its [`heartbeat`], moves from polling to
//! WebSocket in [`upgrade`], queues what it sends in its [`outbox`], and ends with a [`close_reason`]
//! reason.
//!
//! The contract of [`session::Session`]: every change is one call (`handle_input`,
//! `handle_timeout`) that hands its consequences to an [`effects::Effects`] before it returns;
//! afterwards `deadline` tells when to call `handle_timeout` next. Nothing happens between calls.
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

pub mod close_reason;
pub mod effects;
pub mod handshake;
pub mod heartbeat;
pub mod json_depth;
pub mod limits;
pub mod message_rate;
pub mod outbox;
pub mod packet;
pub mod payload;
pub mod session;
pub mod upgrade;
pub mod websocket;

#[cfg(test)]
pub(crate) mod tests;
