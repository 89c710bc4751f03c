//! The options that say how a site is served.

use super::BadValue;
use super::Options;
use crate::site::{CacheRule, EXTRA_FIELDS, Rules};

const TYPE_FORMAT: &str =
    "use EXT=TYPE/SUBTYPE, or NAME=TYPE/SUBTYPE for names without an extension, each once";
const A_CACHE_RULE: &str =
    "use GLOB=VALUE, fingerprinted=VALUE or VALUE, with Cache-Control directives as the value";
const LINE_FORMAT: &str = "use 'Name: value', with visible characters and spaces only";
const SERVER_FIELD: &str = "the server sets this field itself";
const CACHE_FIELD: &str = "use --cache-control for this field";
const CORS_FIELD: &str = "use --cors for this field";

/// Checks the options of the site.
pub(super) fn check(options: &Options) -> Result<Rules, BadValue> {
    let bad = |option, value: &str, wanted| BadValue { option, value: value.to_owned(), wanted };
    let mut rules = Rules {
        list: options.list,
        compress: !options.no_compress,
        spa: options.spa,
        pretty_urls: options.pretty_urls,
        cors: options.cors,
        ..Rules::default()
    };
    for text in &options.mime {
        let (extension, kind) = media_type(text).ok_or_else(|| bad("--mime", text, TYPE_FORMAT))?;
        if rules.types.iter().any(|(known, _)| *known == extension) {
            return Err(bad("--mime", text, TYPE_FORMAT));
        }
        rules.types.push((extension, kind));
    }
    for text in &options.cache_control {
        let rule = CacheRule::parse(text).ok_or_else(|| bad("--cache-control", text, A_CACHE_RULE))?;
        rules.cache_control.push(rule);
    }
    let mut given = Vec::new();
    for text in &options.header {
        let (name, value) = field(text).map_err(|wanted| bad("--header", text, wanted))?;
        given.push((name.to_owned(), value.to_owned()));
    }
    if options.cors {
        given.push(("Access-Control-Allow-Origin".into(), "*".into()));
        given.push(("Access-Control-Expose-Headers".into(), "*".into()));
    }
    rules.extra_fields = extra_fields(given);
    Ok(rules)
}

/// Returns the fields of every response: `given`, and the standing fields that no given field replaces.
fn extra_fields(given: Vec<(String, String)>) -> Vec<(String, String)> {
    let is_given = |name: &str| given.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let kept = EXTRA_FIELDS.into_iter().filter(|(name, _)| !is_given(name));
    let mut fields: Vec<_> = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    fields.extend(given);
    fields
}

/// Parses `ext=type/subtype`, in which a name may replace the extension.
fn media_type(text: &str) -> Option<(String, String)> {
    let (extension, kind) = text.split_once('=')?;
    let extension = extension.strip_prefix('.').unwrap_or(extension).to_ascii_lowercase();
    let (group, subtype) = kind.split(';').next()?.trim().split_once('/')?;
    let is_parameter = |parameter: &str| {
        let (name, value) = parameter.trim().split_once('=').unwrap_or_default();
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        is_token(name) && (is_token(value) || quoted.is_some_and(|value| !value.contains(['"', '\\'])))
    };
    let is_value =
        kind.bytes().all(|byte| matches!(byte, b' '..=b'~')) && kind.split(';').skip(1).all(is_parameter);
    if extension.is_empty()
        || extension.contains(['/', '.'])
        || !is_token(group)
        || !is_token(subtype)
        || !is_value
    {
        return None;
    }
    Some((extension, kind.to_owned()))
}

/// Parses `Name: value`. Rejects fields that only the server may set.
fn field(text: &str) -> Result<(&str, &str), &'static str> {
    let (name, value) = text.split_once(':').ok_or(LINE_FORMAT)?;
    let value = value.trim_matches([' ', '\t']);
    if !is_token(name)
        || value.is_empty()
        || value.chars().any(|character| character.is_control() && character != '\t')
    {
        return Err(LINE_FORMAT);
    }
    match name.to_ascii_lowercase().as_str() {
        "cache-control" => Err(CACHE_FIELD),
        "access-control-allow-headers"
        | "access-control-allow-methods"
        | "access-control-allow-origin"
        | "access-control-max-age" => Err(CORS_FIELD),
        "accept-ranges"
        | "allow"
        | "connection"
        | "content-digest"
        | "content-disposition"
        | "content-encoding"
        | "content-length"
        | "content-range"
        | "content-type"
        | "date"
        | "etag"
        | "keep-alive"
        | "last-modified"
        | "location"
        | "repr-digest"
        | "retry-after"
        | "trailer"
        | "transfer-encoding"
        | "upgrade"
        | "upload-complete"
        | "upload-length"
        | "upload-offset" => Err(SERVER_FIELD),
        _ => Ok((name, value)),
    }
}

/// Returns whether `text` is a token (RFC 9110 section 5.6.2).
fn is_token(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn rules(arguments: &[&str]) -> Result<Rules, BadValue> {
        check(&Options::parse(arguments.iter().map(OsString::from)).expect("options"))
    }

    #[test]
    fn given_options_set_the_rules() {
        let given = rules(&[
            "--mime",
            ".X3D=model/x3d+xml",
            "--mime",
            "log=text/x-log",
            "--mime",
            "Makefile=text/plain; charset=gb18030",
            "--header",
            "X-Frame-Options: DENY",
            "--header",
            "server: mine",
            "--cors",
            "--list",
        ]);
        let given = given.expect("rules");
        assert_eq!(given.types[0], ("x3d".into(), "model/x3d+xml".into()));
        assert_eq!(given.types[1], ("log".into(), "text/x-log".into()));
        assert_eq!(given.types[2], ("makefile".into(), "text/plain; charset=gb18030".into()));
        let fields: Vec<String> =
            given.extra_fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            fields.join("\n"),
            "X-Content-Type-Options: nosniff\nX-Frame-Options: DENY\nserver: mine\n\
             Access-Control-Allow-Origin: *\nAccess-Control-Expose-Headers: *"
        );
        assert!(given.list && given.cors && given.compress && !given.spa);
        let plain = rules(&[]).expect("defaults");
        assert_eq!(plain.extra_fields, Rules::default().extra_fields);
    }

    #[test]
    fn errors_name_the_option_with_a_bad_value() {
        for (option, value) in [
            ("--mime", "x"),
            ("--mime", "=a/b"),
            ("--mime", "x="),
            ("--mime", "x=text"),
            ("--mime", "x=text/"),
            ("--mime", "x=text/a\r\nY: z"),
            ("--mime", "x=text/a;charset"),
            ("--header", "Allow: x"),
            ("--mime", "a.b=text/a"),
            ("--cache-control", "*.js=sometimes"),
            ("--cache-control", ""),
            ("--header", "X"),
            ("--header", "X:"),
            ("--header", "X y: z"),
            ("--header", "X: a\r\nY: b"),
            ("--header", "Content-Length: 5"),
            ("--header", "etag: x"),
            ("--header", "Cache-Control: no-store"),
            ("--header", "Access-Control-Allow-Origin: *"),
            ("--header", "Access-Control-Allow-Methods: GET"),
            ("--header", "access-control-allow-headers: *"),
            ("--header", "Access-Control-Max-Age: 60"),
            ("--header", "Repr-Digest: sha-256=:x:"),
            ("--header", "Content-Digest: sha-256=:x:"),
            ("--header", "Upload-Offset: 1"),
            ("--header", "Upload-Complete: ?1"),
            ("--header", "Upload-Length: 1"),
            ("--header", "Retry-After: 1"),
            ("--header", "Content-Disposition: attachment"),
        ] {
            let bad = rules(&[option, value]).expect_err(value);
            assert!(bad.to_string().starts_with(option), "{bad}");
        }
        assert!(rules(&["--mime", "a=text/a", "--mime", "A=text/b"]).is_err());
        for allowed in ["Content-Security-Policy: x", "Vary: Origin", "Link: <a>", "Set-Cookie: a=b"] {
            assert!(rules(&["--header", allowed]).is_ok(), "{allowed}");
        }
    }
}
