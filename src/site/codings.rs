//! The coded forms of the site's files: those that lie beside them, and those that are made of them.

use std::rc::Rc;

use super::Site;
use super::compression::{Coding, Finished};
use super::representation::{self, Representation, Style};
use crate::clock::Clock;
use crate::store::{Entry, Recall};

/// What comes of a wish for a coded representation.
#[derive(Debug)]
pub enum Coded {
    /// Here it is.
    Ready(Representation),
    /// It is being made: ask again in the next turn.
    Later,
    /// There is none, and none is worth to be made.
    Never,
    /// One cannot be made just now: too many others are, or the file is being changed.
    Busy,
}

impl Site {
    /// What was found at `path`, in a content coding: as it lies beside the file, else made of it if
    /// it has `least` bytes.
    pub fn coded(
        &mut self,
        path: &[u8],
        plain: &Representation,
        coding: Coding,
        least: u64,
        clock: &Clock,
    ) -> Coded {
        if !plain.note.codable {
            return Coded::Never;
        }
        let mut key = std::mem::take(&mut self.key);
        let sidecar =
            if self.rules.sidecars { self.sidecar(&mut key, path, plain, coding, clock) } else { None };
        let coded = match sidecar {
            Some(sidecar) => Coded::Ready(sidecar),
            None if coding == Coding::Gzip && plain.note.text && plain.length >= least => {
                self.compressed(&mut key, path, plain, clock)
            }
            None => Coded::Never,
        };
        self.key = key;
        coded
    }

    /// What lies beside the file, coded, if it is not older.
    fn sidecar(
        &mut self,
        key: &mut Vec<u8>,
        path: &[u8],
        plain: &Representation,
        coding: Coding,
        clock: &Clock,
    ) -> Option<Representation> {
        write_key(key, path, coding.extension());
        let sidecar = match self.cache.get(key, &*self.files, clock.now()) {
            Recall::File(file) => Some(file.cached()),
            Recall::Absent(_) => None,
            Recall::Unknown => self.open_sidecar(key, path, plain, coding, clock),
        };
        sidecar.filter(|sidecar| sidecar.note.modified >= plain.note.modified)
    }

    fn open_sidecar(
        &mut self,
        key: &[u8],
        path: &[u8],
        plain: &Representation,
        coding: Coding,
        clock: &Clock,
    ) -> Option<Representation> {
        let suffix = plain.note.suffix;
        let file_path = [path, suffix.as_bytes(), coding.extension().as_bytes()].concat();
        match self.files.open(&file_path) {
            Ok(Entry::File(file)) => {
                let style = Style::Page(Some((coding, plain)));
                self.remember((key, &file_path), suffix, file, style, clock).ok()
            }
            _ => {
                self.remember_absent((key, &file_path), None, clock);
                None
            }
        }
    }

    /// The file as gzip, made once and remembered for as long as the file stays as it is.
    fn compressed(&mut self, key: &mut Vec<u8>, path: &[u8], plain: &Representation, clock: &Clock) -> Coded {
        write_key(key, path, "");
        match self.cache.get(key, &*self.files, clock.now()) {
            Recall::File(file) if file.note().stamp == plain.note.stamp => Coded::Ready(file.cached()),
            Recall::Absent(Some(_)) => Coded::Never,
            Recall::Absent(None) => Coded::Busy,
            _ if self.compressions.is_under_way(path) => Coded::Later,
            _ => self.compressions.begin(path, plain),
        }
    }

    /// Remembers what has come of a compression.
    pub(super) fn finish(&mut self, finished: Finished, clock: &Clock) {
        let Finished { path, plain, result } = finished;
        let stamp = plain.note.stamp;
        let mut key = Vec::new();
        write_key(&mut key, &path, "");
        let file_path = [&path, plain.note.suffix.as_bytes()].concat();
        // Of a file that was changed meanwhile the slices may not fit together.
        if self.files.stamp(&file_path) != Some(stamp) {
            self.cache.forget(&path);
            return self.remember_absent((&key, &file_path), None, clock);
        }
        // Whether another change would have shown was settled when the file was read.
        let now = (clock.now(), plain.note.opened);
        let described = result.and_then(|file| {
            let style = Style::Page(Some((Coding::Gzip, &plain)));
            let by = (&self.rules, plain.note.opened);
            let described = representation::describe(&file_path, plain.note.suffix, &file, style, by);
            described.ok().map(|described| (file, described))
        });
        match described {
            Some((file, (head, note))) => {
                self.cache.put((&key, &file_path), file, (&head, Rc::new(note)), now);
            }
            None => self.cache.put_absent((&key, &file_path), Some(stamp), now),
        }
    }
}

/// The key of a coded form of what is at `path`: no path of a request contains a NUL.
fn write_key(key: &mut Vec<u8>, path: &[u8], extension: &str) {
    key.clear();
    key.extend_from_slice(path);
    key.push(0);
    key.extend_from_slice(extension.as_bytes());
}
