//! The health of the process: one value, which every edge shows in its own way.
//!
//! *Alive*: all of it works. *Degraded*: calls are taken and nothing acknowledged is at risk, and something waits for the
//! world around it; a restart would not help. *Failed*: writes are refused until a restart.

use std::time::Duration;

use crate::storage::Outage;

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
    /// One of [`PARTS`].
    pub part: &'static str,
    pub condition: Condition,
    pub reason: String,
}

/// Whether the process does its work, and the reasons if not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthReport {
    /// The worst first.
    pub ailments: Vec<Ailment>,
}

/// Every part that a report may name.
pub const PARTS: [&str; 7] = ["catalog", "store", "flush", "object", "log", "ownership", "certificate"];

impl HealthReport {
    pub fn condition(&self) -> Condition {
        self.ailments.first().map_or(Condition::Alive, |worst| worst.condition)
    }

    /// Whether calls may be sent here.
    pub fn takes_calls(&self) -> bool {
        self.condition() != Condition::Failed
    }

    /// Adds parts that are not well. The worst stays first.
    pub fn add(&mut self, ailments: impl IntoIterator<Item = Ailment>) {
        self.ailments.extend(ailments);
        // Stable: parts that are equally ill keep their order.
        self.ailments.sort_by_key(|ailment| std::cmp::Reverse(ailment.condition));
    }

    pub fn reasons(&self) -> Vec<String> {
        self.ailments.iter().map(|a| format!("{} {}: {}", a.part, a.condition.as_str(), a.reason)).collect()
    }
}

impl HealthReport {
    /// Puts a report together, apart from the parts that are asked.
    pub(crate) fn of(
        fenced: Option<String>,
        step_died: Option<String>,
        write_path: Vec<Ailment>,
        (place, outage): (&str, Option<(Outage, u64)>),
        damage: Vec<String>,
    ) -> Self {
        let mut ailments = Vec::new();
        if let Some(reason) = fenced {
            ailments.push(Ailment { part: "ownership", condition: Condition::Failed, reason });
        }
        if let Some(reason) = step_died {
            ailments.push(Ailment { part: "catalog", condition: Condition::Failed, reason });
        }
        let (failed, degraded): (Vec<_>, Vec<_>) =
            write_path.into_iter().partition(|ailment| ailment.condition == Condition::Failed);
        ailments.extend(failed);
        if let Some((Outage { lasted, error }, since_ms)) = outage {
            let since = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_millis(since_ms));
            let reason = format!(
                "{place} does not work since {since} ({} s): writes are accepted, flushes and merges wait: {error}",
                lasted.as_secs()
            );
            ailments.push(Ailment { part: "store", condition: Condition::Degraded, reason });
        }
        ailments.extend(degraded);
        // Damage asks for a look at the store. A restart would change nothing.
        let damaged = damage.into_iter();
        ailments.extend(damaged.map(|reason| Ailment { part: "object", condition: Condition::Degraded, reason }));
        Self { ailments }
    }
}
