//! The inspector page under load: wrk, idle connections, and a client for each way to wait. To add such a client, add
//! it to `Load::waiting`, and what it changes to the numbers in `Load::wait_for_counts`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::admin::Fixture;
use crate::process::{Client, tool, wait_for};
use crate::{SCHEMES, SCREENS};

/// Connections of wrk, and idle ones.
const WRK: u64 = 16;
const IDLE: u64 = 20;

/// Those of `Load::waiting`, and how many of their requests the server counts.
const WAITING: u64 = 5;
const WAITING_REQUESTS: u64 = 3;

/// The page of a server, and the server's clients.
struct Load {
    fixture: Fixture,
    wrk: Wrk,
    _idle: Vec<Client>,
    waiting: Vec<Waiting>,
    /// The certificate of the server.
    _state: TempDir,
}

/// A client whose connection waits, and what the page says about it.
struct Waiting {
    client: Client,
    /// As in the table.
    protocol: &'static str,
    phase: &'static str,
    /// The beginning of the sentence.
    why: &'static str,
}

/// wrk, killed on drop.
struct Wrk(Child);

impl Load {
    fn start() -> Option<Load> {
        let wrk = tool("wrk")?;
        let state = tempfile::tempdir().unwrap();
        let tls = ["--https", "127.0.0.1:0", "--self-signed", "--state", state.path().to_str().unwrap()];
        let paced = ["--dialect", "listed", "--pace", "300ms", "--write-timeout", "5m"];
        let fixture = Fixture::start_with(&[&tls[..], &paced].concat())?;
        // More than the buffers of the sockets hold.
        File::create(fixture.server.site.path().join("huge.bin")).unwrap().set_len(1 << 28).unwrap();
        // A listing with a pause after each name takes three minutes.
        for number in 0..600 {
            File::create(fixture.library.path().join(format!("{number}.txt"))).unwrap();
        }
        let idle = (0..IDLE).map(|_| fixture.idle(1)).collect();
        let waiting = waiting(&fixture, state.path());
        end_some(&fixture);
        let wrk = Wrk::start(&wrk, &format!("http://{}/1k.txt", fixture.server.address));
        Some(Load { fixture, wrk, _idle: idle, waiting, _state: state })
    }

    /// Returns the numbers that the page shows. They are of one frame.
    #[track_caller]
    fn shown(&mut self) -> Value {
        self.fixture.browser.evaluate(
            "(() => {
                const number = (element) => Number(element.textContent.replaceAll(',', ''));
                const at = (selector) => number(document.querySelector(selector));
                const legend = (kind) => Object.fromEntries(
                    [...document.querySelectorAll(`.legend [data-${kind}]`)]
                        .map((item) => [item.dataset[kind], number(item.querySelector('b'))]));
                const reasons = [...document.querySelectorAll('#close-reasons tr:not([hidden])')];
                return {
                    turn: at('[data-frame=turn]'),
                    open: at('#open'),
                    rate: at('#requests-rate'),
                    requests: at('[data-frame=\"counters.requests\"]'),
                    accepted: at('[data-frame=\"counters.accepted\"]'),
                    protocols: legend('protocol'),
                    phases: legend('phase'),
                    tls: at('[data-letter=tls] b'),
                    closed: Object.fromEntries(reasons.map((row) => [row.dataset.reason, number(row.cells[1])])),
                };
            })()",
        )
    }

    /// Waits until the page shows these clients and no others, and checks that its numbers agree.
    #[track_caller]
    fn wait_for_counts(&mut self) {
        let expected = json!({
            "open": WRK + IDLE + WAITING,
            "tls": 2,
            "protocols": {"http": WRK + IDLE + 4, "file": 1, "ack": 0},
            // The page has a stream, and other connections, which are idle or responding.
            "phases": {
                "handshake": 1, "request": 1, "body": 0, "streaming": 1, "sending": 2, "disk": 0, "pause": 1,
                "finishing": 0, "lingering": 0,
            },
            "closed": {"close_requested": 1, "rejected": 1, "peer_left": 1},
        });
        let shown = wait_for(&expected.to_string(), || {
            let shown = self.shown();
            has_members(&shown, &expected).then_some(shown)
        });
        assert_eq!(sum(&shown["phases"]), sum(&shown["protocols"]), "{shown}");
        assert_eq!(shown["accepted"], WRK + IDLE + WAITING + sum(&shown["closed"]), "{shown}");
        let idle = shown["phases"]["idle"].as_u64().unwrap();
        let admin = shown["protocols"]["admin"].as_u64().unwrap();
        assert!((WRK + IDLE..WRK + IDLE + admin).contains(&idle), "{shown}");
    }

    /// Checks that new turns are shown all the time, with the rate of requests.
    #[track_caller]
    fn assert_live(&mut self) {
        for _ in 0..3 {
            let before = self.shown();
            wait_for("newer turns", || {
                let shown = self.shown();
                let grows = |name: &str| shown[name].as_u64() > before[name].as_u64();
                (grows("turn") && grows("requests") && shown["rate"].as_f64() > Some(100.0)).then_some(())
            });
        }
        assert_eq!(self.fixture.text("#status"), "live");
    }

    /// Checks the cells of the connections with TLS.
    #[track_caller]
    fn assert_cells(&mut self) {
        let slots = self.fixture.browser.evaluate(
            "new Promise((resolve) => {
                const source = new EventSource('events');
                source.addEventListener('frame', ({ data }) => {
                    source.close();
                    resolve(JSON.parse(data).slots);
                });
            })",
        );
        let [protocols, phases] = ["protocols", "phases"].map(|name| slots[name].as_str().unwrap());
        let mut encrypted: Vec<(char, char)> =
            protocols.chars().zip(phases.chars()).filter(|(protocol, _)| protocol.is_uppercase()).collect();
        encrypted.sort_unstable();
        assert_eq!(encrypted, [('H', 'n'), ('H', 's')], "{slots}");
        self.fixture.browser.evaluate("document.getElementById('grid').focus()");
        self.fixture.press("Home");
        for _ in 0..protocols.find('H').unwrap() {
            self.fixture.press("ArrowRight");
        }
        let cell = self.fixture.text("#cell");
        assert!(cell.contains(": HTTP connection with TLS, "), "{cell}");
    }

    /// Checks that the table has each client that waits, and that the page says why it does.
    #[track_caller]
    fn assert_reasons(&mut self) {
        for Waiting { client, protocol, phase, why } in &self.waiting {
            let id = self.fixture.select(client);
            for (column, expected) in [(2, protocol), (3, phase)] {
                let cell = format!("#connections tr[data-id='{id}'] td:nth-child({column})");
                self.fixture.wait_for_text(&cell, expected);
            }
            wait_for(why, || self.fixture.text("#why").starts_with(why).then_some(()));
        }
    }

    /// Checks that the page fits every screen, and takes pictures.
    #[track_caller]
    fn photograph(&mut self) {
        let browser = &mut self.fixture.browser;
        for (screen, size) in SCREENS {
            for scheme in SCHEMES {
                browser.set_screen(size, scheme);
                let over = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
                assert_eq!(browser.evaluate(over), 0, "the page is wider than a {screen}");
                for part in ["now", "slots", "connections", "stalls"] {
                    browser.evaluate(&format!("document.getElementById('{part}-title').scrollIntoView()"));
                    browser.screenshot(&format!("admin-load-{part}-{screen}-{scheme}"));
                }
            }
        }
    }

    /// Closes each client that waits, and checks that it ends.
    #[track_caller]
    fn close_waiting(&mut self) {
        for (closed, mut waiting) in (1..).zip(std::mem::take(&mut self.waiting)) {
            let id = self.fixture.select(&waiting.client);
            self.fixture.press_close_twice(&id);
            self.fixture.wait_for_text("#close-result", &format!("Connection {id} was closed."));
            waiting.client.rest();
            self.fixture.wait_for_text("#why", "The connection has ended.");
            let count = "#close-reasons [data-reason=admin_closed] td";
            self.fixture.wait_for_text(count, &closed.to_string());
            self.fixture.wait_for_text("#open", &(WRK + IDLE + WAITING - closed).to_string());
        }
    }

    /// Stops wrk, and checks the counters by what wrk and the other clients have done.
    #[track_caller]
    fn assert_totals(&mut self) {
        let finished = self.wrk.stop();
        let counters = wait_for("the end of wrk's connections", || {
            let state = self.fixture.read_loop();
            (state["open"]["http"] == IDLE).then(|| state["counters"].clone())
        });
        let [requests, accepted] = ["requests", "accepted"].map(|name| counters[name].as_u64().unwrap());
        // Each connection of wrk had at most one request that it did not wait for.
        let others = IDLE + WAITING_REQUESTS + ENDED_REQUESTS;
        let expected = finished + others..=finished + others + WRK;
        assert!(expected.contains(&requests), "{requests} requests instead of {expected:?}");
        // wrk first connects once to try the address.
        let others = IDLE + WAITING + ENDED;
        assert!((others + WRK..=others + WRK + 1).contains(&accepted), "{counters}");
        assert_eq!(sum(&counters["closed"]) + IDLE, accepted, "{counters}");
        assert_eq!(counters["closed"]["admin_closed"], WAITING);
        let names = ["requests", "accepted", "closed"];
        wait_for(&counters.to_string(), || {
            let shown = self.shown();
            names.iter().all(|name| shown[name] == counters[name]).then_some(())
        });
    }
}

/// Connects the clients that wait.
fn waiting(fixture: &Fixture, state: &Path) -> Vec<Waiting> {
    let not_receiving = "Waits for the client to receive: its socket accepts no more output; closes in ";
    let handshake = "Waits for the client to continue the TLS handshake; closes in ";
    [
        (crawling(fixture), "http", "request", "Waits for the rest of a request head; closes in "),
        (stalled(fixture), "http", "sending", not_receiving),
        (
            paced(fixture),
            "file",
            "pause",
            "Pauses, since pauses separate messages to this client; continues in ",
        ),
        (stalled_over_tls(fixture, state), "http, TLS", "sending", not_receiving),
        (half_a_handshake(fixture), "http, TLS", "handshake", handshake),
    ]
    .map(|(client, protocol, phase, why)| Waiting { client, protocol, phase, why })
    .into()
}

/// A client that sends a byte of a request head every 200 ms, until its connection ends.
fn crawling(fixture: &Fixture) -> Client {
    let mut client = fixture.server.connect();
    client.send("GET /");
    let mut stream = client.stream.try_clone().unwrap();
    std::thread::spawn(move || {
        while stream.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    client
}

/// A client that requests a large file and receives nothing.
fn stalled(fixture: &Fixture) -> Client {
    let mut client = fixture.server.connect();
    client.send("GET /huge.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    client
}

/// A legacy client in the middle of a listing.
fn paced(fixture: &Fixture) -> Client {
    let mut client = fixture.server.connect_to("file");
    client.send("L");
    client
}

/// Like [`stalled`], over TLS, with the certificate that the server has made in the folder `state`.
fn stalled_over_tls(fixture: &Fixture, state: &Path) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(state.join("self-signed.crt")).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut session = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut client = fixture.server.connect_to("https");
    let mut stream = Stream::new(&mut session, &mut client.stream);
    stream.write_all(b"GET /huge.bin HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    client
}

/// A client that has sent the beginning of a ClientHello.
fn half_a_handshake(fixture: &Fixture) -> Client {
    let mut client = fixture.server.connect_to("https");
    client.send([22, 3, 1, 2, 0, 1]);
    client
}

/// The connections of [`end_some`], and how many requests the server counts for them.
const ENDED: u64 = 3;
const ENDED_REQUESTS: u64 = 2;

/// Connects clients that end for different reasons.
fn end_some(fixture: &Fixture) {
    fixture.server.get("/1k.txt");
    let mut malformed = fixture.server.connect();
    malformed.send("GET\r\n\r\n");
    assert_eq!(malformed.response().status, 400);
    drop(half_a_handshake(fixture));
}

impl Wrk {
    fn start(program: &Path, url: &str) -> Wrk {
        let mut command = Command::new(program);
        // The test ends it earlier.
        command.args(["-t1", &format!("-c{WRK}"), "-d120s", "--timeout", "20s", url]);
        Wrk(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Stops wrk and returns the number of the requests that it has finished.
    #[track_caller]
    fn stop(&mut self) -> u64 {
        kill_process(Pid::from_child(&self.0), Signal::INT).unwrap();
        wait_for("the end of wrk", || self.0.try_wait().unwrap());
        let mut printed = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        assert!(!printed.contains("Socket errors") && !printed.contains("Non-2xx"), "{printed}");
        let count = printed.lines().find_map(|line| line.split_once(" requests in "));
        count.unwrap_or_else(|| panic!("{printed}")).0.trim().parse().unwrap()
    }
}

impl Drop for Wrk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns whether `value` is `expected`, apart from members that `expected` does not have.
fn has_members(value: &Value, expected: &Value) -> bool {
    match expected {
        Value::Object(members) => members.iter().all(|(name, member)| has_members(&value[name], member)),
        _ => value == expected,
    }
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn the_inspector_is_right_and_live_under_load() {
    let Some(mut load) = Load::start() else { return };
    load.wait_for_counts();
    load.assert_live();
    load.assert_cells();
    load.assert_reasons();
    load.photograph();
    load.wait_for_counts();
    load.close_waiting();
    load.assert_totals();
    load.fixture.assert_no_complaints();
}
