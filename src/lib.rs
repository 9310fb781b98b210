//! upwire: a native Engine.IO engine.

pub mod protocol;
#[cfg(feature = "runtime")]
pub mod runtime;
