//! `evserve`: parses the options, sets up the log, runs the server and returns its exit code. `evserve top` shows a
//! running server.

#[cfg(feature = "top")]
mod top;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use evserve::config::{Config, Options};
use evserve::event_loop::Shutdown;
use evserve::observe::{LineLog, LogFile};
use evserve::server::Server;
use log::LevelFilter;
use simplelog::{ConfigBuilder, WriteLogger};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    if arguments.next_if(|word| word == "top").is_some() {
        return run_top(arguments);
    }
    let options = match Options::parse(arguments) {
        Ok(options) => options,
        Err(exit) => return exit.print(),
    };
    match serve(&options) {
        Ok(Shutdown::Drained) => ExitCode::SUCCESS,
        // The exit code that a shell reports for a program killed by this signal.
        Ok(Shutdown::Forced(signal)) => ExitCode::from(128 + u8::try_from(signal).unwrap_or(0)),
        Err(error) => {
            let _ = io::stderr().write_all(format!("evserve: {error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "top")]
fn run_top(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    top::run(arguments)
}

#[cfg(not(feature = "top"))]
fn run_top(_arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let missing = "this build has no top; build evserve with --features top";
    let _ = io::stderr().write_all(format!("evserve: {missing}\n").as_bytes());
    ExitCode::from(2)
}

fn serve(options: &Options) -> Result<Shutdown, Box<dyn std::error::Error>> {
    let config = Config::new(options)?;
    let events = log_events(&config)?;
    Ok(Server::start(&config, events)?.run()?)
}

fn log_events(config: &Config) -> Result<LineLog, Box<dyn std::error::Error>> {
    let target = &config.log_file;
    let file = LogFile::of(target)
        .map_err(|error| format!("cannot open the log {target}: {error}; give --log-file another path"))?;
    let events = LineLog::new(file);
    let format = ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_target_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .build();
    WriteLogger::init(config.log_level, format, events.clone())?;
    Ok(events)
}
