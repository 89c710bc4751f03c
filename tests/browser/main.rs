//! The pages in a browser: the demo site, the listings and the inspector, on a phone and a desktop, in light
//! and dark schemes.

#![allow(clippy::unwrap_used, dead_code)]
// A program exports nothing: here `pub` only makes items visible to the other files.
#![allow(unreachable_pub)]

mod admin;
#[cfg(feature = "tls")]
mod admin_load;
mod chromium;
mod library;
#[path = "../suite/process.rs"]
mod process;
#[path = "../suite/reading.rs"]
mod reading;

use std::fs;
use std::path::Path;
use std::process::Command;

use chromium::Browser;
use process::{PROGRAM, Server};
use serde_json::json;

const SCREENS: [(&str, (u32, u32)); 2] = [("phone", (390, 844)), ("desktop", (1280, 800))];
const SCHEMES: [&str; 2] = ["light", "dark"];

/// Checks a page on every screen: it fits the width, and the dark scheme is dark.
fn check_layout(browser: &mut Browser, url: &str, name: &str) {
    for (screen, size) in SCREENS {
        let mut grounds = Vec::new();
        for scheme in SCHEMES {
            browser.set_screen(size, scheme);
            browser.visit(url);
            let over = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(browser.evaluate(over), 0, "{name} is wider than a {screen}");
            let ground = "getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).slice(0, 3)
                .reduce((sum, part) => sum + Number(part), 0)";
            grounds.push(browser.evaluate(ground).as_f64().unwrap());
            browser.screenshot(&format!("{name}-{screen}-{scheme}"));
        }
        assert!(grounds[0] > 600.0 && grounds[1] < 200.0, "{name}: light and dark are {grounds:?}");
    }
}

#[test]
fn the_demo_site_loads_completely_and_its_links_work() {
    let Some(mut browser) = Browser::start() else { return };
    let library = tempfile::tempdir().unwrap();
    let files = ["--files", library.path().to_str().unwrap()];
    let html = Path::new(env!("CARGO_MANIFEST_DIR")).join("html");
    let server = Server::spawn(Command::new(PROGRAM), &html, tempfile::tempdir().unwrap(), &files);
    let home = format!("http://{}/", server.address);
    check_layout(&mut browser, &home, "front");
    check_layout(&mut browser, &format!("{home}lab.html"), "lab");
    check_layout(&mut browser, &format!("{home}404.html"), "not-found");
    browser.visit(&home);
    // Every link on the front page works, and every image has loaded.
    let links = "Promise.all([...document.links].filter(link => link.origin === location.origin)
        .map(async link => [link.pathname, (await fetch(link.href)).status]))";
    let links = browser.evaluate(links);
    let links = links.as_array().unwrap();
    assert!(links.len() >= 3, "{links:?}");
    for link in links {
        let expected = if link[0].as_str().unwrap().contains("no") { vec![200, 404] } else { vec![200] };
        assert!(expected.contains(&link[1].as_u64().unwrap()), "{link}");
    }
    assert_eq!(
        browser.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)"),
        true
    );
    browser.follow("a[href='/time']");
    assert_eq!(browser.evaluate("document.contentType"), "text/plain");
    browser.evaluate("history.back()");
    let complaints: Vec<&String> = browser.complaints.iter().filter(|what| !what.contains("404")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Creates a site whose front page is a listing.
fn folder() -> tempfile::TempDir {
    let site = tempfile::tempdir().unwrap();
    let path = |name: &str| site.path().join(name);
    for folder in ["photos", "music & more", "empty"] {
        fs::create_dir(path(folder)).unwrap();
    }
    for (name, bytes) in [
        ("a:b.txt", 5),
        ("what?.txt", 70),
        ("50%.txt", 800),
        ("#1 <best>.txt", 9000),
        ("\"quoted\".txt", 12_345_678),
        ("file10.txt", 1),
        ("file9.txt", 2),
        (
            "a-name-that-is-very-long-and-has-not-a-single-space-in-it-so-that-it-must-be-broken-somewhere.txt",
            3,
        ),
    ] {
        fs::write(path(name), vec![b'x'; bytes]).unwrap();
    }
    fs::write(path("photos/one.txt"), "one").unwrap();
    site
}

const NAMES: &str = "[...document.querySelectorAll('tbody tr:not(.up)')].filter(row => !row.hidden)
    .map(row => row.querySelector('.name span').textContent)";

#[test]
fn listings_can_be_sorted_filtered_and_navigated() {
    let Some(mut browser) = Browser::start() else { return };
    let server = Server::start_with(Command::new(PROGRAM), folder(), &["--list"]);
    let home = format!("http://{}/", server.address);
    check_layout(&mut browser, &home, "listing");
    check_layout(&mut browser, &format!("{home}photos/"), "listing-folder");
    check_layout(&mut browser, &format!("{home}empty/"), "listing-empty");
    browser.set_screen((1280, 1000), "light");
    browser.visit(&home);
    let names = browser.evaluate(NAMES);
    assert_eq!(names[0], "empty");
    assert_eq!(names.as_array().unwrap().len(), 11);
    // The link of every entry works.
    let reached = "Promise.all([...document.querySelectorAll('tbody a')].map(async link => (await fetch(link.href)).status))";
    assert!(browser.evaluate(reached).as_array().unwrap().iter().all(|status| status == 200));
    // Sorts by size, largest first, then by name again.
    browser.follow("th.size a");
    browser.follow("th.size a");
    let names = browser.evaluate(NAMES);
    let top = &names.as_array().unwrap()[2..4];
    assert_eq!(top, [json!("empty"), json!("\"quoted\".txt")]);
    assert_eq!(browser.evaluate("document.querySelector('th.size').ariaSort"), "descending");
    browser.follow("th.name a");
    // The filter.
    browser.click("#filter");
    browser.write("FILE");
    assert_eq!(browser.evaluate(NAMES), json!(["file9.txt", "file10.txt"]));
    // Into a folder, and back by the path at the top.
    browser.visit(&home);
    browser.follow("a[href='./photos/']");
    assert_eq!(browser.evaluate("decodeURI(location.pathname)"), "/photos/");
    assert_eq!(browser.evaluate(NAMES), json!(["one.txt"]));
    browser.follow("tbody tr:not(.up) a");
    assert_eq!(browser.evaluate("document.body.textContent.trim()"), "one");
    browser.visit(&format!("{home}photos/"));
    browser.follow("nav a");
    assert_eq!(browser.evaluate("location.pathname"), "/");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
}

#[test]
fn listings_can_be_sorted_and_navigated_without_scripts() {
    let Some(mut browser) = Browser::start() else { return };
    let server = Server::start_with(Command::new(PROGRAM), folder(), &["--list"]);
    browser.call("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.visit(&format!("http://{}/", server.address));
    assert_eq!(browser.evaluate("document.getElementById('filter').checkVisibility()"), false);
    browser.follow("th.size a");
    assert_eq!(browser.evaluate("location.search"), "?sort=size");
    assert_eq!(browser.evaluate(NAMES)[3], "file10.txt");
    browser.follow("a[href='./photos/']");
    assert_eq!(browser.evaluate(NAMES), json!(["one.txt"]));
}

#[test]
fn responses_to_a_browser_are_compressed_and_cached() {
    let Some(mut browser) = Browser::start() else { return };
    let server = Server::start(&[]);
    fs::write(server.site.path().join("words.txt"), "words ".repeat(20_000)).unwrap();
    browser.visit(&format!("http://{}/", server.address));
    let sizes = "fetch('/words.txt', { cache: 'no-cache' }).then(answer => answer.text()).then(text => {
        const entries = performance.getEntriesByName(location.origin + '/words.txt');
        const { encodedBodySize, transferSize } = entries[entries.length - 1];
        return [text.length, encodedBodySize, transferSize];
    })";
    let first = browser.evaluate(sizes);
    assert_eq!(first[0], 120_000);
    assert!(first[1].as_u64().unwrap() < 5000, "the response is not compressed: {first}");
    let again = browser.evaluate(sizes);
    assert!(
        again[0] == 120_000 && again[2].as_u64().unwrap() <= 300,
        "the second response is not from the cache: {again}"
    );
}
