//! Why telemetry can't start.

use tracing_subscriber::reload;

use crate::error::{Classify, ErrorKind};

/// An error at the start of telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("log.level is {level:?}: {reason}")]
    Level { level: String, reason: String },
    #[error("the level of the log can't be changed: {0}")]
    Reload(reload::Error),
    #[error("spans can't be sent to {url:?} (trace.otlp.endpoint): {reason}")]
    Exporter { url: String, reason: String },
    #[error("logging is set up already")]
    Twice,
    #[error("metric {name}: {source}")]
    Metric { name: &'static str, source: prometheus::Error },
}

impl Classify for TelemetryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Level { .. } | Self::Exporter { .. } => ErrorKind::Invalid,
            Self::Reload(_) | Self::Twice | Self::Metric { .. } => ErrorKind::Internal,
        }
    }
}
