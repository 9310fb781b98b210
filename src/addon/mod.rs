//! Ring 3: Node-API. Converts types and errors; knows no protocol beyond names.
//!
//! [`environment`] is what one JavaScript thread owns: the I/O threads, the table of slots, what is
//! staged. [`engine`] and [`session`] are the cold API through napi-derive, [`hot_calls`] the calls made
//! for every message, on the [`raw`] Node-API. [`guard`] keeps panics from crossing into Node.

#![cfg_attr(test, allow(dead_code, reason = "exports are left out of test builds"))]

mod engine;
mod environment;
mod guard;
mod hot_calls;
mod raw;
mod session;
