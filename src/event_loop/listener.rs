//! A listening socket, and what the errors of accept(2) ask for.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

use crate::protocol::Kind;

/// A listening socket in the loop.
#[derive(Debug)]
pub(super) struct Listener<L> {
    /// What is listened on.
    pub socket: L,
    /// What its connections speak.
    pub kind: Kind,
    /// Whether its backlog was left with connections in it. No event will say so again.
    pub accept_pending: bool,
}

impl<L> Listener<L> {
    /// A listener whose backlog nobody has looked into.
    pub(super) fn new(socket: L, kind: Kind) -> Listener<L> {
        Listener { socket, kind, accept_pending: true }
    }
}

/// What to do after an accept failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptFailure {
    /// The backlog is empty: wait for an event.
    Drained,
    /// That connection is gone: go on with the next.
    ConnectionGone,
    /// No descriptor or memory is left: make room.
    OutOfDescriptors,
    /// Something else: try later.
    Unknown,
}

/// Sorts the errors of accept(2). Linux passes on what the new connection has run into already.
pub(super) fn accept_failure(error: &io::Error) -> AcceptFailure {
    match (error.kind(), Errno::from_io_error(error)) {
        (ErrorKind::WouldBlock, _) => AcceptFailure::Drained,
        (_, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
            AcceptFailure::OutOfDescriptors
        }
        (
            _,
            Some(
                Errno::CONNABORTED
                | Errno::INTR
                | Errno::PROTO
                | Errno::PERM
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
                | Errno::TIMEDOUT,
            ),
        ) => AcceptFailure::ConnectionGone,
        _ => AcceptFailure::Unknown,
    }
}
