//! Uploads of legacy clients. An upload ends with `##`, which only the silence before or after it
//! distinguishes from data.

use std::time::Duration;

use crate::clock::Instant;
use crate::limits::{TERMINATOR_QUIET_AFTER, TERMINATOR_QUIET_BEFORE};
use crate::services::Context;
use crate::store::Upload;

use super::vocabulary::END;

/// An upload in progress.
#[derive(Debug)]
pub(super) struct LegacyUpload {
    /// `None` if the upload has failed: then its bytes are dropped.
    upload: Option<Upload>,
    /// The `#` or `##` that was received last, which may be data or the end.
    held: &'static [u8],
    /// When bytes were last received.
    since: Instant,
}

impl LegacyUpload {
    pub(super) fn new(upload: Upload, now: Instant) -> LegacyUpload {
        LegacyUpload { upload: Some(upload), held: b"", since: now }
    }

    /// Returns whether the last bytes may be the end.
    pub(super) fn may_have_ended(&self) -> bool {
        self.held == END
    }

    /// Returns when further silence confirms the end, or, without a trailing `##`, when the client has been
    /// silent for `patience`.
    pub(super) fn deadline(&self, patience: Duration) -> Instant {
        self.since + if self.may_have_ended() { TERMINATOR_QUIET_AFTER } else { patience }
    }

    /// Reads the bytes of one receive call. Returns whether they end the upload.
    pub(super) fn take(&mut self, input: &[u8], now: Instant) -> bool {
        let alone = input == END && now.saturating_duration_since(self.since) >= TERMINATOR_QUIET_BEFORE;
        self.since = now;
        let held = std::mem::take(&mut self.held);
        if alone {
            // The bytes that were held back before are data.
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
            // The dialect has no reply for errors after the beginning of an upload.
            log::warn!("an upload failed: {error}");
            self.upload = None;
        }
    }

    /// Stores the complete upload.
    pub(super) fn store(self, cx: &mut Context<'_>) {
        if let Some(upload) = self.upload
            && let Err(error) = cx.store(upload)
        {
            log::warn!("cannot store an upload: {error}");
        }
    }
}
