//! `evserve`: options, log, server, exit code.

use std::io::{self, LineWriter};
use std::process::ExitCode;

use evserve::config::Config;
use evserve::event_loop::Ended;
use evserve::options::Options;
use evserve::server::Server;
use log::LevelFilter;
use simplelog::{ConfigBuilder, WriteLogger};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(exit) if exit.code == 0 => {
            print!("{}", exit.output);
            return ExitCode::SUCCESS;
        }
        Err(exit) => {
            eprint!("{}", exit.output);
            return ExitCode::from(exit.code);
        }
    };
    match serve(&options) {
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        // As a shell reports a program that the signal killed.
        Ok(Ended::AtOnce(signal)) => ExitCode::from(128 + u8::try_from(signal).unwrap_or(0)),
        Err(error) => {
            eprintln!("evserve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> Result<Ended, Box<dyn std::error::Error>> {
    let config = Config::new(options)?;
    log_to_stderr(config.log_level)?;
    Ok(Server::start(&config)?.run()?)
}

fn log_to_stderr(level: LevelFilter) -> Result<(), log::SetLoggerError> {
    let config = ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_target_level(LevelFilter::Off)
        .set_thread_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .build();
    // A line leaves in one piece.
    WriteLogger::init(level, config, LineWriter::new(io::stderr()))
}
