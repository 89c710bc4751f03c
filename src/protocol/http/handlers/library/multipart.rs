//! A streaming parser of `multipart/form-data` (RFC 7578, RFC 2046 section 5.1.1).

use httparse::{EMPTY_HEADER, Status as Parsing};
use memchr::memmem::Finder;
use memchr::{memrchr, memrchr2};

use crate::limits::PART_HEAD_MAX_BYTES;

use crate::protocol::http::semantics::HttpError;
use crate::protocol::http::semantics::grammar::trim;

/// The parser of one form.
#[derive(Debug)]
pub(super) struct Multipart {
    /// The delimiter that ends a part: CRLF, two hyphens and the boundary. Only its first byte is a CR, so no
    /// delimiter can begin inside a partial match; the byte that ends a failed match can begin one.
    delimiter: Finder<'static>,
    state: State,
}

/// The state of the parser.
#[derive(Debug)]
enum State {
    /// In the preamble, which is ignored. Holds the number of delimiter bytes matched so far.
    Preamble(usize),
    /// After a delimiter, in the rest of its line.
    Delimiter(DelimiterLine),
    /// In the header fields of a part. Holds their bytes received so far.
    Head(Vec<u8>),
    /// In the content of a part. Holds the number of delimiter bytes matched so far.
    Content(usize),
    /// After the last delimiter, in the epilogue, which is ignored.
    Epilogue,
}

/// The position in the line of a delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DelimiterLine {
    /// Directly after the boundary.
    Begin,
    /// After the first of the two hyphens that mark the last delimiter.
    Hyphen,
    /// In white space, which mail servers may add (transport padding).
    Space,
    /// After the CR.
    Cr,
}

/// A piece of a form, as the parser reports it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// The start of a part.
    Begin(FormPart),
    /// Some of the content of a part.
    Content(&'a [u8]),
    /// A delimiter: the end of a part, unless it is the first delimiter.
    End,
}

/// The kind of a part.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormPart {
    /// The value of a form field that is not a file.
    Value,
    /// A file with this name. The name is empty if the user selected no file.
    File(Vec<u8>),
}

impl Multipart {
    /// Creates a parser for a body with this Content-Type. Fails if the boundary is missing or invalid.
    pub(super) fn new(content_type: &[u8]) -> Result<Multipart, HttpError> {
        let boundary = parameter(content_type, b"boundary").unwrap_or_default();
        // RFC 2046 section 5.1.1: 1 to 70 characters, none of them a control character.
        if !(1..=70).contains(&boundary.len()) || boundary.iter().any(u8::is_ascii_control) {
            return Err(HttpError::bad_request("The form has no boundary"));
        }
        let delimiter = [b"\r\n--", &boundary[..]].concat();
        // A delimiter at the start of the body lacks the CRLF, so two bytes count as matched.
        Ok(Multipart { delimiter: Finder::new(&delimiter).into_owned(), state: State::Preamble(2) })
    }

    /// Returns whether the last delimiter was received.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Epilogue)
    }

    /// Parses the next bytes of the body and passes each piece to `found`.
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

/// Searches for the delimiter, whose first `matched` bytes were received already, and passes the bytes before
/// it to `content`. Returns the number of bytes consumed, and whether the delimiter is complete.
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
            // The partial match was no delimiter but content.
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

/// Consumes bytes of a part's head. Returns the number of bytes consumed, and the kind of the part if the
/// head is complete.
fn take_head(head: &mut Vec<u8>, input: &[u8]) -> Result<(usize, Option<FormPart>), HttpError> {
    let before = head.len();
    head.extend_from_slice(&input[..input.len().min(PART_HEAD_MAX_BYTES - before)]);
    if !input.contains(&b'\n') && head.len() < PART_HEAD_MAX_BYTES {
        return Ok((input.len(), None));
    }
    let mut fields = [EMPTY_HEADER; 16];
    // Only complete lines are parsed, so that the result does not depend on how the input is split.
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

/// Returns the file name in a Content-Disposition, without the folders of the sender (RFC 7578 section 4.2),
/// which may be those of Windows.
fn file_name(disposition: &[u8]) -> Option<Vec<u8>> {
    // RFC 7578 section 4.2 forbids `filename*` (RFC 8187), but some programs send it.
    let extended = parameter(disposition, b"filename*");
    let encoded = extended.as_deref().and_then(|value| value.splitn(3, |byte| *byte == b'\'').nth(2));
    let mut name = match encoded {
        Some(encoded) => percent_encoding::percent_decode(encoded).collect(),
        // Browsers percent-encode these three bytes and no others (HTML section 4.10.21.8).
        None => [(b"%22", b'"'), (b"%0D", b'\r'), (b"%0A", b'\n')]
            .into_iter()
            .fold(parameter(disposition, b"filename")?, decode),
    };
    if let Some(slash) = memrchr2(b'/', b'\\', &name) {
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

/// Returns the parameter `wanted` of a field value (RFC 9110 section 5.6.6), unquoted.
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

/// Returns the text of a quoted-string. A backslash before any byte but a quote or a backslash belongs to the
/// text, because browsers do not escape the backslashes of a file name.
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

    /// Parses a form that is received in pieces. Returns the file name and the content of each part.
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

    /// Builds a form with files, as a browser sends it.
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
    fn malformed_heads_are_rejected_at_the_end_of_the_line() {
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
    fn files_do_not_depend_on_how_the_input_is_split() {
        let mut random = fastrand::Rng::with_seed(5);
        for round in 0..400 {
            let boundary = ["b", "-", "--b", "\"b b\"", "aab"][round % 5];
            let bare = boundary.trim_matches('"');
            // Pieces of delimiters, so that many contents match a delimiter except for its last byte.
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
            // A form without its complete last delimiter is rejected.
            let end = form.len() - 2;
            (0..end).for_each(|end| assert!(parts(boundary, &[&form[..end]]).is_err()));
        }
    }

    #[test]
    fn preamble_padding_and_epilogue_are_ignored() {
        let form = b"before\r\n--b \t\r\nX: y\r\n\r\nvalue\r\n--b\r\n\r\n\r\n--b--behind\r\n--b";
        assert_eq!(parts("b", &[form]), Ok(vec![(None, b"value".to_vec()), (None, Vec::new())]));
    }

    #[test]
    fn file_names_are_decoded_and_stripped_of_folders() {
        for (disposition, expected) in [
            ("form-data; name=\"a\"", None),
            ("form-data; name=\"a\"; filename=\"\"", Some("")),
            ("form-data; name=\"a;filename=b\"; filename=plain", Some("plain")),
            ("form-data; FileName = \"a;b\"", Some("a;b")),
            ("form-data; filename=\"a%22b%0d%0A%41\"", Some("a\"b%0d\n%41")),
            ("form-data; filename=\"a\\\"b\"; x=y", Some("a\"b")),
            ("form-data; filename=\"../dir/name\"", Some("name")),
            ("form-data; filename=\"D:\\pics\\a.jpg\"", Some("a.jpg")),
            ("form-data; filename=\"\\\\host\\share/b\\\\c d.txt\"", Some("c d.txt")),
            ("form-data; filename=\"x\"; filename*=utf-8''D%3A%5Cpics%5Ca.jpg", Some("a.jpg")),
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
    fn malformed_forms_are_rejected() {
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
