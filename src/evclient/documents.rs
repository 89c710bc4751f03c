//! The dialects of the documents' own servers, which tell messages apart by what one receive call
//! brings: `##` alone ends what they send.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use evserve::protocol::file::vocabulary::{END, JOINED, LISTED, Vocabulary};
use evserve::transport::unacknowledged;

use super::address::TIMEOUT;
use super::failure::Failure;
use super::local::{Download, Source, Target};
use super::progress;
use super::session::{Entry, Session};

/// A connection.
#[derive(Debug)]
pub(crate) struct Documents {
    stream: TcpStream,
    words: &'static Vocabulary,
}

/// What keeps two of our messages apart, as in the documents' client.
const PAUSE: Duration = Duration::from_millis(100);

/// How long nothing comes behind an end that did not come alone.
const SILENCE: Duration = Duration::from_millis(500);

impl Documents {
    /// Speaks over a connection: as document 000, or as document 004.
    pub(crate) fn new(stream: TcpStream, joined: bool) -> Documents {
        Documents { stream, words: if joined { &JOINED } else { &LISTED } }
    }

    fn say(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.stream.write_all(message).map_err(Failure::connection)
    }

    /// What one receive call brings.
    fn hear(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        match self.stream.read(buffer).map_err(Failure::connection)? {
            0 => Err(Failure::connection(io::ErrorKind::UnexpectedEof.into())),
            count => Ok(count),
        }
    }

    /// Asks for something, which the server does if it answers with `yes`.
    fn ask(&mut self, command: &str, yes: &str) -> Result<(), Failure> {
        self.say(command.as_bytes())?;
        let mut buffer = [0; 1024];
        let count = self.hear(&mut buffer)?;
        match String::from_utf8_lossy(&buffer[..count]) {
            // One document says OK where the other says ok.
            answer if answer.eq_ignore_ascii_case(yes) => Ok(()),
            answer => Err(Failure::Refused(format!("{command}: {answer}"))),
        }
    }

    /// Hears all that comes until the end.
    fn receive(&mut self, mut keep: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut buffer = vec![0; 64 * 1024];
        let mut held: &[u8] = b"";
        loop {
            let count = match self.hear(&mut buffer) {
                Ok(count) => count,
                // It ended together with what came before it.
                Err(Failure::Connection(_)) if held == END => return self.wait(None),
                Err(failure) => return Err(failure),
            };
            let bytes = &buffer[..count];
            if bytes == END && held.is_empty() {
                return Ok(());
            }
            keep(held)?;
            held = if bytes.ends_with(END) { END } else { b"" };
            keep(&bytes[..count - held.len()])?;
            self.wait((held == END).then_some(SILENCE))?;
        }
    }

    /// Waits until the server's system has all that was said: only then a pause keeps messages apart.
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

    /// How long to wait for what comes next.
    fn wait(&self, time: Option<Duration>) -> Result<(), Failure> {
        self.stream.set_read_timeout(time.or(Some(TIMEOUT))).map_err(Failure::connection)
    }
}

impl Session for Documents {
    fn list(&mut self) -> Result<Vec<Entry>, Failure> {
        self.ask("L", "OK")?;
        let mut names = Vec::new();
        if self.words.joined {
            let mut buffer = [0; 4096];
            let count = self.hear(&mut buffer)?;
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
        Err(Failure::Refused("this dialect cannot say what is known of a file".into()))
    }

    fn get(&mut self, name: &str, target: &Target) -> Result<(), Failure> {
        self.ask(&format!("G {name}"), "OK")?;
        match target {
            Target::Stdout => self.receive(|bytes| {
                io::stdout().write_all(bytes).map_err(|error| Failure::local("standard output", error))
            }),
            Target::File(path) => {
                let mut download = Download::begin(path)?;
                self.receive(|bytes| download.write(bytes))?;
                download.finish()
            }
        }
    }

    fn put(&mut self, source: &mut Source, name: &str) -> Result<(), Failure> {
        self.ask(&format!("P {name}"), self.words.upload)?;
        source.begin_at(0)?;
        let bar = progress::bar(name, 0, source.length);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match source.read(&mut buffer)? {
                0 => break,
                count => {
                    self.say(&buffer[..count])?;
                    bar.inc(count as u64);
                }
            }
        }
        bar.finish_and_clear();
        self.flush()?;
        sleep(PAUSE);
        self.say(END)?;
        // Nothing says that it was stored. What is said next must not come together with the end.
        sleep(SILENCE);
        Ok(())
    }

    fn quit(&mut self) {
        let _ = self.say(b"Q");
    }
}
