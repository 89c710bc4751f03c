//! What server and client say to each other, in every dialect.

/// What a dialect says.
#[derive(Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Whether all names come in one message.
    pub joined: bool,
    /// An upload may begin.
    pub upload: &'static str,
    /// There are no files.
    pub empty: &'static str,
    /// There is no such file.
    pub not_found: &'static str,
    /// There is one of that name.
    pub exists: &'static str,
    /// It cannot be stored.
    pub cannot_store: &'static str,
}

/// Documents 000 and 002.
pub const JOINED: Vocabulary = Vocabulary {
    joined: true,
    upload: "OK",
    empty: "文件库为空",
    not_found: "文件不存在",
    exists: "文件已存在",
    cannot_store: "无法上传",
};

/// Document 004.
pub const LISTED: Vocabulary = Vocabulary {
    joined: false,
    upload: "ok",
    empty: "FAIL",
    not_found: "FAIL",
    exists: "FAIL",
    cannot_store: "FAIL",
};

/// What ends a payload of the documents' dialects, and text that is typed in lines.
pub const END: &[u8] = b"##";

/// A reply in lines that begins so says yes.
pub const OK: &str = "OK";

/// A reply in lines that begins so says no; a code follows, and a text for people.
pub const ERR: &str = "ERR";

/// Commands in lines. Some have a short form, too, for people.
pub mod command {
    /// What files there are.
    pub const LIST: &str = "LIST";
    /// A file's bytes.
    pub const GET: &str = "GET";
    /// A file comes.
    pub const PUT: &str = "PUT";
    /// The rest of one.
    pub const RESUME: &str = "RESUME";
    /// What is known of a file.
    pub const STAT: &str = "STAT";
    /// Its SHA-256.
    pub const HASH: &str = "HASH";
    /// Where the next GET starts.
    pub const REST: &str = "REST";
    /// What commands there are.
    pub const HELP: &str = "HELP";
    /// The end.
    pub const QUIT: &str = "QUIT";
}

/// Why something is not done, in lines, behind [`ERR`].
pub mod code {
    /// It is no command.
    pub const BAD_COMMAND: &str = "bad-command";
    /// What came has another SHA-256 than was announced.
    pub const BAD_HASH: &str = "bad-hash";
    /// A length is no number, or not that of what came.
    pub const BAD_LENGTH: &str = "bad-length";
    /// No file can be called that.
    pub const BAD_NAME: &str = "bad-name";
    /// Not now.
    pub const BUSY: &str = "busy";
    /// There is a file of that name.
    pub const EXISTS: &str = "exists";
    /// The server or its disk failed.
    pub const INTERNAL: &str = "internal";
    /// The disk is full, or would be.
    pub const NO_SPACE: &str = "no-space";
    /// There is no such file.
    pub const NOT_FOUND: &str = "not-found";
    /// Nothing may be written.
    pub const READ_ONLY: &str = "read-only";
    /// It took too long.
    pub const TIMEOUT: &str = "timeout";
    /// It is larger than is taken.
    pub const TOO_LARGE: &str = "too-large";
}
