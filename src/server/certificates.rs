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
    coordinator::{Ailment, Condition},
    standalone::Standalone,
    telemetry::Metrics,
    tls::{FileChange, LoadedFiles, ServerTls, TlsError},
};

const DAY_SECONDS: u64 = 86_400;
/// The log warns of a certificate that expires within this time.
const SOON_DAYS: i64 = 14;
/// The part of the health report.
const PART: &str = "certificate";

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
        let [replaced, unusable] = ["replaced", "unusable"].map(|outcome| self.metrics.tls.reloads.with([outcome]));
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
        let days = self.days();
        if days < SOON_DAYS {
            warn!(days, expires = self.tls.in_use().expires(), "the certificate of this server expires soon");
        }
    }

    /// Whole days until the end of the certificate in use; negative after it.
    fn days(&self) -> i64 {
        let (now_s, until_s) = (self.now_s(), self.tls.in_use().until_s);
        let days = |seconds: u64| i64::try_from(seconds / DAY_SECONDS).unwrap_or(i64::MAX);
        if until_s >= now_s { days(until_s - now_s) } else { -1 - days(now_s - until_s) }
    }

    /// Brings metric and health up to date.
    fn show(&self, failure: Option<&str>) {
        let days = self.days();
        self.metrics.tls.days.set(days);
        let expired = (days < 0).then(|| format!("it expired at {}", self.tls.in_use().expires()));
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
