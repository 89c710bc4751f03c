//! The file protocol in lines.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evserve_fuzz::lines(data));
