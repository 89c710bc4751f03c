//! Command lines: argh parses them, with the forms that it lacks. What it rejects is explained in one line that names the
//! argument and, if there is one, the option that was probably meant.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, FromArgs};

/// What to print instead of running, and the exit code. Output with code 0 goes to stdout.
#[derive(Debug, PartialEq, Eq)]
pub struct Exit {
    /// The text, with its final newline.
    pub output: String,
    /// 0 for help and version, 2 for a usage error.
    pub code: u8,
}

impl Exit {
    /// Prints the text, and returns the exit code of the program.
    pub fn print(&self) -> ExitCode {
        // An error is ignored: a pipe such as `--help | head` closes early.
        let _ = match self.code {
            0 => io::stdout().write_all(self.output.as_bytes()),
            _ => io::stderr().write_all(self.output.as_bytes()),
        };
        ExitCode::from(self.code)
    }
}

/// The command line of a program. It has the switch `--version`, or `-V`.
pub trait CommandLine: FromArgs + ArgsInfo {
    /// The name of the program.
    const PROGRAM: &'static str;
    /// What `--help` lists.
    const LISTED: &'static str;
    /// The long names of the options whose values need not be UTF-8.
    const ANY_BYTES: &'static [&'static str];

    /// Returns the text of `--help`. `default` is that of argh.
    fn help(default: String, program: &CommandInfoWithArgs) -> String {
        let _ = program;
        default
    }

    /// Returns the option that was probably meant by a word that is not an option.
    fn suggest(word: &OsStr) -> Option<String> {
        let _ = word;
        None
    }

    /// Returns the exit of a usage error.
    fn usage_error(error: &str) -> Exit {
        let (program, listed) = (Self::PROGRAM, Self::LISTED);
        let end = if error.ends_with('?') { "" } else { ";" };
        Exit { output: format!("{program}: {error}{end} {program} --help lists the {listed}\n"), code: 2 }
    }

    /// Parses the arguments that follow the program's name. The values in the result are to be decoded by the words.
    fn of(arguments: impl IntoIterator<Item = OsString>) -> Result<(Self, Words), Exit> {
        let program = Self::get_args_info();
        let words = Words::split(arguments, program.flags, Self::ANY_BYTES);
        let words = words.map_err(|error| Self::usage_error(&error))?;
        // argh would fail first if a positional argument is missing.
        if words.has_switch(["--version", "-V"]) {
            return Err(Exit {
                output: format!("{} {}\n", Self::PROGRAM, env!("CARGO_PKG_VERSION")),
                code: 0,
            });
        }
        let encoded = words.encoded();
        let encoded: Vec<&str> = encoded.iter().map(String::as_str).collect();
        let parsed = Self::from_args(&[Self::PROGRAM], &encoded).map_err(|exit| match exit.status {
            Ok(()) => Exit { output: Self::help(exit.output, &program), code: 0 },
            Err(()) => Self::usage_error(&match words.unknown(&exit.output) {
                Some(word) => unknown_argument::<Self>(&word, program.flags),
                None => explain(&exit.output),
            }),
        })?;
        Ok((parsed, words))
    }
}

/// The words of a command line while argh parses them. argh accepts only UTF-8 and treats `-` as an option, so
/// such words are replaced by a NUL and their index.
#[derive(Debug)]
pub struct Words(Vec<(OsString, Role)>);

/// The role of a word in a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// An option, or an argument before `--`.
    Plain,
    /// The value of the option before it.
    Value,
    /// A word after `--`.
    Positional,
}

impl Words {
    /// Splits `--name=value` into two words, which argh does not do. Fails with an explanation, also if a word is not
    /// UTF-8 and is not the value of an option in `any_bytes`, where an empty name stands for positional arguments.
    fn split(
        arguments: impl IntoIterator<Item = OsString>,
        flags: &[FlagInfo<'_>],
        any_bytes: &[&str],
    ) -> Result<Words, String> {
        let mut words = Words(Vec::new());
        let mut role = Role::Plain;
        // The option that the next word is the value of.
        let mut option: Option<&str> = None;
        for argument in arguments {
            if let Some(name) = option.take() {
                words.push(argument, Role::Value, any_bytes.contains(&name))?;
                continue;
            }
            let bytes = argument.as_bytes();
            let split = bytes.iter().position(|byte| *byte == b'=').filter(|_| bytes.starts_with(b"--"));
            let (name, value) = match split.filter(|_| role == Role::Plain) {
                Some(at) => (OsStr::from_bytes(&bytes[..at]), Some(OsStr::from_bytes(&bytes[at + 1..]))),
                None => (&*argument, None),
            };
            let flag = flags.iter().find(|flag| role == Role::Plain && is_named(flag, name));
            option = flag.filter(|flag| takes_value(flag)).map(|flag| flag.long);
            if let (Some(flag), None, Some(value)) = (flag, option, value) {
                return Err(format!("{} takes no value, but was given {value:?}", flag.long));
            }
            words.push(name.to_owned(), role, any_bytes.contains(&""))?;
            if let Some(value) = value {
                let any_bytes = option.take().is_none_or(|name| any_bytes.contains(&name));
                words.push(value.to_owned(), Role::Value, any_bytes)?;
            } else if name == "--" {
                role = Role::Positional;
            }
        }
        Ok(words)
    }

    fn push(&mut self, word: OsString, role: Role, any_bytes: bool) -> Result<(), String> {
        if !any_bytes && word.to_str().is_none() {
            return Err(format!("{word:?} is not UTF-8"));
        }
        self.0.push((word, role));
        Ok(())
    }

    fn has_switch(&self, names: [&str; 2]) -> bool {
        let switch = |name: &&str| self.0.iter().any(|(word, role)| *role == Role::Plain && word == name);
        names.iter().any(switch)
    }

    fn encoded(&self) -> Vec<String> {
        let encode = |(index, (word, role)): (usize, &(OsString, Role))| match word.to_str() {
            Some("-") if *role != Role::Value => format!("\0{index}"),
            Some(text) if !text.starts_with('\0') => text.to_owned(),
            _ => format!("\0{index}"),
        };
        self.0.iter().enumerate().map(encode).collect()
    }

    /// Returns the word that argh has as `word`.
    pub fn decode(&self, word: &str) -> OsString {
        let index = word.strip_prefix('\0').and_then(|digits| digits.parse::<usize>().ok());
        index.and_then(|index| Some(self.0.get(index)?.0.clone())).unwrap_or_else(|| word.into())
    }

    /// Returns the argument that argh does not know, if that is its error.
    fn unknown(&self, error: &str) -> Option<OsString> {
        let argument = error.strip_prefix("Unrecognized argument: ")?;
        Some(self.decode(argument.strip_suffix('\n').unwrap_or(argument)))
    }
}

fn is_named(flag: &FlagInfo<'_>, word: &OsStr) -> bool {
    word == flag.long || flag.short.is_some_and(|short| word == &*format!("-{short}"))
}

fn takes_value(flag: &FlagInfo<'_>) -> bool {
    matches!(flag.kind, FlagInfoKind::Option { .. })
}

/// Explains that an argument is not known. It is quoted: it may contain line ends and control characters.
fn unknown_argument<T: CommandLine>(word: &OsStr, flags: &[FlagInfo<'_>]) -> String {
    let option = word.to_str().and_then(|word| nearest(word, flags)).map(str::to_owned);
    match option.or_else(|| T::suggest(word)) {
        Some(option) => format!("unknown argument {word:?}; did you mean {option}?"),
        None => format!("unknown argument {word:?}"),
    }
}

/// Rewrites an error of argh as one line without a final period.
fn explain(error: &str) -> String {
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
    use std::os::unix::ffi::OsStringExt;

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

    /// Splits a line at spaces as `evserve` does.
    fn split(line: &str) -> Result<Vec<OsString>, String> {
        let flags = Options::get_args_info().flags;
        let words = Words::split(line.split(' ').map(OsString::from), flags, &[]);
        words.map(|words| words.0.into_iter().map(|(word, _)| word).collect())
    }

    #[test]
    fn only_options_are_split_at_an_equals_sign() {
        for (line, expected) in [
            ("--http=1 --html=a=b", "--http 1 --html a=b"),
            ("--ack-reply --got={bytes} --list", "--ack-reply --got={bytes} --list"),
            ("--ack-reply=--got={bytes} --http=1", "--ack-reply --got={bytes} --http 1"),
            ("--html -- --http=1", "--html -- --http 1"),
            ("--html= --http=1", "--html  --http 1"),
            ("-- --http=1", "-- --http=1"),
            ("--no=x a=b -V=1", "--no x a=b -V=1"),
        ] {
            let expected: Vec<OsString> = expected.split(' ').map(OsString::from).collect();
            assert_eq!(split(line), Ok(expected), "{line}");
        }
        assert!(split("--list=yes").is_err_and(|error| error.contains("--list takes no value")));
        assert!(split("-- --list=yes").is_ok() && split("--html --list=yes").is_ok());
    }

    #[test]
    fn words_that_argh_does_not_accept_are_restored() {
        let word = OsString::from_vec(b"\xff=\xfe".to_vec());
        let arguments = ["-", "--html", "-", "--", "-"].map(OsString::from).into_iter().chain([word.clone()]);
        let flags = Options::get_args_info().flags;
        let words = Words::split(arguments, flags, &[""]).expect("words");
        let encoded = words.encoded();
        assert_eq!(encoded[1..4], ["--html", "-", "--"]);
        assert!([0, 4, 5].iter().all(|index| encoded[*index].starts_with('\0')), "{encoded:?}");
        assert_eq!((words.decode(&encoded[4]), words.decode(&encoded[5])), ("-".into(), word));
        assert_eq!(words.decode("a"), "a");
    }
}
