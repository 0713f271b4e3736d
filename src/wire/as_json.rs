//! Messages of `datacoord.v1` as JSON: members are named as in the proto file, enumerations are written by name.
//!
//! Ids and hybrid timestamps are texts. They exceed 2^53, above which JavaScript, `jq` before 1.7 and others round numbers.
//! All other numbers are numbers; an absent value is null. `build.rs` names these functions in the generated code.
//!
//! Must never: be used for Milvus' REST calls, whose JSON is Milvus'.

use serde::{Serializer, ser::Error as _};

use super::proto::datacoord::{JobState, PlanPhase, PlanState, SegmentOrigin};

/// An id or a hybrid timestamp.
pub(super) fn id<I: std::fmt::Display, S: Serializer>(id: &I, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// A list of ids.
pub(super) fn ids<S: Serializer>(ids: &[i64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(ids.iter().map(i64::to_string))
}

/// A function that writes the name of a value of an enumeration. A number without a name is an error: it is from a server
/// that is newer than this program.
macro_rules! by_name {
    ($($function:ident: $enumeration:ident;)*) => {
        $(pub(super) fn $function<S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
            let known = $enumeration::try_from(*number);
            let value = known.map_err(|_| S::Error::custom(format!("{number} is no {}", stringify!($enumeration))))?;
            serializer.serialize_str(value.as_str_name())
        })*
    };
}

by_name! {
    job_state: JobState;
    plan_state: PlanState;
    plan_phase: PlanPhase;
    segment_origin: SegmentOrigin;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::wire::proto::datacoord::*;

    /// Rules: names of the proto file, ids as texts, counts as numbers, enumerations by name, null for an absent value.
    #[test]
    fn a_message_looks_like_its_declaration() {
        let plan = Plan {
            plan_id: 470_804_626_993_586_265,
            sources: vec![470_804_626_993_578_487, 2],
            state: PlanState::Queued as i32,
            created_at_ms: 7,
            progress: Some(Progress { total_rows: 5, ..Progress::default() }),
            ..Plan::default()
        };
        let written = serde_json::to_value(CompactionEvent { plan: Some(plan), ..CompactionEvent::default() }).unwrap();
        assert_eq!(written["plan"]["plan_id"], json!("470804626993586265"));
        assert_eq!(written["plan"]["sources"], json!(["470804626993578487", "2"]));
        assert_eq!(written["plan"]["state"], json!("PLAN_STATE_QUEUED"));
        assert_eq!(written["plan"]["created_at_ms"], json!(7));
        assert_eq!(written["plan"]["progress"]["total_rows"], json!(5));
        assert_eq!(written["phase"], json!("PLAN_PHASE_UNSPECIFIED"));
        assert_eq!((&written["mb_per_second"], &written["job"]), (&json!(null), &json!(null)));
    }

    #[test]
    fn one_of_several_members_stands_in_the_message_itself() {
        let entry =
            |scope| PauseEntry { scope: Some(PauseScope { scope: Some(scope) }), by: "ops".into(), since_ms: 1 };
        let written = serde_json::to_value([
            entry(pause_scope::Scope::JobId(9_007_199_254_740_993)),
            entry(pause_scope::Scope::Everything(true)),
        ]);
        let expected = json!([
            {"scope": {"job_id": "9007199254740993"}, "by": "ops", "since_ms": 1},
            {"scope": {"everything": true}, "by": "ops", "since_ms": 1},
        ]);
        assert_eq!(written.unwrap(), expected);
    }

    #[test]
    fn a_state_without_a_name_is_an_error() {
        let job = Compaction { state: 99, ..Compaction::default() };
        assert_eq!(serde_json::to_string(&job).unwrap_err().to_string(), "99 is no JobState");
    }
}
