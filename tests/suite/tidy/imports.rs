//! Checks which parts of `src` import which others, and that no files import each other in a cycle. To add a
//! part, add a row to [`MAY_IMPORT`].

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, sources};

/// The parts of `src`, and the other parts that each may import. A file belongs to the row with the longest
/// matching path prefix.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    // A separate program, which imports the library as `evserve`.
    ("evclient", &["config", "observe", "protocol/file", "protocol/file/vocabulary", "store", "transport"]),
    ("main", &["config", "event_loop", "observe", "server", "top"]),
    // Part of the program `evserve`, which knows the server only by HTTP.
    ("top", &["config"]),
    (
        "server",
        &[
            "clock",
            "config",
            "event_loop",
            "limits",
            "observe",
            "protocol",
            "services",
            "site",
            "store",
            "transport",
        ],
    ),
    ("config", &["limits", "observe", "protocol/file", "services", "site", "store"]),
    (
        "event_loop",
        &[
            "clock",
            "close_reason",
            "limits",
            "observe",
            "outbox",
            "peer",
            "protocol",
            "protocol/contract",
            "services",
            "transport",
        ],
    ),
    (
        "protocol",
        &[
            "clock",
            "close_reason",
            "limits",
            "observe",
            "outbox",
            "peer",
            "protocol/contract",
            "protocol/file",
            "protocol/http/h1",
            "services",
        ],
    ),
    ("protocol/contract", &["clock", "close_reason", "observe", "outbox", "services"]),
    (
        "protocol/file",
        &[
            "clock",
            "close_reason",
            "limits",
            "observe",
            "outbox",
            "protocol/contract",
            "protocol/file/vocabulary",
            "services",
            "store",
        ],
    ),
    ("protocol/file/vocabulary", &[]),
    (
        "protocol/http/h1",
        &[
            "clock",
            "close_reason",
            "limits",
            "observe",
            "outbox",
            "protocol/contract",
            "protocol/http/handlers",
            "protocol/http/semantics",
            "services",
            "site",
            "store",
        ],
    ),
    (
        "protocol/http/handlers",
        &[
            "clock",
            "close_reason",
            "limits",
            "observe",
            "protocol/http/semantics",
            "services",
            "site",
            "store",
        ],
    ),
    ("protocol/http/semantics", &["clock", "limits", "services", "site", "store"]),
    ("transport", &["clock", "limits", "store"]),
    ("outbox", &["limits", "store"]),
    ("services", &["clock", "close_reason", "limits", "observe", "peer", "site", "store"]),
    ("site", &["clock", "limits", "observe", "store"]),
    ("observe", &["clock", "close_reason", "limits", "peer"]),
    ("store", &["clock", "limits"]),
    ("peer", &[]),
    ("clock", &[]),
    ("close_reason", &[]),
    ("limits", &[]),
    ("lib", &[]),
];

/// The modules of `src` with their imports.
struct Modules {
    sources: Vec<Source>,
    /// The imports of each source, in the order of `sources`.
    imports: Vec<Vec<Import>>,
    /// The index into `sources` by module path, such as `store::cache`; the crate root is the empty path.
    files: BTreeMap<String, usize>,
}

/// A name that a file imports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    line: usize,
    path: Vec<String>,
    /// Whether the import is a re-export (`pub use`).
    is_export: bool,
}

impl Modules {
    fn read() -> Modules {
        let sources = sources();
        let files = sources.iter().enumerate().map(|(index, source)| (module_of(&source.path), index));
        Modules { files: files.collect(), imports: sources.iter().map(imports).collect(), sources }
    }

    /// Returns the file that declares what `path` names in the module `from`, or `None` for another crate.
    fn resolve(&self, from: &str, path: &[String]) -> Option<usize> {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let (mut module, mut rest) = match names.as_slice() {
            ["crate" | "evserve", rest @ ..] => (String::new(), rest),
            ["self", rest @ ..] => (from.to_owned(), rest),
            ["super", rest @ ..] => (parent(from), rest),
            [first, ..] if self.files.contains_key(&child(from, first)) => (from.to_owned(), &names[..]),
            _ => return None,
        };
        while let ["super", tail @ ..] = rest {
            (module, rest) = (parent(&module), tail);
        }
        while let [name, tail @ ..] = rest {
            let inner = child(&module, name);
            if self.files.contains_key(&inner) {
                (module, rest) = (inner, tail);
                continue;
            }
            // The name may be a re-export of the module.
            let file = *self.files.get(&module)?;
            let mut exports = self.imports[file].iter();
            let named = exports.find(|import| import.path.last().is_some_and(|last| last == name));
            return match named {
                Some(import) if module != from => self.resolve(&module, &import.path),
                _ => Some(file),
            };
        }
        self.files.get(&module).copied()
    }

    /// Returns the files that each file imports.
    fn graph(&self) -> Vec<BTreeSet<usize>> {
        let imported = |(source, imports): (&Source, &Vec<Import>)| {
            let module = module_of(&source.path);
            let own = imports.iter().filter(|import| !import.is_export);
            own.filter_map(|import| self.resolve(&module, &import.path)).collect()
        };
        self.sources.iter().zip(&self.imports).map(imported).collect()
    }
}

/// Returns the module path of a file below `src`.
fn module_of(path: &str) -> String {
    let path = path.trim_end_matches(".rs");
    match path.strip_suffix("/mod").unwrap_or(path) {
        "lib" => String::new(),
        // The programs are separate crates, which no module imports.
        module => module.replace('/', "::"),
    }
}

fn parent(module: &str) -> String {
    module.rsplit_once("::").map_or(String::new(), |(parent, _)| parent.to_owned())
}

fn child(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

/// Returns the imports of a file: its `use` items, and the paths in its code that begin with `crate::`.
fn imports(source: &Source) -> Vec<Import> {
    let mut found = Vec::new();
    let mut open: Option<(usize, bool, String)> = None;
    for (line, text) in source.lines() {
        if open.is_none() {
            let is_export = text.starts_with("pub");
            let item = text.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            if let Some(tree) = item.strip_prefix("use ") {
                open = Some((line, is_export, tree.to_owned()));
            } else {
                for (at, _) in text.match_indices("crate::") {
                    let end = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':';
                    let path = text[at..].split(end).next().unwrap_or_default();
                    let path = path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
                    found.push(Import { line, path, is_export: false });
                }
                continue;
            }
        } else if let Some((_, _, tree)) = &mut open {
            tree.push_str(text.trim());
        }
        if let Some((line, is_export, tree)) = open.take_if(|(_, _, tree)| tree.ends_with(';')) {
            let mut paths = Vec::new();
            expand(&[], tree.trim_end_matches(';'), &mut paths);
            found.extend(paths.into_iter().map(|path| Import { line, path, is_export }));
        }
    }
    found
}

/// Adds the paths of a use tree such as `a::{b, c::{self, d as e}}` to `paths`.
fn expand(prefix: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    let (names, group) = match tree.split_once('{') {
        Some((names, group)) => (names, Some(group.trim_end().trim_end_matches('}'))),
        None => (tree, None),
    };
    let names = names.split("::").map(|name| name.split(" as ").next().unwrap_or(name).trim());
    let names =
        names.filter(|name| !name.is_empty() && *name != "self" || (prefix.is_empty() && *name == "self"));
    let path: Vec<String> = prefix.iter().cloned().chain(names.map(str::to_owned)).collect();
    let Some(group) = group else { return paths.push(path) };
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices().chain([(group.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let tree = group[start..at].trim();
                if !tree.is_empty() {
                    // Restores the closing braces that were trimmed from the end of the group.
                    let missing = tree.matches('{').count() - tree.matches('}').count();
                    expand(&path, &format!("{tree}{}", "}".repeat(missing)), paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Returns the row of [`MAY_IMPORT`] that a file belongs to.
fn row_of(path: &str) -> &'static str {
    let path = path.trim_end_matches(".rs");
    let within =
        |row: &str| path.strip_prefix(row).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let rows = MAY_IMPORT.iter().map(|(row, _)| *row).filter(|row| within(row));
    rows.max_by_key(|row| row.len()).unwrap_or_else(|| panic!("{path} has no row in the table of imports"))
}

#[test]
fn tidy_files_import_only_the_parts_that_the_table_allows() {
    let modules = Modules::read();
    for (source, imports) in modules.sources.iter().zip(&modules.imports) {
        let own = row_of(&source.path);
        let (_, allowed) = MAY_IMPORT.iter().find(|(row, _)| *row == own).unwrap();
        for import in imports {
            // A `mod.rs` may import the modules of its folder.
            let Some(target) = modules.resolve(&module_of(&source.path), &import.path) else { continue };
            let target = &modules.sources[target].path;
            let is_below =
                target.starts_with(source.path.trim_end_matches("mod.rs")) && source.path.ends_with("mod.rs");
            let known = row_of(target) == own || allowed.contains(&row_of(target)) || is_below;
            assert!(known, "{}:{} imports {target}", source.path, import.line);
        }
    }
}

#[test]
fn tidy_no_files_import_each_other_in_a_cycle() {
    let modules = Modules::read();
    let graph = modules.graph();
    assert!(graph.iter().map(BTreeSet::len).sum::<usize>() > 300, "hardly any import was found");
    let reaches = |start: usize| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(file) = open.pop() {
            open.extend(graph[file].iter().filter(|next| **next != file && seen.insert(**next)));
        }
        seen
    };
    let reached: Vec<BTreeSet<usize>> = (0..graph.len()).map(reaches).collect();
    let mut circles = BTreeSet::new();
    for (file, reached_files) in reached.iter().enumerate() {
        let circle = |other: &&usize| reached[**other].contains(&file) && **other != file;
        let others: Vec<&str> =
            reached_files.iter().filter(circle).map(|other| &*modules.sources[*other].path).collect();
        if !others.is_empty() {
            circles.insert(format!("{} and {}", modules.sources[file].path, others.join(", ")));
        }
    }
    assert!(circles.is_empty(), "files import each other:\n{}", Vec::from_iter(circles).join("\n"));
}

#[test]
fn tidy_the_import_parser_expands_nested_groups() {
    let mut paths = Vec::new();
    expand(&[], "a::{b, c::{self, d as e}, f::g}", &mut paths);
    let paths: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["a::b", "a::c", "a::c::d", "a::f::g"]);
}
