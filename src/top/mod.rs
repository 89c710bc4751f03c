//! `evserve top`: a terminal view of a running evserve. It has one thread, which waits for the keyboard, signals and the
//! server at the same time, as the server's loop does.

mod board;
mod columns;
mod display;
mod error;
mod feed;
mod frame;
mod history;
mod keys;
mod query;
mod report;
mod server_address;
mod summary;
mod terminal;
mod units;
mod view;
mod wait;

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use evserve::config::{CommandLine, DEFAULT_ADMIN, TopOptions};

use server_address::GivenAddress;

/// Runs `evserve top` with the arguments that follow these words.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let (options, address) = match TopOptions::parse(arguments) {
        Ok(parsed) => parsed,
        Err(exit) => return exit.print(),
    };
    let address = address.unwrap_or_else(|| DEFAULT_ADMIN.into());
    let Some(given) = GivenAddress::parse(&address) else {
        return TopOptions::usage_error(&format!("{address:?} is not HOST:PORT or unix:PATH")).print();
    };
    let shown = given.resolve().and_then(|server| {
        if options.once || !has_terminal() {
            report::print(server, &options)
        } else {
            display::show(server, &options)
        }
    });
    shown.unwrap_or_else(|error| {
        let _ = io::stderr().write_all(format!("evserve top: {error}\n").as_bytes());
        ExitCode::FAILURE
    })
}

/// Returns whether standard input and output are a terminal that can move the cursor.
fn has_terminal() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == OsStr::new("dumb"));
    io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb
}
