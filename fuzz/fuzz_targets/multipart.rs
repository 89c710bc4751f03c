//! Multipart forms with files.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = format!(
        "POST /files/ HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
        data.len()
    );
    evserve_fuzz::http_upload(&[head.as_bytes(), data].concat());
});
