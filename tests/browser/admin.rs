//! The inspector page of the admin interface: it shows the connections of the test, closes them, and can be paused.

use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chromium::Browser;
use crate::process::{Client, PROGRAM, Server, small_site, wait_for};
use crate::{SCHEMES, SCREENS, check_layout};

/// A server with the page in a browser.
pub struct Fixture {
    pub browser: Browser,
    pub server: Server,
    pub library: TempDir,
    /// The URL of the page.
    home: String,
}

impl Fixture {
    /// Starts a server and opens its page.
    fn start() -> Option<Fixture> {
        Fixture::start_with(&[])
    }

    /// Starts a server with these options, too, and opens its page.
    pub fn start_with(options: &[&str]) -> Option<Fixture> {
        let browser = Browser::start()?;
        let library = tempfile::tempdir().unwrap();
        let path = library.path().to_str().unwrap();
        let site = small_site();
        let html = site.path().to_owned();
        // A slow machine must not reach the timeout of an incomplete head.
        let timeouts = ["--head-timeout", "5m", "--idle-timeout", "5m"];
        let listeners = ["--admin", "127.0.0.1:0", "--file", "0", "--files", path];
        let arguments = [&listeners[..], &timeouts, options].concat();
        let server = Server::spawn(Command::new(PROGRAM), &html, site, &arguments);
        let home = format!("http://{}/", server.listener("admin"));
        let mut fixture = Fixture { browser, server, library, home };
        fixture.browser.set_screen((1280, 800), "light");
        fixture.open();
        Some(fixture)
    }

    /// Loads the page and waits for its first frame.
    #[track_caller]
    fn open(&mut self) {
        self.browser.visit(&self.home);
        self.wait_for_text("#status", "live");
        wait_for("a frame", || self.text("#open").parse::<u64>().ok());
    }

    /// Opens a connection that has sent this many requests and is idle.
    pub fn idle(&self, requests: usize) -> Client {
        let mut client = self.server.connect();
        for _ in 0..requests {
            client.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(client.response().status, 200);
        }
        client
    }

    /// Opens a connection that has sent half of a request head.
    pub fn half_a_head(&self) -> Client {
        let mut client = self.server.connect();
        client.send("GET /1k.txt HTTP/1.1\r\nHost: h\r\n");
        client
    }

    /// Opens a session of the file protocol that is idle.
    fn file_session(&self) -> Client {
        let mut client = self.server.connect_to("file");
        client.send("LIST\n");
        assert_eq!(client.line(), "OK 0");
        client
    }

    #[track_caller]
    pub fn text(&mut self, selector: &str) -> String {
        let text = format!("document.querySelector({})?.textContent ?? ''", json!(selector));
        self.browser.evaluate(&text).as_str().unwrap().trim().to_owned()
    }

    #[track_caller]
    pub fn wait_for_text(&mut self, selector: &str, expected: &str) {
        let mut last = String::new();
        wait_for(&format!("{selector} {expected:?}"), || {
            last = self.text(selector);
            (last == expected).then_some(())
        });
    }

    /// Returns a column of the table, counted from 0.
    #[track_caller]
    fn column(&mut self, index: usize) -> Value {
        self.browser.evaluate(&format!(
            "[...document.querySelectorAll('#connections tbody tr')].map(row => row.cells[{index}].textContent)"
        ))
    }

    #[track_caller]
    fn wait_for_column(&mut self, index: usize, expected: Value) {
        wait_for(&format!("column {index}: {expected}"), || (self.column(index) == expected).then_some(()));
    }

    /// Chooses an option of a filter.
    fn choose(&mut self, filter: &str, value: &str) {
        self.browser.evaluate(&format!(
            "{{ const filter = document.querySelector('{filter}');
                filter.value = '{value}';
                filter.dispatchEvent(new Event('input')); }}"
        ));
    }

    /// Waits for the row of a client's connection, and returns its id.
    #[track_caller]
    pub fn row_of(&mut self, client: &Client) -> String {
        let peer = json!(client.stream.local_addr().unwrap().to_string());
        let id = format!(
            "[...document.querySelectorAll('#connections tbody tr')]
                .find(row => row.cells[3].textContent === {peer})?.dataset.id"
        );
        wait_for(&format!("a row of {peer}"), || self.browser.evaluate(&id).as_str().map(str::to_owned))
    }

    /// Selects a client's connection in the table, and returns its id.
    #[track_caller]
    pub fn select(&mut self, client: &Client) -> String {
        let id = self.row_of(client);
        // Another connection may move the row between its lookup and a click of the mouse.
        self.browser.evaluate(&format!("document.querySelector('tr[data-id=\"{id}\"] button').click()"));
        self.wait_for_text("#details-title", &format!("Connection {id}"));
        id
    }

    /// Presses the button that closes the selected connection, and confirms it.
    #[track_caller]
    pub fn press_close_twice(&mut self, id: &str) {
        self.browser.click("#close");
        self.wait_for_text("#close", &format!("Really close connection {id}?"));
        self.browser.click("#close");
    }

    pub fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.browser.call("Input.dispatchKeyEvent", json!({"type": kind, "key": key}));
        }
    }

    #[track_caller]
    pub fn assert_no_complaints(&self) {
        assert!(self.browser.complaints.is_empty(), "{:?}", self.browser.complaints);
    }

    /// Reads /loop.json without the page.
    #[track_caller]
    pub fn read_loop(&self) -> Value {
        let mut client = self.server.connect_to("admin");
        client.send("GET /loop.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        serde_json::from_slice(&client.response().body).unwrap()
    }
}

#[test]
fn the_inspector_shows_the_connections_and_why_they_wait() {
    let Some(mut fixture) = Fixture::start() else { return };
    let (idle, half, session) = (fixture.idle(2), fixture.half_a_head(), fixture.file_session());
    fixture.wait_for_text("#open", "3");
    for (entry, count) in [("protocol=http", "2"), ("protocol=file", "1"), ("phase=request", "1")] {
        fixture.wait_for_text(&format!(".legend [data-{entry}] b"), count);
    }
    // The cells agree with the counts, and the table with both.
    let open = fixture.read_loop()["open"].clone();
    assert_eq!((&open["http"], &open["file"]), (&json!(2), &json!(1)));
    for (protocol, count) in [("http", 2), ("file", 1)] {
        fixture.choose("#filter-protocol", protocol);
        fixture.wait_for_column(1, json!(vec![protocol; count]));
    }
    fixture.choose("#filter-protocol", "");
    for (client, protocol, phase, requests) in
        [(&idle, "http", "idle", "2"), (&half, "http", "request", "0"), (&session, "file", "idle", "1")]
    {
        fixture.select(client);
        let peer = client.stream.local_addr().unwrap().to_string();
        for (field, expected) in
            [("peer", peer.as_str()), ("protocol", protocol), ("phase", phase), ("requests", requests)]
        {
            fixture.wait_for_text(&format!("#details [data-connection={field}]"), expected);
        }
        assert!(fixture.text("#why").starts_with("Waits for"), "{}", fixture.text("#why"));
    }
    fixture.assert_no_complaints();
}

#[test]
fn cells_of_the_inspector_are_selected_with_the_keyboard() {
    let Some(mut fixture) = Fixture::start() else { return };
    let half = fixture.half_a_head();
    let id = fixture.select(&half);
    let slot = fixture.text("#details [data-connection=slot]");
    // Selects another cell first: slot 0 is a listener.
    fixture.browser.evaluate("document.getElementById('grid').focus()");
    fixture.press("Home");
    fixture.press("Enter");
    fixture.wait_for_text("#why", "There is no connection in this slot.");
    assert!(fixture.text("#details-title").starts_with("Slot 0: "), "{}", fixture.text("#details-title"));
    for _ in 0..slot.parse().unwrap() {
        fixture.press("ArrowRight");
    }
    fixture.wait_for_text("#cell", &format!("Slot {slot}: HTTP connection, request"));
    fixture.press("Enter");
    fixture.wait_for_text("#details-title", &format!("Connection {id}"));
    wait_for("the announcement", || {
        fixture.text("#cell").starts_with(&format!("Connection {id}: Waits for")).then_some(())
    });
}

#[test]
fn a_connection_closed_in_the_inspector_ends() {
    let Some(mut fixture) = Fixture::start() else { return };
    let (mut closed, kept) = (fixture.half_a_head(), fixture.idle(1));
    let id = fixture.select(&closed);
    // Escape keeps the connection, after the first press.
    fixture.browser.click("#close");
    fixture.wait_for_text("#close", &format!("Really close connection {id}?"));
    fixture.browser.evaluate("document.getElementById('close').focus()");
    fixture.press("Escape");
    fixture.wait_for_text("#close", "Close connection");
    fixture.press_close_twice(&id);
    fixture.wait_for_text("#close-result", &format!("Connection {id} was closed."));
    closed.expect_end();
    fixture.wait_for_text("#why", "The connection has ended.");
    fixture.wait_for_text("#close-reasons [data-reason=admin_closed] td", "1");
    assert_eq!(
        fixture.browser.evaluate("document.querySelector('[data-reason=admin_closed]').checkVisibility()"),
        true
    );
    fixture.wait_for_text("#open", "1");
    fixture.row_of(&kept);
    wait_for("the table", || {
        (fixture.text(&format!("#connections tr[data-id='{id}']")).is_empty()).then_some(())
    });
    // With another token, for example after a restart of the server, nothing is closed.
    fixture.browser.evaluate(
        "window.real = fetch; window.fetch = (url, options) =>
            real(url, options?.headers ? { ...options, headers: { 'X-Evserve-Token': 'wrong' } } : options)",
    );
    let id = fixture.select(&kept);
    fixture.press_close_twice(&id);
    wait_for("the error", || {
        fixture.text("#close-result").starts_with("The server was restarted").then_some(())
    });
    fixture.wait_for_text("#open", "1");
}

#[test]
fn the_table_of_the_inspector_is_filtered_and_sorted() {
    let Some(mut fixture) = Fixture::start() else { return };
    let clients = [2, 3, 1].map(|requests| fixture.idle(requests));
    let _half = fixture.half_a_head();
    let _session = fixture.file_session();
    fixture.choose("#filter-protocol", "http");
    fixture.choose("#filter-phase", "idle");
    // The newest connection is the first.
    fixture.wait_for_column(9, json!(["1", "3", "2"]));
    for (expected, order) in [(["3", "2", "1"], "descending"), (["1", "2", "3"], "ascending")] {
        fixture.browser.click("th[data-sort=requests] button");
        fixture.wait_for_column(9, json!(expected));
        let sorted = "document.querySelector('th[data-sort=requests]').ariaSort";
        assert_eq!(fixture.browser.evaluate(sorted), order);
    }
    let port = clients[1].stream.local_addr().unwrap().port().to_string();
    fixture.browser.click("#filter-peer");
    fixture.browser.write(&format!(":{port}"));
    fixture.wait_for_column(9, json!(["3"]));
    fixture.wait_for_text("#matched", "1 connection matches");
    // The space key belongs to the filter here, and does not pause.
    fixture.press(" ");
    assert_eq!(fixture.text("#status"), "live");
    fixture.assert_no_complaints();
}

#[test]
fn a_paused_inspector_is_frozen_and_steps_through_the_turns() {
    let Some(mut fixture) = Fixture::start() else { return };
    fixture.idle(3);
    // Every frame is sent in a turn.
    let first = fixture.text("#turn-title");
    let newer = wait_for("another turn", || Some(fixture.text("#turn-title")).filter(|turn| *turn != first));
    wait_for("one more turn", || (fixture.text("#turn-title") != newer).then_some(()));
    fixture.browser.click("#pause");
    fixture.wait_for_text("#status", "paused");
    let whole = "document.querySelector('main').innerText";
    let before = fixture.browser.evaluate(whole);
    let requests = |fixture: &Fixture| fixture.read_loop()["counters"]["requests"].as_u64().unwrap();
    let counted = requests(&fixture);
    fixture.idle(5);
    wait_for("the requests", || (requests(&fixture) >= counted + 5).then_some(()));
    assert_eq!(fixture.browser.evaluate(whole), before);
    let shown = fixture.text("#turn-detail");
    fixture.browser.click("#step-back");
    let earlier = fixture.text("#turn-detail");
    assert_ne!(shown, earlier);
    fixture.browser.click("#step-forward");
    assert_eq!(fixture.text("#turn-detail"), shown);
    fixture.press("[");
    assert_eq!(fixture.text("#turn-detail"), earlier);
    fixture.press("]");
    assert_eq!(fixture.text("#turn-detail"), shown);
    fixture.browser.screenshot("admin-paused");
    // The key does what the button does, unless a button has the focus.
    fixture.browser.evaluate("document.activeElement.blur()");
    fixture.press(" ");
    fixture.wait_for_text("#status", "live");
    wait_for("a newer turn", || (fixture.text("#turn-detail") != shown).then_some(()));
    fixture.assert_no_complaints();
}

#[test]
fn the_inspector_fits_every_screen() {
    let Some(mut fixture) = Fixture::start() else { return };
    let (half, _idle, _session) = (fixture.half_a_head(), fixture.idle(1), fixture.file_session());
    let home = fixture.home.clone();
    check_layout(&mut fixture.browser, &home, "admin");
    // The page also fits with what it shows later.
    for (screen, size) in SCREENS {
        for scheme in SCHEMES {
            fixture.browser.set_screen(size, scheme);
            fixture.open();
            fixture.select(&half);
            let over = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(fixture.browser.evaluate(over), 0, "the page is wider than a {screen}");
            fixture.browser.screenshot(&format!("admin-selected-{screen}-{scheme}"));
        }
    }
    fixture.assert_no_complaints();
}

#[test]
fn the_inspector_runs_no_scripts_of_clients() {
    let Some(mut fixture) = Fixture::start() else { return };
    let evil = "<img/src=x/onerror=document.title='ran'><script>document.title='ran'</script>";
    let mut client = fixture.server.connect();
    client.send(format!("GET /{evil} HTTP/1.1\r\nHost: h\r\nUser-Agent: {evil}\r\n\r\n"));
    client.response();
    fixture.select(&client);
    wait_for("the request", || {
        fixture.text("#details [data-connection=last_request]").contains("<script>").then_some(())
    });
    let title = fixture.browser.evaluate("document.title");
    let added = fixture.browser.evaluate("document.querySelectorAll('img, body script').length");
    assert_eq!((title, added), (json!("Inspector: evserve"), json!(0)));
    fixture.assert_no_complaints();
}

#[test]
fn a_hidden_inspector_asks_for_nothing() {
    let Some(mut fixture) = Fixture::start() else { return };
    let wait_for_streams = |fixture: &Fixture, count: u64| {
        wait_for("the streams", || (fixture.read_loop()["phases"]["streaming"] == count).then_some(()));
    };
    wait_for_streams(&fixture, 1);
    fixture.browser.call("Target.createTarget", json!({"url": "about:blank"}));
    wait_for("hiding", || (fixture.browser.evaluate("document.hidden") == true).then_some(()));
    wait_for_streams(&fixture, 0);
    // A timer that begins later than that of the page, with the same period, has fired twice.
    let requests = fixture.browser.evaluate(
        "new Promise((resolve) => {
            const { fetch } = window;
            let [requests, fired] = [0, 0];
            window.fetch = (...what) => { requests += 1; return fetch(...what); };
            const timer = setInterval(() => {
                if ((fired += 1) < 2) return;
                clearInterval(timer);
                resolve(requests);
            }, 1000);
        })",
    );
    assert_eq!(requests, 0);
    let hidden = fixture.read_loop()["turn"].as_u64();
    fixture.browser.call("Page.bringToFront", json!({}));
    fixture.wait_for_text("#status", "live");
    wait_for("a newer turn", || {
        let turn = fixture.text("[data-frame=turn]").replace(',', "");
        (turn.parse().ok() > hidden).then_some(())
    });
    wait_for_streams(&fixture, 1);
    fixture.assert_no_complaints();
}

#[test]
fn the_inspector_says_that_it_has_lost_the_server() {
    let Some(mut fixture) = Fixture::start() else { return };
    // A page that connects has lost nothing: it says so only after an error.
    fixture.browser.evaluate(
        "window.states = new Set();
         new MutationObserver(() => states.add(document.getElementById('status').dataset.state))
             .observe(document.getElementById('status'), { attributes: true });",
    );
    for state in ["paused", "live"] {
        fixture.browser.click("#pause");
        fixture.wait_for_text("#status", state);
    }
    let states = fixture.browser.evaluate("[...states].sort()");
    assert_eq!(states, json!(["connecting", "live", "paused"]));
    fixture.server.signal(Signal::KILL);
    fixture.wait_for_text("#status", "disconnected, reconnecting");
}
