//! An addon with a defect in it, which `npm run asan` has to find before its silence means anything.

use std::ffi::c_void;
use std::hint::black_box;

#[unsafe(no_mangle)]
pub extern "C" fn napi_register_module_v1(_env: *mut c_void, exports: *mut c_void) -> *mut c_void {
    match std::env::var("PLANTED").as_deref() {
        Ok("overflow") => overflow(),
        Ok("leak") => (0..100).for_each(|_| leak()),
        _ => {}
    }
    exports
}

/// Reads one byte behind an allocation.
fn overflow() {
    let bytes = black_box(vec![1u8; 64]);
    // SAFETY: none; that is what is planted.
    black_box(unsafe { bytes.as_ptr().add(black_box(64)).read_volatile() });
}

#[inline(never)]
fn leak() {
    std::mem::forget(black_box(vec![1u8; 12_345]));
}
