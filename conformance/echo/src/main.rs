//! Echoes every message over upwire's own WebSocket framing, for the Autobahn test suite.
//!
//! The suite sends bare WebSocket messages, but a session of upwire expects Engine.IO packets. This
//! server therefore uses the [`Connection`] of a session on plain blocking sockets. Opening
//! handshake, parsing, UTF-8, fragments, control frames, violations and closing are upwire's code;
//! only reading, writing and the echo are implemented here.

mod request;

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;

use upwire::protocol::limits::Limits;
use upwire::protocol::websocket::Unread;
use upwire::protocol::websocket::connection::{Connection, Received};

/// Cases 9.1 and 9.2 send messages of up to 16 MiB.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Cases 9.3 and 9.4 send 4 MiB in frames of 64 bytes.
const MAX_FRAGMENTS: u32 = 131_072;
/// The bytes of one read, as in an I/O thread.
const READ: usize = 64 * 1024;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            if let Err(error) = serve(stream)
                && !matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
            {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

/// Serves one connection until it is closed.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let opening = match request::read(&mut stream)? {
        Ok(opening) => opening,
        Err(refusal) => return stream.write_all(refusal.as_bytes()),
    };
    let limits =
        Limits { max_message: MAX_MESSAGE, max_fragments: MAX_FRAGMENTS, ..Limits::default() };
    let mut connection = Connection::new(opening.answer.as_bytes());
    if let Some(agreement) = opening.deflate {
        connection.use_deflate(agreement);
    }
    let mut buffer = opening.rest;
    while !connection.is_finished() {
        echo(&mut connection, &mut buffer, &limits);
        write(&mut connection, &mut stream)?;
        if connection.is_finished() {
            break;
        }
        buffer.resize(READ, 0);
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        buffer.truncate(count);
    }
    // End our side and read on: a reset could destroy the close frame before the peer reads it.
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink())?;
    Ok(())
}

/// Queues an echo of each message in the bytes.
fn echo(connection: &mut Connection, bytes: &mut [u8], limits: &Limits) {
    let mut unread = Unread::new(bytes);
    loop {
        match connection.next(&mut unread, limits) {
            Ok(Some(Received::Text(text))) => connection.send_message(b"", &text, true),
            Ok(Some(Received::Binary(bytes))) => connection.send_binary(&bytes, true),
            Ok(None) if connection.is_inflating() => connection.renew_budget(),
            Ok(Some(Received::Close(_)) | None) => return,
            Err(violation) => return connection.fail(violation.close_code()),
        }
    }
}

/// Writes the whole queue.
fn write(connection: &mut Connection, stream: &mut TcpStream) -> io::Result<()> {
    while !connection.wire().is_empty() {
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = connection.fill(&mut slices);
        let count = stream.write_vectored(slices.get(..filled).unwrap_or(&[]))?;
        if count == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        connection.written(count);
    }
    Ok(())
}
