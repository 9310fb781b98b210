//! The addresses that connections come from, and how many connections are possible.

use std::net::{Ipv4Addr, SocketAddrV4};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::fault::{Fault, Result};

/// Source addresses 127.0.0.2 to 127.0.0.201: one address has about 28,000 ephemeral ports, and a
/// connect storm with its closed ports in `TIME_WAIT` uses those up within seconds.
const SOURCES: u8 = 200;

/// The measured server. Always on loopback, whatever the command line says.
pub fn server(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

pub fn source(index: usize) -> Ipv4Addr {
    let host = u8::try_from(index % usize::from(SOURCES)).unwrap_or(0) + 2;
    Ipv4Addr::new(127, 0, 0, host)
}

/// Raises the soft descriptor limit to the hard one, and fails if that is not enough.
pub fn allow_descriptors(needed: usize) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .map_err(Fault::io("raise the descriptor limit"))?;
    // Epoll, timer, standard streams and a few descriptors of the runtime.
    let needed = needed as u64 + 16;
    match limit.maximum {
        Some(maximum) if maximum < needed => Err(Fault::Usage(format!(
            "{needed} descriptors needed, the hard limit (ulimit -Hn) is {maximum}"
        ))),
        _ => Ok(()),
    }
}
