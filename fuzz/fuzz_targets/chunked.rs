//! Chunked bodies.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    evserve_fuzz::http(&[&head[..], data].concat());
});
