//! System calls without a safe form: taking a connection from Node by its descriptor, letting tokio
//! watch the poller, giving freed memory back. The only `unsafe` of this ring.

use std::io;
use std::net::TcpStream;

/// Takes a connection over: a second descriptor for a socket that Node owns (close-on-exec), after
/// which Node closes its own and forgets the connection. The socket stays non-blocking, as Node
/// made it.
#[cfg(poller)]
pub fn duplicate(descriptor: i32) -> io::Result<TcpStream> {
    use std::os::fd::BorrowedFd;

    if descriptor < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the descriptor is not -1, and Node keeps it open during this call: we are called
    // from the JavaScript thread, which alone could close it, with the handle it just looked at.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    Ok(TcpStream::from(borrowed.try_clone_to_owned()?))
}

/// There is no descriptor to take here; the caller feeds the session through the stream.
#[cfg(not(poller))]
pub fn duplicate(_descriptor: i32) -> io::Result<TcpStream> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Registers the sockets' poller with the current tokio runtime.
#[cfg(poller)]
pub fn watch(poll: mio::Poll) -> io::Result<tokio::io::unix::AsyncFd<mio::Poll>> {
    use tokio::io::{Interest, unix::AsyncFd};

    // SAFETY: a mio::Poll owns its descriptor, keeps it open until it is dropped, and always gives
    // the same number; the AsyncFd owns the Poll.
    Ok(unsafe { AsyncFd::register_with_interest(poll, Interest::READABLE) }?)
}

/// Has glibc give all free pages of the heap back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn trim_heap() {
    // SAFETY: malloc_trim may be called from any thread at any time; it only releases pages that
    // are free, under the allocator's own locks.
    unsafe { libc::malloc_trim(0) };
}
