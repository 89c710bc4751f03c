//! The number of bytes that a socket still holds: the one call without a safe binding.

use std::os::fd::BorrowedFd;

/// Returns the number of bytes sent but not acknowledged. Linux: SIOCOUTQ (tcp(7), unix(7)).
#[cfg(all(target_os = "linux", not(evserve_portable)))]
#[allow(unsafe_code)]
pub fn unacknowledged(socket: BorrowedFd<'_>) -> Option<usize> {
    use rustix::ioctl::{Getter, Opcode, ioctl};

    /// Another name of TIOCOUTQ. MIPS, PowerPC and SPARC have their own numbers.
    const SIOCOUTQ: Opcode = if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        0x7472
    } else if cfg!(any(target_arch = "powerpc", target_arch = "powerpc64", target_arch = "sparc64")) {
        0x4004_7473
    } else {
        0x5411
    };
    // SAFETY: SIOCOUTQ writes one int, and the getter has room for one.
    let queued: i32 = unsafe { ioctl(socket, Getter::<SIOCOUTQ, i32>::new()) }.ok()?;
    usize::try_from(queued).ok()
}

/// Returns `None`: other systems have no common call, so only bytes that the socket accepts count as
/// progress.
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
pub fn unacknowledged(_socket: BorrowedFd<'_>) -> Option<usize> {
    None
}
