//! Status codes (RFC 9110 section 15) and refusals, which are a status with a sentence.

/// A status code that the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok = 200,
    /// 204
    NoContent = 204,
    /// 308
    PermanentRedirect = 308,
    /// 400
    BadRequest = 400,
    /// 403
    Forbidden = 403,
    /// 404
    NotFound = 404,
    /// 405
    MethodNotAllowed = 405,
    /// 408
    RequestTimeout = 408,
    /// 414
    UriTooLong = 414,
    /// 417
    ExpectationFailed = 417,
    /// 421
    MisdirectedRequest = 421,
    /// 431
    FieldsTooLarge = 431,
    /// 500
    InternalServerError = 500,
    /// 501
    NotImplemented = 501,
    /// 503
    ServiceUnavailable = 503,
    /// 505
    VersionNotSupported = 505,
}

impl Status {
    /// Code and reason phrase, as a status line has them.
    pub fn text(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::NoContent => "204 No Content",
            Status::PermanentRedirect => "308 Permanent Redirect",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::RequestTimeout => "408 Request Timeout",
            Status::UriTooLong => "414 URI Too Long",
            Status::ExpectationFailed => "417 Expectation Failed",
            Status::MisdirectedRequest => "421 Misdirected Request",
            Status::FieldsTooLarge => "431 Request Header Fields Too Large",
            Status::InternalServerError => "500 Internal Server Error",
            Status::NotImplemented => "501 Not Implemented",
            Status::ServiceUnavailable => "503 Service Unavailable",
            Status::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}

/// A request that is not carried out: the status of its answer, and why, in words for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: Status,
    /// A sentence without its full stop.
    pub why: &'static str,
}

impl Refusal {
    /// 400: the request breaks the grammar or contradicts itself.
    pub const fn bad(why: &'static str) -> Refusal {
        Refusal { status: Status::BadRequest, why }
    }

    /// Any other status.
    pub const fn new(status: Status, why: &'static str) -> Refusal {
        Refusal { status, why }
    }
}
