//! Why telemetry can't start.

use tracing_subscriber::filter::ParseError;

use crate::error::{Classify, ErrorKind};

/// An error at the start of telemetry.
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
