//! Replies in lines: `OK …`, or `ERR code text`.

use crate::clock::rfc3339;
use crate::outbox::Outbox;
use crate::services::Services;
use crate::store::{LibraryError, Name, Stored, Upload};

use super::words::{ERR, OK, code};

/// A refusal: a code for programs and a text for people.
pub type Refusal = (&'static str, String);

/// Checks a name.
pub fn parse_name(name: &[u8]) -> Result<Name, Refusal> {
    Name::parse(name).ok_or_else(|| {
        (
            code::BAD_NAME,
            "a name has 1 to 255 bytes of UTF-8, no / and no control characters, no dot first".into(),
        )
    })
}

/// Replies with a file from `restart` on.
pub fn get(name: &[u8], restart: u64, out: &mut Outbox, cx: &Services) -> Result<(), Refusal> {
    let (file, item) = cx.library.read(&parse_name(name)?).map_err(refusal)?;
    let Some(length) = item.length.checked_sub(restart) else {
        return Err((code::BAD_LENGTH, format!("the file has {} bytes", item.length)));
    };
    grant(&format!("{length}"), out);
    out.send_file(file, restart..item.length);
    Ok(())
}

/// What is known of a file.
pub fn stat(name: &[u8], cx: &Services) -> Result<String, Refusal> {
    let item = cx.library.stat(&parse_name(name)?).map_err(refusal)?;
    Ok(format!("{} {}", item.length, rfc3339(item.modified)))
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
        Ok(Stored { length, sha256 }) => grant(&format!("{length} {sha256}"), out),
        Err(error) => refuse(&refusal(error), out),
    }
}

/// What an error of the library is to a client.
pub fn refusal(error: LibraryError) -> Refusal {
    if let LibraryError::Failed(error) = &error {
        log::error!("the library failed: {error}");
    }
    let why = match error {
        LibraryError::NotFound => code::NOT_FOUND,
        LibraryError::Exists => code::EXISTS,
        LibraryError::ReadOnly => code::READ_ONLY,
        LibraryError::TooLarge => code::TOO_LARGE,
        LibraryError::NoSpace => code::NO_SPACE,
        LibraryError::Busy => code::BUSY,
        LibraryError::Mismatch => code::BAD_HASH,
        LibraryError::Failed(_) => code::INTERNAL,
    };
    (why, error.to_string())
}

/// Says that something is done, or will be.
pub fn grant(text: &str, out: &mut Outbox) {
    say(&format!("{OK} {text}"), out);
}

/// Says that something is not done.
pub fn refuse((why, text): &Refusal, out: &mut Outbox) {
    say(&format!("{ERR} {why} {text}"), out);
}

/// Says a line.
pub fn say(line: &str, out: &mut Outbox) {
    out.write(|bytes| {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    });
}
