//! Request-targets.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    evserve_fuzz::http(&[b"GET ", data, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
});
