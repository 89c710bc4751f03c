//! The race of the server models (`make lab`) at its smallest size. The tests find new models in
//! benches/lab/models automatically; to race a model here, add it to `MODELS`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Client, PROGRAM, Server, tool, wait_for};

const MODELS: [&str; 3] = ["thread", "epoll", "evserve"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Starts the race in its own folder, by which [`running_in`] finds its processes. Returns `None` without
/// Python or without the load generator, which cargo builds together with the tests.
fn race(folder: &Path, arguments: &[&str]) -> Option<Child> {
    let python = tool("python3")?;
    let load = std::env::current_exe().unwrap().parent().unwrap().join("../examples/load");
    if !load.is_file() {
        assert!(std::env::var_os("CI").is_none(), "{load:?} is not built");
        eprintln!("left out: {load:?} is not built");
        return None;
    }
    let mut command = Command::new(python);
    command.current_dir(folder).arg(root().join("benches/lab/race.py")).args(arguments);
    command.args(["--out", "made", "--evserve", PROGRAM]).arg("--load").arg(load);
    Some(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Returns the processes whose working directory is `folder`.
fn running_in(folder: &Path) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    processes.filter(|path| fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == folder)).collect()
}

/// Returns the files below `folder` with their modification times.
fn files(folder: &Path) -> BTreeSet<(PathBuf, SystemTime)> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.append(&mut files(&path)),
            false => _ = found.insert((path.clone(), path.metadata().unwrap().modified().unwrap())),
        }
    }
    found
}

/// Asserts that the elements of an SVG are nested correctly.
#[track_caller]
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag that ends");
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).unwrap();
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name)),
            (_, true) => {}
            _ => open.push(name),
        }
        assert!(tag.matches('"').count() % 2 == 0, "{tag}");
        assert!(text.split('&').skip(1).all(|entity| entity.contains(';')), "{text}");
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn lab_writes_results_and_a_chart_into_the_output_folder() {
    let folder = tempfile::tempdir().unwrap();
    let checkout = || [files(&root().join("benches")), files(&root().join("html"))];
    let before = checkout();
    let smallest = ["--connections", "4", "--active", "2", "--seconds", "1", "--rounds", "1"];
    let models = MODELS.join(",");
    let arguments = [&["--models", &models], &smallest[..]].concat();
    let Some(race) = race(folder.path(), &arguments) else { return };
    let made = race.wait_with_output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let made = |name: &str| fs::read_to_string(folder.path().join("made").join(name)).unwrap();
    let table = made("RESULTS.md");
    for model in MODELS {
        let row = table.lines().find(|line| line.starts_with(&format!("| {model} |")));
        let cells: Vec<&str> = row.expect(model).split('|').map(str::trim).collect();
        let rate: f64 = cells[2].replace(',', "").parse().unwrap();
        assert!(rate > 0.0 && !cells[4].is_empty() && !cells[9].contains("error"), "{cells:?}");
    }
    let svg = made("lab.svg");
    assert_well_formed(&svg);
    assert!(MODELS.iter().all(|model| svg.contains(&format!(">{model}</text>"))));
    assert!(serde_json::from_str::<serde_json::Value>(&made("RESULTS.json")).unwrap()["rounds"].is_array());
    assert!(checkout() == before, "the race wrote into the checkout");
    assert_eq!(running_in(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn lab_skips_missing_programs_and_stops_its_servers_on_sigint() {
    let folder = tempfile::tempdir().unwrap();
    let long = ["--models", "fork,evserve-poll", "--evserve-poll", "nowhere", "--connections", "20"];
    let Some(mut race) = race(folder.path(), &[&long[..], &["--seconds", "60"]].concat()) else { return };
    let mut lines = BufReader::new(race.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("evserve-poll: skipped: ") && line.ends_with(" is not built")));
    // The race, the generator, the server and a child for each connection.
    wait_for("all processes", || (running_in(folder.path()).len() == 23).then_some(()));
    // Sent repeatedly: Python handles a signal that arrives just before a blocking call only after that call.
    let status = wait_for("the end", || {
        kill_process(Pid::from_child(&race), Signal::INT).unwrap();
        race.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(130));
    // The forked children end after their server; without the interrupt they would run for a minute.
    wait_for("the end of all others", || running_in(folder.path()).is_empty().then_some(()));
}

/// Starts a single model with a limit of `descriptors`.
fn start(python: &Path, file: &Path, descriptors: u32) -> Server {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" -B \"$@\"")]).arg(python).arg(file);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().strip_prefix("listening ").unwrap_or_else(|| panic!("{file:?} says {line:?}"));
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    Server::adopt(child, address, tempfile::tempdir().unwrap())
}

/// Asserts that SIGTERM ends a model, by the default action or by its own handler.
#[track_caller]
fn terminate(mut model: Server) {
    model.signal(Signal::TERM);
    // Python handles a signal that arrives just before accept() only after it; the connection ends the wait.
    let _ = TcpStream::connect(model.address);
    let status = model.ended();
    assert!(status.code() == Some(0) || status.signal() == Some(Signal::TERM.as_raw()), "{status}");
}

/// Returns the models that this machine can run.
fn models(python: &Path) -> Vec<PathBuf> {
    let has_gevent = Command::new(python).args(["-c", "import gevent"]).stderr(Stdio::null()).status();
    let has_gevent = has_gevent.unwrap().success();
    let found = files(&root().join("benches/lab/models")).into_iter().map(|(path, _)| path);
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let fits = |path: &PathBuf| {
        name(path).starts_with(|first: char| first.is_ascii_digit())
            && (has_gevent || name(path) != "4_greenlet.py")
    };
    found.filter(fits).collect()
}

#[test]
fn lab_models_serve_split_pipelined_and_aborted_requests() {
    let Some(python) = tool("python3") else { return };
    let models = models(&python);
    assert!(models.len() >= 7, "{models:?}");
    for file in models {
        let model = start(&python, &file, 200);
        let mut client = model.connect();
        // Split and pipelined requests.
        for piece in ["GET / HT", "TP/1.1\r\nHost: h\r\n", "\r", "\nGET / HTTP/1.1\r\n\r\n"] {
            client.send(piece);
        }
        let page = client.response();
        assert_eq!((page.status, page.body.len()), (200, 1024), "{file:?}");
        assert_eq!(client.response().body, page.body);
        // More responses than the socket buffers hold, to a client that does not read yet.
        client.send("GET / HTTP/1.1\r\n\r\n".repeat(10_000));
        for _ in 0..10_000 {
            assert_eq!(client.response().body.len(), 1024, "{file:?}");
        }
        drop(client);
        // A head without an end, and a reset while responses are being sent.
        let mut endless = model.connect();
        endless.send("x".repeat(40_000));
        endless.rest();
        let gone = TcpStream::connect(model.address).unwrap();
        set_socket_linger(&gone, Some(Duration::ZERO)).unwrap();
        Client::new(gone).send("GET / HTTP/1.1\r\n\r\n".repeat(1000));
        let mut last = model.connect();
        last.send("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(last.response().body, page.body, "{file:?}");
        terminate(model);
    }
}

#[test]
fn lab_models_survive_running_out_of_descriptors() {
    let Some(python) = tool("python3") else { return };
    for file in models(&python) {
        let model = start(&python, &file, 24);
        let crowd: Vec<Client> = (0..60).map(|_| model.connect()).collect();
        drop(crowd);
        // The model may take a moment to notice that the others have closed.
        let answer = wait_for("an answer", || {
            let mut client = model.connect();
            client.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").ok()?;
            client.try_response()
        });
        assert_eq!(answer.status, 200, "{file:?}");
        terminate(model);
    }
}
