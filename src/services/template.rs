//! The reply of the acknowledging services: a text with placeholders for the message and its sender.

use std::io::Write;

use crate::clock::Clock;
use crate::limits::TEMPLATE_MESSAGES_MAX;
use crate::peer::Peer;

/// A text with placeholders, in parsed form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Literal text.
    Text(String),
    /// `{time}`: the local time, as C's `ctime` writes it.
    Time,
    /// `{message}`: the message itself.
    Message,
    /// `{bytes}`: the length of the message.
    Bytes,
    /// `{peer}`: the sender of the message.
    Peer,
    /// `{count}`: see [`Message::count`].
    Count,
}

/// A message to be acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The bytes of the message.
    pub bytes: &'a [u8],
    /// The sender of the message.
    pub peer: Peer,
    /// The number of messages answered on the connection, or of datagrams answered to the peer, including
    /// this one.
    pub count: u64,
}

impl Default for Template {
    /// Returns the text "Your message was received" in Chinese.
    fn default() -> Template {
        Template(vec![Part::Text("收到了你的消息".into())])
    }
}

impl Template {
    /// Parses a text. Returns `None` if the name of a placeholder is unknown, or if `{message}` occurs more
    /// than [`TEMPLATE_MESSAGES_MAX`] times. A brace that begins no placeholder is literal text.
    pub fn parse(text: &str) -> Option<Template> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            let Some(name) = place(rest) else {
                plain.push('{');
                rest = &rest[1..];
                continue;
            };
            let part = match name {
                "time" => Part::Time,
                "message" => Part::Message,
                "bytes" => Part::Bytes,
                "peer" => Part::Peer,
                "count" => Part::Count,
                _ => return None,
            };
            parts.extend([Part::Text(std::mem::take(&mut plain)), part]);
            rest = &rest[name.len() + 2..];
        }
        plain.push_str(rest);
        parts.push(Part::Text(plain));
        let messages = parts.iter().filter(|part| **part == Part::Message).count();
        (messages <= TEMPLATE_MESSAGES_MAX).then_some(Template(parts))
    }

    /// Appends the reply to a message to `out`.
    pub fn write(&self, message: Message<'_>, clock: &Clock, out: &mut Vec<u8>) {
        for part in &self.0 {
            // Writes to a `Vec` do not fail.
            let _ = match part {
                Part::Text(text) => out.write_all(text.as_bytes()),
                Part::Time => out.write_all(clock.ctime().as_bytes()),
                Part::Message => out.write_all(message.bytes),
                Part::Bytes => write!(out, "{}", message.bytes.len()),
                Part::Peer => write!(out, "{}", message.peer),
                Part::Count => write!(out, "{}", message.count),
            };
        }
    }
}

/// Returns the name of the placeholder that `text` begins with. A name has only lower-case letters, so that
/// JSON in a template is literal text.
fn place(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Now;

    #[test]
    fn placeholders_are_replaced_and_other_braces_kept() {
        let clock = Clock::new(Now::read());
        let time = clock.ctime();
        let peer = Peer::from(std::net::SocketAddr::from(([10, 0, 0, 1], 80)));
        for (text, expected) in [
            ("收到了你的消息", Some("收到了你的消息".to_owned())),
            ("", Some(String::new())),
            ("{message}", Some("hi".to_owned())),
            ("在{time}接收到消息", Some(format!("在{time}接收到消息"))),
            ("{count}: {bytes} from {peer}\n", Some("3: 2 from 10.0.0.1:80\n".to_owned())),
            ("{\"bytes\":{bytes}}", Some("{\"bytes\":2}".to_owned())),
            ("{{message}} {} { {Time}", Some("{hi} {} { {Time}".to_owned())),
            ("{mesage}", None),
            ("{message", Some("{message".to_owned())),
            (&"{message}".repeat(16), Some("hi".repeat(16))),
            (&"{message}".repeat(17), None),
        ] {
            let answer = Template::parse(text).map(|template| {
                let mut out = Vec::new();
                template.write(Message { bytes: b"hi", peer, count: 3 }, &clock, &mut out);
                String::from_utf8(out).expect("text")
            });
            assert_eq!(answer, expected, "{text}");
        }
    }
}
