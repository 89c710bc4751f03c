//! Replies in lines: `OK …`, or `ERR code text`.

use crate::clock::rfc3339;
use crate::outbox::Outbox;
use crate::services::Services;
use crate::store::{LibraryError, Name, Stored, Upload};

/// A refusal: a code for programs and a text for people.
pub type Refusal = (&'static str, String);

/// Checks a name.
pub fn parse_name(name: &[u8]) -> Result<Name, Refusal> {
    Name::parse(name).ok_or_else(|| {
        (
            "bad-name",
            "a name has 1 to 255 bytes of UTF-8, no / and no control characters, no dot first".into(),
        )
    })
}

/// Replies with a file from `restart` on.
pub fn get(name: &[u8], restart: u64, out: &mut Outbox, cx: &Services) -> Result<(), Refusal> {
    let (file, item) = cx.library.read(&parse_name(name)?).map_err(refusal)?;
    let Some(length) = item.length.checked_sub(restart) else {
        return Err(("bad-length", format!("the file has {} bytes", item.length)));
    };
    say(&format!("OK {length}"), out);
    out.send_file(file, restart..item.length);
    Ok(())
}

/// What is known of a file, as a reply.
pub fn stat(name: &[u8], cx: &Services) -> Result<String, Refusal> {
    let item = cx.library.stat(&parse_name(name)?).map_err(refusal)?;
    Ok(format!("OK {} {}", item.length, rfc3339(item.modified)))
}

/// Writes to an upload, if there is one still. At the first failure it is given up and the peer told.
pub fn write(upload: &mut Option<Box<Upload>>, bytes: &[u8], out: &mut Outbox) {
    if let Some(open) = upload
        && let Err(error) = open.write(bytes)
    {
        refuse(&refusal(error), out);
        *upload = None;
    }
}

/// Stores an upload and says so.
pub fn store(upload: Upload, out: &mut Outbox, cx: &mut Services) {
    match cx.store(upload) {
        Ok(Stored { length, sha256 }) => say(&format!("OK {length} {sha256}"), out),
        Err(error) => refuse(&refusal(error), out),
    }
}

/// What an error of the library is to a client.
pub fn refusal(error: LibraryError) -> Refusal {
    if let LibraryError::Failed(error) = &error {
        log::error!("the library failed: {error}");
    }
    let code = match error {
        LibraryError::NotFound => "not-found",
        LibraryError::Exists => "exists",
        LibraryError::ReadOnly => "read-only",
        LibraryError::TooLarge => "too-large",
        LibraryError::NoSpace => "no-space",
        LibraryError::Busy => "busy",
        LibraryError::Mismatch => "bad-hash",
        LibraryError::Failed(_) => "internal",
    };
    (code, error.to_string())
}

/// Says that something is not done.
pub fn refuse((code, text): &Refusal, out: &mut Outbox) {
    say(&format!("ERR {code} {text}"), out);
}

/// Says a line.
pub fn say(line: &str, out: &mut Outbox) {
    out.write(|bytes| {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    });
}
