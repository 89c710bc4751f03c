//! What the peers of the model want, what they say for it, and what must come back. To add a wish, add it to
//! `Wish` and to `lines_script`, and to the model what it brings.

use crate::conversation::Talk;

pub const MAX_UPLOAD: usize = 3000;

/// Few, so that they are fought for, and some that are none.
pub const NAMES: [&str; 10] = ["-", "nul", "a", "b c", "ö#%41", "-", "nul", "a", "..", "a/b"];

/// What a peer wants.
#[derive(Clone, Debug)]
pub enum Wish {
    /// By its length, or without one: typed in lines, chunked over HTTP.
    Put {
        bytes: Vec<u8>,
        length_known: bool,
        only_new: bool,
    },
    /// With the entity tag of what was once seen, and what that was.
    Get(Option<(String, Vec<u8>)>),
    Restart(usize),
    Stat,
    Delete,
    List,
    Nonsense,
}

/// What a peer says for it.
#[derive(Debug)]
pub struct Job {
    pub name: &'static str,
    pub wish: Wish,
    pub script: Vec<u8>,
    /// Where its head ends in the script.
    pub head: usize,
    pub sent: usize,
    /// Whether a PUT may go on, as it was at the end of its head.
    pub accepted: bool,
}

/// What must come back. In lines a `?` is any byte, for times.
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
    /// What REST has said.
    pub restart: usize,
}

pub fn line(text: impl AsRef<str>) -> Reply {
    Reply::Line(format!("{}\r\n", text.as_ref()).into_bytes())
}

pub fn is_name(name: &str) -> bool {
    !name.starts_with('.') && !name.contains('/')
}

pub fn lines_script(name: &str, wish: &Wish) -> (String, Vec<u8>) {
    let head = match wish {
        Wish::Put { bytes, length_known: true, .. } => {
            return (format!("PUT {} {name}\n", bytes.len()), bytes.clone());
        }
        Wish::Put { bytes, .. } => return (format!("P {name}\r\n"), [bytes, &b"##\n"[..]].concat()),
        Wish::Get(_) => format!("G {name}\r\n"),
        Wish::Restart(offset) => format!("REST {offset}\n"),
        Wish::Stat => format!("stat {name}\n"),
        Wish::List => "L\n".into(),
        Wish::Delete | Wish::Nonsense => "DELE x\n".into(),
    };
    (head, Vec::new())
}
