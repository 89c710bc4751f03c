//! Checks the shape of the code: which files may use the system, how long files and functions are, and
//! whether the docs match the program. To restrict a word to some files, add a row to [`RESTRICTED_WORDS`].

mod imports;
mod source;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use source::{read, root, sources};

/// Words that only some files may contain: the word, and the allowed path prefixes below `src`.
const RESTRICTED_WORDS: &[(&str, &[&str])] = &[
    ("mio::", &["event_loop/", "transport/"]),
    ("Instant::now", &["clock/", "event_loop/run.rs", "evclient/", "top/", "transport/tls/certificates.rs"]),
    ("SystemTime::now", &["clock/"]),
    ("Now::read", &["event_loop/run.rs", "event_loop/trace.rs", "server/mod.rs"]),
    ("File::open", &["event_loop/network.rs", "evclient/"]),
    ("openat", &["store/beneath.rs", "store/watch/", "store/library/"]),
    ("std::thread", &["evclient/"]),
    ("async fn", &[]),
    ("rustls", &["transport/tls/"]),
    ("unsafe", &["transport/queue.rs", "store/watch/signal.rs", "site/rules.rs"]),
    // Line ends of the wire formats, and of the two media types that use CRLF.
    (
        r"\r\n",
        &[
            "protocol/http/h1/",
            "protocol/http/handlers/byte_ranges.rs",
            "protocol/http/handlers/library/multipart.rs",
            "protocol/file/",
            "evclient/",
            "top/feed/",
        ],
    ),
    ("HTTP/1", &["protocol/http/h1/", "protocol/file/command.rs", "top/feed/"]),
    (".unwrap()", &[]),
    // Concatenated, so that a search for leftover markers does not match this list.
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

/// The maximum number of entries in a folder of `src`. `src` itself has the 16 parts of the library and two clients of
/// the server, evclient/ and top/.
const FOLDER_NAMES_MAX: usize = 18;

#[test]
fn tidy_restricted_words_appear_only_in_the_allowed_files() {
    for source in sources() {
        for (number, line) in source.lines() {
            for (word, places) in RESTRICTED_WORDS {
                let allowed = places.iter().any(|place| source.path.starts_with(place));
                assert!(allowed || !line.contains(word), "{}:{number} names {word}", source.path);
            }
        }
    }
}

#[test]
fn tidy_files_and_functions_are_short_and_files_have_a_head() {
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
fn tidy_folders_have_few_entries() {
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
fn tidy_type_names_are_unique() {
    // `State` and `Stage` are private to their state machines; the variants of the watches by platform, and of TLS by feature, share their names.
    const SHARED: [&str; 9] = [
        "State",
        "Stage",
        "Watch",
        "Watches",
        "Identity",
        "TlsAcceptor",
        "TlsServer",
        "TlsClient",
        "TlsClientStream",
    ];
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
fn tidy_the_http_2_sketch_does_not_use_h1() {
    let sketch = read("src/protocol/http/h2_sketch.rs");
    assert!(!sketch.lines().any(|line| line.contains("h1") && !line.starts_with("//!")));
}

#[test]
fn tidy_the_docs_name_every_source_file_and_only_existing_files() {
    let architecture = read("ARCHITECTURE.md");
    let sources = sources();
    for source in &sources {
        // A `mod.rs` is named by its folder.
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
fn tidy_the_demo_site_is_self_contained_and_has_no_broken_links() {
    for entry in fs::read_dir(root().join("html")).unwrap() {
        let path = entry.unwrap().path();
        let Some("html" | "css" | "svg") = path.extension().and_then(|extension| extension.to_str()) else {
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        for attribute in ["src=\"http", "href=\"http", "url(http", "@import", "<script src=\"//"] {
            assert!(!text.contains(attribute), "{path:?} has {attribute}");
        }
        // Each local link leads to a file, or to a page that the server generates.
        for link in text.split("href=\"/").skip(1).chain(text.split("src=\"/").skip(1)) {
            let link = link.split(['"', '#', '?']).next().unwrap();
            let made = ["", "time", "session", "files/", "nowhere"].contains(&link);
            assert!(made || root().join("html").join(link).is_file(), "{path:?} links {link}");
        }
    }
}
