//! Raw Node-API behind safe types, for the calls that are made for every message: napi-derive
//! costs several times as much there. All `unsafe` of this ring.
//!
//! Handles live as long as the callback they came with, so [`Value`] borrows from its [`Call`].
//! Memory of JavaScript is only lent while no JavaScript runs: what is lent borrows the call, and
//! [`Dispatch::call`] needs it for itself.

use std::ffi::{CStr, CString, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::slice;

use napi::bindgen_prelude::{Env, Function, Object, ToNapiValue};
use napi::sys;

use super::guard::{Result, guard, internal};

/// Most arguments of an export.
const ARGUMENTS: usize = 4;
/// The longest ArrayBuffer that is asked for: V8 ends the process where one cannot be had.
const MAX_ARRAY_BUFFER: usize = 2 * 1024 * 1024 * 1024 - 1;
/// Most arguments of a dispatch.
pub const DISPATCHED: usize = 9;

/// A function for JavaScript.
pub trait Export {
    /// Its name.
    const NAME: &'static CStr;

    /// Runs it. An error becomes an exception.
    fn run(call: &mut Call) -> Result<Value>;
}

/// A running call from JavaScript.
pub struct Call {
    env: sys::napi_env,
    arguments: [sys::napi_value; ARGUMENTS],
}

/// A JavaScript value. It must not outlive the call it was made in.
#[derive(Clone, Copy)]
pub struct Value(sys::napi_value);

impl Value {
    /// What an export without a result returns.
    pub const UNDEFINED: Self = Self(ptr::null_mut());
}

fn ok(status: sys::napi_status) -> Result<()> {
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(internal(format!("Node-API status {status}")))
    }
}

/// Makes an object of exports.
pub fn object(env: &Env) -> Result<Object<'static>> {
    let mut object = ptr::null_mut();
    // SAFETY: `env` is alive during this call; the result is checked before it is used.
    unsafe {
        ok(sys::napi_create_object(env.raw(), &mut object))?;
        Ok(Object::from_raw(env.raw(), object))
    }
}

/// Adds an export to an object.
pub fn export<E: Export>(env: &Env, object: &Object<'_>) -> Result<()> {
    let (env, object) = (env.raw(), napi::JsValue::raw(object));
    let mut function = ptr::null_mut();
    // SAFETY: `env` and `object` are alive during this call, the name is static.
    unsafe {
        let (name, data) = (E::NAME.as_ptr(), ptr::null_mut());
        ok(sys::napi_create_function(env, name, -1, Some(trampoline::<E>), data, &mut function))?;
        ok(sys::napi_set_named_property(env, object, name, function))
    }
}

/// Enters an export from Node: what goes wrong in it becomes a JavaScript exception.
unsafe extern "C" fn trampoline<E: Export>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let result = guard(|| {
        let mut arguments = [ptr::null_mut(); ARGUMENTS];
        let mut count = ARGUMENTS;
        let (this, data) = (ptr::null_mut(), ptr::null_mut());
        let values = arguments.as_mut_ptr();
        // SAFETY: Node gives a live `env` and the `info` of this call; there is room for `count`
        // values, and missing ones become `undefined`.
        ok(unsafe { sys::napi_get_cb_info(env, info, &mut count, values, this, data) })?;
        E::run(&mut Call { env, arguments })
    });
    match result {
        Ok(value) => value.0,
        Err(error) => {
            let code = CString::new(error.status).unwrap_or_default();
            let reason = CString::new(error.reason.as_str()).unwrap_or_default();
            // SAFETY: both strings live until the call returns. If an exception is pending already
            // the call fails, which leaves that one.
            unsafe { sys::napi_throw_error(env, code.as_ptr(), reason.as_ptr()) };
            ptr::null_mut()
        }
    }
}

// Arguments.
impl Call {
    fn argument(&self, index: usize) -> sys::napi_value {
        self.arguments[index]
    }

    /// An argument as a whole number.
    pub fn number(&self, index: usize) -> Result<u32> {
        let mut number = 0;
        // SAFETY: the call is running, so its handles are alive; so in all that follows.
        ok(unsafe { sys::napi_get_value_uint32(self.env, self.argument(index), &mut number) })?;
        Ok(number)
    }

    /// Whether an argument is a string.
    pub fn is_string(&self, index: usize) -> Result<bool> {
        let mut kind = 0;
        // SAFETY: see `number`.
        ok(unsafe { sys::napi_typeof(self.env, self.argument(index), &mut kind) })?;
        Ok(kind == sys::ValueType::napi_string)
    }

    /// Appends a string's UTF-8 form (lone surrogates become U+FFFD), as much as `room` has space
    /// for besides a NUL, and returns how much that was.
    pub fn append_text(&self, index: usize, bytes: &mut Vec<u8>, room: usize) -> Result<usize> {
        bytes.reserve(room);
        let mut written = 0;
        let free = bytes.spare_capacity_mut().get_mut(..room).unwrap_or_default();
        // SAFETY: `free` is writable for its whole length, which is what the call is told; what
        // the call reports as written is initialised.
        unsafe {
            let (value, start) = (self.argument(index), free.as_mut_ptr().cast());
            ok(sys::napi_get_value_string_utf8(self.env, value, start, free.len(), &mut written))?;
            bytes.set_len(bytes.len() + written);
        }
        Ok(written)
    }

    /// A string's UTF-8 form.
    pub fn text(&self, index: usize) -> Result<Vec<u8>> {
        let mut length = 0;
        let (value, none) = (self.argument(index), ptr::null_mut());
        // SAFETY: without a buffer the call only counts.
        ok(unsafe { sys::napi_get_value_string_utf8(self.env, value, none, 0, &mut length) })?;
        let mut bytes = Vec::new();
        bytes.reserve_exact(length + 1);
        self.append_text(index, &mut bytes, length + 1)?;
        Ok(bytes)
    }

    /// The memory of a typed array, and its kind and number of elements.
    fn memory(&self, index: usize) -> Result<(*const c_void, i32, usize)> {
        let (mut kind, mut length, mut data) = (0, 0, ptr::null_mut());
        let (buffer, offset) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: results go to live locals; those not wanted are null.
        ok(unsafe {
            let value = self.argument(index);
            let (kind, length, data) = (&mut kind, &mut length, &mut data);
            sys::napi_get_typedarray_info(self.env, value, kind, length, data, buffer, offset)
        })?;
        Ok((data, kind, length))
    }

    /// The bytes of a Uint8Array; none when it is detached, or when it is no typed array.
    pub fn bytes(&self, index: usize) -> &[u8] {
        match self.memory(index) {
            Ok((data, sys::TypedarrayType::uint8_array, length)) if !data.is_null() => {
                // SAFETY: Node says that so many bytes are there; nothing moves or detaches them
                // while no JavaScript runs, and the slice borrows the call.
                unsafe { slice::from_raw_parts(data.cast(), length) }
            }
            _ => &[],
        }
    }

    /// The first `count` pairs of an Int32Array.
    pub fn pairs(&self, index: usize, count: usize) -> Result<&[[i32; 2]]> {
        let (data, kind, length) = self.memory(index)?;
        let fits = count.saturating_mul(2) <= length;
        if kind != sys::TypedarrayType::int32_array || !fits || (data.is_null() && count > 0) {
            return Err(internal("an Int32Array of pairs is needed"));
        }
        if count == 0 {
            return Ok(&[]);
        }
        // SAFETY: as in `bytes`; an Int32Array is aligned for i32, and so for pairs of them.
        Ok(unsafe { slice::from_raw_parts(data.cast(), count) })
    }
}

// Results.
impl Call {
    fn make(
        &self,
        make: impl FnOnce(sys::napi_env, *mut sys::napi_value) -> sys::napi_status,
    ) -> Result<Value> {
        let mut value = ptr::null_mut();
        ok(make(self.env, &mut value))?;
        Ok(Value(value))
    }

    /// `undefined`, as an argument.
    pub fn undefined(&self) -> Result<Value> {
        // SAFETY: the environment is alive and the result has a place; so in all that follows.
        self.make(|env, value| unsafe { sys::napi_get_undefined(env, value) })
    }

    /// A number.
    pub fn double(&self, number: f64) -> Result<Value> {
        // SAFETY: see `undefined`.
        self.make(|env, value| unsafe { sys::napi_create_double(env, number, value) })
    }

    /// A boolean.
    pub fn boolean(&self, is_true: bool) -> Result<Value> {
        // SAFETY: see `undefined`.
        self.make(|env, value| unsafe { sys::napi_get_boolean(env, is_true, value) })
    }

    /// A string from ASCII text.
    pub fn ascii(&self, text: &[u8]) -> Result<Value> {
        let (start, length) = (text.as_ptr().cast(), text.len().cast_signed());
        // SAFETY: see `undefined`; the text is given with its length and copied.
        self.make(|env, value| unsafe { sys::napi_create_string_latin1(env, start, length, value) })
    }

    /// A string from UTF-8 text.
    pub fn utf8(&self, text: &[u8]) -> Result<Value> {
        let (start, length) = (text.as_ptr().cast(), text.len().cast_signed());
        // SAFETY: see `ascii`.
        self.make(|env, value| unsafe { sys::napi_create_string_utf8(env, start, length, value) })
    }

    /// An ArrayBuffer with a copy of the given bytes. Memory that V8 does not own could not be
    /// transferred to a worker.
    pub fn array_buffer(&self, bytes: &[u8]) -> Result<Value> {
        if bytes.len() > MAX_ARRAY_BUFFER {
            return Err(internal("more bytes than an ArrayBuffer can hold"));
        }
        let mut data = ptr::null_mut();
        // SAFETY: see `undefined`.
        let value = self.make(|env, value| unsafe {
            sys::napi_create_arraybuffer(env, bytes.len(), &mut data, value)
        })?;
        if !bytes.is_empty() {
            // SAFETY: the new buffer is as long as the bytes, and nothing else refers to it yet.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast::<u8>(), bytes.len()) };
        }
        Ok(value)
    }
}

/// Sizes of the memory that a [`Dispatch`] writes to.
#[derive(Clone, Copy)]
pub struct Sizes {
    /// Integers.
    pub meta: usize,
    /// Bytes.
    pub small: usize,
}

/// A function of JavaScript that is called again and again, and the memory it reads beside its
/// arguments. Both live as long as the environment, and stay on its thread.
#[derive(Clone, Copy)]
pub struct Dispatch {
    function: sys::napi_ref,
    meta: *mut i32,
    small: *mut u8,
    sizes: Sizes,
    _not_send: PhantomData<*mut ()>,
}

impl Dispatch {
    /// Keeps `function`, and adds to `object` the Int32Array `meta` and the Uint8Array `small`.
    pub fn new(
        env: &Env,
        object: &Object<'_>,
        function: Function<'_, (), ()>,
        sizes: Sizes,
    ) -> Result<Self> {
        let raw = env.raw();
        let (meta, int32) = (c"meta", sys::TypedarrayType::int32_array);
        let meta = shared_array(env, object, meta, int32, sizes.meta, 4)?.cast();
        let (small, uint8) = (c"small", sys::TypedarrayType::uint8_array);
        let small = shared_array(env, object, small, uint8, sizes.small, 1)?.cast();
        let mut reference = ptr::null_mut();
        let failed = |error: napi::Error| internal(error.reason.clone());
        // SAFETY: `env` and `function` are alive during this call. The strong reference is never
        // given up, so that the function lives as long as the environment.
        unsafe {
            let function = Function::to_napi_value(raw, function).map_err(failed)?;
            ok(sys::napi_create_reference(raw, function, 1, &mut reference))?;
        }
        Ok(Self { function: reference, meta, small, sizes, _not_send: PhantomData })
    }

    /// Writes integers at a place.
    pub fn write(&self, at: usize, integers: &[i32]) {
        if at.saturating_add(integers.len()) > self.sizes.meta {
            return;
        }
        // SAFETY: the place is inside the memory, which lives as long as the environment and is
        // only used on this thread; no reference to it is ever handed out.
        unsafe {
            ptr::copy_nonoverlapping(integers.as_ptr(), self.meta.add(at), integers.len());
        }
    }

    /// Writes bytes at a place.
    pub fn write_small(&self, at: usize, bytes: &[u8]) {
        if at.saturating_add(bytes.len()) > self.sizes.small {
            return;
        }
        // SAFETY: as in `write`.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.small.add(at), bytes.len()) };
    }

    /// Calls the function. JavaScript runs in it.
    pub fn call(&self, call: &mut Call, count: u32, values: &[Value]) -> Result<()> {
        let env = call.env;
        let mut arguments = [ptr::null_mut(); DISPATCHED];
        for (argument, value) in arguments[1..].iter_mut().zip(values) {
            *argument = value.0;
        }
        let length = values.len().min(DISPATCHED - 1) + 1;
        let (mut function, mut global) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the running call keeps its handles alive, the reference is as old as the
        // environment; `length` handles are there.
        unsafe {
            ok(sys::napi_create_uint32(env, count, &mut arguments[0]))?;
            ok(sys::napi_get_reference_value(env, self.function, &mut function))?;
            ok(sys::napi_get_global(env, &mut global))?;
            let (start, result) = (arguments.as_ptr(), ptr::null_mut());
            ok(sys::napi_call_function(env, global, function, length, start, result))
        }
    }
}

/// Adds a typed array to an object and returns its memory, which lives as long as the environment.
fn shared_array(
    env: &Env,
    object: &Object<'_>,
    name: &CStr,
    kind: sys::napi_typedarray_type,
    length: usize,
    size: usize,
) -> Result<*mut c_void> {
    let (raw, object) = (env.raw(), napi::JsValue::raw(object));
    let (mut data, mut buffer, mut array) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    let mut keep = ptr::null_mut();
    // SAFETY: `env` and `object` are alive during this call, the name is static; results are
    // checked before they are used. The strong reference is never given up.
    unsafe {
        ok(sys::napi_create_arraybuffer(raw, length * size, &mut data, &mut buffer))?;
        ok(sys::napi_create_typedarray(raw, kind, length, buffer, 0, &mut array))?;
        ok(sys::napi_set_named_property(raw, object, name.as_ptr(), array))?;
        ok(sys::napi_create_reference(raw, array, 1, &mut keep))?;
    }
    Ok(data)
}
