//! Panics become errors: one that crosses a Node-API export aborts the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// An error with a code of ours instead of a Node-API status.
pub type Result<T> = std::result::Result<T, napi::Error<&'static str>>;

/// `code` of an error that is a defect of ours.
const INTERNAL: &str = "ERR_UPWIRE_INTERNAL";
/// `code` of an error for a call after the environment's end, or before its start.
const NOT_RUNNING: &str = "ERR_UPWIRE_NOT_RUNNING";

/// Runs an export.
pub fn guard<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(internal("a panic was caught")))
}

/// A defect of ours.
pub fn internal(reason: impl Into<String>) -> napi::Error<&'static str> {
    napi::Error::new(INTERNAL, reason.into())
}

/// There are no I/O threads.
pub fn not_running() -> napi::Error<&'static str> {
    napi::Error::new(NOT_RUNNING, "upwire is not running in this environment")
}
