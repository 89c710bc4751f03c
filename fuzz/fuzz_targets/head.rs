//! Request heads, and everything after them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evserve_fuzz::http(data));
