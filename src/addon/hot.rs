//! The calls that are made for every message: a string is copied straight into the staged batch,
//! and events go to JavaScript eight at a call.

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{Env, Function, Object};
use napi_derive::napi;

use super::guard::{Result, guard, internal};
use super::host::{Host, with};
use super::raw::{self, Call, DISPATCHED, Dispatch, Export, Value};
use crate::protocol::outbox::Broadcast;
use crate::runtime::commands::{Action, Body, Command, SessionId};
use crate::runtime::driver::now;
use crate::runtime::inbox::{EventBatch, Kind, Payload, Record};
use crate::runtime::shard::MESSAGE_COST;

/// Events of one call.
const GROUP: usize = DISPATCHED - 1;
/// Integers that describe one event: slot, generation, kind, extra, offset, length.
const META: usize = 6;
/// Events of one turn of the loop; also bounded in time.
const TURN_EVENTS: usize = 64;
const TURN_TIME: Duration = Duration::from_micros(500);
/// Strings and buffers up to this size are staged in the batch, longer ones in their own memory.
const INLINE: usize = 4 * 1024;
/// The only flag of a write: tell when it has left.
const RECEIPT: u32 = 1;

thread_local! {
    static DISPATCH: Cell<Option<Dispatch>> = const { Cell::new(None) };
}

/// The hot calls, as an object of functions, and `meta`, the Int32Array that describes the events
/// of one call of `dispatch(count, value, …)`.
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
        DISPATCH.set(Some(Dispatch::new(&env, &object, dispatch, GROUP * META)?));
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
        let end = now() + TURN_TIME;
        let mut delivered = 0;
        let mut more = true;
        while more && delivered < TURN_EVENTS && now() < end {
            let count = deliver_group(call, dispatch)?;
            delivered += count;
            more = count > 0 || with(|host| !host.pool.shared().inbox.arm())?;
        }
        call.boolean(more)
    }
}

/// Delivers up to a group of events and returns how many.
fn deliver_group(call: &mut Call, dispatch: Dispatch) -> Result<usize> {
    let mut aftermath = Aftermath::default();
    let values = with(|host| take_group(call, dispatch, host, &mut aftermath))??;
    if values.is_empty() {
        return Ok(0);
    }
    let called = dispatch.call(call, values.len() as u32, &values);
    with(|host| aftermath.settle(host))?;
    called.map(|()| values.len())
}

/// Takes events out of the inbox, makes their values and describes them.
fn take_group(
    call: &Call,
    dispatch: Dispatch,
    host: &mut Host,
    aftermath: &mut Aftermath,
) -> Result<Vec<Value>> {
    let Host { lanes, pool, .. } = host;
    let Some(batch) = lanes.next(|| pool.shared().inbox.take()) else { return Ok(Vec::new()) };
    let EventBatch { records, bytes, .. } = batch;
    let count = records.len().min(GROUP);
    let shared = shared_buffer(call, records.iter().take(count), bytes)?;
    let mut used = 0;
    let mut values = Vec::with_capacity(GROUP);
    for record in records.drain(..count) {
        aftermath.note(&record);
        let Record { slot, generation, kind, extra, payload } = record;
        let length = payload.len().try_into().unwrap_or(i32::MAX);
        let mut offset = -1;
        values.push(match (payload, shared) {
            (Payload::None, _) => call.undefined()?,
            (Payload::Ascii(range), _) => call.ascii(&bytes[range])?,
            (Payload::Utf8(range), _) => call.utf8(&bytes[range])?,
            (Payload::OwnUtf8(text), _) => call.utf8(&text)?,
            (Payload::Bytes(range), Some(buffer)) => {
                offset = used;
                used += range.len() as i32;
                buffer
            }
            (Payload::Bytes(range), None) => call.buffer(bytes[range].to_vec())?,
            (Payload::OwnBytes(bytes), _) => call.buffer(bytes)?,
        });
        let (slot, generation) = (slot.cast_signed(), generation.cast_signed());
        let place = (values.len() - 1) * META;
        dispatch.write(place, &[slot, generation, kind as i32, extra, offset, length]);
    }
    Ok(values)
}

/// The small binary payloads of a group share one ArrayBuffer.
fn shared_buffer<'a>(
    call: &Call,
    records: impl Iterator<Item = &'a Record> + Clone,
    bytes: &[u8],
) -> Result<Option<Value>> {
    let pieces = records.filter_map(|record| match &record.payload {
        Payload::Bytes(range) => bytes.get(range.clone()),
        _ => None,
    });
    if pieces.clone().next().is_none() {
        return Ok(None);
    }
    call.array_buffer(pieces).map(Some)
}

/// What is to be done when JavaScript has seen a group.
#[derive(Default)]
struct Aftermath {
    credits: Vec<(SessionId, u64)>,
    closed: Vec<SessionId>,
}

impl Aftermath {
    fn note(&mut self, record: &Record) {
        let id = record.id();
        match record.kind {
            Kind::Text | Kind::Binary => {
                self.credits.push((id, MESSAGE_COST + record.payload.len() as u64));
            }
            Kind::Close => self.closed.push(id),
            _ => {}
        }
    }

    /// Counts what was delivered, lets paused sessions go on, and frees slots.
    fn settle(self, host: &mut Host) {
        let mut resumed = false;
        for (id, cost) in self.credits {
            if host.deliver(id, cost) {
                host.stage(id, Action::Resume);
                resumed = true;
            }
        }
        if resumed {
            // What this leaves in the inbox is seen by the delivery that is under way.
            host.flush();
        }
        for id in self.closed {
            host.slots.release(id);
        }
    }
}
