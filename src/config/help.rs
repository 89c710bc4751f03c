//! The text of `evserve --help`: the options in groups. The man page and `docs/options.md` use the same groups.

use std::fmt::Write;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind};

/// The options in the order in which they are shown: a heading, then long names.
pub const GROUPS: [(&str, &[&str]); 7] = [
    (
        "Serving",
        &[
            "--html",
            "--list",
            "--spa",
            "--pretty-urls",
            "--cache-control",
            "--header",
            "--cors",
            "--mime",
            "--no-compress",
        ],
    ),
    (
        "Library",
        &[
            "--files",
            "--read-only",
            "--on-duplicate",
            "--overwrite",
            "--allow-delete",
            "--host",
            "--fsync",
            "--max-upload",
            "--max-library",
            "--keep-free",
            "--partial-max",
            "--partial-age",
        ],
    ),
    (
        "Listeners",
        &["--http", "--https", "--file", "--file-tls", "--ack", "--ack-udp", "--ack-reply", "--admin"],
    ),
    ("TLS", &["--cert", "--key", "--self-signed", "--state", "--client-ca", "--redirect-https", "--hsts"]),
    (
        "Limits",
        &[
            "--max-connections",
            "--max-per-client",
            "--idle-timeout",
            "--file-idle-timeout",
            "--head-timeout",
            "--body-timeout",
            "--write-timeout",
            "--drain-timeout",
            "--udp-rate",
        ],
    ),
    ("Logging", &["--log-level", "--log-file", "--access-log", "--access-format", "--trace"]),
    ("Advanced", &["--dialect", "--pace", "--version", "--help"]),
];

const TOP_USAGE: &str = "       evserve top [HOST:PORT]    show a running server; see evserve top --help\n";

const EXAMPLES: &str = "  evserve --html ./public                 serve it on http://127.0.0.1:7890/
  evserve --html ./public --http :8080    serve it to the network on port 8080
  evserve --files ./library --http :8080  also accept uploads at /files/
";

const VALUES: &str = "\
ADDR is PORT or localhost:PORT (this machine only), :PORT (every interface),
IP:PORT, [IPv6]:PORT, unix:PATH or off; port 0 takes a free one. TIME is 500ms,
1.5s, 2m, 1h, 30d or a number of seconds. SIZE is 500, 64k, 10M or 1.5G; 10MB
and 10MiB are the same as 10M: all units are powers of 1024.
";

/// Column at which the texts of the options begin.
const TEXT_COLUMN: usize = 28;

const LINE_WIDTH: usize = 80;

/// Renders the help.
pub fn render(program: &CommandInfoWithArgs) -> String {
    let top = if cfg!(feature = "top") { TOP_USAGE } else { "" };
    let description = program.description.trim_end();
    let mut help = format!("{description}\n\nUsage: evserve [OPTION]...\n{top}\nExamples:\n{EXAMPLES}");
    for (heading, names) in GROUPS {
        let _ = writeln!(help, "\n{heading}:");
        for flag in names.iter().filter_map(|name| program.flags.iter().find(|flag| flag.long == *name)) {
            write_flag(&mut help, flag);
        }
    }
    let _ = write!(help, "\n{VALUES}");
    help
}

fn write_flag(help: &mut String, flag: &FlagInfo<'_>) {
    // argh does not list the short form of `--help`.
    let short = if flag.long == "--help" { Some('h') } else { flag.short };
    let mut line = match short {
        Some(short) => format!("  -{short}, {}", flag.long),
        None => format!("      {}", flag.long),
    };
    if let FlagInfoKind::Option { arg_name } = flag.kind {
        let _ = write!(line, " {arg_name}");
    }
    // argh keeps the text as a format string, in which braces are doubled.
    let text = flag.description.replace("{{", "{").replace("}}", "}");
    let (text, default) = split_default(&text);
    let default = default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
    if line.len() + 2 > TEXT_COLUMN {
        let _ = writeln!(help, "{line}");
        line.clear();
    }
    for text in wrap(&format!("{text}{default}"), LINE_WIDTH - TEXT_COLUMN) {
        let _ = writeln!(help, "{line:TEXT_COLUMN$}{text}");
        line.clear();
    }
}

/// Breaks a text into lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Splits the text of an option from its default, which parentheses at the end of the text hold.
pub fn split_default(text: &str) -> (&str, Option<&str>) {
    match text.strip_suffix(')').and_then(|text| text.rsplit_once(" (")) {
        Some((text, default)) => (text, Some(default)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use argh::ArgsInfo;

    use super::*;
    use crate::config::Options;

    #[test]
    fn each_option_is_in_one_group() {
        let program = Options::get_args_info();
        let mut known: Vec<&str> = program.flags.iter().map(|flag| flag.long).collect();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        known.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(known, grouped);
    }

    #[test]
    fn help_fits_a_terminal() {
        for line in render(&Options::get_args_info()).lines() {
            assert!(line.chars().count() <= LINE_WIDTH, "{line}");
        }
    }
}
