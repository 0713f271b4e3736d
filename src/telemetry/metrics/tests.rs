use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

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
    let foreign = ["process_", "milvus_"];
    for metric in metrics.inventory().iter().filter(|m| !foreign.iter().any(|prefix| m.name.starts_with(prefix))) {
        let parts: Vec<_> = metric.name.split('_').collect();
        assert!(parts.len() >= 3 && parts[0] == "datacoord", "{}", metric.name);
        // Endings that Prometheus gives to the parts of histograms; its own checker refuses them elsewhere.
        assert!(!["count", "sum", "bucket"].contains(parts.last().unwrap()), "{}", metric.name);
        assert!(metric.kind != "histogram" || metric.name.ends_with("_seconds"), "{}", metric.name);
        assert_eq!(metric.kind == "counter", metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn values_show_in_the_text() {
    let metrics = metrics();
    metrics.compaction.ended.with(["mix", "completed"]).inc_by(3);
    metrics.catalog.segments.with(["Flushed", "L1"]).set(7);
    metrics.grpc_request(
        "milvus.proto.milvus.MilvusService/Insert",
        "OK",
        CallOutcome::Served,
        Duration::from_millis(3),
    );
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
    metrics.grpc_request(
        "milvus.proto.milvus.MilvusService/Insert",
        "OK",
        CallOutcome::Served,
        Duration::from_secs(100),
    );
    assert!(count(&metrics.render()) <= 12, "{}", metrics.render());
}

#[test]
fn a_registry_takes_the_metrics_once() {
    let registry = Registry::new();
    Metrics::new(registry.clone()).unwrap();
    let again = Metrics::new(registry).unwrap_err();
    assert!(again.to_string().starts_with("metric datacoord_process_info: "), "{again}");
}

/// Labels of Milvus that would cost a series for each collection, segment or channel.
const LEFT_OUT: [&str; 4] = ["collection_id", "collection_name", "segment_id", "channel_name"];

/// `tests/golden/milvus-2.3.5/metrics.txt` has the name, the kind, the labels and the buckets of each metric of the real
/// server.
#[test]
fn metrics_with_names_of_milvus_are_as_in_milvus() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/milvus-2.3.5/metrics.txt");
    let page = std::fs::read_to_string(page).unwrap();
    let real: BTreeMap<&str, Vec<&str>> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .map(|members| (members[0], members[1..].to_vec()))
        .collect();
    let metrics = metrics();
    let text = metrics.render();
    let ours: Vec<_> = metrics.inventory().iter().filter(|m| m.name.starts_with("milvus_")).collect();
    assert!(ours.len() > 20);
    for metric in ours {
        let [kind, labels, buckets] = real.get(metric.name).unwrap_or_else(|| panic!("{}", metric.name))[..] else {
            panic!("{}", metric.name)
        };
        assert_eq!(metric.kind, kind, "{}", metric.name);
        let expected: BTreeSet<&str> =
            labels.split(',').filter(|label| *label != "-" && !LEFT_OUT.contains(label)).collect();
        assert_eq!(metric.labels.iter().copied().collect::<BTreeSet<_>>(), expected, "{}", metric.name);
        let bounds: BTreeSet<String> = text
            .lines()
            .filter(|line| line.starts_with(&format!("{}_bucket", metric.name)))
            .map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap().to_owned())
            .collect();
        // One histogram comes with the first call of a method.
        if kind == "histogram" && metric.name != "milvus_proxy_req_latency" {
            let number = |bound: &str| if bound == "+Inf" { f64::INFINITY } else { bound.parse::<f64>().unwrap() };
            let sorted = |bounds: Vec<f64>| {
                let mut bounds = bounds;
                bounds.sort_by(f64::total_cmp);
                bounds
            };
            let ours = sorted(bounds.iter().map(|bound| number(bound)).collect());
            assert_eq!(ours, sorted(buckets.split(',').map(number).collect()), "{}", metric.name);
        }
    }
}

#[test]
fn milvus_counts_follow_ours() {
    let metrics = metrics();
    metrics.ingest.inserted_rows.inc_by(10);
    metrics.ingest.upserted_rows.inc_by(3);
    metrics.ingest.flushed_rows.inc_by(7);
    metrics.compaction.output_rows.inc_by(5);
    metrics.ingest.flushes.with(["done"]).inc_by(4);
    metrics.ingest.flushes.with(["failed"]).inc_by(2);
    metrics.ingest.delta_flushes.with(["done"]).inc();
    metrics.plan_committed("mix", Duration::from_millis(700), [3000, 5000].into_iter());
    metrics.plan_began(Duration::from_millis(3));
    metrics.flush_written(Duration::from_millis(20));
    let text = metrics.render();
    for line in [
        r#"milvus_proxy_insert_vectors_count{node_id="1"} 7"#,
        r#"milvus_proxy_upsert_vectors_count{node_id="1"} 3"#,
        "milvus_datacoord_stored_rows_count 12",
        r#"milvus_datanode_flush_req_count{node_id="1",status="total"} 6"#,
        r#"milvus_datanode_flush_req_count{node_id="1",status="fail"} 2"#,
        r#"milvus_datanode_flush_buffer_op_count{node_id="1",status="success"} 5"#,
        r#"milvus_datanode_compaction_latency_sum{node_id="1"} 700"#,
        r#"milvus_datanode_compaction_latency_in_queue_sum{node_id="1"} 3"#,
        r#"milvus_datanode_save_latency_bucket{msg_type="insert",node_id="1",le="100"} 1"#,
        r#"milvus_datanode_save_latency_bucket{msg_type="insert",node_id="1",le="10"} 0"#,
        "milvus_datacoord_compacted_segment_size_sum 8000",
        "milvus_datacoord_compacted_segment_size_count 2",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
