//! The page of the library: uploads by the button, by drag and drop and without scripts, and downloads.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::check_layout;
use crate::chromium::Browser;
use crate::process::{PROGRAM, Server, large_file, small_site, wait_for};

struct Fixture {
    browser: Browser,
    server: Server,
    library: TempDir,
    /// The files of the visitor.
    own: TempDir,
}

impl Fixture {
    fn start(options: &[&str]) -> Option<Fixture> {
        Fixture::start_in(Browser::start()?, options)
    }

    fn start_in(browser: Browser, options: &[&str]) -> Option<Fixture> {
        let (library, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(library.path().join("old.txt"), "old").unwrap();
        for (name, content) in
            [("a b?#%.txt", b"first".to_vec()), ("old.txt", b"x".to_vec()), ("large", large_file())]
        {
            fs::write(own.path().join(name), content).unwrap();
        }
        let path = library.path().to_str().unwrap();
        let all = [&["--files", path, "--file", "off"], options].concat();
        let server = Server::start_with(Command::new(PROGRAM), small_site(), &all);
        let mut fixture = Fixture { browser, server, library, own };
        fixture.browser.visit(&fixture.home());
        Some(fixture)
    }

    /// Returns the URL of the library, over HTTPS if the server listens for it.
    fn home(&self) -> String {
        let lines = self.server.lines();
        let encrypted = lines.iter().find_map(|line| Some(line.split_once("listening https ")?.1));
        encrypted
            .map_or_else(|| format!("http://{}/files/", self.server.address), |url| format!("{url}files/"))
    }

    fn path(&self, name: &str) -> String {
        self.own.path().join(name).to_str().unwrap().to_owned()
    }

    /// Chooses files in the form.
    fn choose(&mut self, names: &[&str]) {
        let files: Vec<String> = names.iter().map(|name| self.path(name)).collect();
        let document = self.browser.call("DOM.getDocument", json!({}));
        let wanted = json!({"nodeId": document["root"]["nodeId"], "selector": "input[type=file]"});
        let input = self.browser.call("DOM.querySelector", wanted);
        self.browser.call("DOM.setFileInputFiles", json!({"files": files, "nodeId": input["nodeId"]}));
    }

    /// Waits until the status of an upload contains `what`, and returns the status.
    #[track_caller]
    fn wait_for_status(&mut self, name: &str, what: &str) -> String {
        let line = format!(
            "[...document.querySelectorAll('#uploads li')].filter(line => line.firstChild.textContent === {})
                .map(line => line.querySelector('span').textContent).pop() ?? ''",
            json!(name)
        );
        wait_for(&format!("{name}: {what}"), || {
            let said = self.browser.evaluate(&line);
            said.as_str().filter(|said| said.contains(what)).map(str::to_owned)
        })
    }

    fn listed(&mut self) -> Value {
        self.browser.evaluate(
            "[...document.querySelectorAll('tr:not(.up) .name span')].map(name => name.textContent)",
        )
    }

    #[track_caller]
    fn stored(&self, name: &str) -> Vec<u8> {
        fs::read(self.library.path().join(name)).unwrap()
    }

    fn slow_down(&mut self, upload: i64) {
        let conditions =
            json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload});
        self.browser.call("Network.emulateNetworkConditions", conditions);
    }
}

#[test]
fn the_upload_button_stores_files_and_shows_errors() {
    let Some(mut fixture) = Fixture::start(&["--max-upload", "20M"]) else { return };
    let home = fixture.home();
    check_layout(&mut fixture.browser, &home, "library");
    fixture.browser.set_screen((1280, 800), "light");
    fixture.browser.visit(&home);
    fs::File::create(fixture.own.path().join("huge")).unwrap().set_len(21 << 20).unwrap();
    fixture.choose(&["a b?#%.txt", "old.txt", "huge"]);
    fixture.wait_for_status("a b?#%.txt", "stored, 5 B");
    fixture.wait_for_status("old.txt", "a file with this name exists");
    fixture.wait_for_status("huge", "larger than the 20.0 MiB");
    assert_eq!((fixture.stored("a b?#%.txt"), fixture.stored("old.txt")), (b"first".into(), b"old".into()));
    // The table shows the file without a reload.
    wait_for("the table", || {
        fixture.listed().as_array().unwrap().contains(&json!("a b?#%.txt")).then_some(())
    });
    fixture.browser.screenshot("library-uploads");
    assert!(
        fixture.browser.complaints.iter().all(|what| what.contains("404")),
        "{:?}",
        fixture.browser.complaints
    );
}

#[test]
fn uploads_show_progress_and_can_be_stopped() {
    let Some(mut fixture) = Fixture::start(&[]) else { return };
    fixture.slow_down(large_file().len() as i64 / 4);
    fixture.choose(&["large"]);
    let said = fixture.wait_for_status("large", "left");
    assert!(said.contains(" % · ") && said.contains("/s · "), "{said}");
    let reached = "document.querySelector('progress').value";
    wait_for("progress", || {
        fixture.browser.evaluate(reached).as_f64().filter(|value| *value > 0.2 && *value < 1.0)
    });
    fixture.browser.screenshot("library-progress");
    fixture.browser.click("#uploads button");
    fixture.wait_for_status("large", "stopped");
    fixture.slow_down(-1);
    assert!(!fixture.library.path().join("large").exists());
    // A second upload of the file is complete.
    fixture.choose(&["large"]);
    fixture.wait_for_status("large", "stored");
    assert!(fixture.stored("large") == large_file());
    // The download has the same bytes.
    wait_for("the link", || {
        (fixture.browser.evaluate("document.querySelector('a[href=\"./large\"][download]') !== null") == true)
            .then_some(())
    });
    let folder = tempfile::tempdir().unwrap();
    let behavior = json!({"behavior": "allow", "downloadPath": folder.path()});
    fixture.browser.call("Page.setDownloadBehavior", behavior);
    fixture.browser.click("a[href='./large'][download]");
    wait_for("the download", || {
        fs::read(folder.path().join("large")).ok().filter(|bytes| *bytes == large_file())
    });
}

#[test]
fn files_can_be_dropped_on_the_page_replaced_and_deleted() {
    let Some(mut fixture) = Fixture::start(&["--overwrite", "--allow-delete"]) else { return };
    fixture.browser.evaluate("window.asked = []; window.confirm = (what) => asked.push(what)");
    let files = [
        fixture.path("a b?#%.txt"),
        fixture.path("old.txt"),
        fixture.own.path().to_str().unwrap().to_owned(),
    ];
    let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
    for kind in ["dragEnter", "dragOver", "drop"] {
        fixture
            .browser
            .call("Input.dispatchDragEvent", json!({"type": kind, "x": 200, "y": 300, "data": data}));
        let over = fixture.browser.evaluate("document.body.className");
        assert_eq!(over, if kind == "dragOver" { "over" } else { "" }, "{kind}");
    }
    fixture.wait_for_status("a b?#%.txt", "stored");
    fixture.wait_for_status("old.txt", "stored");
    let folder = fixture.own.path().file_name().unwrap().to_str().unwrap().to_owned();
    fixture.wait_for_status(&folder, "folders cannot be uploaded");
    assert_eq!(fixture.stored("old.txt"), b"x");
    assert_eq!(fixture.browser.evaluate("asked"), json!(["Replace old.txt?"]));
    wait_for("the table", || (fixture.listed() == json!(["a b?#%.txt", "old.txt"])).then_some(()));
    fixture.browser.click("button.delete[value='a b?#%.txt']");
    wait_for("the table", || (fixture.listed() == json!(["old.txt"])).then_some(()));
    assert!(!fixture.library.path().join("a b?#%.txt").exists());
}

#[test]
fn the_page_shows_the_names_of_renamed_uploads() {
    let Some(mut fixture) = Fixture::start(&["--on-duplicate", "rename"]) else { return };
    fixture.choose(&["old.txt"]);
    fixture.wait_for_status("old.txt", "stored as old (1).txt, 1 B");
    assert_eq!((fixture.stored("old.txt"), fixture.stored("old (1).txt")), (b"old".into(), b"x".into()));
}

#[test]
fn the_upload_form_works_without_scripts() {
    let Some(mut fixture) = Fixture::start(&[]) else { return };
    fixture.browser.call("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    let home = fixture.home();
    check_layout(&mut fixture.browser, &home, "library-without-script");
    fixture.choose(&["a b?#%.txt", "large"]);
    fixture.browser.follow("form button");
    assert_eq!(fixture.browser.evaluate("location.pathname"), "/files/");
    assert_eq!(fixture.listed(), json!(["a b?#%.txt", "large", "old.txt"]));
    assert!(fixture.stored("large") == large_file() && fixture.stored("a b?#%.txt") == b"first");
    fixture.choose(&["old.txt"]);
    fixture.browser.follow("form button");
    let text = fixture.browser.evaluate("document.querySelector('li').textContent");
    assert_eq!(text, "old.txt: A file with this name exists.");
    fixture.browser.follow("a");
    assert_eq!(fixture.listed().as_array().unwrap().len(), 3);
}

#[test]
fn a_read_only_library_shows_no_upload_or_delete_controls() {
    let Some(mut fixture) = Fixture::start(&["--read-only"]) else { return };
    assert_eq!(fixture.browser.evaluate("document.querySelector('form, button.delete')"), Value::Null);
    assert!(fixture.browser.complaints.is_empty(), "{:?}", fixture.browser.complaints);
}

#[test]
fn uploaded_pages_run_no_scripts_and_cannot_write() {
    let Some(mut fixture) = Fixture::start(&[]) else { return };
    let page =
        "<title>evil</title><script>document.title = 'ran'; fetch('/files/x', { method: 'PUT' })</script>";
    fs::write(fixture.library.path().join("evil.html"), page).unwrap();
    let url = fixture.home() + "evil.html";
    fixture.browser.visit(&url);
    assert_eq!(fixture.browser.evaluate("document.title"), "evil");
    assert!(!fixture.library.path().join("x").exists());
}

#[test]
#[cfg(feature = "tls")]
fn pages_load_and_files_are_stored_over_https_with_a_self_signed_certificate() {
    let Some(browser) = Browser::start_with(&["--ignore-certificate-errors"]) else { return };
    let options = ["--http", "0", "--https", "0", "--self-signed", "--redirect-https", "--hsts", "1h"];
    let mut fixture = Fixture::start_in(browser, &options).unwrap();
    assert_eq!(fixture.browser.evaluate("location.protocol"), "https:");
    fixture.choose(&["a b?#%.txt", "large"]);
    fixture.wait_for_status("a b?#%.txt", "stored, 5 B");
    fixture.wait_for_status("large", "stored");
    assert!(fixture.stored("large") == large_file());
    let home = fixture.home();
    fixture.browser.visit(home.trim_end_matches("files/"));
    assert_eq!(fixture.browser.evaluate("document.body.textContent"), "front");
    // The plain address leads to the other one.
    let plain = format!("http://{}/files/", fixture.server.address);
    fixture.browser.visit(&plain);
    assert_eq!(fixture.browser.evaluate("location.href"), home);
    // Before an upload, the page asks whether its name is taken.
    fixture.browser.complaints.retain(|what| !what.contains("404"));
    assert!(fixture.browser.complaints.is_empty(), "{:?}", fixture.browser.complaints);
}
