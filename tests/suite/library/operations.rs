//! The operations of the peers in `model.rs`, their scripts, and the expected replies. To add an operation,
//! add it to `Op` and to `lines_script`, and its replies to the model.

use crate::conversation::Talk;

pub const MAX_UPLOAD: usize = 3000;

/// A few names, so that peers compete for them, and some invalid ones.
pub const NAMES: [&str; 10] = ["-", "nul", "a", "b c", "ö#%41", "-", "nul", "a", "..", "a/b"];

/// An operation on the library.
#[derive(Clone, Debug)]
pub enum Op {
    /// An upload. Without a known length it is typed text in the file protocol, and chunked over HTTP.
    Put {
        bytes: Vec<u8>,
        length_known: bool,
        only_new: bool,
    },
    /// A download, conditional if there is the entity tag of an earlier response and its content.
    Get(Option<(String, Vec<u8>)>),
    Restart(usize),
    Stat,
    Delete,
    List,
    Nonsense,
}

/// An operation in progress.
#[derive(Debug)]
pub struct Job {
    pub name: &'static str,
    pub op: Op,
    pub script: Vec<u8>,
    /// The length of the head, the first part of the script.
    pub head: usize,
    pub sent: usize,
    /// Whether a PUT over the file protocol was acceptable at the end of its head.
    pub accepted: bool,
    /// The status with which a PUT over HTTP was refused at the end of its head.
    pub refused: Option<u16>,
}

/// An expected reply. A `?` in a line stands for any byte, for timestamps.
#[derive(Debug)]
pub enum Reply {
    Line(Vec<u8>),
    Http(u16, Option<Vec<u8>>),
    Close,
}

/// One connection.
pub struct Peer {
    pub talk: Talk,
    pub http: bool,
    pub job: Option<Job>,
    /// The offset that REST has set.
    pub restart: usize,
}

pub fn line(text: impl AsRef<str>) -> Reply {
    Reply::Line(format!("{}\r\n", text.as_ref()).into_bytes())
}

pub fn is_name(name: &str) -> bool {
    !name.starts_with('.') && !name.contains('/')
}

pub fn lines_script(name: &str, op: &Op) -> (String, Vec<u8>) {
    let head = match op {
        Op::Put { bytes, length_known: true, .. } => {
            return (format!("PUT {} {name}\n", bytes.len()), bytes.clone());
        }
        Op::Put { bytes, .. } => return (format!("P {name}\r\n"), [bytes, &b"##\n"[..]].concat()),
        Op::Get(_) => format!("G {name}\r\n"),
        Op::Restart(offset) => format!("REST {offset}\n"),
        Op::Stat => format!("stat {name}\n"),
        Op::List => "L\n".into(),
        Op::Delete | Op::Nonsense => "DELE x\n".into(),
    };
    (head, Vec::new())
}
