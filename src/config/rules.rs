//! The options that say how a site is served.

use super::BadValue;
use super::Options;
use crate::site::{CacheRule, Rules, STANDING_FIELDS};

const A_TYPE: &str = "it takes ext=type/subtype, each extension once";
const A_CACHE_RULE: &str =
    "it takes GLOB=VALUE, fingerprinted=VALUE or VALUE, with directives of Cache-Control as the value";
const A_LINE: &str = "it takes 'Name: value', of visible characters and spaces";
const A_LINE_OF_OURS: &str = "the server has to say that itself";
const A_CACHE_LINE: &str = "--cache-control says that";
const A_CORS_LINE: &str = "--cors says that";

/// Checks them.
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
        let (extension, kind) = media_type(text).ok_or_else(|| bad("--mime", text, A_TYPE))?;
        if rules.types.iter().any(|(known, _)| *known == extension) {
            return Err(bad("--mime", text, A_TYPE));
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
    rules.standing_fields = standing_fields(given);
    Ok(rules)
}

/// The fields of every response with `given` among them. A given one replaces a standing one of that name.
fn standing_fields(given: Vec<(String, String)>) -> Vec<(String, String)> {
    let is_given = |name: &str| given.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let kept = STANDING_FIELDS.into_iter().filter(|(name, _)| !is_given(name));
    let mut fields: Vec<_> = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    fields.extend(given);
    fields
}

/// `ext=type/subtype`; text gets the charset that all text here has.
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
    let needs_charset = group.eq_ignore_ascii_case("text") && !kind.contains(';');
    Some((extension, if needs_charset { format!("{kind}; charset=utf-8") } else { kind.to_owned() }))
}

/// `Name: value`, of a field that is not the server's own to say.
fn field(text: &str) -> Result<(&str, &str), &'static str> {
    let (name, value) = text.split_once(':').ok_or(A_LINE)?;
    let value = value.trim_matches([' ', '\t']);
    if !is_token(name)
        || value.is_empty()
        || value.chars().any(|character| character.is_control() && character != '\t')
    {
        return Err(A_LINE);
    }
    match name.to_ascii_lowercase().as_str() {
        "cache-control" => Err(A_CACHE_LINE),
        "access-control-allow-origin" => Err(A_CORS_LINE),
        "accept-ranges" | "allow" | "connection" | "content-encoding" | "content-length"
        | "content-range" | "content-type" | "date" | "etag" | "keep-alive" | "last-modified"
        | "location" | "trailer" | "transfer-encoding" | "upgrade" => Err(A_LINE_OF_OURS),
        _ => Ok((name, value)),
    }
}

/// RFC 9110 section 5.6.2.
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
    fn what_is_given_is_in_the_rules() {
        let given = rules(&[
            "--mime",
            ".X3D=model/x3d+xml",
            "--mime",
            "log=text/x-log",
            "--header",
            "X-Frame-Options: DENY",
            "--header",
            "server: mine",
            "--cors",
            "--list",
        ]);
        let given = given.expect("rules");
        assert_eq!(given.types[0], ("x3d".into(), "model/x3d+xml".into()));
        assert_eq!(given.types[1].1, "text/x-log; charset=utf-8");
        let fields: Vec<String> =
            given.standing_fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            fields.join("\n"),
            "X-Content-Type-Options: nosniff\nX-Frame-Options: DENY\nserver: mine\n\
             Access-Control-Allow-Origin: *\nAccess-Control-Expose-Headers: *"
        );
        assert!(given.list && given.cors && given.compress && !given.spa);
        let plain = rules(&[]).expect("defaults");
        assert_eq!(plain.standing_fields, Rules::default().standing_fields);
    }

    #[test]
    fn every_bad_value_is_named() {
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
        ] {
            let bad = rules(&[option, value]).expect_err(value);
            assert!(bad.to_string().starts_with(option), "{bad}");
        }
        assert!(rules(&["--mime", "a=text/a", "--mime", "A=text/b"]).is_err());
    }
}
