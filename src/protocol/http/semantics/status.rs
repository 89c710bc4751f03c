//! Status codes (RFC 9110 section 15).

/// A status code that the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok = 200,
    Created = 201,
    NoContent = 204,
    PartialContent = 206,
    SeeOther = 303,
    NotModified = 304,
    PermanentRedirect = 308,
    BadRequest = 400,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    NotAcceptable = 406,
    RequestTimeout = 408,
    Conflict = 409,
    PreconditionFailed = 412,
    ContentTooLarge = 413,
    UriTooLong = 414,
    UnsupportedMediaType = 415,
    RangeNotSatisfiable = 416,
    ExpectationFailed = 417,
    MisdirectedRequest = 421,
    FieldsTooLarge = 431,
    InternalServerError = 500,
    NotImplemented = 501,
    ServiceUnavailable = 503,
    InsufficientStorage = 507,
    VersionNotSupported = 505,
}

impl Status {
    /// Returns the code and the reason phrase, as in a status line.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::Created => "201 Created",
            Status::NoContent => "204 No Content",
            Status::PartialContent => "206 Partial Content",
            Status::SeeOther => "303 See Other",
            Status::NotModified => "304 Not Modified",
            Status::PermanentRedirect => "308 Permanent Redirect",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::NotAcceptable => "406 Not Acceptable",
            Status::RequestTimeout => "408 Request Timeout",
            Status::Conflict => "409 Conflict",
            Status::PreconditionFailed => "412 Precondition Failed",
            Status::ContentTooLarge => "413 Content Too Large",
            Status::UriTooLong => "414 URI Too Long",
            Status::UnsupportedMediaType => "415 Unsupported Media Type",
            Status::RangeNotSatisfiable => "416 Range Not Satisfiable",
            Status::ExpectationFailed => "417 Expectation Failed",
            Status::MisdirectedRequest => "421 Misdirected Request",
            Status::FieldsTooLarge => "431 Request Header Fields Too Large",
            Status::InternalServerError => "500 Internal Server Error",
            Status::NotImplemented => "501 Not Implemented",
            Status::ServiceUnavailable => "503 Service Unavailable",
            Status::InsufficientStorage => "507 Insufficient Storage",
            Status::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}

impl Status {
    /// Returns the name of the site's page for this status; `None` if the status is not an error.
    pub(crate) fn page(self) -> Option<&'static str> {
        Some(match self {
            Status::BadRequest => "400.html",
            Status::Forbidden => "403.html",
            Status::NotFound => "404.html",
            Status::MethodNotAllowed => "405.html",
            Status::NotAcceptable => "406.html",
            Status::RequestTimeout => "408.html",
            Status::Conflict => "409.html",
            Status::PreconditionFailed => "412.html",
            Status::ContentTooLarge => "413.html",
            Status::UriTooLong => "414.html",
            Status::UnsupportedMediaType => "415.html",
            Status::RangeNotSatisfiable => "416.html",
            Status::ExpectationFailed => "417.html",
            Status::MisdirectedRequest => "421.html",
            Status::FieldsTooLarge => "431.html",
            Status::InternalServerError => "500.html",
            Status::NotImplemented => "501.html",
            Status::ServiceUnavailable => "503.html",
            Status::VersionNotSupported => "505.html",
            Status::InsufficientStorage => "507.html",
            _ => return None,
        })
    }
}
