//! A whole process in a temporary directory: real log, real metadata store, local files, small segments.
//!
//! Reads of insert logs can be held back ([`World::hold`]), which keeps a merge executing for as long as a test looks at
//! it. Nothing here sleeps: tests wait for what the job book announces.

mod damage;
mod deletes;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use prometheus::Registry;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    coordinator::{CollectionCell, CompactionRequest, Coordinator, JobView, Parts},
    ingest::{DeleteOp, Write},
    meta::{MetaError, RedbStore},
    model::{CollectionSchema, DataType, Field, FieldId, Job, JobId, Plan, PlanId, PlanState, PrimaryKey, SegmentId},
    storage::{Backend, Listed, Object, SegmentStore, StorageError},
    telemetry::Metrics,
};

/// Nothing that a test waits for takes this long, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);
const DIM: u32 = 4;

/// Holds reads, or writes, of insert logs back while it is closed for them.
#[derive(Debug)]
struct Gate {
    inner: Arc<dyn Backend>,
    closed: AtomicBool,
    closed_for_writes: AtomicBool,
    opened: Notify,
    /// A request waits at the closed gate.
    came: Notify,
}

#[async_trait]
impl Backend for Gate {
    async fn get(&self, name: &str) -> Result<Bytes, StorageError> {
        if name.starts_with("insert_log") {
            self.pass(&self.closed).await;
        }
        self.inner.get(name).await
    }

    async fn get_range(&self, name: &str, range: std::ops::Range<u64>) -> Result<Bytes, StorageError> {
        self.inner.get_range(name, range).await
    }

    async fn size(&self, name: &str) -> Result<u64, StorageError> {
        self.inner.size(name).await
    }

    async fn put(&self, objects: &[Object]) -> Result<(), StorageError> {
        if objects.iter().any(|object| object.name.starts_with("insert_log")) {
            self.pass(&self.closed_for_writes).await;
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

/// One process, and the parts that it stands on.
pub(crate) struct World {
    pub(crate) standalone: Arc<Standalone>,
    /// Its DataCoord.
    pub(crate) coordinator: Arc<Coordinator>,
    config: Arc<Config>,
    gate: Arc<Gate>,
    clock: Arc<dyn Clock>,
    directory: Arc<TempDir>,
}

impl World {
    /// No automatic compaction, no garbage collection by itself.
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(Arc::new(SystemClock::new()), change).await
    }

    /// The same with a clock of the test's own.
    pub(crate) async fn at(clock: Arc<dyn Clock>, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.data_dir = directory.path().to_owned();
        config.compaction.auto_enabled = false;
        config.gc.enabled = false;
        change(&mut config);
        Self::start_at(Arc::new(directory), clock, Arc::new(config)).await.unwrap()
    }

    /// Stops and starts again over the same directory.
    pub(crate) async fn restarted(self) -> Self {
        let clock = Arc::clone(&self.clock);
        let (directory, config) = self.stopped().await;
        Self::start_at(directory, clock, config).await.unwrap()
    }

    /// Stops. What is left can be started again.
    pub(crate) async fn stopped(self) -> (Arc<TempDir>, Arc<Config>) {
        let Self { standalone, coordinator, config, gate, directory, clock: _ } = self;
        gate.open();
        standalone.shutdown().await;
        drop((standalone, coordinator));
        (directory, config)
    }

    /// The same with other settings.
    pub(crate) async fn restarted_with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self.restarted().await
    }

    pub(crate) async fn start(directory: Arc<TempDir>, config: Arc<Config>) -> Result<Self, StandaloneError> {
        Self::start_at(directory, Arc::new(SystemClock::new()), config).await
    }

    async fn start_at(
        directory: Arc<TempDir>,
        clock: Arc<dyn Clock>,
        config: Arc<Config>,
    ) -> Result<Self, StandaloneError> {
        let local = SegmentStore::open(&config.storage, directory.path()).unwrap();
        let gate = Gate {
            inner: local.backend(),
            closed: AtomicBool::new(false),
            closed_for_writes: AtomicBool::new(false),
            opened: Notify::new(),
            came: Notify::new(),
        };
        let gate = Arc::new(gate);
        let store = SegmentStore::with_backend(Arc::clone(&gate) as Arc<dyn Backend>, &config.storage);
        let standalone = Standalone::start(Parts {
            config: Arc::clone(&config),
            clock: Arc::clone(&clock),
            metrics: Arc::new(Metrics::new(Registry::new()).unwrap()),
            meta: Arc::new(Self::metadata(directory.path()).await),
            store,
        })
        .await?;
        let coordinator = Arc::clone(standalone.coordinator());
        Ok(Self { standalone, coordinator, config, gate, clock, directory })
    }

    /// The threads of a coordinator that was stopped may take a moment to let go of the file.
    async fn metadata(directory: &std::path::Path) -> RedbStore {
        let opened = async {
            loop {
                match RedbStore::open(directory) {
                    Err(MetaError::InUse { .. }) => tokio::task::yield_now().await,
                    opened => return opened.unwrap(),
                }
            }
        };
        tokio::time::timeout(PATIENCE, opened).await.expect("the stopped process still holds its catalog")
    }

    /// From now on merges get no rows to read.
    pub(crate) fn hold(&self) {
        self.gate.closed.store(true, Ordering::SeqCst);
    }

    /// From now on flushes can't write rows.
    pub(crate) fn hold_writes(&self) {
        self.gate.closed_for_writes.store(true, Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        self.gate.open();
    }

    /// Waits until a read or a write of rows is held back.
    pub(crate) async fn held(&self) {
        tokio::time::timeout(PATIENCE, self.gate.came.notified()).await.expect("no request came to the closed gate");
    }

    /// The folder of the objects.
    pub(crate) fn files(&self) -> std::path::PathBuf {
        self.directory.path().join("files")
    }

    pub(crate) async fn collection(&self, name: &str) -> Arc<CollectionCell> {
        self.collection_with(name, BTreeMap::new()).await
    }

    pub(crate) async fn collection_with(
        &self,
        name: &str,
        properties: BTreeMap<String, String>,
    ) -> Arc<CollectionCell> {
        let new = NewCollection {
            database: "default".to_owned(),
            schema: schema(name),
            shards: 1,
            consistency_level: 0,
            properties,
            partitions: None,
        };
        self.standalone.create_collection(new).await.unwrap();
        self.standalone.resolve(CollectionName::new("", name)).unwrap()
    }

    /// Writes rows with the keys of a range, and flushes them into one segment.
    pub(crate) async fn segment(&self, cell: &CollectionCell, keys: std::ops::Range<i64>) -> SegmentId {
        self.standalone.insert(cell, "", rows(keys)).await.unwrap();
        let sealed = self.standalone.flush(cell).await.unwrap().sealed;
        let [id] = sealed.as_slice() else { panic!("sealed {sealed:?}, expected one segment") };
        assert!(cell.segment(*id).unwrap().is_live());
        *id
    }

    /// Deletes keys; they wait in memory, as a client's would.
    pub(crate) async fn delete(&self, cell: &CollectionCell, keys: std::ops::Range<i64>) {
        let meta = cell.meta();
        let keys: Arc<[PrimaryKey]> = keys.map(PrimaryKey::Int).collect();
        let delete = DeleteOp { channel: meta.channels[0].clone(), partition: None, keys, older_than: None };
        let schema = Arc::clone(&meta.schema);
        let write = Write { collection: cell.id, schema, deletes: vec![delete], inserts: vec![] };
        self.standalone.ingest.write(write).await.unwrap();
    }

    /// Asks for compaction of everything.
    pub(crate) async fn compact(&self, cell: &Arc<CollectionCell>) -> JobId {
        self.coordinator.manual_compaction(cell, CompactionRequest::default()).await.unwrap().job
    }

    pub(crate) fn view(&self, job: JobId) -> JobView {
        self.coordinator.jobs().job(job).unwrap()
    }

    pub(crate) fn plan(&self, plan: PlanId) -> Plan {
        self.coordinator.jobs().plan(plan).unwrap()
    }

    /// Waits until all plans of a job have ended.
    pub(crate) async fn ended(&self, job: JobId) -> JobView {
        self.until(|| Some(self.view(job)).filter(|view| view.counts().is_finished())).await
    }

    /// Waits until a plan executes.
    pub(crate) async fn executing(&self, plan: PlanId) {
        self.until(|| matches!(self.plan(plan).state, PlanState::Executing { .. }).then_some(())).await;
    }

    /// Waits until the job book shows something.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let mut changes = self.coordinator.jobs().changes();
        let found = async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                // Changes that were missed are one more reason to look.
                let _ = changes.recv().await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("what the test waits for never came")
    }

    /// Names of all objects in the store.
    pub(crate) fn objects(&self) -> Vec<String> {
        let root = self.files();
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// Adds a job that has ended already, as history has them.
    pub(crate) fn remember(&self, job: Job, plans: Vec<Plan>) {
        self.coordinator.jobs().add(job, plans);
    }
}

impl Gate {
    async fn pass(&self, closed: &AtomicBool) {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            opened.as_mut().enable();
            if !closed.load(Ordering::SeqCst) {
                return;
            }
            self.came.notify_one();
            opened.await;
        }
    }

    fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.closed_for_writes.store(false, Ordering::SeqCst);
        self.opened.notify_waiters();
    }
}

pub(crate) fn field(id: i64, name: &str, data_type: DataType) -> Field {
    Field {
        id: FieldId(id),
        name: name.to_owned(),
        description: String::new(),
        data_type,
        element_type: None,
        is_primary_key: false,
        auto_id: false,
        is_partition_key: false,
        is_clustering_key: false,
        is_dynamic: false,
        dim: None,
        max_length: None,
        max_capacity: None,
        type_params: vec![],
        index_params: vec![],
    }
}

fn schema(name: &str) -> CollectionSchema {
    CollectionSchema {
        name: name.to_owned(),
        description: String::new(),
        enable_dynamic_field: false,
        fields: vec![
            Field { is_primary_key: true, ..field(100, "id", DataType::Int64) },
            Field { dim: Some(DIM), ..field(101, "vector", DataType::FloatVector) },
        ],
        primary: 0,
    }
}

pub(crate) fn rows(keys: std::ops::Range<i64>) -> RecordBatch {
    let fields = schema("").fields;
    let columns: Vec<ArrowField> =
        fields.iter().map(|f| ArrowField::new(f.column_name(), f.arrow_type(), false)).collect();
    let vectors = keys.clone().map(|key| [key as f32; DIM as usize].map(f32::to_le_bytes).concat());
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(keys)),
        Arc::new(FixedSizeBinaryArray::try_from_iter(vectors).unwrap()),
    ];
    RecordBatch::try_new(Arc::new(ArrowSchema::new(columns)), arrays).unwrap()
}
