//! Preconditions: the first byte chooses the field.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    const FIELDS: [&str; 5] =
        ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"];
    if let [first, value @ ..] = data {
        evserve_fuzz::http_field(FIELDS[usize::from(*first) % FIELDS.len()], value);
    }
});
