//! `/session`: the sessions of visitors, under a virtual clock. To add a case, call `Visitor::visit` with a
//! cookie, or add an id to the forged ones.

use std::collections::HashSet;
use std::time::Duration;

use evserve::limits::{SESSION_IDLE, SESSIONS_MAX};
use evserve::protocol::Kind;

use crate::conversation::{Talk, no_library, site};
use crate::process::{Server, output, tool};
use crate::reading::{Response, responses};

struct Visitor(Talk);

/// The parsed text of `/session`.
#[derive(Debug, PartialEq, Eq)]
struct Visit {
    id: String,
    visits: u64,
    first: String,
    /// The id in Set-Cookie, if the response has one.
    cookie: Option<String>,
}

impl Visitor {
    fn new() -> Visitor {
        Visitor(Talk::with_library(Kind::Http, site(), no_library()))
    }

    fn get(&mut self, target: &str, fields: &str) -> Response {
        self.0.outcome.output.clear();
        self.0.input(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
        responses(&self.0.outcome.output, &[false]).remove(0)
    }

    fn visit(&mut self, target: &str, fields: &str) -> Visit {
        let response = self.get(target, fields);
        assert_eq!((response.status, response.field("Cache-Control")), (200, Some("no-store")));
        let value = |name: &str| {
            let line = response.text().lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.strip_prefix(": ").unwrap().to_owned()
        };
        let cookie = response.field("Set-Cookie").map(|cookie| {
            let (id, attributes) = cookie.strip_prefix("sid=").unwrap().split_once("; ").unwrap();
            assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/");
            id.to_owned()
        });
        Visit {
            id: value("id"),
            visits: value("visits").parse().unwrap(),
            first: value("first visit"),
            cookie,
        }
    }

    fn with_cookie(&mut self, id: &str) -> Visit {
        self.visit("/session", &format!("Cookie: sid={id}\r\n"))
    }
}

#[test]
fn visitors_are_recognized_by_cookie_or_query_string() {
    let mut visitor = Visitor::new();
    let first = visitor.visit("/session", "");
    assert_eq!((first.visits, first.first.as_str()), (1, "2027-01-15T08:00:00Z"));
    assert_eq!(first.cookie.as_ref(), Some(&first.id));
    assert!(first.id.len() == 32 && first.id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    visitor.0.wait(Duration::from_secs(30));
    for (visits, fields) in [
        (2, format!("Cookie: sid={}\r\n", first.id)),
        (3, format!("cookie: a=b; sid={}; c=d\r\n", first.id)),
        (4, format!("Cookie: x=sid=1\r\nCookie: sid={}\r\n", first.id)),
        (5, format!("Cookie: sid=;sid={}\r\n", first.id)),
    ] {
        let again = visitor.visit("/session", &fields);
        assert_eq!(again, Visit { visits, cookie: None, id: first.id.clone(), first: first.first.clone() });
    }
    let by_address = visitor.visit(&format!("/session?a=b&sid={}", first.id), "");
    assert_eq!((by_address.visits, by_address.cookie), (6, None));
}

#[test]
fn the_session_page_is_json_for_clients_that_prefer_json() {
    let mut visitor = Visitor::new();
    let response = visitor.get("/session", "Accept: application/json\r\n");
    assert_eq!(response.field("Content-Type"), Some("application/json"));
    assert_eq!(response.field("Vary"), Some("Accept, Cookie"));
    let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((&json["visits"], &json["first_visit"]), (&1.into(), &"2027-01-15T08:00:00Z".into()));
    let id = json["id"].as_str().unwrap().to_owned();
    assert_eq!(visitor.with_cookie(&id).visits, 2);
    let browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";
    for accept in [browser, "Accept: text/html\r\n", "Accept: */*\r\n"] {
        let response = visitor.get("/session", accept);
        assert_eq!(response.field("Content-Type"), Some("text/plain; charset=utf-8"), "{accept}");
    }
}

#[test]
fn forged_session_ids_are_never_accepted() {
    let mut visitor = Visitor::new();
    let real = visitor.visit("/session", "").id;
    let mut flipped = real.clone().into_bytes();
    flipped[31] = if flipped[31] == b'0' { b'1' } else { b'0' };
    let flipped = String::from_utf8(flipped).unwrap();
    let forged = [
        "0".repeat(32),
        "f".repeat(32),
        flipped,
        real.to_uppercase().replace(|digit: char| digit.is_ascii_digit(), "A"),
        real[..31].to_owned(),
        format!("{real}0"),
        format!("\"{real}\""),
        format!("%30{}", &real[1..]),
        String::new(),
        "../../etc/passwd".to_owned(),
        "é".repeat(16),
        "x".repeat(7000),
    ];
    for id in &forged {
        for said in [
            visitor.with_cookie(id),
            visitor.visit("/session?sid=1", &format!("Cookie: sid={id}; sid={id}\r\n")),
            visitor.visit(&format!("/session?sid={}", id.replace(['"', 'é'], "z")), ""),
        ] {
            assert_eq!((said.visits, said.cookie.as_ref()), (1, Some(&said.id)), "{id}");
            assert!(said.id != *id && said.id != real);
        }
        // The second attempt does not find it either.
        assert_eq!(visitor.with_cookie(id).visits, 1, "{id}");
    }
    assert_eq!(visitor.with_cookie(&real).visits, 2);
}

#[test]
fn a_link_cannot_replace_the_session_of_a_visitor() {
    let mut visitor = Visitor::new();
    let (own, other) = (visitor.visit("/session", "").id, visitor.visit("/session", "").id);
    let said = visitor.visit(&format!("/session?sid={other}"), &format!("Cookie: sid={own}\r\n"));
    assert_eq!((said.id, said.visits, said.cookie), (own.clone(), 2, None));
    // Without its own session, the visitor joins the one in the link, but gets no cookie for it.
    let said = visitor.visit(&format!("/session?sid={other}"), "Cookie: sid=gone\r\n");
    assert_eq!((said.id, said.visits, said.cookie), (other, 2, None));
    assert_eq!(visitor.with_cookie(&own).visits, 3);
}

#[test]
fn idle_sessions_expire() {
    let mut visitor = Visitor::new();
    let id = visitor.visit("/session", "").id;
    let mut later = |wait: Duration| {
        // Advances only the clock of the services: the connection would time out long before.
        visitor.0.now = visitor.0.now + wait;
        visitor.0.services.core.clock.advance(visitor.0.now);
        visitor.with_cookie(&id)
    };
    let almost = SESSION_IDLE - Duration::from_secs(1);
    assert_eq!((later(almost).visits, later(almost).visits, later(almost).visits), (2, 3, 4));
    let said = later(SESSION_IDLE);
    assert!(said.visits == 1 && said.id != id && said.cookie.is_some());
}

#[test]
fn the_least_recent_session_is_evicted_when_the_table_is_full() {
    let mut visitor = Visitor::new();
    let first = visitor.visit("/session", "").id;
    let ids: HashSet<String> = (0..SESSIONS_MAX).map(|_| visitor.visit("/session", "").id).collect();
    assert_eq!((ids.len(), visitor.0.services.http.sessions.len()), (SESSIONS_MAX, SESSIONS_MAX));
    assert_eq!(visitor.with_cookie(&first).visits, 1);
}

#[test]
fn the_session_page_behaves_like_other_generated_pages() {
    let mut visitor = Visitor::new();
    assert_eq!(visitor.get("/session", "If-None-Match: *\r\n").status, 304);
    assert_eq!(visitor.get("/session", "If-Match: \"x\"\r\n").status, 412);
    visitor.0.outcome.output.clear();
    visitor.0.input(b"HEAD /session HTTP/1.1\r\nHost: h\r\n\r\nPOST /session HTTP/1.1\r\nHost: h\r\n\r\n");
    let answers = responses(&visitor.0.outcome.output, &[true, false]);
    assert!(answers[0].status == 200 && answers[0].body.is_empty());
    assert!(answers[0].field("Set-Cookie").is_some());
    assert_eq!(answers[1].status, 405);
    // A file of that name takes precedence.
    let mut visitor = Visitor(Talk::new(site().with("session", "a file")));
    let response = visitor.get("/session", "");
    assert_eq!((response.text(), response.field("Set-Cookie")), ("a file", None));
}

#[test]
fn curl_keeps_its_session_in_a_cookie_jar() {
    let Some(curl) = tool("curl") else { return };
    let server = Server::start(&[]);
    let jar = server.site.path().join("jar");
    let jar = jar.to_str().unwrap();
    let url = format!("http://{}/session", server.address);
    for visits in 1..4 {
        let said = output(&curl, &["-sS", "--fail", "-b", jar, "-c", jar, &url]);
        assert!(said.contains(&format!("visits: {visits}\n")), "{said}");
    }
}
