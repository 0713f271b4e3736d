//! One server in memory, without ports, for the targets that need one. All runs share it.

use std::sync::{Arc, LazyLock};

use axum::Router;
use datacoord::{
    clock::ManualClock,
    config::Config,
    coordinator::Parts,
    http::{self, ControlService, LargeBodies, Milvus, RequestBounds},
    memory::Pool,
    meta::MemoryStore,
    standalone::Standalone,
    storage::SegmentStore,
    telemetry::Metrics,
    wire::proto::milvus::milvus_service_server::MilvusService,
};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tonic::Request;

use crate::kit::{pools, rpc};

/// The collection that is there.
pub(super) const BOOK: &str = "book";
/// Jobs are forgotten early, or memory would grow from run to run.
const KEPT_JOBS: u64 = 16;

/// The server, and the runtime that its loops live in.
pub(super) struct World {
    pub(super) runtime: Runtime,
    pub(super) router: Router,
    _dir: tempfile::TempDir,
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::start()));

pub(super) fn warm_up() {
    LazyLock::force(&WORLD);
}

/// Calls the server. Its loops run only meanwhile.
pub(super) fn with<T>(call: impl FnOnce(&World) -> T) -> T {
    call(&WORLD.lock())
}

impl World {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = Config::default();
        config.server.data_dir = dir.path().to_owned();
        config.compaction.auto_enabled = false;
        config.compaction.history_jobs = KEPT_JOBS;
        let metrics = Arc::new(Metrics::new(prometheus::Registry::new()).expect("a new registry"));
        let router = runtime.block_on(async {
            let standalone = Standalone::start(Parts {
                meta: Arc::new(MemoryStore::new()),
                config: Arc::new(config),
                clock: Arc::new(ManualClock::at(1_700_000_000_000)),
                metrics: Arc::clone(&metrics),
                store: SegmentStore::in_memory(),
            })
            .await
            .expect("a server over an empty catalog");
            let services = datacoord::grpc::GrpcServer::new(Arc::clone(&standalone), Arc::clone(&metrics));
            let creation = rpc::creation(BOOK, vec![rpc::id_field(), rpc::vector_field("v", 4)]);
            let answer = services.milvus().create_collection(Request::new(creation)).await.expect("an answer");
            assert_eq!(answer.into_inner().code, 0);
            let memory = Pool::new("some.key", 4 << 20);
            let large = LargeBodies::new(memory.clone(), 1 << 20, "some.key");
            let growth = pools::growth(64 << 20);
            let bounds = RequestBounds { idle: std::time::Duration::from_secs(30), memory, growth, large, streams: 4 };
            let milvus = Milvus { service: Arc::new(services.milvus()), let_in: datacoord::grpc::GrpcServer::let_in };
            let control = ControlService {
                service: Arc::new(services.control()),
                let_in: datacoord::grpc::GrpcServer::let_in_to_control,
            };
            let refreshed = Arc::clone(&standalone);
            http::router(standalone, metrics, milvus, control, move || refreshed.refresh_metrics(), bounds)
        });
        Self { runtime, router, _dir: dir }
    }
}
