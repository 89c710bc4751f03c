//! The columns of the table of connections, for the terminal and for the report.

use super::frame::ConnectionRow;
use super::units::{size, time};

/// A column of the table.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// The order of the server that sorts by this column.
    pub(super) order: Option<&'static str>,
    pub(super) is_number: bool,
    /// The most characters that the terminal shows.
    pub(super) width_max: usize,
    /// Narrow terminals leave out the columns with the highest numbers.
    pub(super) rank: u8,
    pub(super) text: fn(&ConnectionRow) -> String,
}

/// All columns, from left to right. Only the last one, the reason to wait, may be long.
pub(super) const COLUMNS: [Column; 11] = [
    column("ID", Some("id"), true, 10, 0, |row| row.id.to_string()),
    column("PROTOCOL", None, false, 8, 3, protocol),
    column("PHASE", None, false, 10, 2, |row| row.phase.to_string()),
    column("PEER", None, false, 47, 1, |row| row.peer.to_string()),
    column("AGE", Some("age"), true, 7, 4, |row| time(row.age_ms)),
    column("INACTIVE", Some("inactive"), true, 8, 9, |row| time(row.inactive_ms)),
    column("IN", Some("in"), true, 6, 6, |row| size(row.received)),
    column("OUT", Some("out"), true, 6, 5, |row| size(row.sent)),
    column("QUEUED", Some("queued"), true, 6, 7, |row| size(row.queued)),
    column("REQUESTS", Some("requests"), true, 8, 8, |row| row.requests.to_string()),
    column("WHY", Some("deadline"), false, 1000, 10, |row| row.why.to_string()),
];

const fn column(
    title: &'static str,
    order: Option<&'static str>,
    is_number: bool,
    width_max: usize,
    rank: u8,
    text: fn(&ConnectionRow) -> String,
) -> Column {
    Column { title, order, is_number, width_max, rank, text }
}

/// Returns the protocol with the mark of TLS.
fn protocol(row: &ConnectionRow) -> String {
    if row.tls { format!("{}+tls", row.protocol) } else { row.protocol.to_string() }
}

/// Returns all that is known of a connection, as labels and texts.
pub(super) fn details(row: &ConnectionRow) -> Vec<(&'static str, String)> {
    let bytes = |count: u64| match count {
        0..1024 => format!("{count} bytes"),
        _ => format!("{count} bytes ({})", size(count)),
    };
    let version = row.version.as_ref().map_or_else(|| "not known yet".to_owned(), ToString::to_string);
    let last = row.last_request.as_ref().map_or_else(|| "not seen".to_owned(), ToString::to_string);
    let deadline = row.deadline_ms.map_or_else(|| "none".to_owned(), |ms| format!("in {}", time(ms)));
    vec![
        ("connection", format!("{} in slot {}", row.id, row.slot)),
        ("protocol", format!("{}, version {version}", protocol(row))),
        ("peer", row.peer.to_string()),
        ("phase", row.phase.to_string()),
        ("why", row.why.to_string()),
        ("age", format!("{}, inactive for {}", time(row.age_ms), time(row.inactive_ms))),
        ("deadline", deadline),
        ("requests", format!("{}, last: {last}", row.requests)),
        ("in", format!("{}, not consumed {}", bytes(row.received), bytes(row.unread))),
        ("out", format!("{}, queued {}", bytes(row.sent), bytes(row.queued))),
    ]
}
