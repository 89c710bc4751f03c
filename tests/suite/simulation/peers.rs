//! The simulated peers: their behavior, their requests, and the output that they expect. To add a behavior,
//! add it to `Behavior` and to `SimPeer::act`; to add a request, add it to `script`.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use evserve::event_loop::Readiness;

use super::network::Wire;
use super::site::{converse_with_disk, without_dates};
use super::tls_peer::TlsClient;

/// How a peer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Sends and reads everything.
    Polite,
    /// Like `Polite`, then shuts down its output, after its last request or in the middle of one.
    HalfCloses,
    /// Sends everything and reads nothing.
    NeverReads,
    /// Stops sending halfway.
    Stops,
    /// Resets the connection halfway.
    Resets,
}

/// A peer: its end of a wire, and the script that it sends.
pub struct SimPeer {
    pub wire: Rc<RefCell<Wire>>,
    pub behavior: Behavior,
    pub script: Vec<u8>,
    /// Which requests of the script are HEAD.
    pub heads: Vec<bool>,
    pub sent: usize,
    /// The client's side of TLS, if the peer speaks it.
    pub tls: Option<Box<TlsClient>>,
    expected: OnceCell<Vec<u8>>,
}

impl SimPeer {
    pub fn new(random: &mut fastrand::Rng, faults: u8) -> SimPeer {
        let behavior = *random
            .choice(&[
                Behavior::Polite,
                Behavior::Polite,
                Behavior::HalfCloses,
                Behavior::NeverReads,
                Behavior::Stops,
                Behavior::Resets,
            ])
            .unwrap();
        let (mut script, heads) = script(random);
        if behavior == Behavior::HalfCloses && random.bool() {
            script.truncate(random.usize(..=script.len()));
        }
        SimPeer::with(behavior, (script, heads), OnceCell::new(), random, faults)
    }

    /// Creates a peer that sends random bytes and expects them back.
    pub fn echo(random: &mut fastrand::Rng, faults: u8) -> SimPeer {
        let behavior = if random.bool() { Behavior::Polite } else { Behavior::HalfCloses };
        let mut script = vec![0; random.usize(..200_000)];
        random.fill(&mut script);
        SimPeer::with(behavior, (script.clone(), Vec::new()), script.into(), random, faults)
    }

    pub fn with(
        behavior: Behavior,
        (script, heads): (Vec<u8>, Vec<bool>),
        expected: OnceCell<Vec<u8>>,
        random: &mut fastrand::Rng,
        faults: u8,
    ) -> SimPeer {
        let wire = Wire {
            address: [10, 0, 0, 1].into(),
            random: random.fork(),
            faults,
            token: None,
            short_recv_drains: random.bool(),
            arrived: VecDeque::new(),
            ended: false,
            reset: false,
            window: random.usize(0..100_000),
            blocked: false,
            received: Vec::new(),
            server_ended: false,
            closed: false,
            unacknowledged: 0,
            read_in_turn: 0,
            written_in_turn: 0,
        };
        SimPeer { wire: Rc::new(RefCell::new(wire)), behavior, script, heads, sent: 0, tls: None, expected }
    }

    /// Returns the expected output of the server. It is computed on demand, since that takes long and most
    /// tests do not need it.
    pub fn expected(&self) -> &[u8] {
        self.expected.get_or_init(|| converse_with_disk(&self.script, self.behavior == Behavior::HalfCloses))
    }

    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the content that the peer has received.
    pub fn received(&self) -> Vec<u8> {
        match &self.tls {
            Some(tls) => tls.plain.clone(),
            None => self.wire.borrow().received.clone(),
        }
    }

    /// Acts at random and returns the event for the server, if any.
    pub fn act(&mut self, random: &mut fastrand::Rng) -> Option<Readiness> {
        if self.is_encrypted() {
            return self.act_in_tls(random);
        }
        let wire = &mut *self.wire.borrow_mut();
        let token = wire.token.filter(|_| !wire.closed && !wire.reset)?;
        let mut readiness = Readiness { token, readable: false, writable: false, ending: false };
        let stops_at = match self.behavior {
            Behavior::Stops | Behavior::Resets => self.script.len() / 2,
            _ => self.script.len(),
        };
        if self.sent < stops_at && random.bool() {
            let most = if random.bool() { 3 } else { 40_000 };
            let count = random.usize(1..=most).min(stops_at - self.sent);
            wire.arrived.extend(&self.script[self.sent..self.sent + count]);
            self.sent += count;
            readiness.readable = true;
        }
        let all_sent = self.sent == self.script.len();
        if self.behavior == Behavior::HalfCloses && all_sent && !wire.ended && random.bool() {
            wire.ended = true;
            (readiness.readable, readiness.ending) = (true, true);
        }
        if self.behavior == Behavior::Resets && self.sent == stops_at && random.u8(..10) == 0 {
            wire.reset = true;
            return Some(Readiness { token, readable: true, writable: true, ending: true });
        }
        if self.behavior != Behavior::NeverReads && wire.window < 50_000 && random.bool() {
            wire.window += random.usize(1..600_000);
            readiness.writable = std::mem::take(&mut wire.blocked);
        }
        (readiness.readable || readiness.writable).then_some(readiness)
    }

    /// Returns whether this peer has received the expected output and has nothing left to do.
    pub fn is_satisfied(&self) -> bool {
        let wire = self.wire.borrow();
        let all_sent = self.sent == self.script.len();
        match self.behavior {
            Behavior::Polite => all_sent && without_dates(&self.received()) == self.expected(),
            Behavior::HalfCloses => wire.closed && without_dates(&self.received()) == self.expected(),
            _ => true,
        }
    }
}

/// Returns a random sequence of requests, and which of them are HEAD.
fn script(random: &mut fastrand::Rng) -> (Vec<u8>, Vec<bool>) {
    let (mut script, mut heads) = (Vec::new(), Vec::new());
    let count = if random.u8(..8) == 0 { 200 } else { random.usize(1..12) };
    for _ in 0..count {
        let large = count < 12;
        let request: &[u8] = match random.u8(..17) {
            0 if large => b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n",
            1 if large => b"GET /disk.bin HTTP/1.1\r\nHost: h\r\n\r\n",
            2 => b"POST /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nsome body",
            3 => {
                b"POST /a.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            }
            12 if large => b"GET /empty/ HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n",
            13 if large => b"GET /many/ HTTP/1.1\r\nHost: h\r\n\r\n",
            14 => b"GET /words.txt HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n",
            15 if large => b"GET /disk.bin HTTP/1.1\r\nHost: h\r\nRange: bytes=300000-600000\r\n\r\n",
            16 => b"GET /a.txt HTTP/1.1\r\nHost: h\r\nIf-None-Match: *\r\n\r\n",
            4 => b"HEAD /disk.bin HTTP/1.1\r\nHost: h\r\n\r\n",
            5 => b"\r\nGET /missing HTTP/1.1\r\nHost: h\r\n\r\n",
            6 if random.u8(..4) == 0 => b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            7 if random.u8(..4) == 0 => b"GET / HTTP/1.1\r\nBroken\r\n\r\n",
            8 if random.u8(..4) == 0 => {
                script.extend(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n");
                script.extend([b'x'; 90_000]);
                heads.push(false);
                continue;
            }
            _ => b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n",
        };
        script.extend(request);
        heads.push(request.starts_with(b"HEAD"));
    }
    (script, heads)
}
