//! A sketch of a second wire format: it builds requests from name-value pairs, as HPACK delivers them, and
//! reads responses as name-value pairs and bytes. Like any version of HTTP it imports the handlers and the
//! semantics, and nothing of `h1`. To add a case, create a [`Peer`] and check the result of
//! [`Peer::exchange`].

use std::borrow::Cow;
use std::io::Read;

use super::handlers::{self, Acceptance};
use super::semantics::{
    Body, FieldSink, HeaderSet, Headers, Method, NextSlice, Outcome, OwnedRequest, Request, Response, Status,
    Target,
};
use crate::clock::Now;
use crate::limits::Limits;
use crate::peer::Peer as Address;
use crate::services::{Context, LibrarySite, Services};
use crate::site::{Rules, Site};
use crate::store::{Bounds, Content, Library, LibraryRules, MemoryStore};

type Fields = Vec<(String, String)>;

/// A response in this wire format.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    fields: Fields,
    body: Vec<u8>,
}

/// A client and the server that it talks to.
struct Peer {
    services: Services,
}

/// Collects fields as pairs, in place of an HPACK encoder.
#[derive(Default)]
struct Pairs(Fields);

impl FieldSink for Pairs {
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.to_ascii_lowercase(), String::from_utf8(value.into()).expect("a value of text")));
    }
}

/// Encodes the fields of a request as one block: a line per field, with a NUL between name and value, which
/// contain neither NUL nor LF.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| format!("{name}\0{value}\n").into_bytes()).collect()
}

fn find<'a>(block: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    let name = if name == "host" { ":authority" } else { name };
    let values = block.split(|byte| *byte == b'\n').filter_map(|line| {
        let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b"\0")?;
        Some(Cow::Borrowed(value))
    });
    values.reduce(|before, value| Cow::Owned([&before[..], &value[..]].join(&b", "[..])))
}

/// Builds a request from a block of fields.
fn request(block: &[u8], body_length: Option<u64>) -> Request<'_> {
    let mut present = HeaderSet::default();
    for line in block.split(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == 0).next().unwrap_or_default();
        present.insert(std::str::from_utf8(name).expect("a name of text"));
    }
    let value = |name| match find(block, name) {
        Some(Cow::Borrowed(value)) => value,
        other => panic!("{name}: {other:?}"),
    };
    let method = Method::parse(std::str::from_utf8(value(":method")).expect("text")).expect("a method");
    let target = Target::parse(value(":path"), method).expect("a target");
    Request { method, target, headers: Headers { block, find, present }, body_length }
}

impl Peer {
    /// Creates a server with a small site that lists its folders, and an empty library in `folder`.
    fn new(folder: &std::path::Path) -> Peer {
        let files = MemoryStore::default()
            .with("a.txt", "0123456789")
            .with("large.txt", "many words ".repeat(20_000))
            .with("sub/one", "1")
            .with("sub/two", "22");
        let rules = Rules { list: true, ..Rules::default() };
        let library = Library::open(folder, LibraryRules::default()).expect("a library");
        let site = Site::new(Box::new(library.files()), Rules::of_uploads(), Bounds::within(1000));
        let mut services = Services::new(Box::new(files), rules, library, Limits::default(), Now::read());
        services.http.library = Some(LibrarySite { site, allow_delete: false });
        Peer { services }
    }

    /// Sends a request with `body`, and returns the response, however many turns it takes.
    fn exchange(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Received {
        let pseudo = [(":method", method), (":authority", "localhost"), (":path", path)];
        let block = block(&[&pseudo[..], fields].concat());
        // In HTTP/2 the request outlives the frame that carried its fields.
        let request = OwnedRequest::from(&request(&block, Some(body.len() as u64)));
        let request = request.borrow();
        loop {
            let mut cx = self.services.context(Address::Unix);
            let outcome = match handlers::accept_upload(&request, &mut cx) {
                Ok(Some(Acceptance::Sink(mut sink))) => {
                    let stored = body.chunks(3).try_for_each(|data| sink.take(data, &mut cx));
                    Outcome::Handled(sink.finish(stored, &request, &mut cx))
                }
                Ok(Some(Acceptance::Repeated(outcome))) => outcome,
                Ok(None) => handlers::respond(&request, &mut cx),
                Err(error) => {
                    let Context { http, core, .. } = &mut cx;
                    let response =
                        handlers::error_response(error, &request.headers, &mut http.site, &core.clock);
                    Outcome::Handled(response)
                }
            };
            match outcome {
                Outcome::Handled(response) => return receive(response, &mut cx),
                Outcome::Pending => drop(self.services.run_background_tasks()),
            }
        }
    }

    fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> Received {
        self.exchange("GET", path, fields, b"")
    }
}

/// Converts a response to this wire format.
fn receive(response: Response, cx: &mut Context<'_>) -> Received {
    let mut pairs = Pairs::default();
    pairs.field(":status", (response.status as u16).to_string().as_bytes());
    response.write_fields(&mut pairs);
    let mut body = Vec::new();
    let mut append = |content: &Content, start: u64, end: u64| {
        let mut bytes = vec![0; usize::try_from(end - start).expect("a length")];
        body.extend_from_slice(content.read(start, &mut bytes).expect("the content"));
    };
    match response.body {
        Body::Empty => {}
        Body::Text(text) => body.extend_from_slice(text.as_bytes()),
        Body::File { content, range, .. } => append(&content, range.start, range.end),
        Body::ByteRanges(ranges) => {
            for (_, range) in &ranges.parts {
                append(&ranges.content, range.start, range.end);
            }
        }
        Body::Stream(mut source) => {
            while source.advance(&mut body, cx).expect("a slice") != NextSlice::None {}
            source.fields().iter().for_each(|field| pairs.field(field.name, field.value.as_bytes()));
        }
    }
    Received { fields: pairs.0, body }
}

impl Received {
    #[track_caller]
    fn check(&self, status: Status, fields: &[(&str, &str)], body: &[u8]) {
        let value =
            |name: &str| self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..]);
        assert_eq!(value(":status"), Some(&*(status as u16).to_string()), "{self:?}");
        for (name, expected) in fields {
            assert_eq!(value(name), Some(*expected), "{name} in {self:?}");
        }
        assert_eq!(String::from_utf8_lossy(&self.body), String::from_utf8_lossy(body));
    }

    fn value(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }
}

#[test]
fn files_conditions_and_ranges_work_over_another_wire() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut peer = Peer::new(folder.path());
    for _ in 0..2 {
        let whole = peer.get("/a.txt", &[]);
        let fields = [("content-type", "text/plain; charset=utf-8"), ("content-length", "10")];
        whole.check(Status::Ok, &fields, b"0123456789");
        let tag = whole.value("etag").to_owned();
        let unchanged = peer.get("/a.txt", &[("if-none-match", &tag)]);
        unchanged.check(Status::NotModified, &[("etag", &tag)], b"");
        assert!(!unchanged.fields.iter().any(|(name, _)| name == "content-length"));
        let part = peer.get("/a.txt", &[("range", "bytes=2-4")]);
        let fields = [("content-range", "bytes 2-4/10"), ("content-length", "3")];
        part.check(Status::PartialContent, &fields, b"234");
        let parts = peer.get("/a.txt", &[("range", "bytes=0-1,8-9")]);
        parts.check(Status::PartialContent, &[], b"0189");
        assert!(parts.value("content-type").starts_with("multipart/byteranges; boundary="));
    }
    peer.get("/a.txt", &[("range", "bytes=99-")]).check(
        Status::RangeNotSatisfiable,
        &[("content-range", "bytes */10")],
        peer.get("/a.txt", &[("range", "bytes=99-")]).body.as_slice(),
    );
    let packed = peer.get("/large.txt", &[("accept-encoding", "gzip")]);
    assert_eq!(packed.value("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, "many words ".repeat(20_000));
}

#[test]
fn listings_errors_and_redirects_work_over_another_wire() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut peer = Peer::new(folder.path());
    let listing = peer.get("/sub/", &[("accept", "text/plain")]);
    listing.check(Status::Ok, &[("vary", "Accept, User-Agent")], b"one\ntwo\n");
    assert!(!listing.fields.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding"));
    let moved = peer.get("/sub?x", &[]);
    moved.check(Status::PermanentRedirect, &[("location", "/sub/?x")], b"/sub/?x\n");
    let missing = peer.get("/none", &[("accept", "application/json")]);
    missing.check(
        Status::NotFound,
        &[("content-type", "application/json")],
        b"{\"status\":404,\"title\":\"Not Found\",\"detail\":\"No file or folder has this address\"}\n",
    );
    peer.exchange("OPTIONS", "/a.txt", &[], b"").check(
        Status::NoContent,
        &[("allow", "GET, HEAD, OPTIONS")],
        b"",
    );
}

#[test]
fn uploads_and_forms_work_over_another_wire() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut peer = Peer::new(folder.path());
    peer.exchange("PUT", "/files/new.txt", &[], b"some bytes").check(
        Status::Created,
        &[("content-length", "0")],
        b"",
    );
    peer.get("/files/new.txt", &[]).check(Status::Ok, &[("cache-control", "no-cache")], b"some bytes");
    let again = peer.exchange("PUT", "/files/new.txt", &[("accept", "application/json")], b"other");
    assert_eq!(again.value(":status"), "409");
    let form = b"--b\r\nContent-Disposition: form-data; name=f; filename=\"in.txt\"\r\n\r\nform\r\n--b--\r\n";
    let fields = [("content-type", "multipart/form-data; boundary=b"), ("accept", "text/html")];
    peer.exchange("POST", "/files/", &fields, form).check(Status::SeeOther, &[("location", "/files/")], b"");
    peer.get("/files/in.txt", &[]).check(Status::Ok, &[], b"form");
}
