//! A listening socket, and how to handle the errors of accept(2).

use std::io::{self, ErrorKind};

use rustix::io::Errno;

use crate::protocol::Kind;

/// A listening socket in the loop.
#[derive(Debug)]
pub(super) struct Listener<L> {
    /// The listening socket.
    pub socket: L,
    /// The protocol of its connections.
    pub kind: Kind,
    /// Whether the backlog may hold connections. Edge-triggered polling does not report them again.
    pub accept_pending: bool,
}

impl<L> Listener<L> {
    /// Creates a listener whose backlog was never drained.
    pub(super) fn new(socket: L, kind: Kind) -> Listener<L> {
        Listener { socket, kind, accept_pending: true }
    }
}

/// What to do after a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptFailure {
    /// The backlog is empty: wait for an event.
    Drained,
    /// The connection is gone: accept the next one.
    ConnectionGone,
    /// No descriptor or memory is left: evict a connection.
    OutOfDescriptors,
    /// Another error: retry later.
    Unknown,
}

/// Classifies an error of accept(2). Linux also returns errors that are pending on the new connection.
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
