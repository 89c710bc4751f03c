//! Uploads whose name is taken, mostly with `--on-duplicate rename`. To add a case, upload `old.txt` again and check
//! the name that the server reports.

use std::fs;
use std::os::unix::fs::symlink;

use evserve::protocol::{Dialect, Kind};
use evserve::store::{Library, LibraryRules, OnDuplicate};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::forms::{FORM, form};
use super::http::{folder, request, rules, send, talk};
use crate::conversation::{Talk, site};
use crate::process::{PROGRAM, Server, output, run, small_site, tool};
use crate::reading::responses;

fn renaming() -> LibraryRules {
    LibraryRules { on_duplicate: OnDuplicate::Rename, ..rules() }
}

fn http(folder: &TempDir) -> Talk {
    talk(folder, renaming())
}

fn lines(folder: &TempDir) -> Talk {
    let library = Library::open(folder.path(), renaming()).unwrap();
    Talk::with_library(Kind::File(Dialect::Lines), site(), library)
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Delivers a script and returns the replies.
fn ask(talk: &mut Talk, script: &str) -> String {
    talk.input(script.as_bytes());
    String::from_utf8(std::mem::take(&mut talk.outcome.output)).unwrap()
}

fn content(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn renamed_uploads_report_their_name_over_the_file_protocol() {
    let folder = folder();
    let mut talk = lines(&folder);
    let one = sha256("one");
    assert_eq!(ask(&mut talk, "PUT 3 old.txt\none"), format!("OK 3 {one} old (1).txt\r\n"));
    assert_eq!(ask(&mut talk, "PUT 3 new.txt\none"), format!("OK 3 {one}\r\n"));
    let typed = ask(&mut talk, "P old.txt\ntwo\n##\n");
    assert!(typed.ends_with(&format!("OK 4 {} old (2).txt\r\n", sha256("two\n"))), "{typed}");
    let resume = format!("RESUME 5 {} old.txt\n", sha256("three"));
    assert_eq!(ask(&mut talk, &resume), "OK 0\r\n");
    let reply = format!("OK 5 {} old (3).txt\r\n", sha256("three"));
    assert_eq!(ask(&mut talk, "three"), reply);
    // The lost reply of a resumable upload can be repeated, also after a restart.
    for mut talk in [talk, lines(&folder)] {
        assert_eq!(ask(&mut talk, &resume), format!("OK 5\r\n{reply}"));
    }
    // A plain upload that is repeated is stored again.
    for number in [4, 5] {
        assert_eq!(
            ask(&mut lines(&folder), "PUT 4 old.txt\nfour"),
            format!("OK 4 {} old ({number}).txt\r\n", sha256("four"))
        );
    }
    for (name, text) in [("old.txt", "old"), ("old (1).txt", "one"), ("old (2).txt", "two\n")] {
        assert_eq!(content(&folder, name), text);
    }
    assert_eq!(content(&folder, "old (3).txt"), "three");
    // The names of folders and links are taken, too.
    fs::create_dir(folder.path().join("sub")).unwrap();
    symlink("old.txt", folder.path().join("link")).unwrap();
    let mut talk = lines(&folder);
    assert_eq!(ask(&mut talk, "PUT 3 sub\none"), format!("OK 3 {one} sub (1)\r\n"));
    assert_eq!(ask(&mut talk, "PUT 3 link\none"), format!("OK 3 {one} link (1)\r\n"));
}

#[test]
fn renamed_uploads_report_their_name_over_http() {
    let folder = folder();
    let mut talk = http(&folder);
    // A cached 404 is not served after the upload.
    let get = "GET /files/old%20(1).txt HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(send(&mut talk, get).status, 404);
    let found = send(&mut talk, &request("PUT /files/old.txt", "", "one"));
    assert_eq!((found.status, found.field("Location")), (201, Some("/files/old%20(1).txt")));
    assert_eq!(found.text(), "old (1).txt\n");
    assert_eq!(send(&mut talk, get).text(), "one");
    let found = send(&mut talk, &request("PUT /files/old.txt", "Accept: application/json", "two"));
    assert_eq!((found.status, found.text()), (201, "{\"name\":\"old (2).txt\"}\n"));
    let found = send(&mut talk, &request("PUT /files/new.txt", "", "new"));
    assert_eq!((found.status, found.field("Location"), found.text()), (201, None, ""));
    let found = send(&mut talk, &request("PUT /files/old.txt", "If-None-Match: *", "x"));
    assert_eq!(found.status, 412);
    let address = format!("/files/old.txt?length=5&sha-256={}", sha256("three"));
    let part = "Content-Type: application/partial-upload\nUpload-Offset: 0";
    let found = send(&mut talk, &request(&format!("PATCH {address}"), part, "three"));
    assert_eq!((found.status, found.field("Location")), (201, Some("/files/old%20(3).txt")));
    let found = send(&mut talk, &request(&format!("HEAD {address}"), "", ""));
    assert_eq!((found.status, found.field("Location")), (204, Some("/files/old%20(3).txt")));
    assert_eq!(found.field("Upload-Complete"), Some("?1"));
    assert_eq!(content(&folder, "old.txt"), "old");
}

#[test]
fn renamed_files_of_a_form_are_named_in_the_response() {
    let part = |name: &str, text: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=f; filename=\"{name}\"\r\n\r\n{text}\r\n")
    };
    let body = part("old.txt", "one") + &part("new", "two") + "--b--\r\n";
    for (accept, text) in [
        (
            "text/plain",
            format!(
                "old.txt: stored as old (1).txt, 3 bytes, SHA-256 {}\nnew: stored, 3 bytes, SHA-256 {}\n",
                sha256("one"),
                sha256("two")
            ),
        ),
        (
            "application/json",
            format!(
                "[\n{{\"name\":\"old.txt\",\"storedAs\":\"old (1).txt\",\"status\":201,\"size\":3,\"sha256\":\"{}\"}},\n\
                 {{\"name\":\"new\",\"status\":201,\"size\":3,\"sha256\":\"{}\"}}\n]\n",
                sha256("one"),
                sha256("two")
            ),
        ),
    ] {
        let folder = folder();
        let fields = format!("Content-Type: multipart/form-data; boundary=b\nAccept: {accept}");
        let found = send(&mut http(&folder), &request("POST /files/", &fields, &body));
        assert_eq!((found.status, found.text()), (201, text.as_str()));
        assert_eq!(content(&folder, "old (1).txt"), "one");
    }
}

#[test]
fn simultaneous_uploads_of_one_name_are_stored_under_different_names() {
    let folder = folder();
    let (mut file, mut web) = (lines(&folder), http(&folder));
    std::mem::swap(&mut file.services, &mut web.services);
    assert_eq!(ask(&mut file, "PUT 3 new.txt\non"), "");
    std::mem::swap(&mut file.services, &mut web.services);
    let put = request("PUT /files/new.txt", "", "two");
    web.input(&put.as_bytes()[..put.len() - 1]);
    std::mem::swap(&mut file.services, &mut web.services);
    assert_eq!(ask(&mut file, "e"), format!("OK 3 {}\r\n", sha256("one")));
    std::mem::swap(&mut file.services, &mut web.services);
    assert_eq!(send(&mut web, "o").field("Location"), Some("/files/new%20(1).txt"));
    assert_eq!([content(&folder, "new.txt"), content(&folder, "new (1).txt")], ["one", "two"]);
}

#[test]
fn an_upload_is_refused_when_all_numbered_names_are_taken() {
    let folder = folder();
    for number in 1..=1000 {
        fs::write(folder.path().join(format!("old ({number}).txt")), "x").unwrap();
    }
    let mut talk = lines(&folder);
    assert!(ask(&mut talk, "PUT 3 old.txt\none").starts_with("ERR exists "));
    fs::remove_file(folder.path().join("old (1000).txt")).unwrap();
    assert!(ask(&mut talk, "PUT 3 old.txt\none").ends_with(" old (1000).txt\r\n"));
}

#[test]
fn the_duplicate_options_are_checked_and_used() {
    let (code, _, said) = run(&["--on-duplicate", "rename", "--overwrite"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("--on-duplicate \"rename\" is not valid: --overwrite means replace"), "{said}");
    let Some(curl) = tool("curl") else { return };
    let library = folder();
    for (arguments, status, name) in [
        (&["--on-duplicate", "refuse"][..], "409", "old.txt"),
        (&["--on-duplicate=rename"], "201", "old (1).txt"),
        (&["--on-duplicate", "replace", "--overwrite"], "204", "old.txt"),
    ] {
        let own = [&["--files", library.path().to_str().unwrap()], arguments].concat();
        let server = Server::start_with(std::process::Command::new(PROGRAM), small_site(), &own);
        let url = format!("http://{}/files/old.txt", server.address);
        let sent = server.site.path().join("1k.txt");
        let said = output(
            &curl,
            &["-s", "-o", "/dev/null", "-w", "%{http_code}", "-T", sent.to_str().unwrap(), &url],
        );
        assert_eq!(said, status, "{arguments:?}");
        let length = if status == "409" { 3 } else { 1024 };
        assert_eq!(content(&library, name).len(), length, "{arguments:?}");
    }
}

#[test]
fn an_upload_of_a_name_that_is_taken_succeeds_if_the_bytes_are_the_same() {
    let chunked = |text: &str| {
        let head = "PUT /files/old.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{:x}\r\n{text}\r\n0\r\n\r\n", text.len())
    };
    let put = |fields: &str, text: &str| request("PUT /files/old.txt", fields, text);
    let post = |text: &str| request("POST /files/", FORM, &form(&[("old.txt", text)]));
    let digest = "Repr-Digest: sha-256=:y6BrVzb69n5UsHtWHq6UOV53TFF6fZEKVDaeEmPM+9Q=:";
    let other = "Repr-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    for (script, status) in [
        (put("", "old"), 204),
        (put("", "olD"), 409),
        (put("", "older"), 409),
        (put("", ""), 409),
        (put(other, "old"), 400),
        (put("If-None-Match: *", "old"), 412),
        (chunked("old"), 204),
        (chunked("ol"), 409),
        (chunked("older"), 409),
        (post("old"), 201),
        (post("ol"), 409),
        (post("older"), 409),
    ] {
        for cut in 0..script.len() {
            let folder = folder();
            let before = fs::metadata(folder.path().join("old.txt")).unwrap().modified().unwrap();
            let mut talk = talk(&folder, rules());
            [&script[..cut], &script[cut..]].into_iter().for_each(|piece| talk.input(piece.as_bytes()));
            assert_eq!(responses(&talk.outcome.output, &[])[0].status, status, "{script} cut at {cut}");
            let after = fs::metadata(folder.path().join("old.txt")).unwrap().modified().unwrap();
            assert_eq!((content(&folder, "old.txt"), after), ("old".into(), before));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
    let found = send(&mut talk(&folder(), rules()), &put(digest, "old"));
    assert_eq!(found.status, 204, "{}", found.text());
}

#[test]
fn an_upload_is_compared_with_the_version_that_is_stored_at_its_end() {
    for (script, change) in [
        (request("PUT /files/old.txt", "", "old"), "replace"),
        (request("POST /files/", FORM, &form(&[("old.txt", "old")])), "replace"),
        (request("PUT /files/old.txt", "", "old"), "remove"),
    ] {
        let folder = folder();
        let mut talk = talk(&folder, rules());
        let cut = script.find("ld").unwrap_or_default();
        let cut = script[cut + 2..].rfind("ld").map_or(cut, |at| cut + 2 + at);
        talk.input(&script.as_bytes()[..cut]);
        fs::remove_file(folder.path().join("old.txt")).unwrap();
        if change == "replace" {
            fs::write(folder.path().join("old.txt"), "new").unwrap();
        }
        talk.input(&script.as_bytes()[cut..]);
        assert_eq!(responses(&talk.outcome.output, &[])[0].status, 409, "{script} {change}");
    }
}
