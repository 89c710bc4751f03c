//! The shape of the code: who may import whom, who may touch the system, how long things are, and
//! whether the documents say what the program does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::process::run;

/// Which modules of the crate each may import. Nothing imports what stands above it.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // A program of its own, which names the library by its name.
    ("client_options", &[]),
    ("evclient", &["client_options", "options", "protocol", "store", "transport"]),
    ("main", &["config", "event_loop", "log_file", "options", "server"]),
    (
        "server",
        &[
            "access_log",
            "log_file",
            "clock",
            "config",
            "event_loop",
            "limits",
            "protocol",
            "rates",
            "services",
            "site",
            "store",
        ],
    ),
    ("config", &["access_log", "limits", "options", "protocol", "site", "store", "template"]),
    ("options", &[]),
    (
        "event_loop",
        &["clock", "close_reason", "limits", "outbox", "peer", "protocol", "services", "transport"],
    ),
    (
        "protocol",
        &[
            "access_log",
            "clock",
            "close_reason",
            "limits",
            "outbox",
            "peer",
            "services",
            "sessions",
            "site",
            "slice",
            "store",
            "template",
        ],
    ),
    ("transport", &["outbox"]),
    ("outbox", &["limits", "slice"]),
    (
        "services",
        &[
            "access_log",
            "clock",
            "close_reason",
            "limits",
            "log_file",
            "peer",
            "rates",
            "sessions",
            "site",
            "store",
            "template",
        ],
    ),
    ("template", &["clock", "limits", "peer"]),
    ("rates", &["limits"]),
    ("sessions", &["clock", "limits"]),
    ("site", &["clock", "limits", "slice", "store"]),
    ("access_log", &["clock", "limits", "log_file", "peer"]),
    ("log_file", &[]),
    ("peer", &[]),
    ("store", &["limits", "slice"]),
    ("slice", &[]),
    ("clock", &[]),
    ("close_reason", &[]),
    ("limits", &[]),
    ("lib", &[]),
];

/// What only some files may name: the word, and where it may stand.
const KEPT_TO: &[(&str, &[&str])] = &[
    ("mio::", &["event_loop/", "transport/"]),
    ("Instant::now", &["clock.rs", "evclient/"]),
    ("SystemTime::now", &["clock.rs"]),
    ("Now::read", &["event_loop/run.rs", "event_loop/trace.rs", "server.rs"]),
    ("File::open", &["event_loop/network.rs", "evclient/"]),
    ("openat", &["store/beneath.rs", "store/library/"]),
    ("std::thread", &["evclient/"]),
    ("async fn", &[]),
    ("unsafe", &["transport/queue.rs", "site/rules.rs"]),
    (".unwrap()", &[]),
    // Put together, so that who searches for what was left open does not find this list.
    (concat!("to", "do!"), &[]),
    ("dbg!", &[]),
    (concat!("FIX", "ME"), &[]),
    ("manager", &[]),
    ("helper", &["evclient/menu.rs"]),
    ("callback", &[]),
    ("do_", &[]),
    ("handle_", &[]),
];

const FILE_LINES_MAX: usize = 300;
const FUNCTION_LINES_MAX: usize = 60;

struct Source {
    /// Below `src`.
    path: String,
    /// Without its tests.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn sources() -> Vec<Source> {
    let mut folders = vec![root().join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            let path = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path, code });
        }
    }
    assert!(found.len() > 20);
    found
}

impl Source {
    /// The module of the crate that it belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Its lines of code, numbered from 1, without comments.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

#[test]
fn tidy_imports_go_one_way() {
    for source in sources() {
        let (_, allowed) =
            MAY_IMPORT.iter().find(|(module, _)| *module == source.module()).unwrap_or_else(|| {
                panic!("{} has no place in the table of imports", source.path);
            });
        for (number, line) in source.lines() {
            for prefix in ["crate::", "evserve::"] {
                for (at, _) in line.match_indices(prefix) {
                    let rest = &line[at + prefix.len()..];
                    let end =
                        rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                    let module = &rest[..end];
                    let known = module == source.module() || allowed.contains(&module);
                    assert!(known, "{}:{number} imports {module}", source.path);
                }
            }
        }
    }
}

#[test]
fn tidy_what_only_some_may_name() {
    for source in sources() {
        for (number, line) in source.lines() {
            for (word, places) in KEPT_TO {
                let allowed = places.iter().any(|place| source.path.starts_with(place));
                assert!(allowed || !line.contains(word), "{}:{number} names {word}", source.path);
            }
        }
    }
}

#[test]
fn tidy_files_and_functions_are_short_and_say_what_they_are() {
    for source in sources() {
        assert!(source.code.starts_with("//! "), "{} does not say what it is", source.path);
        let lines = source.code.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines before its tests", source.path);
        let mut start: Option<(usize, usize)> = None;
        for (number, line) in source.code.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let words: Vec<&str> = line.split_whitespace().take(4).collect();
            if words.contains(&"fn") && !line.trim_start().starts_with("//") {
                start = Some((number, indent));
            }
            if let Some((first, depth)) = start
                && line.trim() == "}"
                && indent == depth
            {
                let length = number - first + 1;
                assert!(length <= FUNCTION_LINES_MAX, "{}:{} has {length} lines", source.path, first + 1);
                start = None;
            }
        }
    }
}

#[test]
fn tidy_the_readme_lists_every_option_and_no_other() {
    let (_, help, _) = run(&["--help"]);
    let options = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
    };
    let readme = read("README.md");
    let table: String = readme.lines().filter(|line| line.starts_with("| `--")).collect();
    assert_eq!(options(&table), options(&help));
}

#[test]
fn tidy_the_documents_name_what_there_is() {
    let architecture = read("ARCHITECTURE.md");
    for source in sources() {
        // A module's main file goes by the name of its folder.
        let path = source.path.strip_suffix("mod.rs").unwrap_or(&source.path);
        let named = path.trim_end_matches('/').rsplit('/').next().unwrap();
        assert!(architecture.contains(named), "ARCHITECTURE.md does not name {}", source.path);
    }
    for document in ["README.md", "ARCHITECTURE.md"] {
        for word in read(document).split(|c: char| c.is_whitespace() || "`()|,".contains(c)) {
            let is_source = word.ends_with(".rs") && word.contains('/') && !word.contains('*');
            let exists = ["", "src/"].iter().any(|folder| root().join(folder).join(word).is_file());
            assert!(!is_source || exists, "{document} names {word}, which is not there");
        }
    }
    let makefile = read("Makefile");
    for target in ["run", "test", "check", "bench"] {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
    assert!(read("CHANGELOG.md").contains("## Unreleased"));
}

#[test]
fn tidy_the_site_needs_nothing_from_elsewhere() {
    for entry in fs::read_dir(root().join("html")).unwrap() {
        let path = entry.unwrap().path();
        let Some("html" | "css" | "svg") = path.extension().and_then(|extension| extension.to_str()) else {
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        for attribute in ["src=\"http", "href=\"http", "url(http", "@import", "<script src=\"//"] {
            assert!(!text.contains(attribute), "{path:?} has {attribute}");
        }
        // What it links on this server is there, or made by the server.
        for link in text.split("href=\"/").skip(1).chain(text.split("src=\"/").skip(1)) {
            let link = link.split(['"', '#', '?']).next().unwrap();
            let made = ["", "time", "session", "files/", "nowhere"].contains(&link);
            assert!(made || root().join("html").join(link).is_file(), "{path:?} links {link}");
        }
    }
}
