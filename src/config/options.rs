//! The command line. Values are kept as text; [`Config`] checks them, so that every bad one gets a
//! line of ours. The texts are also what the man page and the completions are made of (`make manual`); what
//! stands in parentheses at the end of one is the default.
//!
//! [`Config`]: crate::config::Config

use std::ffi::OsString;

use argh::{ArgsInfo, FromArgs};

/// Serves a folder of files over HTTP, in one thread and one loop.
///
/// ADDR is PORT (this machine only), :PORT (every interface), IP:PORT, [IPv6]:PORT, unix:PATH or
/// off. A time is 500ms, 10s, 2m, 1h, or a bare number of seconds; a size is 500, 64k, 10M or 1G,
/// in powers of 1024.
#[derive(Debug, FromArgs, ArgsInfo)]
#[allow(rustdoc::broken_intra_doc_links)] // This comment is the help text.
#[argh(help_triggers("-h", "--help"))]
pub struct Options {
    /// the site that HTTP serves (./html)
    #[argh(option, arg_name = "DIR", default = "String::from(\"./html\")")]
    pub html: String,

    /// listen for HTTP; repeatable (7890)
    #[argh(option, arg_name = "ADDR")]
    pub http: Vec<String>,

    /// the library that every door reads and writes (the site, and nothing is written)
    #[argh(option, arg_name = "DIR")]
    pub files: Option<String>,

    /// listen for the file protocol; repeatable (8888)
    #[argh(option, arg_name = "ADDR")]
    pub file: Vec<String>,

    /// how file connections speak: auto, lines, joined or listed (auto)
    #[argh(option, arg_name = "DIALECT")]
    pub dialect: Option<String>,

    /// acknowledge what comes over TCP; repeatable (off)
    #[argh(option, arg_name = "ADDR")]
    pub ack: Vec<String>,

    /// acknowledge what comes over UDP; repeatable (off)
    #[argh(option, arg_name = "ADDR")]
    pub ack_udp: Vec<String>,

    /// what --ack and --ack-udp answer, with {time}, {message}, {bytes}, {peer} and {count} filled in (收到了你的消息)
    #[argh(option, arg_name = "TEMPLATE")]
    pub ack_reply: Option<String>,

    /// datagrams of one address that are answered in a second, 0 for no limit (200)
    #[argh(option, arg_name = "N")]
    pub udp_rate: Option<String>,

    /// between two messages of the joined and listed dialects (100ms)
    #[argh(option, arg_name = "TIME")]
    pub pace: Option<String>,

    /// write nothing to the library
    #[argh(switch)]
    pub read_only: bool,

    /// let an upload replace a file of its name
    #[argh(switch)]
    pub overwrite: bool,

    /// let files of the library be deleted over HTTP
    #[argh(switch)]
    pub allow_delete: bool,

    /// a name of this server that browsers may write under; repeatable
    #[argh(option, arg_name = "NAME")]
    pub host: Vec<String>,

    /// acknowledge an upload when it is on the disk
    #[argh(switch)]
    pub fsync: bool,

    /// bytes of the largest upload (1G)
    #[argh(option, arg_name = "SIZE")]
    pub max_upload: Option<String>,

    /// bytes of all files of the library together (no limit)
    #[argh(option, arg_name = "SIZE")]
    pub max_library: Option<String>,

    /// what uploads leave free of the disk, in bytes or percent (5%)
    #[argh(option, arg_name = "SIZE")]
    pub keep_free: Option<String>,

    /// uploads that were cut off and are kept to be taken up again (100)
    #[argh(option, arg_name = "N")]
    pub partial_max: Option<String>,

    /// for how long they are kept (24h)
    #[argh(option, arg_name = "TIME")]
    pub partial_age: Option<String>,

    /// listen for the inspector; not built yet, only off is valid (off)
    #[argh(option, arg_name = "ADDR")]
    pub admin: Vec<String>,

    /// list folders that have no index.html
    #[argh(switch)]
    pub list: bool,

    /// send files as they are: no .br, .zst or .gz beside them, no gzip made of them
    #[argh(switch)]
    pub no_compress: bool,

    /// answer navigations to what is not there with index.html
    #[argh(switch)]
    pub spa: bool,

    /// let /about be about.html
    #[argh(switch)]
    pub pretty_urls: bool,

    /// let pages of other origins read what is served
    #[argh(switch)]
    pub cors: bool,

    /// a media type by extension, as ext=type/subtype; repeatable
    #[argh(option, arg_name = "RULE")]
    pub mime: Vec<String>,

    /// value of Cache-Control for some files, as GLOB=VALUE or fingerprinted=VALUE, or of all, as VALUE; the
    /// first that matches counts; repeatable
    #[argh(option, arg_name = "RULE")]
    pub cache_control: Vec<String>,

    /// a field of every answer, as 'Name: value'; repeatable
    #[argh(option, arg_name = "LINE")]
    pub header: Vec<String>,

    /// connections at once; cut to what RLIMIT_NOFILE allows (16000)
    #[argh(option, arg_name = "N")]
    pub max_connections: Option<String>,

    /// connections at once from one address, 0 for no limit (0)
    #[argh(option, arg_name = "N")]
    pub max_per_client: Option<String>,

    /// between two requests of a connection (60s)
    #[argh(option, arg_name = "TIME")]
    pub idle_timeout: Option<String>,

    /// between two commands of a file connection, or messages of an acknowledged one (1h)
    #[argh(option, arg_name = "TIME")]
    pub file_idle_timeout: Option<String>,

    /// for a whole request head or command (10s)
    #[argh(option, arg_name = "TIME")]
    pub head_timeout: Option<String>,

    /// without a byte of an incoming body (30s)
    #[argh(option, arg_name = "TIME")]
    pub body_timeout: Option<String>,

    /// without progress of the output (30s)
    #[argh(option, arg_name = "TIME")]
    pub write_timeout: Option<String>,

    /// for all connections to end after SIGTERM or SIGINT (30s)
    #[argh(option, arg_name = "TIME")]
    pub drain_timeout: Option<String>,

    /// print every turn of the loop on the standard output: who was ready, what was done, how long it took
    #[argh(switch)]
    pub trace: bool,

    /// events to log: off, error, warn, info, debug or trace (info)
    #[argh(option, arg_name = "LEVEL")]
    pub log_level: Option<String>,

    /// where events are logged (standard error)
    #[argh(option, arg_name = "PATH")]
    pub log_file: Option<String>,

    /// where answers are logged (not at all)
    #[argh(option, arg_name = "PATH")]
    pub access_log: Option<String>,

    /// how answers are logged: combined, or json for a JSON object a line (combined)
    #[argh(option, arg_name = "FORMAT")]
    pub access_format: Option<String>,

    /// print the version
    #[argh(switch)]
    pub version: bool,
}

/// Why there is nothing to run: what to print, and the exit code. Code 0 goes to stdout.
#[derive(Debug, PartialEq, Eq)]
pub struct Exit {
    /// What to print.
    pub output: String,
    /// 0 for help and version, 2 for a wrong use.
    pub code: u8,
}

impl Options {
    /// Parses the arguments behind the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, Exit> {
        let mut words = Vec::new();
        for argument in arguments {
            let argument = argument
                .into_string()
                .map_err(|argument| wrong_use(&format!("{argument:?} is not UTF-8")))?;
            match argument.split_once('=') {
                // argh knows only `--name value`.
                Some((name, value)) if name.starts_with("--") => {
                    words.extend([name.to_owned(), value.to_owned()])
                }
                _ => words.push(argument),
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let options = Options::from_args(&["evserve"], &words).map_err(|exit| match exit.status {
            Ok(()) => Exit { output: exit.output, code: 0 },
            Err(()) => wrong_use(exit.output.lines().next().unwrap_or_default()),
        })?;
        if options.version {
            return Err(Exit { output: format!("evserve {}\n", env!("CARGO_PKG_VERSION")), code: 0 });
        }
        Ok(options)
    }
}

fn wrong_use(what: &str) -> Exit {
    let what = what.trim_end_matches('.');
    Exit { output: format!("evserve: {what}; evserve --help lists the options\n"), code: 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Exit> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn both_ways_of_giving_a_value_work() {
        for line in ["--html a=b --http 1 --http :2", "--html=a=b --http=1 --http=:2"] {
            let options = parse(line).expect("options");
            assert_eq!((options.html.as_str(), options.http), ("a=b", vec!["1".to_owned(), ":2".to_owned()]));
        }
    }

    #[test]
    fn help_and_version_are_no_errors() {
        for line in ["--help", "-h", "--http 1 --help"] {
            let exit = parse(line).expect_err("help");
            assert!(exit.code == 0 && exit.output.contains("--max-per-client"), "{exit:?}");
        }
        assert_eq!(parse("--version").map_err(|exit| exit.code).err(), Some(0));
    }

    #[test]
    fn a_wrong_use_is_one_line_that_names_it() {
        for (line, named) in [
            ("--prot 80", "--prot"),
            ("--prot=80", "--prot"),
            ("8080", "8080"),
            ("--html", "--html"),
            ("--version=yes", "yes"),
            ("--html a --html b", "--html"),
            ("-x", "-x"),
        ] {
            let exit = parse(line).expect_err(line);
            assert_eq!((exit.code, exit.output.matches('\n').count()), (2, 1), "{exit:?}");
            assert!(exit.output.contains(named), "{exit:?}");
        }
    }
}
