//! Sessions in simulated time, with one file per behaviour.

mod bounds;
pub mod client;
mod closing;
mod compression;
mod framing;
mod interleaving;
mod polling;
mod revision_3;
mod streams;
mod upgrading;
mod world;

use std::time::Instant;

/// The moment at which a test starts. Tests only ever add to it.
#[expect(clippy::disallowed_methods, reason = "the only way to make an Instant")]
pub fn start() -> Instant {
    Instant::now()
}
