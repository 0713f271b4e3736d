//! Log lines: where they go and which of them are shown.

use tracing_subscriber::EnvFilter;

use super::error::TelemetryError;
use crate::config::{LogConfig, LogFormat};

/// Libraries that log every frame of every connection at `debug`, which would hide our own lines.
const CHATTY: [&str; 6] = ["h2", "hyper", "hyper_util", "tonic", "tower", "rustls"];

/// The configured level, with `info` for each chatty library that it does not name.
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

/// Sends log lines to standard error, because standard output is for the answers of the command line.
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
mod tests {
    use super::*;

    #[test]
    fn debug_is_about_us_unless_a_library_is_named() {
        for (level, expected) in [
            ("info", "info"),
            ("datacoord=debug,info", "datacoord=debug,info"),
            ("debug", "debug,h2=info,hyper=info,hyper_util=info,tonic=info,tower=info,rustls=info"),
            (
                "h2::codec=debug, TRACE",
                "h2::codec=debug,TRACE,hyper=info,hyper_util=info,tonic=info,tower=info,rustls=info",
            ),
        ] {
            assert_eq!(directives(level), expected);
            assert!(EnvFilter::try_new(expected).is_ok());
        }
    }
}
