//! The admin interface of the running program. To add a file, declare it here; to add a case, start an `Admin`, let
//! clients of its `server` do something, and ask with `get`, `state` or `connection`.

mod agreement;
mod capacity;
mod closing;
mod events;
mod exposition;
mod hosts;
mod isolation;
mod listing;
mod metrics;
mod reasons;
mod simulated;
mod stalls;

use std::fs::File;
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::process::{Client, Server, wait_for};
use crate::reading::Response;

/// A running server with an admin interface.
pub struct Admin {
    pub server: Server,
    /// The address of the admin interface.
    pub address: SocketAddr,
}

impl Admin {
    /// Starts the program with a small site and these arguments.
    pub fn start(arguments: &[&str]) -> Admin {
        let file = ["--file", "off"];
        let default = if arguments.contains(&"--file") { &[][..] } else { &file };
        Admin::of(Server::start(&[default, &OPTION, arguments].concat()))
    }

    /// Finds the admin interface of a server that was started with [`OPTION`].
    pub fn of(server: Server) -> Admin {
        let address = server.listener("admin");
        Admin { server, address }
    }

    /// Connects to the admin interface.
    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// Sends a request without a body on a new connection. `fields` are complete lines.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, fields: &str) -> Response {
        let mut client = self.connect();
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n"
        ));
        client.response()
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, "")
    }

    /// Returns `/loop.json` with this query.
    #[track_caller]
    pub fn state(&self, query: &str) -> Value {
        let response = self.get(&format!("/loop.json?{query}"));
        assert_eq!(response.status, 200, "{query}: {}", response.text());
        serde_json::from_slice(&response.body).unwrap()
    }

    /// Returns the state of the connection of a client, or `None` if the server has none.
    #[track_caller]
    pub fn find(&self, client: &TcpStream) -> Option<Value> {
        let peer = client.local_addr().unwrap().to_string();
        let state = self.state(&format!("peer={peer}"));
        let mut found = connections(&state).iter().filter(|connection| connection["peer"] == *peer);
        found.next().cloned()
    }

    /// Returns the state of the connection of a client once it is in this phase.
    #[track_caller]
    pub fn connection(&self, client: &Client, phase: &str) -> Value {
        wait_for(phase, || self.find(&client.stream).filter(|connection| connection["phase"] == *phase))
    }

    /// Returns the token that the page contains: its only word of 32 hexadecimal digits.
    pub fn token(&self) -> String {
        let page = self.get("/");
        let mut words = page.text().split(|letter: char| !letter.is_ascii_alphanumeric());
        let is_token = |word: &&str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        words.find(is_token).unwrap_or_else(|| panic!("no token in {}", page.text())).to_owned()
    }
}

/// The option that opens the admin interface of a test server.
pub const OPTION: [&str; 2] = ["--admin", "127.0.0.1:0"];

/// Returns the connections that a `/loop.json` lists.
pub fn connections(state: &Value) -> &[Value] {
    state["connections"].as_array().unwrap()
}

/// Sums up the numbers of an object's members.
pub fn sum(members: &Value) -> u64 {
    members.as_object().unwrap().values().map(|number| number.as_u64().unwrap()).sum()
}

/// Returns how many turns a histogram has counted.
pub fn counted(histogram: &Value) -> u64 {
    histogram["counts"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
}

/// Creates a file of 30 MB with this name in the site.
pub fn create_file(server: &Server, name: &str) {
    File::create(server.site.path().join(name)).unwrap().set_len(30_000_000).unwrap();
}

/// Requests a file of 30 MB with this name from the site, and reads nothing.
pub fn begin_download(server: &Server, name: &str) -> Client {
    create_file(server, name);
    let mut client = server.connect();
    client.send(format!("GET /{name} HTTP/1.1\r\nHost: h\r\n\r\n"));
    client
}
