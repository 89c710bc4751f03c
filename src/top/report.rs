//! The report of `--once`: plain text for people, grep and awk.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use evserve::config::TopOptions;

use super::columns::COLUMNS;
use super::error::TopError;
use super::feed::{Feed, Update};
use super::frame::ConnectionTable;
use super::history::RateHistory;
use super::query::TableQuery;
use super::server_address::ServerAddress;
use super::summary::Summary;
use super::wait::wait;

/// The time over which the report measures rates.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Prints one report.
pub(super) fn print(server: ServerAddress, options: &TopOptions) -> Result<ExitCode, TopError> {
    let name = server.name.clone();
    // The first table is only the beginning of the interval.
    let query = TableQuery::new(options.sort.as_deref(), Some(1));
    let mut feed = Feed::new(server, query, false, Instant::now());
    let mut history = RateHistory::default();
    loop {
        for update in feed.advance(Instant::now())? {
            match update {
                Update::Lost(reason) => return Err(TopError::Unreachable { server: name, reason }),
                Update::Frame(_) => {}
                Update::Table(query, frame, table) => {
                    history.add(&frame);
                    if query.limit.is_none() {
                        let summary = Summary::new(&name, &frame, history.rates().as_ref());
                        // An error is ignored: a pipe such as `--once | head` closes early.
                        let _ = io::stdout().write_all(render(&summary, &table).as_bytes());
                        return Ok(ExitCode::SUCCESS);
                    }
                    let all = TableQuery { limit: None, ..query };
                    feed.select(&all, Instant::now() + REPORT_INTERVAL);
                }
            }
        }
        wait(feed.descriptors(), feed.deadline()).map_err(TopError::Terminal)?;
    }
}

fn render(summary: &Summary, table: &ConnectionTable) -> String {
    let draining = if summary.is_draining { "  draining" } else { "" };
    let mut report = format!("{}{draining}\n", summary.title);
    for (label, text) in &summary.lines {
        let _ = writeln!(report, "{label:9}{text}");
    }
    report.push('\n');
    let mut rows = vec![COLUMNS.iter().map(|column| column.title.to_owned()).collect::<Vec<_>>()];
    rows.extend(
        table.connections.iter().map(|row| COLUMNS.iter().map(|column| (column.text)(row)).collect()),
    );
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for ((text, column), width) in row.iter().zip(&COLUMNS).zip(&widths) {
            let _ = match column.is_number {
                true => write!(line, "{text:>width$}  "),
                false => write!(line, "{text:width$}  "),
            };
        }
        let _ = writeln!(report, "{}", line.trim_end());
    }
    report
}

#[cfg(test)]
mod tests {
    use super::super::frame::{parse_connections, parse_frame, tests::TABLE};
    use super::*;

    #[test]
    fn a_report_has_aligned_columns() {
        let mut frame = parse_frame(TABLE.as_bytes()).expect("a frame");
        frame.draining = true;
        let table = parse_connections(TABLE.as_bytes()).expect("a table");
        let report = render(&Summary::new("h:1", &frame, None), &table);
        let lines: Vec<&str> = report.lines().collect();
        assert!(lines[0].ends_with("turn 81234  draining"), "{report}");
        assert_eq!(
            lines[lines.len() - 3..],
            [
                "ID  PROTOCOL  PHASE    PEER                   AGE  INACTIVE    IN  OUT  QUEUED  REQUESTS  WHY",
                "17  http+tls  idle     127.0.0.1:50000        12s     340ms  1.2K  55K       0         3  waits for the next request; closes in 59.7 s",
                "18  file      request  [2001:db8::1]:50001  100ms     100ms     0    0       0         0  waits for a command",
            ],
            "{report}"
        );
    }
}
