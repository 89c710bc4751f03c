//! Short forms of numbers, sizes and times.

/// Shortens a number of bytes, in powers of 1024 as the options have them: `512`, `1.5K`, `12M`.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut unit = 'K';
    for next in ['K', 'M', 'G', 'T', 'P'] {
        (unit, value) = (next, value / 1024.0);
        // 1023.5 would be rounded to 1024.
        if value < 1023.5 {
            break;
        }
    }
    if value < 9.95 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

/// Shortens a number per second.
pub(super) fn rate(value: f64) -> String {
    if value > 0.0 && value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Shortens a number of bytes per second.
pub(super) fn size_rate(value: f64) -> String {
    format!("{}/s", size(value.round() as u64))
}

/// Shortens a time to its two largest units: `340ms`, `12s`, `2m3s`, `5h1m`, `3d4h`.
pub(super) fn time(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{}s", seconds % 60),
        3600..86_400 => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// Writes a number of microseconds in the unit that keeps it short: `50 µs`, `1.5 ms`, `2 s`.
pub(super) fn microseconds(us: u64) -> String {
    match us {
        0..1000 => format!("{us} \u{b5}s"),
        1000..1_000_000 if us.is_multiple_of(1000) => format!("{} ms", us / 1000),
        1000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

/// Writes a share in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_at_most_five_characters() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (10_188, "9.9K"),
            (10_189, "10K"),
            (1_048_063, "1023K"),
            (1_048_064, "1.0M"),
            (67_108_864, "64M"),
            (u64::MAX, "16384P"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn rates_have_a_decimal_if_they_are_small() {
        for (value, text) in [(0.0, "0"), (0.04, "0.0"), (9.94, "9.9"), (9.96, "10"), (123_456.7, "123457")] {
            assert_eq!(rate(value), text);
        }
        assert_eq!(size_rate(1536.0), "1.5K/s");
    }

    #[test]
    fn times_have_two_units() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1s"),
            (123_456, "2m3s"),
            (3_600_000, "1h0m"),
            (356_400_000, "4d3h"),
        ] {
            assert_eq!(time(ms), text);
        }
        for (us, text) in
            [(0, "0 \u{b5}s"), (999, "999 \u{b5}s"), (2000, "2 ms"), (1500, "1.5 ms"), (2_500_000, "2.5 s")]
        {
            assert_eq!(microseconds(us), text);
        }
    }
}
