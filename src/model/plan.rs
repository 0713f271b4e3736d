//! A plan: segments of one group to be rewritten, the reason, and how far that has come.
//!
//! Comparable and serialisable; holds no handle, span or clock. Stored as JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FieldId, Group, JobId, PlanId, SegmentId, Timestamp};
use crate::error::ErrorKind;

/// How a plan rewrites its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Merge several segments, applying their deletes.
    Mix,
    /// Rewrite one segment, applying its deletes.
    Single,
    /// Divide the rows of several segments by ranges of the clustering key.
    Clustering,
    /// Spread the deletes of L0 segments over the segments that they may hit.
    L0Delete,
    /// Build an index of one segment, which stays as it is otherwise.
    Index,
}

impl PlanKind {
    pub const ALL: [Self; 5] = [Self::Mix, Self::Single, Self::Clustering, Self::L0Delete, Self::Index];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mix => "mix",
            Self::Single => "single",
            Self::Clustering => "clustering",
            Self::L0Delete => "l0_delete",
            Self::Index => "index",
        }
    }
}

/// Why a plan exists. Each variant of an automatic plan carries the measured value and the threshold that it met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum PlanReason {
    /// Delta entries of one segment exceed the ratio of its rows.
    DeltaRows { delta_rows: u64, rows: u64, threshold_ratio: f64 },
    /// Delta logs of one segment are too large.
    DeltaBytes { delta_bytes: u64, threshold_bytes: u64 },
    /// Delta logs of one segment are too many.
    DeltaLogs { delta_logs: u32, threshold: u32 },
    /// Too many rows are past the collection's time to live. A user's request has the threshold 0.
    Expired { expired_rows: u64, rows: u64, threshold_ratio: f64 },
    /// The group has more small segments than it should.
    SmallSegments { small: u32, threshold: u32 },
    /// Fewer small segments, but together they nearly fill one.
    FullEnough { bytes: u64, threshold_bytes: u64 },
    /// A user asked: several segments fit into fewer.
    ManualMerge,
    /// A user asked: the segment has deletes or expired rows.
    ManualRewrite { delta_rows: u64 },
    /// A user asked: the segment is alone in its group, and no compaction has written it yet.
    ManualFirst,
    /// A user asked: segments that miss this size are merged or split.
    ForceMerge { target_bytes: u64 },
    /// A user asked: rows are divided by the clustering key. `unclustered` inputs are not divided by this key yet.
    Cluster { field: FieldId, unclustered: u32 },
    /// A user asked: all inputs are clustered by this key, but their ranges overlap.
    ClusterAgain { field: FieldId },
    /// A user asked: the deletes of L0 segments go to the segments that they may hit.
    SpreadDeletes { delta_rows: u64 },
    /// The segment has no index of a definition yet, and enough rows for one.
    NoIndex { index: i64, field: FieldId, rows: u64, threshold: u64 },
}

impl PlanReason {
    /// All names that [`Self::code`] returns.
    pub const CODES: [&'static str; 14] = [
        "delta_rows",
        "delta_bytes",
        "delta_logs",
        "expired",
        "small_segments",
        "full_enough",
        "manual_merge",
        "manual_rewrite",
        "manual_first",
        "force_merge",
        "cluster",
        "cluster_again",
        "spread_deletes",
        "no_index",
    ];

    /// Name in metric labels.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DeltaRows { .. } => "delta_rows",
            Self::DeltaBytes { .. } => "delta_bytes",
            Self::DeltaLogs { .. } => "delta_logs",
            Self::Expired { .. } => "expired",
            Self::SmallSegments { .. } => "small_segments",
            Self::FullEnough { .. } => "full_enough",
            Self::ManualMerge => "manual_merge",
            Self::ManualRewrite { .. } => "manual_rewrite",
            Self::ManualFirst => "manual_first",
            Self::ForceMerge { .. } => "force_merge",
            Self::Cluster { .. } => "cluster",
            Self::ClusterAgain { .. } => "cluster_again",
            Self::SpreadDeletes { .. } => "spread_deletes",
            Self::NoIndex { .. } => "no_index",
        }
    }
}

impl std::fmt::Display for PlanReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DeltaRows { delta_rows, rows, threshold_ratio } => {
                write!(f, "{delta_rows} of {rows} rows are deleted, ratio {threshold_ratio}")
            }
            Self::DeltaBytes { delta_bytes, threshold_bytes } => {
                write!(f, "{delta_bytes} bytes of delta logs exceed {threshold_bytes}")
            }
            Self::DeltaLogs { delta_logs, threshold } => write!(f, "{delta_logs} delta logs exceed {threshold}"),
            Self::Expired { expired_rows, rows, threshold_ratio } => {
                write!(f, "about {expired_rows} of {rows} rows are past their time to live, ratio {threshold_ratio}")
            }
            Self::SmallSegments { small, threshold } => write!(f, "{small} small segments exceed {threshold}"),
            Self::FullEnough { bytes, threshold_bytes } => {
                write!(f, "{bytes} bytes of small segments reach {threshold_bytes}")
            }
            Self::ManualMerge => f.write_str("asked for: these segments fit together"),
            Self::ManualRewrite { delta_rows } => write!(f, "asked for: the segment has {delta_rows} delta rows"),
            Self::ManualFirst => f.write_str("asked for: alone in its group, and no compaction has written it yet"),
            Self::ForceMerge { target_bytes } => write!(f, "asked for: segments of {target_bytes} bytes"),
            Self::Cluster { field, unclustered } => {
                write!(f, "asked for: inputs not clustered by field {field}: {unclustered}")
            }
            Self::ClusterAgain { field } => write!(f, "asked for: ranges of field {field} overlap"),
            Self::SpreadDeletes { delta_rows } => write!(f, "asked for: {delta_rows} deletes are in L0 segments"),
            Self::NoIndex { index, field, rows, threshold } => {
                write!(f, "index {index} of field {field} is missing, and {rows} rows reach {threshold}")
            }
        }
    }
}

/// An input at the time when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanInput {
    pub segment: SegmentId,
    pub rows: u64,
    pub bytes: u64,
    pub delta_rows: u64,
}

/// Kinds of failure that the history tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Inputs changed or went away between planning and commit; the group is planned again.
    Outdated,
    /// An input object can't be decoded; permanent.
    Corrupt,
    /// Errors that may pass, such as an unreachable store or a full disk, used up all attempts.
    Exhausted,
    /// A defect, or a plan that can't be carried out: it makes more segments than one commit takes.
    Internal,
}

impl FailureKind {
    pub const ALL: [Self; 4] = [Self::Outdated, Self::Corrupt, Self::Exhausted, Self::Internal];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outdated => "outdated",
            Self::Corrupt => "corrupt",
            Self::Exhausted => "exhausted",
            Self::Internal => "internal",
        }
    }
}

impl FailureKind {
    /// True if the same plan may succeed later with unchanged inputs.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Exhausted)
    }
}

impl From<ErrorKind> for FailureKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Corrupt => Self::Corrupt,
            ErrorKind::Transient | ErrorKind::Exhausted => Self::Exhausted,
            ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Precondition | ErrorKind::Fenced => Self::Outdated,
            ErrorKind::Invalid | ErrorKind::Cancelled | ErrorKind::Internal => Self::Internal,
        }
    }
}

/// State of a plan. Only the coordinator changes it.
///
/// ```text
/// Queued ──▶ Executing ──▶ Completed
///   ▲  │         │ transient, attempts left
///   └──┼─────────┘
///      └──▶ Failed | TimedOut | Cancelled   (from Queued and Executing)
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PlanState {
    /// Waits for a slot, at least until `not_before_ms` (milliseconds since 1970; 0: no delay).
    Queued {
        not_before_ms: u64,
    },
    Executing {
        started_at_ms: u64,
    },
    /// Committed. There are no targets if no row survived.
    Completed {
        targets: Vec<SegmentId>,
        rows_out: u64,
        bytes_out: u64,
        ended_at_ms: u64,
    },
    Failed {
        kind: FailureKind,
        message: String,
        ended_at_ms: u64,
    },
    TimedOut {
        message: String,
        ended_at_ms: u64,
    },
    Cancelled {
        by: String,
        ended_at_ms: u64,
    },
}

impl PlanState {
    /// Names of the terminal states.
    pub const OUTCOMES: [&'static str; 4] = ["completed", "failed", "timeout", "cancelled"];

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Executing { .. } => "executing",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timeout",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// True if the state never changes again.
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Queued { .. } | Self::Executing { .. })
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub id: PlanId,
    pub job: JobId,
    pub group: Group,
    pub kind: PlanKind,
    pub reason: PlanReason,
    /// Live segments of `group`, ascending by id, at least one, each in at most one unfinished plan.
    pub inputs: Vec<PlanInput>,
    /// Deletes with a greater timestamp stay delta entries of the output, and their rows stay.
    pub keep_deletes_after: Timestamp,
    /// Rows older than this are dropped; none: rows don't expire.
    pub ttl: Option<Duration>,
    /// No output grows beyond this many bytes.
    pub max_output_bytes: u64,
    pub created_at_ms: u64,
    /// Executions started so far.
    pub attempts: u32,
    pub state: PlanState,
}

impl Plan {
    pub fn input_ids(&self) -> impl ExactSizeIterator<Item = SegmentId> + '_ {
        self.inputs.iter().map(|i| i.segment)
    }

    /// Segment and definition of a plan that builds an index.
    pub fn builds(&self) -> Option<(SegmentId, i64)> {
        match self.reason {
            PlanReason::NoIndex { index, .. } => self.inputs.first().map(|input| (input.segment, index)),
            _ => None,
        }
    }

    pub fn input_bytes(&self) -> u64 {
        self.inputs.iter().map(|i| i.bytes).sum()
    }

    pub fn input_rows(&self) -> u64 {
        self.inputs.iter().map(|i| i.rows).sum()
    }
}

/// Progress of an executing plan, in rows and bytes of its inputs. `done` never exceeds `total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    pub total_rows: u64,
    pub done_rows: u64,
    pub total_bytes: u64,
    pub done_bytes: u64,
}

/// One report of an execution about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProgressReport {
    pub progress: Progress,
    /// Grows with every step of the execution. The same number for too long means that it is stuck.
    pub beat: u64,
}
