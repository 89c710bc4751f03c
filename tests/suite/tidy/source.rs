//! Reads the files of `src` for the tidy tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A file below `src`.
pub struct Source {
    /// The path below `src`.
    pub path: String,
    /// The text before the first `#[cfg(test)]`.
    pub code: String,
}

/// Returns the root folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file of the project.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Returns all files of `src` except h2_sketch.rs, which is a test.
pub fn sources() -> Vec<Source> {
    let mut folders = vec![root().join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            if !is_source || path.ends_with("h2_sketch.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            let path = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path, code });
        }
    }
    assert!(found.len() > 20);
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

impl Source {
    /// Returns the lines of code with their numbers (from 1), without comment lines.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}
