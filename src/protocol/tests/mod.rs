//! The protocol under simulated time.

pub mod client;

use std::time::Instant;

/// A moment to start from; tests only ever add to it.
#[allow(clippy::disallowed_methods)]
pub fn start() -> Instant {
    Instant::now()
}
