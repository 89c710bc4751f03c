//! Signal-driven notification (SIGIO, fcntl(2)): tells without a system call whether a queue has new events.
//!
//! The kernel sends the signal while another program changes the file, before the call of that program returns. A
//! request that the program sends afterwards is received by a later call of this thread, and a pending signal is
//! handled before that call returns. So the flag is set before the request is read. A wait for the queue's
//! readiness cannot give this order: a request may arrive after the wait and before the recv.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::thread::gettid;
use signal_hook::consts::SIGIO;
use signal_hook::{SigId, flag, low_level};

/// The flag that the signal sets.
#[derive(Debug)]
pub(super) struct EventSignal {
    is_set: Arc<AtomicBool>,
    registration: SigId,
}

/// The argument of F_SETOWN_EX: the thread that gets the signals of a descriptor.
#[repr(C)]
struct Owner {
    kind: i32,
    id: i32,
}

/// From `asm-generic/fcntl.h`, the same on all architectures; libc lacks them.
const F_SETOWN_EX: i32 = 15;
const F_OWNER_TID: i32 = 0;

impl EventSignal {
    /// Lets `queue` signal its events to this thread.
    #[allow(unsafe_code)]
    pub(super) fn new(queue: BorrowedFd<'_>) -> io::Result<EventSignal> {
        let is_set = Arc::new(AtomicBool::new(false));
        let registration = flag::register(SIGIO, Arc::clone(&is_set))?;
        let signal = EventSignal { is_set, registration };
        let owner = Owner { kind: F_OWNER_TID, id: gettid().as_raw_pid() };
        // SAFETY: F_SETOWN_EX reads one struct of two ints, which outlives the call.
        if unsafe { libc::fcntl(queue.as_raw_fd(), F_SETOWN_EX, &raw const owner) } == -1 {
            return Err(io::Error::last_os_error());
        }
        let flags = fcntl_getfl(queue)? | OFlags::from_bits_retain(libc::O_ASYNC.cast_unsigned());
        fcntl_setfl(queue, flags)?;
        Ok(signal)
    }

    /// Returns whether there were events since the last call, and resets the flag.
    pub(super) fn take(&self) -> bool {
        // The load alone is cheaper than an atomic exchange.
        self.is_set.load(Ordering::Relaxed) && self.is_set.swap(false, Ordering::Relaxed)
    }

    /// Sets the flag, as an event does.
    pub(super) fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
    }
}

impl Drop for EventSignal {
    fn drop(&mut self) {
        low_level::unregister(self.registration);
    }
}
