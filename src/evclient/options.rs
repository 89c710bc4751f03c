//! The command line.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use evserve::config::{ClientOptions, CommandLine, Exit, Words};
use evserve::protocol::Dialect;
use evserve::transport::tls::Trust;

use super::address::Address;
use super::batch::shown;
use super::download::is_folder;

/// The parsed command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub address: Address,
    pub dialect: Dialect,
    /// The servers that are trusted. `None` is a plain connection.
    pub trust: Option<Trust>,
    pub command: Command,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Reads commands from the menu.
    Menu,
    List,
    Stat(OsString),
    /// Downloads files of the server to a file or a folder.
    Get {
        names: Vec<OsString>,
        to: Option<PathBuf>,
    },
    /// Uploads local files, a single one also under another name.
    Put {
        paths: Vec<OsString>,
        stored_as: Option<OsString>,
    },
    /// Sends typed messages.
    Say {
        udp: bool,
    },
}

const COMMANDS: [&str; 5] = ["list", "stat", "get", "put", "say"];

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Options, Exit> {
        let (parsed, words) = <ClientOptions as CommandLine>::of(arguments)?;
        Options::of(&words, parsed)
    }

    fn of(words: &Words, parsed: ClientOptions) -> Result<Options, Exit> {
        let trust = trust(words, &parsed)?;
        let ClientOptions { dialect, to, stored_as, udp, address: first, words: rest, .. } = parsed;
        // A client cannot detect the dialect of a server, as a server does that of a client.
        let dialect = Dialect::parse(&dialect).filter(|dialect| *dialect != Dialect::Auto);
        let dialect = dialect.ok_or_else(|| usage_error("--dialect is lines, joined or listed"))?;
        let to = to.map(|path| PathBuf::from(words.decode(&path)));
        let stored_as = stored_as.map(|name| words.decode(&name));
        let mut rest: Vec<OsString> = rest.iter().map(|word| words.decode(word)).collect();
        let mut first = words.decode(&first);
        let is_say = first == "say";
        if is_say {
            if rest.len() != 1 {
                return Err(usage_error("say takes one address: say HOST:PORT"));
            }
            first = rest.remove(0);
        } else if let Some(command) = COMMANDS.iter().find(|command| first == **command) {
            return Err(usage_error(&format!("the address goes first: HOST:PORT {command}")));
        }
        let address = Address::parse(&first)
            .ok_or_else(|| usage_error(&format!("{} is not HOST:PORT or unix:PATH", shown(&first))))?;
        if udp && (!is_say || matches!(address, Address::Unix(_))) {
            return Err(usage_error("--udp is only for say HOST:PORT"));
        }
        if udp && trust.is_some() {
            return Err(usage_error("--tls is not for datagrams; leave out --udp"));
        }
        let command =
            if is_say { Command::Say { udp } } else { command(rest, to.clone(), stored_as.clone())? };
        if to.is_some() && !matches!(command, Command::Get { .. }) {
            return Err(usage_error("--to is only for get"));
        }
        if stored_as.is_some() && !matches!(command, Command::Put { .. }) {
            return Err(usage_error("--as is only for put"));
        }
        Ok(Options { address, dialect, trust, command })
    }
}

/// Checks the options for TLS.
fn trust(words: &Words, parsed: &ClientOptions) -> Result<Option<Trust>, Exit> {
    match (parsed.tls, &parsed.ca, parsed.insecure) {
        (_, Some(_), true) => Err(usage_error("--ca and --insecure exclude each other")),
        (false, Some(_), false) => Err(usage_error("--ca is only for --tls")),
        (false, None, true) => Err(usage_error("--insecure is only for --tls")),
        (false, None, false) => Ok(None),
        (true, Some(file), false) => Ok(Some(Trust::File(words.decode(file).into()))),
        (true, None, true) => Ok(Some(Trust::Any)),
        (true, None, false) => Ok(Some(Trust::System)),
    }
}

/// Parses the words after the address.
fn command(
    mut words: Vec<OsString>,
    to: Option<PathBuf>,
    stored_as: Option<OsString>,
) -> Result<Command, Exit> {
    if words.is_empty() {
        return Ok(Command::Menu);
    }
    let name = words.remove(0);
    match (name.to_str(), words.len()) {
        (Some("list"), 0) => Ok(Command::List),
        (Some("list"), _) => Err(usage_error("list takes no names")),
        (Some("stat"), 1) => Ok(Command::Stat(words.remove(0))),
        (Some("stat"), _) => Err(usage_error("stat takes one name")),
        (Some("get"), 0) => Err(usage_error("get needs a name: get NAME")),
        (Some("get"), _) => downloads(words, to),
        (Some("put"), 0) => Err(usage_error("put needs a file: put LOCAL")),
        (Some("put"), _) => uploads(words, stored_as),
        (Some("say"), _) => Err(usage_error("say goes before the address: say HOST:PORT")),
        _ => Err(usage_error(&format!("{} is not a command", shown(&name)))),
    }
}

/// Parses the words after `get`: names, or a name and `-` for standard output.
fn downloads(mut names: Vec<OsString>, mut to: Option<PathBuf>) -> Result<Command, Exit> {
    if names.len() == 2 && names[1] == "-" && to.is_none() {
        to = names.pop().map(PathBuf::from);
    }
    if names.iter().any(|name| name == "-") {
        return Err(usage_error("- is standard output, for one file: get NAME -"));
    }
    if let Some(folder) = to.as_deref().filter(|path| names.len() > 1 && !is_folder(path)) {
        let folder = shown(folder.as_os_str());
        return Err(usage_error(&format!("several files need a folder, and --to {folder} is not a folder")));
    }
    Ok(Command::Get { names, to })
}

/// Parses the words after `put`: local files, or `-` for standard input and its name.
fn uploads(mut paths: Vec<OsString>, mut stored_as: Option<OsString>) -> Result<Command, Exit> {
    if paths.len() == 2 && paths[0] == "-" && stored_as.is_none() {
        stored_as = paths.pop();
    }
    if paths.iter().any(|path| path == "-")
        && (paths.len() > 1 || stored_as.as_ref().is_none_or(|name| name == "-"))
    {
        return Err(usage_error("- is standard input, and needs a name: put - NAME"));
    }
    if stored_as.is_some() && paths.len() > 1 {
        return Err(usage_error(&format!("--as names one file, and put has {}", paths.len())));
    }
    let mut names: BTreeMap<&OsStr, &OsStr> = BTreeMap::new();
    for path in &paths {
        let Some(name) = Path::new(path).file_name() else { continue };
        if let Some(other) = names.insert(name, path).filter(|other| *other != path) {
            let [other, path, name] = [other, path, name].map(shown);
            return Err(usage_error(&format!("{other} and {path} would both be stored as {name}")));
        }
    }
    Ok(Command::Put { paths, stored_as })
}

fn usage_error(what: &str) -> Exit {
    ClientOptions::usage_error(what)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn command(line: &str) -> Result<Command, u8> {
        let words = line.split_whitespace().map(OsString::from);
        Options::parse(words).map(|options| options.command).map_err(|exit| exit.code)
    }

    fn get(names: &[&str], to: Option<&str>) -> Result<Command, u8> {
        Ok(Command::Get { names: names.iter().map(OsString::from).collect(), to: to.map(PathBuf::from) })
    }

    fn put(paths: &[&str], stored_as: Option<&str>) -> Result<Command, u8> {
        let paths = paths.iter().map(OsString::from).collect();
        Ok(Command::Put { paths, stored_as: stored_as.map(OsString::from) })
    }

    #[test]
    fn arguments_parse_to_commands() {
        assert_eq!(command("host"), Ok(Command::Menu));
        assert_eq!(command("8888 list"), Ok(Command::List));
        assert_eq!(command("unix:/run/x list"), Ok(Command::List));
        assert_eq!(command("h:1 stat a"), Ok(Command::Stat("a".into())));
        assert_eq!(command("h:1 get a"), get(&["a"], None));
        assert_eq!(command("h:1 get a -"), get(&["a"], Some("-")));
        assert_eq!(command("h:1 get a --to -"), get(&["a"], Some("-")));
        assert_eq!(command("h:1 get a b"), get(&["a", "b"], None));
        assert_eq!(command("h:1 get a --to b"), get(&["a"], Some("b")));
        assert_eq!(command("--to=x/ h:1 get a b"), get(&["a", "b"], Some("x/")));
        assert_eq!(command("h:1 put x/a"), put(&["x/a"], None));
        assert_eq!(command("h:1 put a b"), put(&["a", "b"], None));
        assert_eq!(command("h:1 put a a"), put(&["a", "a"], None));
        assert_eq!(command("h:1 put a --as b"), put(&["a"], Some("b")));
        assert_eq!(command("h:1 put - a"), put(&["-"], Some("a")));
        assert_eq!(command("h:1 put - --as a"), put(&["-"], Some("a")));
        assert_eq!(command("h:1 put -- -a --as=b"), put(&["-a", "--as=b"], None));
        assert_eq!(command("--dialect=listed h:1 put a b c"), put(&["a", "b", "c"], None));
        assert_eq!(command("say h:1 --udp"), Ok(Command::Say { udp: true }));
        assert_eq!((command("--help"), command("--version")), (Err(0), Err(0)));
        assert_eq!((command("h:1 list -V"), command("h:1 put -- -V")), (Err(0), put(&["-V"], None)));
        assert_eq!(command("h:1 get a --to -V"), get(&["a"], Some("-V")));
        assert_eq!(command("h:1 get a --to --help"), get(&["a"], Some("--help")));
        assert_eq!(command("h:1 put --as --x=y a"), put(&["a"], Some("--x=y")));
        assert_eq!(command("h:1 put --as=- -"), Err(2));
        let words = ["h:1", "put", "--as=a"].map(OsString::from).into_iter();
        let word = OsString::from_vec(b"\xff".to_vec());
        let parsed = Options::parse(words.chain([word.clone()])).map(|options| options.command);
        let put = Command::Put { paths: vec![word], stored_as: Some("a".into()) };
        assert_eq!(parsed.map_err(|exit| exit.code), Ok(put));
    }

    #[test]
    fn the_options_for_tls_say_which_servers_are_trusted() {
        let trust = |line: &str| {
            let parsed = Options::parse(line.split_whitespace().map(OsString::from));
            parsed.map(|options| options.trust).map_err(|exit| exit.output)
        };
        assert_eq!(trust("h:1 list"), Ok(None));
        assert_eq!(trust("--tls h:1 list"), Ok(Some(Trust::System)));
        assert_eq!(trust("h:1 list --tls --ca=f"), Ok(Some(Trust::File("f".into()))));
        assert_eq!(trust("h:1 list --insecure --tls"), Ok(Some(Trust::Any)));
        assert_eq!(trust("say unix:x --tls"), Ok(Some(Trust::System)));
    }

    #[test]
    fn usage_errors_say_which_argument_is_wrong() {
        for (line, why) in [
            ("", "Required positional arguments not provided: HOST:PORT;"),
            ("h:x list", "h:x is not HOST:PORT"),
            ("h:1 list x", "list takes no names"),
            ("h:1 stat", "stat takes one name"),
            ("h:1 stat a b", "stat takes one name"),
            ("h:1 get", "get needs a name"),
            ("h:1 get -", "standard output"),
            ("h:1 get a b -", "standard output"),
            ("h:1 get a b --to /no/folder", "--to /no/folder is not a folder"),
            ("h:1 get a --as b", "--as is only for put"),
            ("h:1 put", "put needs a file"),
            ("h:1 put -", "needs a name: put - NAME"),
            ("h:1 put - -", "needs a name: put - NAME"),
            ("h:1 put a -", "needs a name: put - NAME"),
            ("h:1 put a b --as c", "--as names one file, and put has 2"),
            ("h:1 put a --to b", "--to is only for get"),
            ("h:1 put x/a y/a", "x/a and y/a would both be stored as a"),
            ("h:1 eat", "eat is not a command"),
            ("h:1 say", "say goes before the address"),
            ("h:1 --as b", "--as is only for put"),
            ("put a", "the address goes first: HOST:PORT put"),
            ("say", "say takes one address"),
            ("say h:1 hello", "say takes one address"),
            ("--udp h:1", "--udp is only for say"),
            ("say unix:x --udp", "--udp is only for say"),
            ("--dialect=x h:1", "--dialect is lines, joined or listed"),
            ("--dialect=auto h:1", "--dialect is lines, joined or listed"),
            ("--ca f h:1", "--ca is only for --tls"),
            ("--insecure h:1", "--insecure is only for --tls"),
            ("--tls --insecure --ca=f h:1", "--ca and --insecure exclude each other"),
            ("--insecure --ca=f h:1", "--ca and --insecure exclude each other"),
            ("--tls h:1 --ca", "--ca needs a value"),
            ("say h:1 --udp --tls", "--tls is not for datagrams"),
            ("--x", "unknown argument \"--x\""),
        ] {
            let parsed = Options::parse(line.split_whitespace().map(OsString::from));
            let Err(exit) = parsed else { panic!("{line} is accepted") };
            assert!(exit.code == 2 && exit.output.contains(why), "{line}: {}", exit.output);
        }
    }
}
