//! Every metric of the process, by area. `docs/metrics.md` lists them; a test compares the two.
//!
//! Names are `datacoord_<area>_<thing>_<unit>`. The unit of a counter ends in `total`; a gauge that counts things has no
//! unit. Handles are cheap to clone and safe to use from any thread. Each area is updated by its owner. Must never: be read
//! to decide something.

use std::time::Duration;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};

use super::error::TelemetryError;

/// 1 ms to about 9 min, doubling.
const SECONDS: (f64, f64, usize) = (0.001, 2.0, 20);

/// Buckets of histograms whose label has many values. Few, because every value costs one line per bucket.
const FEW_SECONDS: [f64; 8] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.5, 10.0, 60.0];

/// A metric as the inventory lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricEntry {
    pub name: &'static str,
    pub kind: &'static str,
    pub labels: Vec<&'static str>,
    pub help: &'static str,
}

/// Counters with `N` labels. Values are static strings, so the number of series can't grow with the data.
#[derive(Debug, Clone)]
pub struct CounterBy<const N: usize>(IntCounterVec);

impl<const N: usize> CounterBy<N> {
    pub fn with(&self, labels: [&'static str; N]) -> IntCounter {
        self.0.with_label_values(&labels)
    }
}

/// Gauges with `N` labels.
#[derive(Debug, Clone)]
pub struct GaugeBy<const N: usize>(IntGaugeVec);

impl<const N: usize> GaugeBy<N> {
    pub fn with(&self, labels: [&'static str; N]) -> IntGauge {
        self.0.with_label_values(&labels)
    }
}

/// Histograms with `N` labels.
#[derive(Debug, Clone)]
pub struct HistogramBy<const N: usize>(HistogramVec);

impl<const N: usize> HistogramBy<N> {
    pub fn with(&self, labels: [&'static str; N]) -> Histogram {
        self.0.with_label_values(&labels)
    }
}

/// Registers metrics and records them for the inventory.
struct Registrar {
    registry: Registry,
    inventory: Vec<MetricEntry>,
}

impl Registrar {
    fn add<C: Collector + Clone + 'static>(
        &mut self,
        kind: &'static str,
        (name, labels, help): (&'static str, &[&'static str], &'static str),
        created: Result<C, prometheus::Error>,
    ) -> Result<C, TelemetryError> {
        let fail = |source| TelemetryError::Metric { name, source };
        let metric = created.map_err(fail)?;
        self.registry.register(Box::new(metric.clone())).map_err(fail)?;
        self.inventory.push(MetricEntry { name, kind, labels: labels.to_vec(), help });
        Ok(metric)
    }

    fn counter(&mut self, name: &'static str, help: &'static str) -> Result<IntCounter, TelemetryError> {
        self.add("counter", (name, &[], help), IntCounter::new(name, help))
    }

    fn gauge(&mut self, name: &'static str, help: &'static str) -> Result<IntGauge, TelemetryError> {
        self.add("gauge", (name, &[], help), IntGauge::new(name, help))
    }

    fn histogram(&mut self, name: &'static str, help: &'static str) -> Result<Histogram, TelemetryError> {
        let created = buckets().and_then(|b| Histogram::with_opts(HistogramOpts::new(name, help).buckets(b)));
        self.add("histogram", (name, &[], help), created)
    }

    fn counter_by<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Result<CounterBy<N>, TelemetryError> {
        let created = IntCounterVec::new(Opts::new(name, help), &labels);
        self.add("counter", (name, &labels, help), created).map(CounterBy)
    }

    fn gauge_by<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Result<GaugeBy<N>, TelemetryError> {
        let created = IntGaugeVec::new(Opts::new(name, help), &labels);
        self.add("gauge", (name, &labels, help), created).map(GaugeBy)
    }

    fn histogram_by<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Result<HistogramBy<N>, TelemetryError> {
        let created = buckets().and_then(|b| HistogramVec::new(HistogramOpts::new(name, help).buckets(b), &labels));
        self.add("histogram", (name, &labels, help), created).map(HistogramBy)
    }

    fn coarse_histogram_by<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Result<HistogramBy<N>, TelemetryError> {
        let created = HistogramVec::new(HistogramOpts::new(name, help).buckets(FEW_SECONDS.to_vec()), &labels);
        self.add("histogram", (name, &labels, help), created).map(HistogramBy)
    }
}

fn buckets() -> Result<Vec<f64>, prometheus::Error> {
    prometheus::exponential_buckets(SECONDS.0, SECONDS.1, SECONDS.2)
}

/// Declares an area: a struct of handles and how each is registered. `by [..]` makes one handle per label value.
macro_rules! area {
    ($(#[$doc:meta])* $struct:ident { $($field:ident: $kind:ident $(by [$($label:literal),+])? $name:literal, $help:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $struct {
            $(#[doc = $help] pub $field: area!(@type $kind $([$($label),+])?),)+
        }

        impl $struct {
            fn register(registrar: &mut Registrar) -> Result<Self, TelemetryError> {
                Ok(Self {
                    $($field: area!(@make registrar, $kind $([$($label),+])?, $name, $help)?,)+
                })
            }
        }
    };
    (@type counter) => { IntCounter };
    (@type gauge) => { IntGauge };
    (@type histogram) => { Histogram };
    (@type counter [$($label:literal),+]) => { CounterBy<{ [$($label),+].len() }> };
    (@type gauge [$($label:literal),+]) => { GaugeBy<{ [$($label),+].len() }> };
    (@type histogram [$($label:literal),+]) => { HistogramBy<{ [$($label),+].len() }> };
    (@type coarse_histogram [$($label:literal),+]) => { HistogramBy<{ [$($label),+].len() }> };
    (@make $r:ident, coarse_histogram [$($label:literal),+], $name:literal, $help:literal) => {
        $r.coarse_histogram_by($name, [$($label),+], $help)
    };
    (@make $r:ident, counter, $name:literal, $help:literal) => { $r.counter($name, $help) };
    (@make $r:ident, gauge, $name:literal, $help:literal) => { $r.gauge($name, $help) };
    (@make $r:ident, histogram, $name:literal, $help:literal) => { $r.histogram($name, $help) };
    (@make $r:ident, counter [$($label:literal),+], $name:literal, $help:literal) => {
        $r.counter_by($name, [$($label),+], $help)
    };
    (@make $r:ident, gauge [$($label:literal),+], $name:literal, $help:literal) => {
        $r.gauge_by($name, [$($label),+], $help)
    };
    (@make $r:ident, histogram [$($label:literal),+], $name:literal, $help:literal) => {
        $r.histogram_by($name, [$($label),+], $help)
    };
}

area! {
    /// The memory of the process and of its parts.
    MemoryMetrics {
        limit: gauge by ["part"] "datacoord_memory_limit_bytes", "Bytes that a part may hold; total is the process, base is the rest beside the parts.";
        used: gauge by ["part"] "datacoord_memory_used_bytes", "Bytes that a part holds; total is the resident memory of the process.";
    }
}

area! {
    /// Connections of both ports.
    ConnectionMetrics {
        open: gauge by ["port"] "datacoord_connections_open", "Open connections by port.";
        refused: counter by ["port"] "datacoord_connections_refused_total", "Connections refused because there were too many.";
        handshakes_failed: counter by ["port", "fault"] "datacoord_connections_handshakes_failed_total", "Connections that ended in their TLS handshake, by fault.";
    }
}

area! {
    /// Certificates of both ports.
    TlsMetrics {
        days: gauge "datacoord_tls_certificate_days", "Days until the certificate in use expires; negative once it has.";
        reloads: counter by ["outcome"] "datacoord_tls_reloads_total", "Changed files of TLS that are in use now, or that can't be used.";
    }
}

area! {
    /// Contents of the catalog; updated with every commit.
    CatalogMetrics {
        collections: gauge "datacoord_catalog_collections", "Collections.";
        segments: gauge by ["state", "level"] "datacoord_catalog_segments", "Segments by state and level.";
        rows: gauge by ["state"] "datacoord_catalog_segment_rows", "Rows of segments, dead ones included.";
        bytes: gauge by ["state"] "datacoord_catalog_segment_bytes", "Bytes of the insert logs of segments.";
        delta_rows: gauge "datacoord_catalog_delta_rows", "Delta entries of live segments.";
        damaged: gauge "datacoord_catalog_damaged_segments", "Live segments with an object that was found missing or unreadable.";
    }
}

area! {
    /// Jobs and plans, from trigger to commit.
    CompactionMetrics {
        jobs: counter by ["trigger"] "datacoord_compaction_jobs_total", "Jobs by trigger.";
        kept_jobs: gauge by ["state"] "datacoord_compaction_kept_jobs", "Jobs that are kept: executing, or ended.";
        plans: gauge by ["state"] "datacoord_compaction_unfinished_plans", "Unfinished plans: queued or executing.";
        ended: counter by ["kind", "outcome"] "datacoord_compaction_plans_total", "Ended plans by kind and outcome.";
        planned: counter by ["reason"] "datacoord_compaction_planned_total", "Plans made, by reason.";
        skipped: counter by ["reason"] "datacoord_compaction_skipped_total", "Segments looked at and not planned, by reason.";
        failures: counter by ["kind"] "datacoord_compaction_failures_total", "Failed attempts by kind of error.";
        input_rows: counter "datacoord_compaction_input_rows_total", "Rows read by completed plans.";
        output_rows: counter "datacoord_compaction_output_rows_total", "Rows written by completed plans.";
        input_bytes: counter "datacoord_compaction_input_bytes_total", "Bytes of the inputs of completed plans.";
        output_bytes: counter "datacoord_compaction_output_bytes_total", "Bytes of the outputs of completed plans.";
        duration: histogram by ["kind"] "datacoord_compaction_duration_seconds", "Execution of a plan, commit included.";
        wait: histogram "datacoord_compaction_queue_seconds", "From the making of a plan to its execution.";
        planning: histogram "datacoord_compaction_planning_seconds", "One round of planning.";
    }
}

area! {
    /// Writes, growing segments and flushes.
    IngestMetrics {
        inserted_rows: counter "datacoord_ingest_inserted_rows_total", "Rows acknowledged.";
        inserted_bytes: counter "datacoord_ingest_inserted_bytes_total", "Bytes of rows acknowledged, in memory.";
        deleted_keys: counter "datacoord_ingest_deleted_keys_total", "Deleted keys acknowledged.";
        growing_segments: gauge "datacoord_ingest_growing_segments", "Segments that are not flushed yet.";
        growing_bytes: gauge "datacoord_ingest_growing_bytes", "Memory of segments that are not flushed yet.";
        pending_deletes: gauge "datacoord_ingest_pending_deletes", "Deletes that are not in a delta log yet.";
        flushes: counter by ["outcome"] "datacoord_ingest_flushes_total", "Flushes by outcome.";
        delta_flushes: counter by ["outcome"] "datacoord_ingest_delta_flushes_total", "Flushes of waiting deletes by outcome.";
        flushed_rows: counter "datacoord_ingest_flushed_rows_total", "Rows flushed.";
        flushed_bytes: counter "datacoord_ingest_flushed_bytes_total", "Bytes of objects written by flushes.";
    }
}

area! {
    /// The write-ahead log.
    WalMetrics {
        size: gauge "datacoord_wal_size_bytes", "Length of the log.";
        files: gauge "datacoord_wal_files", "Files of the log.";
        records: counter "datacoord_wal_records_total", "Records written.";
        written: counter "datacoord_wal_written_bytes_total", "Bytes written.";
        syncs: counter "datacoord_wal_syncs_total", "Syncs to the disk: each is one group commit.";
    }
}

area! {
    /// The object store.
    StorageMetrics {
        requests: counter by ["operation"] "datacoord_storage_requests_total", "Requests by operation.";
        failures: counter by ["operation"] "datacoord_storage_failures_total", "Requests that failed in the end.";
        retries: counter by ["operation"] "datacoord_storage_retries_total", "Attempts after the first.";
        bytes: counter by ["operation"] "datacoord_storage_bytes_total", "Bytes of objects, of requests that succeeded.";
    }
}

area! {
    /// Searches.
    SearchMetrics {
        vectors: counter "datacoord_search_query_vectors_total", "Query vectors of searches that were answered.";
        cache_hits: counter "datacoord_search_cache_hits_total", "Logs of vectors and indexes that a search found in memory.";
        cache_misses: counter "datacoord_search_cache_misses_total", "Logs of vectors, other columns and indexes that were read to be kept in memory.";
    }
}

area! {
    /// Garbage collection.
    GcMetrics {
        runs: counter by ["outcome"] "datacoord_gc_runs_total", "Rounds by outcome.";
        deleted_objects: counter "datacoord_gc_deleted_objects_total", "Objects deleted.";
        deleted_bytes: counter "datacoord_gc_deleted_bytes_total", "Bytes deleted.";
    }
}

area! {
    /// The scrubber.
    ScrubMetrics {
        objects: counter "datacoord_scrub_objects_total", "Objects compared with their checksums.";
        bytes: counter "datacoord_scrub_bytes_total", "Bytes read for that.";
        failures: counter "datacoord_scrub_failures_total", "Objects that could not be read now: their turn comes again.";
        damage: counter "datacoord_scrub_damage_total", "Damaged or missing objects found.";
        damaged: gauge "datacoord_scrub_damaged_objects", "Objects of live segments known to be damaged or missing.";
    }
}

area! {
    /// The gRPC services; use [`Metrics::grpc_request`].
    GrpcMetrics {
        requests: counter by ["method", "code"] "datacoord_grpc_requests_total", "Calls by method and gRPC code.";
        duration: coarse_histogram by ["method"] "datacoord_grpc_request_seconds", "One call.";
        in_flight: gauge "datacoord_grpc_calls_in_flight", "Calls being answered.";
    }
}

area! {
    /// REST.
    HttpMetrics {
        requests: counter by ["route", "code"] "datacoord_http_requests_total", "Requests by route and HTTP code.";
    }
}

area! {
    /// Users. A cached login costs nothing; a right or wrong one costs a hash.
    AccessMetrics {
        logins: counter by ["result"] "datacoord_access_logins_total", "Checks of a password by result.";
        denied: counter "datacoord_access_denied_total", "Calls of users that lack the privilege.";
    }
}

/// All metrics on one registry.
#[derive(Clone)]
pub struct Metrics {
    pub memory: MemoryMetrics,
    pub connections: ConnectionMetrics,
    pub tls: TlsMetrics,
    pub catalog: CatalogMetrics,
    pub compaction: CompactionMetrics,
    pub ingest: IngestMetrics,
    pub wal: WalMetrics,
    pub storage: StorageMetrics,
    pub search: SearchMetrics,
    pub gc: GcMetrics,
    pub scrub: ScrubMetrics,
    pub grpc: GrpcMetrics,
    pub http: HttpMetrics,
    pub access: AccessMetrics,
    registry: Registry,
    inventory: Vec<MetricEntry>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("metrics", &self.inventory.len()).finish_non_exhaustive()
    }
}

impl Metrics {
    /// Registers everything. Fails if the registry has one of the names already.
    pub fn new(registry: Registry) -> Result<Self, TelemetryError> {
        let mut registrar = Registrar { registry, inventory: Vec::new() };
        let (name, help) = ("datacoord_process_info", "Always 1; the version is the label.");
        let opts = Opts::new(name, help).const_label("version", env!("CARGO_PKG_VERSION"));
        registrar.add("gauge", (name, &["version"], help), Gauge::with_opts(opts))?.set(1.0);
        let r = &mut registrar;
        Ok(Self {
            memory: MemoryMetrics::register(r)?,
            connections: ConnectionMetrics::register(r)?,
            tls: TlsMetrics::register(r)?,
            catalog: CatalogMetrics::register(r)?,
            compaction: CompactionMetrics::register(r)?,
            ingest: IngestMetrics::register(r)?,
            wal: WalMetrics::register(r)?,
            storage: StorageMetrics::register(r)?,
            search: SearchMetrics::register(r)?,
            gc: GcMetrics::register(r)?,
            scrub: ScrubMetrics::register(r)?,
            grpc: GrpcMetrics::register(r)?,
            http: HttpMetrics::register(r)?,
            access: AccessMetrics::register(r)?,
            registry: registrar.registry,
            inventory: registrar.inventory,
        })
    }

    /// All metrics, in the order of their areas.
    pub fn inventory(&self) -> &[MetricEntry] {
        &self.inventory
    }

    /// The registry in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Writing to memory fails only for an empty family, and the registry gathers none.
        if TextEncoder::new().encode(&self.registry.gather(), &mut text).is_err() {
            return String::new();
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// Counts one gRPC call. `method` is `package.Service/Method` of a method that is served, or one word for all others:
    /// a client chooses their paths, and every value costs a series. `code` is the name of the gRPC status code.
    pub fn grpc_request(&self, method: &str, code: &'static str, took: Duration) {
        self.grpc.requests.0.with_label_values(&[method, code]).inc();
        self.grpc.duration.0.with_label_values(&[method]).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests;
