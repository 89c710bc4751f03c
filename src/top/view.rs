//! Draws the display: a header, a chart of the last turns, the table of connections, and a footer with the keys.

use evserve::config::KEYS;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Sparkline, Table, Wrap};

use super::board::{Board, Mode};
use super::columns::{COLUMNS, Column, details};
use super::frame::ConnectionRow;
use super::units::microseconds;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// The width of the labels in the header and the details.
const LABEL_WIDTH: u16 = 12;

/// The lines of the header below the title, without the chart.
const SUMMARY_LINES: u16 = 7;

/// The height of the chart. Each of the 8 steps of a line is a doubling, so that two lines show 1 µs to 65 ms.
const CHART_LINES: u16 = 2;

const CHART_STEPS: u64 = 16;

/// The width from which the last column, the reason to wait, is shown.
const WHY_WIDTH_MIN: usize = 16;

/// The heights of the parts of the screen.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    summary: u16,
    chart: u16,
    /// With the titles of the columns.
    table: u16,
    footer: u16,
}

impl Plan {
    /// Divides a height. The table has at least five lines, if there are as many.
    fn new(height: u16) -> Plan {
        let footer = if height < 8 { 1 } else { 2 };
        let rest = height.saturating_sub(1 + footer);
        let spare = rest.saturating_sub(5);
        let summary = spare.min(SUMMARY_LINES);
        let chart = if spare - summary >= CHART_LINES { CHART_LINES } else { 0 };
        Plan { summary, chart, table: rest - summary - chart, footer: footer.min(height.saturating_sub(1)) }
    }
}

/// Returns the number of connections that a terminal of this height shows.
pub(super) fn table_rows(height: u16) -> usize {
    usize::from(Plan::new(height).table.saturating_sub(1))
}

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board) {
    let area = frame.area();
    let plan = Plan::new(area.height);
    let mut top = area.y;
    let mut below = |height: u16| {
        let part = Rect::new(area.x, top, area.width, height).intersection(area);
        top = top.saturating_add(height);
        part
    };
    draw_title(frame, below(1), board);
    draw_summary(frame, below(plan.summary), board);
    draw_chart(frame, below(plan.chart), board);
    let table = below(plan.table);
    match &board.mode {
        Mode::Table | Mode::Filter { .. } => draw_table(frame, table, board),
        Mode::Details { row, is_closed } => draw_details(frame, table, row, *is_closed),
        Mode::Help => draw_help(frame, table),
    }
    draw_footer(frame, below(plan.footer), board);
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    frame.render_widget(Paragraph::new(board.summary.title.as_str()).style(BOLD), area);
    let flags = [
        (board.lost.is_some(), " disconnected; trying again "),
        (board.summary.is_draining, " draining "),
        (board.is_paused, " paused "),
    ];
    let flags: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect();
    let width = area.width.min(u16::try_from(flags.len()).unwrap_or(u16::MAX));
    let right = Rect { x: area.right() - width, width, ..area };
    frame.render_widget(Clear, right);
    frame.render_widget(Paragraph::new(flags).style(REVERSED), right);
}

fn draw_summary(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let lines = board.summary.lines.iter().map(|(label, text)| labelled(label, text));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn labelled(label: &str, text: &str) -> Line<'static> {
    let width = usize::from(LABEL_WIDTH);
    Line::from(vec![Span::styled(format!("{label:width$}"), DIM), Span::raw(text.to_owned())])
}

/// Draws a bar for each of the last turns, as high as the logarithm of its time.
fn draw_chart(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let width = area.width.saturating_sub(LABEL_WIDTH);
    if area.height < CHART_LINES || width == 0 {
        return;
    }
    let turns = board.history.turns();
    let shown = turns.iter().skip(turns.len().saturating_sub(usize::from(width)));
    let longest = shown.clone().max().map_or_else(String::new, |us| format!("max {}", microseconds(*us)));
    let labels = Paragraph::new(vec![Line::from("turns"), Line::from(longest)]).style(DIM);
    frame.render_widget(labels, Rect { width: LABEL_WIDTH, ..area });
    // 0 and 1 µs have the lowest bar.
    let bars = shown.map(|us| u64::from(us.max(&1).ilog2()) + 1);
    let chart = Sparkline::default().data(bars.collect::<Vec<u64>>()).max(CHART_STEPS);
    frame.render_widget(chart, Rect { x: area.x + LABEL_WIDTH, width, ..area });
}

/// A column with its texts and its width on the screen.
struct ShownColumn {
    column: &'static Column,
    title: String,
    texts: Vec<String>,
    width: usize,
}

/// Returns the columns that fit in `width`.
fn fitting_columns(board: &Board, rows: &[ConnectionRow], width: usize) -> Vec<ShownColumn> {
    let show = |column: &'static Column| {
        let mark = match column.order == Some(board.query.sort) {
            true if board.query.is_ascending => "\u{25b2}",
            true => "\u{25bc}",
            false => "",
        };
        let title = format!("{}{mark}", column.title);
        let texts: Vec<String> = rows.iter().map(column.text).collect();
        let widest = texts.iter().map(|text| Line::from(text.as_str()).width()).max().unwrap_or_default();
        let width = widest.min(column.width_max).max(Line::from(title.as_str()).width());
        ShownColumn { column, title, texts, width }
    };
    let mut columns: Vec<ShownColumn> = COLUMNS.iter().map(show).collect();
    let why = columns.pop();
    let total = |columns: &[ShownColumn]| columns.iter().map(|shown| shown.width + 1).sum::<usize>();
    while total(&columns) > width + 1 && columns.len() > 1 {
        let last = columns.iter().enumerate().max_by_key(|(_, shown)| shown.column.rank);
        let Some((at, _)) = last else { break };
        columns.remove(at);
    }
    // The reason to wait gets what is left.
    let left = width.saturating_sub(total(&columns));
    columns.extend(why.filter(|_| left >= WHY_WIDTH_MIN).map(|why| ShownColumn { width: left, ..why }));
    columns
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let visible = usize::from(area.height.saturating_sub(1));
    let rows = board.rows.get(board.first_row..).unwrap_or_default();
    let rows = &rows[..visible.min(rows.len())];
    let columns = fitting_columns(board, rows, usize::from(area.width));
    let cell = |shown: &ShownColumn, text: &str| {
        let alignment = if shown.column.is_number { Alignment::Right } else { Alignment::Left };
        Cell::from(Line::from(text.to_owned()).alignment(alignment))
    };
    let line = |(at, row): (usize, &ConnectionRow)| {
        let style = if board.selected == Some(row.id) { REVERSED } else { Style::new() };
        Row::new(columns.iter().map(|shown| cell(shown, &shown.texts[at]))).style(style)
    };
    let header = Row::new(columns.iter().map(|shown| cell(shown, &shown.title))).style(BOLD);
    let widths =
        columns.iter().map(|shown| Constraint::Length(u16::try_from(shown.width).unwrap_or(u16::MAX)));
    let table = Table::new(rows.iter().enumerate().map(line).collect::<Vec<_>>(), widths);
    frame.render_widget(table.header(header).column_spacing(1), area);
}

fn draw_details(frame: &mut Frame<'_>, area: Rect, row: &ConnectionRow, is_closed: bool) {
    let title = if is_closed {
        format!(" connection {}: closed ", row.id)
    } else {
        format!(" connection {} ", row.id)
    };
    let lines = details(row).into_iter().map(|(label, text)| labelled(label, &text)).collect();
    draw_box(frame, area, title, lines);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let keys = KEYS.map(|(names, meaning)| {
        Line::from(vec![Span::styled(format!("{names:31}"), BOLD), Span::raw(meaning)])
    });
    let chart = "turns: the time of each of the last turns; a step is a doubling, both lines 65 ms";
    draw_box(frame, area, " keys ".into(), keys.into_iter().chain([Line::from(chart)]).collect());
}

fn draw_box(frame: &mut Frame<'_>, area: Rect, title: String, lines: Vec<Line<'_>>) {
    let lines = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(lines.block(Block::bordered().title(title)), area);
}

fn draw_footer(frame: &mut Frame<'_>, area: Rect, board: &Board) {
    let keys = match &board.mode {
        Mode::Table => format!(
            "q quit  s sort ({})  r reverse  / filter  Enter details  p pause  h help",
            board.query.sort
        ),
        Mode::Filter { .. } => format!("address contains: {}_   Enter apply  Esc cancel", board.query.peer),
        Mode::Details { .. } => "q back  p pause  Ctrl-C quit".to_owned(),
        Mode::Help => "any key: back".to_owned(),
    };
    let style = if matches!(board.mode, Mode::Filter { .. }) { BOLD } else { DIM };
    let keys = Line::from(keys).style(style);
    let lines = if area.height > 1 { vec![status(board), keys] } else { vec![keys] };
    frame.render_widget(Paragraph::new(lines), area);
}

/// Returns the line above the keys: the lost connection, else the selected row, else the number of rows.
fn status(board: &Board) -> Line<'static> {
    if let Some(reason) = &board.lost {
        return Line::from(reason.clone()).style(BOLD);
    }
    if let Some(row) = board.selected_row() {
        return Line::from(format!("{}: {}", row.id, row.why));
    }
    let filter = match &*board.query.peer {
        "" => String::new(),
        peer => format!(" whose address contains {peer:?}"),
    };
    Line::from(format!("{} of {} connections{filter}", board.rows.len(), board.matched))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::board::tests::board;
    use super::super::error::LostReason;
    use super::super::feed::Update;
    use super::super::keys::Key;
    use super::*;

    fn screen(board: &mut Board, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
        board.fit(table_rows(height));
        terminal.draw(|frame| draw(frame, board)).expect("drawn");
        let buffer = terminal.backend().buffer();
        let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
        cells.chunks(usize::from(width.max(1))).map(|line| line.concat().trim_end().to_owned()).collect()
    }

    #[test]
    fn a_terminal_of_80_columns_shows_header_chart_table_and_footer() {
        let mut board = board(30);
        board.press(Key::Down);
        let lines = screen(&mut board, 80, 24);
        let text = lines.join("\n");
        assert_eq!(lines[0], "evserve 0.1.0  127.0.0.1:7891  up 2m3s  turn 81234");
        assert_eq!(lines[1], "open        4 of 16000: http 3, file 1, ack 0, admin 1; rejected 0");
        assert!(lines[8].starts_with("turns       ") && lines[9].starts_with("max 4 ms    "), "{text}");
        assert!(lines[9].ends_with("\u{2584}\u{2588}"), "{text}");
        assert!(lines[10].starts_with("ID PROTOCOL PHASE PEER"), "{text}");
        assert!(lines[10].contains("OUT\u{25bc}"), "{text}");
        assert!(lines[11].starts_with(" 1 http+tls idle  127.0.0.1:50000"), "{text}");
        assert!(lines[21].starts_with("11 "), "{text}");
        assert_eq!(lines[22], "1: waits for the next request; closes in 59.7 s");
        assert!(lines[23].starts_with("q quit  s sort (out)"), "{text}");
    }

    #[test]
    fn a_wide_terminal_shows_all_columns() {
        let lines = screen(&mut board(3), 200, 50);
        let titles: Vec<&str> = lines[10].split_whitespace().collect();
        let expected = COLUMNS.map(|column| column.title.replace("OUT", "OUT\u{25bc}"));
        assert_eq!(titles, expected);
        assert!(lines[11].ends_with("waits for the next request; closes in 59.7 s"), "{lines:?}");
        assert_eq!(lines[48], "3 of 3 connections");
    }

    #[test]
    fn every_size_and_mode_is_drawn_without_a_panic() {
        for keys in [&[][..], &[Key::Enter], &[Key::Letter('h')], &[Key::Letter('/'), Key::Letter('x')]] {
            let mut board = board(30);
            for key in keys {
                board.press(*key);
            }
            board.apply(Update::Lost(LostReason::Silent));
            for (width, height) in [
                (20, 5),
                (1, 1),
                (0, 0),
                (1, 100),
                (300, 1),
                (300, 2),
                (300, 3),
                (40, 8),
                (80, 12),
                (500, 200),
            ] {
                let lines = screen(&mut board, width, height);
                assert_eq!(lines.len(), usize::from(height));
            }
        }
    }

    #[test]
    fn states_are_shown_beside_the_title() {
        let mut board = board(1);
        board.press(Key::Letter('p'));
        assert!(screen(&mut board, 80, 24)[0].ends_with(" paused"));
        board.apply(Update::Lost(LostReason::Silent));
        let lines = screen(&mut board, 80, 24);
        assert!(lines[0].ends_with(" disconnected; trying again  paused"), "{lines:?}");
        assert_eq!(lines[22], "the server does not answer");
        let lines = screen(&mut board, 20, 5);
        assert!("disconnected; trying again".contains(lines[0].trim()), "{lines:?}");
    }

    #[test]
    fn details_show_the_whole_reason() {
        let mut board = board(1);
        board.press(Key::Enter);
        let text = screen(&mut board, 80, 30).join("\n");
        for part in [
            " connection 1 ",
            "http+tls, version HTTP/1.1",
            "3, last: GET / HTTP/1.1",
            "waits for the next request; closes in 59.7 s",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn help_lists_every_key() {
        let mut board = board(1);
        board.press(Key::Letter('?'));
        let text = screen(&mut board, 80, 24).join("\n");
        assert!(KEYS.iter().all(|(names, meaning)| text.contains(names) && text.contains(meaning)), "{text}");
    }

    #[test]
    fn wide_characters_keep_the_columns_aligned() {
        let mut board = board(2);
        board.rows[0].peer = super::super::frame::SafeText::new("\u{6536}\u{5230}");
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
        terminal.draw(|frame| draw(frame, &board)).expect("drawn");
        let buffer = terminal.backend().buffer();
        let column = |y: u16| (0..80).rev().find(|x| buffer[(*x, y)].symbol() != " ");
        assert_eq!(column(11), column(12));
    }

    #[test]
    fn a_height_is_divided() {
        for (height, summary, chart, table, footer) in
            [(24, 7, 2, 12, 2), (5, 0, 0, 3, 1), (10, 2, 0, 5, 2), (1, 0, 0, 0, 0), (0, 0, 0, 0, 0)]
        {
            assert_eq!(Plan::new(height), Plan { summary, chart, table, footer }, "{height}");
        }
    }
}
