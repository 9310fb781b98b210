#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| upwire_fuzz::json_depth::check(data));
