//! The menu of the client, from a pipe and in a terminal. To add a case, type a line and wait for its output.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

use super::evclient::{EVCLIENT, Fixture, assert_fails, run};
use crate::process::{PATIENCE, large_file, tool};

#[test]
fn the_menu_runs_commands_in_english_and_greets_in_chinese() {
    let fixture = Fixture::new();
    let script =
        b"put large\nlist\nget large\ndance\nget nothing\nput large --as 'a b'\nget a\\ b large --to .\n\
        put large large --as x\nget it's\nlist all\nquit\n";
    let output = run(fixture.own.path(), &[&fixture.address], script);
    let printed = String::from_utf8(output.stdout).unwrap();
    for wanted in [
        "a b uploaded",
        "a b downloaded",
        "********** get FILE... [--to PATH]",
        "large uploaded",
        "large downloaded",
        "that is all",
        "goodbye",
    ] {
        assert!(printed.contains(wanted), "{wanted:?} is not in {printed}");
    }
    let output = Output { stdout: Vec::new(), ..output };
    for why in ["nothing: not-found", "--as names one file", "a quote is not closed", "list takes no names"] {
        assert_fails(&output, 0, why);
    }
    let chinese = Command::new(EVCLIENT)
        .arg(&fixture.address)
        .env("LC_ALL", "zh_CN.UTF-8")
        .env("XDG_STATE_HOME", fixture.own.path().join("state"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(String::from_utf8(chinese.stdout).unwrap().ends_with("欢迎使用\n"));
}

#[test]
fn the_menu_in_a_terminal_completes_names_and_shows_progress() {
    let Some(script) = tool("script") else { return };
    let fixture = Fixture::new();
    fixture.run_ok(&["put", "large", "--as", "a-very-long-name"]);
    let mut child = Command::new(script)
        .args(["-qfec", &format!("{EVCLIENT} {}", fixture.address), "/dev/null"])
        .current_dir(fixture.own.path())
        .env("TERM", "xterm")
        .env("LANG", "C.UTF-8")
        .env("XDG_STATE_HOME", fixture.own.path().join("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let (sender, shown) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut seen = String::new();
    let mut see = |what: &str| {
        while !seen.contains(what) {
            let more = shown.recv_timeout(PATIENCE);
            seen += &String::from_utf8_lossy(&more.unwrap_or_else(|_| panic!("{what:?} is not in {seen:?}")));
        }
        seen.drain(..seen.find(what).unwrap() + what.len());
    };
    see("command >> ");
    // Tab completes the name.
    keyboard.write_all(b"get a-v\t\r").unwrap();
    see(" % ");
    see("a-very-long-name downloaded");
    assert!(fixture.own("a-very-long-name") == large_file());
    // The up arrow recalls the last line.
    fs::remove_file(fixture.own.path().join("a-very-long-name")).unwrap();
    see("command >> ");
    keyboard.write_all(b"\x1b[A\r").unwrap();
    see("a-very-long-name downloaded");
    see("command >> ");
    // After `list`, Tab also completes names that other clients have uploaded; they may have spaces.
    fs::write(fixture.library.path().join("new one"), "new").unwrap();
    keyboard.write_all(b"list\r").unwrap();
    see("that is all");
    see("command >> ");
    keyboard.write_all(b"get ne\t\r").unwrap();
    see("new one downloaded");
    see("command >> ");
    // Ctrl-C at the prompt starts a new line, Ctrl-D quits.
    keyboard.write_all(b"half a li\x03").unwrap();
    see("command >> ");
    keyboard.write_all(b"\x04").unwrap();
    see("goodbye");
    assert!(child.wait().unwrap().success());
    assert!(fixture.hidden().is_empty());
}
