//! Log lines: where they go and which of them are shown.

use std::sync::OnceLock;

use parking_lot::Mutex;
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, reload, util::SubscriberInitExt};

use super::{error::TelemetryError, traces::Traces};
use crate::config::{LogConfig, LogFormat, check_level};

/// A longer level comes from no person.
const MAX_LEVEL_BYTES: usize = 1024;

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

/// The level of the log. It may change while the process runs.
pub struct LogLevel {
    shown: Mutex<String>,
    install: Box<dyn Fn(EnvFilter) -> Result<(), TelemetryError> + Send + Sync>,
}

impl std::fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogLevel").field(&self.get()).finish()
    }
}

impl LogLevel {
    /// A level that `install` brings into effect.
    pub fn new(level: &str, install: impl Fn(EnvFilter) -> Result<(), TelemetryError> + Send + Sync + 'static) -> Self {
        Self { shown: Mutex::new(level.to_owned()), install: Box::new(install) }
    }

    /// The level as it was given last.
    pub fn get(&self) -> String {
        self.shown.lock().clone()
    }

    /// Brings another level into effect, until it is changed again or the process ends.
    ///
    /// # Errors
    /// `Level`: the text is none.
    pub fn set(&self, level: &str) -> Result<(), TelemetryError> {
        let filter = filter(level)?;
        // Held until both are done, so that the level that is shown is the one in effect.
        let mut shown = self.shown.lock();
        (self.install)(filter)?;
        level.clone_into(&mut shown);
        Ok(())
    }
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let fail = |reason: String| TelemetryError::Level { level: level.to_owned(), reason };
    if level.len() > MAX_LEVEL_BYTES {
        return Err(fail(format!("it is longer than {MAX_LEVEL_BYTES} bytes")));
    }
    check_level(level).map_err(fail)?;
    EnvFilter::try_new(directives(level)).map_err(|error| fail(error.to_string()))
}

/// The level of the log of this process. It is as global as the log itself.
static LEVEL: OnceLock<LogLevel> = OnceLock::new();

/// The level of the log; none before [`init`].
pub fn log_level() -> Option<&'static LogLevel> {
    LEVEL.get()
}

/// Sends log lines to standard error, because standard output is for the answers of the command line, and spans to where
/// `traces` sends them.
pub fn init(config: &LogConfig, traces: Option<&Traces>) -> Result<(), TelemetryError> {
    let (shown, handle) = reload::Layer::new(filter(&config.level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(shown);
    let subscriber = tracing_subscriber::registry().with(lines).with(traces.map(Traces::layer));
    subscriber.try_init().map_err(|_| TelemetryError::Twice)?;
    let level = LogLevel::new(&config.level, move |filter| handle.reload(filter).map_err(TelemetryError::Reload));
    LEVEL.set(level).map_err(|_| TelemetryError::Twice)
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

    #[test]
    fn a_level_changes_or_stays() {
        let installed = std::sync::Arc::new(Mutex::new(Vec::new()));
        let seen = std::sync::Arc::clone(&installed);
        let level = LogLevel::new("info", move |filter| {
            seen.lock().push(filter.to_string());
            Ok(())
        });
        level.set("warn").unwrap();
        assert_eq!(level.get(), "warn");
        let long = "debug,".repeat(400);
        for (wrong, reason) in
            [("infoo", "none of off, error"), ("", "none of off, error"), (&long, "longer than 1024")]
        {
            let error = level.set(wrong).unwrap_err().to_string();
            assert!(error.starts_with("log.level is") && error.contains(reason), "{error}");
        }
        assert_eq!((level.get().as_str(), installed.lock().len()), ("warn", 1));
        level.set("debug").unwrap();
        assert!(installed.lock()[1].contains("h2=info"), "{:?}", installed.lock());
    }
}
