//! The payload of a PUT or a RESUME, whose length is known in advance.

use crate::close_reason::CloseReason;
use crate::limits::TURN_READ_BYTES;
use crate::outbox::Outbox;
use crate::services::Context;
use crate::store::{LibraryError, Presence, Sha256Digest, Stored, Upload, UploadKey};

use super::reply::{ErrorReply, library_error, ok, parse_name, refuse, report_stored, store};
use super::vocabulary::code;

/// A payload that is being received.
#[derive(Debug)]
pub(super) struct Payload {
    sink: PayloadSink,
    /// The number of bytes still to be received.
    left: u64,
}

/// What happens to a payload.
#[derive(Debug)]
enum PayloadSink {
    Stored(Box<Upload>),
    /// The upload was refused or failed: the payload is read and dropped.
    Dropped,
}

/// The outcome of a RESUME.
#[derive(Debug)]
pub(super) enum Resumed {
    /// The payload follows.
    Payload(Payload),
    /// The file is stored, and both replies are sent.
    Complete,
    /// A stored file is being hashed: [continue](continue_resume) in the next turn.
    Pending(UploadKey),
}

impl Payload {
    /// Begins to receive the payload of a PUT. An error is reported at once, and the payload is dropped.
    pub(super) fn put(
        name: &[u8],
        length: u64,
        out: &mut Outbox,
        cx: &Context<'_>,
    ) -> (Payload, Result<(), ErrorReply>) {
        let begun = parse_name(name).and_then(|name| {
            let upload = cx.core.library.create_or_repeat(&name, Some(length)).map_err(library_error)?;
            Ok(PayloadSink::Stored(Box::new(upload)))
        });
        let (sink, outcome) = match begun {
            Ok(sink) => (sink, Ok(())),
            Err(error) => {
                refuse(&error, out);
                (PayloadSink::Dropped, Err(error))
            }
        };
        (Payload { sink, left: length }, outcome)
    }

    /// Returns the number of bytes that can be received at once.
    pub(super) fn expected(&self) -> usize {
        self.left.min(TURN_READ_BYTES as u64) as usize
    }

    /// Returns whether the payload has not been refused.
    pub(super) fn is_wanted(&self) -> bool {
        !matches!(self.sink, PayloadSink::Dropped)
    }

    /// Returns whether the part that is already stored must be [hashed](Payload::rehash) first.
    pub(super) fn is_rehashing(&self) -> bool {
        matches!(&self.sink, PayloadSink::Stored(upload) if upload.is_rehashing())
    }

    /// Hashes a slice of the part that is already stored. Returns why the connection closes, if it does.
    pub(super) fn rehash(&mut self, out: &mut Outbox) -> Option<CloseReason> {
        let PayloadSink::Stored(upload) = &mut self.sink else { return None };
        let hashed = upload.rehash();
        self.check(hashed, out)
    }

    /// Consumes the bytes at the beginning of `input` that belong to the payload. Returns their number, and why
    /// the connection closes, if it does.
    pub(super) fn take(&mut self, input: &[u8], out: &mut Outbox) -> (usize, Option<CloseReason>) {
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        let bytes = &input[..taken];
        let outcome = match &mut self.sink {
            PayloadSink::Stored(upload) => upload.write(bytes),
            PayloadSink::Dropped => Ok(()),
        };
        self.left -= taken as u64;
        (taken, self.check(outcome, out))
    }

    /// Reports a failure, and drops the rest of the payload. Returns why the connection closes, if it does.
    fn check(&mut self, outcome: Result<(), LibraryError>, out: &mut Outbox) -> Option<CloseReason> {
        let error = outcome.err()?;
        self.sink = PayloadSink::Dropped;
        // The client has given up on this connection.
        let close = matches!(error, LibraryError::TakenOver).then_some(CloseReason::Rejected);
        refuse(&library_error(error), out);
        close
    }

    /// Stores the upload if its payload is complete. Returns the payload if it is not.
    pub(super) fn end(self, out: &mut Outbox, cx: &mut Context<'_>) -> Option<Payload> {
        if self.left > 0 || self.is_rehashing() {
            return Some(self);
        }
        match self.sink {
            PayloadSink::Stored(upload) => store(*upload, out, cx),
            PayloadSink::Dropped => {}
        }
        None
    }
}

/// Begins to receive the payload of a RESUME, that is the bytes that the server lacks. After an error no
/// payload follows, because the client waits for the offset before it sends.
pub(super) fn resume(
    what: Option<(u64, Sha256Digest)>,
    name: &[u8],
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> Result<Resumed, ErrorReply> {
    let (length, sha256) = what.ok_or_else(|| {
        ErrorReply::new(code::BAD_LENGTH, "RESUME takes a length, a SHA-256 in hex and a name")
    })?;
    continue_resume(UploadKey { length, sha256, name: parse_name(name)? }, out, cx)
}

/// Begins to receive the payload of a RESUME, unless the file is already stored.
pub(super) fn continue_resume(
    key: UploadKey,
    out: &mut Outbox,
    cx: &mut Context<'_>,
) -> Result<Resumed, ErrorReply> {
    let now = (cx.core.clock.now.monotonic, cx.core.clock.now.wall);
    match cx.core.library.presence(&key, now.0).map_err(library_error)? {
        Presence::Pending => return Ok(Resumed::Pending(key)),
        Presence::Stored(name) => {
            let UploadKey { length, sha256, name: requested } = key;
            ok(&format!("{length}"), out);
            report_stored(&requested, &Stored { name, length, sha256, is_new: false }, out);
            return Ok(Resumed::Complete);
        }
        Presence::Absent => {}
    }
    let upload = cx.core.library.resume(&key, now).map_err(library_error)?;
    let offset = upload.written().map_err(library_error)?;
    ok(&format!("{offset}"), out);
    let sink = PayloadSink::Stored(Box::new(upload));
    Ok(Resumed::Payload(Payload { sink, left: key.length - offset }))
}
