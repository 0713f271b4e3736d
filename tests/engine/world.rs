//! A whole coordinator in the test's process, spoken to through the service that clients reach, over a store that can
//! be stopped at a write and a clock that can be set.

use std::{collections::BTreeSet, future::Future, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use datacoord::{
    clock::{Clock, ManualClock},
    config::Config,
    coordinator::{Coordinator, Parts},
    grpc::GrpcServer,
    meta::{MetaStore, RedbStore},
    standalone::{Standalone, StandaloneError},
    storage::{Backend, Listed, Object, SegmentStore, StorageError},
    telemetry::Metrics,
    wire::proto::{
        common::{KeyValuePair, SegmentState, Status},
        milvus::{milvus_service_server::MilvusService, *},
        schema::{
            CollectionSchema, DataType, FieldData, FieldSchema, FloatArray, LongArray, ScalarField, VectorField,
            field_data, scalar_field, vector_field,
        },
    },
};
use futures::stream::BoxStream;
use prost::Message;
use tokio::sync::{Notify, Semaphore};
use tonic::Request;

const DIM: usize = 4;
/// Nothing here takes long; a test that waits this long for an event waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stops writes of insert logs while it is shut.
#[derive(Debug)]
pub struct Gate {
    inner: Arc<dyn Backend>,
    shut: std::sync::atomic::AtomicBool,
    arrived: Notify,
    open: Semaphore,
    /// No room for insert logs.
    full: std::sync::atomic::AtomicBool,
}

impl Gate {
    fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            shut: false.into(),
            arrived: Notify::new(),
            open: Semaphore::new(0),
            full: false.into(),
        })
    }

    pub fn shut(&self) {
        self.shut.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Waits until a write stands before the gate.
    pub async fn arrival(&self) {
        within("a write at the gate", self.arrived.notified()).await;
    }

    /// From now on there is no room for insert logs.
    pub fn fill(&self) {
        self.full.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn empty(&self) {
        self.full.store(false, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn open(&self) {
        self.shut.store(false, std::sync::atomic::Ordering::SeqCst);
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

#[async_trait]
impl Backend for Gate {
    async fn get(&self, name: &str) -> Result<Bytes, StorageError> {
        self.inner.get(name).await
    }

    async fn get_range(&self, name: &str, range: std::ops::Range<u64>) -> Result<Bytes, StorageError> {
        self.inner.get_range(name, range).await
    }

    async fn size(&self, name: &str) -> Result<u64, StorageError> {
        self.inner.size(name).await
    }

    async fn put(&self, objects: &[Object]) -> Result<(), StorageError> {
        let gated = objects.iter().any(|o| o.name.starts_with("insert_log"));
        if gated && self.shut.load(std::sync::atomic::Ordering::SeqCst) {
            self.arrived.notify_one();
            self.open.acquire().await.unwrap().forget();
        }
        if gated && self.full.load(std::sync::atomic::Ordering::SeqCst) {
            let object = objects.first().map(|o| o.name.clone()).unwrap_or_default();
            return Err(StorageError::Full { operation: "put", object, what: "the test says so".into() });
        }
        self.inner.put(objects).await
    }

    fn batch(&self) -> usize {
        self.inner.batch()
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.inner.copy(from, to).await
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>> {
        self.inner.list(prefix)
    }

    async fn clear_staging(&self) -> Result<u64, StorageError> {
        self.inner.clear_staging().await
    }
}

/// Waits for something that is bound to happen.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// What outlives a process: the directory, the store, the time.
pub struct World {
    dir: tempfile::TempDir,
    pub gate: Arc<Gate>,
    pub clock: Arc<ManualClock>,
    pub config: Config,
    /// None: the real one, in the directory.
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

    /// Tests that say when to compact.
    pub fn without_automatic_compaction() -> Self {
        let mut world = Self::new();
        world.config.compaction.auto_enabled = false;
        world
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

    /// Over files that may be damaged.
    pub async fn start_over_files(&self) -> Result<Process, String> {
        let meta = RedbStore::open(self.data_dir()).map_err(|e| e.to_string())?;
        self.start_with(Arc::new(meta)).await.map_err(|e| e.to_string())
    }

    async fn start_with(&self, meta: Arc<dyn MetaStore>) -> Result<Process, StandaloneError> {
        let store = SegmentStore::with_backend(Arc::clone(&self.gate) as Arc<dyn Backend>, &self.config.storage);
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

pub fn ok(status: Option<Status>) {
    let status = status.unwrap_or_default();
    assert_eq!(status.code, 0, "{status:?}");
}

pub fn property(key: &str, value: &str) -> KeyValuePair {
    KeyValuePair { key: key.into(), value: value.into() }
}

impl Process {
    /// The service itself, for requests that no client would send.
    pub fn api(&self) -> &dyn MilvusService {
        self.api.as_ref()
    }

    pub async fn stop(self) {
        self.standalone.shutdown().await;
    }

    pub async fn create(&self, name: &str, properties: &[(&str, &str)]) {
        let request = Self::creation(name, properties);
        ok(Some(self.api.create_collection(Request::new(request)).await.unwrap().into_inner()));
    }

    /// The request that [`Self::create`] makes.
    pub fn creation(name: &str, properties: &[(&str, &str)]) -> CreateCollectionRequest {
        let field = |name: &str, data_type: DataType, type_params| FieldSchema {
            name: name.into(),
            data_type: data_type.into(),
            is_primary_key: name == "id",
            type_params,
            ..Default::default()
        };
        let schema = CollectionSchema {
            name: name.into(),
            fields: vec![
                field("id", DataType::Int64, Vec::new()),
                field("vec", DataType::FloatVector, vec![property("dim", &DIM.to_string())]),
            ],
            ..Default::default()
        };
        CreateCollectionRequest {
            collection_name: name.into(),
            schema: schema.encode_to_vec(),
            shards_num: 1,
            properties: properties.iter().map(|(k, v)| property(k, v)).collect(),
            ..Default::default()
        }
    }

    pub async fn insert(&self, name: &str, keys: impl IntoIterator<Item = i64>) {
        let request = Self::insertion(name, keys);
        ok(self.api.insert(Request::new(request)).await.unwrap().into_inner().status);
    }

    /// The request that [`Self::insert`] makes.
    pub fn insertion(name: &str, keys: impl IntoIterator<Item = i64>) -> InsertRequest {
        let keys: Vec<i64> = keys.into_iter().collect();
        let vectors = keys.iter().flat_map(|k| [*k as f32; DIM]).collect();
        let column = |name: &str, data_type: DataType, field| FieldData {
            r#type: data_type.into(),
            field_name: name.into(),
            field: Some(field),
            ..Default::default()
        };
        InsertRequest {
            collection_name: name.into(),
            num_rows: keys.len() as u32,
            fields_data: vec![
                column(
                    "id",
                    DataType::Int64,
                    field_data::Field::Scalars(ScalarField {
                        data: Some(scalar_field::Data::LongData(LongArray { data: keys })),
                    }),
                ),
                column(
                    "vec",
                    DataType::FloatVector,
                    field_data::Field::Vectors(VectorField {
                        dim: DIM as i64,
                        data: Some(vector_field::Data::FloatVector(FloatArray { data: vectors })),
                    }),
                ),
            ],
            ..Default::default()
        }
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

    /// A segment of these keys.
    pub async fn segment(&self, name: &str, keys: impl IntoIterator<Item = i64>) {
        self.insert(name, keys).await;
        self.flush(name).await;
    }

    async fn query(&self, name: &str, output_fields: &[&str]) -> QueryResults {
        let request = QueryRequest {
            collection_name: name.into(),
            expr: "id >= 0".into(),
            output_fields: output_fields.iter().map(|f| (*f).to_owned()).collect(),
            ..Default::default()
        };
        self.api.query(Request::new(request)).await.unwrap().into_inner()
    }

    /// Why not all columns of all rows can be read; None: they can.
    pub async fn query_error(&self, name: &str) -> Option<String> {
        let status = self.query(name, &["id", "vec"]).await.status.unwrap_or_default();
        (status.code != 0).then_some(status.reason)
    }

    pub async fn keys(&self, name: &str) -> Vec<i64> {
        let answer = self.query(name, &["id"]).await;
        ok(answer.status);
        let field = answer.fields_data.into_iter().find(|f| f.field_name == "id");
        match field.and_then(|f| f.field) {
            Some(field_data::Field::Scalars(ScalarField { data: Some(scalar_field::Data::LongData(longs)) })) => {
                let mut keys = longs.data;
                keys.sort_unstable();
                keys
            }
            _ => Vec::new(),
        }
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

    /// The state of a job that has ended.
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
