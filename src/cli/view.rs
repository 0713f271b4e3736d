//! Answers that are put together from several messages. They are printed, and are the JSON of their commands: a member is
//! never renamed or removed.

use serde::Serialize;

use crate::wire::proto::datacoord::{
    CollectionRef, Compaction, GetAmplificationResponse, OverviewVerdict, PauseEntry, ThrottleResponse,
};

/// The answer of `status`. Members that the server sent are named as in its messages.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct StatusView {
    pub(super) version: String,
    /// `host:port`.
    pub(super) endpoint: String,
    pub(super) verdict: OverviewVerdict,
    pub(super) is_healthy: bool,
    pub(super) health_reasons: Vec<String>,
    pub(super) throttle: ThrottleResponse,
    pub(super) pauses: Vec<PauseEntry>,
    /// Jobs with plans that are queued or executing.
    pub(super) executing: Vec<Compaction>,
    pub(super) collections: Vec<CollectionStatus>,
    /// Collections beyond the limit.
    pub(super) other_collections: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct CollectionStatus {
    pub(super) collection: CollectionRef,
    pub(super) amplification: GetAmplificationResponse,
    /// Segments that are in a plan, or would be after the next automatic look.
    pub(super) to_compact: i64,
}
