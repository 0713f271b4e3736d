//! How the process is: one value, that every edge shows in its own way.
//!
//! *Alive*: all of it works. *Degraded*: calls are taken and nothing acknowledged is at risk, and something waits for the
//! world around it; a restart would not help. *Failed*: writes are refused until somebody restarts or stops it.

use std::time::Duration;

use super::Coordinator;
use crate::{ingest::Health, storage::Outage};

/// Ascending by how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    Alive,
    Degraded,
    Failed,
}

impl Condition {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// A part that is not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ailment {
    /// `catalog`, `store`, `flush`, `object`, `log` or `ownership`.
    pub part: &'static str,
    pub condition: Condition,
    pub reason: String,
}

/// Whether the process does its work, and what is wrong if not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthReport {
    /// The worst first.
    pub ailments: Vec<Ailment>,
}

impl HealthReport {
    pub fn condition(&self) -> Condition {
        self.ailments.first().map_or(Condition::Alive, |worst| worst.condition)
    }

    /// Whether calls may be sent here.
    pub fn takes_calls(&self) -> bool {
        self.condition() != Condition::Failed
    }

    pub fn reasons(&self) -> Vec<String> {
        self.ailments.iter().map(|a| format!("{} {}: {}", a.part, a.condition.as_str(), a.reason)).collect()
    }
}

/// The rule, apart from whoever is asked.
fn report(
    fenced: Option<String>,
    step_died: Option<String>,
    log: &Health,
    (place, outage): (&str, Option<(Outage, u64)>),
    damage: Vec<String>,
) -> HealthReport {
    let mut ailments = Vec::new();
    if let Some(reason) = fenced {
        ailments.push(Ailment { part: "ownership", condition: Condition::Failed, reason });
    }
    if let Some(reason) = step_died {
        ailments.push(Ailment { part: "catalog", condition: Condition::Failed, reason });
    }
    if let Health::LogFailed { error } = log {
        let reason = format!("the write-ahead log takes no more writes until a restart: {error}");
        ailments.push(Ailment { part: "log", condition: Condition::Failed, reason });
    }
    if let Some((Outage { lasted, error }, since_ms)) = outage {
        let since = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_millis(since_ms));
        let reason = format!(
            "{place} does not work since {since} ({} s): writes are accepted, flushes and merges wait: {error}",
            lasted.as_secs()
        );
        ailments.push(Ailment { part: "store", condition: Condition::Degraded, reason });
    }
    if let Health::FlushFailing { segments, deltas, error } = log {
        let degraded = |reason| Ailment { part: "flush", condition: Condition::Degraded, reason };
        if !segments.is_empty() {
            let count = segments.len();
            ailments.push(degraded(format!("{count} sealed segments can't be flushed and are tried again: {error}")));
        }
        ailments.extend(deltas.iter().map(|d| {
            degraded(format!("{} deletes of channel {} wait, acknowledged and logged: {}", d.keys, d.channel, d.error))
        }));
    }
    // A damaged object is a reason to look, and no reason to restart: what can be done is done.
    let damaged = damage.into_iter();
    ailments.extend(damaged.map(|reason| Ailment { part: "object", condition: Condition::Degraded, reason }));
    HealthReport { ailments }
}

impl Coordinator {
    /// Cheap: nothing is asked that could wait.
    pub fn health(&self) -> HealthReport {
        let core = &self.core;
        let outage = core.store.outage().map(|outage| {
            let since_ms = core.clock.now_ms().saturating_sub(outage.lasted.as_millis() as u64);
            (outage, since_ms)
        });
        let fenced = core.fence.check().err().map(|fenced| fenced.to_string());
        let step_died = core.catalog.check().err().map(|died| died.to_string());
        let mut damage = core.damage_reasons();
        damage.extend(core.scrub_reasons());
        report(fenced, step_died, &self.ingest.health(), (core.store.place(), outage), damage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SegmentId;

    #[test]
    fn a_store_that_is_away_degrades_and_a_log_or_an_owner_that_is_lost_fails() {
        let outage = || {
            let outage = Outage { lasted: Duration::from_secs(90), error: "connection refused".to_owned() };
            Some((outage, 1_700_000_000_000))
        };
        let flushing = Health::FlushFailing {
            segments: vec![SegmentId(1), SegmentId(2)],
            deltas: vec![],
            error: "no answer".to_owned(),
        };
        let log = Health::LogFailed { error: "disk full".to_owned() };
        let well = report(None, None, &Health::Healthy, ("bucket b", None), vec![]);
        assert_eq!((well.condition(), well.takes_calls(), well.reasons()), (Condition::Alive, true, vec![]));

        let away = report(None, None, &flushing, ("bucket b", outage()), vec!["o".to_owned()]);
        assert_eq!((away.condition(), away.takes_calls()), (Condition::Degraded, true));
        assert_eq!(
            away.reasons(),
            [
                "store degraded: bucket b does not work since 2023-11-14T22:13:20Z (90 s): writes are accepted, flushes and \
                 merges wait: connection refused",
                "flush degraded: 2 sealed segments can't be flushed and are tried again: no answer",
                "object degraded: o",
            ]
        );
        for failed in [
            report(None, None, &log, ("bucket b", outage()), vec![]),
            report(None, Some("a panic".to_owned()), &Health::Healthy, ("bucket b", outage()), vec![]),
            report(Some("fenced: taken".to_owned()), None, &Health::Healthy, ("bucket b", outage()), vec![]),
        ] {
            assert_eq!((failed.condition(), failed.takes_calls()), (Condition::Failed, false));
            assert_eq!(failed.ailments[1].part, "store", "what is degraded is said as well");
        }
    }
}
