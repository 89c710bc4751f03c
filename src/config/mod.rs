//! The configuration of the server: the values of the options, checked.

mod address;
#[cfg(feature = "client")]
mod client_options;
pub mod help;
mod options;
mod quantities;
mod rules;
mod tls;
#[cfg(feature = "top")]
mod top_options;
mod usage;

use std::fmt;
use std::path::PathBuf;

use log::LevelFilter;

use crate::limits::{Limits, UDP_RATE};
use crate::observe::{Format, LogTarget};
use crate::protocol::Dialect;
use crate::services::Template;
use crate::site::Rules;
use crate::store::{KeepFree, LibraryRules, OnDuplicate};
pub use address::Address;
#[cfg(feature = "client")]
pub use client_options::ClientOptions;
pub use options::Options;
use quantities::{number, size, time};
pub use tls::TlsConfig;
#[cfg(feature = "top")]
pub use top_options::{KEYS, ORDERS, TopOptions};
pub use usage::{CommandLine, Exit, Words};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that HTTP serves.
    pub html: PathBuf,
    /// The rules for serving that folder.
    pub rules: Rules,
    /// The addresses that HTTP listens on.
    pub http: Vec<Address>,
    /// The listeners with TLS and their certificates.
    pub tls: TlsConfig,
    /// The folder of the library. If `None`, the library is the site's folder and is read-only.
    pub files: Option<PathBuf>,
    /// Whether files of the library may be deleted over HTTP.
    pub allow_delete: bool,
    /// The host names under which browsers may write to the library.
    pub hosts: Vec<String>,
    /// The limits and permissions of the library.
    pub library: LibraryRules,
    /// The addresses that the file protocol listens on.
    pub file: Vec<Address>,
    /// The dialect of the file protocol.
    pub dialect: Dialect,
    /// Whether `file` is the default address, which may already be in use without being an error.
    pub file_is_default: bool,
    /// The addresses that the admin interface listens on.
    pub admin: Vec<Address>,
    /// Whether `admin` is the default address, which may already be in use without being an error.
    pub admin_is_default: bool,
    /// The addresses that the acknowledging service listens on over TCP and unix sockets.
    pub ack: Vec<Address>,
    /// The addresses that the acknowledging service listens on over UDP.
    pub ack_udp: Vec<Address>,
    /// The template of an acknowledgement.
    pub ack_reply: Template,
    /// The number of datagrams per second that are answered for one peer; 0 means no limit.
    pub udp_rate: u32,
    /// Whether a trace of every turn is printed.
    pub trace: bool,
    /// The limits and timeouts.
    pub limits: Limits,
    /// The level from which events are logged.
    pub log_level: LevelFilter,
    /// Where the event log goes.
    pub log_file: LogTarget,
    /// Where the access log goes and its format, if there is one.
    pub access_log: Option<(LogTarget, Format)>,
}

/// An invalid value of an option, displayed as one line that names the value and the valid ones.
#[derive(Debug, PartialEq, Eq)]
pub struct BadValue {
    option: &'static str,
    value: String,
    wanted: &'static str,
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} is not valid: {}", self.option, self.value, self.wanted)
    }
}

impl std::error::Error for BadValue {}

const DEFAULT_HTTP: &str = "7890";
const DEFAULT_FILE: &str = "8888";
/// The value of `--admin` without one.
pub const DEFAULT_ADMIN: &str = "7891";

impl Config {
    /// Checks the values of `options`.
    pub fn new(options: &Options) -> Result<Config, BadValue> {
        let mut limits = Limits::default();
        let timeouts = &mut limits.timeouts;
        for (option, text, timeout) in [
            ("--idle-timeout", &options.idle_timeout, &mut timeouts.idle),
            ("--file-idle-timeout", &options.file_idle_timeout, &mut timeouts.file_idle),
            ("--head-timeout", &options.head_timeout, &mut timeouts.head),
            ("--body-timeout", &options.body_timeout, &mut timeouts.body),
            ("--write-timeout", &options.write_timeout, &mut timeouts.write),
        ] {
            set(timeout, option, text, |text| time(text).filter(|time| !time.is_zero()), TIMEOUT_FORMAT)?;
        }
        set(&mut timeouts.drain, "--drain-timeout", &options.drain_timeout, time, TIME_FORMAT)?;
        set(
            &mut limits.max_connections,
            "--max-connections",
            &options.max_connections,
            positive,
            POSITIVE_FORMAT,
        )?;
        set(&mut limits.max_per_client, "--max-per-client", &options.max_per_client, number, COUNT_FORMAT)?;
        let mut log_level = LevelFilter::Info;
        set(&mut log_level, "--log-level", &options.log_level, |text| text.parse().ok(), LEVEL_FORMAT)?;
        let mut format = Format::Combined;
        set(&mut format, "--access-format", &options.access_format, access_format, ACCESS_FORMAT)?;
        let mut dialect = Dialect::Auto;
        set(&mut dialect, "--dialect", &options.dialect, Dialect::parse, DIALECT_FORMAT)?;
        set(&mut limits.pace, "--pace", &options.pace, time, TIME_FORMAT)?;
        let mut ack_reply = Template::default();
        set(&mut ack_reply, "--ack-reply", &options.ack_reply, Template::parse, TEMPLATE_FORMAT)?;
        let mut udp_rate = UDP_RATE;
        set(&mut udp_rate, "--udp-rate", &options.udp_rate, number, COUNT_FORMAT)?;
        Ok(Config {
            html: options.html.clone(),
            rules: rules::check(options)?,
            http: listeners("--http", &options.http, Some(DEFAULT_HTTP))?,
            tls: tls::check(options)?,
            files: options.files.clone(),
            allow_delete: options.allow_delete,
            hosts: options.host.clone(),
            library: library(options)?,
            file: listeners("--file", &options.file, Some(DEFAULT_FILE))?,
            dialect,
            file_is_default: options.file.is_empty(),
            admin: listeners("--admin", &options.admin, Some(DEFAULT_ADMIN))?,
            admin_is_default: options.admin.is_empty(),
            ack: listeners("--ack", &options.ack, None)?,
            ack_udp: datagram_listeners("--ack-udp", &options.ack_udp)?,
            ack_reply,
            udp_rate,
            trace: options.trace,
            limits,
            log_level,
            log_file: LogTarget::of(options.log_file.as_deref().unwrap_or("-".as_ref()), LogTarget::Stderr),
            access_log: options
                .access_log
                .as_ref()
                .map(|path| (LogTarget::of(path, LogTarget::Stdout), format)),
        })
    }
}

const TIME_FORMAT: &str = "use 500ms, 1.5s, 2m, 1h, 30d, or a number of seconds";
const TIMEOUT_FORMAT: &str = "use a time above zero: 500ms, 1.5s, 2m, 1h, 30d, or a number of seconds";
const POSITIVE_FORMAT: &str = "use a number of at least 1";
const KEPT_FORMAT: &str = "use a number; 0 keeps none";
const COUNT_FORMAT: &str = "use a number; 0 means no limit";
const SIZE_FORMAT: &str = "use a size in powers of 1024: 500, 64k, 10M, 1.5G or 1T";
const SHARE_FORMAT: &str = "use a size in powers of 1024 (64k, 10M, 1.5G) or a percentage of the disk (5%)";
const DUPLICATE_FORMAT: &str = "use refuse, replace or rename";
const DUPLICATE_CONFLICT: &str = "--overwrite means replace; remove one of the two options";
const DIALECT_FORMAT: &str = "use auto, lines, joined or listed";
const LEVEL_FORMAT: &str = "use off, error, warn, info, debug or trace";
const ACCESS_FORMAT: &str = "use combined, extended or json";
const TEMPLATE_FORMAT: &str =
    "the placeholders are {time}, {bytes}, {peer}, {count} and, at most 16 times, {message}";
const ADDRESS_FORMAT: &str = "use PORT, :PORT, localhost:PORT, IP:PORT, [IPv6]:PORT, unix:PATH or off";
const UDP_ADDRESS_FORMAT: &str =
    "use PORT, :PORT, localhost:PORT, IP:PORT, [IPv6]:PORT or off; UDP has no unix sockets";

/// Sets `value` if the option was given.
fn set<T>(
    value: &mut T,
    option: &'static str,
    text: &Option<String>,
    parse: impl FnOnce(&str) -> Option<T>,
    wanted: &'static str,
) -> Result<(), BadValue> {
    if let Some(text) = text {
        *value = parse(text).ok_or_else(|| BadValue { option, value: text.clone(), wanted })?;
    }
    Ok(())
}

/// Checks the options of the library.
fn library(options: &Options) -> Result<LibraryRules, BadValue> {
    let mut rules = LibraryRules {
        // Without `--files`, the library is the site.
        read_only: options.read_only || options.files.is_none(),
        on_duplicate: on_duplicate(options)?,
        fsync: options.fsync,
        ..LibraryRules::default()
    };
    set(&mut rules.max_upload, "--max-upload", &options.max_upload, size, SIZE_FORMAT)?;
    set(
        &mut rules.max_library,
        "--max-library",
        &options.max_library,
        |text| size(text).map(Some),
        SIZE_FORMAT,
    )?;
    set(&mut rules.keep_free, "--keep-free", &options.keep_free, keep_free, SHARE_FORMAT)?;
    set(&mut rules.partial_max, "--partial-max", &options.partial_max, number, KEPT_FORMAT)?;
    set(&mut rules.partial_age, "--partial-age", &options.partial_age, time, TIME_FORMAT)?;
    Ok(rules)
}

/// Checks the two options that say what happens to an upload whose name is taken.
fn on_duplicate(options: &Options) -> Result<OnDuplicate, BadValue> {
    let option = "--on-duplicate";
    let mut chosen = if options.overwrite { OnDuplicate::Replace } else { OnDuplicate::Refuse };
    let parse = |text: &str| match text {
        "refuse" => Some(OnDuplicate::Refuse),
        "replace" => Some(OnDuplicate::Replace),
        "rename" => Some(OnDuplicate::Rename),
        _ => None,
    };
    set(&mut chosen, option, &options.on_duplicate, parse, DUPLICATE_FORMAT)?;
    match &options.on_duplicate {
        Some(text) if options.overwrite && chosen != OnDuplicate::Replace => {
            Err(BadValue { option, value: text.clone(), wanted: DUPLICATE_CONFLICT })
        }
        _ => Ok(chosen),
    }
}

fn listeners(
    option: &'static str,
    texts: &[String],
    default: Option<&str>,
) -> Result<Vec<Address>, BadValue> {
    let default: Vec<String> = default.map(str::to_owned).into_iter().collect();
    let texts = if texts.is_empty() { &default } else { texts };
    let mut addresses = Vec::new();
    for text in texts.iter().filter(|text| *text != "off") {
        let bad = || BadValue { option, value: text.clone(), wanted: ADDRESS_FORMAT };
        addresses.push(address::parse(text).ok_or_else(bad)?);
    }
    Ok(addresses)
}

fn datagram_listeners(option: &'static str, texts: &[String]) -> Result<Vec<Address>, BadValue> {
    match texts.iter().find(|text| text.starts_with("unix:")) {
        Some(text) => Err(BadValue { option, value: text.clone(), wanted: UDP_ADDRESS_FORMAT }),
        None => listeners(option, texts, None),
    }
}

fn positive(text: &str) -> Option<usize> {
    number(text).filter(|number| *number > 0)
}

fn access_format(text: &str) -> Option<Format> {
    match text {
        "combined" => Some(Format::Combined),
        "extended" => Some(Format::Extended),
        "json" => Some(Format::Json),
        _ => None,
    }
}

fn keep_free(text: &str) -> Option<KeepFree> {
    match text.strip_suffix('%') {
        Some(percent) => number(percent).filter(|percent| *percent < 100).map(KeepFree::Percent),
        None => size(text).map(KeepFree::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn config(line: &str) -> Result<Config, BadValue> {
        let options = Options::parse(line.split_whitespace().map(OsString::from)).expect("options");
        Config::new(&options)
    }

    #[test]
    fn disk_shares_are_sizes_or_percentages() {
        assert_eq!(keep_free("5%"), Some(KeepFree::Percent(5)));
        assert_eq!(keep_free("1G"), Some(KeepFree::Bytes(1 << 30)));
        assert_eq!((keep_free("100%"), keep_free("1.5%")), (None, None));
    }

    #[test]
    fn options_have_the_documented_defaults() {
        let config = config("").expect("defaults");
        assert_eq!(config.http, [address::parse("7890").expect("an address")]);
        assert_eq!(config.html, PathBuf::from("./html"));
        assert_eq!((config.limits.max_connections, config.limits.max_per_client), (16_000, 0));
        assert_eq!(config.log_level, LevelFilter::Info);
    }

    #[test]
    fn overwrite_is_short_for_on_duplicate_replace() {
        for (line, chosen) in [
            ("", OnDuplicate::Refuse),
            ("--on-duplicate refuse", OnDuplicate::Refuse),
            ("--on-duplicate rename", OnDuplicate::Rename),
            ("--on-duplicate replace", OnDuplicate::Replace),
            ("--overwrite", OnDuplicate::Replace),
            ("--overwrite --on-duplicate replace", OnDuplicate::Replace),
        ] {
            assert_eq!(config(line).expect(line).library.on_duplicate, chosen, "{line}");
        }
    }

    #[test]
    fn errors_name_the_option_and_its_bad_value() {
        for (line, option) in [
            ("--http example.org:80", "--http"),
            ("--http 80 --http x", "--http"),
            ("--max-connections 0", "--max-connections"),
            ("--max-connections -1", "--max-connections"),
            ("--max-per-client many", "--max-per-client"),
            ("--idle-timeout 0", "--idle-timeout"),
            ("--head-timeout 1w", "--head-timeout"),
            ("--body-timeout x", "--body-timeout"),
            ("--write-timeout 1.5w", "--write-timeout"),
            ("--drain-timeout -1", "--drain-timeout"),
            ("--on-duplicate skip", "--on-duplicate"),
            ("--on-duplicate rename --overwrite", "--on-duplicate"),
            ("--overwrite --on-duplicate refuse", "--on-duplicate"),
            ("--log-level loud", "--log-level"),
            ("--access-format xml", "--access-format"),
            ("--file x", "--file"),
            ("--dialect french", "--dialect"),
            ("--pace soon", "--pace"),
            ("--max-upload 1X", "--max-upload"),
            ("--max-library -1", "--max-library"),
            ("--keep-free 100%", "--keep-free"),
            ("--file-idle-timeout 0", "--file-idle-timeout"),
            ("--ack x", "--ack"),
            ("--ack-udp unix:/x", "--ack-udp"),
            ("--ack-reply {tiem}", "--ack-reply"),
            ("--udp-rate -1", "--udp-rate"),
            ("--admin all", "--admin"),
            ("--self-signed --https x", "--https"),
            ("--https 8443", "--https"),
            ("--file-tls 8443", "--file-tls"),
            ("--https 8443 --key k --cert c --cert d", "--cert"),
            ("--https 8443 --cert c --key k --key l", "--key"),
            ("--client-ca c", "--client-ca"),
            ("--hsts never", "--hsts"),
            ("--hsts 1d", "--hsts"),
            ("--state ./state", "--state"),
        ] {
            let bad = config(line).expect_err(line);
            assert_eq!(bad.option, option);
            assert!(bad.to_string().contains(line.rsplit(' ').next().expect("a word")), "{bad}");
        }
        assert!(config("--file off --admin=off --drain-timeout 0 --http off").is_ok());
    }
}
