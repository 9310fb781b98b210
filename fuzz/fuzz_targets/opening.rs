#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| upwire_fuzz::opening::check(data));
