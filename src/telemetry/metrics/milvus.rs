//! The metrics of Milvus 2.3.5 that are true here too, under its names, so that its dashboards show them.
//!
//! Names, kinds, labels and buckets are Milvus' own, also where they break the rules of Prometheus (times in milliseconds, a
//! counter that ends in `_count`). Its labels with ids and names of collections and channels are left out: panels that add
//! them up see the same sums. Must never: show a number under a name that means something else in Milvus.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use super::registrar::{Buckets, CounterBy, GaugeBy, HistogramBy, Registrar};
use crate::telemetry::TelemetryError;

/// The id of the one node, as a label.
pub(super) const NODE: &str = "1";
/// The service whose calls Milvus' proxy counts.
const MILVUS_SERVICE: &str = "milvus.proto.milvus.MilvusService/";

area! {
    /// Milvus' own metrics.
    MilvusMetrics {
        requests: counter by ["node_id", "function_name", "status"] "milvus_proxy_req_count", "Calls by method and outcome; total counts all of them.";
        latency: histogram in Doubling by ["node_id", "function_name"] "milvus_proxy_req_latency", "Calls that neither read nor write rows, in milliseconds.";
        read_latency: histogram in Doubling by ["node_id", "query_type"] "milvus_proxy_sq_latency", "Searches and queries that were answered, in milliseconds.";
        write_latency: histogram in Doubling by ["node_id", "msg_type"] "milvus_proxy_mutation_latency", "Inserts, upserts and deletes that were acknowledged, in milliseconds.";
        search_vectors: counter by ["node_id"] "milvus_proxy_search_vectors_count", "Query vectors of searches that were answered.";
        insert_vectors: counter by ["node_id"] "milvus_proxy_insert_vectors_count", "Rows of inserts acknowledged.";
        upsert_vectors: counter by ["node_id"] "milvus_proxy_upsert_vectors_count", "Rows of upserts acknowledged.";
        data_nodes: gauge "milvus_datacoord_datanode_num", "Data nodes: this process is one.";
        collections: gauge "milvus_datacoord_collection_num", "Collections.";
        segments: gauge by ["segment_state"] "milvus_datacoord_segment_num", "Segments by state.";
        stored_rows: gauge by ["segment_state"] "milvus_datacoord_stored_rows_num", "Rows of live segments by state, deleted ones included.";
        stored_rows_total: counter "milvus_datacoord_stored_rows_count", "Rows written by flushes and compactions.";
        stored_bytes: gauge "milvus_datacoord_stored_binlog_size", "Bytes of the insert logs of segments that are not collected yet.";
        compacted_bytes: histogram in Doubling "milvus_datacoord_compacted_segment_size", "Bytes of the insert logs of a segment that a compaction wrote.";
        flush_requests: counter by ["node_id", "status"] "milvus_datanode_flush_req_count", "Flushes of segments by outcome; total counts all of them.";
        flush_buffers: counter by ["node_id", "status"] "milvus_datanode_flush_buffer_op_count", "Flushes of segments and of waiting deletes by outcome; total counts all of them.";
        flushed_bytes: counter by ["node_id", "msg_type"] "milvus_datanode_flushed_data_size", "Bytes of the insert logs that flushes wrote.";
        message_rows: counter by ["node_id", "msg_type"] "milvus_datanode_msg_rows_count", "Rows and deletes that the log took.";
        save_latency: histogram in Saving by ["node_id", "msg_type"] "milvus_datanode_save_latency", "Writing the objects of a flushed segment, in milliseconds.";
        compaction_latency: histogram in LongTask by ["node_id"] "milvus_datanode_compaction_latency", "Execution of a compaction plan, commit included, in milliseconds.";
        queue_latency: histogram in Doubling by ["node_id"] "milvus_datanode_compaction_latency_in_queue", "From the making of a plan to its execution, in milliseconds.";
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    Served,
    /// Code OK, with an error of Milvus in the answer.
    Refused,
    /// Another gRPC code than OK.
    Failed,
}

impl CallOutcome {
    fn status(self) -> &'static str {
        match self {
            Self::Served => "success",
            Self::Refused | Self::Failed => "fail",
        }
    }
}

/// Milvus' word for a read, if the method is one.
fn query_type(function: &str) -> Option<&'static str> {
    match function {
        "Search" => Some("search"),
        "HybridSearch" => Some("hybrid_search"),
        "Query" => Some("query"),
        _ => None,
    }
}

/// Milvus' word for a write, if the method is one.
fn msg_type(function: &str) -> Option<&'static str> {
    match function {
        "Insert" => Some("insert"),
        "Upsert" => Some("upsert"),
        "Delete" => Some("delete"),
        _ => None,
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

impl MilvusMetrics {
    /// Makes everything appear with 0 whose labels are known from the start.
    pub(super) fn show(&self) {
        self.data_nodes.set(1);
        self.save_latency.with([NODE, "insert"]);
        self.compaction_latency.with([NODE]);
        self.queue_latency.with([NODE]);
        for function in ["Search", "HybridSearch", "Query"] {
            query_type(function).map(|kind| self.read_latency.with([NODE, kind]));
        }
        for function in ["Insert", "Upsert", "Delete"] {
            msg_type(function).map(|kind| self.write_latency.with([NODE, kind]));
        }
    }

    /// Makes the series of a method appear, if it is one of Milvus' service. Its histogram comes with its first call, as in
    /// Milvus.
    pub(super) fn show_method(&self, method: &str) {
        if let Some(function) = method.strip_prefix(MILVUS_SERVICE) {
            for status in ["total", "success", "fail"] {
                self.requests.0.with_label_values(&[NODE, function, status]);
            }
        }
    }

    pub(super) fn called(&self, method: &str, outcome: CallOutcome, took: Duration) {
        let Some(function) = method.strip_prefix(MILVUS_SERVICE) else { return };
        for status in ["total", outcome.status()] {
            self.requests.0.with_label_values(&[NODE, function, status]).inc();
        }
        let latency = match (query_type(function), msg_type(function)) {
            (Some(kind), _) => self.read_latency.with([NODE, kind]),
            (None, Some(kind)) => self.write_latency.with([NODE, kind]),
            (None, None) => self.latency.0.with_label_values(&[NODE, function]),
        };
        if outcome == CallOutcome::Served {
            latency.observe(milliseconds(took));
        }
    }

    pub(super) fn compacted(&self, took: Duration, outputs: impl Iterator<Item = u64>) {
        self.compaction_latency.with([NODE]).observe(milliseconds(took));
        outputs.for_each(|bytes| self.compacted_bytes.observe(bytes as f64));
    }

    pub(super) fn waited(&self, waited: Duration) {
        self.queue_latency.with([NODE]).observe(milliseconds(waited));
    }

    pub(super) fn saved(&self, took: Duration) {
        self.save_latency.with([NODE, "insert"]).observe(milliseconds(took));
    }
}
