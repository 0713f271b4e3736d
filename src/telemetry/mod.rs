//! Reports of the process about itself: log lines and metrics.
//!
//! Must never: use a global, except the one subscriber that [`init`] installs. Must never make an id or a user's name a
//! label of a metric, because every new value costs a series for ever: labels are closed sets (states, kinds, reasons,
//! methods).

mod error;
mod log;
mod metrics;

pub use error::TelemetryError;
pub use log::init;
pub use metrics::{
    CatalogMetrics, CompactionMetrics, ConnectionMetrics, CounterBy, GaugeBy, GcMetrics, GrpcMetrics, HistogramBy,
    HttpMetrics, IngestMetrics, MemoryMetrics, MetricEntry, Metrics, StorageMetrics, WalMetrics,
};
