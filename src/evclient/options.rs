//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use argh::FromArgs;
use evserve::config::ClientOptions;
use evserve::config::Exit;
use evserve::protocol::Dialect;

use super::address::Address;
use super::failure::Failure;
use super::local::Target;

/// What is to be done.
#[derive(Debug)]
pub(crate) struct Options {
    /// Where the server is.
    pub address: Address,
    /// How it speaks.
    pub dialect: Dialect,
    /// What it is asked.
    pub command: Command,
}

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// What is typed into the menu.
    Menu,
    /// What files there are.
    List,
    /// What is known of one.
    Stat(String),
    /// Files by name, and where they go.
    Get(Vec<(String, Target)>),
    /// Files of ours, and what they will be called.
    Put(Vec<(String, String)>),
    /// Messages.
    Say {
        /// To whom.
        address: Address,
        /// Whether in datagrams.
        udp: bool,
    },
}

/// What stands for `-` while argh, which takes it for an option, looks at the words. No argument has a
/// NUL in it.
const DASH: &str = "\0";

impl Options {
    /// Reads the command line.
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Options, Exit> {
        let mut words = Vec::new();
        for argument in arguments {
            let argument = argument.into_string().map_err(|_| wrong_use("an argument is not UTF-8"))?;
            match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => {
                    words.extend([name.to_owned(), value.to_owned()])
                }
                _ if argument == "-" => words.push(DASH.to_owned()),
                _ => words.push(argument),
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // argh would ask for the address first.
        if words.contains(&"--version") {
            return Err(Exit { output: format!("evclient {}\n", env!("CARGO_PKG_VERSION")), code: 0 });
        }
        let words = ClientOptions::from_args(&["evclient"], &words).map_err(|exit| match exit.status {
            Ok(()) => Exit { output: exit.output, code: 0 },
            Err(()) => wrong_use(exit.output.lines().next().unwrap_or_default()),
        })?;
        Options::of(words)
    }

    fn of(words: ClientOptions) -> Result<Options, Exit> {
        let ClientOptions { dialect, udp, address: first, words, .. } = words;
        let dialect = Dialect::parse(&dialect).ok_or(wrong_use("--dialect is lines, joined or listed"))?;
        let words = std::iter::once(&first).chain(&words);
        let words: Vec<&str> = words.map(|word| if word == DASH { "-" } else { word.as_str() }).collect();
        let address =
            |text: &str| Address::parse(text).ok_or_else(|| wrong_use(&format!("{text} is no HOST:PORT")));
        let (address, command) = match words.as_slice() {
            ["say", to] => (address(to)?, Command::Say { address: address(to)?, udp }),
            _ if udp => return Err(wrong_use("--udp is for say")),
            [to] => (address(to)?, Command::Menu),
            [to, "list"] => (address(to)?, Command::List),
            [to, "stat", name] => (address(to)?, Command::Stat((*name).to_owned())),
            [to, "get", names @ ..] if !names.is_empty() => (address(to)?, Command::Get(downloads(names)?)),
            [to, "put", files @ ..] if !files.is_empty() => (address(to)?, Command::Put(uploads(files)?)),
            other => {
                let command = other.get(1).copied().unwrap_or_default();
                return Err(wrong_use(&format!("{command} is no command, or lacks a name")));
            }
        };
        Ok(Options { address, dialect, command })
    }
}

/// `NAME`, `NAME LOCAL`, `NAME -`, `NAME… FOLDER`, or `NAME NAME NAME…`.
fn downloads(words: &[&str]) -> Result<Vec<(String, Target)>, Exit> {
    let own =
        |name: &str| local_name(name).map(PathBuf::from).map_err(|failure| wrong_use(&failure.to_string()));
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

/// `LOCAL`, `LOCAL NAME`, `- NAME`, or `LOCAL LOCAL LOCAL…`.
fn uploads(words: &[&str]) -> Result<Vec<(String, String)>, Exit> {
    let pair = |local: &str, name: &str| (local.to_owned(), name.to_owned());
    match words {
        ["-"] => Err(wrong_use("what comes from standard input needs a name: put - NAME")),
        [local, name] => Ok(vec![pair(local, name)]),
        locals => locals
            .iter()
            .map(|local| {
                Ok(pair(local, local_name(local).map_err(|failure| wrong_use(&failure.to_string()))?))
            })
            .collect(),
    }
}

/// The last part of a path.
pub(crate) fn local_name(path: &str) -> Result<&str, Failure> {
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| Failure::Local(format!("{path} names no file")))
}

fn wrong_use(what: &str) -> Exit {
    let what = what.trim_end_matches('.');
    Exit { output: format!("evclient: {what}; evclient --help says more\n"), code: 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Result<Command, u8> {
        let words = line.split_whitespace().map(OsString::from);
        Options::parse(words).map(|options| options.command).map_err(|exit| exit.code)
    }

    #[test]
    fn what_is_to_be_done() {
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
