//! The protocol under simulated time: one file per behaviour.

mod bounds;
pub mod client;
mod closing;
mod framing;
mod interleaving;
mod polling;
mod streams;
mod upgrading;
mod world;

use std::time::Instant;

/// A moment to start from; tests only ever add to it.
#[allow(clippy::disallowed_methods)]
pub fn start() -> Instant {
    Instant::now()
}
