//! Usage errors: what argh rejects is explained in one line that names the argument and, if there is one, the option
//! that was probably meant.

use std::ffi::OsString;

use argh::{FlagInfo, FlagInfoKind};

/// What to print instead of running, and the exit code. Output with code 0 goes to stdout.
#[derive(Debug, PartialEq, Eq)]
pub struct Exit {
    /// The text, with its final newline.
    pub output: String,
    /// 0 for help and version, 2 for a usage error.
    pub code: u8,
}

impl Exit {
    /// Returns the exit of a usage error. `listed` is what `--help` of the program lists.
    pub fn usage_error(program: &str, error: &str, listed: &str) -> Exit {
        let end = if error.ends_with('?') { "" } else { ";" };
        Exit { output: format!("{program}: {error}{end} {program} --help lists the {listed}\n"), code: 2 }
    }
}

/// Splits `--name=value` into two words, because argh accepts only `--name value`. Fails with an explanation.
pub(super) fn split_words(
    arguments: impl IntoIterator<Item = OsString>,
    flags: &[FlagInfo<'_>],
) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for argument in arguments {
        let argument = argument.into_string().map_err(|argument| format!("{argument:?} is not UTF-8"))?;
        match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => {
                reject_value_of_switch(name, value, flags)?;
                words.extend([name.to_owned(), value.to_owned()]);
            }
            _ => words.push(argument),
        }
    }
    Ok(words)
}

/// Fails if the option `name` takes no value.
pub fn reject_value_of_switch(name: &str, value: &str, flags: &[FlagInfo<'_>]) -> Result<(), String> {
    let is_switch = |flag: &FlagInfo<'_>| matches!(flag.kind, FlagInfoKind::Switch);
    match flags.iter().any(|flag| flag.long == name && is_switch(flag)) {
        true => Err(format!("{name} takes no value, but was given {value:?}")),
        false => Ok(()),
    }
}

/// Rewrites an error of argh as one line without a final period. In it, arguments are quoted: they may contain line
/// ends and control characters, and may themselves end in a period.
pub fn explain(error: &str, flags: &[FlagInfo<'_>]) -> String {
    if let Some(argument) = unknown_argument(error) {
        return match nearest(argument, flags) {
            Some(option) => format!("unknown argument {argument:?}; did you mean {option}?"),
            None => format!("unknown argument {argument:?}"),
        };
    }
    let name_after = |text: &str| Some(error.strip_prefix(text)?.split_once('\'')?.0);
    if let Some(option) = name_after("No value provided for option '") {
        return format!("{option} needs a value");
    }
    // Options are kept as text, so nothing else can be wrong with a value.
    if let Some(option) = name_after("Error parsing option '") {
        return format!("{option} is given twice");
    }
    let words: Vec<&str> = error.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

/// Returns the argument that argh does not know, if that is the error.
pub(super) fn unknown_argument(error: &str) -> Option<&str> {
    let argument = error.strip_prefix("Unrecognized argument: ")?;
    Some(argument.strip_suffix('\n').unwrap_or(argument))
}

/// Returns the option that was probably meant by an unknown one: one that differs by a typing error, or the only one
/// that begins so.
fn nearest<'a>(argument: &str, flags: &[FlagInfo<'a>]) -> Option<&'a str> {
    let given = argument.strip_prefix('-')?.trim_start_matches('-').to_ascii_lowercase().replace('_', "-");
    let names = || flags.iter().map(|flag| flag.long.trim_start_matches('-')).zip(flags);
    let (distance, found) =
        names().map(|(name, flag)| (distance(&given, name), flag)).min_by_key(|(distance, _)| *distance)?;
    // One error in short names; one for every three letters in longer ones, as rustc allows.
    if distance <= given.chars().count().max(3) / 3 {
        return Some(found.long);
    }
    let mut longer = names().filter(|(name, _)| name.starts_with(&given));
    match (longer.next(), longer.next()) {
        (Some((_, flag)), None) => Some(flag.long),
        _ => None,
    }
}

/// Returns the number of typing errors between two words: letters inserted, left out, replaced, or swapped with the
/// next one (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // `rows[i][j]` is the distance of the first `i` letters of one word and the first `j` of the other.
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use argh::ArgsInfo;

    use super::*;
    use crate::config::Options;

    #[test]
    fn distances_count_typing_errors() {
        for (one, other, count) in [
            ("", "", 0),
            ("", "ab", 2),
            ("http", "http", 0),
            ("htp", "http", 1),
            ("htttp", "http", 1),
            ("hytp", "http", 1),
            ("hmtl", "html", 1),
            ("prot", "http", 4),
            ("ö", "o", 1),
        ] {
            assert_eq!((distance(one, other), distance(other, one)), (count, count), "{one} {other}");
        }
    }

    #[test]
    fn unknown_options_name_the_nearest_one() {
        let flags = Options::get_args_info().flags;
        for (given, expected) in [
            ("--htp", Some("--http")),
            ("--hmtl", Some("--html")),
            ("-html", Some("--html")),
            ("--HTML", Some("--html")),
            ("--max_connections", Some("--max-connections")),
            ("--max-conections", Some("--max-connections")),
            ("--max-conn", Some("--max-connections")),
            ("--read-onyl", Some("--read-only")),
            ("--v", Some("--version")),
            ("--access", None),
            ("--prot", None),
            ("--quiet", None),
            ("-x", None),
            ("html", None),
            (".", None),
        ] {
            assert_eq!(nearest(given, flags), expected, "{given}");
        }
    }
}
