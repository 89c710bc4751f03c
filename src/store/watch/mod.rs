//! Watches files: the kernel reports when a file may have changed, so that the cache need not check the disk.

#[cfg(all(target_os = "linux", not(evserve_portable)))]
mod inotify;
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
mod none;
#[cfg(all(target_os = "linux", not(evserve_portable)))]
mod signal;

#[cfg(all(target_os = "linux", not(evserve_portable)))]
pub use inotify::Watch;
#[cfg(all(target_os = "linux", not(evserve_portable)))]
pub(super) use inotify::Watches;
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
pub use none::Watch;
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
pub(super) use none::Watches;
