//! How a site is served: what the options say of it.

use globset::{GlobBuilder, GlobMatcher};

use super::types;

/// The rules of a site.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether folders without a page of their own are listed.
    pub list: bool,
    /// Whether content codings are used.
    pub compress: bool,
    /// Whether a coded form is taken from a file beside it. Not where anybody may put one.
    pub sidecars: bool,
    /// Whether a navigation that finds nothing gets the front page.
    pub spa: bool,
    /// Whether `/about` is `about.html`.
    pub pretty_urls: bool,
    /// Whether pages of other origins may read what is served.
    pub cors: bool,
    /// Media types by extension, in lower case, that come before the table.
    pub types: Vec<(String, String)>,
    /// Values of Cache-Control; the first that matches counts.
    pub cache_control: Vec<CacheRule>,
    /// Fields of every file.
    pub file_fields: &'static [(&'static str, &'static str)],
    /// Fields of every response.
    pub standing_fields: Vec<(String, String)>,
}

/// Which files get which Cache-Control (RFC 9111 section 5.2).
#[derive(Clone, Debug)]
pub struct CacheRule {
    files: FileMatcher,
    value: String,
}

#[derive(Clone, Debug)]
enum FileMatcher {
    /// Those whose path matches.
    Glob(GlobMatcher),
    /// Those whose name bears a hash of what is in them.
    Fingerprinted,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            list: false,
            compress: true,
            sidecars: true,
            spa: false,
            pretty_urls: false,
            cors: false,
            types: Vec::new(),
            cache_control: Vec::new(),
            file_fields: &[],
            standing_fields: STANDING_FIELDS.map(|(name, value)| (name.into(), value.into())).into(),
        }
    }
}

/// Fields of every response unless an option changes them.
pub const STANDING_FIELDS: [(&str, &str); 2] = [("Server", "evserve"), ("X-Content-Type-Options", "nosniff")];

/// An uploaded file must not run in the site's origin, and may be another one tomorrow.
const UPLOAD_FIELDS: &[(&str, &str)] = &[
    (
        "Content-Security-Policy",
        "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'",
    ),
    ("Cache-Control", "no-cache"),
];

impl Rules {
    /// Those of files that anybody may have uploaded.
    pub fn of_uploads() -> Rules {
        Rules { file_fields: UPLOAD_FIELDS, sidecars: false, ..Rules::default() }
    }

    /// The media type that a path's extension says; `None` when the last name has no extension.
    pub fn content_type(&self, path: &[u8]) -> Option<String> {
        let extension = types::extension(path)?;
        let own = self.types.iter().find(|(known, _)| extension.eq_ignore_ascii_case(known.as_bytes()));
        Some(own.map_or(types::of_extension(extension), |(_, kind)| kind).to_owned())
    }

    /// The Cache-Control of the file at `path`.
    pub fn cache_control(&self, path: &[u8]) -> Option<&str> {
        self.cache_control.iter().find(|rule| rule.covers(path)).map(|rule| rule.value.as_str())
    }
}

impl CacheRule {
    /// `GLOB=VALUE`, `fingerprinted=VALUE`, or a value alone for all files; `immutable` alone is
    /// short for a year. A glob without a slash is for names in any folder.
    pub fn parse(text: &str) -> Option<CacheRule> {
        let (glob, value) = if are_directives(text) { ("**", text) } else { text.split_once('=')? };
        let value = match value.trim() {
            "immutable" => "public, max-age=31536000, immutable",
            value => value,
        };
        if !are_directives(value) {
            return None;
        }
        let files = match glob.trim() {
            "fingerprinted" => FileMatcher::Fingerprinted,
            glob => FileMatcher::Glob(matcher(glob)?),
        };
        Some(CacheRule { files, value: value.to_owned() })
    }

    fn covers(&self, path: &[u8]) -> bool {
        let path = String::from_utf8_lossy(path);
        let path = path.trim_start_matches('/');
        match &self.files {
            FileMatcher::Glob(glob) => glob.is_match(path),
            FileMatcher::Fingerprinted => is_fingerprinted(path.rsplit('/').next().unwrap_or(path)),
        }
    }
}

fn matcher(glob: &str) -> Option<GlobMatcher> {
    if glob.is_empty() {
        return None;
    }
    let anchored = glob.trim_start_matches('/');
    let anywhere = if glob.contains('/') { "" } else { "**/" };
    // A folder is all that is in it.
    let below = if glob.ends_with('/') { "**" } else { "" };
    let glob =
        GlobBuilder::new(&format!("{anywhere}{anchored}{below}")).literal_separator(true).build().ok()?;
    Some(glob.compile_matcher())
}

fn are_directives(text: &str) -> bool {
    text.split(',').map(str::trim).all(is_directive)
}

/// The directives of responses (RFC 9111 section 5.2.2, RFC 5861, RFC 8246).
fn is_directive(text: &str) -> bool {
    const BARE: [&str; 9] = [
        "immutable",
        "must-revalidate",
        "must-understand",
        "no-cache",
        "no-store",
        "no-transform",
        "private",
        "proxy-revalidate",
        "public",
    ];
    const WITH_SECONDS: [&str; 4] = ["max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"];
    match text.split_once('=') {
        None => BARE.contains(&text),
        Some((name, seconds)) => {
            let number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
            WITH_SECONDS.contains(&name) && number
        }
    }
}

/// Whether a name has a part of eight or more letters and digits, as hashes in hex, base 32 or
/// base 64 have them, before its extension: `app.3f2a9c1b.js`, `index-BX3k9_aQ.css`.
fn is_fingerprinted(name: &str) -> bool {
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    let Some((_, hash)) = stem.rsplit_once(['.', '-']) else { return false };
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    hash.len() >= 8
        && hash.bytes().all(known)
        && hash.bytes().any(|byte| byte.is_ascii_digit())
        && hash.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_covers_a_file_counts() {
        let rule = |text: &str| CacheRule::parse(text).unwrap_or_else(|| panic!("{text}"));
        let rules = Rules {
            cache_control: vec![
                rule("fingerprinted=immutable"),
                rule("*.{html,htm} = no-cache"),
                rule("assets/**=public, max-age=60"),
                rule("private/=no-store"),
                rule("/top.txt=no-store"),
                rule("max-age=5, public"),
            ],
            ..Rules::default()
        };
        for (path, value) in [
            ("/app.3f2a9c1b.js", "public, max-age=31536000, immutable"),
            ("/index-BX3k9_aQ.css", "public, max-age=31536000, immutable"),
            ("/deep/er/page.html", "no-cache"),
            ("/index.htm", "no-cache"),
            ("/assets/a/b.txt", "public, max-age=60"),
            ("/private/a/b", "no-store"),
            ("/top.txt", "no-store"),
            ("/sub/top.txt", "max-age=5, public"),
            ("/app.js", "max-age=5, public"),
            ("/my-document.js", "max-age=5, public"),
            ("/a-20261121.txt", "max-age=5, public"),
        ] {
            assert_eq!(rules.cache_control(path.as_bytes()), Some(value), "{path}");
        }
        assert_eq!(Rules::default().cache_control(b"/a"), None);
    }

    #[test]
    fn rules_that_make_no_sense() {
        for text in
            ["", "=no-cache", "*.js=", "*.js=sometimes", "*.js", "[=no-cache", "max-age=x", "a=b\r\nX: y"]
        {
            assert!(CacheRule::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn own_types_come_first() {
        let types = vec![("x3d".into(), "model/x3d+xml".into()), ("js".into(), "text/plain".into())];
        let rules = Rules { types, ..Rules::default() };
        assert_eq!(rules.content_type(b"/a.X3D").as_deref(), Some("model/x3d+xml"));
        assert_eq!(rules.content_type(b"/a.js").as_deref(), Some("text/plain"));
        assert_eq!(rules.content_type(b"/a.css").as_deref(), Some("text/css; charset=utf-8"));
        assert_eq!(rules.content_type(b"/a"), None);
    }
}
