//! The paths of the page and of the routes behind it.

pub(in crate::http) const INDEX: &str = "/";
pub(super) const STYLE: &str = "/page/style.css";
pub(super) const PARTS_STYLE: &str = "/page/parts.css";
pub(super) const MAIN: &str = "/page/main.js";
pub(super) const SERVER: &str = "/page/server.js";
pub(super) const ELEMENTS: &str = "/page/elements.js";
pub(super) const UNITS: &str = "/page/units.js";
pub(super) const SUMMARY: &str = "/page/summary.js";
pub(super) const PLANS: &str = "/page/plans.js";
pub(super) const SEGMENTS_SCRIPT: &str = "/page/segments.js";
pub(super) const DETAILS: &str = "/page/details.js";
pub(super) const HISTORY: &str = "/page/history.js";
pub(super) const PLOTS: &str = "/page/plots.js";
pub(super) const ACTIONS: &str = "/page/actions.js";

pub(super) const OVERVIEW: &str = "/api/v2/overview";
pub(super) const EVENTS: &str = "/api/v2/events";
pub(super) const SEGMENTS: &str = "/api/v2/segments";
pub(super) const EXPLAIN: &str = "/api/v2/explain";
pub(super) const LINEAGE: &str = "/api/v2/lineage";
pub(super) const JOBS: &str = "/api/v2/jobs";
pub(super) const JOB: &str = "/api/v2/job";
pub(super) const GARBAGE: &str = "/api/v2/garbage";
pub(super) const PLAN: &str = "/api/v2/plan";
pub(super) const COMPACT: &str = "/api/v2/compact";
pub(super) const CANCEL: &str = "/api/v2/cancel";
pub(super) const PAUSE: &str = "/api/v2/pause";
pub(super) const RESUME: &str = "/api/v2/resume";
pub(super) const THROTTLE: &str = "/api/v2/throttle";

/// Those that are counted by themselves. The files of the page share the label of the page.
pub(in crate::http) const ROUTES: [&str; 15] = [
    INDEX, OVERVIEW, EVENTS, SEGMENTS, EXPLAIN, LINEAGE, JOBS, JOB, GARBAGE, PLAN, COMPACT, CANCEL, PAUSE, RESUME,
    THROTTLE,
];

/// The files of the page. They hold no data.
pub(in crate::http) fn is_asset(path: &str) -> bool {
    super::assets::ASSETS.iter().any(|asset| asset.path == path)
}
