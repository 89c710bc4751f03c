//! The command line of `evserve top`. It is part of the library so that the man page and the completions can be
//! generated from it.

use std::ffi::OsString;

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};

use super::usage::{CommandLine, Exit};

/// Shows a running evserve in the terminal: connections, traffic and event loop.
#[derive(ArgsInfo, Debug, FromArgs)]
#[allow(rustdoc::broken_intra_doc_links)] // This comment is the help text.
#[argh(help_triggers("-h", "--help"))]
pub struct TopOptions {
    /// print one report, with the rates of one second, and exit; the default if there is no terminal
    #[argh(switch)]
    pub once: bool,

    /// order of the connections, largest first: id, age, inactive, in, out, queued, requests or deadline (out)
    #[argh(option, arg_name = "COLUMN")]
    pub sort: Option<String>,

    /// print the version
    #[argh(switch, short = 'V')]
    pub version: bool,

    /// address of the server's --admin: PORT, HOST, HOST:PORT or unix:PATH (127.0.0.1:7891)
    #[argh(positional, arg_name = "HOST:PORT")]
    pub address: Option<String>,
}

/// The orders of the connections, as `--sort` and the server name them.
pub const ORDERS: [&str; 8] = ["out", "in", "queued", "requests", "age", "inactive", "deadline", "id"];

/// The keys, for `--help` and the help in the terminal: names and meanings.
pub const KEYS: [(&str, &str); 9] = [
    ("q, Esc, Ctrl-C", "quit"),
    ("arrows, PgUp, PgDn, Home, End", "select a connection"),
    ("Enter", "show all of the selected connection"),
    ("s, S", "sort by the next or previous column"),
    ("r", "reverse the order"),
    ("/", "show only peers whose address contains a text"),
    ("p, Space", "pause the display"),
    ("Ctrl-L, Ctrl-Z", "draw again, suspend"),
    ("h, ?", "help"),
];

impl CommandLine for TopOptions {
    const PROGRAM: &'static str = "evserve top";
    const LISTED: &'static str = "options";
    // The path of a unix socket.
    const ANY_BYTES: &'static [&'static str] = &[""];

    fn help(default: String, _program: &CommandInfoWithArgs) -> String {
        let keys = KEYS.map(|(names, meaning)| format!("  {names:31}{meaning}\n")).concat();
        format!("{default}\nKeys:\n{keys}")
    }
}

impl TopOptions {
    /// Parses the arguments that follow `evserve top`. Returns the address as it was given, too: the path of a unix
    /// socket need not be UTF-8.
    pub fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<(TopOptions, Option<OsString>), Exit> {
        let (options, words) = <TopOptions as CommandLine>::of(arguments)?;
        if let Some(sort) = options.sort.as_deref().filter(|sort| !ORDERS.contains(sort)) {
            return Err(Self::usage_error(&format!("--sort {sort:?} is not one of {}", ORDERS.join(", "))));
        }
        let address = options.address.as_ref().map(|word| words.decode(word));
        Ok((options, address))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn parse(line: &str) -> Result<(TopOptions, Option<OsString>), Exit> {
        TopOptions::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn address_and_options_may_be_left_out() {
        let (options, address) = parse("").expect("defaults");
        assert_eq!((options.once, options.sort, address), (false, None, None));
        let (options, address) = parse("--once h:1 --sort=queued").expect("options");
        assert_eq!((options.once, options.sort.as_deref()), (true, Some("queued")));
        assert_eq!(address, Some("h:1".into()));
        let path = OsString::from_vec(b"unix:\xff".to_vec());
        assert_eq!(TopOptions::parse([path.clone()]).expect("a path").1, Some(path));
    }

    #[test]
    fn usage_errors_are_one_line() {
        for (line, named) in
            [("--sort size", "\"size\""), ("--onec", "--once"), ("1 2", "\"2\""), ("--sort", "--sort")]
        {
            let exit = parse(line).expect_err(line);
            assert_eq!((exit.code, exit.output.matches('\n').count()), (2, 1), "{exit:?}");
            assert!(exit.output.starts_with("evserve top: ") && exit.output.contains(named), "{exit:?}");
        }
    }

    #[test]
    fn help_lists_the_keys_and_every_order() {
        let exit = parse("--help").expect_err("help");
        assert!(exit.code == 0 && exit.output.contains("reverse the order"), "{exit:?}");
        for order in ORDERS {
            let sort = TopOptions::get_args_info().flags.iter().find(|flag| flag.long == "--sort");
            assert!(sort.is_some_and(|sort| sort.description.contains(order)), "{order}");
        }
        assert!(exit.output.lines().all(|line| line.chars().count() <= 80), "{}", exit.output);
    }
}
