//! Waiting for several descriptors at once, with poll(2).

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Waits until a descriptor is ready, a signal arrives, or the deadline. Returns whether the first one is ready.
pub(super) fn wait<'a>(
    descriptors: impl Iterator<Item = (BorrowedFd<'a>, PollFlags)>,
    deadline: Instant,
) -> io::Result<bool> {
    let poll_fd = |(descriptor, interest)| PollFd::from_borrowed_fd(descriptor, interest);
    let mut descriptors: Vec<PollFd<'_>> = descriptors.map(poll_fd).collect();
    let timeout = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(timeout).ok();
    match poll(&mut descriptors, timeout.as_ref()) {
        Ok(_) => Ok(descriptors.first().is_some_and(|first| !first.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
