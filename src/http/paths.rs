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
pub(super) const LOG_LEVEL: &str = "/log/level";
pub(super) const PROFILE: &str = "/debug/pprof/profile";
pub(super) const HEAP_PROFILE: &str = "/debug/pprof/heap";
pub(super) const V2_INSERT: &str = "/v2/vectordb/entities/insert";
pub(super) const V2_UPSERT: &str = "/v2/vectordb/entities/upsert";
pub(super) const V2_DELETE: &str = "/v2/vectordb/entities/delete";
pub(super) const V2_QUERY: &str = "/v2/vectordb/entities/query";
pub(super) const V2_GET: &str = "/v2/vectordb/entities/get";
pub(super) const V2_SEARCH: &str = "/v2/vectordb/entities/search";
pub(super) const V2_HYBRID_SEARCH: &str = "/v2/vectordb/entities/hybrid_search";
/// The older name of the same.
pub(super) const V2_ADVANCED_SEARCH: &str = "/v2/vectordb/entities/advanced_search";
pub(super) const V2_LIST: &str = "/v2/vectordb/collections/list";
pub(super) const V2_HAS: &str = "/v2/vectordb/collections/has";
pub(super) const V2_DESCRIBE: &str = "/v2/vectordb/collections/describe";
pub(super) const V2_STATS: &str = "/v2/vectordb/collections/get_stats";
pub(super) const V2_LOAD_STATE: &str = "/v2/vectordb/collections/get_load_state";
pub(super) const V2_CREATE: &str = "/v2/vectordb/collections/create";
pub(super) const V2_DROP: &str = "/v2/vectordb/collections/drop";
pub(super) const V2_LOAD: &str = "/v2/vectordb/collections/load";
pub(super) const V2_RELEASE: &str = "/v2/vectordb/collections/release";
pub(super) const V2_FLUSH: &str = "/v2/vectordb/collections/flush";
pub(super) const V2_INDEX_LIST: &str = "/v2/vectordb/indexes/list";
pub(super) const V2_INDEX_DESCRIBE: &str = "/v2/vectordb/indexes/describe";
pub(super) const V2_INDEX_CREATE: &str = "/v2/vectordb/indexes/create";
pub(super) const V2_INDEX_DROP: &str = "/v2/vectordb/indexes/drop";
pub(super) const ROUTES: [&str; 34] = [
    COMPACTION,
    COMPACTION_STATE,
    COMPACTION_PLANS,
    V2_COMPACT,
    V2_STATE,
    HEALTH,
    HEALTHZ,
    READYZ,
    METRICS,
    LOG_LEVEL,
    PROFILE,
    HEAP_PROFILE,
    V2_INSERT,
    V2_UPSERT,
    V2_DELETE,
    V2_QUERY,
    V2_GET,
    V2_SEARCH,
    V2_HYBRID_SEARCH,
    V2_ADVANCED_SEARCH,
    V2_LIST,
    V2_HAS,
    V2_DESCRIBE,
    V2_STATS,
    V2_LOAD_STATE,
    V2_CREATE,
    V2_DROP,
    V2_LOAD,
    V2_RELEASE,
    V2_FLUSH,
    V2_INDEX_LIST,
    V2_INDEX_DESCRIBE,
    V2_INDEX_CREATE,
    V2_INDEX_DROP,
];

/// Routes whose body has rows or vectors, and may be large.
pub(super) const LARGE: [&str; 5] = [V2_INSERT, V2_UPSERT, V2_SEARCH, V2_HYBRID_SEARCH, V2_ADVANCED_SEARCH];

// The files of the operator's page.
pub(super) const PAGE: &str = "/";
pub(super) const PAGE_STYLE: &str = "/page/style.css";
pub(super) const PAGE_PARTS_STYLE: &str = "/page/parts.css";
pub(super) const PAGE_MAIN: &str = "/page/main.js";
pub(super) const PAGE_SERVER: &str = "/page/server.js";
pub(super) const PAGE_ELEMENTS: &str = "/page/elements.js";
pub(super) const PAGE_UNITS: &str = "/page/units.js";
pub(super) const PAGE_SUMMARY: &str = "/page/summary.js";
pub(super) const PAGE_PLANS: &str = "/page/plans.js";
pub(super) const PAGE_SEGMENTS: &str = "/page/segments.js";
pub(super) const PAGE_DETAILS: &str = "/page/details.js";
pub(super) const PAGE_HISTORY: &str = "/page/history.js";
pub(super) const PAGE_PLOTS: &str = "/page/plots.js";
pub(super) const PAGE_ACTIONS: &str = "/page/actions.js";

// The routes behind it.
pub(super) const API_OVERVIEW: &str = "/api/v2/overview";
pub(super) const API_EVENTS: &str = "/api/v2/events";
pub(super) const API_SEGMENTS: &str = "/api/v2/segments";
pub(super) const API_EXPLAIN: &str = "/api/v2/explain";
pub(super) const API_LINEAGE: &str = "/api/v2/lineage";
pub(super) const API_JOBS: &str = "/api/v2/jobs";
pub(super) const API_JOB: &str = "/api/v2/job";
pub(super) const API_GARBAGE: &str = "/api/v2/garbage";
pub(super) const API_PLAN: &str = "/api/v2/plan";
pub(super) const API_COMPACT: &str = "/api/v2/compact";
pub(super) const API_CANCEL: &str = "/api/v2/cancel";
pub(super) const API_PAUSE: &str = "/api/v2/pause";
pub(super) const API_RESUME: &str = "/api/v2/resume";
pub(super) const API_THROTTLE: &str = "/api/v2/throttle";

/// The files of the page. They hold no data.
pub(super) const PAGE_FILES: [&str; 14] = [
    PAGE,
    PAGE_STYLE,
    PAGE_PARTS_STYLE,
    PAGE_MAIN,
    PAGE_SERVER,
    PAGE_ELEMENTS,
    PAGE_UNITS,
    PAGE_SUMMARY,
    PAGE_PLANS,
    PAGE_SEGMENTS,
    PAGE_DETAILS,
    PAGE_HISTORY,
    PAGE_PLOTS,
    PAGE_ACTIONS,
];

/// The page and the routes behind it. The files of the page share its label.
pub(super) const PAGE_ROUTES: [&str; 15] = [
    PAGE,
    API_OVERVIEW,
    API_EVENTS,
    API_SEGMENTS,
    API_EXPLAIN,
    API_LINEAGE,
    API_JOBS,
    API_JOB,
    API_GARBAGE,
    API_PLAN,
    API_COMPACT,
    API_CANCEL,
    API_PAUSE,
    API_RESUME,
    API_THROTTLE,
];
