//! A whole process in a temporary directory: real log, real metadata store, local files, small segments.
//!
//! Reads of insert logs can be held back ([`World::hold`]), which keeps a merge executing for as long as a test looks at
//! it. Nothing here sleeps: tests wait for the announcements of the job book.

mod backup;
mod damage;
mod deletes;
mod garbage;
mod hand_over;
mod indexes;
mod searches;

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use prometheus::Registry;
use tempfile::TempDir;

use super::*;
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    coordinator::{CollectionCell, CompactionRequest, Coordinator, JobView, Parts},
    ingest::{DeleteOp, Write},
    kit::{
        gate::{Gate, Operation, ROWS},
        model as fixture, within,
    },
    meta::{MetaError, RedbStore},
    model::{CollectionSchema, DataType, Job, JobId, Plan, PlanId, PlanState, PrimaryKey, SegmentId},
    storage::{SegmentStore, StorageBackend},
    telemetry::Metrics,
};

const DIM: u32 = 4;

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

    /// Stops. The returned parts can be started again.
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
        let gate = Gate::new(local.backend());
        let store = SegmentStore::with_backend(Arc::clone(&gate) as Arc<dyn StorageBackend>, &config.storage);
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
        within("the stopped coordinator to let go of its file", opened).await
    }

    /// From now on merges get no rows to read.
    pub(crate) fn hold(&self) {
        self.gate.hold(Operation::Get, ROWS);
    }

    /// From now on flushes can't write rows.
    pub(crate) fn hold_writes(&self) {
        self.gate.hold(Operation::Put, ROWS);
    }

    pub(crate) fn release(&self) {
        self.gate.open();
    }

    /// Waits until a read or a write of rows is held back.
    pub(crate) async fn held(&self) {
        self.gate.arrival().await;
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
        within("a change of the job book", found).await
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

fn schema(name: &str) -> CollectionSchema {
    let fields = vec![fixture::key(100, "id", DataType::Int64), fixture::vector(101, "vector", DIM)];
    fixture::schema(name, fields)
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
