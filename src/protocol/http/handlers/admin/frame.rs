//! The state of the loop as JSON, which `/events` and `/loop.json` share. docs/inspector.md describes it; `version`
//! changes when a program that reads it would have to change.

use std::fmt::Write;
use std::time::Duration;

use crate::clock::rfc3339;
use crate::close_reason::CloseReason;
use crate::observe::{Activity, Census, Histogram, Stalls, Statistics, Timers, TurnRecord};
use crate::services::{Core, frame_interval};

/// The name and version of the program.
pub(super) const PROGRAM: &str = concat!("evserve ", env!("CARGO_PKG_VERSION"));

/// Writes the members that every representation has, with the recorded turns from number `first` on.
pub(super) fn write_members(census: &Census, first: u64, core: &Core, out: &mut String) {
    let uptime = census.now.monotonic - core.started.monotonic;
    let _ = write!(
        out,
        "\"version\":1,\"program\":\"{PROGRAM}\",\"turn\":{},\"time\":\"{}\",\"uptime_ms\":{},\"draining\":{}",
        census.turn,
        rfc3339(census.now.wall),
        uptime.as_millis(),
        core.is_draining(),
    );
    let interval = frame_interval(census.slots.protocols.len()).as_millis();
    let most = core.limits.max_connections;
    let _ = write!(out, ",\"interval_ms\":{interval},\"max_connections\":{most},\"open\":{{");
    list(out, census.open.iter().map(|(name, count)| (*name, *count as u64)));
    out.push_str("},\"phases\":{");
    list(out, Activity::ALL.iter().map(|one| (one.name().0, census.activities[*one as usize] as u64)));
    out.push_str("},\"counters\":{");
    write_counters(&census.statistics, out);
    out.push_str("},\"turns\":{");
    write_turns(core, census.turn, first, out);
    out.push_str("},\"timers\":{");
    write_timers(&census.timers, census, out);
    out.push_str("},\"stalls\":{");
    write_stalls(core.recorder.stalls(), out);
    let services = &census.services;
    out.push_str("},\"cache\":{");
    list(
        out,
        [
            ("files", services.cached_files as u64),
            ("bytes", services.cached_bytes as u64),
            ("max_bytes", services.cached_bytes_max as u64),
            ("hits", services.cache_hits),
            ("misses", services.cache_misses),
        ],
    );
    let _ = write!(out, "}},\"watches\":{{\"count\":{}}},\"library\":{{", services.watches);
    let statistics = &census.statistics;
    list(
        out,
        [
            ("uploads", statistics.uploads),
            ("upload_bytes", statistics.upload_bytes),
            ("deleted", statistics.deleted),
            ("open_files", services.open_files as u64),
            ("max_open_files", services.open_files_max as u64),
        ],
    );
    out.push('}');
}

/// Writes the map of the slab.
pub(super) fn write_slots(census: &Census, out: &mut String) {
    let (protocols, phases) = (&census.slots.protocols, &census.slots.activities);
    let _ = write!(out, "\"slots\":{{\"protocols\":\"{protocols}\",\"phases\":\"{phases}\"}}");
}

/// Writes names with numbers as members.
fn list(out: &mut String, members: impl IntoIterator<Item = (&'static str, u64)>) {
    for (index, (name, number)) in members.into_iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(out, "{comma}\"{name}\":{number}");
    }
}

fn write_counters(statistics: &Statistics, out: &mut String) {
    list(
        out,
        [
            ("accepted", statistics.accepted),
            ("rejected", statistics.turned_away),
            ("requests", statistics.requests),
            ("received_bytes", statistics.received_bytes),
            ("sent_bytes", statistics.sent_bytes),
            ("datagrams_received", statistics.datagrams.received),
            ("datagrams_answered", statistics.datagrams.answered),
        ],
    );
    out.push_str(",\"closed\":{");
    let closed = CloseReason::ALL.iter().map(|reason| (reason.name(), statistics.ended(*reason)));
    list(out, closed.filter(|(_, count)| *count > 0));
    out.push('}');
}

fn write_turns(core: &Core, count: u64, first: u64, out: &mut String) {
    let totals = core.recorder.totals();
    list(
        out,
        [
            ("count", count),
            ("work_us", totals.work_us),
            ("poll_us", totals.poll_us),
            ("events", totals.events),
            ("driven", totals.driven),
            ("budget_hits", totals.budget_hits),
        ],
    );
    for (name, histogram) in [("time_us", &totals.time_us), ("events_per_turn", &totals.events_per_turn)] {
        let bounds = numbers(Histogram::bounds());
        let counts = numbers(histogram.counts().iter().copied());
        let _ = write!(out, ",\"{name}\":{{\"bounds\":[{bounds}],\"counts\":[{counts}]}}");
    }
    out.push_str(",\"recent\":[");
    for (index, turn) in core.recorder.since(first).filter(|turn| turn.number <= count).enumerate() {
        let TurnRecord { number, events, driven, budget_hits, poll_us, work_us } = turn;
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(out, "{comma}[{number},{events},{driven},{poll_us},{work_us},{budget_hits}]");
    }
    out.push(']');
}

fn numbers(numbers: impl Iterator<Item = u64>) -> String {
    let texts: Vec<String> = numbers.map(|number| number.to_string()).collect();
    texts.join(",")
}

fn write_stalls(stalls: &Stalls, out: &mut String) {
    let _ = write!(out, "\"count\":{},\"causes\":{{", stalls.count());
    list(out, stalls.causes().filter(|(_, count)| *count > 0));
    out.push_str("},\"recent\":[");
    for (index, stall) in stalls.recent().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let (at, ms) = (rfc3339(stall.at), stall.worked.as_millis());
        let call_ms = stall.call.map_or(0, |(_, time)| time.as_millis());
        let connection = stall.connection.map_or("null".to_owned(), |id| id.to_string());
        let _ = write!(
            out,
            "{comma}{{\"turn\":{},\"time\":\"{at}\",\"ms\":{ms},\"call\":\"{}\",\"call_ms\":{call_ms},\"connection\":{connection}}}",
            stall.turn,
            stall.cause(),
        );
    }
    out.push(']');
}

fn write_timers(timers: &Timers, census: &Census, out: &mut String) {
    let left = |at| Duration::as_millis(&(at - census.now.monotonic)).to_string();
    let next = timers.next.map_or("null".to_owned(), left);
    let _ = write!(out, "\"count\":{},\"next_ms\":{next},\"due\":{{", timers.count);
    for (within, due) in Timers::WITHIN.iter().zip(timers.due) {
        let _ = write!(out, "\"{within}s\":{due},");
    }
    let _ = write!(out, "\"later\":{}}}", timers.due[Timers::WITHIN.len()]);
}
