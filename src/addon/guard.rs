//! Errors of exports. A panic becomes one too, because a panic that crosses a Node-API export aborts
//! the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A result whose error has one of upwire's codes instead of a Node-API status.
pub type Result<T> = std::result::Result<T, napi::Error<&'static str>>;

/// `code` of an error caused by a bug in upwire.
const INTERNAL: &str = "ERR_UPWIRE_INTERNAL";
/// `code` of an error for a call while no I/O threads run: before `start`, or after the environment
/// has ended.
pub const NOT_RUNNING: &str = "ERR_UPWIRE_NOT_RUNNING";

/// Runs the body of an export and turns a panic into an error.
pub fn guard<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(internal("a panic was caught")))
}

/// An error caused by a bug in upwire.
pub fn internal(reason: impl Into<String>) -> napi::Error<&'static str> {
    napi::Error::new(INTERNAL, reason.into())
}

/// An error for a call while no I/O threads run.
pub fn not_running() -> napi::Error<&'static str> {
    napi::Error::new(NOT_RUNNING, "upwire is not running in this environment")
}
