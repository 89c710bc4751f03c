//! The interactive display: waits for keys, signals and the server, and draws after each of them.

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evserve::config::TopOptions;
use rustix::event::PollFlags;

use super::board::{Action, Board};
use super::error::TopError;
use super::feed::{Feed, Update};
use super::keys::KeyReader;
use super::query::TableQuery;
use super::server_address::ServerAddress;
use super::terminal::{Screen, Signals};
use super::{view, wait::wait};

/// How long the rest of an escape sequence may take.
const SEQUENCE_TIMEOUT: Duration = Duration::from_millis(50);

/// Shows the server in the terminal until a key or a signal ends the program.
pub(super) fn show(server: ServerAddress, options: &TopOptions) -> Result<ExitCode, TopError> {
    let name = server.name.clone();
    let mut board = Board::new(&name, TableQuery::new(options.sort.as_deref(), None));
    board.fit(1);
    let mut feed = Feed::new(server, board.query(), true, Instant::now());
    // Errors are printed before the screen is cleared.
    while board.is_empty() {
        for update in feed.advance(Instant::now())? {
            match update {
                Update::Lost(reason) => return Err(TopError::Unreachable { server: name, reason }),
                update => board.apply(update),
            }
        }
        if board.is_empty() {
            wait(feed.descriptors(), feed.deadline()).map_err(TopError::Terminal)?;
        }
    }
    let display = Display::begin(board, feed).map_err(TopError::Terminal);
    display.and_then(Display::run)
}

struct Display {
    board: Board,
    feed: Feed,
    keys: KeyReader,
    /// When an incomplete escape sequence is taken for a key.
    sequence_end: Option<Instant>,
    signals: Signals,
    screen: Screen,
}

impl Display {
    fn begin(board: Board, feed: Feed) -> io::Result<Display> {
        let signals = Signals::receive()?;
        let screen = Screen::enter()?;
        Ok(Display { board, feed, keys: KeyReader::default(), sequence_end: None, signals, screen })
    }

    fn run(mut self) -> Result<ExitCode, TopError> {
        loop {
            let is_typed = self.draw_and_wait().map_err(TopError::Terminal)?;
            if let Some(signal) = self.signals.take_ending() {
                return Ok(ExitCode::from(128 + signal));
            }
            if !self.press_keys(is_typed).map_err(TopError::Terminal)? {
                return Ok(ExitCode::SUCCESS);
            }
            for update in self.feed.advance(Instant::now())? {
                self.board.apply(update);
            }
        }
    }

    /// Draws, and waits for something to do. Returns whether a key was pressed.
    fn draw_and_wait(&mut self) -> io::Result<bool> {
        if self.signals.take_continued() {
            self.screen.enter_again()?;
        }
        let size = self.screen.terminal.size()?;
        self.board.fit(view::table_rows(size.height));
        self.screen.terminal.draw(|frame| view::draw(frame, &self.board))?;
        self.feed.select(&self.board.query(), Instant::now());
        let deadline = self.feed.deadline();
        let deadline = self.sequence_end.map_or(deadline, |end| end.min(deadline));
        let stdin = io::stdin();
        let own = [(stdin.as_fd(), PollFlags::IN), (self.signals.descriptor(), PollFlags::IN)];
        wait(own.into_iter().chain(self.feed.descriptors()), deadline)
    }

    /// Reads and obeys the keys. Returns `false` if one of them, or the end of input, ends the program.
    fn press_keys(&mut self, is_typed: bool) -> io::Result<bool> {
        if is_typed {
            let mut bytes = [0; 1024];
            match rustix::io::read(io::stdin(), &mut bytes) {
                Ok(0) => return Ok(false),
                Ok(count) => self.keys.add(&bytes[..count]),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
            self.sequence_end = Some(Instant::now() + SEQUENCE_TIMEOUT);
        }
        let is_over = self.sequence_end.is_some_and(|end| end <= Instant::now());
        while let Some(key) = if is_over { self.keys.next_at_pause() } else { self.keys.next() } {
            match self.board.press(key) {
                Action::Continue => {}
                Action::Quit => return Ok(false),
                Action::Redraw => self.screen.enter_again()?,
                Action::Suspend => self.screen.suspend()?,
            }
        }
        if !self.keys.is_waiting() {
            self.sequence_end = None;
        }
        Ok(true)
    }
}
