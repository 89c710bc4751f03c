//! The library's page: files go up by the button, by drag and drop and without a script, and come
//! down the same.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chromium::Browser;
use crate::look;
use crate::process::{PROGRAM, Server, large_file, small_site, wait_for};

struct Setting {
    browser: Browser,
    server: Server,
    library: TempDir,
    /// Files of the visitor's own.
    own: TempDir,
}

impl Setting {
    fn start(options: &[&str]) -> Option<Setting> {
        let browser = Browser::start()?;
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
        let mut setting = Setting { browser, server, library, own };
        setting.browser.visit(&setting.home());
        Some(setting)
    }

    fn home(&self) -> String {
        format!("http://{}/files/", self.server.address)
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

    /// Waits until a file's line says something, and returns that.
    #[track_caller]
    fn said(&mut self, name: &str, what: &str) -> String {
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
fn files_go_up_by_the_button() {
    let Some(mut setting) = Setting::start(&["--max-upload", "20M"]) else { return };
    let home = setting.home();
    look(&mut setting.browser, &home, "library");
    setting.browser.be((1280, 800), "light");
    setting.browser.visit(&home);
    fs::File::create(setting.own.path().join("huge")).unwrap().set_len(21 << 20).unwrap();
    setting.choose(&["a b?#%.txt", "old.txt", "huge"]);
    setting.said("a b?#%.txt", "stored, 5 B");
    setting.said("old.txt", "there is a file of that name");
    setting.said("huge", "larger than the 20.0 MiB");
    assert_eq!((setting.stored("a b?#%.txt"), setting.stored("old.txt")), (b"first".into(), b"old".into()));
    // The table has it without a reload.
    wait_for("the table", || {
        setting.listed().as_array().unwrap().contains(&json!("a b?#%.txt")).then_some(())
    });
    setting.browser.picture("library-uploads");
    assert!(
        setting.browser.complaints.iter().all(|what| what.contains("404")),
        "{:?}",
        setting.browser.complaints
    );
}

#[test]
fn progress_is_shown_and_an_upload_can_be_stopped() {
    let Some(mut setting) = Setting::start(&[]) else { return };
    setting.slow_down(large_file().len() as i64 / 4);
    setting.choose(&["large"]);
    let said = setting.said("large", "left");
    assert!(said.contains(" % · ") && said.contains("/s · "), "{said}");
    let reached = "document.querySelector('progress').value";
    wait_for("progress", || {
        setting.browser.evaluate(reached).as_f64().filter(|value| *value > 0.2 && *value < 1.0)
    });
    setting.browser.picture("library-progress");
    setting.browser.click("#uploads button");
    setting.said("large", "stopped");
    setting.slow_down(-1);
    assert!(!setting.library.path().join("large").exists());
    // What is begun anew comes whole.
    setting.choose(&["large"]);
    setting.said("large", "stored");
    assert!(setting.stored("large") == large_file());
    // And comes down as it went up.
    wait_for("the link", || {
        (setting.browser.evaluate("document.querySelector('a[href=\"./large?download\"]') !== null") == true)
            .then_some(())
    });
    let folder = tempfile::tempdir().unwrap();
    let behavior = json!({"behavior": "allow", "downloadPath": folder.path()});
    setting.browser.call("Page.setDownloadBehavior", behavior);
    setting.browser.click("a[href='./large?download']");
    wait_for("the download", || {
        fs::read(folder.path().join("large")).ok().filter(|bytes| *bytes == large_file())
    });
}

#[test]
fn files_are_dropped_on_the_page_replaced_and_deleted() {
    let Some(mut setting) = Setting::start(&["--overwrite", "--allow-delete"]) else { return };
    setting.browser.evaluate("window.asked = []; window.confirm = (what) => asked.push(what)");
    let files = [
        setting.path("a b?#%.txt"),
        setting.path("old.txt"),
        setting.own.path().to_str().unwrap().to_owned(),
    ];
    let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
    for kind in ["dragEnter", "dragOver", "drop"] {
        setting
            .browser
            .call("Input.dispatchDragEvent", json!({"type": kind, "x": 200, "y": 300, "data": data}));
        let over = setting.browser.evaluate("document.body.className");
        assert_eq!(over, if kind == "dragOver" { "over" } else { "" }, "{kind}");
    }
    setting.said("a b?#%.txt", "stored");
    setting.said("old.txt", "stored");
    let folder = setting.own.path().file_name().unwrap().to_str().unwrap().to_owned();
    setting.said(&folder, "folders cannot be uploaded");
    assert_eq!(setting.stored("old.txt"), b"x");
    assert_eq!(setting.browser.evaluate("asked"), json!(["Replace old.txt?"]));
    wait_for("the table", || (setting.listed() == json!(["a b?#%.txt", "old.txt"])).then_some(()));
    setting.browser.click("button.delete[value='a b?#%.txt']");
    wait_for("the table", || (setting.listed() == json!(["old.txt"])).then_some(()));
    assert!(!setting.library.path().join("a b?#%.txt").exists());
}

#[test]
fn a_form_uploads_without_a_script() {
    let Some(mut setting) = Setting::start(&[]) else { return };
    setting.browser.call("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    let home = setting.home();
    look(&mut setting.browser, &home, "library-without-script");
    setting.choose(&["a b?#%.txt", "large"]);
    setting.browser.follow("form button");
    assert_eq!(setting.browser.evaluate("location.pathname"), "/files/");
    assert_eq!(setting.listed(), json!(["a b?#%.txt", "large", "old.txt"]));
    assert!(setting.stored("large") == large_file() && setting.stored("a b?#%.txt") == b"first");
    setting.choose(&["old.txt"]);
    setting.browser.follow("form button");
    let text = setting.browser.evaluate("document.querySelector('li').textContent");
    assert_eq!(text, "old.txt: There is a file of that name.");
    setting.browser.follow("a");
    assert_eq!(setting.listed().as_array().unwrap().len(), 3);
}

#[test]
fn nobody_uploads_where_nobody_may() {
    let Some(mut setting) = Setting::start(&["--read-only"]) else { return };
    assert_eq!(setting.browser.evaluate("document.querySelector('form, button.delete')"), Value::Null);
    assert!(setting.browser.complaints.is_empty(), "{:?}", setting.browser.complaints);
}

#[test]
fn an_uploaded_page_runs_no_script_and_cannot_write() {
    let Some(mut setting) = Setting::start(&[]) else { return };
    let page =
        "<title>evil</title><script>document.title = 'ran'; fetch('/files/x', { method: 'PUT' })</script>";
    fs::write(setting.library.path().join("evil.html"), page).unwrap();
    let url = setting.home() + "evil.html";
    setting.browser.visit(&url);
    assert_eq!(setting.browser.evaluate("document.title"), "evil");
    assert!(!setting.library.path().join("x").exists());
}
