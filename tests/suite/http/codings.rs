//! Content codings: which one is selected, and which files are compressed. To add a case, add a row (path,
//! Accept-Encoding, coding) to `accept_encoding_selects_the_content_coding`.

use std::io::Read;

use evserve::site::{CacheRule, Rules};
use evserve::store::{DiskStore, MemoryStore};
use flate2::read::GzDecoder;

use super::static_files::fetch_all;
use crate::conversation::Talk;
use crate::reading::{Response, responses};

fn page() -> String {
    "<p>The same words again and again.\n".repeat(100)
}

fn unpack(response: &Response) -> String {
    let mut text = String::new();
    GzDecoder::new(&response.body[..]).read_to_string(&mut text).unwrap();
    text
}

fn coded_site() -> MemoryStore {
    MemoryStore::default()
        .with("page.html", page())
        .with("small.html", "<p>small")
        .with("image.png", "x".repeat(5000))
        .with("app.js", page())
        .with("app.js.br", "brotli")
        .with("app.js.gz", "gzip")
        .with("sub/index.html", page())
        .with("sub/index.html.zst", "zstandard")
}

#[test]
fn accept_encoding_selects_the_content_coding() {
    for (path, accept, coding) in [
        ("/page.html", "gzip", Some("gzip")),
        ("/page.html", "br, gzip;q=0.1", Some("gzip")),
        ("/page.html", "*", Some("gzip")),
        ("/page.html", "gzip;q=0", None),
        ("/page.html", "identity, gzip;q=0.5", None),
        ("/page.html", "br", None),
        ("/page.html", "", None),
        ("/small.html", "gzip", None),
        ("/small.html", "gzip, identity;q=0", Some("gzip")),
        ("/image.png", "gzip", None),
        ("/app.js", "gzip, br", Some("br")),
        ("/app.js", "gzip", Some("gzip")),
        ("/app.js", "gzip;q=0.9, br;q=0.8", Some("gzip")),
        ("/app.js", "zstd", None),
        ("/sub/", "zstd, gzip", Some("zstd")),
    ] {
        let request = format!("GET {path}\nAccept-Encoding: {accept}");
        let found = fetch_all(Rules::default(), coded_site(), &[&request, &request]);
        assert_eq!(found[0].fields, found[1].fields, "{request}");
        assert_eq!((found[0].status, found[0].field("Content-Encoding")), (200, coding), "{request}");
        let varies = found[0].field("Vary") == Some("Accept-Encoding");
        assert_eq!(varies, path != "/image.png", "{request}");
        let plain = fetch_all(Rules::default(), coded_site(), &[&format!("GET {path}")]).remove(0);
        assert_eq!(plain.field("Content-Type"), found[0].field("Content-Type"), "{request}");
        assert_eq!(plain.field("ETag") == found[0].field("ETag"), coding.is_none(), "{request}");
        let rules = Rules { compress: false, ..Rules::default() };
        let plain =
            fetch_all(rules, coded_site(), &[&format!("GET {path}\nAccept-Encoding: gzip")]).remove(0);
        assert_eq!((plain.field("Content-Encoding"), plain.field("Vary")), (None, None));
    }
    let refused = fetch_all(Rules::default(), coded_site(), &["GET /image.png\nAccept-Encoding: *;q=0"]);
    assert_eq!(refused[0].status, 406);
}

#[test]
fn compressed_files_have_their_own_entity_tags_and_ranges() {
    let gzip = "Accept-Encoding: gzip";
    let found = fetch_all(
        Rules::default(),
        coded_site(),
        &[&format!("GET /page.html\n{gzip}"), &format!("HEAD /page.html\n{gzip}"), "GET /page.html"],
    );
    assert_eq!(unpack(&found[0]), page());
    assert_eq!(found[1].fields, found[0].fields);
    let (tag, plain_tag) = (found[0].field("ETag").unwrap(), found[2].field("ETag").unwrap());
    let found = fetch_all(
        Rules::default(),
        coded_site(),
        &[
            &format!("GET /page.html\n{gzip}\nIf-None-Match: {tag}"),
            &format!("GET /page.html\n{gzip}\nIf-None-Match: {plain_tag}"),
            &format!("GET /page.html\n{gzip}\nRange: bytes=2-5\nIf-Range: {tag}"),
            &format!("GET /page.html\n{gzip}\nRange: bytes=2-5\nIf-Range: {plain_tag}"),
            &format!("GET /page.html\n{gzip}\nRange: bytes=2-5"),
            &format!("GET /page.html\n{gzip}\nRange: bytes=2-5\nIf-Match: {tag}"),
            &format!("GET /page.html\n{gzip}, identity;q=0\nRange: bytes=2-5"),
            &format!("GET /page.html\nRange: bytes=2-5\nIf-Range: {tag}"),
        ],
    );
    let statuses: Vec<u16> = found.iter().map(|response| response.status).collect();
    assert_eq!(statuses, [304, 200, 206, 206, 206, 206, 206, 200]);
    assert_eq!((found[0].field("ETag"), found[0].field("Vary")), (Some(tag), Some("Accept-Encoding")));
    assert_eq!(found[2].body, found[1].body[2..=5]);
    assert_eq!(found[2].field("Content-Encoding"), Some("gzip"));
    // A range without the tag of a coded form is one of the file itself.
    for plain in &found[3..=4] {
        assert_eq!((plain.text(), plain.field("Content-Encoding")), (&page()[2..=5], None));
        assert_eq!((plain.field("ETag"), plain.field("Vary")), (Some(plain_tag), Some("Accept-Encoding")));
    }
    for coded in &found[5..=6] {
        assert_eq!((&coded.body, coded.field("Content-Encoding")), (&found[2].body, Some("gzip")));
    }
    assert_eq!((found[7].text(), found[7].field("Content-Encoding")), (&*page(), None));
}

#[test]
fn empty_sidecars_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("app.js"), page()).unwrap();
    std::fs::write(folder.path().join("app.js.br"), "").unwrap();
    let mut talk = Talk::new(DiskStore::new(folder.path()).unwrap());
    let coding = |talk: &mut Talk| {
        talk.outcome.output.clear();
        talk.input(b"GET /app.js HTTP/1.1\r\nHost: h\r\nAccept-Encoding: br\r\n\r\n");
        responses(&talk.outcome.output, &[])[0].field("Content-Encoding").map(str::to_owned)
    };
    assert_eq!((coding(&mut talk), coding(&mut talk)), (None, None));
    std::fs::write(folder.path().join("app.js.br"), "brotli").unwrap();
    talk.wait(std::time::Duration::from_secs(1));
    assert_eq!(coding(&mut talk).as_deref(), Some("br"));
}

#[test]
fn rules_for_a_file_apply_to_each_of_its_forms() {
    let rule = |text: &str| CacheRule::parse(text).unwrap();
    let rules = || Rules {
        cache_control: vec![rule("fingerprinted=immutable"), rule("*.html=no-cache"), rule("*.gz=no-store")],
        spa: true,
        ..Rules::default()
    };
    let site = || {
        MemoryStore::default()
            .with("app.3f2a9c1b.js", page())
            .with("app.3f2a9c1b.js.gz", "gzip")
            .with("index.html", page())
            .with("index.html.br", "brotli")
    };
    for (path, cache_control) in
        [("/app.3f2a9c1b.js", "public, max-age=31536000, immutable"), ("/", "no-cache"), ("/x", "no-cache")]
    {
        for coding in ["br", "gzip", "identity"] {
            let request = format!("GET {path}\nAccept: text/html\nAccept-Encoding: {coding}");
            let found = fetch_all(rules(), site(), &[&request]).remove(0);
            assert_eq!(found.field("Cache-Control"), Some(cache_control), "{request}");
            let vary = found.field("Vary").unwrap();
            assert_eq!(vary.contains("Sec-Fetch-Mode"), !path.ends_with("js"), "{request}: {vary}");
        }
    }
    let itself = fetch_all(rules(), site(), &["GET /app.3f2a9c1b.js.gz"]).remove(0);
    assert_eq!(itself.field("Cache-Control"), Some("no-store"));
}

#[test]
fn compressed_drawings_are_sent_with_their_coding() {
    let site =
        || MemoryStore::default().with("a.svgz", &b"\x1f\x8b..."[..]).with("b.svgz", "<svg/>".repeat(500));
    let gzip = "Accept-Encoding: gzip";
    for (request, coding, start) in [
        ("GET /a.svgz", Some("gzip"), &b"\x1f\x8b..."[..]),
        ("GET /a.svgz\nAccept-Encoding: gzip, br", Some("gzip"), b"\x1f\x8b..."),
        ("GET /b.svgz", None, b"<svg/>"),
        (&format!("GET /b.svgz\n{gzip}"), Some("gzip"), b"\x1f\x8b"),
    ] {
        let found = fetch_all(Rules::default(), site(), &[request, request]);
        assert_eq!(found[0], found[1], "{request}");
        assert_eq!(found[0].field("Content-Type"), Some("image/svg+xml"), "{request}");
        assert_eq!(found[0].field("Content-Encoding"), coding, "{request}");
        assert!(found[0].body.starts_with(start), "{request}");
    }
}

#[test]
fn large_files_are_compressed_over_several_turns_and_cached() {
    let mut random = fastrand::Rng::with_seed(7);
    let large: String = (0..600_000).map(|_| random.alphanumeric()).collect();
    let site = coded_site().with("large.txt", large.as_bytes());
    let mut talk = Talk::new(site);
    let request = b"GET /large.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n";
    let mut turns = 0;
    talk.each_turn(request, |_| turns += 1);
    assert!(turns >= 600_000 / (64 * 1024), "{turns} turns");
    assert_eq!(unpack(&responses(&talk.outcome.output, &[])[0]), large);
    // The next request is served from the cache.
    let mut turns = 0;
    talk.each_turn(request, |_| turns += 1);
    assert_eq!(turns, 0);
}

#[test]
fn a_file_that_changes_during_compression_is_sent_uncompressed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.txt");
    for identity in ["", ", identity;q=0"] {
        std::fs::write(&path, "words ".repeat(20_000)).unwrap();
        let mut talk = Talk::new(DiskStore::new(folder.path()).unwrap());
        let request = format!("GET /log.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip{identity}\r\n\r\n");
        let mut turns = 0;
        talk.each_turn(request.as_bytes(), |_| {
            turns += 1;
            if turns == 1 {
                std::fs::write(&path, "other words").unwrap();
            }
        });
        let found = responses(&talk.outcome.output, &[]).remove(0);
        match identity {
            "" => assert_eq!((found.status, found.text()), (200, "other words")),
            _ => assert_eq!((found.status, found.field("Retry-After")), (503, Some("1"))),
        }
    }
}

#[test]
fn incompressible_files_are_sent_uncompressed() {
    let mut random = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..40_000).map(|_| random.u8(..)).collect();
    let site = MemoryStore::default().with("noise.txt", noise.clone());
    let request = "GET /noise.txt\nAccept-Encoding: gzip";
    for found in fetch_all(Rules::default(), site, &[request, request]) {
        assert_eq!((found.field("Content-Encoding"), found.field("Vary")), (None, Some("Accept-Encoding")));
        assert!(found.body == noise);
    }
}
