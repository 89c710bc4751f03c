//! Status codes (RFC 9110 section 15).

/// A status code that the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// 200
    Ok = 200,
    /// 201
    Created = 201,
    /// 204
    NoContent = 204,
    /// 206
    PartialContent = 206,
    /// 303
    SeeOther = 303,
    /// 304
    NotModified = 304,
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
    /// 406
    NotAcceptable = 406,
    /// 408
    RequestTimeout = 408,
    /// 409
    Conflict = 409,
    /// 412
    PreconditionFailed = 412,
    /// 413
    ContentTooLarge = 413,
    /// 414
    UriTooLong = 414,
    /// 415
    UnsupportedMediaType = 415,
    /// 416
    RangeNotSatisfiable = 416,
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
    /// 507
    InsufficientStorage = 507,
    /// 505
    VersionNotSupported = 505,
}

impl Status {
    /// Code and reason phrase, as a status line has them.
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
    /// The file of the site that comes with this error, if there is one.
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
