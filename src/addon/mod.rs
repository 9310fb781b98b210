//! Ring 3: Node-API. Converts types and errors; knows no protocol beyond names.
//!
//! [`environment`] holds the state of one JavaScript thread: its I/O threads, the table of session
//! slots, and the staged commands. [`engine`] and [`session`] export the calls that are not made for
//! every message, through napi-derive. [`hot_calls`] exports those that are, through [`raw`]
//! Node-API. [`guard`] keeps panics from crossing into Node. [`contract`] lists what JavaScript and Rust
//! agree on.

#![cfg_attr(test, allow(dead_code, reason = "test builds omit the exports"))]

mod contract;
mod engine;
mod environment;
mod guard;
mod hot_calls;
mod raw;
mod session;
