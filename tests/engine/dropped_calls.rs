//! A client disconnects in the middle of a call: the call's future is dropped at each of its awaits in turn. Wherever
//! that happens, memory agrees with the catalog afterwards, and the collection goes on working.

use std::{
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use datacoord::{
    meta::{Catalog, MemoryStore, MetaError, MetaSnapshot, MetaStore, Page, PageLimit, Span, Tally, Txn},
    model::{Collection, Database, Job, Plan, Segment, WriteStats},
    standalone::CollectionName,
    wire::proto::{
        data::data_coord_server::DataCoord as _,
        datacoord::{self as own, data_coord_server::DataCoord as _},
        milvus::*,
    },
};
use rstest::rstest;
use tokio::task::yield_now;
use tonic::Request;

use crate::{
    kit::{rpc, within},
    world::{Process, World, ok},
};

/// Metadata in memory that yields before and after each operation, so that a call can be dropped there.
#[derive(Debug, Default)]
struct Hesitant(MemoryStore);

#[async_trait]
impl MetaStore for Hesitant {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        yield_now().await;
        let value = self.0.get(key).await;
        yield_now().await;
        value
    }

    async fn commit(&self, txn: Txn) -> Result<(), MetaError> {
        yield_now().await;
        let done = self.0.commit(txn).await;
        yield_now().await;
        done
    }

    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        self.0.scan(span, limit).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn MetaSnapshot>, MetaError> {
        self.0.snapshot().await
    }

    async fn tally(&self, class: &str) -> Result<Option<Tally>, MetaError> {
        self.0.tally(class).await
    }

    fn max_operations(&self) -> usize {
        self.0.max_operations()
    }
}

impl Hesitant {
    /// A copy of everything. A second catalog over the same store would take the first one's epoch.
    fn copy(&self) -> MemoryStore {
        self.0.clone()
    }
}

/// A call that is dropped after so many polls. Its output is none then.
struct DroppedAfter {
    polls: usize,
    call: Option<Call>,
}

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Future for DroppedAfter {
    type Output = Option<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = &mut self.call else { return Poll::Ready(None) };
        if call.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(()));
        }
        self.polls -= 1;
        if self.polls > 0 {
            return Poll::Pending;
        }
        self.call = None;
        Poll::Ready(None)
    }
}

/// The contents of the catalog and those of memory.
#[derive(Debug, PartialEq)]
struct Truth {
    databases: Vec<Database>,
    collections: Vec<(Collection, Vec<Segment>, WriteStats)>,
    jobs: Vec<Job>,
    plans: Vec<Plan>,
    pauses: datacoord::model::Pauses,
    throttle: u64,
}

fn in_memory(process: &Process) -> Truth {
    let coordinator = &process.coordinator;
    let mut collections = Vec::new();
    for cell in coordinator.collections() {
        let mut segments = cell.live();
        segments.extend(cell.dropped().iter().cloned());
        segments.sort_by_key(|s| s.id);
        collections.push((Collection::clone(&cell.meta()), segments, cell.write_stats()));
    }
    let mut jobs = Vec::new();
    let mut plans: Vec<Plan> = Vec::new();
    for (collection, ..) in &collections {
        for view in coordinator.jobs().of_collection(collection.id) {
            plans.extend(view.plans.into_iter().filter(|p| p.job == view.job.id));
            jobs.push(view.job);
        }
    }
    jobs.sort_by_key(|j| j.id);
    plans.sort_by_key(|p| p.id);
    Truth {
        databases: process.standalone.databases(),
        collections,
        jobs,
        plans,
        pauses: coordinator.pauses(),
        throttle: coordinator.throttle().limit,
    }
}

async fn in_catalog(copy: MemoryStore) -> Truth {
    let catalog = Catalog::open(Arc::new(copy)).await.unwrap();
    let mut contents = catalog.load(std::mem::take).await.unwrap();
    let controls = catalog.controls().await.unwrap();
    let mut collections = Vec::new();
    for collection in contents.collections.into_iter().filter(|c| !c.dropped) {
        let mut segments: Vec<Segment> = contents.segments.remove(&collection.id).unwrap_or_default();
        segments.sort_by_key(|s| s.id);
        let write_stats = contents.write_stats.get(&collection.id).copied().unwrap_or_default();
        collections.push((collection, segments, write_stats));
    }
    let is_known = |id| collections.iter().any(|(c, ..)| c.id == id);
    contents.jobs.retain(|j| is_known(j.collection));
    contents.plans.retain(|p| is_known(p.group.collection));
    contents.plans.sort_by_key(|p| p.id);
    Truth {
        databases: contents.databases,
        collections,
        jobs: contents.jobs,
        plans: contents.plans,
        pauses: controls.pauses,
        throttle: controls.throttle_bytes_per_second.unwrap_or(0),
    }
}

/// Waits until nothing is under way and memory agrees with the catalog.
async fn memory_is_the_catalog(process: &Process, meta: &Hesitant, what: &str) {
    for _ in 0..2_000 {
        let (memory, copy) = (in_memory(process), meta.copy());
        if memory == in_catalog(copy).await {
            return;
        }
        yield_now().await;
    }
    let (memory, copy) = (in_memory(process), meta.copy());
    let (memory, catalog) = (format!("{memory:#?}"), format!("{:#?}", in_catalog(copy).await));
    let differ = memory.lines().zip(catalog.lines()).find(|(a, b)| a != b);
    panic!("{what}: (memory, catalog) differ in {differ:?}, {} and {} bytes", memory.len(), catalog.len());
}

/// Writes, deletes, flushes and compacts, if there is such a collection.
async fn still_works(process: &Process, name: &str) {
    if process.standalone.resolve(CollectionName::new("", name)).is_err() {
        return;
    }
    process.insert(name, 100..110).await;
    process.flush(name).await;
    process.delete(name, &[1, 11, 101]).await;
    process.flush(name).await;
    assert!(process.standalone.health().takes_calls(), "{:?}", process.standalone.health());
    let job = process.compact(name).await;
    let state = process.ended(job).await;
    assert_eq!((state.failed_plan_no, state.timeout_plan_no), (0, 0), "{:?}", process.plans(job).await);
    let left = process.keys(name).await;
    assert!(left.iter().all(|k| ![1, 11, 101].contains(k)), "{left:?}");
    assert!((102..110).all(|k| left.contains(&k)), "{left:?}");
    within("waiting deletes to leave memory", async {
        while process.standalone.ingest_stats().pending_deletes > 0 {
            yield_now().await;
        }
    })
    .await;
}

/// A collection of two flushed segments, with deletes that wait and rows in memory.
async fn filled(process: &Process, name: &str) {
    // Without an index and a load, which are among the calls.
    let creation = Process::creation(name, &[]);
    ok(Some(process.api().create_collection(Request::new(creation)).await.unwrap().into_inner()));
    process.segment(name, 0..10).await;
    process.segment(name, 10..20).await;
    process.insert(name, 20..25).await;
    process.delete(name, &[3, 13]).await;
}

/// The calls that change something.
#[derive(Debug, Clone, Copy)]
enum Rpc {
    CreateDatabase,
    DropDatabase,
    CreateCollection,
    DropCollection,
    AlterCollection,
    RenameCollection,
    TruncateCollection,
    CreateAlias,
    AlterAlias,
    DropAlias,
    CreatePartition,
    DropPartition,
    Insert,
    Upsert,
    Delete,
    Flush,
    FlushAll,
    ManualCompaction,
    CreateIndex,
    DropIndex,
    LoadCollection,
    ReleaseCollection,
    LoadPartitions,
    ReleasePartitions,
    DataCoordManualCompaction,
    OwnManualCompaction,
    OwnCancelCompaction,
    OwnPauseCompaction,
    OwnResumeCompaction,
    OwnSetThrottle,
    OwnCollectGarbage,
}

fn everything() -> Option<own::PauseScope> {
    Some(own::PauseScope { scope: Some(own::pause_scope::Scope::Everything(true)) })
}

/// An answer that has only a status.
async fn done<T: Debug>(call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>) -> T {
    call.await.unwrap().into_inner()
}

impl Rpc {
    /// Prepares the objects of the call.
    async fn prepare(self, process: &Process, world: &World, name: &str) {
        let api = &process.api;
        let collection_name = name.to_owned();
        match self {
            Self::CreateCollection | Self::CreateDatabase => return,
            Self::DropDatabase => {
                let request = CreateDatabaseRequest { db_name: name.into(), ..Default::default() };
                return ok(Some(done(api.create_database(Request::new(request))).await));
            }
            _ => filled(process, name).await,
        }
        match self {
            Self::AlterAlias | Self::DropAlias => {
                process.create(&format!("{name}_other"), &[]).await;
                let alias = format!("{name}_alias");
                let collection_name = format!("{name}_other");
                let request = CreateAliasRequest { collection_name, alias, ..Default::default() };
                ok(Some(done(api.create_alias(Request::new(request))).await));
            }
            Self::DropPartition | Self::LoadPartitions | Self::ReleasePartitions => {
                let request =
                    CreatePartitionRequest { collection_name, partition_name: "p".into(), ..Default::default() };
                ok(Some(done(api.create_partition(Request::new(request))).await));
            }
            _ => {}
        }
        match self {
            Self::DropIndex
            | Self::LoadCollection
            | Self::ReleaseCollection
            | Self::LoadPartitions
            | Self::ReleasePartitions => ok(Some(done(api.create_index(Request::new(index(name)))).await)),
            Self::Delete => process.make_readable(name).await,
            Self::OwnCancelCompaction | Self::OwnResumeCompaction | Self::DropCollection => {
                let request = own::PauseCompactionRequest { scope: everything(), by: "test".into() };
                process.services.control().pause_compaction(Request::new(request)).await.unwrap();
                process.compact(name).await;
            }
            Self::OwnCollectGarbage => {
                process.ended(process.compact(name).await).await;
                world.clock.advance(Duration::from_secs(1_000_000));
            }
            _ => {}
        }
        match self {
            Self::ReleaseCollection | Self::ReleasePartitions => {
                let request = LoadCollectionRequest { collection_name: name.into(), ..Default::default() };
                ok(Some(done(api.load_collection(Request::new(request))).await));
            }
            _ => {}
        }
    }

    fn call(self, process: &Process, name: &str) -> Call {
        let (process, api, services) = (process.clone(), Arc::clone(&process.api), Arc::clone(&process.services));
        let collection_name = name.to_owned();
        let db_name = name.to_owned();
        let alias = format!("{name}_alias");
        let partition_name = "p".to_owned();
        let partition_names = vec!["p".to_owned()];
        let named = || Some(own::CollectionRef { collection_name: name.to_owned(), ..Default::default() });
        macro_rules! milvus {
            ($method:ident, $request:expr) => {{
                let request = $request;
                Box::pin(async move { ok(Some(done(api.$method(Request::new(request))).await)) })
            }};
        }
        macro_rules! milvus_answer {
            ($method:ident, $request:expr) => {{
                let request = $request;
                Box::pin(async move { ok(done(api.$method(Request::new(request))).await.status) })
            }};
        }
        macro_rules! ours {
            ($method:ident, $request:expr) => {{
                let request = $request;
                Box::pin(async move {
                    services.control().$method(Request::new(request)).await.unwrap();
                })
            }};
        }
        match self {
            Self::CreateDatabase => {
                milvus!(create_database, CreateDatabaseRequest { db_name, ..Default::default() })
            }
            Self::DropDatabase => milvus!(drop_database, DropDatabaseRequest { db_name, ..Default::default() }),
            Self::CreateCollection => milvus!(create_collection, Process::creation(name, &[])),
            Self::DropCollection => {
                milvus!(drop_collection, DropCollectionRequest { collection_name, ..Default::default() })
            }
            Self::AlterCollection => milvus!(
                alter_collection,
                AlterCollectionRequest {
                    collection_name,
                    properties: vec![rpc::pair("collection.ttl.seconds", "1000000")],
                    ..Default::default()
                }
            ),
            Self::RenameCollection => milvus!(
                rename_collection,
                RenameCollectionRequest {
                    old_name: name.into(),
                    new_name: format!("{name}_new"),
                    ..Default::default()
                }
            ),
            Self::TruncateCollection => {
                milvus_answer!(truncate_collection, TruncateCollectionRequest { collection_name, ..Default::default() })
            }
            Self::CreateAlias => {
                milvus!(create_alias, CreateAliasRequest { collection_name, alias, ..Default::default() })
            }
            Self::AlterAlias => {
                milvus!(alter_alias, AlterAliasRequest { collection_name, alias, ..Default::default() })
            }
            Self::DropAlias => milvus!(drop_alias, DropAliasRequest { alias, ..Default::default() }),
            Self::CreatePartition => milvus!(
                create_partition,
                CreatePartitionRequest { collection_name, partition_name, ..Default::default() }
            ),
            Self::DropPartition => {
                milvus!(drop_partition, DropPartitionRequest { collection_name, partition_name, ..Default::default() })
            }
            Self::Insert => milvus_answer!(insert, Process::insertion(name, 30..40)),
            Self::Upsert => {
                let InsertRequest { collection_name, fields_data, num_rows, .. } = Process::insertion(name, 5..9);
                let request = UpsertRequest { collection_name, fields_data, num_rows, ..Default::default() };
                milvus_answer!(upsert, request)
            }
            Self::Delete => {
                milvus_answer!(delete, DeleteRequest { collection_name, expr: "id < 7".into(), ..Default::default() })
            }
            Self::Flush => {
                milvus_answer!(flush, FlushRequest { collection_names: vec![name.into()], ..Default::default() })
            }
            Self::FlushAll => milvus_answer!(flush_all, FlushAllRequest::default()),
            Self::ManualCompaction => {
                milvus_answer!(manual_compaction, ManualCompactionRequest { collection_name, ..Default::default() })
            }
            Self::CreateIndex => milvus!(create_index, index(name)),
            Self::DropIndex => milvus!(
                drop_index,
                DropIndexRequest { collection_name, field_name: "vec".into(), ..Default::default() }
            ),
            Self::LoadCollection => {
                milvus!(load_collection, LoadCollectionRequest { collection_name, ..Default::default() })
            }
            Self::ReleaseCollection => {
                milvus!(release_collection, ReleaseCollectionRequest { collection_name, ..Default::default() })
            }
            Self::LoadPartitions => milvus!(
                load_partitions,
                LoadPartitionsRequest { collection_name, partition_names, ..Default::default() }
            ),
            Self::ReleasePartitions => milvus!(
                release_partitions,
                ReleasePartitionsRequest { collection_name, partition_names, ..Default::default() }
            ),
            Self::DataCoordManualCompaction => Box::pin(async move {
                let request = ManualCompactionRequest { collection_name, ..Default::default() };
                ok(done(services.data_coord().manual_compaction(Request::new(request))).await.status);
            }),
            Self::OwnManualCompaction => {
                ours!(manual_compaction, own::ManualCompactionRequest { collection: named(), ..Default::default() })
            }
            Self::OwnCancelCompaction => {
                let cell = process.standalone.resolve(CollectionName::new("", name)).unwrap();
                let job = process.coordinator.jobs().of_collection(cell.id)[0].job.id.0;
                let target = Some(own::cancel_compaction_request::Target::JobId(job));
                ours!(cancel_compaction, own::CancelCompactionRequest { target, by: "test".into() })
            }
            Self::OwnPauseCompaction => {
                ours!(pause_compaction, own::PauseCompactionRequest { scope: everything(), by: "test".into() })
            }
            Self::OwnResumeCompaction => {
                ours!(resume_compaction, own::ResumeCompactionRequest { scope: everything() })
            }
            Self::OwnSetThrottle => {
                let bytes = 100.0 + name.len() as f64;
                ours!(set_throttle, own::SetThrottleRequest { mb_per_second: Some(bytes) })
            }
            Self::OwnCollectGarbage => ours!(collect_garbage, own::CollectGarbageRequest::default()),
        }
    }
}

fn index(name: &str) -> CreateIndexRequest {
    CreateIndexRequest {
        collection_name: name.into(),
        field_name: "vec".into(),
        index_name: "i".into(),
        extra_params: vec![rpc::pair("index_type", "FLAT"), rpc::pair("metric_type", "L2")],
        ..Default::default()
    }
}

/// More awaits than any call has.
const MOST_POLLS: usize = 200;

#[rstest]
#[tokio::test]
async fn a_call_that_is_dropped_at_any_await_leaves_memory_as_the_catalog(
    #[values(
        Rpc::CreateDatabase,
        Rpc::DropDatabase,
        Rpc::CreateCollection,
        Rpc::DropCollection,
        Rpc::AlterCollection,
        Rpc::RenameCollection,
        Rpc::TruncateCollection,
        Rpc::CreateAlias,
        Rpc::AlterAlias,
        Rpc::DropAlias,
        Rpc::CreatePartition,
        Rpc::DropPartition,
        Rpc::Insert,
        Rpc::Upsert,
        Rpc::Delete,
        Rpc::Flush,
        Rpc::FlushAll,
        Rpc::ManualCompaction,
        Rpc::CreateIndex,
        Rpc::DropIndex,
        Rpc::LoadCollection,
        Rpc::ReleaseCollection,
        Rpc::LoadPartitions,
        Rpc::ReleasePartitions,
        Rpc::DataCoordManualCompaction,
        Rpc::OwnManualCompaction,
        Rpc::OwnCancelCompaction,
        Rpc::OwnPauseCompaction,
        Rpc::OwnResumeCompaction,
        Rpc::OwnSetThrottle,
        Rpc::OwnCollectGarbage
    )]
    rpc: Rpc,
) {
    let mut world = World::without_automatic_compaction();
    let meta = Arc::new(Hesitant::default());
    world.meta = Some(meta.clone());
    world.config.gc.enabled = false;
    let process = world.start().await;
    for polls in 1..=MOST_POLLS {
        let name = format!("c{polls}");
        rpc.prepare(&process, &world, &name).await;
        let ended = DroppedAfter { polls, call: Some(rpc.call(&process, &name)) }.await;
        // Work that has begun goes on without its caller.
        process.coordinator.idle().await;
        memory_is_the_catalog(&process, &meta, &format!("{rpc:?} dropped at poll {polls}")).await;

        process.coordinator.set_throttle(None).await.unwrap();
        let resume = own::ResumeCompactionRequest { scope: everything() };
        process.services.control().resume_compaction(Request::new(resume)).await.unwrap();
        for name in [name.clone(), format!("{name}_new")] {
            still_works(&process, &name).await;
        }
        memory_is_the_catalog(&process, &meta, &format!("{rpc:?} dropped at poll {polls}, afterwards")).await;
        for name in [name.clone(), format!("{name}_new")] {
            process.drop_collection(&name).await;
        }
        if ended.is_some() {
            process.stop().await;
            return;
        }
    }
    panic!("{rpc:?} had not ended after {MOST_POLLS} polls");
}
