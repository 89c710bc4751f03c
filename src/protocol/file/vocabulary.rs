//! The words that server and client exchange, in every dialect.

/// The replies of a legacy dialect.
#[derive(Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Whether a listing sends all names in one message.
    pub joined: bool,
    /// The reply to an upload that may begin.
    pub upload: &'static str,
    /// The reply to a listing if there are no files.
    pub empty: &'static str,
    /// The reply to a download if the file does not exist.
    pub not_found: &'static str,
    /// The reply to an upload if a file with its name exists.
    pub exists: &'static str,
    /// The reply to an upload that is refused for any other reason.
    pub cannot_store: &'static str,
}

/// The dialect of teaching notes 000 and 002.
pub const JOINED: Vocabulary = Vocabulary {
    joined: true,
    upload: "OK",
    empty: "文件库为空",
    not_found: "文件不存在",
    exists: "文件已存在",
    cannot_store: "无法上传",
};

/// The dialect of teaching note 004.
pub const LISTED: Vocabulary = Vocabulary {
    joined: false,
    upload: "ok",
    empty: "FAIL",
    not_found: "FAIL",
    exists: "FAIL",
    cannot_store: "FAIL",
};

/// The end of a payload in the legacy dialects, and of a typed text in the line dialect.
pub const END: &[u8] = b"##";

/// The first word of a success reply in the line dialect.
pub const OK: &str = "OK";

/// The first word of an error reply in the line dialect. A code and a text for people follow.
pub const ERR: &str = "ERR";

/// The commands of the line dialect. Some also have a short form for people.
pub mod command {
    /// Lists the files.
    pub const LIST: &str = "LIST";
    /// Sends a file to the client.
    pub const GET: &str = "GET";
    /// Stores a file from the client.
    pub const PUT: &str = "PUT";
    /// Continues an interrupted upload.
    pub const RESUME: &str = "RESUME";
    /// Returns the length and the modification time of a file.
    pub const STAT: &str = "STAT";
    /// Returns the SHA-256 of a file.
    pub const HASH: &str = "HASH";
    /// Sets the offset at which the next GET starts.
    pub const REST: &str = "REST";
    /// Lists the commands.
    pub const HELP: &str = "HELP";
    /// Closes the connection.
    pub const QUIT: &str = "QUIT";
}

/// The error codes of the line dialect, which follow [`ERR`].
pub mod code {
    /// The line is not a command.
    pub const BAD_COMMAND: &str = "bad-command";
    /// The received bytes do not have the announced SHA-256.
    pub const BAD_HASH: &str = "bad-hash";
    /// A length is malformed, or does not match the file or the received bytes.
    pub const BAD_LENGTH: &str = "bad-length";
    /// The name is not a valid file name.
    pub const BAD_NAME: &str = "bad-name";
    /// The server is too busy, or another connection writes the same upload.
    pub const BUSY: &str = "busy";
    /// A file with this name exists.
    pub const EXISTS: &str = "exists";
    /// The server or its disk failed.
    pub const INTERNAL: &str = "internal";
    /// The disk is full, or the upload does not fit on it.
    pub const NO_SPACE: &str = "no-space";
    /// The file does not exist.
    pub const NOT_FOUND: &str = "not-found";
    /// The library cannot be written to.
    pub const READ_ONLY: &str = "read-only";
    /// The client was too slow.
    pub const TIMEOUT: &str = "timeout";
    /// The upload or the listing exceeds a limit.
    pub const TOO_LARGE: &str = "too-large";
}
