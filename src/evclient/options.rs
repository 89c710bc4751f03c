//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, FromArgs};
use evserve::config::ClientOptions;
use evserve::config::{Exit, explain, split_words};
use evserve::protocol::Dialect;

use super::address::Address;
use super::failure::Failure;
use super::local::Target;

/// The parsed command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub address: Address,
    pub dialect: Dialect,
    pub command: Command,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Reads commands from the menu.
    Menu,
    List,
    Stat(String),
    /// Downloads: names on the server and local targets.
    Get(Vec<(String, Target)>),
    /// Uploads: local paths and names on the server.
    Put(Vec<(String, String)>),
    /// Sends typed messages.
    Say {
        address: Address,
        udp: bool,
    },
}

/// The placeholder for `-` while argh parses the words, because argh treats `-` as an option. No argument
/// contains a NUL.
const DASH: &str = "\0";

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Options, Exit> {
        let flags = ClientOptions::get_args_info().flags;
        let mut words = split_words(arguments, flags).map_err(|error| usage_error(&error))?;
        for word in words.iter_mut().filter(|word| *word == "-") {
            *word = DASH.to_owned();
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // argh would fail first, because the address is missing.
        if words.contains(&"--version") {
            return Err(Exit { output: format!("evclient {}\n", env!("CARGO_PKG_VERSION")), code: 0 });
        }
        let words = ClientOptions::from_args(&["evclient"], &words).map_err(|exit| match exit.status {
            Ok(()) => Exit { output: exit.output, code: 0 },
            Err(()) => usage_error(&explain(&exit.output, flags)),
        })?;
        Options::of(words)
    }

    fn of(words: ClientOptions) -> Result<Options, Exit> {
        let ClientOptions { dialect, udp, address: first, words, .. } = words;
        let dialect = Dialect::parse(&dialect).ok_or(usage_error("--dialect is lines, joined or listed"))?;
        let words = std::iter::once(&first).chain(&words);
        let words: Vec<&str> = words.map(|word| if word == DASH { "-" } else { word.as_str() }).collect();
        let address =
            |text: &str| Address::parse(text).ok_or_else(|| usage_error(&format!("{text} is not HOST:PORT")));
        let (address, command) = match words.as_slice() {
            ["say", to] => (address(to)?, Command::Say { address: address(to)?, udp }),
            _ if udp => return Err(usage_error("--udp is only for say")),
            [to] => (address(to)?, Command::Menu),
            [to, "list"] => (address(to)?, Command::List),
            [to, "stat", name] => (address(to)?, Command::Stat((*name).to_owned())),
            [to, "get", names @ ..] if !names.is_empty() => (address(to)?, Command::Get(downloads(names)?)),
            [to, "put", files @ ..] if !files.is_empty() => (address(to)?, Command::Put(uploads(files)?)),
            other => {
                let command = other.get(1).copied().unwrap_or_default();
                return Err(usage_error(&format!("{command} is not a command, or needs a name")));
            }
        };
        Ok(Options { address, dialect, command })
    }
}

/// Parses the words after `get`: `NAME`, `NAME LOCAL`, `NAME -`, `NAME… FOLDER`, or `NAME NAME NAME…`.
fn downloads(words: &[&str]) -> Result<Vec<(String, Target)>, Exit> {
    let own =
        |name: &str| local_name(name).map(PathBuf::from).map_err(|failure| usage_error(&failure.to_string()));
    let into = |names: &[&str], folder: &Path| {
        let target = |name: &&str| Ok(((*name).to_owned(), Target::File(folder.join(own(name)?))));
        names.iter().map(target).collect()
    };
    match words {
        [name, "-"] => Ok(vec![((*name).to_owned(), Target::Stdout)]),
        [names @ .., folder]
            if !names.is_empty() && (folder.ends_with('/') || Path::new(folder).is_dir()) =>
        {
            into(names, Path::new(folder))
        }
        [name, local] => Ok(vec![((*name).to_owned(), Target::File(PathBuf::from(local)))]),
        names => into(names, Path::new("")),
    }
}

/// Parses the words after `put`: `LOCAL`, `LOCAL NAME`, `- NAME`, or `LOCAL LOCAL LOCAL…`.
fn uploads(words: &[&str]) -> Result<Vec<(String, String)>, Exit> {
    let pair = |local: &str, name: &str| (local.to_owned(), name.to_owned());
    match words {
        ["-"] => Err(usage_error("standard input needs a name: put - NAME")),
        [local, name] => Ok(vec![pair(local, name)]),
        locals => locals
            .iter()
            .map(|local| {
                Ok(pair(local, local_name(local).map_err(|failure| usage_error(&failure.to_string()))?))
            })
            .collect(),
    }
}

/// Returns the last component of a path.
pub(crate) fn local_name(path: &str) -> Result<&str, Failure> {
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| Failure::Local(format!("{path} is not a file name")))
}

fn usage_error(what: &str) -> Exit {
    Exit::usage_error("evclient", what, "commands")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Result<Command, u8> {
        let words = line.split_whitespace().map(OsString::from);
        Options::parse(words).map(|options| options.command).map_err(|exit| exit.code)
    }

    #[test]
    fn arguments_parse_to_commands_or_exit_codes() {
        let get = |pairs: &[(&str, &str)]| {
            let target = |path: &str| if path == "-" { Target::Stdout } else { Target::File(path.into()) };
            Ok(Command::Get(pairs.iter().map(|(name, path)| ((*name).into(), target(path))).collect()))
        };
        let put = |pairs: &[(&str, &str)]| {
            Ok(Command::Put(pairs.iter().map(|(path, name)| ((*path).into(), (*name).into())).collect()))
        };
        assert_eq!(command("host"), Ok(Command::Menu));
        assert_eq!(command("8888 list"), Ok(Command::List));
        assert_eq!(command("h:1 get a"), get(&[("a", "a")]));
        assert_eq!(command("h:1 get a -"), get(&[("a", "-")]));
        assert_eq!(command("h:1 get a b"), get(&[("a", "b")]));
        assert_eq!(command("h:1 get a b x/"), get(&[("a", "x/a"), ("b", "x/b")]));
        assert_eq!(command("h:1 get a b c"), get(&[("a", "a"), ("b", "b"), ("c", "c")]));
        assert_eq!(command("h:1 put x/a"), put(&[("x/a", "a")]));
        assert_eq!(command("h:1 put - a"), put(&[("-", "a")]));
        assert_eq!(command("--dialect=listed h:1 put a b c"), put(&[("a", "a"), ("b", "b"), ("c", "c")]));
        for line in [
            "",
            "h:1 get",
            "h:1 put -",
            "h:1 put ..",
            "h:x list",
            "h:1 list x",
            "h:1 eat",
            "--udp h:1",
            "--x",
        ] {
            assert_eq!(command(line), Err(2), "{line}");
        }
        assert_eq!((command("--help"), command("--version")), (Err(0), Err(0)));
    }
}
