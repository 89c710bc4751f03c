//! Media types by file name extension, according to the IANA registry, the WHATWG MIME Sniffing Standard and
//! current browsers.

use super::extensions::{LONGEST, NAMES, SHOWN_AS_TEXT, TYPES};

/// The type of UTF-8 text without a more specific type.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// Text without a more specific type, in any charset.
pub const PLAIN: &str = "text/plain";
pub const HTML: &str = "text/html; charset=utf-8";
pub const JSON: &str = "application/json";
/// The type of files that are neither text nor of a known type.
pub const BINARY: &str = "application/octet-stream";
/// The type of MPEG transport streams, whose extension `ts` is also that of TypeScript.
pub const TRANSPORT_STREAM: &str = "video/mp2t";
/// The type of drawings, which may be stored with gzip.
pub const DRAWING: &str = "image/svg+xml";

/// Returns the extension of the last segment, if any. A dot at the start of a name begins no extension.
pub fn extension(path: &[u8]) -> Option<&[u8]> {
    let name = name(path);
    let dot = memchr::memrchr(b'.', name).filter(|dot| *dot > 0)?;
    Some(&name[dot + 1..])
}

/// Returns the last segment of a path.
pub fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Returns the media type for the name of a file, without a charset: [`BINARY`] if the extension is unknown, or
/// `None` if there is no extension and the name is not known either.
pub fn of_path(path: &[u8]) -> Option<&'static str> {
    match extension(path) {
        Some(extension) => Some(of_extension(extension)),
        None => NAMES.iter().find(|(known, _)| known.as_bytes() == name(path)).map(|(_, kind)| *kind),
    }
}

fn of_extension(extension: &[u8]) -> &'static str {
    let mut buffer = [0; LONGEST];
    let Some(lower) = buffer.get_mut(..extension.len()) else { return BINARY };
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    if SHOWN_AS_TEXT.binary_search_by_key(&&*lower, |extension| extension.as_bytes()).is_ok() {
        return PLAIN;
    }
    let found = TYPES.binary_search_by_key(&&*lower, |(extension, _)| extension.as_bytes());
    found.map_or(BINARY, |index| TYPES[index].1)
}

/// Returns whether a media type is a type of text that does not name its charset.
pub fn needs_charset(kind: &str) -> bool {
    let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    essence.get(..5).is_some_and(|group| group.eq_ignore_ascii_case("text/"))
        && !parameters.to_ascii_lowercase().contains("charset")
}

/// Returns whether the type is text, and therefore worth compressing. Parameters are ignored.
pub fn is_text(kind: &str) -> bool {
    const TEXTUAL: [&str; 17] = [
        "application/dash+xml",
        "application/javascript",
        "application/json",
        "application/jsonl",
        "application/rtf",
        "application/sql",
        "application/toml",
        "application/n-triples",
        "application/n-quads",
        "application/trig",
        "application/vnd.apple.mpegurl",
        "application/x-ndjson",
        "application/xml",
        "application/yaml",
        "audio/mpegurl",
        "image/svg+xml",
        "model/gltf+json",
    ];
    let kind = kind.split(';').next().unwrap_or(kind).trim_end();
    kind.starts_with("text/") || kind.ends_with("+xml") || kind.ends_with("+json") || TEXTUAL.contains(&kind)
}

/// Returns whether files of this type are already compressed, so that a content coding saves nothing.
pub fn is_compressed(kind: &str) -> bool {
    let (group, _) = kind.split_once('/').unwrap_or((kind, ""));
    let plain_images = [
        "image/bmp",
        "image/ktx2",
        "image/svg+xml",
        "image/tiff",
        "image/vnd.adobe.photoshop",
        "image/vnd.dwg",
        "image/vnd.dxf",
        "image/vnd.microsoft.icon",
    ];
    match group {
        "audio" => !["audio/aiff", "audio/mpegurl", "audio/wav", "audio/x-scpls"].contains(&kind),
        "video" => kind != "video/mp2t",
        "image" => !plain_images.contains(&kind),
        "font" => kind.starts_with("font/woff"),
        _ => PACKED.contains(&kind) || kind.starts_with("application/vnd.openxmlformats"),
    }
}

const PACKED: [&str; 24] = [
    "application/epub+zip",
    "application/gzip",
    "application/java-archive",
    "application/lzip",
    "application/vnd.android.package-archive",
    "application/vnd.appimage",
    "application/vnd.comicbook+zip",
    "application/vnd.comicbook-rar",
    "application/vnd.debian.binary-package",
    "application/vnd.flatpak",
    "application/vnd.google-earth.kmz",
    "application/vnd.ms-cab-compressed",
    "application/vnd.rar",
    "application/x-7z-compressed",
    "application/x-bzip2",
    "application/x-chrome-extension",
    "application/x-lz4",
    "application/x-lzma",
    "application/x-rpm",
    "application/x-xpinstall",
    "application/x-xz",
    "application/zip",
    "application/zstd",
    "model/3mf",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_disjoint() {
        assert!(TYPES.is_sorted_by(|(before, _), (after, _)| before < after));
        assert!(SHOWN_AS_TEXT.is_sorted_by(|before, after| before < after));
        let mut extensions = TYPES.iter().map(|(extension, _)| extension).chain(SHOWN_AS_TEXT);
        assert_eq!(extensions.clone().map(|extension| extension.len()).max(), Some(LONGEST));
        assert!(extensions.all(|extension| extension.bytes().all(|byte| !byte.is_ascii_uppercase())));
        assert!(
            TYPES.iter().all(|(extension, kind)| !kind.contains(';') && !SHOWN_AS_TEXT.contains(extension))
        );
    }

    #[test]
    fn extensions_select_media_types() {
        for (path, kind) in [
            ("/index.html", Some("text/html")),
            ("/a.b/README", None),
            ("/a.rb", Some(PLAIN)),
            ("/.well-known/apple-app-site-association", Some(JSON)),
            ("/track.kmz", Some("application/vnd.google-earth.kmz")),
            ("/profile.mobileconfig", Some("application/x-apple-aspen-config")),
            ("/X.JPEG", Some("image/jpeg")),
            ("/archive.tar.gz", Some("application/gzip")),
            ("/a.unheard-of-extension", Some(BINARY)),
            ("/a.", Some(BINARY)),
            ("/.hidden", None),
        ] {
            assert_eq!(of_path(path.as_bytes()), kind, "{path}");
        }
        for (kind, needs) in [
            ("text/x-log", true),
            ("TEXT/a; format=flowed", true),
            ("text/a; charset=gb18030", false),
            (JSON, false),
        ] {
            assert_eq!(needs_charset(kind), needs, "{kind}");
        }
    }

    #[test]
    fn text_and_compressed_types_are_recognised() {
        for (path, text, compressed) in [
            ("a.html", true, false),
            ("a.svg", true, false),
            ("a.json", true, false),
            ("a.webmanifest", true, false),
            ("a.wasm", false, false),
            ("a.ttf", false, false),
            ("a.woff2", false, true),
            ("a.png", false, true),
            ("a.mp4", false, true),
            ("a.docx", false, true),
            ("a.zip", false, true),
            ("a.kmz", false, true),
            ("a.m3u", true, false),
            ("a.aiff", false, false),
            ("a.rs", true, false),
        ] {
            let kind = of_path(path.as_bytes()).unwrap_or(BINARY);
            assert_eq!((is_text(kind), is_compressed(kind)), (text, compressed), "{path}");
        }
    }
}
