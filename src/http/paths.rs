//! The paths of all routes.

pub(super) const COMPACTION: &str = "/api/v1/compaction";
pub(super) const COMPACTION_STATE: &str = "/api/v1/compaction/state";
pub(super) const COMPACTION_PLANS: &str = "/api/v1/compaction/plans";
pub(super) const V2_COMPACT: &str = "/v2/vectordb/collections/compact";
pub(super) const V2_STATE: &str = "/v2/vectordb/collections/get_compaction_state";
pub(super) const HEALTH: &str = "/api/v1/health";
pub(super) const HEALTHZ: &str = "/healthz";
pub(super) const READYZ: &str = "/readyz";
pub(super) const METRICS: &str = "/metrics";
pub(super) const ROUTES: [&str; 9] =
    [COMPACTION, COMPACTION_STATE, COMPACTION_PLANS, V2_COMPACT, V2_STATE, HEALTH, HEALTHZ, READYZ, METRICS];
