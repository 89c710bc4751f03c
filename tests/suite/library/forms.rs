//! Uploads by HTML forms: storage, reports, and rejections. To add a case, add a row (Accept, body, status,
//! text) or (request line, fields, status) to the table of a test.

use std::fs;
use std::process::Command;

use evserve::store::LibraryRules;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{folder, request, rules, send, talk};
use crate::process::{PROGRAM, Server, large_file, output, small_site, tool};

pub const FORM: &str = "Content-Type: multipart/form-data; boundary=b";

/// Builds the `multipart/form-data` body that uploads these files (name, content).
pub fn form(files: &[(&str, &str)]) -> String {
    let part = |(name, content): &(&str, &str)| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n\r\n{content}\r\n"
        )
    };
    files.iter().map(part).collect::<String>() + "--b--\r\n"
}

fn names(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn form_uploads_are_stored_wherever_the_input_is_cut() {
    let body = form(&[("one", "1\r\n--\r\n-"), ("", ""), ("dir/two", ""), ("dr%22ei", "333")]);
    let script = request("POST /files/", &format!("{FORM}\nAccept: application/json"), &body);
    let next = "GET /files/one HTTP/1.1\r\nHost: h\r\n\r\n";
    for cut in 0..script.len() {
        let folder = folder();
        let mut talk = talk(&folder, rules());
        match cut {
            0 => script.as_bytes()[..script.len() - 1].chunks(1).for_each(|byte| talk.input(byte)),
            cut => [&script[..cut], &script[cut..script.len() - 1]]
                .into_iter()
                .filter(|piece| !piece.is_empty())
                .for_each(|piece| talk.input(piece.as_bytes())),
        }
        let found = send(&mut talk, &script[script.len() - 1..]);
        assert_eq!(found.status, 201, "cut at {cut}");
        let said: Value = serde_json::from_str(found.text()).unwrap();
        let expected = ["one", "two", "dr\"ei"].map(|name| json!([name, 201]));
        let said: Vec<Value> =
            said.as_array().unwrap().iter().map(|file| json!([file["name"], file["status"]])).collect();
        assert_eq!(said, expected);
        assert_eq!(names(&folder), ["dr\"ei", "old.txt", "one", "two"]);
        assert_eq!(fs::read(folder.path().join("one")).unwrap(), b"1\r\n--\r\n-");
        assert_eq!(send(&mut talk, next).text(), "1\r\n--\r\n-");
    }
}

#[test]
fn form_responses_report_the_result_for_each_file() {
    let files = form(&[("new", "abc"), ("old.txt", "x"), (".hidden", "x"), ("<b>", "x")]);
    let large = "x".repeat(1001);
    let (large, empty) = (form(&[("large", &large), ("new", "x")]), form(&[("", "")]));
    let cut_short = form(&[("new", "abc"), ("cut", "")]).replace("\r\n\r\n--b--\r\n", "\r\n");
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for (accept, body, status, wanted) in [
        ("*/*", form(&[("new", "abc")]), 201, format!("new: stored, 3 bytes, SHA-256 {sha256}\n")),
        ("*/*", files.clone(), 409, "\nold.txt: A file with this name exists\n".into()),
        ("*/*", files.clone(), 409, "\n.hidden: This is not a valid file name\n".into()),
        ("application/json", files.clone(), 409, format!("\"size\":3,\"sha256\":\"{sha256}\"}}")),
        ("application/json", files.clone(), 409, "\"status\":409,\"detail\":\"A file with this".into()),
        ("text/html", files, 409, "<li><b>&lt;b&gt;</b>: Stored.</li>".into()),
        ("text/html", form(&[("new", "abc")]), 303, String::new()),
        ("*/*", large, 413, "large: The file exceeds the size limit\nnew: stored, 1 bytes".into()),
        ("*/*", empty, 400, "The form contains no file".into()),
        ("*/*", "--b--".into(), 400, "The form contains no file".into()),
        ("*/*", String::new(), 400, "The form is incomplete".into()),
        ("*/*", "--bx".into(), 400, "A delimiter of the form is malformed".into()),
        // Files stored before an error are reported, too.
        ("*/*", cut_short.clone(), 400, "\n(the rest): The form is incomplete\n".into()),
        ("*/*", cut_short + "--bx", 400, "new: stored, 3 bytes".into()),
    ] {
        let folder = folder();
        let mut talk = talk(&folder, rules());
        let found = send(&mut talk, &request("POST /files/", &format!("{FORM}\nAccept: {accept}"), &body));
        assert_eq!(found.status, status, "{body}");
        assert!(found.text().contains(&wanted), "{wanted} is not in {}", found.text());
        assert_eq!(found.field("Location"), (status == 303).then_some("/files/"));
        assert_eq!(folder.path().join("new").exists(), body.contains("\"new\""), "{body}");
        assert!(!folder.path().join("cut").exists());
        assert_eq!(fs::read(folder.path().join("old.txt")).unwrap(), b"old");
    }
}

#[test]
fn malformed_and_cross_origin_forms_are_rejected() {
    let body = form(&[("new", "abc")]);
    for (line, fields, status) in [
        ("POST /files/", "Content-Type: multipart/form-data; boundary=b\nIf-None-Match: *", 412),
        ("POST /files/", "", 415),
        ("POST /files/", "Content-Type: application/x-www-form-urlencoded", 415),
        ("POST /files/", "Content-Type: multipart/form-data", 400),
        ("POST /files/", "Content-Type: multipart/form-data; boundary=\"\"", 400),
        ("POST /files", FORM, 201),
        ("POST /files", "", 415),
        ("POST /files/new", FORM, 405),
        ("POST /files/", "Content-Type: multipart/form-data; boundary=b\nIf-Match: \"x\"", 412),
        ("POST /files/", "Content-Type: multipart/form-data; boundary=b\nSec-Fetch-Site: cross-site", 403),
        ("POST /files/", "Content-Type: multipart/form-data; boundary=b\nOrigin: null", 403),
        ("POST /files/", "Content-Type: multipart/form-data; boundary=b\nOrigin: http://127.0.0.1:7891", 403),
        ("POST /files/", "Content-Type: multipart/form-data; boundary=b\nOrigin: http://127.0.0.1:7890", 201),
    ] {
        let folder = folder();
        let mut talk = talk(&folder, rules());
        let found = send(&mut talk, &request(line, fields, &body));
        assert_eq!(found.status, status, "{line} {fields}");
        let allow = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS";
        assert_eq!(found.field("Allow"), (status == 405).then_some(allow));
        assert_eq!(names(&folder).len(), if status == 201 { 2 } else { 1 }, "{line} {fields}");
    }
    let folder = folder();
    let mut talk = talk(&folder, LibraryRules { read_only: true, ..rules() });
    assert_eq!(send(&mut talk, &request("POST /files/", FORM, &body)).status, 403);
}

#[test]
fn forms_are_limited_in_size_and_number_of_files() {
    // By Content-Length, before the body is read.
    let folder = folder();
    let too_long = format!("POST /files/ HTTP/1.1\r\nHost: h\r\n{FORM}\r\nContent-Length: 66537\r\n\r\n");
    assert_eq!(send(&mut talk(&folder, rules()), &too_long).status, 413);
    // By the bytes received, if the length is not announced.
    let body = form(&[("a", &"x".repeat(900))]) + &"behind".repeat(11_000);
    let chunked = format!(
        "POST /files/ HTTP/1.1\r\nHost: h\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    assert_eq!(send(&mut talk(&folder, rules()), &chunked).status, 413);
    // By the number of files.
    let many = form(&[(".", ""); 257]);
    let rules = LibraryRules { max_upload: 1 << 20, ..rules() };
    let found = send(&mut talk(&folder, rules.clone()), &request("POST /files/", FORM, &many));
    assert_eq!((found.status, found.text().contains("too many files")), (413, true));
    // In the response, an invalid name is cut to 255 bytes.
    let found = send(
        &mut talk(&folder, rules.clone()),
        &request("POST /files/", FORM, &form(&[(&"n".repeat(1500), "")])),
    );
    assert_eq!(found.text(), format!("{}: This is not a valid file name\n", "n".repeat(255)));
    // A file that is cut off by a disconnect is dropped; those before it stay.
    let script = request("POST /files/", FORM, &form(&[("first", "1"), ("second", "2")]));
    let end = script.find("2\r\n--b--").unwrap() + 3;
    let mut talk = talk(&folder, rules);
    talk.input(&script.as_bytes()[..end]);
    talk.eof();
    drop(talk);
    assert_eq!(names(&folder), ["first", "old.txt"]);
}

#[test]
fn curl_uploads_files_with_a_form() {
    let Some(curl) = tool("curl") else { return };
    let library = tempfile::tempdir().unwrap();
    let path = library.path().to_str().unwrap();
    let server = Server::start_with(Command::new(PROGRAM), small_site(), &["--files", path, "--file", "off"]);
    let url = format!("http://{}/files/", server.address);
    let source = format!("f=@{}", server.site.path().join("large.bin").display());
    let renamed = format!("{source};filename=a \"quoted\" name");
    let said = output(&curl, &["-sS", "-F", "note=hello", "-F", &source, "-F", &renamed, &url]);
    assert_eq!(said.lines().count(), 2, "{said}");
    for name in ["large.bin", "a \"quoted\" name"] {
        assert!(fs::read(library.path().join(name)).unwrap() == large_file(), "{name}");
    }
}
