//! Ring 2: sockets, threads and time. Decides nothing about the protocol.
//!
//! A [`pool`] owns the I/O threads; each [`driver`] turns one [`shard`], which holds the sessions
//! of a thread, their [`link`]s and [`timers`]. [`commands`] come from JavaScript, events go back
//! through the [`inbox`]; [`gauge`] and [`shared`] are what both sides count in.

pub mod commands;
pub mod descriptor;
pub mod driver;
pub mod gauge;
pub mod inbox;
pub mod lanes;
pub mod link;
pub mod memory;
#[cfg(all(test, model))]
mod models;
pub mod pool;
pub mod shard;
pub mod shared;
pub mod slots;
mod sync;
pub mod timers;
