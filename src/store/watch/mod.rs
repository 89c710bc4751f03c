//! Files of which the system tells when they may have changed, so that nobody has to look.

#[cfg(all(target_os = "linux", not(evserve_portable)))]
mod inotify;
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
mod nothing;

#[cfg(all(target_os = "linux", not(evserve_portable)))]
pub use inotify::Watch;
#[cfg(all(target_os = "linux", not(evserve_portable)))]
pub(super) use inotify::Watches;
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
pub use nothing::Watch;
#[cfg(not(all(target_os = "linux", not(evserve_portable))))]
pub(super) use nothing::Watches;
