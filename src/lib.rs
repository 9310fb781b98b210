//! upwire: a native Engine.IO engine.

#[cfg(feature = "addon")]
mod addon;
pub mod protocol;
#[cfg(feature = "runtime")]
pub mod runtime;
