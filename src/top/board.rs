//! The state of the display, and how keys and reports of the server change it, without drawing and without input.

use super::feed::Update;
use super::frame::{ConnectionRow, LoopFrame};
use super::history::RateHistory;
use super::keys::Key;
use super::query::TableQuery;
use super::summary::Summary;

use evserve::config::ORDERS;

/// The time between two changes of the numbers: people cannot read ten a second.
const SUMMARY_INTERVAL_MS: u64 = 500;

/// The most characters of a filter. Addresses are shorter.
const FILTER_CHARS_MAX: usize = 64;

/// Tables are requested with a multiple of this number of connections, so that scrolling rarely changes the query.
const LIMIT_STEP: usize = 100;

/// The most connections that are requested.
const LIMIT_MAX: usize = 5000;

/// The view below the header.
#[derive(Debug)]
pub(super) enum Mode {
    Table,
    /// The text of the filter is being typed; the earlier one is restored by Escape.
    Filter {
        earlier: String,
    },
    /// One connection, as it was last seen.
    Details {
        row: Box<ConnectionRow>,
        is_closed: bool,
    },
    Help,
}

/// How the program continues after a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Continue,
    Quit,
    /// Draws the whole screen again.
    Redraw,
    Suspend,
}

/// The state of the display.
#[derive(Debug)]
pub(super) struct Board {
    server: String,
    pub(super) mode: Mode,
    pub(super) history: RateHistory,
    pub(super) summary: Summary,
    /// The server's uptime at the last change of the summary.
    summary_ms: Option<u64>,
    pub(super) query: TableQuery,
    /// The query that the rows answer.
    shown: Option<TableQuery>,
    pub(super) rows: Vec<ConnectionRow>,
    /// The number of connections that the query selects, without its limit.
    pub(super) matched: u64,
    /// The id of the selected connection.
    pub(super) selected: Option<u64>,
    /// The index of the first row that is visible.
    pub(super) first_row: usize,
    /// The number of rows that are visible.
    page: usize,
    pub(super) is_paused: bool,
    /// Why there is no connection to the server.
    pub(super) lost: Option<String>,
}

impl Board {
    pub(super) fn new(server: &str, query: TableQuery) -> Board {
        Board {
            server: server.to_owned(),
            mode: Mode::Table,
            history: RateHistory::default(),
            summary: Summary::default(),
            summary_ms: None,
            query,
            shown: None,
            rows: Vec::new(),
            matched: 0,
            selected: None,
            first_row: 0,
            page: 1,
            is_paused: false,
            lost: None,
        }
    }

    /// Returns whether the server has reported nothing yet.
    pub(super) fn is_empty(&self) -> bool {
        self.shown.is_none()
    }

    /// Sets the number of visible rows, scrolls so that the selected one is visible, and requests enough rows.
    pub(super) fn fit(&mut self, page: usize) {
        self.page = page.max(1);
        let at = self.selected_index();
        if let Some(at) = at {
            self.first_row = self.first_row.clamp((at + 1).saturating_sub(self.page), at);
        }
        self.first_row = self.first_row.min(self.rows.len().saturating_sub(self.page));
        // One more page is there when a key scrolls.
        let wanted = self.first_row + 2 * self.page;
        self.query.limit = Some(wanted.next_multiple_of(LIMIT_STEP).min(LIMIT_MAX));
    }

    /// Returns the query for the next table.
    pub(super) fn query(&self) -> TableQuery {
        match &self.mode {
            Mode::Details { row, .. } => {
                TableQuery { id: Some(row.id), peer: String::new(), ..self.query.clone() }
            }
            _ => self.query.clone(),
        }
    }

    pub(super) fn selected_row(&self) -> Option<&ConnectionRow> {
        self.rows.get(self.selected_index()?)
    }

    fn selected_index(&self) -> Option<usize> {
        self.rows.iter().position(|row| Some(row.id) == self.selected)
    }

    /// Shows news of the server, unless the display is paused.
    pub(super) fn apply(&mut self, update: Update) {
        match update {
            Update::Lost(reason) => {
                self.lost = Some(reason.to_string());
                // Rates over the gap would be wrong, and turns of another process are numbered from 1 again.
                self.history = RateHistory::default();
                self.summary_ms = None;
            }
            Update::Frame(frame) => {
                self.lost = None;
                if !self.is_paused {
                    self.add_frame(&frame);
                }
            }
            Update::Table(query, frame, table) => {
                self.lost = None;
                // Before the first event.
                if self.summary_ms.is_none() {
                    self.add_frame(&frame);
                }
                if query.id.is_some() {
                    self.update_details(query.id, table.connections.into_iter().next());
                } else if self.is_wanted(&query) {
                    let at = self.selected_index();
                    (self.rows, self.matched) = (table.connections, table.matched);
                    self.keep_selection(at);
                    self.shown = Some(query);
                }
            }
        }
    }

    /// Returns whether the answer to a query is to be shown. While the display is paused, only another query changes
    /// the rows.
    fn is_wanted(&self, query: &TableQuery) -> bool {
        let is_current = TableQuery { limit: self.query.limit, ..query.clone() } == self.query;
        is_current && !(self.is_paused && self.shown.as_ref() == Some(query))
    }

    fn add_frame(&mut self, frame: &LoopFrame) {
        self.history.add(frame);
        let is_due = self.summary_ms.is_none_or(|last| frame.uptime_ms.abs_diff(last) >= SUMMARY_INTERVAL_MS);
        if is_due || frame.draining != self.summary.is_draining {
            self.summary_ms = Some(frame.uptime_ms);
            self.summary = Summary::new(&self.server, frame, self.history.rates().as_ref());
        }
    }

    fn update_details(&mut self, id: Option<u64>, found: Option<ConnectionRow>) {
        let Mode::Details { row, is_closed } = &mut self.mode else { return };
        if self.is_paused || id != Some(row.id) {
            return;
        }
        match found {
            Some(found) => **row = found,
            None => *is_closed = true,
        }
    }

    /// If the selected connection is gone, selects the one that is now in its place, `at`.
    fn keep_selection(&mut self, at: Option<usize>) {
        if self.selected.is_some() && self.selected_index().is_none() {
            let at = at.unwrap_or_default().min(self.rows.len().saturating_sub(1));
            self.selected = self.rows.get(at).map(|row| row.id);
        }
    }

    /// Obeys a key.
    pub(super) fn press(&mut self, key: Key) -> Action {
        match (key, &self.mode) {
            (Key::Control('c'), _) => return Action::Quit,
            (Key::Control('l'), _) => return Action::Redraw,
            (Key::Control('z'), _) => return Action::Suspend,
            (_, Mode::Filter { .. }) => self.press_in_filter(key),
            (_, Mode::Help) => self.mode = Mode::Table,
            (Key::Escape | Key::Enter | Key::Letter('q'), Mode::Details { .. }) => self.mode = Mode::Table,
            (Key::Escape | Key::Letter('q'), Mode::Table) => return Action::Quit,
            (Key::Letter('p' | ' '), _) => self.is_paused = !self.is_paused,
            (Key::Letter('h' | '?'), _) => self.mode = Mode::Help,
            (_, Mode::Details { .. }) => {}
            (_, Mode::Table) => self.press_in_table(key),
        }
        Action::Continue
    }

    fn press_in_table(&mut self, key: Key) {
        match key {
            Key::Up => self.select(|at, _| at.map_or(0, |at| at.saturating_sub(1))),
            Key::Down => self.select(|at, _| at.map_or(0, |at| at + 1)),
            Key::PageUp => self.select(|at, page| at.unwrap_or_default().saturating_sub(page)),
            Key::PageDown => self.select(|at, page| at.map_or(page - 1, |at| at + page)),
            Key::Home => self.select(|_, _| 0),
            Key::End => self.select(|_, _| usize::MAX),
            Key::Enter => {
                if let Some(row) = self.selected_row().or(self.rows.get(self.first_row)).cloned() {
                    self.selected = Some(row.id);
                    self.mode = Mode::Details { row: Box::new(row), is_closed: false };
                }
            }
            Key::Letter('s') => self.sort(1),
            Key::Letter('S') => self.sort(ORDERS.len() - 1),
            Key::Letter('r') => {
                self.query.is_ascending = !self.query.is_ascending;
                self.first_row = 0;
            }
            Key::Letter('/') => self.mode = Mode::Filter { earlier: self.query.peer.clone() },
            _ => {}
        }
    }

    /// Selects the row that `next` returns for the index of the selected row and the rows of a page.
    fn select(&mut self, next: impl FnOnce(Option<usize>, usize) -> usize) {
        let at = next(self.selected_index(), self.page).min(self.rows.len().saturating_sub(1));
        self.selected = self.rows.get(at).map(|row| row.id);
    }

    fn sort(&mut self, steps: usize) {
        self.query.cycle(steps);
        // The first rows are the interesting ones, not the place of the connection that was selected.
        (self.selected, self.first_row) = (None, 0);
    }

    fn press_in_filter(&mut self, key: Key) {
        let Mode::Filter { earlier } = &self.mode else { return };
        let peer = &mut self.query.peer;
        match key {
            Key::Escape => {
                peer.clone_from(earlier);
                self.mode = Mode::Table;
            }
            Key::Enter => self.mode = Mode::Table,
            Key::Backspace => drop(peer.pop()),
            Key::Control('u') => peer.clear(),
            Key::Letter(letter) if peer.chars().count() < FILTER_CHARS_MAX => peer.push(letter),
            _ => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::error::LostReason;
    use super::super::frame::{ConnectionTable, parse_connections, parse_frame, tests::TABLE};
    use super::*;

    /// Returns a display of the table in the tests of frames, with `count` connections.
    pub(in super::super) fn board(count: u64) -> Board {
        let mut board = Board::new("127.0.0.1:7891", TableQuery::new(None, Some(100)));
        board.fit(10);
        board.apply(table(&board, 1..=count));
        board
    }

    fn table(board: &Board, ids: impl Iterator<Item = u64>) -> Update {
        let row = parse_connections(TABLE.as_bytes()).expect("a table").connections.remove(0);
        let connections: Vec<ConnectionRow> = ids.map(|id| ConnectionRow { id, ..row.clone() }).collect();
        let table = ConnectionTable { matched: connections.len() as u64, connections };
        Update::Table(board.query(), parse_frame(TABLE.as_bytes()).expect("a frame"), table)
    }

    fn press(board: &mut Board, keys: &[Key]) {
        for key in keys {
            assert_eq!(board.press(*key), Action::Continue, "{key:?}");
            board.fit(10);
        }
    }

    #[test]
    fn keys_select_rows_and_scroll() {
        let mut board = board(35);
        for (key, selected, first_row) in [
            (Key::Down, 1, 0),
            (Key::Down, 2, 0),
            (Key::PageDown, 12, 2),
            (Key::Up, 11, 2),
            (Key::PageUp, 1, 0),
            (Key::Up, 1, 0),
            (Key::End, 35, 25),
            (Key::Down, 35, 25),
            (Key::Home, 1, 0),
        ] {
            press(&mut board, &[key]);
            assert_eq!((board.selected, board.first_row), (Some(selected), first_row), "{key:?}");
        }
    }

    #[test]
    fn the_selection_follows_its_connection() {
        let mut board = board(5);
        press(&mut board, &[Key::Down, Key::Down]);
        board.apply(table(&board, (1..=5).rev()));
        assert_eq!(board.selected, Some(2));
        board.apply(table(&board, [5, 4, 3, 1].into_iter()));
        assert_eq!(board.selected, Some(1));
        board.apply(table(&board, std::iter::empty()));
        board.fit(10);
        assert_eq!((board.selected, board.first_row), (None, 0));
        press(&mut board, &[Key::Down, Key::PageDown, Key::End, Key::Enter]);
        assert!(matches!(board.mode, Mode::Table));
    }

    #[test]
    fn keys_change_the_query() {
        let mut board = board(1);
        press(&mut board, &[Key::Letter('s'), Key::Letter('r')]);
        assert_eq!((board.query().sort, board.query().is_ascending), ("in", true));
        press(&mut board, &[Key::Letter('S'), Key::Letter('/'), Key::Letter('q'), Key::Letter(':')]);
        assert_eq!((board.query().sort, &*board.query().peer), ("out", "q:"));
        press(
            &mut board,
            &[Key::Backspace, Key::Enter, Key::Letter('/'), Key::Control('u'), Key::Letter('x')],
        );
        assert_eq!(board.query().peer, "x");
        press(&mut board, &[Key::Escape]);
        assert_eq!(board.query().peer, "q");
        press(&mut board, &[Key::Letter('/')]);
        press(&mut board, &[Key::Letter('1'); 100]);
        assert_eq!(board.query().peer.len(), FILTER_CHARS_MAX);
    }

    #[test]
    fn quitting_keys_leave_a_view_first() {
        for quit in [Key::Letter('q'), Key::Escape] {
            for open in [Key::Enter, Key::Letter('h')] {
                let mut board = board(1);
                press(&mut board, &[open, quit]);
                assert_eq!(board.press(quit), Action::Quit);
                press(&mut board, &[open]);
                assert_eq!(board.press(Key::Control('c')), Action::Quit);
            }
        }
        let mut board = board(1);
        press(&mut board, &[Key::Letter('/'), Key::Letter('q'), Key::Escape]);
        assert_eq!(board.press(Key::Control('z')), Action::Suspend);
    }

    #[test]
    fn an_answer_to_an_earlier_query_is_not_shown() {
        let mut board = board(2);
        let late = table(&board, 1..=9);
        press(&mut board, &[Key::Letter('s')]);
        board.apply(late);
        assert_eq!(board.rows.len(), 2);
        board.apply(table(&board, 1..=3));
        assert_eq!(board.rows.len(), 3);
    }

    #[test]
    fn a_paused_display_changes_only_with_the_query() {
        let mut board = board(2);
        press(&mut board, &[Key::Letter('p')]);
        let before = board.summary.clone();
        let frame = LoopFrame { turn: 7, uptime_ms: 999_999, ..LoopFrame::default() };
        board.apply(Update::Frame(frame.clone()));
        board.apply(table(&board, 1..=9));
        assert_eq!((&board.summary, board.rows.len()), (&before, 2));
        press(&mut board, &[Key::Letter('s')]);
        board.apply(table(&board, 1..=9));
        assert_eq!(board.rows.len(), 9);
        press(&mut board, &[Key::Letter('p')]);
        board.apply(Update::Frame(frame));
        assert!(board.summary.title.ends_with("turn 7"));
    }

    #[test]
    fn details_follow_one_connection_until_it_is_closed() {
        let mut board = board(3);
        press(&mut board, &[Key::Down, Key::Down, Key::Enter]);
        assert_eq!((board.query().id, board.rows.len()), (Some(2), 3));
        board.apply(table(&board, 2..=2));
        assert!(matches!(&board.mode, Mode::Details { row, is_closed: false } if row.id == 2));
        board.apply(table(&board, std::iter::empty()));
        assert!(matches!(&board.mode, Mode::Details { row, is_closed: true } if row.id == 2));
        assert_eq!(board.rows.len(), 3);
    }

    #[test]
    fn a_lost_connection_is_shown_until_the_next_news() {
        let mut board = board(3);
        board.apply(Update::Lost(LostReason::Ended));
        assert!(board.lost.is_some() && board.rows.len() == 3);
        board.apply(table(&board, 1..=1));
        assert!(board.lost.is_none() && board.rows.len() == 1);
    }

    #[test]
    fn the_limit_grows_in_steps_and_is_bounded() {
        let mut board = board(0);
        assert_eq!(board.query().limit, Some(100));
        board.apply(table(&board, 1..=60_000));
        press(&mut board, &[Key::PageDown; 9]);
        assert_eq!(board.query().limit, Some(100));
        press(&mut board, &[Key::PageDown]);
        assert_eq!(board.query().limit, Some(200));
        press(&mut board, &[Key::End]);
        assert_eq!(board.query().limit, Some(LIMIT_MAX));
    }
}
