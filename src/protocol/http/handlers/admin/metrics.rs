//! `/metrics`: the state of the loop in Prometheus' text format 0.0.4, or in OpenMetrics 1.0.0 if the client accepts it.

use std::fmt::{Display, Write};
use std::time::UNIX_EPOCH;

use crate::close_reason::CloseReason;
use crate::observe::{Activity, Census, Histogram, ProcessUsage, Statistics, TurnTotals};
use crate::services::Core;

pub(super) const PROMETHEUS: &str = "text/plain";
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text";
pub(super) const PROMETHEUS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
pub(super) const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Renders all metrics.
pub(super) fn render(census: &Census, core: &Core, is_open: bool) -> String {
    let mut out = Exposition { text: String::new(), name: String::new(), is_open };
    write_server(census, core, &mut out);
    write_traffic(&census.statistics, &mut out);
    write_turns(core.recorder.totals(), census, core, &mut out);
    write_files(census, &census.statistics, &mut out);
    write_process(&mut out);
    out.end()
}

fn write_server(census: &Census, core: &Core, out: &mut Exposition) {
    out.family("evserve_build_info", Family::Gauge, "The version of the server.");
    out.sample("", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let started = core.started.wall.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    out.gauge("evserve_start_time_seconds", "When the server was started, in Unix time.", started);
    out.gauge("evserve_draining", "1 while the server drains.", u8::from(core.is_draining()));
    out.family("evserve_connections", Family::Gauge, "Open connections by protocol.");
    census.open.iter().for_each(|(name, count)| out.sample("", &[("protocol", name)], count));
    out.family("evserve_connection_phases", Family::Gauge, "Open connections by what they do or wait for.");
    for activity in Activity::ALL {
        out.sample("", &[("phase", activity.name().0)], census.activities[activity as usize]);
    }
    let most = core.limits.max_connections;
    out.gauge("evserve_connections_max", "The limit on open connections.", most);
    out.gauge("evserve_timers", "Deadlines that the loop keeps.", census.timers.count);
}

fn write_traffic(statistics: &Statistics, out: &mut Exposition) {
    for (name, help, value) in [
        ("evserve_connections_accepted", "Connections accepted.", statistics.accepted),
        (
            "evserve_connections_rejected",
            "Connections rejected, over a limit or for lack of descriptors.",
            statistics.turned_away,
        ),
        ("evserve_requests", "Requests and other messages answered.", statistics.requests),
        ("evserve_received_bytes", "Bytes received on connections.", statistics.received_bytes),
        ("evserve_sent_bytes", "Bytes sent on connections.", statistics.sent_bytes),
        ("evserve_datagrams_received", "Datagrams received.", statistics.datagrams.received),
        ("evserve_datagrams_answered", "Datagrams answered.", statistics.datagrams.answered),
    ] {
        out.counter(name, help, value);
    }
    out.family("evserve_connections_closed", Family::Counter, "Connections closed, by reason.");
    for reason in CloseReason::ALL {
        out.sample("_total", &[("reason", reason.name())], statistics.ended(reason));
    }
}

fn write_turns(totals: &TurnTotals, census: &Census, core: &Core, out: &mut Exposition) {
    out.counter("evserve_turns", "Turns of the event loop.", census.turn);
    let seconds = |micros: u64| micros as f64 / 1e6;
    out.counter("evserve_poll_seconds", "Time in the poll, mostly asleep.", seconds(totals.poll_us));
    out.counter("evserve_sources_driven", "Sources driven in all turns.", totals.driven);
    let help = "Times that a connection used up its budget of a turn.";
    out.counter("evserve_budgets_exhausted", help, totals.budget_hits);
    out.family("evserve_turn_seconds", Family::Histogram, "Time of work by turn.");
    out.histogram(&totals.time_us, 1e6, seconds(totals.work_us));
    out.family("evserve_turn_events", Family::Histogram, "Events of the poll by turn.");
    out.histogram(&totals.events_per_turn, 1.0, totals.events as f64);
    out.family(
        "evserve_stalls",
        Family::Counter,
        "Turns of at least 50 ms, by the call that took most of it.",
    );
    for (cause, count) in core.recorder.stalls().causes() {
        out.sample("_total", &[("call", cause)], count);
    }
}

fn write_files(census: &Census, statistics: &Statistics, out: &mut Exposition) {
    let services = &census.services;
    for (name, help, value) in [
        ("evserve_cache_files", "Files in the cache.", services.cached_files),
        ("evserve_cache_bytes", "Memory of the cache.", services.cached_bytes),
        ("evserve_cache_max_bytes", "The limit on the memory of the cache.", services.cached_bytes_max),
        ("evserve_watches", "Files and folders watched for changes.", services.watches),
        ("evserve_open_files", "Descriptors of uploads, large files and listings.", services.open_files),
        ("evserve_open_files_max", "The limit on these descriptors.", services.open_files_max),
    ] {
        out.gauge(name, help, value);
    }
    for (name, help, value) in [
        ("evserve_cache_hits", "Lookups that the cache answered.", services.cache_hits),
        ("evserve_cache_misses", "Lookups that the cache did not answer.", services.cache_misses),
        ("evserve_uploads", "Files stored in the library.", statistics.uploads),
        ("evserve_upload_bytes", "Bytes of these files.", statistics.upload_bytes),
        ("evserve_deletions", "Files deleted from the library.", statistics.deleted),
    ] {
        out.counter(name, help, value);
    }
}

/// Writes metrics under the names that the client libraries of Prometheus use.
fn write_process(out: &mut Exposition) {
    let usage = ProcessUsage::read();
    out.counter("process_cpu_seconds", "User and system time of the process.", usage.cpu.as_secs_f64());
    if let Some(bytes) = usage.resident_bytes {
        out.gauge("process_resident_memory_bytes", "Resident memory of the process.", bytes);
    }
}

/// The text that is written.
struct Exposition {
    text: String,
    /// The name of the current family.
    name: String,
    is_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Counter,
    Gauge,
    Histogram,
}

impl Exposition {
    /// Begins a family. OpenMetrics names a family of counters without `_total`.
    fn family(&mut self, name: &str, kind: Family, help: &str) {
        let suffix = if kind == Family::Counter && !self.is_open { "_total" } else { "" };
        let kind = match kind {
            Family::Counter => "counter",
            Family::Gauge => "gauge",
            Family::Histogram => "histogram",
        };
        let _ = write!(self.text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
        self.name.clear();
        self.name.push_str(name);
    }

    /// Writes a sample of the current family.
    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"{text}\"", if index == 0 { "{" } else { "," });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Family::Counter, help);
        self.sample("_total", &[], value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, Family::Gauge, help);
        self.sample("", &[], value);
    }

    /// Writes the samples of a histogram, whose numbers are in units of which `per_one` make one.
    fn histogram(&mut self, histogram: &Histogram, per_one: f64, sum: f64) {
        let mut count = 0;
        for (bound, bucket) in Histogram::bounds().zip(histogram.counts()) {
            count += bucket;
            // A quotient is rounded once, so it is printed with few digits.
            let bound = format!("{}", bound as f64 / per_one);
            self.sample("_bucket", &[("le", &bound)], count);
        }
        let all: u64 = histogram.counts().iter().sum();
        self.sample("_bucket", &[("le", "+Inf")], all);
        self.sample("_sum", &[], sum);
        self.sample("_count", &[], all);
    }

    fn end(mut self) -> String {
        if self.is_open {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}
