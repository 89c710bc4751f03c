//! Runs the examples in README.md and docs/. A new page is picked up automatically; CONTRIBUTING.md describes how its
//! `sh` and `session` blocks are run.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::process::{PATIENCE, PROGRAM, Server, at_once, large_file, tool, wait_for};

/// Commands that run.
const RUN: [&str; 15] = [
    "(printf",
    "cat",
    "cmp",
    "cp",
    "curl",
    "echo",
    "evclient",
    "ls",
    "nc",
    "openssl",
    "printf",
    "python3",
    "rm",
    "sha256sum",
    "test",
];

/// Commands that are only shown, in addition to assignments of variables.
const SHOWN: [&str; 11] = [
    "/usr/local/bin/evserve",
    "awk",
    "cargo",
    "head",
    "kill",
    "make",
    "mv",
    "server=$!",
    "sudo",
    "taskset",
    "until",
];

/// The listeners: the option, how the log names them, and the default port.
const LISTENERS: [(&str, &str, Option<&str>); 7] = [
    ("--http", "listening http http://", Some("7890")),
    ("--https", "listening https https://", None),
    ("--file", "listening file tcp://", Some("8888")),
    ("--file-tls", "listening file-tls tls://", None),
    ("--ack", "listening ack tcp://", None),
    ("--ack-udp", "listening ack-udp udp://", None),
    ("--admin", "listening admin http://", Some("7891")),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.chain([root().join("README.md")]).collect()
}

/// The contents of the blocks of `page` that are marked with `language`.
fn blocks<'a>(page: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let begin = format!("```{language}\n");
    let blocks: Vec<&str> = page.split(&begin[..]).skip(1).collect();
    blocks.into_iter().filter_map(|rest| rest.split("```").next())
}

#[test]
fn the_examples_in_the_documents_work() {
    let Some(_) = tool("curl").and(tool("nc")) else { return };
    let counts = std::sync::Mutex::new(Vec::new());
    at_once(pages(), |path| {
        let text = fs::read_to_string(&path).unwrap();
        let mut page = Page::new(path);
        for block in blocks(&text, "sh") {
            for line in block.replace("\\\n", " ").lines() {
                page.run(line);
            }
        }
        counts.lock().unwrap().push(page.count);
    });
    let counts = counts.into_inner().unwrap();
    // docs/performance.md shows commands only, docs/options.md has no examples, docs/file-protocol.md has sessions.
    assert_eq!(counts.iter().filter(|count| **count == 0).count(), 3, "{counts:?}");
    assert!(counts.iter().sum::<usize>() >= 60, "{counts:?}");
}

/// A page, the folder in which its commands run, and the server that its last `evserve` line started.
struct Page {
    path: PathBuf,
    folder: TempDir,
    /// A folder with links to our programs.
    programs: TempDir,
    server: Option<Server>,
    /// Ports as the page writes them, and those of the server: TCP, then UDP.
    ports: [Vec<(String, String)>; 2],
    count: usize,
}

impl Page {
    fn new(path: PathBuf) -> Page {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink(root().join("html"), at("html")).unwrap();
        fs::create_dir_all(at("public/sub")).unwrap();
        fs::create_dir(at("library")).unwrap();
        for name in ["index.html", "style.css"] {
            fs::copy(root().join("html").join(name), at("public").join(name)).unwrap();
        }
        fs::write(at("public/about.html"), "<p>about").unwrap();
        fs::write(at("public/app.3f2a9c1b.js"), "console.log(1)\n".repeat(100)).unwrap();
        fs::write(at("a.bin"), &large_file()[..3_000_000]).unwrap();
        fs::write(at("note.txt"), "milk, bread\n").unwrap();
        // The folder in which cargo puts them may have other programs, such as a fuzz target named head.
        let programs = tempfile::tempdir().unwrap();
        for program in [PROGRAM, env!("CARGO_BIN_EXE_evclient")] {
            symlink(program, programs.path().join(Path::new(program).file_name().unwrap())).unwrap();
        }
        Page { path, folder, programs, server: None, ports: Default::default(), count: 0 }
    }

    /// Runs one line of a block.
    fn run(&mut self, line: &str) {
        let (command, comment) = line.split_once("  #").unwrap_or((line, ""));
        match command.split_whitespace().next() {
            Some("evserve") => self.start(command),
            Some(word) if RUN.contains(&word) => self.check(command, comment),
            Some(word) => {
                let is_shown = SHOWN.contains(&word) || word.contains("=$(");
                assert!(is_shown, "{}: {word} is neither run nor shown", self.path.display());
                return;
            }
            None => return,
        }
        self.count += 1;
    }

    fn start(&mut self, command: &str) {
        self.server = None;
        // The shell splits the words, as it would for a user.
        let words = self.shell(&format!("set -- {command}; shift; printf '%s\\n' \"$@\"")).stdout;
        let words = String::from_utf8(words).unwrap();
        let mut words = words.lines().map(str::to_owned);
        let (mut arguments, mut html) = (Vec::new(), "html".to_owned());
        let mut ports: Vec<(&str, String)> = Vec::new();
        while let Some(word) = words.next() {
            let listener = LISTENERS.iter().find(|(option, ..)| *option == word);
            match (listener, word.as_str()) {
                (_, "--html") => html = words.next().unwrap(),
                (Some((option, log, _)), _) => {
                    let address = words.next().unwrap();
                    let port = address.rsplit(':').next().unwrap().to_owned();
                    let is_port = port.parse::<u16>().is_ok();
                    arguments.extend([(*option).to_owned(), if is_port { "0".into() } else { address }]);
                    ports.extend(is_port.then_some((*log, port)));
                }
                _ => arguments.push(word),
            }
        }
        for (option, log, default) in LISTENERS {
            if let Some(port) = default.filter(|_| !arguments.iter().any(|word| word == option)) {
                arguments.extend([option.to_owned(), "0".to_owned()]);
                ports.push((log, port.to_owned()));
            }
        }
        let mut program = Command::new(PROGRAM);
        program.current_dir(self.folder.path()).stdout(Stdio::null());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let html = self.folder.path().join(html);
        let server = Server::spawn(program, &html, tempfile::tempdir().unwrap(), &arguments);
        self.ports = Default::default();
        for (log, port) in ports {
            let line = server.wait_for_line(log);
            let real = line.trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
            self.ports[usize::from(log.contains("udp"))].push((port, real));
        }
        self.server = Some(server);
    }

    /// Runs a client. A comment that starts with a status code names the expected status.
    fn check(&self, command: &str, comment: &str) {
        let is_udp = command.contains(" -u ") || command.contains("--udp");
        let status = comment.trim().split([' ', ',']).next().filter(|word| word.parse::<u16>().is_ok());
        // curl exits with 0 for an error response, unless it is asked to fail.
        let mut real = match status {
            None => command.replace("curl ", "curl --fail "),
            Some(_) => command.to_owned(),
        };
        for (port, own) in &self.ports[usize::from(is_udp)] {
            for separator in [":", " "] {
                real = real
                    .replace(&format!("127.0.0.1{separator}{port}"), &format!("127.0.0.1{separator}{own}"));
            }
        }
        // Over UDP, netcat waits only one second for a reply, and a log may be written after the response.
        let output = match is_udp || command.starts_with("cat ") {
            true => {
                wait_for("some output", || Some(self.shell(&real)).filter(|output| !output.stdout.is_empty()))
            }
            false => self.shell(&real),
        };
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let context = || {
            format!(
                "{}: {command}\n{printed}{}",
                self.path.display(),
                String::from_utf8_lossy(&output.stderr)
            )
        };
        assert!(output.status.success(), "{}", context());
        match status {
            Some(status) => {
                let line = format!("HTTP/1.1 {status} ");
                assert!(printed.lines().any(|printed| printed.starts_with(&line)), "{}", context());
            }
            None => assert!(!printed.is_empty() || is_silent(command), "{}", context()),
        }
    }

    fn shell(&self, command: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("timeout");
        shell.args([&PATIENCE.as_secs().to_string(), "sh", "-c", command]);
        shell
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", self.programs.path().display()));
        shell.env("XDG_STATE_HOME", self.folder.path()).stdin(Stdio::null()).output().unwrap()
    }
}

/// Returns whether a command prints nothing when it succeeds.
fn is_silent(command: &str) -> bool {
    [" -o ", " -O ", " > "].iter().any(|option| command.contains(option))
        || ["cmp", "cp", "evclient", "openssl", "rm", "test"].iter().any(|word| command.starts_with(word))
        || command.contains("| evclient")
}

/// Runs the `session` blocks of a page: `C:` lines are sent, `S:` lines are expected, `…` stands for any text.
#[test]
fn the_sessions_in_the_documents_are_exact() {
    let mut count = 0;
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        let library = tempfile::tempdir().unwrap();
        let files = ["--files", library.path().to_str().unwrap(), "--file", "0", "--allow-delete"];
        let server = Server::start(&files);
        let address = server.wait_for_line("listening file").rsplit('/').next().unwrap().to_owned();
        for block in blocks(&text, "session") {
            let stream = TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in block.lines() {
                match line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")) {
                    ("C", command) => (&stream).write_all(format!("{command}\n").as_bytes()).unwrap(),
                    ("S", expected) => {
                        let reply = replies.next().unwrap().unwrap();
                        let reply = reply.trim_end_matches('\r');
                        assert!(matches(reply, expected), "{}: {reply:?}, not {expected:?}", path.display());
                    }
                    _ => panic!("{}: {line:?} is neither C: nor S:", path.display()),
                }
                count += 1;
            }
        }
    }
    assert!(count >= 20, "{count} lines");
}

fn matches(reply: &str, expected: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = reply.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut is_open = false;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = if part.is_empty() { "" } else { &rest[at + part.len()..] };
        is_open = part.is_empty();
    }
    rest.is_empty() || is_open
}
