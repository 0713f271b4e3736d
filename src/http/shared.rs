//! State and limits that all routes share.

use std::sync::Arc;

use super::{bounds::LargeBodies, control::ControlService, milvus::Milvus, streams::StreamPlaces};
use crate::{memory::Growth, standalone::Standalone, telemetry::Metrics};

#[derive(Clone)]
pub(super) struct RouteState {
    pub(super) standalone: Arc<Standalone>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) milvus: Milvus,
    pub(super) control: ControlService,
    /// Event streams that may be open.
    pub(super) streams: StreamPlaces,
    pub(super) large: LargeBodies,
    pub(super) growth: Growth,
    /// Brings the gauges up to date.
    pub(super) refresh: Arc<dyn Fn() + Send + Sync>,
}
