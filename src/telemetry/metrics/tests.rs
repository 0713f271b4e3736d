use std::{collections::BTreeSet, time::Duration};

use prometheus::Registry;

use super::*;

fn metrics() -> Metrics {
    Metrics::new(Registry::new()).unwrap()
}

/// `docs/metrics.md` has one row per metric: name, kind, labels, meaning.
fn row(metric: &MetricEntry) -> String {
    let labels = if metric.labels.is_empty() { "–".to_owned() } else { metric.labels.join(", ") };
    format!("| `{}` | {} | {labels} | {} |", metric.name, metric.kind, metric.help)
}

#[test]
fn the_inventory_lists_exactly_the_registered_metrics() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let documented: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let registered: Vec<String> = metrics().inventory().iter().map(row).collect();
    assert_eq!(documented, registered, "the table should be:\n{}", registered.join("\n"));
}

#[test]
fn names_say_area_thing_and_unit() {
    let metrics = metrics();
    let names: BTreeSet<_> = metrics.inventory().iter().map(|m| m.name).collect();
    assert_eq!(names.len(), metrics.inventory().len());
    for metric in metrics.inventory() {
        let parts: Vec<_> = metric.name.split('_').collect();
        assert!(parts.len() >= 3 && parts[0] == "datacoord", "{}", metric.name);
        // Endings that Prometheus gives to the parts of histograms; its own checker refuses them elsewhere.
        assert!(!["count", "sum", "bucket"].contains(parts.last().unwrap()), "{}", metric.name);
        assert_eq!(metric.kind == "histogram", metric.name.ends_with("_seconds"), "{}", metric.name);
        assert_eq!(metric.kind == "counter", metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn values_show_in_the_text() {
    let metrics = metrics();
    metrics.compaction.ended.with(["mix", "completed"]).inc_by(3);
    metrics.catalog.segments.with(["Flushed", "L1"]).set(7);
    metrics.grpc_request("milvus.proto.milvus.MilvusService/Insert", "OK", Duration::from_millis(3));
    let text = metrics.render();
    for line in [
        r#"datacoord_compaction_plans_total{kind="mix",outcome="completed"} 3"#,
        r#"datacoord_catalog_segments{level="L1",state="Flushed"} 7"#,
        r#"datacoord_grpc_requests_total{code="OK",method="milvus.proto.milvus.MilvusService/Insert"} 1"#,
        r#"datacoord_grpc_request_seconds_bucket{method="milvus.proto.milvus.MilvusService/Insert",le="0.005"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_method_costs_a_dozen_lines() {
    let metrics = metrics();
    let count = |text: &str| text.lines().filter(|l| l.starts_with("datacoord_grpc_request_seconds")).count();
    assert_eq!(count(&metrics.render()), 0, "a method without calls has no series");
    metrics.grpc_request("milvus.proto.milvus.MilvusService/Insert", "OK", Duration::from_secs(100));
    assert!(count(&metrics.render()) <= 12, "{}", metrics.render());
}

#[test]
fn a_registry_takes_the_metrics_once() {
    let registry = Registry::new();
    Metrics::new(registry.clone()).unwrap();
    let again = Metrics::new(registry).unwrap_err();
    assert!(again.to_string().starts_with("metric datacoord_process_info: "), "{again}");
}
