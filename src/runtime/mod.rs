//! Ring 2: sockets, threads and time. Decides nothing about the protocol.
//!
//! A [`pool`] owns the I/O threads of a Node environment. Each thread runs a [`driver`], which turns
//! one [`shard`]: the sessions of that thread, their [`link`]s and [`timers`]. [`commands`] come from
//! JavaScript, and events return through the [`inbox`], which [`lanes`] puts into a fair order.
//! [`gauge`] and [`shared`] hold what both sides count, and [`slots`] is the table of sessions on the
//! JavaScript thread.

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
