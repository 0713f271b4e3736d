//! A whole coordinator in the test's process, called through the service that clients reach, over a store whose writes
//! can be held back and a clock that can be set.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use datacoord::{
    clock::{Clock, ManualClock},
    config::Config,
    coordinator::{Coordinator, Parts},
    grpc::GrpcServer,
    meta::{MetaStore, RedbStore},
    standalone::{Standalone, StandaloneError},
    storage::{SegmentStore, StorageBackend, StorageError},
    telemetry::Metrics,
    wire::proto::{
        common::{SegmentState, Status},
        milvus::{milvus_service_server::MilvusService, *},
    },
};
use tonic::Request;

use crate::kit::{
    gate::{Gate, Operation, ROWS},
    rpc, within,
};

const DIM: usize = 4;

/// Everything that outlives a process: the directory, the store, the time.
pub struct World {
    dir: tempfile::TempDir,
    pub gate: Arc<Gate>,
    pub clock: Arc<ManualClock>,
    pub config: Config,
    /// None: a RedbStore in the directory.
    pub meta: Option<Arc<dyn MetaStore>>,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.data_dir = dir.path().to_owned();
        config.storage.retry_backoff = Duration::ZERO;
        config.worker.retry_backoff = Duration::ZERO;
        let gate = Gate::new(SegmentStore::in_memory().backend());
        Self { dir, gate, clock: Arc::new(ManualClock::at(1_700_000_000_000)), config, meta: None }
    }

    /// For tests that ask for each compaction themselves.
    pub fn without_automatic_compaction() -> Self {
        let mut world = Self::new();
        world.config.compaction.auto_enabled = false;
        world
    }

    /// From now on insert logs are not written before the gate is opened.
    pub fn hold_writes(&self) {
        self.gate.hold(Operation::Put, ROWS);
    }

    /// From now on there is no room for insert logs, until the gate is healed.
    pub fn fill_disk(&self) {
        let error = |object| StorageError::Full { operation: "put", object, what: "the test says so".into() };
        self.gate.refuse(Operation::Put, ROWS, error);
    }

    /// Where the catalog and the log are.
    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    pub async fn start(&self) -> Process {
        self.try_start().await.unwrap()
    }

    pub async fn try_start(&self) -> Result<Process, StandaloneError> {
        let meta = match &self.meta {
            Some(meta) => Arc::clone(meta),
            None => Arc::new(RedbStore::open(self.data_dir()).unwrap()),
        };
        self.start_with(meta).await
    }

    /// Starts over files that may be damaged.
    pub async fn start_over_files(&self) -> Result<Process, String> {
        let meta = RedbStore::open(self.data_dir()).map_err(|e| e.to_string())?;
        self.start_with(Arc::new(meta)).await.map_err(|e| e.to_string())
    }

    async fn start_with(&self, meta: Arc<dyn MetaStore>) -> Result<Process, StandaloneError> {
        let store = SegmentStore::with_backend(Arc::clone(&self.gate) as Arc<dyn StorageBackend>, &self.config.storage);
        Process::start_with(self.config.clone(), Arc::clone(&self.clock), meta, store).await
    }
}

/// One run of the server.
#[derive(Clone)]
pub struct Process {
    pub standalone: Arc<Standalone>,
    /// Its DataCoord.
    pub coordinator: Arc<Coordinator>,
    pub services: Arc<GrpcServer>,
    pub api: Arc<dyn MilvusService>,
}

impl Process {
    pub async fn start(
        config: Config,
        clock: Arc<ManualClock>,
        store: SegmentStore,
    ) -> Result<Process, StandaloneError> {
        let meta = Arc::new(RedbStore::open(&config.server.data_dir).unwrap());
        Self::start_with(config, clock, meta, store).await
    }

    async fn start_with(
        config: Config,
        clock: Arc<ManualClock>,
        meta: Arc<dyn MetaStore>,
        store: SegmentStore,
    ) -> Result<Process, StandaloneError> {
        let metrics = Arc::new(Metrics::new(prometheus::Registry::new()).unwrap());
        let standalone = Standalone::start(Parts {
            meta,
            config: Arc::new(config),
            clock: clock as Arc<dyn Clock>,
            metrics: Arc::clone(&metrics),
            store,
        })
        .await?;
        let services = Arc::new(GrpcServer::new(Arc::clone(&standalone), metrics));
        let api = Arc::new(services.milvus());
        let coordinator = Arc::clone(standalone.coordinator());
        Ok(Process { standalone, coordinator, services, api })
    }
}

/// Milvus' code for a load of a collection without an index.
const INDEX_NOT_FOUND: i32 = 700;

pub fn ok(status: Option<Status>) {
    let status = status.unwrap_or_default();
    assert_eq!(status.code, 0, "{status:?}");
}

impl Process {
    /// The service, for requests that have no helper here.
    pub fn api(&self) -> &dyn MilvusService {
        self.api.as_ref()
    }

    pub async fn stop(self) {
        self.standalone.shutdown().await;
    }

    pub async fn create(&self, name: &str, properties: &[(&str, &str)]) {
        let request = Self::creation(name, properties);
        ok(Some(self.api.create_collection(Request::new(request)).await.unwrap().into_inner()));
        self.make_readable(name).await;
    }

    /// The request that [`Self::create`] makes.
    pub fn creation(name: &str, properties: &[(&str, &str)]) -> CreateCollectionRequest {
        let fields = vec![rpc::id_field(), rpc::vector_field("vec", DIM)];
        CreateCollectionRequest { properties: rpc::pairs(properties), ..rpc::creation(name, fields) }
    }

    pub async fn insert(&self, name: &str, keys: impl IntoIterator<Item = i64>) {
        let request = Self::insertion(name, keys);
        ok(self.api.insert(Request::new(request)).await.unwrap().into_inner().status);
    }

    /// The request that [`Self::insert`] makes.
    pub fn insertion(name: &str, keys: impl IntoIterator<Item = i64>) -> InsertRequest {
        let keys: Vec<i64> = keys.into_iter().collect();
        let vectors = keys.iter().flat_map(|k| [*k as f32; DIM]).collect();
        let columns = vec![rpc::longs("id", keys.clone()), rpc::vectors("vec", DIM, vectors)];
        rpc::insertion(name, keys.len(), columns)
    }

    pub async fn delete(&self, name: &str, keys: &[i64]) {
        let request =
            DeleteRequest { collection_name: name.into(), expr: format!("id in {keys:?}"), ..Default::default() };
        ok(self.api.delete(Request::new(request)).await.unwrap().into_inner().status);
    }

    pub async fn flush(&self, name: &str) {
        let request = FlushRequest { collection_names: vec![name.into()], ..Default::default() };
        ok(self.api.flush(Request::new(request)).await.unwrap().into_inner().status);
    }

    /// Writes a segment of these keys.
    pub async fn segment(&self, name: &str, keys: impl IntoIterator<Item = i64>) {
        self.insert(name, keys).await;
        self.flush(name).await;
    }

    /// Indexes and loads a collection, if it is not.
    pub async fn make_readable(&self, name: &str) {
        let load = async || self.api.load_collection(Request::new(rpc::loading(name))).await.unwrap().into_inner();
        if load().await.code == INDEX_NOT_FOUND {
            let index = Request::new(rpc::indexing(name, "vec"));
            ok(Some(self.api.create_index(index).await.unwrap().into_inner()));
            ok(Some(load().await));
        }
    }

    async fn query(&self, name: &str, output_fields: &[&str]) -> QueryResults {
        self.make_readable(name).await;
        let request = QueryRequest {
            collection_name: name.into(),
            expr: "id >= 0".into(),
            output_fields: output_fields.iter().map(|f| (*f).to_owned()).collect(),
            ..Default::default()
        };
        self.api.query(Request::new(request)).await.unwrap().into_inner()
    }

    /// The error of reading all columns of all rows; None if they can be read.
    pub async fn query_error(&self, name: &str) -> Option<String> {
        let status = self.query(name, &["id", "vec"]).await.status.unwrap_or_default();
        (status.code != 0).then_some(status.reason)
    }

    pub async fn keys(&self, name: &str) -> Vec<i64> {
        let answer = self.query(name, &["id"]).await;
        ok(answer.status);
        let mut keys = rpc::longs_of(&answer.fields_data, "id").to_vec();
        keys.sort_unstable();
        keys
    }

    /// `count(*)`, which counts each row of a key.
    pub async fn count(&self, name: &str) -> i64 {
        let output_fields = vec!["count(*)".to_owned()];
        let request = QueryRequest { collection_name: name.into(), output_fields, ..Default::default() };
        let answer = self.api.query(Request::new(request)).await.unwrap().into_inner();
        ok(answer.status);
        rpc::longs_of(&answer.fields_data, "count(*)")[0]
    }

    /// Flushed segments: id and rows.
    pub async fn segments(&self, name: &str) -> BTreeSet<(i64, i64)> {
        let request = GetPersistentSegmentInfoRequest { collection_name: name.into(), ..Default::default() };
        let answer = self.api.get_persistent_segment_info(Request::new(request)).await.unwrap().into_inner();
        ok(answer.status);
        let flushed = answer.infos.into_iter().filter(|s| s.state() == SegmentState::Flushed);
        flushed.map(|s| (s.segment_id, s.num_rows)).collect()
    }

    pub async fn compact(&self, name: &str) -> i64 {
        let request = ManualCompactionRequest { collection_name: name.into(), ..Default::default() };
        let answer = self.api.manual_compaction(Request::new(request)).await.unwrap().into_inner();
        ok(answer.status);
        answer.compaction_id
    }

    pub async fn state(&self, job: i64) -> GetCompactionStateResponse {
        let request = GetCompactionStateRequest { compaction_id: job };
        self.api.get_compaction_state(Request::new(request)).await.unwrap().into_inner()
    }

    pub async fn plans(&self, job: i64) -> Vec<CompactionMergeInfo> {
        let request = GetCompactionPlansRequest { compaction_id: job, ..Default::default() };
        let answer = self.api.get_compaction_state_with_plans(Request::new(request)).await.unwrap().into_inner();
        ok(answer.status);
        answer.merge_infos
    }

    /// Waits for the end of a job, and returns its state.
    pub async fn ended(&self, job: i64) -> GetCompactionStateResponse {
        const COMPLETED: i32 = 2;
        within("the end of a compaction", async {
            loop {
                let state = self.state(job).await;
                ok(state.status.clone());
                if state.state == COMPLETED {
                    return state;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    pub async fn until_segments(&self, name: &str, count: usize) {
        within("a number of segments", async {
            while self.segments(name).await.len() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub async fn drop_collection(&self, name: &str) {
        let request = DropCollectionRequest { collection_name: name.into(), ..Default::default() };
        ok(Some(self.api.drop_collection(Request::new(request)).await.unwrap().into_inner()));
    }
}
