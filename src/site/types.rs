//! Media types by file name extension, according to the IANA registry, the WHATWG MIME Sniffing Standard and
//! current browsers.

/// The type of UTF-8 text without a more specific type.
pub const TEXT: &str = "text/plain; charset=utf-8";
pub const HTML: &str = "text/html; charset=utf-8";
pub const JSON: &str = "application/json";
/// The type of files that are neither text nor of a known type.
pub const BINARY: &str = "application/octet-stream";

/// Returns the extension of the last segment, if any. A dot at the start of a name begins no extension.
pub fn extension(path: &[u8]) -> Option<&[u8]> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let dot = memchr::memrchr(b'.', name).filter(|dot| *dot > 0)?;
    Some(&name[dot + 1..])
}

/// Returns the media type for an extension, or [`BINARY`] if the extension is unknown.
pub fn of_extension(extension: &[u8]) -> &'static str {
    let mut buffer = [0; LONGEST];
    let Some(lower) = buffer.get_mut(..extension.len()) else { return BINARY };
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    let found = TYPES.binary_search_by_key(&&*lower, |(extension, _)| extension.as_bytes());
    found.map_or(BINARY, |index| TYPES[index].1)
}

/// Returns whether the type is text, and therefore worth compressing. Parameters are ignored.
pub fn is_text(kind: &str) -> bool {
    const TEXTUAL: [&str; 13] = [
        "application/dash+xml",
        "application/javascript",
        "application/json",
        "application/jsonl",
        "application/rtf",
        "application/sql",
        "application/toml",
        "application/vnd.apple.mpegurl",
        "application/x-ndjson",
        "application/xml",
        "application/yaml",
        "image/svg+xml",
        "model/gltf+json",
    ];
    let kind = kind.split(';').next().unwrap_or(kind).trim_end();
    kind.starts_with("text/") || kind.ends_with("+xml") || kind.ends_with("+json") || TEXTUAL.contains(&kind)
}

/// Returns whether files of this type are already compressed, so that a content coding saves nothing.
pub fn is_compressed(kind: &str) -> bool {
    let (group, _) = kind.split_once('/').unwrap_or((kind, ""));
    let plain_images = ["image/bmp", "image/svg+xml", "image/tiff", "image/vnd.microsoft.icon"];
    match group {
        "audio" => kind != "audio/wav",
        "video" => kind != "video/mp2t",
        "image" => !plain_images.contains(&kind),
        "font" => kind.starts_with("font/woff"),
        _ => PACKED.contains(&kind) || kind.starts_with("application/vnd.openxmlformats"),
    }
}

const PACKED: [&str; 9] = [
    "application/epub+zip",
    "application/gzip",
    "application/java-archive",
    "application/vnd.rar",
    "application/x-7z-compressed",
    "application/x-bzip2",
    "application/x-xz",
    "application/zip",
    "application/zstd",
];

/// The length of the longest extension in the table, in bytes.
const LONGEST: usize = 11;

/// The media types, sorted by extension for the binary search.
const TYPES: &[(&str, &str)] = &[
    ("3gp", "video/3gpp"),
    ("7z", "application/x-7z-compressed"),
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("apng", "image/apng"),
    ("atom", "application/atom+xml"),
    ("avi", "video/x-msvideo"),
    ("avif", "image/avif"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("c", "text/plain; charset=utf-8"),
    ("cfg", "text/plain; charset=utf-8"),
    ("cjs", "text/javascript; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("cpp", "text/plain; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("diff", "text/plain; charset=utf-8"),
    ("dmg", "application/octet-stream"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("eot", "application/vnd.ms-fontobject"),
    ("epub", "application/epub+zip"),
    ("flac", "audio/flac"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("glb", "model/gltf-binary"),
    ("gltf", "model/gltf+json"),
    ("go", "text/plain; charset=utf-8"),
    ("gz", "application/gzip"),
    ("h", "text/plain; charset=utf-8"),
    ("heic", "image/heic"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("ini", "text/plain; charset=utf-8"),
    ("ipynb", "application/json"),
    ("iso", "application/octet-stream"),
    ("jar", "application/java-archive"),
    ("java", "text/plain; charset=utf-8"),
    ("jfif", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("jsonld", "application/ld+json"),
    ("jsx", "text/javascript; charset=utf-8"),
    ("jxl", "image/jxl"),
    ("lock", "text/plain; charset=utf-8"),
    ("log", "text/plain; charset=utf-8"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    ("markdown", "text/markdown; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("mid", "audio/midi"),
    ("midi", "audio/midi"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mkv", "video/matroska"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("mpd", "application/dash+xml"),
    ("mpeg", "video/mpeg"),
    ("mpg", "video/mpeg"),
    ("obj", "model/obj"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("patch", "text/plain; charset=utf-8"),
    ("pdf", "application/pdf"),
    ("pem", "application/x-pem-file"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("py", "text/x-python; charset=utf-8"),
    ("rar", "application/vnd.rar"),
    ("rs", "text/x-rust; charset=utf-8"),
    ("rss", "application/rss+xml"),
    ("rtf", "application/rtf"),
    ("scss", "text/plain; charset=utf-8"),
    ("sh", "text/x-shellscript; charset=utf-8"),
    ("shtml", "text/html; charset=utf-8"),
    ("sql", "application/sql"),
    ("srt", "text/plain; charset=utf-8"),
    ("stl", "model/stl"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("text", "text/plain; charset=utf-8"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("toml", "application/toml"),
    ("topojson", "application/json"),
    ("ts", "video/mp2t"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("tsx", "text/plain; charset=utf-8"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("usdz", "model/vnd.usdz+zip"),
    ("vcf", "text/vcard; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("vue", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("weba", "audio/webm"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xhtml", "application/xhtml+xml"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xml", "application/xml"),
    ("xsl", "application/xml"),
    ("xz", "application/x-xz"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_text_types_have_a_charset() {
        assert!(TYPES.is_sorted_by(|(before, _), (after, _)| before < after));
        assert!(TYPES.iter().all(|(extension, _)| extension.len() <= LONGEST));
        assert!(TYPES.iter().all(|(_, kind)| kind.starts_with("text/") == kind.ends_with("; charset=utf-8")));
    }

    #[test]
    fn extensions_select_media_types() {
        for (path, kind) in [
            ("/index.html", Some("text/html; charset=utf-8")),
            ("/a.b/README", None),
            ("/X.JPEG", Some("image/jpeg")),
            ("/archive.tar.gz", Some("application/gzip")),
            ("/a.unheard-of-extension", Some(BINARY)),
            ("/a.", Some(BINARY)),
            ("/.hidden", None),
        ] {
            assert_eq!(extension(path.as_bytes()).map(of_extension), kind, "{path}");
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
        ] {
            let kind = extension(path.as_bytes()).map_or(BINARY, of_extension);
            assert_eq!((is_text(kind), is_compressed(kind)), (text, compressed), "{path}");
        }
    }
}
