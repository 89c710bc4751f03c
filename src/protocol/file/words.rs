//! What server and client say to each other, in every dialect.

/// What a dialect says.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
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
pub const JOINED: Words = Words {
    joined: true,
    upload: "OK",
    empty: "文件库为空",
    not_found: "文件不存在",
    exists: "文件已存在",
    cannot_store: "无法上传",
};

/// Document 004.
pub const LISTED: Words = Words {
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

/// The code of what is no command.
pub const BAD_COMMAND: &str = "bad-command";
