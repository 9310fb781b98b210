//! Why a run fails. Every variant ends the run: a number measured after a fault means nothing.

use rustix::io::Errno;

pub type Result<T> = std::result::Result<T, Fault>;

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The command line cannot be understood.
    #[error("usage: {0}")]
    Usage(String),
    /// A system call failed, in this process or because the peer has gone.
    #[error("{what}: {errno}")]
    Io { what: &'static str, errno: Errno },
    /// The server sent something that the protocol does not allow at this point.
    #[error("protocol: {0}")]
    Peer(String),
    /// A message was lost, doubled, reordered or changed.
    #[error("verification: {0}")]
    Verify(String),
}

impl Fault {
    pub fn io(what: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Io { what, errno }
    }

    pub fn peer(what: impl Into<String>) -> Self {
        Self::Peer(what.into())
    }
}

/// The first received bytes in printable form, for messages.
pub fn excerpt(bytes: &[u8]) -> String {
    let end = bytes.len().min(120);
    format!("{:?} ({} bytes)", String::from_utf8_lossy(&bytes[..end]), bytes.len())
}
