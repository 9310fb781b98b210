//! Commands for one session, apart from sending: staged, and flushed to the I/O thread at the end of
//! the tick.

use napi_derive::napi;

use super::engine::{NativeEngine, Opening, dialect};
use super::environment::{Host, with};
use super::guard::{Result, guard};
use super::raw::{CopiedBytes, NodeDescriptor};
use crate::protocol::session::{Loss, PollingFault};
use crate::runtime::commands::{Action, Command, SessionId};

fn stage(slot: u32, generation: u32, action: Action) -> Result<()> {
    guard(|| with(|host| host.stage(SessionId { slot, generation }, action)))
}

/// Gives a polling session of `engine` a WebSocket to probe. The arguments after the engine are those
/// of `NativeEngine::open_web_socket`. Returns whether the descriptor was taken from Node.
#[napi]
#[allow(clippy::too_many_arguments, reason = "an object would cost a lookup for each property")]
pub fn probe(
    slot: u32,
    generation: u32,
    engine: &NativeEngine,
    #[napi(ts_arg_type = "number")] descriptor: NodeDescriptor,
    stream: u32,
    key: String,
    protocol: Option<String>,
    extensions: Option<String>,
    headers: String,
    eio: u32,
    base64: bool,
    #[napi(ts_arg_type = "Uint8Array | undefined | null")] early: Option<CopiedBytes>,
) -> Result<bool> {
    guard(|| {
        let opening = Opening { key, protocol, extensions, headers };
        let (websocket, taken) =
            engine.new_websocket(descriptor, stream, opening, dialect(eio, base64), early)?;
        stage(slot, generation, Action::Probe(Box::new(websocket)))?;
        Ok(taken)
    })
}

/// A GET arrived.
#[napi]
pub fn get(slot: u32, generation: u32, token: u32) -> Result<()> {
    stage(slot, generation, Action::Get(token))
}

/// The connection of the parked GET was lost.
#[napi]
pub fn get_lost(slot: u32, generation: u32, token: u32) -> Result<()> {
    stage(slot, generation, Action::GetLost(token))
}

/// Node has written the answer of a GET, or lost its connection; the answer had `bytes` bytes.
#[napi]
pub fn get_sent(slot: u32, generation: u32, bytes: u32) -> Result<()> {
    stage(slot, generation, Action::GetSent(bytes as usize))
}

/// A POST has begun.
#[napi]
pub fn post_begun(slot: u32, generation: u32) -> Result<()> {
    stage(slot, generation, Action::PostBegun)
}

/// The body of a POST occupies `bytes` bytes so far.
#[napi]
pub fn post_progress(slot: u32, generation: u32, bytes: u32) -> Result<()> {
    stage(slot, generation, Action::PostProgress(bytes as usize))
}

/// The body of a POST is complete.
#[napi]
pub fn post(
    slot: u32,
    generation: u32,
    #[napi(ts_arg_type = "Uint8Array")] body: CopiedBytes,
) -> Result<()> {
    stage(slot, generation, Action::Post(body.0))
}

/// The body of a POST is complete, and consists of bytes.
#[napi]
pub fn post_bytes(
    slot: u32,
    generation: u32,
    #[napi(ts_arg_type = "Uint8Array")] body: CopiedBytes,
) -> Result<()> {
    stage(slot, generation, Action::PostBytes(body.0))
}

/// How a polling request broke the rules.
#[napi]
pub enum Fault {
    PollLost,
    PostOverlap,
    PostLost,
    PostTooLarge,
    BinaryContent,
    EncodedContent,
}

/// A polling request broke the rules, which ends the session.
#[napi]
pub fn fault(slot: u32, generation: u32, fault: Fault) -> Result<()> {
    let fault = match fault {
        Fault::PollLost => PollingFault::PollLost,
        Fault::PostOverlap => PollingFault::PostOverlap,
        Fault::PostLost => PollingFault::PostLost,
        Fault::PostTooLarge => PollingFault::PostTooLarge,
        Fault::BinaryContent => PollingFault::BinaryContent,
        Fault::EncodedContent => PollingFault::EncodedContent,
    };
    stage(slot, generation, Action::Fault(fault))
}

/// Emits a `SENT` event once everything that is queued now has been written.
#[napi]
pub fn notify_drained(slot: u32, generation: u32) -> Result<()> {
    stage(slot, generation, Action::NotifyDrained)
}

/// Closes the session. With `discard`, queued messages are dropped.
#[napi]
pub fn close(slot: u32, generation: u32, discard: bool) -> Result<()> {
    stage(slot, generation, Action::Close { discard })
}

/// Closes the session because its engine closes.
#[napi]
pub fn shutdown(slot: u32, generation: u32) -> Result<()> {
    stage(slot, generation, Action::Shutdown)
}

/// Closes the session, once its queue is written, because its engine is drained.
#[napi]
pub fn close_drained(slot: u32, generation: u32) -> Result<()> {
    stage(slot, generation, Action::CloseDrained)
}

/// Chooses whether heartbeats become events.
#[napi]
pub fn observe(slot: u32, generation: u32, on: bool) -> Result<()> {
    stage(slot, generation, Action::Observe(on))
}

/// Stages a command for a JavaScript stream. The number of a stream does not determine its thread, so
/// the slot of its session does.
fn stage_stream(slot: u32, command: Command) -> Result<()> {
    guard(|| with(|host: &mut Host| host.batch(slot).commands.push(command)))
}

/// A JavaScript stream received bytes. Returns whether the stream must be paused now, because its
/// session holds enough; a `STREAM_RESUME` event ends the pause.
#[napi]
pub fn stream_received(
    slot: u32,
    generation: u32,
    stream: u32,
    #[napi(ts_arg_type = "Uint8Array")] bytes: CopiedBytes,
) -> Result<bool> {
    let command = Command::StreamReceived { stream, bytes: bytes.0 };
    guard(|| {
        with(|host: &mut Host| {
            host.note_compressible(slot, usize::MAX);
            host.batch(slot).commands.push(command);
            let gauge = host.slots.gauge(SessionId { slot, generation });
            gauge.is_some_and(|(gauge, _)| gauge.is_stream_paused())
        })
    })
}

/// A JavaScript stream has written `bytes` bytes.
#[napi]
pub fn stream_sent(slot: u32, stream: u32, bytes: u32) -> Result<()> {
    stage_stream(slot, Command::StreamSent { stream, bytes: bytes as usize })
}

/// A JavaScript stream was ended by the peer, or failed.
#[napi]
pub fn stream_lost(slot: u32, stream: u32, failed: bool) -> Result<()> {
    let loss = if failed { Loss::Read(None) } else { Loss::Ended };
    stage_stream(slot, Command::StreamLost { stream, loss })
}

/// Panics in the session's next step.
#[cfg(feature = "test-panic")]
#[napi]
pub fn panic_session(slot: u32, generation: u32) -> Result<()> {
    stage(slot, generation, Action::Panic)
}
