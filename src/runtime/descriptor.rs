//! System calls that need `unsafe` or a raw descriptor: taking over a connection of Node, registering
//! the poller with tokio, and returning freed memory. All the `unsafe` code of this ring is here.

#[cfg(poller)]
use std::io;

/// Takes over a connection: duplicates the descriptor of a socket that Node owns (close-on-exec).
/// Node then closes its own and forgets the connection. The socket stays non-blocking, as Node made
/// it.
#[cfg(poller)]
pub fn duplicate(descriptor: std::os::fd::BorrowedFd<'_>) -> io::Result<std::net::TcpStream> {
    descriptor.try_clone_to_owned().map(Into::into)
}

/// Registers the poller of a thread's sockets with the current tokio runtime.
#[cfg(poller)]
pub fn register(poll: mio::Poll) -> io::Result<tokio::io::unix::AsyncFd<mio::Poll>> {
    use tokio::io::{Interest, unix::AsyncFd};

    // SAFETY: a mio::Poll owns its descriptor, keeps it open until it is dropped, and always returns
    // the same number. The AsyncFd owns the Poll.
    Ok(unsafe { AsyncFd::register_with_interest(poll, Interest::READABLE) }?)
}

/// Lets glibc return all free pages of the heap to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn trim_heap() {
    // SAFETY: any thread may call malloc_trim at any time. It only releases free pages, under the
    // allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}
