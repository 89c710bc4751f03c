//! A TLS connection, from its beginning or after the handshake.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evserve_fuzz::tls(data));
