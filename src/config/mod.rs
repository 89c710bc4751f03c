//! What the server is to do: the options' values, checked.

#[cfg(feature = "client")]
mod client_options;
mod options;
mod rules;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;

use crate::limits::{Limits, UDP_RATE};
use crate::observe::Format;
use crate::protocol::Dialect;
use crate::services::Template;
use crate::site::Rules;
use crate::store::{KeepFree, LibraryRules};
#[cfg(feature = "client")]
pub use client_options::ClientOptions;
pub use options::{Exit, Options};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder that HTTP serves.
    pub html: PathBuf,
    /// How it is served.
    pub rules: Rules,
    /// Where HTTP is listened for.
    pub http: Vec<Address>,
    /// The folder of the library; without it, the site's, and nothing is written.
    pub files: Option<PathBuf>,
    /// Whether its files may be deleted over HTTP.
    pub allow_delete: bool,
    /// Names of this server that browsers may write under.
    pub hosts: Vec<String>,
    /// What may be done with the library.
    pub library: LibraryRules,
    /// Where the file protocol is listened for.
    pub file: Vec<Address>,
    /// In which dialect.
    pub dialect: Dialect,
    /// Whether those are the default, which need not be free.
    pub file_is_default: bool,
    /// Where what comes over TCP is acknowledged.
    pub ack: Vec<Address>,
    /// Where what comes over UDP is.
    pub ack_udp: Vec<Address>,
    /// With what.
    pub ack_reply: Template,
    /// How many datagrams of one peer in a second; 0 is no limit.
    pub udp_rate: u32,
    /// Whether every turn is printed.
    pub trace: bool,
    /// The limits.
    pub limits: Limits,
    /// Which events are logged.
    pub log_level: LevelFilter,
    /// Where to; without it, to the standard error stream.
    pub log_file: Option<PathBuf>,
    /// Where answers are logged, if they are, and how.
    pub access_log: Option<(PathBuf, Format)>,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// One address and port.
    Inet(SocketAddr),
    /// A port of every interface, IPv6 and IPv4.
    Everywhere(u16),
    /// A unix socket.
    Unix(PathBuf),
}

/// A value that makes no sense, in one line that names it and says what would.
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

impl Config {
    /// Checks `options`.
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
            set(timeout, option, text, |text| time(text).filter(|time| !time.is_zero()), A_TIMEOUT)?;
        }
        set(&mut timeouts.drain, "--drain-timeout", &options.drain_timeout, time, A_TIME)?;
        set(&mut limits.max_connections, "--max-connections", &options.max_connections, positive, A_NUMBER)?;
        set(&mut limits.max_per_client, "--max-per-client", &options.max_per_client, number, A_COUNT)?;
        let mut log_level = LevelFilter::Info;
        set(&mut log_level, "--log-level", &options.log_level, |text| text.parse().ok(), A_LEVEL)?;
        let mut format = Format::Combined;
        set(&mut format, "--access-format", &options.access_format, access_format, A_FORMAT)?;
        let mut dialect = Dialect::Auto;
        set(&mut dialect, "--dialect", &options.dialect, Dialect::parse, A_DIALECT)?;
        set(&mut limits.pace, "--pace", &options.pace, time, A_TIME)?;
        let mut ack_reply = Template::default();
        set(&mut ack_reply, "--ack-reply", &options.ack_reply, Template::parse, A_TEMPLATE)?;
        let mut udp_rate = UDP_RATE;
        set(&mut udp_rate, "--udp-rate", &options.udp_rate, number, A_COUNT)?;
        not_built_yet("--admin", &options.admin)?;
        Ok(Config {
            html: PathBuf::from(&options.html),
            rules: rules::check(options)?,
            http: listeners("--http", &options.http, Some(DEFAULT_HTTP))?,
            files: options.files.as_ref().map(PathBuf::from),
            allow_delete: options.allow_delete,
            hosts: options.host.clone(),
            library: library(options)?,
            file: listeners("--file", &options.file, Some(DEFAULT_FILE))?,
            dialect,
            file_is_default: options.file.is_empty(),
            ack: listeners("--ack", &options.ack, None)?,
            ack_udp: datagram_listeners("--ack-udp", &options.ack_udp)?,
            ack_reply,
            udp_rate,
            trace: options.trace,
            limits,
            log_level,
            log_file: options.log_file.as_ref().map(PathBuf::from),
            access_log: options.access_log.as_ref().map(|path| (PathBuf::from(path), format)),
        })
    }
}

const A_TIME: &str = "a time is 500ms, 10s, 2m, 1h, or a bare number of seconds";
const A_TIMEOUT: &str = "a time above zero is 500ms, 10s, 2m, 1h, or a bare number of seconds";
const A_NUMBER: &str = "it takes a number from 1 on";
const A_NUMBER_KEPT: &str = "it takes a number, and 0 keeps none";
const A_COUNT: &str = "it takes a number, and 0 is no limit";
const A_SIZE: &str = "a size is 500, 64k, 10M, 1G or 1T";
const A_SHARE: &str = "it takes a size as 64k, 10M, 1G, or a share of the disk as 5%";
const A_DIALECT: &str = "it takes auto, lines, joined or listed";
const A_LEVEL: &str = "it takes off, error, warn, info, debug or trace";
const A_FORMAT: &str = "it takes combined or json";
const A_TEMPLATE: &str = "its places are {time}, {bytes}, {peer}, {count} and, 16 times at most, {message}";
const AN_ADDRESS: &str = "an address is PORT, :PORT, IP:PORT, [IPv6]:PORT, unix:PATH or off";
const A_UDP_ADDRESS: &str = "an address of UDP is PORT, :PORT, IP:PORT, [IPv6]:PORT or off";

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

fn not_built_yet(option: &'static str, texts: &[String]) -> Result<(), BadValue> {
    match texts.iter().find(|text| *text != "off") {
        Some(text) => {
            Err(BadValue { option, value: text.clone(), wanted: "it is not built yet and takes only off" })
        }
        None => Ok(()),
    }
}

/// What may be done with the library.
fn library(options: &Options) -> Result<LibraryRules, BadValue> {
    let mut rules = LibraryRules {
        // Without a folder of its own the site is the library.
        read_only: options.read_only || options.files.is_none(),
        overwrite: options.overwrite,
        fsync: options.fsync,
        ..LibraryRules::default()
    };
    set(&mut rules.max_upload, "--max-upload", &options.max_upload, size, A_SIZE)?;
    set(&mut rules.max_library, "--max-library", &options.max_library, |text| size(text).map(Some), A_SIZE)?;
    set(&mut rules.keep_free, "--keep-free", &options.keep_free, keep_free, A_SHARE)?;
    set(&mut rules.partial_max, "--partial-max", &options.partial_max, number, A_NUMBER_KEPT)?;
    set(&mut rules.partial_age, "--partial-age", &options.partial_age, time, A_TIME)?;
    Ok(rules)
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
        let bad = || BadValue { option, value: text.clone(), wanted: AN_ADDRESS };
        addresses.push(address(text).ok_or_else(bad)?);
    }
    Ok(addresses)
}

fn datagram_listeners(option: &'static str, texts: &[String]) -> Result<Vec<Address>, BadValue> {
    match texts.iter().find(|text| text.starts_with("unix:")) {
        Some(text) => Err(BadValue { option, value: text.clone(), wanted: A_UDP_ADDRESS }),
        None => listeners(option, texts, None),
    }
}

/// `PORT`, `:PORT`, `IP:PORT`, `[IPv6]:PORT` or `unix:PATH`.
fn address(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        return (!path.is_empty()).then(|| Address::Unix(path.into()));
    }
    if let Some(port) = text.strip_prefix(':') {
        return Some(Address::Everywhere(number(port)?));
    }
    match number(text) {
        Some(port) => Some(Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))),
        None => text.parse().ok().map(Address::Inet),
    }
}

/// Digits only: `parse` would take a sign, too.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn positive(text: &str) -> Option<usize> {
    number(text).filter(|number| *number > 0)
}

fn access_format(text: &str) -> Option<Format> {
    match text {
        "combined" => Some(Format::Combined),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// Bytes, in powers of 1024.
fn size(text: &str) -> Option<u64> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let power = ["", "k", "m", "g", "t"].iter().position(|known| unit.eq_ignore_ascii_case(known))?;
    digits.parse::<u64>().ok()?.checked_mul(1 << (10 * power))
}

fn keep_free(text: &str) -> Option<KeepFree> {
    match text.strip_suffix('%') {
        Some(percent) => number(percent).filter(|percent| *percent < 100).map(KeepFree::Percent),
        None => size(text).map(KeepFree::Bytes),
    }
}

/// The longest time that is taken; as good as for ever, and no sum of it with a clock overflows.
const LONGEST_TIME: Duration = Duration::from_secs(366 * 24 * 3600);

fn time(text: &str) -> Option<Duration> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let count: u64 = digits.parse().ok()?;
    let time = match unit {
        "ms" => Some(Duration::from_millis(count)),
        "" | "s" => Some(Duration::from_secs(count)),
        "m" => count.checked_mul(60).map(Duration::from_secs),
        "h" => count.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    };
    time.filter(|time| *time <= LONGEST_TIME)
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
    fn addresses() {
        let inet = |text: &str| Some(Address::Inet(text.parse().expect("an address")));
        for (text, expected) in [
            ("80", inet("127.0.0.1:80")),
            ("0", inet("127.0.0.1:0")),
            (":80", Some(Address::Everywhere(80))),
            ("10.0.0.1:80", inet("10.0.0.1:80")),
            ("[::1]:80", inet("[::1]:80")),
            ("unix:/run/x", Some(Address::Unix("/run/x".into()))),
            ("", None),
            (":", None),
            ("unix:", None),
            ("65536", None),
            ("-1", None),
            ("+80", None),
            (":+80", None),
            ("::1:80", None),
            ("localhost:80", None),
            ("10.0.0.1", None),
            ("OFF", None),
        ] {
            assert_eq!(address(text), expected, "{text:?}");
        }
    }

    #[test]
    fn times() {
        for (text, milliseconds) in [
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("7", Some(7000)),
            ("0", Some(0)),
            ("", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1 s", None),
            ("1d", None),
            ("99999999999999999999", None),
            ("9999999999999999h", None),
        ] {
            assert_eq!(time(text), milliseconds.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("500", Some(500)),
            ("64k", Some(64 << 10)),
            ("10M", Some(10 << 20)),
            ("1g", Some(1 << 30)),
            ("2T", Some(2 << 40)),
            ("", None),
            ("k", None),
            ("1.5G", None),
            ("1kb", None),
            ("-1", None),
            ("99999999999T", None),
        ] {
            assert_eq!(size(text), bytes, "{text:?}");
        }
        assert_eq!(keep_free("5%"), Some(KeepFree::Percent(5)));
        assert_eq!(keep_free("1G"), Some(KeepFree::Bytes(1 << 30)));
    }

    #[test]
    fn the_defaults_are_the_contract_s() {
        let config = config("").expect("defaults");
        assert_eq!(config.http, [address("7890").expect("an address")]);
        assert_eq!(config.html, PathBuf::from("./html"));
        assert_eq!((config.limits.max_connections, config.limits.max_per_client), (16_000, 0));
        assert_eq!(config.log_level, LevelFilter::Info);
    }

    #[test]
    fn every_bad_value_is_named() {
        for (line, option) in [
            ("--http localhost:80", "--http"),
            ("--http 80 --http x", "--http"),
            ("--max-connections 0", "--max-connections"),
            ("--max-connections -1", "--max-connections"),
            ("--max-per-client many", "--max-per-client"),
            ("--idle-timeout 0", "--idle-timeout"),
            ("--head-timeout 1d", "--head-timeout"),
            ("--body-timeout x", "--body-timeout"),
            ("--write-timeout 1.5s", "--write-timeout"),
            ("--drain-timeout -1", "--drain-timeout"),
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
            ("--admin 7891", "--admin"),
        ] {
            let bad = config(line).expect_err(line);
            assert_eq!(bad.option, option);
            assert!(bad.to_string().contains(line.rsplit(' ').next().expect("a word")), "{bad}");
        }
        assert!(config("--file off --admin=off --drain-timeout 0 --http off").is_ok());
    }
}
