//! The replies of the line dialect: `OK …` or `ERR code text`.

use std::borrow::Cow;

use crate::clock::rfc3339;
use crate::outbox::Outbox;
use crate::services::Context;
use crate::store::{LibraryError, Name, Stored, Upload};

use super::vocabulary::{ERR, OK, code};

/// The reason why a command fails: a code for programs and a text for people.
#[derive(Debug)]
pub(super) struct ErrorReply {
    /// One of the [codes](code).
    pub code: &'static str,
    text: Cow<'static, str>,
}

impl ErrorReply {
    pub(super) fn new(code: &'static str, text: impl Into<Cow<'static, str>>) -> ErrorReply {
        ErrorReply { code, text: text.into() }
    }
}

/// Parses the name of a file.
pub(super) fn parse_name(name: &[u8]) -> Result<Name, ErrorReply> {
    Name::parse(name).ok_or_else(|| {
        ErrorReply::new(
            code::BAD_NAME,
            "a name is 1 to 255 bytes of UTF-8 without / and control characters, and does not start with a dot",
        )
    })
}

/// Sends a file from the offset `restart` on.
pub(super) fn get(name: &[u8], restart: u64, out: &mut Outbox, cx: &Context<'_>) -> Result<(), ErrorReply> {
    let (file, item) = cx.core.library.read(&parse_name(name)?).map_err(library_error)?;
    let Some(length) = item.length.checked_sub(restart) else {
        return Err(ErrorReply::new(code::BAD_LENGTH, format!("the file has {} bytes", item.length)));
    };
    ok(&format!("{length}"), out);
    out.send_file(file, restart..item.length);
    Ok(())
}

/// Returns the length and the modification time of a file, as a reply to STAT.
pub(super) fn stat(name: &[u8], cx: &Context<'_>) -> Result<String, ErrorReply> {
    let item = cx.core.library.stat(&parse_name(name)?).map_err(library_error)?;
    Ok(format!("{} {}", item.length, rfc3339(item.modified)))
}

/// Stores a complete upload and reports the outcome to the peer.
pub(super) fn store(upload: Upload, out: &mut Outbox, cx: &mut Context<'_>) {
    let requested = upload.name().clone();
    match cx.store(upload) {
        Ok(stored) => report_stored(&requested, &stored, out),
        Err(error) => refuse(&library_error(error), out),
    }
}

/// Reports a stored file to the peer, with its name if it is not the requested one.
pub(super) fn report_stored(requested: &Name, stored: &Stored, out: &mut Outbox) {
    let Stored { name, length, sha256, .. } = stored;
    match name == requested {
        true => ok(&format!("{length} {sha256}"), out),
        false => ok(&format!("{length} {sha256} {name}"), out),
    }
}

/// Converts an error of the library into a reply.
pub(super) fn library_error(error: LibraryError) -> ErrorReply {
    if let LibraryError::Failed(error) = &error {
        log::error!("library error: {error}");
    }
    let code = match error {
        LibraryError::NotFound => code::NOT_FOUND,
        LibraryError::Exists => code::EXISTS,
        LibraryError::ReadOnly => code::READ_ONLY,
        LibraryError::TooLarge => code::TOO_LARGE,
        LibraryError::NoSpace => code::NO_SPACE,
        LibraryError::Busy | LibraryError::TakenOver | LibraryError::FolderReplaced => code::BUSY,
        LibraryError::Mismatch => code::BAD_HASH,
        LibraryError::Failed(_) => code::INTERNAL,
    };
    ErrorReply::new(code, error.to_string())
}

/// Writes a reply that a command succeeded or may proceed.
pub(super) fn ok(text: &str, out: &mut Outbox) {
    say(&format!("{OK} {text}"), out);
}

/// Writes a reply that a command failed.
pub(super) fn refuse(ErrorReply { code, text }: &ErrorReply, out: &mut Outbox) {
    say(&format!("{ERR} {code} {text}"), out);
}

/// Writes a line.
pub(super) fn say(line: &str, out: &mut Outbox) {
    out.write(|bytes| {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    });
}
