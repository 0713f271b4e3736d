//! State and limits that all routes share.

use std::sync::Arc;

use super::{bounds::LargeBodies, milvus::Milvus};
use crate::{standalone::Standalone, telemetry::Metrics};

/// Limit of a body without rows: a few names and numbers.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

#[derive(Clone)]
pub(super) struct Shared {
    pub(super) standalone: Arc<Standalone>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) milvus: Milvus,
    pub(super) large: LargeBodies,
    /// Brings the gauges up to date.
    pub(super) refresh: Arc<dyn Fn() + Send + Sync>,
}
