//! Uploads of the documents' clients, which end with a `##` that comes alone.

use std::time::{Duration, Instant};

use crate::limits::{TERMINATOR_QUIET_AFTER, TERMINATOR_QUIET_BEFORE};
use crate::services::Context;
use crate::store::Upload;

use super::vocabulary::END;

/// An upload. Without a file it has failed, and its bytes are dropped.
#[derive(Debug)]
pub(super) struct LegacyUpload {
    upload: Option<Upload>,
    /// The `#` or `##` that came last, which may be data or the end.
    held: &'static [u8],
    /// When bytes last came.
    since: Instant,
}

impl LegacyUpload {
    /// An upload that begins.
    pub(super) fn new(upload: Upload, now: Instant) -> LegacyUpload {
        LegacyUpload { upload: Some(upload), held: b"", since: now }
    }

    /// Whether what came last could be the end.
    pub(super) fn may_have_ended(&self) -> bool {
        self.held == END
    }

    /// When the silence behind what came last tells that it was the end, or is too long.
    pub(super) fn deadline(&self, patience: Duration) -> Instant {
        self.since + if self.may_have_ended() { TERMINATOR_QUIET_AFTER } else { patience }
    }

    /// Takes what one receive call has brought. Returns whether it was the end.
    pub(super) fn take(&mut self, input: &[u8], now: Instant) -> bool {
        let alone = input == END && now.saturating_duration_since(self.since) >= TERMINATOR_QUIET_BEFORE;
        self.since = now;
        let held = std::mem::take(&mut self.held);
        if alone {
            // What was held back before was data.
            self.write(held);
            return true;
        }
        let mut bytes = [held, input].concat();
        let tail = bytes.iter().rev().take_while(|byte| **byte == b'#').count().min(END.len());
        bytes.truncate(bytes.len() - tail);
        self.held = &END[..tail];
        self.write(&bytes);
        false
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(upload) = &mut self.upload
            && let Err(error) = upload.write(bytes)
        {
            // The dialect has no word for it once the upload has begun.
            log::warn!("an upload has failed: {error}");
            self.upload = None;
        }
    }

    /// The end has come.
    pub(super) fn store(self, cx: &mut Context<'_>) {
        if let Some(upload) = self.upload
            && let Err(error) = cx.store(upload)
        {
            log::warn!("an upload could not be stored: {error}");
        }
    }
}
