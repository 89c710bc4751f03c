//! A listing as an HTML page.

use std::fmt::Write;

use percent_encoding::percent_encode;

use super::actions::{Actions, UploadLimits};
use super::order::{By, Order};
use super::writer::{ListingWriter, PageInfo, href};
use crate::clock::rfc3339;
use crate::limits::PAGE_ENTRIES;
use crate::protocol::http::handlers::escape::escape_html;
use crate::protocol::http::semantics::uri::SEGMENT;
use crate::store::{DirEntry, OnDuplicate};

pub(super) struct HtmlWriter {
    path: Vec<u8>,
    order: Order,
    actions: Actions,
    info: PageInfo,
}

impl HtmlWriter {
    /// Creates a writer for the folder whose decoded URL path is `path`.
    pub(super) fn new(path: &[u8], order: Order, actions: Actions) -> HtmlWriter {
        HtmlWriter { path: path.into(), order, actions, info: PageInfo { total: None, page: 1, more: false } }
    }

    fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// Writes the path from the root to this folder, each segment a link.
    fn breadcrumbs(&self, out: &mut String) {
        out.push_str("<nav aria-label=\"Path\"><a href=\"/\">home</a>");
        let mut address = String::from("/");
        for name in self.names() {
            address.extend(percent_encode(name, SEGMENT));
            address.push('/');
            out.push_str("<span>/</span><a href=\"");
            escape_html(&address, out);
            out.push_str("\">");
            escape_html(&String::from_utf8_lossy(name), out);
            out.push_str("</a>");
        }
        out.push_str("</nav>\n");
    }

    /// Writes a column header: a link that sorts by the column, or reverses the order of the current column.
    /// If there are too many entries to sort, the header is no link.
    fn column(&self, by: By, title: &str, out: &mut String) {
        let is_current = self.order.by == by && self.info.total.is_some();
        let descending = is_current && !self.order.descending;
        let order = if descending { "&amp;order=desc" } else { "" };
        let sorted = match (is_current, self.order.descending) {
            (false, _) => "",
            (true, false) => " aria-sort=\"ascending\"",
            (true, true) => " aria-sort=\"descending\"",
        };
        let name = by.name();
        let _ = match self.info.total {
            Some(_) => {
                write!(out, "<th class=\"{name}\"{sorted}><a href=\"?sort={name}{order}\">{title}</a></th>")
            }
            None => write!(out, "<th class=\"{name}\">{title}</th>"),
        };
    }

    /// Writes the upload form, which also works without scripts.
    fn upload_form(&self, out: &mut String) {
        let Some(UploadLimits { max_bytes, on_duplicate }) = self.actions.upload else { return };
        let on_duplicate = match on_duplicate {
            OnDuplicate::Refuse => "",
            OnDuplicate::Replace => " data-replace",
            OnDuplicate::Rename => " data-rename",
        };
        let _ = write!(
            out,
            "<form method=\"post\" action=\"./\" enctype=\"multipart/form-data\" data-max=\"{max_bytes}\"{on_duplicate}>\n\
             <label class=\"pick\"><span class=\"hint\">Upload files</span>\
             <input type=\"file\" name=\"files\" multiple required aria-label=\"Files to upload\"></label>\n\
             <button>Upload</button><span class=\"hint\">or drop them here</span>\n</form>\n\
             <ul id=\"uploads\" aria-live=\"polite\"></ul>\n"
        );
    }

    /// Writes the cell with the download link and the delete button of an entry.
    fn actions(&self, child: &DirEntry, out: &mut String) {
        if !self.actions.download {
            return;
        }
        let name = String::from_utf8_lossy(&child.name);
        out.push_str("<td class=\"do\"><a title=\"Download\" aria-label=\"Download ");
        escape_html(&name, out);
        out.push_str("\" href=\"");
        escape_html(&href(child), out);
        // Without a query, a program that follows all links fetches the file once.
        out.push_str("\" download><svg><use href=\"#down\"/></svg></a>");
        if self.actions.delete {
            out.push_str("<button class=\"delete\" title=\"Delete\" aria-label=\"Delete ");
            escape_html(&name, out);
            out.push_str("\" value=\"");
            escape_html(&name, out);
            out.push_str("\"><svg><use href=\"#delete\"/></svg></button>");
        }
        out.push_str("</td>");
    }

    fn page_link(&self, page: usize, text: &str, out: &mut String) {
        out.push_str("<a href=\"");
        escape_html(&self.order.page_query(page), out);
        let _ = write!(out, "\">{text}</a>");
    }
}

impl ListingWriter for HtmlWriter {
    fn begin(&mut self, info: PageInfo, out: &mut String) {
        self.info = info;
        let last = self.names().next_back().map(String::from_utf8_lossy);
        let title = last.unwrap_or("home".into()).into_owned();
        out.push_str("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
        out.push_str("<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
        escape_html(&title, out);
        let _ = write!(out, "</title>\n{ICON}<style>\n{}</style>\n{ICONS}", include_str!("page.css"));
        out.push_str("<header>\n");
        self.breadcrumbs(out);
        out.push_str(
            "<input id=\"filter\" type=\"search\" placeholder=\"Filter\" aria-label=\"Filter\" hidden>\n",
        );
        out.push_str("</header>\n");
        self.upload_form(out);
        out.push_str("<main>\n");
        if info.total.is_none() {
            out.push_str("<p class=\"note\">This folder has too many entries to sort; ");
            out.push_str("they are in the file system's order.</p>\n");
        }
        if info.more || info.page > 1 {
            let _ = write!(out, "<p class=\"note\">A page shows at most {PAGE_ENTRIES} entries; ");
            out.push_str("the links at its end lead to the others.</p>\n");
        }
        out.push_str("<table>\n<thead><tr>");
        self.column(By::Name, "Name", out);
        self.column(By::Size, "Size", out);
        self.column(By::Time, "Changed", out);
        if self.actions.download {
            out.push_str("<th><span class=\"unseen\">Actions</span></th>");
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        if self.names().next().is_some() {
            out.push_str(
                "<tr class=\"up\"><td class=\"name\"><a href=\"../\"><svg><use href=\"#up\"/></svg>",
            );
            out.push_str("<span>Up</span></a></td><td class=\"size\"></td><td class=\"time\"></td>");
            out.push_str(if self.actions.download { "<td></td></tr>\n" } else { "</tr>\n" });
        }
    }

    fn entry(&mut self, child: &DirEntry, out: &mut String) {
        let icon = if child.length.is_some() { "file" } else { "folder" };
        let _ = write!(out, "<tr><td class=\"name\"><a href=\"");
        escape_html(&href(child), out);
        let _ = write!(out, "\"><svg><use href=\"#{icon}\"/></svg><span>");
        escape_html(&String::from_utf8_lossy(&child.name), out);
        out.push_str("</span></a></td><td class=\"size\"");
        match child.length {
            Some(length) => {
                let _ = write!(out, " title=\"{length} bytes\">{}", human(length));
            }
            None => out.push('>'),
        }
        let time = rfc3339(child.modified);
        let (date, clock) = time.split_once('T').unwrap_or((&time, ""));
        let clock = clock.get(..5).unwrap_or(clock);
        let _ = write!(
            out,
            "</td><td class=\"time\"><time datetime=\"{time}\" title=\"{time}\">\
             {date} <span>{clock}</span></time></td>"
        );
        self.actions(child, out);
        out.push_str("</tr>\n");
    }

    fn end(&mut self, out: &mut String) {
        out.push_str("</tbody>\n</table>\n");
        if self.info.total == Some(0) {
            out.push_str("<p class=\"note\">This folder is empty.</p>\n");
        }
        let PageInfo { total, page, more } = self.info;
        if page > 1 || more {
            out.push_str("<p class=\"pages\">");
            if page > 1 {
                self.page_link(page - 1, "← Previous", out);
            }
            let _ = write!(out, "<span>Page {page}</span>");
            if more {
                self.page_link(page + 1, "Next →", out);
            }
            out.push_str("</p>\n");
        }
        out.push_str("</main>\n<footer>");
        if let Some(total) = total {
            let _ = write!(out, "{total} {} · ", if total == 1 { "entry" } else { "entries" });
        }
        let _ = write!(out, "evserve</footer>\n<script>\n{}", include_str!("page.js"));
        if self.actions.upload.is_some() {
            out.push_str(include_str!("upload.js"));
        }
        if self.actions.delete {
            out.push_str(include_str!("delete.js"));
        }
        out.push_str("</script>\n</html>\n");
    }
}

/// Formats a size with a unit (powers of 1024), and with one decimal below 100.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    // A size that would round to 1024 is 1.0 of the next unit.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(size < 99.95);
    format!("{size:.digits$} {}", UNITS[unit])
}

/// The favicon: a folder.
const ICON: &str = r##"<link rel="icon" href="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'><path fill='%23c08a1e' d='M3 6.5A1.5 1.5 0 0 1 4.5 5H9l2 2.5h8.5A1.5 1.5 0 0 1 21 9v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 18z'/></svg>">
"##;

const ICONS: &str = r#"<svg style="display:none">
<symbol id="folder" viewBox="0 0 24 24"><path d="M3 6.5A1.5 1.5 0 0 1 4.5 5H9l2 2.5h8.5A1.5 1.5 0 0 1 21 9v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 18z"/></symbol>
<symbol id="file" viewBox="0 0 24 24"><path d="M6 3h8l4 4v13a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1zM14 3v4h4"/></symbol>
<symbol id="down" viewBox="0 0 24 24"><path d="M12 4v12M7 11l5 5 5-5M5 20h14"/></symbol>
<symbol id="delete" viewBox="0 0 24 24"><path d="M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5"/></symbol>
<symbol id="up" viewBox="0 0 24 24"><path d="M12 20V5M6 11l6-6 6 6"/></symbol>
</svg>
"#;

#[cfg(test)]
mod tests {
    use super::super::writer::{JsonWriter, TextWriter};
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn written(mut writer: impl ListingWriter, names: &[&[u8]]) -> String {
        let mut out = String::new();
        writer.begin(PageInfo { total: Some(names.len()), page: 1, more: false }, &mut out);
        for name in names {
            let length = (!name.ends_with(b"/")).then_some(1536);
            let name = name.strip_suffix(b"/").unwrap_or(name).to_vec();
            let modified = UNIX_EPOCH + Duration::from_secs(784_111_777);
            writer.entry(&DirEntry { name, length, modified }, &mut out);
        }
        writer.end(&mut out);
        out
    }

    #[test]
    fn every_format_escapes_and_links_special_names() {
        let names: [&[u8]; 6] = [b"sub/", b"a:b", b"a?b#c%d", b"<b>&\"'", "é".as_bytes(), b"\xff\n"];
        assert_eq!(written(TextWriter, &names), "sub/\na:b\na?b#c%d\n<b>&\"'\né\n\u{fffd}%0A\n");
        let json = written(JsonWriter::default(), &names);
        assert!(json.starts_with("[\n{\"name\":\"sub\",\"type\":\"folder\",\"modified\":\"1994-11-06T08:49:37Z\",\"href\":\"./sub/\"},\n"));
        assert!(json.contains("{\"name\":\"<b>&\\\"'\",\"type\":\"file\",\"size\":1536,"));
        assert!(
            json.contains("\"name\":\"\u{fffd}\\u000a\"") && json.contains("\"href\":\"./%FF%0A\"}\n]\n")
        );
        let order = Order { by: By::Name, descending: false };
        let page = written(HtmlWriter::new(b"/x/<i>/", order, Actions::SITE), &names);
        for wanted in [
            "<title>&lt;i&gt;</title>",
            "<a href=\"/x/%3Ci%3E/\">&lt;i&gt;</a>",
            "<a href=\"./sub/\">",
            "<a href=\"./a:b\">",
            "<a href=\"./a%3Fb%23c%25d\">",
            "<span>&lt;b&gt;&amp;&quot;'</span>",
            "<a href=\"./%C3%A9\">",
            "<th class=\"name\" aria-sort=\"ascending\"><a href=\"?sort=name&amp;order=desc\">",
            "<a href=\"?sort=size\">",
            "title=\"1536 bytes\">1.5 KiB",
            "6 entries",
        ] {
            assert!(page.contains(wanted), "{wanted} is not in {page}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (102_400, "100 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human(bytes), shown);
        }
    }
}
