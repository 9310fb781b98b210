//! The calls that are made for every message, on raw Node-API: a string is copied straight into
//! the staged batch, and events go to JavaScript eight at a call. All `unsafe` of this ring.

use std::ffi::{CString, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{Env, Function, Object, ToNapiValue};
use napi::sys;
use napi_derive::napi;

use super::guard::{Result, guard, internal};
use super::host::{Host, with};
use crate::protocol::outbox::Broadcast;
use crate::runtime::commands::{Action, Body, Command, SessionId};
use crate::runtime::driver::now;
use crate::runtime::inbox::{EventBatch, Kind, Payload, Record};
use crate::runtime::shard::MESSAGE_COST;

/// Events of one call.
const GROUP: usize = 8;
/// Integers that describe one event: slot, generation, kind, extra, offset, length.
const META: usize = 6;
/// Events of one turn of the loop; also bounded in time.
const TURN_EVENTS: usize = 64;
const TURN_TIME: Duration = Duration::from_micros(500);
/// Strings and buffers up to this size are staged in the batch, longer ones in their own memory.
const INLINE: usize = 4 * 1024;
/// The only flag of a write: tell when it has left.
const RECEIPT: u32 = 1;

/// What `deliver` needs of JavaScript.
struct Delivery {
    dispatch: sys::napi_ref,
    meta: *mut i32,
}

thread_local! {
    static DELIVERY: std::cell::Cell<Option<(sys::napi_ref, *mut i32)>> =
        const { std::cell::Cell::new(None) };
}

type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// The hot calls, as an object of functions, and `meta`, the Int32Array that describes the events
/// of one call of `dispatch(count, value, …)`.
#[napi(ts_args_type = "dispatch: (count: number, ...values: unknown[]) => void")]
#[allow(clippy::needless_pass_by_value)]
pub fn hot(env: Env, dispatch: Function<(), ()>) -> Result<Object<'static>> {
    guard(|| {
        let functions: [(&str, Callback); 6] = [
            ("text", text),
            ("binary", binary),
            ("broadcast", broadcast),
            ("deliver", deliver),
            ("flush", flush),
            ("unsent", unsent),
        ];
        let raw = env.raw();
        // SAFETY: `env` is this thread's and alive during the call; every pointer given is to a
        // live local, and every result is checked before it is used.
        unsafe {
            let mut object = ptr::null_mut();
            ok(sys::napi_create_object(raw, &mut object))?;
            for (name, callback) in functions {
                set_function(raw, object, name, callback)?;
            }
            let (mut buffer, mut data, mut array) =
                (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
            let ints = GROUP * META;
            ok(sys::napi_create_arraybuffer(raw, ints * 4, &mut data, &mut buffer))?;
            let kind = sys::TypedarrayType::int32_array;
            ok(sys::napi_create_typedarray(raw, kind, ints, buffer, 0, &mut array))?;
            ok(sys::napi_set_named_property(raw, object, c"meta".as_ptr(), array))?;
            let mut reference = ptr::null_mut();
            let function = Function::to_napi_value(raw, dispatch)
                .map_err(|error| internal(error.reason.clone()))?;
            ok(sys::napi_create_reference(raw, function, 1, &mut reference))?;
            // A second reference keeps the memory behind `meta` for as long as the environment.
            let mut keep = ptr::null_mut();
            ok(sys::napi_create_reference(raw, array, 1, &mut keep))?;
            DELIVERY.set(Some((reference, data.cast())));
            Ok(Object::from_raw(raw, object))
        }
    })
}

fn ok(status: sys::napi_status) -> Result<()> {
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(internal(format!("Node-API status {status}")))
    }
}

/// Adds a function to an object.
///
/// # Safety
/// `env` and `object` must be alive, on their thread.
unsafe fn set_function(
    env: sys::napi_env,
    object: sys::napi_value,
    name: &str,
    callback: Callback,
) -> Result<()> {
    let name = CString::new(name).map_err(|error| internal(error.to_string()))?;
    let mut function = ptr::null_mut();
    // SAFETY: as the caller promises; the name lives until the end of this function.
    unsafe {
        let data = ptr::null_mut();
        ok(sys::napi_create_function(env, name.as_ptr(), -1, Some(callback), data, &mut function))?;
        ok(sys::napi_set_named_property(env, object, name.as_ptr(), function))
    }
}

/// Runs a raw callback: what goes wrong in it becomes a JavaScript exception.
///
/// # Safety
/// `env` must be alive, on its thread.
unsafe fn run(
    env: sys::napi_env,
    body: impl FnOnce() -> Result<sys::napi_value>,
) -> sys::napi_value {
    match guard(body) {
        Ok(value) => value,
        Err(error) => {
            let code = CString::new(error.status).unwrap_or_default();
            let reason = CString::new(error.reason.as_str()).unwrap_or_default();
            // SAFETY: both strings live until the call returns; an exception that is pending
            // already makes the call fail, which leaves that one.
            unsafe { sys::napi_throw_error(env, code.as_ptr(), reason.as_ptr()) };
            ptr::null_mut()
        }
    }
}

/// The first `N` arguments of a call.
///
/// # Safety
/// `env` and `info` must be those of the running callback.
unsafe fn arguments<const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> Result<[sys::napi_value; N]> {
    let mut values = [ptr::null_mut(); N];
    let mut count = N;
    let (this, data) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: `values` has room for `count` values; missing ones become `undefined`.
    ok(unsafe { sys::napi_get_cb_info(env, info, &mut count, values.as_mut_ptr(), this, data) })?;
    Ok(values)
}

/// # Safety
/// `env` must be alive and `value` one of its handles.
unsafe fn number(env: sys::napi_env, value: sys::napi_value) -> Result<u32> {
    let mut number = 0;
    // SAFETY: as the caller promises.
    ok(unsafe { sys::napi_get_value_uint32(env, value, &mut number) })?;
    Ok(number)
}

/// Appends a string's UTF-8 form (lone surrogates become U+FFFD) and returns how much that was.
///
/// # Safety
/// `env` must be alive and `value` one of its handles.
unsafe fn append_text(
    env: sys::napi_env,
    value: sys::napi_value,
    bytes: &mut Vec<u8>,
    room: usize,
) -> Result<usize> {
    bytes.reserve(room);
    let mut written = 0;
    let free = bytes.spare_capacity_mut();
    // SAFETY: `free` is writable for its whole length, which is what the call is told; it writes
    // one byte less than that and a NUL. What it reports as written is initialised.
    unsafe {
        let (start, length) = (free.as_mut_ptr().cast(), free.len());
        ok(sys::napi_get_value_string_utf8(env, value, start, length, &mut written))?;
        bytes.set_len(bytes.len() + written);
    }
    Ok(written)
}

/// Bytes of a string's UTF-8 form.
///
/// # Safety
/// `env` must be alive and `value` one of its handles.
unsafe fn text_length(env: sys::napi_env, value: sys::napi_value) -> Result<usize> {
    let mut length = 0;
    // SAFETY: without a buffer the call only counts.
    ok(unsafe { sys::napi_get_value_string_utf8(env, value, ptr::null_mut(), 0, &mut length) })?;
    Ok(length)
}

/// The memory of a Uint8Array; empty when it is detached.
///
/// # Safety
/// `env` must be alive and `value` one of its handles; the slice must not outlive the callback,
/// and no JavaScript may run while it is used.
unsafe fn view<'a>(env: sys::napi_env, value: sys::napi_value) -> Result<&'a [u8]> {
    let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
    let (buffer, offset) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: results go to live locals; those not wanted are null.
    unsafe {
        ok(sys::napi_get_typedarray_info(
            env,
            value,
            &mut kind,
            &mut length,
            &mut data,
            buffer,
            offset,
        ))?;
        if data.is_null() || length == 0 {
            return Ok(&[]);
        }
        if kind != sys::TypedarrayType::uint8_array {
            return Err(internal("a Uint8Array is needed"));
        }
        Ok(slice::from_raw_parts(data.cast(), length))
    }
}

/// Whether a value is a string.
///
/// # Safety
/// `env` must be alive and `value` one of its handles.
unsafe fn is_string(env: sys::napi_env, value: sys::napi_value) -> Result<bool> {
    let mut kind = 0;
    // SAFETY: as the caller promises.
    ok(unsafe { sys::napi_typeof(env, value, &mut kind) })?;
    Ok(kind == sys::ValueType::napi_string)
}

/// A string in its own memory.
///
/// # Safety
/// `env` must be alive and `value` one of its handles.
unsafe fn own_text(env: sys::napi_env, value: sys::napi_value) -> Result<Vec<u8>> {
    // SAFETY: as the caller promises.
    unsafe {
        let room = text_length(env, value)?.saturating_add(1);
        let mut bytes = Vec::with_capacity(room);
        append_text(env, value, &mut bytes, room)?;
        Ok(bytes)
    }
}

/// Takes a string into the batch, or, when it is long, apart.
///
/// # Safety
/// `env` must be alive and `value` one of its handles.
unsafe fn text_body(
    env: sys::napi_env,
    value: sys::napi_value,
    bytes: &mut Vec<u8>,
) -> Result<Body> {
    let start = bytes.len();
    // SAFETY: as the caller promises.
    let written = unsafe { append_text(env, value, bytes, INLINE)? };
    // Room that is almost full may have cut the string: a character has at most four bytes.
    if written + 4 < INLINE {
        return Ok(Body::Text(start..start + written));
    }
    bytes.truncate(start);
    // SAFETY: as the caller promises.
    Ok(Body::OwnText(unsafe { own_text(env, value)? }))
}

/// `text(slot, generation, string, flags)`: stages a text message.
unsafe extern "C" fn text(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node with a live environment; handles are those of this call.
    unsafe {
        run(env, || {
            let [slot, generation, value, flags] = arguments(env, info)?;
            let id = SessionId { slot: number(env, slot)?, generation: number(env, generation)? };
            let receipt = number(env, flags)? & RECEIPT != 0;
            with(|host| {
                let batch = host.batch(id.slot);
                let body = text_body(env, value, &mut batch.bytes)?;
                batch.commands.push(Command::Session(id, Action::Send { body, receipt }));
                Ok(ptr::null_mut())
            })?
        })
    }
}

/// `binary(slot, generation, uint8Array, flags)`: stages a binary message; the bytes are copied.
unsafe extern "C" fn binary(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node with a live environment; the view is copied before we return.
    unsafe {
        run(env, || {
            let [slot, generation, value, flags] = arguments(env, info)?;
            let id = SessionId { slot: number(env, slot)?, generation: number(env, generation)? };
            let receipt = number(env, flags)? & RECEIPT != 0;
            let bytes = view(env, value)?;
            with(|host| {
                let batch = host.batch(id.slot);
                let body = if bytes.len() <= INLINE {
                    let start = batch.bytes.len();
                    batch.bytes.extend_from_slice(bytes);
                    Body::Binary(start..batch.bytes.len())
                } else {
                    Body::OwnBinary(bytes.to_vec())
                };
                batch.commands.push(Command::Session(id, Action::Send { body, receipt }));
            })?;
            Ok(ptr::null_mut())
        })
    }
}

/// `broadcast(pairs, count, data, frame)`: stages one message for many sessions. `pairs` is an
/// Int32Array of slot and generation, `data` a string or Uint8Array, `frame` its WebSocket form
/// if the app made it.
unsafe extern "C" fn broadcast(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: called by Node with a live environment; views are copied before we return.
    unsafe {
        run(env, || {
            let [pairs, count, data, frame] = arguments(env, info)?;
            let count = number(env, count)? as usize;
            let shared = Arc::new(if is_string(env, data)? {
                let body = own_text(env, data)?;
                match view(env, frame) {
                    Ok(frame) if !frame.is_empty() => Broadcast::with_frame(body, frame.to_vec()),
                    _ => Broadcast::text(body),
                }
            } else {
                Broadcast::binary(view(env, data)?.to_vec())
            });
            let pairs = receivers(env, pairs, count)?;
            with(|host| {
                for &[slot, generation] in pairs {
                    let id = SessionId {
                        slot: slot.cast_unsigned(),
                        generation: generation.cast_unsigned(),
                    };
                    host.stage(id, Action::SendShared(Arc::clone(&shared)));
                }
            })?;
            Ok(ptr::null_mut())
        })
    }
}

/// The first `count` pairs of an Int32Array.
///
/// # Safety
/// As for [`view`].
unsafe fn receivers<'a>(
    env: sys::napi_env,
    value: sys::napi_value,
    count: usize,
) -> Result<&'a [[i32; 2]]> {
    let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
    let (buffer, offset) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: as for `view`; an Int32Array is aligned for i32, and `count` is checked.
    unsafe {
        ok(sys::napi_get_typedarray_info(
            env,
            value,
            &mut kind,
            &mut length,
            &mut data,
            buffer,
            offset,
        ))?;
        if kind != sys::TypedarrayType::int32_array || count.saturating_mul(2) > length {
            return Err(internal("an Int32Array of pairs is needed"));
        }
        if data.is_null() || count == 0 {
            return Ok(&[]);
        }
        Ok(slice::from_raw_parts(data.cast(), count))
    }
}

/// `flush()`: has the staged commands carried out. Returns whether that has left something to
/// deliver that no wake-up will tell of.
unsafe extern "C" fn flush(env: sys::napi_env, _info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node with a live environment.
    unsafe {
        run(env, || {
            let has_events = with(|host| {
                host.flush();
                host.pool.shared().inbox.claim()
            })?;
            let mut value = ptr::null_mut();
            ok(sys::napi_get_boolean(env, has_events, &mut value))?;
            Ok(value)
        })
    }
}

/// `unsent(slot, generation)`: bytes queued for a session's peer.
unsafe extern "C" fn unsent(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node with a live environment; handles are those of this call.
    unsafe {
        run(env, || {
            let [slot, generation] = arguments(env, info)?;
            let id = SessionId { slot: number(env, slot)?, generation: number(env, generation)? };
            let bytes = with(|host| host.slots.gauge(id).map_or(0, |(gauge, _)| gauge.unsent()))?;
            let mut value = ptr::null_mut();
            ok(sys::napi_create_double(env, bytes as f64, &mut value))?;
            Ok(value)
        })
    }
}

/// What is to be done when JavaScript has seen a group.
#[derive(Default)]
struct Aftermath {
    credits: Vec<(SessionId, u64)>,
    closed: Vec<SessionId>,
}

/// `deliver()`: gives a turn's worth of events to `dispatch`. Returns whether there is more; if
/// not, the next wake-up comes from the I/O threads.
unsafe extern "C" fn deliver(
    env: sys::napi_env,
    _info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: called by Node with a live environment; the reference and the memory behind `meta`
    // live as long as it does (see `hot`), and both are of this thread.
    unsafe {
        run(env, || {
            let Some((reference, meta)) = DELIVERY.get() else {
                return Err(internal("deliver before hot"));
            };
            let delivery = Delivery { dispatch: reference, meta };
            let start = now();
            let mut delivered = 0;
            let mut more = true;
            while delivered < TURN_EVENTS && start.elapsed() < TURN_TIME {
                let count = delivery.group(env)?;
                if count == 0 {
                    more = with(|host| !host.pool.shared().inbox.arm())?;
                    if !more {
                        break;
                    }
                }
                delivered += count;
            }
            let mut value = ptr::null_mut();
            ok(sys::napi_get_boolean(env, more, &mut value))?;
            Ok(value)
        })
    }
}

impl Delivery {
    /// Delivers up to a group of events and returns how many.
    ///
    /// # Safety
    /// `env` must be alive, on its thread, and this delivery its own.
    unsafe fn group(&self, env: sys::napi_env) -> Result<usize> {
        let mut values = [ptr::null_mut(); GROUP + 1];
        let mut aftermath = Aftermath::default();
        // SAFETY: as the caller promises; `values` are handles of the running callback's scope.
        unsafe {
            let count = with(|host| self.take(env, host, &mut values[1..], &mut aftermath))??;
            if count == 0 {
                return Ok(0);
            }
            ok(sys::napi_create_uint32(env, count as u32, &mut values[0]))?;
            let (mut dispatch, mut global) = (ptr::null_mut(), ptr::null_mut());
            ok(sys::napi_get_reference_value(env, self.dispatch, &mut dispatch))?;
            ok(sys::napi_get_global(env, &mut global))?;
            let (length, start) = (count + 1, values.as_ptr());
            let result = ptr::null_mut();
            let status = sys::napi_call_function(env, global, dispatch, length, start, result);
            with(|host| aftermath.settle(host))?;
            ok(status)?;
            Ok(count)
        }
    }

    /// Takes events out of the inbox and makes their values.
    ///
    /// # Safety
    /// As for [`Self::group`].
    unsafe fn take(
        &self,
        env: sys::napi_env,
        host: &mut Host,
        values: &mut [sys::napi_value],
        aftermath: &mut Aftermath,
    ) -> Result<usize> {
        if host.current.records.is_empty() {
            match host.pool.shared().inbox.take() {
                Some(batch) => host.current = batch,
                None => return Ok(0),
            }
        }
        let EventBatch { records, bytes } = &mut host.current;
        let count = records.len().min(GROUP);
        let mut group = Group { buffer: ptr::null_mut(), memory: ptr::null_mut(), used: 0 };
        // SAFETY: as the caller promises; `meta` has room for GROUP records of META integers.
        unsafe {
            let total = records.iter().take(count).map(inline_bytes).sum();
            if total > 0 {
                let (data, buffer) = (&mut group.memory, &mut group.buffer);
                ok(sys::napi_create_arraybuffer(env, total, data, buffer))?;
            }
            let meta = slice::from_raw_parts_mut(self.meta, GROUP * META);
            for (index, record) in records.drain(..count).enumerate() {
                aftermath.note(&record);
                let Record { slot, generation, kind, extra, payload } = record;
                let (value, offset, length) = group.value(env, payload, bytes)?;
                values[index] = value;
                meta[index * META..(index + 1) * META].copy_from_slice(&[
                    slot.cast_signed(),
                    generation.cast_signed(),
                    kind as i32,
                    extra,
                    offset,
                    length,
                ]);
            }
        }
        Ok(count)
    }
}

/// Bytes that a record's value takes of its group's buffer.
fn inline_bytes(record: &Record) -> usize {
    match &record.payload {
        Payload::Bytes(range) => range.len(),
        _ => 0,
    }
}

/// Small binary payloads of a group share one ArrayBuffer.
struct Group {
    buffer: sys::napi_value,
    memory: *mut c_void,
    used: usize,
}

impl Group {
    /// Makes a record's value, with its offset in the group's buffer (or -1) and its length.
    ///
    /// # Safety
    /// `env` must be alive; the group's memory must hold all inline bytes of the group.
    unsafe fn value(
        &mut self,
        env: sys::napi_env,
        payload: Payload,
        bytes: &[u8],
    ) -> Result<(sys::napi_value, i32, i32)> {
        let mut value = ptr::null_mut();
        let size = |bytes: &[u8]| i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        // SAFETY: as the caller promises; strings are given with their length.
        unsafe {
            match payload {
                Payload::None => {
                    ok(sys::napi_get_undefined(env, &mut value))?;
                    Ok((value, -1, 0))
                }
                Payload::Ascii(range) => {
                    let text = &bytes[range];
                    let (start, length) = (text.as_ptr().cast(), text.len() as isize);
                    ok(sys::napi_create_string_latin1(env, start, length, &mut value))?;
                    Ok((value, -1, size(text)))
                }
                Payload::Utf8(range) => {
                    let text = &bytes[range];
                    Ok((utf8(env, text)?, -1, size(text)))
                }
                Payload::OwnUtf8(text) => Ok((utf8(env, &text)?, -1, size(&text))),
                Payload::OwnBytes(bytes) => {
                    let length = size(&bytes);
                    Ok((own_buffer(env, bytes)?, -1, length))
                }
                Payload::Bytes(range) => {
                    let bytes = &bytes[range];
                    let offset = self.used;
                    if !bytes.is_empty() {
                        let target = self.memory.cast::<u8>().add(offset);
                        ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
                        self.used += bytes.len();
                        return Ok((self.buffer, offset as i32, size(bytes)));
                    }
                    let mut data = ptr::null_mut();
                    ok(sys::napi_create_arraybuffer(env, 0, &mut data, &mut value))?;
                    Ok((value, 0, 0))
                }
            }
        }
    }
}

/// # Safety
/// `env` must be alive.
unsafe fn utf8(env: sys::napi_env, text: &[u8]) -> Result<sys::napi_value> {
    let mut value = ptr::null_mut();
    let (start, length) = (text.as_ptr().cast(), text.len() as isize);
    // SAFETY: the string is given with its length and copied.
    ok(unsafe { sys::napi_create_string_utf8(env, start, length, &mut value) })?;
    Ok(value)
}

/// A Buffer that owns the given memory; where a runtime does not allow that, a copy.
///
/// # Safety
/// `env` must be alive.
unsafe fn own_buffer(env: sys::napi_env, bytes: Vec<u8>) -> Result<sys::napi_value> {
    let mut value = ptr::null_mut();
    let mut owner = Box::new(bytes);
    let (data, length) = (owner.as_mut_ptr().cast(), owner.len());
    let hint = Box::into_raw(owner).cast();
    // SAFETY: the memory belongs to the box in `hint`, which is freed once: by the finalizer, or
    // here when the buffer was not made.
    unsafe {
        let finalize = Some(free_bytes as unsafe extern "C" fn(_, _, _));
        let status =
            sys::napi_create_external_buffer(env, length, data, finalize, hint, &mut value);
        if status == sys::Status::napi_ok {
            return Ok(value);
        }
        let owner = Box::from_raw(hint.cast::<Vec<u8>>());
        let result = ptr::null_mut();
        let start = owner.as_ptr().cast();
        ok(sys::napi_create_buffer_copy(env, owner.len(), start, result, &mut value))?;
        Ok(value)
    }
}

unsafe extern "C" fn free_bytes(_env: sys::napi_env, _data: *mut c_void, hint: *mut c_void) {
    // SAFETY: `hint` is the box made in `own_buffer`; Node calls a finalizer once.
    drop(unsafe { Box::from_raw(hint.cast::<Vec<u8>>()) });
}

impl Aftermath {
    fn note(&mut self, record: &Record) {
        let id = SessionId { slot: record.slot, generation: record.generation };
        match record.kind {
            Kind::Text | Kind::Binary => {
                let length = match &record.payload {
                    Payload::None => 0,
                    Payload::Ascii(range) | Payload::Utf8(range) | Payload::Bytes(range) => {
                        range.len()
                    }
                    Payload::OwnUtf8(bytes) | Payload::OwnBytes(bytes) => bytes.len(),
                };
                self.credits.push((id, MESSAGE_COST + length as u64));
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
