//! `evclient`: the client of the file protocol, with a menu for people and commands for scripts. It does one
//! thing at a time, so it uses blocking sockets.

mod address;
mod failure;
mod legacy;
mod lines;
mod local;
mod menu;
mod messages;
mod options;
mod progress;
mod say;
mod session;

use std::io::{self, Write};
use std::process::ExitCode;

use evserve::protocol::Dialect;

use address::Address;
use failure::Failure;
use legacy::LegacySession;
use lines::Lines;
use messages::Messages;
use options::{Command, Options};
use session::Session;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(exit) => {
            // Errors are ignored: the reader may have closed the pipe after the first lines.
            let _ = match exit.code {
                0 => io::stdout().write_all(exit.output.as_bytes()),
                _ => io::stderr().write_all(exit.output.as_bytes()),
            };
            return ExitCode::from(exit.code);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.code())
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let messages = Messages::of_environment();
    if let Command::Say { address, udp } = &options.command {
        return say::converse(address, *udp, &messages);
    }
    let mut session = connect(&options.address, options.dialect)?;
    let done = match &options.command {
        Command::Menu => return menu::run(&mut *session, &messages),
        Command::List => print_list(&mut *session),
        Command::Stat(name) => session.stat(name).and_then(|entry| print(&entry.line())),
        Command::Get(downloads) => each(downloads, |(name, target)| session.get(name, target)),
        Command::Put(uploads) => each(uploads, |(source, name)| {
            let mut source = local::Source::open(source)?;
            session.put(&mut source, name)
        }),
        Command::Say { .. } => Ok(()),
    };
    session.quit();
    done
}

fn connect(address: &Address, dialect: Dialect) -> Result<Box<dyn Session>, Failure> {
    let stream = address.connect()?;
    Ok(match dialect {
        Dialect::Joined => Box::new(LegacySession::new(stream, true)),
        Dialect::Listed => Box::new(LegacySession::new(stream, false)),
        Dialect::Auto | Dialect::Lines => Box::new(Lines::new(stream)?),
    })
}

fn print_list(session: &mut dyn Session) -> Result<(), Failure> {
    session.list()?.iter().try_for_each(|entry| print(&entry.line()))
}

fn print(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(|error| Failure::local("standard output", error))
}

/// Runs `action` for each item, and returns the first failure. Further failures are printed, and a lost
/// connection ends the loop.
fn each<T>(items: &[T], mut action: impl FnMut(&T) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut first = Ok(());
    for item in items {
        let Err(failure) = action(item) else { continue };
        if failure.is_final() {
            return first.and(Err(failure));
        }
        match first {
            Ok(()) => first = Err(failure),
            Err(_) => failure.report(),
        }
    }
    first
}
