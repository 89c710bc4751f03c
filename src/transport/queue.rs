//! How much of its output a socket still holds: the one call that has no safe binding.

use std::os::fd::BorrowedFd;

/// Linux: SIOCOUTQ (tcp(7), unix(7)), bytes sent and not acknowledged.
#[cfg(all(target_os = "linux", not(evserve_portable)))]
#[allow(unsafe_code)]
pub fn unacknowledged(socket: BorrowedFd<'_>) -> Option<usize> {
    use rustix::ioctl::{Getter, Opcode, ioctl};

    /// TIOCOUTQ by its other name. Three old families of machines have numbers of their own.
    const SIOCOUTQ: Opcode = if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        0x7472
    } else if cfg!(any(target_arch = "powerpc", target_arch = "powerpc64", target_arch = "sparc64")) {
        0x4004_7473
    } else {
        0x5411
    };
    // SAFETY: SIOCOUTQ writes one int, and that is what the getter has room for.
    let queued: i32 = unsafe { ioctl(socket, Getter::<SIOCOUTQ, i32>::new()) }.ok()?;
    usize::try_from(queued).ok()
}

/// Elsewhere each system has a call of its own; without one, only what a socket takes is progress.
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
pub fn unacknowledged(_socket: BorrowedFd<'_>) -> Option<usize> {
    None
}
