//! The clients that people have: curl, netcat, telnet, wrk, ab. To add one, find it with `tool`, and run it
//! with `output`; an example in the README is run by itself.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use std::path::Path;

use crate::process::{PROGRAM, Server, at_once, large_file, output, small_site, tool, wait_for};

#[test]
fn curl() {
    let Some(curl) = tool("curl") else { return };
    let server = Server::start(&[]);
    let url = |path: &str| format!("http://{}{path}", server.address);
    assert_eq!(output(&curl, &["-sS", "--fail", &url("/")]), "<p>front");
    let copy = server.site.path().join("copy");
    output(&curl, &["-sS", "--fail", "-o", copy.to_str().unwrap(), &url("/large.bin")]);
    assert!(fs::read(copy).unwrap() == large_file());
    // Two requests, one connection.
    let connects = ["-sS", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} "];
    assert_eq!(output(&curl, &[&connects[..], &[&url("/1k.txt"), &url("/")]].concat()), "1 0 ");
    assert!(output(&curl, &["-sSI", &url("/")]).contains("Content-Length: 8\r\n"));
    assert!(output(&curl, &["-sSi", "-X", "OPTIONS", &url("/")]).contains("Allow: GET, HEAD, OPTIONS"));
    // An upload is refused without being sent, or with; both end well.
    let large = server.site.path().join("large.bin");
    for expect in ["Expect: 100-continue", "Expect:"] {
        let code = output(
            &curl,
            &[
                "-sS",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-H",
                expect,
                "-T",
                large.to_str().unwrap(),
                &url("/x"),
            ],
        );
        assert_eq!(code, "405");
    }
    assert_eq!(
        output(&curl, &["-sSL", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects}", &url("/sub")]),
        "404 1"
    );
}

#[test]
fn netcat() {
    let Some(nc) = tool("nc") else { return };
    let server = Server::start(&[]);
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\n\n"] {
        let mut child = Command::new(&nc)
            .args(["127.0.0.1", &server.address.port().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
        let printed = child.wait_with_output().unwrap().stdout;
        assert!(printed.starts_with(b"HTTP/1.1 200 OK\r\n") && printed.ends_with(b"<p>front"));
    }
}

/// The README's conversation, as a person types it.
#[test]
fn telnet() {
    let Some(telnet) = tool("telnet") else { return };
    let library = tempfile::tempdir().unwrap();
    let server = Server::start(&["--files", library.path().to_str().unwrap(), "--file", "0"]);
    let port = server.wait_for_line("listening file").rsplit(':').next().unwrap().to_owned();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, talk) = readme.split_once("$ telnet 127.0.0.1 8888\n").unwrap();
    let (talk, _) = talk.split_once("```").unwrap();
    let mut child = Command::new(&telnet)
        .args(["127.0.0.1", &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut screen = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(screen.any(|line| line.starts_with("Escape character")));
    for line in talk.lines() {
        match line.starts_with("OK ") {
            true => assert_eq!(screen.next().unwrap().trim_end(), line),
            false => writeln!(keyboard, "{line}").unwrap(),
        }
    }
    child.wait().unwrap();
    assert_eq!(fs::read(library.path().join("note.txt")).unwrap(), b"milk, bread\n");
}

#[test]
fn wrk() {
    let Some(wrk) = tool("wrk") else { return };
    let server = Server::start(&[]);
    at_once(["1k.txt", "large.bin", "nowhere"], |path| {
        let url = format!("http://{}/{path}", server.address);
        let printed = output(&wrk, &["-t1", "-c64", "-d1s", "--timeout", "20s", &url]);
        assert!(printed.contains("requests in"), "{printed}");
        assert!(!printed.contains("Socket errors"), "{printed}");
        assert_eq!(printed.contains("Non-2xx"), path == "nowhere", "{printed}");
    });
}

#[test]
fn ab() {
    let Some(ab) = tool("ab") else { return };
    let server = Server::start(&[]);
    let url = format!("http://{}/1k.txt", server.address);
    for (keep_alive, expected) in
        [("-k", "Keep-Alive requests:    5000"), ("-d", "Complete requests:      5000")]
    {
        let printed = output(&ab, &["-q", keep_alive, "-n", "5000", "-c", "50", &url]);
        assert!(printed.contains("Failed requests:        0") && printed.contains(expected), "{printed}");
    }
}

#[test]
fn curl_takes_a_download_up_again_and_unpacks_what_comes_packed() {
    let Some(curl) = tool("curl") else { return };
    let server = Server::start(&[]);
    let url = |path: &str| format!("http://{}{path}", server.address);
    let copy = server.site.path().join("copy");
    fs::write(&copy, &large_file()[..1_234_567]).unwrap();
    output(&curl, &["-sS", "--fail", "-C", "-", "-o", copy.to_str().unwrap(), &url("/large.bin")]);
    assert!(fs::read(&copy).unwrap() == large_file());
    fs::write(server.site.path().join("page.html"), "<p>words ".repeat(40_000)).unwrap();
    let printed = output(&curl, &["-sS", "--compressed", "-w", "%{size_download}", &url("/page.html")]);
    let (page, size) = printed.split_at("<p>words ".len() * 40_000);
    assert!(page == "<p>words ".repeat(40_000) && size.parse::<usize>().unwrap() < 5000, "{size} bytes");
    // What curl has is not sent again.
    let newer = ["-sS", "-z", copy.to_str().unwrap(), "-w", "%{http_code}", &url("/page.html")];
    output(&curl, &["-sS", "-R", "-o", copy.to_str().unwrap(), &url("/page.html")]);
    assert_eq!(output(&curl, &newer), "304");
}

#[test]
fn files_beyond_four_gigabytes() {
    let Some(curl) = tool("curl") else { return };
    let server = Server::start(&[]);
    let file = fs::File::create(server.site.path().join("huge")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"the end", (5 << 30) - 7).unwrap();
    let url = format!("http://{}/huge", server.address);
    assert!(output(&curl, &["-sSI", &url]).contains("Content-Length: 5368709120\r\n"));
    assert_eq!(output(&curl, &["-sS", "-r", "5368709113-", &url]), "the end");
    let two = output(&curl, &["-sS", "-r", "5368709113-5368709115,5368709117-", &url]);
    assert!(two.contains("\r\n\r\nthe\r\n--") && two.contains("\r\n\r\nend\r\n--"), "{two}");
}

#[test]
fn the_examples_of_the_readme() {
    let Some(_) = tool("curl").and(tool("nc")) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let demo = Server::start_on(&root.join("html"), &[]);
    let listing = Server::start_on(root, &["--list"]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.bin"), large_file()).unwrap();
    let library = tempfile::tempdir().unwrap();
    let files =
        Server::start_on(&root.join("html"), &["--files", library.path().to_str().unwrap(), "--file", "0"]);
    let acknowledging =
        Server::start_on(&root.join("html"), &["--file", "off", "--ack", "0", "--ack-udp", "0"]);
    let port =
        |server: &Server, banner: &str| server.wait_for_line(banner).rsplit(':').next().unwrap().to_owned();
    let (tcp, udp) = (port(&acknowledging, "listening ack tcp"), port(&acknowledging, "listening ack-udp"));
    let port = port(&files, "listening file");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let mut count = 0;
    for line in blocks.flat_map(str::lines) {
        let (command, comment) = line.split_once("  # ").unwrap_or((line, ""));
        match command.split(' ').next().unwrap() {
            "curl" | "printf" | "echo" | "(printf" => {
                let web = if command.contains("/files/") { &files } else { &demo };
                let command = command
                    .replace(
                        "127.0.0.1 9999",
                        &format!("127.0.0.1 {}", if command.contains("-u") { &udp } else { &tcp }),
                    )
                    .replace("127.0.0.1 8888", &format!("127.0.0.1 {port}"))
                    .replace("127.0.0.1:7890", &web.address.to_string())
                    .replace("127.0.0.1 7890", &format!("127.0.0.1 {}", demo.address.port()))
                    .replace("127.0.0.1:7892", &listing.address.to_string());
                let mut shell = Command::new("sh");
                shell.args(["-c", &command]).current_dir(folder.path());
                // Over UDP netcat waits for an answer for a second.
                let made = match command.contains(" -u ") {
                    true => wait_for("an answer in time", || {
                        Some(shell.output().unwrap()).filter(|made| !made.stdout.is_empty())
                    }),
                    false => shell.output().unwrap(),
                };
                let printed = String::from_utf8_lossy(&made.stdout).into_owned();
                assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
                // Where a comment begins with a status, that is what comes.
                let status =
                    comment.trim().split([' ', ',']).next().filter(|word| word.parse::<u16>().is_ok());
                assert!(
                    status.is_none_or(|status| printed.contains(&format!("HTTP/1.1 {status} "))),
                    "{line}: {printed}"
                );
                let saves = [" -O ", " -o ", " > "].iter().any(|option| command.contains(option));
                assert!(!printed.is_empty() || saves, "{line}");
                count += 1;
            }
            "evclient" => {
                let program =
                    format!("{} </dev/null", command.replacen("evclient", env!("CARGO_BIN_EXE_evclient"), 1));
                let program = program.replace("127.0.0.1:8888", &format!("127.0.0.1:{port}"));
                let mut shell = Command::new("sh");
                shell.args(["-c", &program]).current_dir(folder.path()).env("XDG_STATE_HOME", folder.path());
                let made = shell.output().unwrap();
                assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
                count += 1;
            }
            "evserve" => {
                // On a site and a port of its own.
                let words: Vec<&str> = command.split_whitespace().skip(1).collect();
                let own = |at: usize| {
                    ["--html", "--http", "--files", "--file", "--ack", "--ack-udp"].contains(&words[at])
                };
                let kept = (0..words.len()).filter(|at| !own(*at) && (*at == 0 || !own(at - 1)));
                let options: Vec<&str> = kept.map(|at| words[at]).collect();
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("exec {PROGRAM} {} \"$@\"", options.join(" ")), "sh"]);
                shell.stdout(Stdio::null());
                Server::start_with(shell, small_site(), &[]);
                count += 1;
            }
            _ => {}
        }
    }
    assert!(count >= 20, "{count} examples");
    assert!(fs::read(folder.path().join("copy")).unwrap() == large_file());
}
