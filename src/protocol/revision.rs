//! The revisions of the Engine.IO protocol, and how the peers of a session want binary messages.
//! Revision 4 is that of Socket.IO 3 and later; revision 3 is that of Socket.IO 2.

/// A revision of the Engine.IO protocol: the `EIO` parameter of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Revision {
    /// Clients send the pings, and every packet has a type, binary ones as well.
    V3,
    /// Servers send the pings, and binary data is always a message.
    #[default]
    V4,
}

impl Revision {
    /// The revision that a request asks for. As in engine.io, everything but `4` is revision 3: the
    /// first clients of that revision did not send the parameter.
    pub fn of_request(eio: Option<&str>) -> Self {
        if eio == Some("4") { Self::V4 } else { Self::V3 }
    }

    /// The revision with this number in JavaScript.
    pub fn from_number(number: u32) -> Self {
        if number == 3 { Self::V3 } else { Self::V4 }
    }
}

/// How a peer wants its packets. It can differ between the two transports of a session, because each
/// request has a `b64` parameter of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dialect {
    /// The revision.
    pub revision: Revision,
    /// Whether the peer wants binary messages as base64 text: engine.io's parameter `b64`.
    pub base64: bool,
}

impl Dialect {
    /// What precedes the body of a binary message among bytes: nothing, or the packet's type.
    pub fn binary_prefix(self) -> &'static [u8] {
        match self.revision {
            Revision::V3 => &[4],
            Revision::V4 => &[],
        }
    }

    /// What precedes the body of a binary message in base64: a mark, and in revision 3 the type.
    pub fn base64_prefix(self) -> &'static [u8] {
        match self.revision {
            Revision::V3 => b"b4",
            Revision::V4 => b"b",
        }
    }
}
