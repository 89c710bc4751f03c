//! The lines dialect: each command is a line, and each reply begins with a line.

use std::io::{self, BufRead, BufReader, Read, Write, stderr};
use std::path::Path;

use evserve::protocol::file::vocabulary::code::{BAD_COMMAND, BAD_HASH, EXISTS, NOT_FOUND};
use evserve::protocol::file::vocabulary::command::{GET, HASH, LIST, PUT, QUIT, REST, RESUME, STAT};
use evserve::protocol::file::vocabulary::{ERR, OK};
use evserve::store::{Name, Sha256Digest};

use super::download::{Download, OpenTarget, Target};
use super::failure::Failure;
use super::progress;
use super::session::{Entry, Session};
use super::source::{self, Source};
use super::stream::Stream;

/// A connection that speaks the lines dialect.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: BufReader<Stream>,
    is_in_step: bool,
}

/// The maximum length of a line from the server in bytes.
const LINE_MAX_BYTES: u64 = 8 * 1024;

/// The number of bytes per read of a download.
const PIECE_BYTES: usize = 256 * 1024;

impl Lines {
    pub(crate) fn new(stream: Stream) -> Lines {
        Lines { stream: BufReader::new(stream), is_in_step: true }
    }

    /// Sends a command and returns the text of its reply.
    fn ask(&mut self, command: &str) -> Result<String, Failure> {
        match self.stream.get_mut().write_all(format!("{command}\n").as_bytes()) {
            Ok(()) => self.reply(),
            Err(error) => Err(self.last_reply(error)),
        }
    }

    /// Returns the failure for an error of a write: the reason that the server gave before it closed, if any.
    fn last_reply(&mut self, error: io::Error) -> Failure {
        self.is_in_step = false;
        match self.reply() {
            Err(reply @ (Failure::Rejected(_) | Failure::NeedsTls)) => reply,
            _ => Failure::connection(error),
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = Vec::new();
        (&mut self.stream).take(LINE_MAX_BYTES).read_until(b'\n', &mut line).map_err(Failure::connection)?;
        match line.strip_suffix(b"\n") {
            Some(text) => {
                let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text));
                Ok(text.into_owned())
            }
            None if line.len() as u64 == LINE_MAX_BYTES => Err(Failure::protocol("a line without a newline")),
            None if line.is_empty() => Err(Failure::connection(io::ErrorKind::UnexpectedEof.into())),
            None => {
                Err(Failure::Connection("the server closed the connection in the middle of a line".into()))
            }
        }
    }

    /// Reads a reply and returns the text after its `OK`.
    fn reply(&mut self) -> Result<String, Failure> {
        let line = self.line()?;
        if let Some(failure) = Failure::of_tls_port(line.as_bytes()) {
            return Err(failure);
        }
        match line.split_once(' ').unwrap_or((&line, "")) {
            (OK, rest) => Ok(rest.to_owned()),
            (ERR, text) => Err(Failure::Rejected(text.to_owned())),
            _ => Err(Failure::protocol(format!("{:?}", line.chars().take(60).collect::<String>()))),
        }
    }

    /// Receives the bytes from `offset` to `length` of a file, and passes them to `keep`.
    fn receive(
        &mut self,
        name: &str,
        (offset, length): (u64, u64),
        mut keep: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.is_in_step = false;
        let bar = progress::bar(name, offset, length);
        let mut buffer = vec![0; PIECE_BYTES];
        let mut left = length - offset;
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = self.stream.read(&mut buffer[..wanted]).map_err(Failure::connection)?;
            if count == 0 {
                let had = length - left;
                return Err(Failure::Connection(format!("the connection ended at {had} of {length} bytes")));
            }
            keep(&buffer[..count])?;
            left -= count as u64;
            bar.inc(count as u64);
        }
        bar.finish_and_clear();
        self.is_in_step = true;
        Ok(())
    }

    fn get_file(&mut self, name: &str, target: &Path) -> Result<(), Failure> {
        let before = self.stat(name)?;
        let Some((length, modified)) = &before.details else {
            return Err(Failure::protocol("a file without a size"));
        };
        let version: String = modified.chars().filter(char::is_ascii_alphanumeric).collect();
        let mut download = Download::resume(target, &version, *length)?;
        let offset = download.offset;
        if offset > 0 {
            note_resuming(name, offset, *length);
            self.ask(&format!("{REST} {offset}"))?;
        }
        let announced = number(&self.ask(&format!("{GET} {name}"))?)?;
        if announced != length - offset {
            download.discard();
            return Err(Failure::protocol(format!("{announced} bytes instead of {}", length - offset)));
        }
        self.receive(name, (offset, *length), |bytes| download.write(bytes))?;
        let after = self.stat(name).and_then(|after| {
            if after == before { self.ask(&format!("{HASH} {name}")).map(Some) } else { Ok(None) }
        });
        match after {
            Ok(None) => {
                download.discard();
                Err(Failure::Rejected("the file changed during the download; try again".into()))
            }
            Ok(Some(digits)) if Sha256Digest::parse(digits.as_bytes()) != Some(download.fingerprint()?) => {
                download.discard();
                Err(Failure::Rejected("the SHA-256 of the download differs; try again".into()))
            }
            Ok(Some(_)) => download.finish(),
            // The server does not know the command HASH.
            Err(failure) if failure.has_code(BAD_COMMAND) => download.finish(),
            // All bytes of the announced version are here, and a retry would not find it.
            Err(failure) if failure.has_code(NOT_FOUND) => {
                download.finish()?;
                note(name, "deleted on the server during the download; complete, but not verified");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    fn upload(&mut self, source: &mut Source, name: &str, sha256: Sha256Digest) -> Result<(), Failure> {
        let length = source.length;
        let offset = match self.ask(&format!("{RESUME} {length} {sha256} {name}")) {
            Ok(offset) => number(&offset)?,
            // The server does not know the command RESUME.
            Err(failure) if failure.has_code(BAD_COMMAND) => {
                let command = format!("{PUT} {length} {name}\n");
                self.stream
                    .get_mut()
                    .write_all(command.as_bytes())
                    .map_err(|error| self.last_reply(error))?;
                0
            }
            Err(failure) => return Err(failure),
        };
        if offset > length {
            return Err(Failure::protocol(format!("the server claims to have {offset} of {length} bytes")));
        }
        if offset > 0 && offset < length {
            note_resuming(name, offset, length);
        }
        self.send(source, name, offset)?;
        let reply = self.reply()?;
        let mut words = reply.splitn(3, ' ').skip(1);
        let stored = words.next().and_then(|digits| Sha256Digest::parse(digits.as_bytes()));
        match stored {
            Some(stored) if stored == sha256 => {
                match words.next().and_then(|other| Name::parse(other.as_bytes())) {
                    Some(other) => note(name, &format!("stored as {other}")),
                    None if offset == length && length > 0 => note(name, "already there"),
                    None => {}
                }
                Ok(())
            }
            Some(_) => Err(Failure::Rejected(format!("{BAD_HASH} the SHA-256 of the stored file differs"))),
            None => Err(Failure::protocol(format!("{reply:?} instead of a SHA-256"))),
        }
    }

    /// Returns whether the server has a file with this name, length and digest.
    fn is_stored(&mut self, name: &str, length: u64, sha256: Sha256Digest) -> bool {
        let has_length = |entry: Entry| entry.details.is_some_and(|(size, _)| size == length);
        self.stat(name).is_ok_and(has_length)
            && self
                .ask(&format!("{HASH} {name}"))
                .is_ok_and(|digits| Sha256Digest::parse(digits.as_bytes()) == Some(sha256))
    }

    /// Sends a source from `offset` on. If the server refuses the upload and closes before the end, the
    /// failure is the server's reply.
    fn send(&mut self, source: &mut Source, name: &str, offset: u64) -> Result<(), Failure> {
        self.is_in_step = false;
        source.copy_to(name, offset, |bytes| {
            self.stream.get_mut().write_all(bytes).map_err(|error| self.last_reply(error))
        })?;
        self.is_in_step = true;
        Ok(())
    }
}

impl Session for Lines {
    fn list(&mut self) -> Result<Vec<Entry>, Failure> {
        let count = number(&self.ask(LIST)?)?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let line = self.line()?;
            let mut words = line.splitn(3, ' ');
            let (Some(size), Some(modified), Some(name)) = (words.next(), words.next(), words.next()) else {
                return Err(Failure::protocol(format!("{line:?} in a list")));
            };
            let details = Some((number(size)?, modified.to_owned()));
            entries.push(Entry { name: name.to_owned(), details });
        }
        Ok(entries)
    }

    fn stat(&mut self, name: &str) -> Result<Entry, Failure> {
        let reply = self.ask(&format!("{STAT} {}", checked(name)?))?;
        let (size, modified) = reply.split_once(' ').unwrap_or((&reply, ""));
        Ok(Entry { name: name.to_owned(), details: Some((number(size)?, modified.to_owned())) })
    }

    fn get(&mut self, name: &str, target: &Target) -> Result<(), Failure> {
        let name = checked(name)?;
        match target.open()? {
            OpenTarget::Replaced(path) => self.get_file(name, path),
            OpenTarget::Output(mut output) => {
                let length = number(&self.ask(&format!("{GET} {name}"))?)?;
                self.receive(name, (0, length), |bytes| output.write(bytes))?;
                output.finish()
            }
        }
    }

    fn put(&mut self, source: &mut Source, name: &str) -> Result<(), Failure> {
        let name = checked(name)?;
        let sha256 = source.fingerprint()?;
        match self.upload(source, name, sha256) {
            // For instance, the connection of an earlier attempt was lost before the last reply.
            Err(failure) if failure.has_code(EXISTS) && self.is_stored(name, source.length, sha256) => {
                note(name, "already there");
                Ok(())
            }
            Err(failure) if failure.has_code(BAD_HASH) && source.fingerprint()? != sha256 => {
                Err(source::changed())
            }
            done => done,
        }
    }

    fn is_in_step(&self) -> bool {
        self.is_in_step
    }

    fn quit(&mut self) {
        let _ = self.ask(QUIT);
    }
}

fn number(digits: &str) -> Result<u64, Failure> {
    digits.parse().map_err(|_| Failure::protocol(format!("{digits:?} instead of a number")))
}

/// Checks that a name is valid, so that it can neither end the command line nor leave the local folder.
fn checked(name: &str) -> Result<&str, Failure> {
    match Name::parse(name.as_bytes()) {
        Some(_) => Ok(name),
        None => Err(Failure::Rejected(format!("{name:?} is not a valid name on the server"))),
    }
}

fn note_resuming(name: &str, offset: u64, length: u64) {
    let percent = u128::from(offset) * 100 / u128::from(length.max(1));
    note(name, &format!("resuming at {percent} %"));
}

/// Prints a note about a transfer that has not failed.
fn note(name: &str, text: &str) {
    let _ = writeln!(stderr(), "{name}: {text}");
}
