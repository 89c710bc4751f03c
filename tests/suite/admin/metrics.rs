//! `/metrics`: its formats, and that the dashboard and the alert rules in contrib/ use metrics that exist. To add a case
//! for a format, parse it with `Exposition`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Admin;
use super::exposition::Exposition;
use crate::process::{output, tool};

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(name)
}

/// Starts a server that has done some work.
fn busy() -> Admin {
    let admin = Admin::start(&[]);
    for path in ["/1k.txt", "/large.bin", "/missing"] {
        admin.server.get(path);
    }
    admin
}

#[test]
fn every_line_of_the_metrics_is_valid_in_both_formats() {
    let admin = busy();
    let plain = admin.get("/metrics");
    assert_eq!(plain.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(plain.field("Vary"), Some("Accept"));
    let plain = Exposition::parse(plain.text(), false);
    assert!(plain.number("evserve_requests_total") >= 3);
    let accepted = [
        "application/openmetrics-text",
        // What Prometheus sends.
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    ];
    for accept in accepted {
        let open = admin.request("GET", "/metrics", &format!("Accept: {accept}\r\n"));
        let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(open.field("Content-Type"), Some(expected), "{accept}");
        assert!(open.text().ends_with("\n# EOF\n"));
        let open = Exposition::parse(open.text(), true);
        // The samples are the same.
        let names = |exposition: &Exposition| -> BTreeSet<String> {
            let samples = exposition.0.iter().flat_map(|family| &family.samples);
            samples.map(|sample| format!("{} {:?}", sample.name, sample.labels)).collect()
        };
        assert_eq!(names(&open), names(&plain));
    }
    for accept in ["*/*", "text/plain", "text/html,*/*;q=0.8"] {
        let text = admin.request("GET", "/metrics", &format!("Accept: {accept}\r\n"));
        Exposition::parse(text.text(), false);
    }
}

#[test]
fn metrics_are_for_get_and_head() {
    let admin = Admin::start(&[]);
    let post = admin.request("POST", "/metrics", "Content-Length: 0\r\n");
    assert_eq!((post.status, post.field("Allow")), (405, Some("GET, HEAD")));
    let mut client = admin.connect();
    client.send("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let head = String::from_utf8(client.rest()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn promtool_accepts_the_metrics() {
    let Some(promtool) = tool("promtool") else { return };
    let text = busy().get("/metrics").body;
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let checked = child.wait_with_output().unwrap();
    let printed = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&printed));
}

#[test]
fn promtool_accepts_the_alert_rules_and_their_tests() {
    let Some(promtool) = tool("promtool") else { return };
    let path = |name: &str| contrib(name).to_str().unwrap().to_owned();
    output(&promtool, &["check", "rules", &path("prometheus/alerts.yml")]);
    output(&promtool, &["check", "config", &path("prometheus/scrape.yml")]);
    output(&promtool, &["test", "rules", &path("prometheus/alerts_test.yml")]);
}

/// Returns the names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("evserve_") || word.starts_with("process_")).collect()
}

#[test]
fn the_dashboard_and_the_rules_use_metrics_that_exist() {
    let metrics = Admin::start(&[]).get("/metrics");
    let exposition = Exposition::parse(metrics.text(), false);
    let existing = exposition.names();
    for (name, least) in
        [("prometheus/alerts.yml", 10), ("prometheus/alerts_test.yml", 10), ("grafana/evserve.json", 30)]
    {
        let text = fs::read_to_string(contrib(name)).unwrap();
        let used = metrics_in(&text);
        assert!(used.len() >= least, "{name} uses only {used:?}");
        let unknown: Vec<&&str> = used.difference(&existing).collect();
        assert!(unknown.is_empty(), "{name} uses {unknown:?}");
    }
}

#[test]
fn the_documentation_lists_every_metric_and_label() {
    let metrics = Admin::start(&[]).get("/metrics");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/inspector.md");
    let page = fs::read_to_string(page).unwrap();
    let metrics = Exposition::parse(metrics.text(), false);
    let families = metrics.0.iter().map(|family| format!("\n| `{}` | {} | ", family.name, family.kind));
    let labels = [
        ("evserve_connection_phases", "phase"),
        ("evserve_connections_closed_total", "reason"),
        ("evserve_stalls_total", "call"),
    ];
    let values = labels.into_iter().flat_map(|(metric, label)| metrics.by(metric, label).into_keys());
    for row in families.chain(values.map(|value| format!("\n| `{value}` | "))) {
        assert!(page.contains(&row), "docs/inspector.md has no row {row}");
    }
    let existing = metrics.names();
    let unknown: Vec<&str> = metrics_in(&page).difference(&existing).copied().collect();
    assert!(unknown.is_empty(), "docs/inspector.md names {unknown:?}");
}

#[test]
fn the_page_has_every_protocol_phase_and_close_reason() {
    let admin = Admin::start(&[]);
    let metrics = admin.get("/metrics");
    let metrics = Exposition::parse(metrics.text(), false);
    let page = admin.get("/");
    for (metric, label) in [
        ("evserve_connections", "protocol"),
        ("evserve_connection_phases", "phase"),
        ("evserve_connections_closed_total", "reason"),
    ] {
        for value in metrics.by(metric, label).into_keys() {
            assert!(page.text().contains(&format!(" data-{label}=\"{value}\"")), "no {label} {value}");
        }
    }
}

#[test]
fn every_panel_of_the_dashboard_has_a_query_of_the_chosen_instances() {
    let text = fs::read_to_string(contrib("grafana/evserve.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel} has the id of another one");
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && panel["title"].is_string() && panel["description"].is_string());
        for target in targets {
            let query = target["expr"].as_str().unwrap();
            assert!(query.contains(r#"{instance=~"$instance""#), "{query}");
            assert_eq!(target["datasource"]["uid"], "${datasource}");
        }
    }
    assert!(panels.len() > 25, "{} panels", panels.len());
}
