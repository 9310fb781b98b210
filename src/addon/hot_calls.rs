//! The exports that are called for every message. Outgoing strings are copied straight into the
//! staged batch, and events are delivered to JavaScript in groups of up to eight.
//!
//! `lib/bridge/commands.js` calls these to stage and flush commands, `lib/bridge/events.js` to
//! deliver events.

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{Env, Function, Object};
use napi_derive::napi;

use super::environment::{Host, with};
use super::guard::{Result, guard, internal};
use super::raw::{self, Call, Dispatch, Export, MAX_VALUES, Sizes, Value};
use crate::protocol::broadcast::Broadcast;
use crate::runtime::commands::{Action, Body, Command, SessionId};
use crate::runtime::driver::now;
use crate::runtime::inbox::{Event, EventBatch, Kind, MAX_SMALL, Payload, Record, cost};

/// The most events that one call of `dispatch` receives.
const MAX_GROUP: usize = MAX_VALUES;
/// Integers that describe one event: slot, generation, kind, extra, offset, length.
pub const META: usize = 6;
/// The most events that one `deliver()` delivers; [`TURN_TIME`] is the other bound.
const TURN_EVENTS: usize = 64;
/// A `deliver()` starts no further group after this time.
const TURN_TIME: Duration = Duration::from_micros(500);
/// When a group takes longer than this fraction of [`TURN_TIME`], the next groups have one event.
const SLOW_SHARE: u32 = 4;
/// Polling payloads of at least this size become buffers, because V8 limits the length of a string.
const BUFFER_FROM: usize = 64 * 1024;
/// Strings and buffers of up to this size are copied into the batch; longer ones get their own
/// memory.
const MAX_INLINE: usize = 4 * 1024;
/// A flag of a write: report when the message has been sent.
pub const RECEIPT: u32 = 1;
/// A flag of a write: send the message without compression.
pub const PLAIN: u32 = 2;

thread_local! {
    static DISPATCH: Cell<Option<Dispatch>> = const { Cell::new(None) };
}

#[cfg(feature = "test-panic")]
thread_local! {
    /// Counts text messages down to the one whose delivery fails; 0 disables this.
    static FAILING: Cell<u32> = const { Cell::new(0) };
}

/// Lets the delivery of a text message fail, the `nth` from now on.
#[cfg(feature = "test-panic")]
#[napi]
pub fn fail_delivery(nth: u32) {
    FAILING.set(nth);
}

/// Returns the hot calls as an object of functions. Its `deliver` calls `dispatch(count, value, …)`.
/// Two arrays on the object describe the events of one such call: the `Int32Array` `meta`, and
/// the `Uint8Array` `small` with the bytes of small binary messages.
#[napi(ts_args_type = "dispatch: (count: number, ...values: unknown[]) => void")]
pub fn hot<'env>(env: &'env Env, dispatch: Function<'env, (), ()>) -> Result<Object<'env>> {
    guard(|| {
        let object = Object::new(env).map_err(|error| internal(error.reason.clone()))?;
        raw::export::<StageText>(env, &object)?;
        raw::export::<StageBinary>(env, &object)?;
        raw::export::<StageBroadcast>(env, &object)?;
        raw::export::<Flush>(env, &object)?;
        raw::export::<Deliver>(env, &object)?;
        raw::export::<Unsent>(env, &object)?;
        raw::export::<UnsentMessages>(env, &object)?;
        raw::export::<IsBusy>(env, &object)?;
        let sizes = Sizes { meta: MAX_GROUP * META, small: MAX_GROUP * MAX_SMALL };
        DISPATCH.set(Some(Dispatch::new(env, &object, dispatch, sizes)?));
        Ok(object)
    })
}

/// The session that the first two arguments identify.
fn session(call: &Call) -> Result<SessionId> {
    Ok(SessionId { slot: call.number(0)?, generation: call.number(1)? })
}

/// Stages the message that `body` copies, into the batch that it gets or into its own memory.
fn stage_message(call: &Call, body: impl FnOnce(&mut Vec<u8>) -> Result<Body>) -> Result<()> {
    let id = session(call)?;
    let flags = call.number(3)?;
    let (receipt, compress) = (flags & RECEIPT != 0, flags & PLAIN == 0);
    with(|host| {
        let batch = host.batch(id.slot);
        let body = body(&mut batch.bytes)?;
        let length = body.len();
        batch.commands.push(Command::Session(id, Action::Send { body, compress, receipt }));
        if compress {
            host.note_compressible(id.slot, length);
        }
        Ok(())
    })?
}

/// `text(slot, generation, string, flags)`: stages a text message.
struct StageText;

impl Export for StageText {
    const NAME: &'static CStr = c"text";

    fn run<'scope>(call: &mut Call<'scope>) -> Result<Option<Value<'scope>>> {
        stage_message(call, |bytes| {
            let start = bytes.len();
            let written = call.append_text(2, bytes, MAX_INLINE)?;
            // If less than a character (4 bytes) and the NUL are left, the string may not have fit.
            if written + 5 < MAX_INLINE {
                return Ok(Body::Text(start..start + written));
            }
            bytes.truncate(start);
            Ok(Body::OwnText(call.text(2)?))
        })?;
        Ok(None)
    }
}

/// `binary(slot, generation, uint8Array, flags)`: stages a binary message; the bytes are copied.
struct StageBinary;

impl Export for StageBinary {
    const NAME: &'static CStr = c"binary";

    fn run<'scope>(call: &mut Call<'scope>) -> Result<Option<Value<'scope>>> {
        stage_message(call, |bytes| {
            let message = call.bytes(2);
            if message.len() > MAX_INLINE {
                return Ok(Body::OwnBinary(message.to_vec()));
            }
            let start = bytes.len();
            message.append_to(bytes);
            Ok(Body::Binary(start..bytes.len()))
        })?;
        Ok(None)
    }
}

/// `broadcast(pairs, count, data, frame, flags)`: stages one message for `count` sessions. `pairs` is an
/// `Int32Array` of their slots and generations, `data` a string or `Uint8Array`. `frame` is a text
/// message's WebSocket form, if the app encoded it.
struct StageBroadcast;

impl Export for StageBroadcast {
    const NAME: &'static CStr = c"broadcast";

    fn run<'scope>(call: &mut Call<'scope>) -> Result<Option<Value<'scope>>> {
        let count = call.number(1)? as usize;
        let frame = call.bytes(3);
        let broadcast = if !call.is_string(2)? {
            Broadcast::binary(&call.borrow_bytes(2))
        } else if frame.is_empty() {
            Broadcast::text(&call.text(2)?)
        } else {
            Broadcast::with_frame(call.text(2)?, frame.to_vec())
        };
        let compress = call.number(4)? & PLAIN == 0;
        let broadcast = if compress { broadcast } else { broadcast.without_compression() };
        let pairs = call.pairs(0, count)?;
        with(|host| {
            let total = &host.pool.shared().totals.unsent;
            let broadcast = Arc::new(broadcast.charged_to(total));
            for [slot, generation] in pairs {
                let id = SessionId { slot, generation };
                host.stage(id, Action::SendBroadcast(Arc::clone(&broadcast)));
                if compress {
                    host.note_compressible(slot, broadcast.body().len());
                }
            }
        })?;
        Ok(None)
    }
}

/// `flush()`: flushes the staged commands. Returns whether the caller has to deliver the events that
/// this has led to, because no wake-up will announce them.
struct Flush;

impl Export for Flush {
    const NAME: &'static CStr = c"flush";

    fn run<'scope>(call: &mut Call<'scope>) -> Result<Option<Value<'scope>>> {
        let has_events = with(|host| {
            host.flush();
            host.pool.shared().inbox.wake_self()
        })?;
        call.boolean(has_events).map(Some)
    }
}

/// `unsent(slot, generation)`: the bytes queued for a session's peer.
struct Unsent;

impl Export for Unsent {
    const NAME: &'static CStr = c"unsent";

    fn run<'scope>(call: &mut Call<'scope>) -> Result<Option<Value<'scope>>> {
        let id = session(call)?;
        let bytes = with(|host| host.slots.gauge(id).map_or(0, |(gauge, _)| gauge.unsent()))?;
        call.double(bytes as f64).map(Some)
    }
}

/// `unsentMessages(slot, generation)`: the number of messages queued for a session's peer.
struct UnsentMessages;

impl Export for UnsentMessages {
    const NAME: &'static CStr = c"unsentMessages";

    fn run<'scope>(call: &mut Call<'scope>) -> Result<Option<Value<'scope>>> {
        let id = session(call)?;
        let count =
            with(|host| host.slots.gauge(id).map_or(0, |(gauge, _)| gauge.unsent_messages()))?;
        call.double(count as f64).map(Some)
    }
}

/// `isBusy(slot, generation)`: whether a session cannot take another POST yet.
struct IsBusy;

impl Export for IsBusy {
    const NAME: &'static CStr = c"isBusy";

    fn run<'scope>(call: &mut Call<'scope>) -> Result<Option<Value<'scope>>> {
        let id = session(call)?;
        let is_busy = with(|host| host.slots.gauge(id).is_some_and(|(gauge, _)| gauge.is_busy()))?;
        call.boolean(is_busy).map(Some)
    }
}

/// `deliver()`: delivers events to `dispatch`, within the bounds of a turn. Returns whether the
/// caller has to call it again; if not, the I/O threads wake JavaScript for the next event.
struct Deliver;

impl Export for Deliver {
    const NAME: &'static CStr = c"deliver";

    fn run<'scope>(call: &mut Call<'scope>) -> Result<Option<Value<'scope>>> {
        let dispatch =
            DISPATCH.get().ok_or_else(|| internal("deliver() was called before hot()"))?;
        let mut time = now();
        let end = time + TURN_TIME;
        let mut delivered = 0;
        let mut has_more = true;
        while has_more && delivered < TURN_EVENTS && time < end {
            let count = deliver_group(call, dispatch)?;
            delivered += count;
            has_more = count > 0 || with(|host| !host.pool.shared().inbox.arm())?;
            let before = std::mem::replace(&mut time, now());
            let is_slow = (time - before) * SLOW_SHARE > TURN_TIME;
            // The time is only checked between groups, so slow handlers get single events.
            with(|host| host.group = if is_slow { 1 } else { MAX_GROUP })?;
        }
        call.boolean(has_more).map(Some)
    }
}

/// Delivers up to a group of events and returns how many it took.
fn deliver_group(call: &mut Call, dispatch: Dispatch) -> Result<usize> {
    let mut accounting = DeliveryAccounting::default();
    let taken = with(|host| take_group(call, dispatch, host, &mut accounting))?;
    let called = if taken.values.is_empty() { Ok(()) } else { dispatch.call(call, &taken.values) };
    with(|host| accounting.settle(host))?;
    called.map(|()| taken.count)
}

/// Events taken from the inbox.
#[derive(Default)]
struct Taken<'scope> {
    /// How many there were, including those that JavaScript does not get.
    count: usize,
    /// The values of those that JavaScript gets.
    values: Vec<Value<'scope>>,
}

/// Takes a group of events from the inbox, creates their values, and describes them in `meta`. An
/// event whose value cannot be created closes its session.
fn take_group<'scope>(
    call: &Call<'scope>,
    dispatch: Dispatch,
    host: &mut Host,
    accounting: &mut DeliveryAccounting,
) -> Taken<'scope> {
    let mut taken = Taken::default();
    let Host { lanes, pool, undeliverable, group, .. } = host;
    let Some(batch) = lanes.next(|| pool.shared().inbox.take()) else { return taken };
    let EventBatch { records, bytes, .. } = batch;
    taken.count = records.len().min(*group);
    let mut used = 0;
    for Record { event, payload } in records.drain(..taken.count) {
        if let Event::Session { id, kind, .. } = event {
            accounting.note(id, kind, &payload);
            if undeliverable.skips(id, kind) {
                continue;
            }
        }
        let length = payload.len().try_into().unwrap_or(i32::MAX);
        let offset = copy_small(dispatch, &payload, bytes, &mut used);
        let Ok(value) = value(call, event, payload, bytes) else {
            if let Event::Session { id, .. } = event {
                undeliverable.add(id);
                accounting.undeliverable.push(id);
            }
            continue;
        };
        taken.values.push(value);
        let [first, second, kind, extra] = numbers(event);
        let at = (taken.values.len() - 1) * META;
        dispatch.write_meta(at, &[first, second, kind, extra, offset, length]);
    }
    taken
}

/// An event as the integers that JavaScript gets: slot, generation, kind and extra for a session,
/// number and kind for a stream.
fn numbers(event: Event) -> [i32; 4] {
    match event {
        Event::Session { id: SessionId { slot, generation }, kind, extra } => {
            [slot.cast_signed(), generation.cast_signed(), kind as i32, extra]
        }
        Event::Stream { stream, kind } => [stream.cast_signed(), 0, kind as i32, 0],
    }
}

/// Copies a small binary message to `small` and returns its offset there, or -1 for other payloads.
/// JavaScript makes its own copy.
fn copy_small(dispatch: Dispatch, payload: &Payload, bytes: &[u8], used: &mut usize) -> i32 {
    let Payload::Bytes(range) = payload else { return -1 };
    let offset = *used;
    dispatch.write_small(offset, &bytes[range.clone()]);
    *used += range.len();
    i32::try_from(offset).unwrap_or(-1)
}

/// An event's payload as a JavaScript value.
fn value<'scope>(
    call: &Call<'scope>,
    event: Event,
    payload: Payload,
    bytes: &[u8],
) -> Result<Value<'scope>> {
    #[cfg(feature = "test-panic")]
    if is(event, Kind::Text) && FAILING.replace(FAILING.get().saturating_sub(1)) == 1 {
        return Err(internal("provoked by a test"));
    }
    match payload {
        Payload::None | Payload::Bytes(_) => call.undefined(),
        Payload::Ascii(range) => call.ascii(&bytes[range]),
        Payload::Utf8(range) => call.utf8(&bytes[range]),
        Payload::OwnUtf8(text) if is(event, Kind::AnswerGet) && text.len() >= BUFFER_FROM => {
            call.array_buffer(&text)
        }
        Payload::OwnUtf8(text) => call.utf8(&text),
        Payload::OwnBytes(bytes) => call.array_buffer(&bytes),
    }
}

fn is(event: Event, expected: Kind) -> bool {
    matches!(event, Event::Session { kind, .. } if kind == expected)
}

/// Notes of one group, applied after JavaScript has handled it.
#[derive(Default)]
struct DeliveryAccounting {
    /// The cost of each event, to subtract from what its session has undelivered.
    credits: Vec<(SessionId, u64)>,
    /// Sessions whose last event was delivered: their slots become free.
    closed: Vec<SessionId>,
    /// Sessions to close because one of their events could not be delivered.
    undeliverable: Vec<SessionId>,
}

impl DeliveryAccounting {
    fn note(&mut self, id: SessionId, kind: Kind, payload: &Payload) {
        self.credits.push((id, cost(kind, payload)));
        if kind == Kind::Close {
            self.closed.push(id);
        }
    }

    /// Counts the events as delivered, resumes paused sessions, and frees slots.
    fn settle(self, host: &mut Host) {
        let mut has_commands = false;
        for (id, cost) in self.credits {
            if host.deliver(id, cost) {
                host.stage(id, Action::Resume);
                has_commands = true;
            }
        }
        for id in self.undeliverable {
            host.stage(id, Action::Undeliverable);
            has_commands = true;
        }
        if has_commands {
            // The `deliver()` that is running also delivers the events that this leads to.
            host.flush();
        }
        host.pool.shared().check_relief();
        for id in self.closed {
            host.slots.release(id);
        }
    }
}
