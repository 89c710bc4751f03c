//! The shape of the code: which files may touch the system, how long files and functions are, and whether the
//! documents say what the program does. To keep a word to some files, add a row to [`KEPT_TO`].

mod imports;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::process::run;
use source::{read, root, sources};

/// What only some files may name: the word, and where it may stand.
const KEPT_TO: &[(&str, &[&str])] = &[
    ("mio::", &["event_loop/", "transport/"]),
    ("Instant::now", &["clock.rs", "evclient/"]),
    ("SystemTime::now", &["clock.rs"]),
    ("Now::read", &["event_loop/run.rs", "event_loop/trace.rs", "server/mod.rs"]),
    ("File::open", &["event_loop/network.rs", "evclient/"]),
    ("openat", &["store/beneath.rs", "store/library/"]),
    ("std::thread", &["evclient/"]),
    ("async fn", &[]),
    ("unsafe", &["transport/queue.rs", "site/rules.rs"]),
    // The ends of lines on a wire, and in the two media types that have them.
    (
        r"\r\n",
        &[
            "protocol/http/h1/",
            "protocol/http/handlers/byte_ranges.rs",
            "protocol/http/handlers/library/multipart.rs",
            "protocol/file/",
            "evclient/",
        ],
    ),
    ("HTTP/1", &["protocol/http/h1/", "protocol/file/command.rs"]),
    (".unwrap()", &[]),
    // Put together, so that a search for open ends does not find this list.
    (concat!("to", "do!"), &[]),
    ("dbg!", &[]),
    (concat!("FIX", "ME"), &[]),
    ("manager", &[]),
    ("helper", &["evclient/menu.rs"]),
    ("callback", &[]),
    ("do_", &[]),
    ("handle_", &[]),
];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 60;

/// Names in one folder of `src`: a screenful.
const FOLDER_NAMES_MAX: usize = 17;

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
fn tidy_a_folder_is_a_screenful() {
    let mut folders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let mut path = source.path.as_str();
        while let Some((folder, name)) = path.rsplit_once('/') {
            folders.entry(folder.to_owned()).or_default().insert(name.to_owned());
            path = folder;
        }
        folders.entry(String::new()).or_default().insert(path.to_owned());
    }
    for (folder, names) in folders {
        assert!(names.len() <= FOLDER_NAMES_MAX, "src/{folder} has {} names", names.len());
    }
}

#[test]
fn tidy_a_type_has_a_name_of_its_own() {
    // The states of a machine are its own affair; twins for other systems have the same names on purpose.
    const SHARED: [&str; 3] = ["State", "Watch", "Watches"];
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources().into_iter().filter(|source| !source.path.starts_with("evclient/")) {
        for (_, line) in source.lines().filter(|(_, line)| !line.starts_with(' ')) {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if words.any(|word| ["struct", "enum", "trait"].contains(&word))
                && let Some(name) = words.next().filter(|name| !SHARED.contains(name))
            {
                types.entry(name.to_owned()).or_default().push(source.path.clone());
            }
        }
    }
    assert!(types.len() > 100, "{} types", types.len());
    for (name, files) in types {
        assert_eq!(files.len(), 1, "{name} is declared in {files:?}");
    }
}

#[test]
fn tidy_a_second_wire_needs_no_first() {
    let sketch = read("src/protocol/http/h2_sketch.rs");
    assert!(!sketch.lines().any(|line| line.contains("h1") && !line.starts_with("//!")));
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
    let sources = sources();
    for source in &sources {
        // A module's main file goes by the name of its folder.
        let path = source.path.strip_suffix("mod.rs").unwrap_or(&source.path);
        let named = path.trim_end_matches('/').rsplit('/').next().unwrap();
        assert!(architecture.contains(named), "ARCHITECTURE.md does not name {}", source.path);
    }
    for document in ["README.md", "ARCHITECTURE.md"] {
        for word in read(document).split(|c: char| c.is_whitespace() || "`()|,".contains(c)) {
            if !word.ends_with(".rs") || !word.contains('/') || word.contains('*') {
                continue;
            }
            let exists = ["", "src/"].iter().any(|folder| root().join(folder).join(word).is_file())
                || sources.iter().any(|source| format!("/{}", source.path).ends_with(&format!("/{word}")));
            assert!(exists, "{document} names {word}, which is not there");
        }
    }
    let makefile = read("Makefile");
    for target in ["run", "test", "check", "bench", "fuzz"] {
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
