#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| upwire_fuzz::deflate::check(data));
