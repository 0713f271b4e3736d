//! The terms of a plan, taken from its collection and the settings, and the check that they still hold.
//!
//! A plan copies terms when it is made and may run much later: after a pause, a wait in the queue, a retry or a restart.
//! They are checked again when it begins and inside its commit, where nothing else can change them. So a plan never drops
//! a row that the terms at its commit would keep. Terms that would allow it to drop more rows don't stop it.

use std::time::Duration;

use crate::{
    error::{Classify, ErrorKind},
    model::{FieldId, Plan, PlanKind, PlanReason, Timestamp, Trigger},
};

/// The terms that a plan would be made on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Compaction is switched on.
    pub enabled: bool,
    /// Automatic compaction is switched on, for all collections and for this one.
    pub automatic: bool,
    /// The collection's time to live; none: rows never expire.
    pub ttl: Option<Duration>,
    pub clustering_key: Option<FieldId>,
    /// Deletes newer than this stay; [`Timestamp::MAX`]: no retention window.
    pub retain_after: Timestamp,
}

/// A term that no longer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lapsed {
    #[error("compaction has been switched off")]
    Disabled,
    #[error("automatic compaction has been switched off")]
    AutoOff,
    #[error(
        "the plan drops rows after {} s, the collection's time to live is {} now", planned.as_secs(), seconds(*now)
    )]
    Ttl { planned: Duration, now: Option<Duration> },
    #[error("the plan clusters by field {planned}, the collection's clustering key is {} now", field(*now))]
    ClusteringKey { planned: FieldId, now: Option<FieldId> },
    #[error("the plan applies deletes up to {planned}, the retention window begins at {now} now")]
    Retention { planned: Timestamp, now: Timestamp },
}

impl Classify for Lapsed {
    /// As for inputs that changed: the group is planned again.
    fn kind(&self) -> ErrorKind {
        ErrorKind::Precondition
    }
}

/// Compares the terms of a plan that `trigger` led to with the current ones.
///
/// # Errors
/// The first term that does not hold.
pub fn check_terms(plan: &Plan, trigger: Trigger, standing: &Standing) -> Result<(), Lapsed> {
    if !standing.enabled {
        return Err(Lapsed::Disabled);
    }
    if trigger != Trigger::Manual && !standing.automatic {
        return Err(Lapsed::AutoOff);
    }
    // It only moves deletes: no row and no delete is dropped, and nothing is clustered.
    if plan.kind == PlanKind::L0Delete {
        return Ok(());
    }
    if let Some(planned) = plan.ttl
        && standing.ttl.is_none_or(|now| now > planned)
    {
        return Err(Lapsed::Ttl { planned, now: standing.ttl });
    }
    if let PlanReason::Cluster { field: planned, .. } | PlanReason::ClusterAgain { field: planned } = plan.reason
        && standing.clustering_key != Some(planned)
    {
        return Err(Lapsed::ClusteringKey { planned, now: standing.clustering_key });
    }
    if plan.keep_deletes_after > standing.retain_after {
        return Err(Lapsed::Retention { planned: plan.keep_deletes_after, now: standing.retain_after });
    }
    Ok(())
}

fn seconds(ttl: Option<Duration>) -> String {
    ttl.map_or_else(|| "none".to_owned(), |ttl| format!("{} s", ttl.as_secs()))
}

fn field(key: Option<FieldId>) -> String {
    key.map_or_else(|| "none".to_owned(), |field| format!("field {field}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::{Channel, CollectionId, Group, JobId, PartitionId, PlanId, PlanState};

    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));
    const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

    fn plan() -> Plan {
        Plan {
            id: PlanId(1),
            job: JobId(2),
            group: Group { collection: CollectionId(3), partition: PartitionId(4), channel: Channel::new("c_3v0") },
            kind: PlanKind::Mix,
            reason: PlanReason::ManualMerge,
            inputs: vec![],
            keep_deletes_after: Timestamp(100),
            ttl: None,
            max_output_bytes: 1,
            created_at_ms: 0,
            attempts: 0,
            state: PlanState::Queued { not_before_ms: 0 },
        }
    }

    const STANDING: Standing = Standing {
        enabled: true,
        automatic: true,
        ttl: None,
        clustering_key: Some(FieldId(101)),
        retain_after: Timestamp(100),
    };

    #[rstest]
    #[case::none(None, None, true)]
    #[case::came(None, MINUTE, true)]
    #[case::same(MINUTE, MINUTE, true)]
    #[case::shorter(HOUR, MINUTE, true)]
    #[case::longer(MINUTE, HOUR, false)]
    #[case::went(MINUTE, None, false)]
    fn a_time_to_live_may_only_become_shorter(
        #[case] ttl: Option<Duration>,
        #[case] now: Option<Duration>,
        #[case] holds: bool,
    ) {
        let (plan, standing) = (Plan { ttl, ..plan() }, Standing { ttl: now, ..STANDING });
        let checked = check_terms(&plan, Trigger::Manual, &standing);
        assert_eq!(checked, if holds { Ok(()) } else { Err(Lapsed::Ttl { planned: ttl.unwrap(), now }) });
        // Deletes that are spread drop no row.
        let spread = Plan { kind: PlanKind::L0Delete, ..plan };
        assert_eq!(check_terms(&spread, Trigger::Manual, &standing), Ok(()));
    }

    #[rstest]
    #[case::moved_on(101, true)]
    #[case::the_same(100, true)]
    #[case::protects_more(99, false)]
    fn a_retention_window_may_only_move_on(#[case] now: u64, #[case] holds: bool) {
        let standing = Standing { retain_after: Timestamp(now), ..STANDING };
        let lapsed = Lapsed::Retention { planned: Timestamp(100), now: Timestamp(now) };
        let checked = check_terms(&plan(), Trigger::Tick, &standing);
        assert_eq!(checked, if holds { Ok(()) } else { Err(lapsed) });
    }

    #[rstest]
    #[case(Some(FieldId(101)), true)]
    #[case(Some(FieldId(102)), false)]
    #[case(None, false)]
    fn the_clustering_key_stays(#[case] now: Option<FieldId>, #[case] holds: bool) {
        let planned = FieldId(101);
        let standing = Standing { clustering_key: now, ..STANDING };
        for reason in
            [PlanReason::Cluster { field: planned, unclustered: 1 }, PlanReason::ClusterAgain { field: planned }]
        {
            let plan = Plan { kind: PlanKind::Clustering, reason, ..plan() };
            let checked = check_terms(&plan, Trigger::Manual, &standing);
            assert_eq!(checked, if holds { Ok(()) } else { Err(Lapsed::ClusteringKey { planned, now }) });
        }
        assert_eq!(check_terms(&plan(), Trigger::Manual, &standing), Ok(()), "others don't care");
    }

    #[test]
    fn the_automatic_switch_ends_automatic_plans_and_the_main_switch_all() {
        let auto_off = Standing { automatic: false, ..STANDING };
        assert_eq!(check_terms(&plan(), Trigger::Manual, &auto_off), Ok(()));
        assert_eq!(check_terms(&plan(), Trigger::Flush, &auto_off), Err(Lapsed::AutoOff));
        let off = Standing { enabled: false, ..STANDING };
        assert_eq!(check_terms(&plan(), Trigger::Manual, &off), Err(Lapsed::Disabled));
    }

    #[test]
    fn says_both_values() {
        let lapsed = Lapsed::Ttl { planned: Duration::from_secs(5), now: None };
        assert_eq!(lapsed.to_string(), "the plan drops rows after 5 s, the collection's time to live is none now");
        assert_eq!(lapsed.kind(), ErrorKind::Precondition);
    }
}
