//! The rules by which a site is served, as set by the options.

use globset::{GlobBuilder, GlobMatcher};

use super::types;

#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether folders without an `index.html` are listed.
    pub list: bool,
    /// Whether content codings are used.
    pub compress: bool,
    /// Whether sidecars are served. Off for uploads, because a client could upload a forged sidecar.
    pub sidecars: bool,
    /// Whether a navigation to a path that does not exist gets the front page (single-page application).
    pub spa: bool,
    /// Whether every version of a file has its own modification time, as those of uploads have.
    pub unique_times: bool,
    /// Whether `/about` serves `about.html`.
    pub pretty_urls: bool,
    /// Whether pages of other origins may read responses.
    pub cors: bool,
    /// Media types by extension, or by name for files without an extension. They override the table in
    /// [`types`].
    pub types: Vec<(String, String)>,
    /// The rules for Cache-Control. The first match applies.
    pub cache_control: Vec<CacheRule>,
    /// The header fields of every file.
    pub file_fields: &'static [(&'static str, &'static str)],
    /// The header fields of every response.
    pub extra_fields: Vec<(String, String)>,
}

/// A rule that sets Cache-Control (RFC 9111 section 5.2) for the files it matches.
#[derive(Clone, Debug)]
pub struct CacheRule {
    files: FileMatcher,
    value: String,
}

#[derive(Clone, Debug)]
enum FileMatcher {
    /// Files whose path matches a glob.
    Glob(GlobMatcher),
    /// Files whose name contains a hash of their content.
    Fingerprinted,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            list: false,
            compress: true,
            sidecars: true,
            unique_times: false,
            spa: false,
            pretty_urls: false,
            cors: false,
            types: Vec::new(),
            cache_control: Vec::new(),
            file_fields: &[],
            extra_fields: EXTRA_FIELDS.map(|(name, value)| (name.into(), value.into())).into(),
        }
    }
}

/// The default header fields of every response, which options can change.
pub const EXTRA_FIELDS: [(&str, &str); 2] = [("Server", "evserve"), ("X-Content-Type-Options", "nosniff")];

/// The header fields of uploaded files. Scripts in a file must not run in the site's origin, and a cache must
/// revalidate the file, which can be replaced at any time.
const UPLOAD_FIELDS: &[(&str, &str)] = &[
    (
        "Content-Security-Policy",
        "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'",
    ),
    ("Cache-Control", "no-cache"),
];

impl Rules {
    /// Returns the rules for files that clients have uploaded.
    pub fn of_uploads() -> Rules {
        Rules { file_fields: UPLOAD_FIELDS, sidecars: false, unique_times: true, ..Rules::default() }
    }

    /// Returns the configured media type for the extension of a path, or for its name if it has none.
    pub fn own_type(&self, path: &[u8]) -> Option<&str> {
        let key = types::extension(path).unwrap_or_else(|| types::name(path));
        let own = self.types.iter().find(|(known, _)| key.eq_ignore_ascii_case(known.as_bytes()));
        own.map(|(_, kind)| kind.as_str())
    }

    /// Returns the Cache-Control of the file at `path`.
    pub fn cache_control(&self, path: &[u8]) -> Option<&str> {
        self.cache_control.iter().find(|rule| rule.covers(path)).map(|rule| rule.value.as_str())
    }
}

impl CacheRule {
    /// Parses `GLOB=VALUE`, `fingerprinted=VALUE`, or a value alone, which applies to all files. A glob
    /// without a slash matches names in any folder. The value `immutable` alone also sets `public` and a
    /// max-age of one year.
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
    // A glob with a slash at its end matches everything in the folder.
    let below = if glob.ends_with('/') { "**" } else { "" };
    let glob =
        GlobBuilder::new(&format!("{anywhere}{anchored}{below}")).literal_separator(true).build().ok()?;
    Some(glob.compile_matcher())
}

fn are_directives(text: &str) -> bool {
    text.split(',').map(str::trim).all(is_directive)
}

/// Returns whether `text` is a directive of a response (RFC 9111 section 5.2.2, RFC 5861, RFC 8246).
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

/// Returns whether a name has a hash in hex, base 32 or base 64 before its extension, as `app.3f2a9c1b.js`
/// and `index-BX3k9_aQ.css` have: at least eight characters, with both letters and digits.
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
    fn the_first_matching_rule_sets_cache_control() {
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
    fn malformed_rules_are_rejected() {
        for text in
            ["", "=no-cache", "*.js=", "*.js=sometimes", "*.js", "[=no-cache", "max-age=x", "a=b\r\nX: y"]
        {
            assert!(CacheRule::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn configured_types_apply_to_an_extension_or_a_whole_name() {
        let types = vec![("x3d".into(), "model/x3d+xml".into()), ("makefile".into(), "text/x-make".into())];
        let rules = Rules { types, ..Rules::default() };
        assert_eq!(rules.own_type(b"/a.X3D"), Some("model/x3d+xml"));
        assert_eq!(rules.own_type(b"/sub/Makefile"), Some("text/x-make"));
        for path in ["/Makefile.txt", "/Makefile/a", "/a.css", "/a"] {
            assert_eq!(rules.own_type(path.as_bytes()), None, "{path}");
        }
    }
}
