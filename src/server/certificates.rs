//! Keeps the certificates of both ports as the files have them, and says so when they can't be used.
//!
//! A certificate stays in use until there is a better one: a bad file, or a certificate that has expired, never
//! ends a connection or closes a port.

use std::{path::PathBuf, sync::Arc, time::Duration};

use prometheus::IntCounter;
use tracing::{info, warn};

use super::ready::Addresses;
use crate::{
    background::blocking,
    clock::Clock,
    config::{Config, TlsMode},
    coordinator::{Ailment, Condition},
    standalone::Standalone,
    telemetry::Metrics,
    tls::{FileChange, LoadedFiles, ServerTls, TlsError},
};

const DAY_SECONDS: i64 = 86_400;
/// The log warns of a certificate that expires within this time.
const SOON_DAYS: i64 = 14;
/// The part of the health report.
const PART: &str = "certificate";

/// Labels of the metric of changed files.
const OUTCOMES: [&str; 2] = ["replaced", "unusable"];

/// Shows which ports speak TLS, also on a server without any.
pub(super) fn show_ports(metrics: &Metrics, config: &Config) {
    let with_tls = [config.tls.mode, config.tls.http()].into_iter().filter(|mode| *mode != TlsMode::Off);
    metrics.tls.ports.set(with_tls.count() as i64);
    for outcome in OUTCOMES {
        metrics.tls.reloads.with([outcome]);
    }
}

/// Everything that a change of the files concerns.
pub(super) struct Certificates {
    pub(super) tls: Arc<ServerTls>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) standalone: Arc<Standalone>,
    pub(super) metrics: Arc<Metrics>,
    /// The file for commands on this machine, which trust the certificates in it.
    pub(super) addresses: Addresses,
    pub(super) addresses_file: PathBuf,
}

impl Certificates {
    /// Looks at the files again and again. Ends only when it is dropped.
    pub(super) async fn watch(mut self, every: Duration) {
        let [replaced, unusable] = OUTCOMES.map(|outcome| self.metrics.tls.reloads.with([outcome]));
        self.report_age();
        #[expect(clippy::disallowed_methods, reason = "a background loop; tests move tokio's clock")]
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The last failure, which is logged once.
        let mut failure = None;
        loop {
            tick.tick().await;
            let (tls, now_s) = (Arc::clone(&self.tls), self.now_s());
            let looked = blocking(move || Ok::<_, tokio::task::JoinError>(tls.look(now_s))).await;
            let outcome = match looked {
                Ok(FileChange::Same) => Ok(()),
                Ok(FileChange::New(candidate)) => self.replace(candidate, &replaced),
                Ok(FileChange::Unusable(error)) => Err(error.to_string()),
                // The runtime is ending.
                Err(died) => Err(died.to_string()),
            };
            let next = outcome.err();
            if let Some(error) = next.as_ref().filter(|_| next != failure) {
                unusable.inc();
                warn!(%error, "the changed files of TLS can't be used: the certificate that was in use stays");
            }
            failure = next;
            self.show(failure.as_deref());
        }
    }

    /// The file of addresses comes first: a command that reads it must know a certificate before it meets it.
    fn replace(&mut self, candidate: LoadedFiles, replaced: &IntCounter) -> Result<(), String> {
        let old = self.tls.in_use().fingerprint;
        self.addresses.certificates = vec![candidate.shown().fingerprint.clone(), old];
        self.addresses
            .write(&self.addresses_file)
            .map_err(|error| format!("file of addresses {}: {error}", self.addresses_file.display()))?;
        self.tls.replace(candidate).map_err(|error: TlsError| error.to_string())?;
        replaced.inc();
        let in_use = self.tls.in_use();
        info!(sha256 = in_use.fingerprint, expires = in_use.expires(), "the certificate was replaced");
        self.report_age();
        Ok(())
    }

    /// Warns of an end that is near. Called when a certificate comes into use.
    fn report_age(&self) {
        let days = self.remaining_s().div_euclid(DAY_SECONDS);
        if days < SOON_DAYS {
            warn!(days, expires = self.tls.in_use().expires(), "the certificate of this server expires soon");
        }
    }

    /// Seconds until the end of the certificate in use; negative after it.
    fn remaining_s(&self) -> i64 {
        let seconds = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        seconds(self.tls.in_use().until_s).saturating_sub(seconds(self.now_s()))
    }

    /// Brings metric and health up to date.
    fn show(&self, failure: Option<&str>) {
        let remaining_s = self.remaining_s();
        self.metrics.tls.remaining.set(remaining_s);
        let expired = (remaining_s < 0).then(|| format!("it expired at {}", self.tls.in_use().expires()));
        let reasons: Vec<_> = expired.into_iter().chain(failure.map(str::to_owned)).collect();
        let ailment = (!reasons.is_empty()).then(|| Ailment {
            part: PART,
            condition: Condition::Degraded,
            reason: reasons.join("; "),
        });
        self.standalone.note(PART, ailment);
    }

    fn now_s(&self) -> u64 {
        self.clock.now_ms() / 1000
    }
}
