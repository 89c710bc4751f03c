//! The dialects of legacy servers (servers of the teaching notes on sockets). One receive call returns one
//! message, and the message `##` ends a payload.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use evserve::protocol::file::vocabulary::{END, JOINED, LISTED, Vocabulary};
use evserve::transport::unacknowledged;

use super::download::{Download, OpenTarget, Target};
use super::failure::Failure;
use super::session::{Entry, Session};
use super::source::Source;
use super::stream::{Stream, TIMEOUT};

/// A connection that speaks one of the legacy dialects.
#[derive(Debug)]
pub(crate) struct LegacySession {
    stream: Stream,
    words: &'static Vocabulary,
    is_in_step: bool,
}

/// The pause that separates two messages, as in the legacy clients.
const PAUSE: Duration = Duration::from_millis(100);

/// How long to wait for more bytes after a `##` that was received together with other bytes. If none follow,
/// the `##` was the end of the payload.
const SILENCE: Duration = Duration::from_millis(500);

impl LegacySession {
    /// Speaks the joined dialect (of note 000) over a connection, or the listed dialect (of note 004).
    pub(crate) fn new(stream: Stream, joined: bool) -> LegacySession {
        LegacySession { stream, words: if joined { &JOINED } else { &LISTED }, is_in_step: true }
    }

    fn say(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(message).map_err(Failure::connection)
    }

    /// Receives one message, which is not empty.
    fn hear(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    /// Sends a command. Fails unless the server replies `yes`.
    fn ask(&mut self, command: &str, yes: &str) -> Result<(), Failure> {
        self.say(command.as_bytes())?;
        let mut buffer = [0; 1024];
        let count = self.hear(&mut buffer).map_err(Failure::connection)?;
        if let Some(failure) = Failure::of_tls_port(&buffer[..count]) {
            return Err(failure);
        }
        match String::from_utf8_lossy(&buffer[..count]) {
            // Legacy servers reply either `OK` or `ok`.
            answer if answer.eq_ignore_ascii_case(yes) => Ok(()),
            answer => Err(Failure::Rejected(format!("the server replied {answer}"))),
        }
    }

    /// Receives a payload to its end, and passes its bytes to `keep`.
    fn receive(&mut self, keep: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        self.is_in_step = false;
        self.is_in_step = self.receive_pieces(keep)?;
        Ok(())
    }

    /// Returns whether the connection is still open after the payload.
    fn receive_pieces(
        &mut self,
        mut keep: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut buffer = vec![0; 64 * 1024];
        let mut held: &[u8] = b"";
        loop {
            let count = match self.hear(&mut buffer) {
                Ok(count) => count,
                // Nothing followed the `##` at the end of the last message. The timeout of a socket is EAGAIN
                // (socket(7)); ETIMEDOUT is a lost connection.
                Err(error) if held == END && error.kind() == io::ErrorKind::WouldBlock => {
                    return self.wait(TIMEOUT).map(|()| true);
                }
                // Some legacy servers close the connection after a transfer or when they exit, so EOF right after
                // `##` is the end, too. A reset is not: it discards bytes that the server had sent.
                Err(error) if held == END && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(false);
                }
                Err(error) => return Err(Failure::connection(error)),
            };
            let bytes = &buffer[..count];
            if bytes == END && held.is_empty() {
                return Ok(true);
            }
            keep(held)?;
            held = if bytes.ends_with(END) { END } else { b"" };
            keep(&bytes[..count - held.len()])?;
            self.wait(if held == END { SILENCE } else { TIMEOUT })?;
        }
    }

    /// Waits until the peer has acknowledged all sent bytes: a pause separates messages only after that.
    fn flush(&self) -> Result<(), Failure> {
        let until = Instant::now() + TIMEOUT;
        while unacknowledged(self.stream.as_fd()).is_some_and(|bytes| bytes > 0) {
            if Instant::now() > until {
                return Err(Failure::connection(io::ErrorKind::TimedOut.into()));
            }
            sleep(PAUSE / 10);
        }
        Ok(())
    }

    /// Sets the timeout of the next receive.
    fn wait(&self, time: Duration) -> Result<(), Failure> {
        self.stream.set_read_timeout(time).map_err(Failure::connection)
    }
}

impl Session for LegacySession {
    fn list(&mut self) -> Result<Vec<Entry>, Failure> {
        self.ask("L", "OK")?;
        let mut names = Vec::new();
        if self.words.joined {
            let mut buffer = [0; 4096];
            let count = self.hear(&mut buffer).map_err(Failure::connection)?;
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            names.extend(text.split('#').filter(|name| !name.is_empty()).map(str::to_owned));
        } else {
            self.receive(|name| {
                names.extend((!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned()));
                Ok(())
            })?;
        }
        Ok(names.into_iter().map(|name| Entry { name, details: None }).collect())
    }

    fn stat(&mut self, _name: &str) -> Result<Entry, Failure> {
        Err(Failure::Rejected("this dialect has no stat command".into()))
    }

    fn get(&mut self, name: &str, target: &Target) -> Result<(), Failure> {
        let command = format!("G {name}");
        match target.open()? {
            OpenTarget::Output(mut output) => {
                self.ask(&command, "OK")?;
                self.receive(|bytes| output.write(bytes))?;
                output.finish()
            }
            OpenTarget::Replaced(path) => {
                let mut download = Download::begin(path)?;
                self.ask(&command, "OK")?;
                self.receive(|bytes| download.write(bytes))?;
                download.finish()
            }
        }
    }

    fn put(&mut self, source: &mut Source, name: &str) -> Result<(), Failure> {
        self.ask(&format!("P {name}"), self.words.upload)?;
        self.is_in_step = false;
        source.copy_to(name, 0, |bytes| self.say(bytes))?;
        self.flush()?;
        sleep(PAUSE);
        self.say(END)?;
        // The server does not confirm the upload. The pause separates the end from the next message.
        sleep(SILENCE);
        self.is_in_step = true;
        Ok(())
    }

    fn is_in_step(&self) -> bool {
        self.is_in_step
    }

    fn quit(&mut self) {
        let _ = self.say(b"Q");
    }
}
