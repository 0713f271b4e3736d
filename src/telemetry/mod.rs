//! Reports of the process about itself: log lines, spans, metrics and profiles.
//!
//! Must never: use a global, except the one subscriber that [`init`] installs and its level, and the profiler, of which a
//! process has one; make an id or a user's name a label of a metric, because every new value costs a series for ever: labels
//! are closed sets (states, kinds, reasons, methods).

mod error;
mod log;
mod metrics;
pub mod profile;
mod request_id;
mod traces;

pub use error::TelemetryError;
pub use log::{LogLevel, init, log_level};
pub use metrics::{
    CallOutcome, CatalogMetrics, CompactionMetrics, ConnectionMetrics, CounterBy, GaugeBy, GcMetrics, GrpcMetrics,
    HealthMetrics, HistogramBy, HttpMetrics, IngestMetrics, MemoryMetrics, MetricEntry, Metrics, MilvusMetrics,
    ProcessMetrics, StorageMetrics, WalMetrics, catch_up,
};
pub use request_id::request_id;
pub use traces::{Traces, follow};
