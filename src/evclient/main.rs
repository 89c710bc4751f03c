//! `evclient`: the client of the file protocol, with a menu for people and commands for scripts. It does one
//! thing at a time, so it uses blocking sockets.

mod address;
mod batch;
mod connector;
mod download;
mod failure;
mod legacy;
mod lines;
mod menu;
mod messages;
mod options;
mod progress;
mod say;
mod server;
mod session;
mod source;
mod stream;

use std::ffi::OsStr;
use std::process::ExitCode;

use connector::Connector;
use failure::Failure;
use messages::Messages;
use options::{Command, Options};
use server::Server;
use session::Session;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(exit) => return exit.print(),
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
    if let Command::Say { udp } = options.command {
        return say::converse(options, udp, &messages);
    }
    let connector = Connector::new(&options.address, options.trust.as_ref())?;
    let mut server = Server::connect(connector, options.dialect)?;
    let done = match &options.command {
        Command::Menu => return menu::run(&mut server, &messages),
        Command::List => print_list(&mut server),
        Command::Stat(name) => print_details(&mut server, name),
        Command::Get { names, to } => batch::download(&mut server, names, to.as_deref(), |_| {}),
        Command::Put { paths, stored_as } => batch::upload(&mut server, paths, stored_as.as_deref(), |_| {}),
        Command::Say { .. } => Ok(()),
    };
    server.quit();
    done
}

fn print_list(session: &mut dyn Session) -> Result<(), Failure> {
    session.list()?.iter().try_for_each(|entry| say::print(&entry.line()))
}

fn print_details(session: &mut dyn Session, name: &OsStr) -> Result<(), Failure> {
    let details = match name.to_str() {
        Some(name) => session.stat(name),
        None => Err(Failure::Local("the name is not UTF-8".into())),
    };
    say::print(&details.map_err(|failure| failure.about(&batch::shown(name)))?.line())
}
