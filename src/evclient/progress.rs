//! The progress bar of a transfer, which is shown on a terminal and not in a pipe.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const STYLE: &str = "{msg} {bytes}/{total_bytes} {wide_bar} {percent} % {bytes_per_sec} {eta}";

/// Returns a bar for a transfer of `length` bytes that resumes at `offset`.
pub(crate) fn bar(name: &str, offset: u64, length: u64) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(10));
    // The template is a valid constant.
    let style = ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_message(name.to_owned());
    bar.set_position(offset);
    // The bytes before `offset` do not count for the rate.
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
