//! Safe types over raw Node-API, for the calls made for every message, where napi-derive costs
//! several times as much. `hot_calls.rs` builds the exports on them. Two types are for arguments of
//! the other exports: [`CopiedBytes`] and [`NodeDescriptor`]. This file holds all the `unsafe` code
//! of the ring.
//!
//! - A JavaScript value lives as long as the callback that it was made in. [`Value`] and [`Call`]
//!   carry that callback's lifetime, and an [`Export`] is generic over it, so no value can be kept.
//! - Memory of JavaScript stays in place while no JavaScript runs. A value that points into it borrows
//!   the call, and [`Dispatch::call`], which runs JavaScript, needs the call exclusively.
//! - A `SharedArrayBuffer` can change at any time, so its bytes are copied through raw pointers and
//!   never referenced.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_void};
use std::io;
use std::marker::PhantomData;
use std::net::TcpStream;
use std::ptr::{self, NonNull};
use std::slice;

use napi::bindgen_prelude::{Env, FromNapiValue, Function, Object, ToNapiValue};
use napi::sys;

use super::guard::{Result, guard, internal};
#[cfg(poller)]
use crate::runtime::descriptor;

/// The most arguments that an export reads.
const MAX_ARGUMENTS: usize = 5;
/// The longest `ArrayBuffer` to create: V8 ends the process when it cannot allocate one.
const MAX_ARRAY_BUFFER: usize = 2 * 1024 * 1024 * 1024 - 1;
/// The most values that one [`Dispatch::call`] passes to JavaScript.
pub const MAX_VALUES: usize = 8;

/// A function that JavaScript can call.
pub trait Export {
    /// Its name in JavaScript.
    const NAME: &'static CStr;

    /// Runs the function. `None` returns `undefined`; an error is thrown as an exception.
    fn run<'scope>(call: &mut Call<'scope>) -> Result<Option<Value<'scope>>>;
}

/// A call from JavaScript while it runs. Node closes its handle scope, `'scope`, when it returns.
pub struct Call<'scope> {
    env: sys::napi_env,
    arguments: [sys::napi_value; MAX_ARGUMENTS],
    scope: PhantomData<&'scope ()>,
}

/// A JavaScript value, valid within the call that it was made in.
#[derive(Clone, Copy)]
pub struct Value<'scope>(sys::napi_value, PhantomData<&'scope ()>);

/// Turns a Node-API status into a result.
fn check(status: sys::napi_status) -> Result<()> {
    if status == sys::Status::napi_ok {
        Ok(())
    } else {
        Err(internal(format!("Node-API status {status}")))
    }
}

/// Adds an export to an object.
pub fn export<E: Export>(env: &Env, object: &Object<'_>) -> Result<()> {
    let (env, object) = (env.raw(), napi::JsValue::raw(object));
    let mut function = ptr::null_mut();
    let (name, data) = (E::NAME.as_ptr(), ptr::null_mut());
    // SAFETY: `env` and `object` are alive during this call, and the name is static.
    unsafe {
        check(sys::napi_create_function(
            env,
            name,
            -1,
            Some(trampoline::<E>),
            data,
            &raw mut function,
        ))?;
        check(sys::napi_set_named_property(env, object, name, function))
    }
}

/// The entry point of an export: turns errors and panics into JavaScript exceptions.
///
/// # Safety
///
/// Node calls this with a live `env` and the `info` of the running call.
unsafe extern "C" fn trampoline<E: Export>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let result = guard(|| {
        let mut arguments = [ptr::null_mut(); MAX_ARGUMENTS];
        let mut count = MAX_ARGUMENTS;
        let (this, data) = (ptr::null_mut(), ptr::null_mut());
        let values = arguments.as_mut_ptr();
        // SAFETY: `env` and `info` belong to the running call, and `values` has room for `count`
        // handles. Node sets those of missing arguments to `undefined`.
        check(unsafe { sys::napi_get_cb_info(env, info, &raw mut count, values, this, data) })?;
        let value = E::run(&mut Call { env, arguments, scope: PhantomData })?;
        Ok(value.map_or(ptr::null_mut(), |value| value.0))
    });
    result.unwrap_or_else(|error| {
        let code = CString::new(error.status).unwrap_or_default();
        let reason = CString::new(error.reason.as_str()).unwrap_or_default();
        // SAFETY: both strings outlive this call. When an exception is pending already, the call
        // fails and leaves that exception in place.
        unsafe { sys::napi_throw_error(env, code.as_ptr(), reason.as_ptr()) };
        ptr::null_mut()
    })
}

/// The bytes of a `Uint8Array`. They may be in a `SharedArrayBuffer`, where another thread can write
/// at any time, so they can only be copied. A copy made during a write may mix old and new
/// bytes.
#[derive(Clone, Copy)]
pub struct Bytes<'call> {
    start: NonNull<u8>,
    length: usize,
    call: PhantomData<&'call ()>,
}

impl Bytes<'_> {
    const EMPTY: Self = Self { start: NonNull::dangling(), length: 0, call: PhantomData };

    /// How many bytes there are.
    pub fn len(self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.length == 0
    }

    /// Appends a copy to a vector.
    pub fn append_to(self, bytes: &mut Vec<u8>) {
        bytes.reserve(self.length);
        // SAFETY: no JavaScript runs while `self` borrows its call, so Node neither moves nor frees
        // the source. The destination is memory of the vector that was just reserved, and it is
        // initialised before the vector's length covers it.
        unsafe {
            let end = bytes.as_mut_ptr().add(bytes.len());
            ptr::copy_nonoverlapping(self.start.as_ptr(), end, self.length);
            bytes.set_len(bytes.len() + self.length);
        }
    }

    /// A copy.
    pub fn to_vec(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.reserve_exact(self.length);
        self.append_to(&mut bytes);
        bytes
    }
}

/// Where a typed array has its elements.
struct TypedArray<'call> {
    kind: sys::napi_typedarray_type,
    /// Elements, not bytes.
    length: usize,
    data: *mut c_void,
    /// Its `ArrayBuffer` or `SharedArrayBuffer`.
    buffer: sys::napi_value,
    call: PhantomData<&'call ()>,
}

impl<'call> TypedArray<'call> {
    /// Looks at a value, or fails if it is not a typed array.
    ///
    /// # Safety
    ///
    /// `env` and `value` must belong to a running call that lasts for `'call`.
    unsafe fn of(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        let (mut kind, mut length, mut data, mut buffer) = (0, 0, ptr::null_mut(), ptr::null_mut());
        let offset = ptr::null_mut();
        // SAFETY: the caller vouches for `env` and `value`; results go to live variables.
        check(unsafe {
            let (kind, length) = (&raw mut kind, &raw mut length);
            let (data, buffer) = (&raw mut data, &raw mut buffer);
            sys::napi_get_typedarray_info(env, value, kind, length, data, buffer, offset)
        })?;
        Ok(Self { kind, length, data, buffer, call: PhantomData })
    }

    /// The bytes of a `Uint8Array`, or `None` for other kinds. A detached array has none.
    fn bytes(&self) -> Option<Bytes<'call>> {
        if self.kind != sys::TypedarrayType::uint8_array {
            return None;
        }
        let start = NonNull::new(self.data.cast());
        Some(start.map_or(Bytes::EMPTY, |start| Bytes {
            start,
            length: self.length,
            call: PhantomData,
        }))
    }
}

/// A copy of a `Uint8Array`, as an argument of a napi-derive export. A `&[u8]` there could refer to
/// memory that another thread writes to.
pub struct CopiedBytes(pub Vec<u8>);

impl FromNapiValue for CopiedBytes {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        // SAFETY: this function's caller vouches for `env` and `value`.
        let bytes = unsafe { TypedArray::of(env, value) }.ok().and_then(|array| array.bytes());
        let copied = bytes.map(|bytes| Self(bytes.to_vec()));
        copied.ok_or_else(|| napi::Error::new(napi::Status::InvalidArg, "expected a Uint8Array"))
    }
}

/// The descriptor of a connection, as an argument of a napi-derive export. JavaScript reads it from
/// a handle of Node (`lib/transports/websocket-upgrade.js`) in the same tick, and passes -1 if there
/// is none. Only Node-API can make one, so that no other integer is taken for a descriptor.
pub struct NodeDescriptor(#[cfg_attr(not(poller), allow(dead_code))] i32);

impl FromNapiValue for NodeDescriptor {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> napi::Result<Self> {
        // SAFETY: this function's caller vouches for `env` and `value`.
        unsafe { i32::from_napi_value(env, value) }.map(Self)
    }
}

impl NodeDescriptor {
    /// Duplicates the connection, if there is a descriptor.
    #[cfg(poller)]
    pub fn duplicate(self) -> io::Result<TcpStream> {
        if self.0 < 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: it is not -1. Node keeps it open during this call: only the JavaScript thread
        // closes handles, and that thread is in this call.
        descriptor::duplicate(unsafe { std::os::fd::BorrowedFd::borrow_raw(self.0) })
    }

    /// Without a poller there is nothing to wait for a socket with; the session is fed through the
    /// JavaScript stream.
    #[cfg(not(poller))]
    #[allow(clippy::unused_self, reason = "the same signature as with a poller")]
    pub fn duplicate(self) -> io::Result<TcpStream> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

// Arguments.
impl Call<'_> {
    fn argument(&self, index: usize) -> sys::napi_value {
        self.arguments[index]
    }

    /// An argument as an unsigned integer.
    pub fn number(&self, index: usize) -> Result<u32> {
        let mut number = 0;
        // SAFETY: `self` proves that the call is running, so `env` and its arguments are alive.
        check(unsafe {
            sys::napi_get_value_uint32(self.env, self.argument(index), &raw mut number)
        })?;
        Ok(number)
    }

    /// Whether an argument is a string.
    pub fn is_string(&self, index: usize) -> Result<bool> {
        let mut kind = 0;
        // SAFETY: see `number`.
        check(unsafe { sys::napi_typeof(self.env, self.argument(index), &raw mut kind) })?;
        Ok(kind == sys::ValueType::napi_string)
    }

    /// Appends as much of a string's UTF-8 form as fits into `room` bytes together with the NUL that
    /// Node adds, and returns how many bytes that was. Lone surrogates become U+FFFD.
    pub fn append_text(&self, index: usize, bytes: &mut Vec<u8>, room: usize) -> Result<usize> {
        bytes.reserve(room);
        let mut written = 0;
        let free = bytes.spare_capacity_mut().get_mut(..room).unwrap_or_default();
        // SAFETY: see `number`. Node writes at most `free.len()` bytes, and the vector's length
        // grows by those that it reports as written.
        unsafe {
            let (value, start) = (self.argument(index), free.as_mut_ptr().cast());
            let length = free.len();
            let written_to = &raw mut written;
            check(sys::napi_get_value_string_utf8(self.env, value, start, length, written_to))?;
            bytes.set_len(bytes.len() + written);
        }
        Ok(written)
    }

    /// A string's UTF-8 form.
    pub fn text(&self, index: usize) -> Result<Vec<u8>> {
        let mut length = 0;
        let (value, none) = (self.argument(index), ptr::null_mut());
        // SAFETY: see `number`. Without a buffer, Node only counts the bytes.
        check(unsafe {
            sys::napi_get_value_string_utf8(self.env, value, none, 0, &raw mut length)
        })?;
        let mut bytes = Vec::new();
        bytes.reserve_exact(length + 1);
        self.append_text(index, &mut bytes, length + 1)?;
        Ok(bytes)
    }

    fn typed_array(&self, index: usize) -> Result<TypedArray<'_>> {
        // SAFETY: see `number`.
        unsafe { TypedArray::of(self.env, self.argument(index)) }
    }

    /// The bytes of a `Uint8Array`; none if it is detached or if the argument is something else.
    pub fn bytes(&self, index: usize) -> Bytes<'_> {
        let array = self.typed_array(index);
        array.ok().and_then(|array| array.bytes()).unwrap_or(Bytes::EMPTY)
    }

    /// As [`Self::bytes`], without a copy unless the memory is shared. The check costs one more call
    /// of Node, so this is for large values that would otherwise be copied twice.
    pub fn borrow_bytes(&self, index: usize) -> Cow<'_, [u8]> {
        let Ok(array) = self.typed_array(index) else { return Cow::default() };
        let Some(bytes) = array.bytes() else { return Cow::default() };
        let mut is_unshared = false;
        // SAFETY: see `number`; `buffer` is a handle of the running call.
        let status =
            unsafe { sys::napi_is_arraybuffer(self.env, array.buffer, &raw mut is_unshared) };
        if check(status).is_err() || !is_unshared {
            return Cow::Owned(bytes.to_vec());
        }
        // SAFETY: only this thread can reach an ArrayBuffer, and no JavaScript runs on it while the
        // slice borrows the call.
        Cow::Borrowed(unsafe { slice::from_raw_parts(bytes.start.as_ptr(), bytes.length) })
    }

    /// The first `count` pairs of integers in an `Int32Array`.
    pub fn pairs(&self, index: usize, count: usize) -> Result<impl Iterator<Item = [u32; 2]>> {
        let TypedArray { kind, length, data, .. } = self.typed_array(index)?;
        let fits = count.saturating_mul(2) <= length;
        if kind != sys::TypedarrayType::int32_array || !fits || (data.is_null() && count > 0) {
            return Err(internal("expected an Int32Array with as many pairs as announced"));
        }
        let pairs = data.cast::<[u32; 2]>();
        // SAFETY: the array has at least `count` pairs, an Int32Array is aligned for integers of its
        // size, and nothing moves it while the iterator borrows the call.
        Ok((0..count).map(move |at| unsafe { pairs.add(at).read() }))
    }
}

// Results.
impl<'scope> Call<'scope> {
    fn make(
        &self,
        make: impl FnOnce(sys::napi_env, *mut sys::napi_value) -> sys::napi_status,
    ) -> Result<Value<'scope>> {
        let mut value = ptr::null_mut();
        check(make(self.env, &raw mut value))?;
        Ok(Value(value, PhantomData))
    }

    /// `undefined`, as an argument for JavaScript.
    pub fn undefined(&self) -> Result<Value<'scope>> {
        // SAFETY: `self` proves that `env` is alive, and `make` provides a place for the result.
        self.make(|env, value| unsafe { sys::napi_get_undefined(env, value) })
    }

    /// A number.
    pub fn double(&self, number: f64) -> Result<Value<'scope>> {
        // SAFETY: see `undefined`.
        self.make(|env, value| unsafe { sys::napi_create_double(env, number, value) })
    }

    /// A boolean.
    pub fn boolean(&self, is_true: bool) -> Result<Value<'scope>> {
        // SAFETY: see `undefined`.
        self.make(|env, value| unsafe { sys::napi_get_boolean(env, is_true, value) })
    }

    /// A string from ASCII text.
    pub fn ascii(&self, text: &[u8]) -> Result<Value<'scope>> {
        let (start, length) = (text.as_ptr().cast(), text.len().cast_signed());
        // SAFETY: see `undefined`; Node copies `length` bytes from `start`.
        self.make(|env, value| unsafe { sys::napi_create_string_latin1(env, start, length, value) })
    }

    /// A string from UTF-8 text.
    pub fn utf8(&self, text: &[u8]) -> Result<Value<'scope>> {
        let (start, length) = (text.as_ptr().cast(), text.len().cast_signed());
        // SAFETY: see `ascii`.
        self.make(|env, value| unsafe { sys::napi_create_string_utf8(env, start, length, value) })
    }

    /// An `ArrayBuffer` with a copy of the bytes. JavaScript could not transfer memory that V8 does
    /// not own to a worker.
    pub fn array_buffer(&self, bytes: &[u8]) -> Result<Value<'scope>> {
        if bytes.len() > MAX_ARRAY_BUFFER {
            return Err(internal("a message is longer than an ArrayBuffer can be"));
        }
        let mut data = ptr::null_mut();
        // SAFETY: see `undefined`; `data` is a live variable.
        let value = self.make(|env, value| unsafe {
            sys::napi_create_arraybuffer(env, bytes.len(), &raw mut data, value)
        })?;
        if !bytes.is_empty() {
            // SAFETY: the new buffer is as long as `bytes`, and nothing else refers to it yet.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data.cast::<u8>(), bytes.len()) };
        }
        Ok(value)
    }
}

/// Sizes of the memory that a [`Dispatch`] writes to.
#[derive(Clone, Copy)]
pub struct Sizes {
    /// Integers of `meta`.
    pub meta: usize,
    /// Bytes of `small`.
    pub small: usize,
}

/// The JavaScript function that receives events in groups, and the two arrays that it reads beside
/// its arguments. All of them live as long as the environment and stay on its thread.
#[derive(Clone, Copy)]
pub struct Dispatch {
    function: sys::napi_ref,
    meta: *mut i32,
    small: *mut u8,
    sizes: Sizes,
}

impl Dispatch {
    /// Keeps `function`, and adds the `Int32Array` `meta` and the `Uint8Array` `small` to `object`.
    /// JavaScript must not transfer their memory; only `lib/bridge/events.js` can reach it.
    pub fn new(
        env: &Env,
        object: &Object<'_>,
        function: Function<'_, (), ()>,
        sizes: Sizes,
    ) -> Result<Self> {
        let raw = env.raw();
        let (meta, int32) = (c"meta", sys::TypedarrayType::int32_array);
        let meta = add_array(env, object, meta, int32, sizes.meta, size_of::<i32>())?.cast();
        let (small, uint8) = (c"small", sys::TypedarrayType::uint8_array);
        let small = add_array(env, object, small, uint8, sizes.small, size_of::<u8>())?.cast();
        let mut reference = ptr::null_mut();
        let failed = |error: napi::Error| internal(error.reason.clone());
        // SAFETY: `env` and `function` are alive during this call. The strong reference is never
        // deleted, so the function lives as long as the environment.
        unsafe {
            let function = Function::to_napi_value(raw, function).map_err(failed)?;
            check(sys::napi_create_reference(raw, function, 1, &raw mut reference))?;
        }
        Ok(Self { function: reference, meta, small, sizes })
    }

    /// Writes integers to `meta`, from index `at`.
    pub fn write_meta(&self, at: usize, integers: &[i32]) {
        if at.saturating_add(integers.len()) > self.sizes.meta {
            return;
        }
        // SAFETY: the range is within the array, which lives as long as the environment and is only
        // used on this thread. No reference to its memory exists.
        unsafe {
            ptr::copy_nonoverlapping(integers.as_ptr(), self.meta.add(at), integers.len());
        }
    }

    /// Writes bytes to `small`, from index `at`.
    pub fn write_small(&self, at: usize, bytes: &[u8]) {
        if at.saturating_add(bytes.len()) > self.sizes.small {
            return;
        }
        // SAFETY: see `write_meta`.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.small.add(at), bytes.len()) };
    }

    /// Calls the function with up to [`MAX_VALUES`] values, and with their number before them. This
    /// runs JavaScript.
    pub fn call<'scope>(&self, call: &mut Call<'scope>, values: &[Value<'scope>]) -> Result<()> {
        let env = call.env;
        let mut arguments = [ptr::null_mut(); MAX_VALUES + 1];
        for (argument, value) in arguments[1..].iter_mut().zip(values) {
            *argument = value.0;
        }
        let count = values.len().min(MAX_VALUES);
        let number = u32::try_from(count).unwrap_or_default();
        let (mut function, mut global) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the running call keeps its handles alive, the reference lives as long as the
        // environment, and `count + 1` arguments are set.
        unsafe {
            check(sys::napi_create_uint32(env, number, &raw mut arguments[0]))?;
            check(sys::napi_get_reference_value(env, self.function, &raw mut function))?;
            check(sys::napi_get_global(env, &raw mut global))?;
            let (start, result) = (arguments.as_ptr(), ptr::null_mut());
            check(sys::napi_call_function(env, global, function, count + 1, start, result))
        }
    }
}

/// Adds a typed array to an object and returns its memory, which lives as long as the environment.
fn add_array(
    env: &Env,
    object: &Object<'_>,
    name: &CStr,
    kind: sys::napi_typedarray_type,
    length: usize,
    element: usize,
) -> Result<*mut c_void> {
    let (raw, object) = (env.raw(), napi::JsValue::raw(object));
    let (mut data, mut buffer, mut array) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    let mut reference = ptr::null_mut();
    // SAFETY: `env` and `object` are alive during this call, the name ends with a NUL, and each
    // result is checked before it is used. The strong reference is never deleted.
    unsafe {
        let size = length * element;
        check(sys::napi_create_arraybuffer(raw, size, &raw mut data, &raw mut buffer))?;
        check(sys::napi_create_typedarray(raw, kind, length, buffer, 0, &raw mut array))?;
        check(sys::napi_set_named_property(raw, object, name.as_ptr(), array))?;
        check(sys::napi_create_reference(raw, array, 1, &raw mut reference))?;
    }
    Ok(data)
}
