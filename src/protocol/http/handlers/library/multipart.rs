//! `multipart/form-data` (RFC 7578, RFC 2046 section 5.1.1), taken apart as it comes.

use httparse::{EMPTY_HEADER, Status as Parsing};
use memchr::memmem::Finder;
use memchr::memrchr;

use crate::limits::PART_HEAD_MAX_BYTES;

use crate::protocol::http::semantics::HttpError;
use crate::protocol::http::semantics::grammar::trim;

/// A form on its way in.
#[derive(Debug)]
pub(super) struct Multipart {
    /// CRLF, two hyphens and the boundary: what a part ends with. Only its first byte is a CR, so that
    /// what turns out to be no delimiter can be no other one's beginning either, but for the byte
    /// that tells.
    delimiter: Finder<'static>,
    state: State,
}

/// Where the parser is.
#[derive(Debug)]
enum State {
    /// Before the first delimiter, in what is to be ignored, and so far into a delimiter.
    Preamble(usize),
    /// Behind a delimiter: the rest of its line.
    Delimiter(DelimiterLine),
    /// In the fields of a part.
    Head(Vec<u8>),
    /// In the content of a part, and so far into a delimiter.
    Content(usize),
    /// Behind the last delimiter, in what is to be ignored.
    Epilogue,
}

/// The line of a delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DelimiterLine {
    /// Its first byte comes next.
    Begin,
    /// Behind the first hyphen of the last delimiter.
    Hyphen,
    /// In white space, which mail servers add.
    Space,
    /// Behind its CR.
    Cr,
}

/// What the parser finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A part begins.
    Begin(FormPart),
    /// Some of its content.
    Content(&'a [u8]),
    /// It is whole, if one has begun.
    End,
}

/// What a part is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormPart {
    /// The value of some other field.
    Value,
    /// A file of this name, which is empty where the browser was given none.
    File(Vec<u8>),
}

impl Multipart {
    /// A form of this media type, or why it is none.
    pub(super) fn new(content_type: &[u8]) -> Result<Multipart, HttpError> {
        let boundary = parameter(content_type, b"boundary").unwrap_or_default();
        // RFC 2046: 1 to 70 characters, none of them a control.
        if !(1..=70).contains(&boundary.len()) || boundary.iter().any(u8::is_ascii_control) {
            return Err(HttpError::bad_request("The form has no boundary"));
        }
        let delimiter = [b"\r\n--", &boundary[..]].concat();
        // The first delimiter may stand at the very beginning, as if an empty line came before.
        Ok(Multipart { delimiter: Finder::new(&delimiter).into_owned(), state: State::Preamble(2) })
    }

    /// Whether the last delimiter has come.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Epilogue)
    }

    /// Takes what comes next, and tells `found` what is in it.
    pub(super) fn take(
        &mut self,
        mut input: &[u8],
        mut found: impl FnMut(Piece<'_>),
    ) -> Result<(), HttpError> {
        while !input.is_empty() && !self.is_whole() {
            let taken = match &mut self.state {
                State::Preamble(matched) => {
                    let (taken, ended) = until(&self.delimiter, matched, input, |_| ());
                    if ended {
                        self.state = State::Delimiter(DelimiterLine::Begin);
                    }
                    taken
                }
                State::Content(matched) => {
                    let content = |bytes: &[u8]| found(Piece::Content(bytes));
                    let (taken, ended) = until(&self.delimiter, matched, input, content);
                    if ended {
                        self.state = State::Delimiter(DelimiterLine::Begin);
                    }
                    taken
                }
                State::Delimiter(line) => {
                    self.state = line.step(input[0])?;
                    if matches!(self.state, State::Head(_) | State::Epilogue) {
                        found(Piece::End);
                    }
                    1
                }
                State::Head(head) => {
                    let (taken, part) = take_head(head, input)?;
                    if let Some(part) = part {
                        found(Piece::Begin(part));
                        self.state = State::Content(0);
                    }
                    taken
                }
                State::Epilogue => return Ok(()),
            };
            input = &input[taken..];
        }
        Ok(())
    }
}

/// Finds the delimiter, of which `matched` bytes have come already, and gives what comes before it to
/// `content`. Returns how many bytes it took, and whether that was to the delimiter's end.
fn until(
    delimiter: &Finder<'_>,
    matched: &mut usize,
    input: &[u8],
    mut content: impl FnMut(&[u8]),
) -> (usize, bool) {
    let wanted = delimiter.needle();
    if *matched > 0 {
        let more = wanted[*matched..].iter().zip(input).take_while(|(one, other)| one == other).count();
        let before = std::mem::replace(matched, *matched + more);
        if *matched == wanted.len() {
            return (more, true);
        }
        if more < input.len() {
            // It was none.
            content(&wanted[..before]);
            content(&input[..more]);
            *matched = 0;
        }
        return (more, false);
    }
    if let Some(start) = delimiter.find(input) {
        content(&input[..start]);
        return (start + wanted.len(), true);
    }
    let begun = memrchr(b'\r', input).map_or(b"".as_slice(), |start| &input[start..]);
    *matched = if wanted.starts_with(begun) { begun.len() } else { 0 };
    content(&input[..input.len() - *matched]);
    (input.len(), false)
}

impl DelimiterLine {
    fn step(self, byte: u8) -> Result<State, HttpError> {
        Ok(match (self, byte) {
            (DelimiterLine::Begin, b'-') => State::Delimiter(DelimiterLine::Hyphen),
            (DelimiterLine::Hyphen, b'-') => State::Epilogue,
            (DelimiterLine::Begin | DelimiterLine::Space, b' ' | b'\t') => {
                State::Delimiter(DelimiterLine::Space)
            }
            (DelimiterLine::Begin | DelimiterLine::Space, b'\r') => State::Delimiter(DelimiterLine::Cr),
            (DelimiterLine::Cr, b'\n') => State::Head(Vec::new()),
            _ => return Err(HttpError::bad_request("A delimiter of the form is malformed")),
        })
    }
}

/// Takes what belongs to a part's head. State its end it says what the part is.
fn take_head(head: &mut Vec<u8>, input: &[u8]) -> Result<(usize, Option<FormPart>), HttpError> {
    let before = head.len();
    head.extend_from_slice(&input[..input.len().min(PART_HEAD_MAX_BYTES - before)]);
    if !input.contains(&b'\n') && head.len() < PART_HEAD_MAX_BYTES {
        return Ok((input.len(), None));
    }
    let mut fields = [EMPTY_HEADER; 16];
    // A verdict falls at the end of a line, so that it does not depend on how the input was cut.
    let lines = memrchr(b'\n', head).map_or(0, |end| end + 1);
    match httparse::parse_headers(&head[..lines], &mut fields) {
        Ok(Parsing::Complete((length, fields))) => {
            let disposition =
                fields.iter().find(|field| field.name.eq_ignore_ascii_case("content-disposition"));
            let name = disposition.and_then(|field| file_name(field.value));
            Ok((length - before, Some(name.map_or(FormPart::Value, FormPart::File))))
        }
        Ok(Parsing::Partial) if head.len() < PART_HEAD_MAX_BYTES => Ok((input.len(), None)),
        _ => Err(HttpError::bad_request("The head of a part is malformed or too long")),
    }
}

/// The name that a part gives its file. Folders before it are the sender's own (RFC 7578 section 4.2).
fn file_name(disposition: &[u8]) -> Option<Vec<u8>> {
    // RFC 8187, which RFC 7578 does not want here, but some programs send.
    let extended = parameter(disposition, b"filename*");
    let encoded = extended.as_deref().and_then(|value| value.splitn(3, |byte| *byte == b'\'').nth(2));
    let mut name = match encoded {
        Some(encoded) => percent_encoding::percent_decode(encoded).collect(),
        // Browsers encode these three, and nothing else (HTML, section 4.10.21.8).
        None => [(b"%22", b'"'), (b"%0D", b'\r'), (b"%0A", b'\n')]
            .into_iter()
            .fold(parameter(disposition, b"filename")?, decode),
    };
    if let Some(slash) = memrchr(b'/', &name) {
        name.drain(..=slash);
    }
    Some(name)
}

fn decode(name: Vec<u8>, (code, byte): (&[u8; 3], u8)) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = &name[..];
    while let Some(start) = memchr::memmem::find(rest, code) {
        decoded.extend_from_slice(&rest[..start]);
        decoded.push(byte);
        rest = &rest[start + code.len()..];
    }
    decoded.extend_from_slice(rest);
    decoded
}

/// A parameter of a field's value (RFC 9110 section 5.6.6), unquoted.
fn parameter(value: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let (mut quoted, mut escaped) = (false, false);
    let ends = |byte: &u8| {
        quoted ^= *byte == b'"' && !escaped;
        escaped = quoted && !escaped && *byte == b'\\';
        *byte == b';' && !quoted
    };
    value.split(ends).skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_at(memchr::memchr(b'=', parameter)?);
        trim(name).eq_ignore_ascii_case(wanted).then(|| unquote(trim(&value[1..])))
    })
}

/// A quoted-string's text; a backslash that escapes neither a quote nor itself is one of a file name.
fn unquote(value: &[u8]) -> Vec<u8> {
    let [b'"', quoted @ .., b'"'] = value else { return value.to_vec() };
    let mut text = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let [b'\\', byte @ (b'"' | b'\\'), behind @ ..] | [byte, behind @ ..] = rest {
        text.push(*byte);
        rest = behind;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts = Vec<(Option<Vec<u8>>, Vec<u8>)>;

    /// The parts of a form that comes in pieces: the files' names, and the contents.
    fn parts(boundary: &str, pieces: &[&[u8]]) -> Result<Parts, HttpError> {
        let mut form = Multipart::new(format!("multipart/form-data; boundary={boundary}").as_bytes())?;
        let (mut parts, mut open) = (Vec::new(), false);
        for piece in pieces {
            form.take(piece, |found| match found {
                Piece::Begin(part) => {
                    assert!(!open);
                    open = true;
                    let name = if let FormPart::File(name) = part { Some(name) } else { None };
                    parts.push((name, Vec::new()));
                }
                Piece::Content(bytes) => {
                    assert!(open);
                    parts.last_mut().expect("a part").1.extend_from_slice(bytes);
                }
                Piece::End => open = false,
            })?;
        }
        if form.is_whole() { Ok(parts) } else { Err(HttpError::bad_request("not whole")) }
    }

    /// A form of files, as a browser sends it.
    fn form(boundary: &str, contents: &[Vec<u8>]) -> Vec<u8> {
        let mut form = Vec::new();
        for (number, content) in contents.iter().enumerate() {
            let head = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{number}\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n"
            );
            form.extend([head.as_bytes(), content, b"\r\n"].concat());
        }
        form.extend(format!("--{boundary}--\r\n").into_bytes());
        form
    }

    #[test]
    fn a_malformed_head_is_refused_at_the_end_of_its_line() {
        let form = b"--b\r\nContent-Disposition: form-data; \n--b--\r\xc5";
        let result = |pieces: &[&[u8]]| {
            let mut parts = Multipart::new(b"multipart/form-data; boundary=b").expect("a form");
            pieces.iter().try_for_each(|piece| parts.take(piece, |_| ()))
        };
        for cut in 0..=form.len() {
            let (first, second) = form.split_at(cut);
            assert_eq!(result(&[first, second]), Ok(()), "cut at {cut}");
            assert!(result(&[first, second, b"\n"]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn files_are_the_same_however_they_are_cut() {
        let mut random = fastrand::Rng::with_seed(5);
        for round in 0..400 {
            let boundary = ["b", "-", "--b", "\"b b\"", "aab"][round % 5];
            let bare = boundary.trim_matches('"');
            // Of what delimiters are made of, so that many contents look like one until the last byte.
            let words = ["\r", "\n", "\r\n", "--", "\r\n--", "\r\n-", bare, "b", "a", "aa", "x"];
            let contents: Vec<Vec<u8>> = (0..random.usize(..4))
                .map(|_| {
                    (0..random.usize(..9)).map(|_| *random.choice(&words).unwrap_or(&"")).collect::<String>()
                })
                .filter(|content| !format!("\r\n{content}\r\n").contains(&format!("\r\n--{bare}")))
                .map(String::into_bytes)
                .collect();
            let form = form(bare, &contents);
            let expected: Vec<_> = contents
                .into_iter()
                .enumerate()
                .map(|(number, content)| (Some(number.to_string().into_bytes()), content))
                .collect();
            for cut in 0..form.len() {
                let (one, other) = form.split_at(cut);
                assert_eq!(parts(boundary, &[one, other]).as_ref(), Ok(&expected), "{cut}: {form:?}");
            }
            let bytes: Vec<&[u8]> = form.chunks(1).collect();
            assert_eq!(parts(boundary, &bytes).as_ref(), Ok(&expected));
            // Nothing short of the last delimiter is a form.
            let end = form.len() - 2;
            (0..end).for_each(|end| assert!(parts(boundary, &[&form[..end]]).is_err()));
        }
    }

    #[test]
    fn what_stands_around_the_parts_is_ignored() {
        let form = b"before\r\n--b \t\r\nX: y\r\n\r\nvalue\r\n--b\r\n\r\n\r\n--b--behind\r\n--b";
        assert_eq!(parts("b", &[form]), Ok(vec![(None, b"value".to_vec()), (None, Vec::new())]));
    }

    #[test]
    fn names_of_files() {
        for (disposition, expected) in [
            ("form-data; name=\"a\"", None),
            ("form-data; name=\"a\"; filename=\"\"", Some("")),
            ("form-data; name=\"a;filename=b\"; filename=plain", Some("plain")),
            ("form-data; FileName = \"a;b\"", Some("a;b")),
            ("form-data; filename=\"a%22b%0d%0A%41\"", Some("a\"b%0d\n%41")),
            ("form-data; filename=\"a\\\"b\\\\c\\d\"; x=y", Some("a\"b\\c\\d")),
            ("form-data; filename=\"../dir/name\"", Some("name")),
            ("form-data; filename=\"dir/\"", Some("")),
            ("form-data; filename=\"x\"; filename*=utf-8''a%C3%A9", Some("aé")),
            ("form-data; filename*=nothing", None),
            ("form-data; filename=\"x\"; filename*=nothing", Some("x")),
            ("form-data; filename=\"open", Some("\"open")),
            ("form-data; filename", None),
        ] {
            let name = file_name(disposition.as_bytes());
            assert_eq!(name.as_deref(), expected.map(str::as_bytes), "{disposition}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for content_type in
            ["multipart/form-data", "a; boundary=", "a; boundary=\"a\tb\"", "a; boundary=é\u{7f}"]
        {
            assert!(Multipart::new(content_type.as_bytes()).is_err(), "{content_type:?}");
        }
        assert!(Multipart::new(format!("a; boundary={}", "b".repeat(71)).as_bytes()).is_err());
        let long = format!("--b\r\nA: {}\r\n\r\n\r\n--b--", "x".repeat(PART_HEAD_MAX_BYTES));
        for body in ["--bx", "--b\n", "--b-x", "--b\rx", "--b x", "--b\r\nno field\r\n\r\n", &long] {
            for step in [1, 7, body.len()] {
                let pieces: Vec<&[u8]> = body.as_bytes().chunks(step).collect();
                let mut form = Multipart::new(b"a; boundary=b").expect("a boundary");
                assert!(pieces.iter().any(|piece| form.take(piece, |_| ()).is_err()), "{body:?} by {step}");
            }
        }
    }
}
