//! The calls that are made for every message: a string is copied straight into the staged batch,
//! and events go to JavaScript eight at a call.

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{Env, Function, Object};
use napi_derive::napi;

use super::environment::{Host, with};
use super::guard::{Result, guard, internal};
use super::raw::{self, Call, DISPATCHED, Dispatch, Export, Sizes, Value};
use crate::protocol::outbox::Broadcast;
use crate::runtime::commands::{Action, Body, Command, SessionId};
use crate::runtime::driver::now;
use crate::runtime::inbox::{Event, EventBatch, Kind, MAX_SMALL, Payload, Record, cost};

/// Events of one call.
const GROUP: usize = DISPATCHED - 1;
/// Integers that describe one event: slot, generation, kind, extra, offset, length.
const META: usize = 6;
/// Events of one turn of the loop; also bounded in time.
const TURN_EVENTS: usize = 64;
const TURN_TIME: Duration = Duration::from_micros(500);
/// A group that takes longer than this share of a turn is followed by single events.
const SLOW_SHARE: u32 = 4;
/// Polling payloads from here on are given as Buffers: a string could be too long for V8.
const BUFFER_FROM: usize = 64 * 1024;
/// Strings and buffers up to this size are staged in the batch, longer ones in their own memory.
const INLINE: usize = 4 * 1024;
/// The only flag of a write: tell when it has left.
const RECEIPT: u32 = 1;

thread_local! {
    static DISPATCH: Cell<Option<Dispatch>> = const { Cell::new(None) };
}

#[cfg(feature = "test-panic")]
thread_local! {
    /// How many text messages from now on the one is that cannot be delivered; 0 for none.
    static FAILING: Cell<u32> = const { Cell::new(0) };
}

/// Makes the delivery of the `nth` text message from now on fail.
#[cfg(feature = "test-panic")]
#[napi]
pub fn fail_delivery(nth: u32) {
    FAILING.set(nth);
}

/// The hot calls, as an object of functions, and what describes the events of one call of
/// `dispatch(count, value, …)`: the Int32Array `meta`, and the Uint8Array `small` with the bytes of
/// small binary messages.
#[napi(ts_args_type = "dispatch: (count: number, ...values: unknown[]) => void")]
pub fn hot(env: Env, dispatch: Function<(), ()>) -> Result<Object<'static>> {
    guard(|| {
        let object = raw::object(&env)?;
        raw::export::<Text>(&env, &object)?;
        raw::export::<Binary>(&env, &object)?;
        raw::export::<SendShared>(&env, &object)?;
        raw::export::<Deliver>(&env, &object)?;
        raw::export::<Flush>(&env, &object)?;
        raw::export::<Unsent>(&env, &object)?;
        raw::export::<UnsentMessages>(&env, &object)?;
        raw::export::<IsBusy>(&env, &object)?;
        let sizes = Sizes { meta: GROUP * META, small: GROUP * MAX_SMALL };
        DISPATCH.set(Some(Dispatch::new(&env, &object, dispatch, sizes)?));
        Ok(object)
    })
}

/// The session that the first two arguments name.
fn session(call: &Call) -> Result<SessionId> {
    Ok(SessionId { slot: call.number(0)?, generation: call.number(1)? })
}

fn stage_message(call: &Call, body: impl FnOnce(&mut Vec<u8>) -> Result<Body>) -> Result<Value> {
    let id = session(call)?;
    let receipt = call.number(3)? & RECEIPT != 0;
    with(|host| {
        let batch = host.batch(id.slot);
        let body = body(&mut batch.bytes)?;
        batch.commands.push(Command::Session(id, Action::Send { body, receipt }));
        Ok(Value::UNDEFINED)
    })?
}

/// `text(slot, generation, string, flags)`: stages a text message.
struct Text;

impl Export for Text {
    const NAME: &'static CStr = c"text";

    fn run(call: &mut Call) -> Result<Value> {
        stage_message(call, |bytes| {
            let start = bytes.len();
            let written = call.append_text(2, bytes, INLINE)?;
            // Room that is almost full may have cut the string: a character has at most four
            // bytes, and a NUL takes one.
            if written + 5 < INLINE {
                return Ok(Body::Text(start..start + written));
            }
            bytes.truncate(start);
            Ok(Body::OwnText(call.text(2)?))
        })
    }
}

/// `binary(slot, generation, uint8Array, flags)`: stages a binary message; the bytes are copied.
struct Binary;

impl Export for Binary {
    const NAME: &'static CStr = c"binary";

    fn run(call: &mut Call) -> Result<Value> {
        stage_message(call, |bytes| {
            let message = call.bytes(2);
            if message.len() > INLINE {
                return Ok(Body::OwnBinary(message.to_vec()));
            }
            let start = bytes.len();
            bytes.extend_from_slice(message);
            Ok(Body::Binary(start..bytes.len()))
        })
    }
}

/// `broadcast(pairs, count, data, frame)`: stages one message for many sessions. `pairs` is an
/// Int32Array of slot and generation, `data` a string or Uint8Array, `frame` its WebSocket form
/// if the app made it.
struct SendShared;

impl Export for SendShared {
    const NAME: &'static CStr = c"broadcast";

    fn run(call: &mut Call) -> Result<Value> {
        let count = call.number(1)? as usize;
        let frame = call.bytes(3);
        let broadcast = match call.is_string(2)? {
            true if frame.is_empty() => Broadcast::text(&call.text(2)?),
            true => Broadcast::with_frame(call.text(2)?, frame.to_vec()),
            false => Broadcast::binary(call.bytes(2)),
        };
        let pairs = call.pairs(0, count)?;
        with(|host| {
            let total = &host.pool.shared().totals.unsent;
            let broadcast = Arc::new(broadcast.charged_to(total));
            for [slot, generation] in pairs.iter().map(|pair| pair.map(i32::cast_unsigned)) {
                let id = SessionId { slot, generation };
                host.stage(id, Action::SendShared(Arc::clone(&broadcast)));
            }
        })?;
        Ok(Value::UNDEFINED)
    }
}

/// `flush()`: has the staged commands carried out. Returns whether that has left something to
/// deliver that no wake-up will tell of.
struct Flush;

impl Export for Flush {
    const NAME: &'static CStr = c"flush";

    fn run(call: &mut Call) -> Result<Value> {
        let has_events = with(|host| {
            host.flush();
            host.pool.shared().inbox.claim()
        })?;
        call.boolean(has_events)
    }
}

/// `unsent(slot, generation)`: bytes queued for a session's peer.
struct Unsent;

impl Export for Unsent {
    const NAME: &'static CStr = c"unsent";

    fn run(call: &mut Call) -> Result<Value> {
        let id = session(call)?;
        let bytes = with(|host| host.slots.gauge(id).map_or(0, |(gauge, _)| gauge.unsent()))?;
        call.double(bytes as f64)
    }
}

/// `unsentMessages(slot, generation)`: messages queued for a session's peer.
struct UnsentMessages;

impl Export for UnsentMessages {
    const NAME: &'static CStr = c"unsentMessages";

    fn run(call: &mut Call) -> Result<Value> {
        let id = session(call)?;
        let of =
            |host: &mut Host| host.slots.gauge(id).map_or(0, |(gauge, _)| gauge.unsent_messages());
        let count = with(of)?;
        call.double(count as f64)
    }
}

/// `isBusy(slot, generation)`: whether a session cannot take another POST yet.
struct IsBusy;

impl Export for IsBusy {
    const NAME: &'static CStr = c"isBusy";

    fn run(call: &mut Call) -> Result<Value> {
        let id = session(call)?;
        let busy = with(|host| host.slots.gauge(id).is_some_and(|(gauge, _)| gauge.is_busy()))?;
        call.boolean(busy)
    }
}

/// `deliver()`: gives a turn's worth of events to `dispatch`. Returns whether there is more; if
/// not, the next wake-up comes from the I/O threads.
struct Deliver;

impl Export for Deliver {
    const NAME: &'static CStr = c"deliver";

    fn run(call: &mut Call) -> Result<Value> {
        let dispatch = DISPATCH.get().ok_or_else(|| internal("deliver before hot"))?;
        let mut time = now();
        let end = time + TURN_TIME;
        let mut delivered = 0;
        let mut more = true;
        while more && delivered < TURN_EVENTS && time < end {
            let count = deliver_group(call, dispatch)?;
            delivered += count;
            more = count > 0 || with(|host| !host.pool.shared().inbox.arm())?;
            let before = std::mem::replace(&mut time, now());
            let is_slow = (time - before) * SLOW_SHARE > TURN_TIME;
            // The clock is looked at between groups, so slow handlers get one event each.
            with(|host| host.group = if is_slow { 1 } else { GROUP })?;
        }
        call.boolean(more)
    }
}

/// Delivers up to a group of events and returns how many were taken.
fn deliver_group(call: &mut Call, dispatch: Dispatch) -> Result<usize> {
    let mut accounting = DeliveryAccounting::default();
    let taken = with(|host| take_group(call, dispatch, host, &mut accounting))?;
    let called = match taken.values.len() {
        0 => Ok(()),
        count => dispatch.call(call, count as u32, &taken.values),
    };
    with(|host| accounting.settle(host))?;
    called.map(|()| taken.count)
}

/// Events taken out of the inbox.
#[derive(Default)]
struct Taken {
    /// How many there were.
    count: usize,
    /// The values of those that JavaScript gets.
    values: Vec<Value>,
}

/// Takes events out of the inbox, makes their values and describes them. An event that cannot be
/// made a value ends its session.
fn take_group(
    call: &Call,
    dispatch: Dispatch,
    host: &mut Host,
    accounting: &mut DeliveryAccounting,
) -> Taken {
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
        let offset = small_bytes(dispatch, &payload, bytes, &mut used);
        match value(call, event, payload, bytes) {
            Ok(value) => taken.values.push(value),
            Err(_) => {
                if let Event::Session { id, .. } = event {
                    undeliverable.add(id);
                    accounting.undeliverable.push(id);
                }
                continue;
            }
        }
        let [first, second, kind, extra] = numbers(event);
        let place = (taken.values.len() - 1) * META;
        dispatch.write(place, &[first, second, kind, extra, offset, length]);
    }
    taken
}

/// An event as the numbers that JavaScript gets: slot, generation, kind and extra of a session's,
/// number and kind of a stream's.
fn numbers(event: Event) -> [i32; 4] {
    match event {
        Event::Session { id: SessionId { slot, generation }, kind, extra } => {
            [slot.cast_signed(), generation.cast_signed(), kind as i32, extra]
        }
        Event::Stream { stream, kind } => [stream.cast_signed(), 0, kind as i32, 0],
    }
}

/// Copies a small binary message to where JavaScript takes its own copy from; -1 for anything else.
fn small_bytes(dispatch: Dispatch, payload: &Payload, bytes: &[u8], used: &mut usize) -> i32 {
    let Payload::Bytes(range) = payload else { return -1 };
    let offset = *used;
    dispatch.write_small(offset, &bytes[range.clone()]);
    *used += range.len();
    i32::try_from(offset).unwrap_or(-1)
}

fn value(call: &Call, event: Event, payload: Payload, bytes: &[u8]) -> Result<Value> {
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

/// What is applied after JavaScript has handled a group.
#[derive(Default)]
struct DeliveryAccounting {
    credits: Vec<(SessionId, u64)>,
    closed: Vec<SessionId>,
    undeliverable: Vec<SessionId>,
}

impl DeliveryAccounting {
    fn note(&mut self, id: SessionId, kind: Kind, payload: &Payload) {
        self.credits.push((id, cost(kind, payload)));
        if kind == Kind::Close {
            self.closed.push(id);
        }
    }

    /// Counts what was delivered, resumes paused sessions, and frees slots.
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
            // The delivery that is under way sees what this leaves in the inbox.
            host.flush();
        }
        host.pool.shared().check_relief();
        for id in self.closed {
            host.slots.release(id);
        }
    }
}
