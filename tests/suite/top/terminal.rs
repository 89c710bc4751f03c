//! `evserve top` in a terminal, which script(1) provides.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::mock::{Mock, Reply, frame, response};
use crate::process::{PROGRAM, tool, wait_for};

/// The program in a terminal of 24 lines and 80 columns. Its end is printed as `ended CODE`.
struct Screen {
    script: Child,
    keyboard: ChildStdin,
    shown: Receiver<Vec<u8>>,
    /// All output.
    raw: Vec<u8>,
    /// The length of the text that was waited for.
    seen: usize,
    folder: TempDir,
}

impl Screen {
    /// Starts the program and waits for the first rates. Returns `None` if there is no script(1).
    #[track_caller]
    fn start(mock: &Mock) -> Option<Screen> {
        let mut screen = Screen::run(&tool("script")?, &mock.address.to_string());
        screen.see("requests/s");
        Some(screen)
    }

    fn run(script: &Path, address: &str) -> Screen {
        let folder = tempfile::tempdir().unwrap();
        let id = folder.path().join("pid");
        // `before` and `after` are the modes of the terminal.
        let line = format!(
            "stty rows 24 cols 80; before=$(stty -g); sh -c 'echo $$ > {}; exec {PROGRAM} top {address}'; \
             echo ended $?; test \"$before\" = \"$(stty -g)\" && echo modes restored",
            id.display()
        );
        let mut script = Command::new(script)
            .args(["-qfec", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env("LANG", "C.UTF-8")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let keyboard = script.stdin.take().unwrap();
        let mut output = script.stdout.take().unwrap();
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Screen { script, keyboard, shown, raw: Vec::new(), seen: 0, folder }
    }

    /// Waits until a text without spaces is shown: only cells that change are sent, and spaces often do not.
    #[track_caller]
    fn see(&mut self, what: &str) {
        wait_for(what, || {
            self.raw.extend(self.shown.try_iter().flatten());
            let text = text(&self.raw);
            let at = text.get(self.seen..)?.find(what)?;
            self.seen += at + what.len();
            Some(())
        });
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Drops the earlier output, and lets the program draw everything again.
    fn redraw(&mut self) {
        self.shown.try_iter().for_each(drop);
        self.raw.clear();
        self.seen = 0;
        self.press("\x0c");
    }

    /// Waits for the end of the program, which restores the terminal.
    #[track_caller]
    fn expect_end(mut self, code: u8) {
        self.see(&format!("ended {code}"));
        self.see("modes restored");
        let raw = String::from_utf8_lossy(&self.raw).into_owned();
        let (enter, leave) = (raw.rfind("\x1b[?1049h"), raw.rfind("\x1b[?1049l"));
        assert!(leave.is_some() && enter < leave, "{raw:?}");
        assert!(raw.rfind("\x1b[?25h") > raw.rfind("\x1b[?25l"), "{raw:?}");
        assert!(self.script.wait().unwrap().success());
    }

    fn signal(&self, signal: Signal) {
        let id = std::fs::read_to_string(self.folder.path().join("pid")).unwrap();
        kill_process(Pid::from_raw(id.trim().parse().unwrap()).unwrap(), signal).unwrap();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// Returns output without its escape sequences.
fn text(raw: &[u8]) -> String {
    let raw = String::from_utf8_lossy(raw);
    let mut pieces = raw.split("\x1b[");
    let mut text = pieces.next().unwrap().to_owned();
    for piece in pieces {
        text.push_str(
            piece.trim_start_matches(|letter: char| !letter.is_ascii_alphabetic()).get(1..).unwrap_or(""),
        );
    }
    text
}

#[test]
fn top_shows_the_server_in_a_terminal_and_restores_it() {
    let mock = Mock::evserve();
    let Some(mut screen) = Screen::start(&mock) else { return };
    screen.redraw();
    screen.see("127.0.0.1:50001?]0;title?");
    // Sort, filter, select, details.
    screen.press("s");
    wait_for("another order", || {
        mock.targets().iter().any(|target| target.contains("sort=in")).then_some(())
    });
    screen.press("/50\r");
    wait_for("a filter", || mock.targets().iter().any(|target| target.ends_with("&peer=50")).then_some(()));
    screen.press("\x1b[B\r");
    screen.see("slot");
    wait_for("one connection", || {
        mock.targets().iter().any(|target| target.contains("&id=17&")).then_some(())
    });
    // Escape leaves the details, and then the program.
    screen.press("\x1b");
    screen.see("REQUESTS");
    screen.press("q");
    screen.expect_end(0);
}

#[test]
fn top_connects_again_to_a_server_that_was_away() {
    let mock = Mock::evserve();
    let Some(mut screen) = Screen::start(&mock) else { return };
    mock.close();
    screen.see("disconnected;");
    let before = mock.targets().len();
    mock.open();
    wait_for("requests", || (mock.targets().len() > before).then_some(()));
    wait_for("a connected display", || {
        screen.redraw();
        screen.see("PROTOCOL");
        screen.see("help");
        (!text(&screen.raw).contains("disconnected")).then_some(())
    });
    screen.press("\x03");
    screen.expect_end(0);
}

#[test]
fn top_restores_the_terminal_after_a_signal() {
    let mock = Mock::evserve();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let Some(screen) = Screen::start(&mock) else { return };
        screen.signal(signal);
        screen.expect_end(code);
    }
}

#[test]
fn top_ends_with_one_line_if_another_program_replaces_the_server() {
    let is_replaced = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&is_replaced);
    let mock = Mock::start(move |target, uptime| match target {
        _ if is_replaced.load(Ordering::SeqCst) => {
            Reply::End(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec())
        }
        "/events" => Reply::Frames,
        _ => Reply::Keep(response("application/json", &frame(uptime))),
    });
    let Some(mut screen) = Screen::start(&mock) else { return };
    switch.store(true, Ordering::SeqCst);
    screen.see("is not the admin interface of evserve");
    screen.expect_end(1);
}
