//! The command line of `evserve`. Values are kept as text; [`Config`] checks them, so that every invalid value is
//! reported the same way. `--help`, the man page, the completions and `docs/options.md` are generated from the texts;
//! parentheses at the end of a text hold the default.
//!
//! [`Config`]: crate::config::Config

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};

use super::usage::{CommandLine, Exit};
use super::{address, help};

/// Serves a folder of files over HTTP, with one thread and one event loop.
#[derive(Debug, FromArgs, ArgsInfo)]
#[allow(rustdoc::broken_intra_doc_links)] // This comment is the help text.
#[argh(help_triggers("-h", "--help"))]
pub struct Options {
    /// folder that HTTP serves (./html)
    #[argh(option, arg_name = "DIR", default = "PathBuf::from(\"./html\")")]
    pub html: PathBuf,

    /// address to listen on for HTTP; repeatable (7890)
    #[argh(option, arg_name = "ADDR")]
    pub http: Vec<String>,

    /// address to listen on for HTTPS, which needs --cert and --key, or --self-signed; repeatable (off)
    #[argh(option, arg_name = "ADDR")]
    pub https: Vec<String>,

    /// certificate chain in PEM for --https and --file-tls, read again when it changes; repeatable, in pairs with --key:
    /// clients get the one that has the name they ask for, else the first
    #[argh(option, arg_name = "FILE")]
    pub cert: Vec<PathBuf>,

    /// private key in PEM for the certificate in the same place; repeatable
    #[argh(option, arg_name = "FILE")]
    pub key: Vec<PathBuf>,

    /// make a certificate at start, for localhost and the names and addresses of this machine
    #[argh(switch)]
    pub self_signed: bool,

    /// folder that keeps the certificate of --self-signed, so that it stays the same (none)
    #[argh(option, arg_name = "DIR")]
    pub state: Option<PathBuf>,

    /// certificates in PEM of the authorities that sign those of clients; clients without one are rejected (none)
    #[argh(option, arg_name = "FILE")]
    pub client_ca: Option<PathBuf>,

    /// redirect plain HTTP to the first --https listener, except /.well-known/acme-challenge/
    #[argh(switch)]
    pub redirect_https: bool,

    /// how long browsers remember to use HTTPS only: Strict-Transport-Security in responses over HTTPS (off)
    #[argh(option, arg_name = "TIME")]
    pub hsts: Option<String>,

    /// address to listen on for the file protocol over TLS; repeatable (off)
    #[argh(option, arg_name = "ADDR")]
    pub file_tls: Vec<String>,

    /// folder that clients list, read and upload to, over HTTP at /files/ and over the file protocol (none;
    /// then there is no /files/, and the file protocol reads the site)
    #[argh(option, arg_name = "DIR")]
    pub files: Option<PathBuf>,

    /// address to listen on for the file protocol; repeatable (8888)
    #[argh(option, arg_name = "ADDR")]
    pub file: Vec<String>,

    /// dialect of file connections: auto, lines, joined or listed (auto)
    #[argh(option, arg_name = "DIALECT")]
    pub dialect: Option<String>,

    /// address to listen on for TCP messages, each of which gets a reply; repeatable (off)
    #[argh(option, arg_name = "ADDR")]
    pub ack: Vec<String>,

    /// address to listen on for UDP datagrams, each of which gets a reply; repeatable (off)
    #[argh(option, arg_name = "ADDR")]
    pub ack_udp: Vec<String>,

    /// reply of --ack and --ack-udp; {time}, {message}, {bytes}, {peer} and {count} are filled in (收到了你的消息)
    #[argh(option, arg_name = "TEMPLATE")]
    pub ack_reply: Option<String>,

    /// replies per second of --ack-udp to one IPv4 address or IPv6 /64, 0 for no limit (200)
    #[argh(option, arg_name = "N")]
    pub udp_rate: Option<String>,

    /// pause between two messages of the joined and listed dialects (100ms)
    #[argh(option, arg_name = "TIME")]
    pub pace: Option<String>,

    /// disable uploads and deletions
    #[argh(switch)]
    pub read_only: bool,

    /// what happens to an upload whose name is taken: refuse, replace, or rename to a (1).txt (refuse)
    #[argh(option, arg_name = "MODE")]
    pub on_duplicate: Option<String>,

    /// short for --on-duplicate replace
    #[argh(switch)]
    pub overwrite: bool,

    /// allow DELETE over HTTP
    #[argh(switch)]
    pub allow_delete: bool,

    /// host name under which browsers may upload and delete; repeatable
    #[argh(option, arg_name = "NAME")]
    pub host: Vec<String>,

    /// flush each upload to the disk before acknowledging it; blocks the event loop meanwhile
    #[argh(switch)]
    pub fsync: bool,

    /// largest upload (1G)
    #[argh(option, arg_name = "SIZE")]
    pub max_upload: Option<String>,

    /// largest total size of the library (no limit)
    #[argh(option, arg_name = "SIZE")]
    pub max_library: Option<String>,

    /// disk space that uploads leave free, in bytes or percent (5%)
    #[argh(option, arg_name = "SIZE")]
    pub keep_free: Option<String>,

    /// interrupted uploads kept for resuming; the oldest is dropped first (100)
    #[argh(option, arg_name = "N")]
    pub partial_max: Option<String>,

    /// how long an interrupted upload is kept (24h)
    #[argh(option, arg_name = "TIME")]
    pub partial_age: Option<String>,

    /// address to listen on for the admin interface: the inspector, metrics and health; repeatable (7891)
    #[argh(option, arg_name = "ADDR")]
    pub admin: Vec<String>,

    /// list folders that have no index.html
    #[argh(switch)]
    pub list: bool,

    /// send files without content coding: no .br, .zst or .gz sidecar files, no gzip
    #[argh(switch)]
    pub no_compress: bool,

    /// respond to navigations to missing pages with index.html
    #[argh(switch)]
    pub spa: bool,

    /// serve /about from about.html
    #[argh(switch)]
    pub pretty_urls: bool,

    /// let pages of other origins read responses
    #[argh(switch)]
    pub cors: bool,

    /// media type of an extension, or of a name without one, as EXT=TYPE/SUBTYPE; repeatable
    #[argh(option, arg_name = "RULE")]
    pub mime: Vec<String>,

    /// value of Cache-Control for matching files, as GLOB=VALUE or fingerprinted=VALUE, or for all files, as VALUE; the
    /// first match wins; repeatable
    #[argh(option, arg_name = "RULE")]
    pub cache_control: Vec<String>,

    /// header field added to every response, as 'Name: value'; repeatable
    #[argh(option, arg_name = "LINE")]
    pub header: Vec<String>,

    /// most open connections, reduced to what RLIMIT_NOFILE allows (16000)
    #[argh(option, arg_name = "N")]
    pub max_connections: Option<String>,

    /// most open connections of one address, 0 for no limit (0)
    #[argh(option, arg_name = "N")]
    pub max_per_client: Option<String>,

    /// how long an HTTP connection may stay idle between requests (60s)
    #[argh(option, arg_name = "TIME")]
    pub idle_timeout: Option<String>,

    /// how long a file or ack connection may stay idle (1h)
    #[argh(option, arg_name = "TIME")]
    pub file_idle_timeout: Option<String>,

    /// time to receive a complete request head or command line (10s)
    #[argh(option, arg_name = "TIME")]
    pub head_timeout: Option<String>,

    /// how long a request body may make no progress (30s)
    #[argh(option, arg_name = "TIME")]
    pub body_timeout: Option<String>,

    /// how long a peer may accept no output (30s)
    #[argh(option, arg_name = "TIME")]
    pub write_timeout: Option<String>,

    /// time for open connections to finish after SIGTERM or SIGINT (30s)
    #[argh(option, arg_name = "TIME")]
    pub drain_timeout: Option<String>,

    /// print each turn of the event loop to standard output: ready sources, work done, time taken
    #[argh(switch)]
    pub trace: bool,

    /// least severe events to log: off, error, warn, info, debug or trace (info)
    #[argh(option, arg_name = "LEVEL")]
    pub log_level: Option<String>,

    /// event log file, reopened on SIGHUP, or - for standard error (-)
    #[argh(option, arg_name = "PATH")]
    pub log_file: Option<PathBuf>,

    /// access log file, one line per response, reopened on SIGHUP, or - for standard output (off)
    #[argh(option, arg_name = "PATH")]
    pub access_log: Option<PathBuf>,

    /// access log format: combined (as nginx and Apache), extended (adds time, connection and close reason), or json for one object per line (combined)
    #[argh(option, arg_name = "FORMAT")]
    pub access_format: Option<String>,

    /// print the version
    #[argh(switch, short = 'V')]
    pub version: bool,
}

impl CommandLine for Options {
    const PROGRAM: &'static str = "evserve";
    const LISTED: &'static str = "options";
    const ANY_BYTES: &'static [&'static str] =
        &["--html", "--files", "--log-file", "--access-log", "--cert", "--key", "--client-ca", "--state"];

    fn help(_default: String, program: &CommandInfoWithArgs) -> String {
        help::render(program)
    }

    /// The word may be a folder or an address.
    fn suggest(word: &OsStr) -> Option<String> {
        if word.to_str().is_some_and(|word| address::parse(word).is_some()) {
            return Some(format!("--http {}", word.display()));
        }
        Path::new(word).is_dir().then(|| format!("--html {word:?}"))
    }
}

impl Options {
    /// Parses the arguments that follow the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, Exit> {
        let (mut options, words) = <Options as CommandLine>::of(arguments)?;
        let paths = [
            &mut options.files,
            &mut options.log_file,
            &mut options.access_log,
            &mut options.client_ca,
            &mut options.state,
        ];
        let lists = options.cert.iter_mut().chain(&mut options.key);
        for path in paths.into_iter().flatten().chain([&mut options.html]).chain(lists) {
            // argh has only text.
            if let Some(word) = path.to_str() {
                *path = PathBuf::from(words.decode(word));
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    use super::*;

    fn parse(line: &str) -> Result<Options, Exit> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn values_are_accepted_after_a_space_or_an_equals_sign() {
        for line in ["--html a=b --http 1 --http :2", "--html=a=b --http=1 --http=:2"] {
            let options = parse(line).expect("options");
            assert_eq!(
                (options.html.to_str(), options.http),
                (Some("a=b"), vec!["1".to_owned(), ":2".to_owned()])
            );
        }
    }

    #[test]
    fn help_and_version_exit_0() {
        for line in ["--help", "-h", "--http 1 --help"] {
            let exit = parse(line).expect_err("help");
            assert!(exit.code == 0 && exit.output.contains("--max-per-client"), "{exit:?}");
        }
        for line in ["--version", "-V"] {
            assert_eq!(parse(line).map_err(|exit| exit.code).err(), Some(0), "{line}");
        }
    }

    #[test]
    fn usage_errors_are_one_line_that_names_the_argument() {
        for (line, named) in [
            ("--prot 80", "--prot"),
            ("--prot=80", "--prot"),
            ("8080", "8080"),
            ("--html", "--html"),
            ("--version=yes", "yes"),
            ("--html a --html b", "--html"),
            ("-x", "-x"),
            (".", "\".\"; did you mean --html \".\"?"),
            ("..", "\"..\"; did you mean --html \"..\"?"),
            ("...", "\"...\";"),
            ("8080", "\"8080\"; did you mean --http 8080?"),
            ("--htp 80", "\"--htp\"; did you mean --http?"),
            ("--list=yes", "--list takes no value, but was given \"yes\""),
            ("--files a --files=b", "--files is given twice"),
            ("--html", "--html needs a value;"),
            ("--help --x", "after `help`;"),
        ] {
            let exit = parse(line).expect_err(line);
            assert_eq!((exit.code, exit.output.matches('\n').count()), (2, 1), "{exit:?}");
            assert!(exit.output.contains(named), "{exit:?}");
        }
        for (argument, shown) in
            [("a\nb.", r#""a\nb.";"#), ("\n", r#""\n";"#), ("", r#""";"#), ("\x1b[2J", "u{1b}[2J")]
        {
            let exit = Options::parse([OsString::from(argument)]).expect_err(argument);
            assert!(exit.output.contains(shown) && exit.output.lines().count() == 1, "{exit:?}");
        }
    }

    #[test]
    fn paths_need_not_be_utf_8() {
        let folder = OsString::from_vec(b"\xff=".to_vec());
        let joined = |option: &str| OsString::from_vec([option.as_bytes(), b"=", folder.as_bytes()].concat());
        let parsed =
            Options::parse(["--html".into(), folder.clone(), joined("--files"), joined("--access-log")]);
        let options = parsed.expect("options");
        assert_eq!((options.html, options.files), (folder.clone().into(), Some(folder.clone().into())));
        assert_eq!(options.access_log, Some(folder.clone().into()));
        for arguments in [&[folder.clone()][..], &["--http".into(), folder.clone()], &[joined("--http")]] {
            let exit = Options::parse(arguments.to_vec()).expect_err("an error");
            assert!(exit.code == 2 && exit.output.contains(r#""\xFF=" is not UTF-8"#), "{exit:?}");
        }
    }

    #[test]
    fn values_that_look_like_options_are_kept() {
        let options = parse("--ack-reply --got={bytes} --html --version").expect("options");
        assert_eq!(options.ack_reply.as_deref(), Some("--got={bytes}"));
        assert_eq!(options.html.to_str(), Some("--version"));
        let exit = parse("-").expect_err("an error");
        assert!(exit.output.contains("unknown argument \"-\";"), "{exit:?}");
    }
}
