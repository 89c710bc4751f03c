//! The Range field.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evserve_fuzz::http_field("Range", data));
