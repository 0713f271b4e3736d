//! Every metric of the process, by area. `docs/metrics.md` lists them; a test compares the two.
//!
//! Names are `datacoord_<area>_<thing>_<unit>`. The unit of a counter ends in `total`; a gauge that counts things has no
//! unit. `process_*` has the names of Prometheus' own client libraries, `milvus` those of Milvus. Handles are cheap to
//! clone and safe to use from any thread. Each area is updated by its owner. Must never: be read to decide something.

use std::time::Duration;

use prometheus::{Counter, Encoder, Gauge, Histogram, IntCounter, IntGauge, Opts, Registry, TextEncoder};

use super::error::TelemetryError;

#[macro_use]
mod registrar;
mod milvus;

use milvus::NODE;
pub use milvus::{CallOutcome, MilvusMetrics};
use registrar::{Buckets, Registrar};
pub use registrar::{CounterBy, GaugeBy, HistogramBy, MetricEntry, catch_up};

area! {
    /// The process as the system sees it, under the names that Prometheus' own client libraries use.
    ProcessMetrics {
        cpu: seconds_counter "process_cpu_seconds_total", "Processor time used, in seconds.";
        open_fds: gauge "process_open_fds", "Open file descriptors.";
        max_fds: gauge "process_max_fds", "Most file descriptors that may be open.";
        threads: gauge "process_threads", "Threads.";
        virtual_bytes: gauge "process_virtual_memory_bytes", "Virtual memory.";
        resident_bytes: gauge "process_resident_memory_bytes", "Resident memory.";
        started: seconds_gauge "process_start_time_seconds", "Start of the process, in seconds since 1970.";
    }
}

area! {
    /// The health of the process, by part.
    HealthMetrics {
        ready: gauge "datacoord_health_ready", "1 while calls may be sent here, as /readyz says.";
        ailments: gauge by ["part", "condition"] "datacoord_health_ailments", "Reasons why a part is not well.";
    }
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
        ports: gauge "datacoord_tls_ports", "Ports that speak TLS.";
        remaining: gauge "datacoord_tls_certificate_remaining_seconds", "Time until the certificate in use expires; negative once it has, 0 without TLS.";
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
        duration: histogram in Seconds by ["kind"] "datacoord_compaction_duration_seconds", "Execution of a plan, commit included.";
        wait: histogram in Seconds "datacoord_compaction_queue_seconds", "From the making of a plan to its execution.";
        planning: histogram in Seconds "datacoord_compaction_planning_seconds", "One round of planning.";
    }
}

area! {
    /// Writes, growing segments and flushes.
    IngestMetrics {
        inserted_rows: counter "datacoord_ingest_inserted_rows_total", "Rows acknowledged.";
        upserted_rows: counter "datacoord_ingest_upserted_rows_total", "Rows among them that were upserts.";
        inserted_bytes: counter "datacoord_ingest_inserted_bytes_total", "Bytes of rows acknowledged, in memory.";
        deleted_keys: counter "datacoord_ingest_deleted_keys_total", "Deleted keys acknowledged.";
        growing_segments: gauge "datacoord_ingest_growing_segments", "Segments that are not flushed yet.";
        growing_bytes: gauge "datacoord_ingest_growing_bytes", "Memory of segments that are not flushed yet.";
        pending_deletes: gauge "datacoord_ingest_pending_deletes", "Deletes that are not in a delta log yet.";
        flushes: counter by ["outcome"] "datacoord_ingest_flushes_total", "Flushes by outcome.";
        delta_flushes: counter by ["outcome"] "datacoord_ingest_delta_flushes_total", "Flushes of waiting deletes by outcome.";
        flushed_rows: counter "datacoord_ingest_flushed_rows_total", "Rows flushed.";
        flush_write: histogram in Seconds "datacoord_ingest_flush_write_seconds", "Writing the objects of a flushed segment.";
        flushed_bytes: counter "datacoord_ingest_flushed_bytes_total", "Bytes of objects written by flushes.";
    }
}

area! {
    /// The write-ahead log.
    WalMetrics {
        size: gauge "datacoord_wal_size_bytes", "Length of the log.";
        limit: gauge "datacoord_wal_limit_bytes", "Length of the log from which on the oldest segments are flushed: datacoord.wal.maxSize.";
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
        duration: histogram in FewSeconds by ["method"] "datacoord_grpc_request_seconds", "One call.";
        failures: counter by ["code"] "datacoord_grpc_failures_total", "Calls that failed, by gRPC code; Milvus' own refusals are answers with code OK.";
        refused: counter "datacoord_grpc_refused_total", "Calls of Milvus' service that were answered with an error of Milvus in an answer with code OK.";
        in_flight: gauge "datacoord_grpc_calls_in_flight", "Calls being answered.";
    }
}

area! {
    /// REST.
    HttpMetrics {
        requests: counter by ["route", "code"] "datacoord_http_requests_total", "Requests by route and HTTP code.";
        duration: histogram in FewSeconds by ["route"] "datacoord_http_request_seconds", "One request.";
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
    pub process: ProcessMetrics,
    pub health: HealthMetrics,
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
    pub milvus: MilvusMetrics,
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
        let metrics = Self {
            process: ProcessMetrics::register(r)?,
            health: HealthMetrics::register(r)?,
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
            milvus: MilvusMetrics::register(r)?,
            registry: registrar.registry,
            inventory: registrar.inventory,
        };
        metrics.milvus.show();
        Ok(metrics)
    }

    /// All metrics, in the order of their areas.
    pub fn inventory(&self) -> &[MetricEntry] {
        &self.inventory
    }

    /// The registry in Prometheus' text format.
    pub fn render(&self) -> String {
        self.refresh_milvus();
        let mut text = Vec::new();
        // Writing to memory fails only for an empty family, and the registry gathers none.
        if TextEncoder::new().encode(&self.registry.gather(), &mut text).is_err() {
            return String::new();
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// Brings Milvus' counters that have a twin among our own up to it.
    fn refresh_milvus(&self) {
        let Self { milvus, ingest, compaction, search, .. } = self;
        let (rows, upserted) = (ingest.inserted_rows.get(), ingest.upserted_rows.get());
        catch_up(&milvus.insert_vectors.with([NODE]), rows.saturating_sub(upserted));
        catch_up(&milvus.upsert_vectors.with([NODE]), upserted);
        catch_up(&milvus.search_vectors.with([NODE]), search.vectors.get());
        catch_up(&milvus.message_rows.with([NODE, "insert"]), rows);
        catch_up(&milvus.message_rows.with([NODE, "delete"]), ingest.deleted_keys.get());
        catch_up(&milvus.stored_rows_total, ingest.flushed_rows.get() + compaction.output_rows.get());
        for (status, outcomes) in
            [("total", &["done", "failed"][..]), ("success", &["done"][..]), ("fail", &["failed"][..])]
        {
            let sum = |of: &CounterBy<1>| outcomes.iter().map(|outcome| of.with([outcome]).get()).sum::<u64>();
            catch_up(&milvus.flush_requests.with([NODE, status]), sum(&ingest.flushes));
            catch_up(&milvus.flush_buffers.with([NODE, status]), sum(&ingest.flushes) + sum(&ingest.delta_flushes));
        }
        catch_up(&milvus.flushed_bytes.with([NODE, "insert"]), ingest.flushed_bytes.get());
    }

    /// Makes the series of all methods appear with 0. `methods` are `package.Service/Method`.
    pub fn show_methods<'a>(&self, methods: impl Iterator<Item = &'a str>) {
        for method in methods.chain(["other"]) {
            self.grpc.requests.0.with_label_values(&[method, "OK"]);
            self.grpc.duration.0.with_label_values(&[method]);
            self.milvus.show_method(method);
        }
    }

    /// Counts one gRPC call. `method` is `package.Service/Method` of a method that is served, or `other` for all others:
    /// a client chooses their paths, and every value costs a series. `code` is the name of the gRPC status code.
    pub fn grpc_request(&self, method: &str, code: &'static str, outcome: CallOutcome, took: Duration) {
        self.grpc.requests.0.with_label_values(&[method, code]).inc();
        self.grpc.duration.0.with_label_values(&[method]).observe(took.as_secs_f64());
        match outcome {
            CallOutcome::Served => {}
            CallOutcome::Refused => self.grpc.refused.inc(),
            CallOutcome::Failed => self.grpc.failures.with([code]).inc(),
        }
        self.milvus.called(method, outcome, took);
    }

    /// A plan was executed and committed. `kind` is its kind, `bytes` the size of each output.
    pub fn plan_committed(&self, kind: &'static str, took: Duration, outputs: impl Iterator<Item = u64>) {
        self.compaction.duration.with([kind]).observe(took.as_secs_f64());
        self.milvus.compacted(took, outputs);
    }

    /// A plan waited this long for its execution.
    pub fn plan_began(&self, waited: Duration) {
        self.compaction.wait.observe(waited.as_secs_f64());
        self.milvus.waited(waited);
    }

    /// The objects of a segment were written.
    pub fn flush_written(&self, took: Duration) {
        self.ingest.flush_write.observe(took.as_secs_f64());
        self.milvus.saved(took);
    }
}

#[cfg(test)]
mod tests;
