//! What the process says about itself: log lines and metrics.
//!
//! Nothing here is global except the one subscriber that [`init`] installs. Labels of metrics are closed sets (states,
//! kinds, reasons, methods); ids and names of users never become labels, because each value costs a series for ever.

mod metrics;

pub use metrics::{
    CatalogMetrics, CompactionMetrics, ConnectionMetrics, CounterBy, Described, GaugeBy, GcMetrics, GrpcMetrics,
    HistogramBy, HttpMetrics, IngestMetrics, MemoryMetrics, Metrics, StorageMetrics, WalMetrics,
};
use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::{
    config::{LogConfig, LogFormat},
    error::{Classify, ErrorKind},
};

/// Why telemetry can't start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log.level is {level:?}: {source}")]
    Level { level: String, source: ParseError },
    #[error("logging is set up already")]
    Twice,
    #[error("metric {name}: {source}")]
    Metric { name: &'static str, source: prometheus::Error },
}

impl Classify for TelemetryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Level { .. } => ErrorKind::Invalid,
            Self::Twice | Self::Metric { .. } => ErrorKind::Internal,
        }
    }
}

/// Libraries below our calls: at `debug` they tell of every frame of every connection, and our own lines drown.
const CHATTY: [&str; 6] = ["h2", "hyper", "hyper_util", "tonic", "tower", "rustls"];

/// The level as configured, with libraries quiet that it does not name.
fn directives(level: &str) -> String {
    let mut all: Vec<String> = level.split(',').map(|part| part.trim().to_owned()).collect();
    if all.iter().any(|part| part.eq_ignore_ascii_case("debug") || part.eq_ignore_ascii_case("trace")) {
        let is_named = |library: &str| all.iter().any(|part| part.split(['=', ':', '[']).next() == Some(library));
        let quiet: Vec<String> =
            CHATTY.iter().filter(|c| !is_named(c)).map(|library| format!("{library}=info")).collect();
        all.extend(quiet);
    }
    all.join(",")
}

/// Sends log lines to standard error; standard output belongs to the answers of the command line.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(directives(&config.level))
        .map_err(|source| TelemetryError::Level { level: config.level.clone(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match config.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    installed.map_err(|_| TelemetryError::Twice)
}

#[cfg(test)]
mod tests;
