//! Request heads, and whatever else comes first.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evserve_fuzz::http(data));
