//! What JavaScript asks of one session, apart from sending: staged, and handed over with the tick.

use napi_derive::napi;

use super::environment::{Host, with};
use super::guard::{Result, guard};
use super::raw::CopiedBytes;
use crate::protocol::session::{Loss, PollingFault};
use crate::runtime::commands::{Action, Command, SessionId};

fn stage(slot: u32, generation: u32, action: Action) -> Result<()> {
    guard(|| with(|host| host.stage(SessionId { slot, generation }, action)))
}

/// A GET came.
#[napi]
pub fn get(slot: u32, generation: u32, token: u32) -> Result<()> {
    stage(slot, generation, Action::Get(token))
}

/// The parked GET's connection is gone.
#[napi]
pub fn get_lost(slot: u32, generation: u32, token: u32) -> Result<()> {
    stage(slot, generation, Action::GetLost(token))
}

/// A GET's answer of so many bytes has left Node, or is lost.
#[napi]
pub fn get_sent(slot: u32, generation: u32, bytes: u32) -> Result<()> {
    stage(slot, generation, Action::GetSent(bytes as usize))
}

/// A POST has begun.
#[napi]
pub fn post_begun(slot: u32, generation: u32) -> Result<()> {
    stage(slot, generation, Action::PostBegun)
}

/// A POST's body has so many bytes so far.
#[napi]
pub fn post_progress(slot: u32, generation: u32, bytes: u32) -> Result<()> {
    stage(slot, generation, Action::PostProgress(bytes as usize))
}

/// A POST's body is complete.
#[napi]
pub fn post(
    slot: u32,
    generation: u32,
    #[napi(ts_arg_type = "Uint8Array")] body: CopiedBytes,
) -> Result<()> {
    stage(slot, generation, Action::Post(body.0))
}

/// What a polling request did wrong.
#[napi]
pub enum Fault {
    PollLost,
    PostOverlap,
    PostLost,
    PostTooLarge,
    BinaryContent,
    EncodedContent,
}

/// A polling request broke the rules.
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

/// The app wants to hear when what waits has left.
#[napi]
pub fn report(slot: u32, generation: u32) -> Result<()> {
    stage(slot, generation, Action::Report)
}

/// Closes the session.
#[napi]
pub fn close(slot: u32, generation: u32, discard: bool) -> Result<()> {
    stage(slot, generation, Action::Close { discard })
}

/// Closes the session because the engine closes.
#[napi]
pub fn shutdown(slot: u32, generation: u32) -> Result<()> {
    stage(slot, generation, Action::Shutdown)
}

/// Closes the session because the engine is drained: what was sent before goes out first.
#[napi]
pub fn leave(slot: u32, generation: u32) -> Result<()> {
    stage(slot, generation, Action::Leave)
}

/// Whether heartbeats are to be reported.
#[napi]
pub fn observe(slot: u32, generation: u32, on: bool) -> Result<()> {
    stage(slot, generation, Action::Observe(on))
}

/// Streams are not bound to a slot's thread by their number alone: the session's slot tells it.
fn stage_stream(slot: u32, command: Command) -> Result<()> {
    guard(|| with(|host: &mut Host| host.batch(slot).commands.push(command)))
}

/// A JavaScript stream brought bytes. Returns whether its session has enough for now: the stream is
/// to be paused at once, until it is told to go on.
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
            host.batch(slot).commands.push(command);
            let gauge = host.slots.gauge(SessionId { slot, generation });
            gauge.is_some_and(|(gauge, _)| gauge.is_stream_paused())
        })
    })
}

/// A JavaScript stream has written so many bytes.
#[napi]
pub fn stream_sent(slot: u32, stream: u32, bytes: u32) -> Result<()> {
    stage_stream(slot, Command::StreamSent { stream, bytes: bytes as usize })
}

/// A JavaScript stream is gone: ended by the peer, or failed.
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
