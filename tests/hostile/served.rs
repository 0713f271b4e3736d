//! A server in the test's process, on ports of its own, with little memory.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use datacoord::{
    clock::SystemClock,
    config::{Config, StorageConfig},
    connections::{HandshakeFault, Listener, RefusalProtocol, Watched},
    coordinator::Parts,
    grpc::GrpcServer,
    http::{self, ControlService, LargeBodies, Milvus, RequestBounds},
    memory::Growth,
    meta::MemoryStore,
    standalone::Standalone,
    storage::SegmentStore,
    telemetry::Metrics,
    wire::proto::{
        common::{DslType, PlaceholderGroup, PlaceholderType, PlaceholderValue},
        milvus::{milvus_service_client::MilvusServiceClient, search_request::SearchInput, *},
    },
};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::kit::{rpc, within};

pub const BOOK: &str = "book";
/// Keys of the rows that are there.
pub const KEYS: i64 = 10;
pub const DIM: usize = 4;

pub struct Served {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub standalone: Arc<Standalone>,
    pub metrics: Arc<Metrics>,
    /// Where calls take memory beyond their messages.
    pub growth: Growth,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
    _turn: Option<tokio::sync::MutexGuard<'static, ()>>,
}

/// One server at a time: memory is counted for the whole process.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Panics of any thread: a runtime catches them, and the call looks like one that ended badly.
static PANICS: AtomicUsize = AtomicUsize::new(0);

pub fn panics() -> usize {
    PANICS.load(Relaxed)
}

struct Unwatched;

impl Watched for Unwatched {
    fn opened(&self) {}
    fn closed(&self) {}
    fn refused(&self) {}
    fn failed(&self, _: HandshakeFault) {}
}

impl Served {
    pub async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::over(|_| SegmentStore::in_memory(), change).await
    }

    /// Over a store that is made from the settings for it.
    pub async fn over(store: impl FnOnce(&StorageConfig) -> SegmentStore, change: impl FnOnce(&mut Config)) -> Self {
        let turn = TURN.lock().await;
        Self { _turn: Some(turn), ..Self::made(store, change).await }
    }

    /// A second server of a test that has one, without rows.
    pub async fn beside(change: impl FnOnce(&mut Config)) -> Self {
        Self::made(|_| SegmentStore::in_memory(), change).await
    }

    async fn made(store: impl FnOnce(&StorageConfig) -> SegmentStore, change: impl FnOnce(&mut Config)) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                // A test's own thread has its path for a name.
                let is_test = std::thread::current().name().is_some_and(|name| name.contains("::"));
                PANICS.fetch_add(usize::from(!is_test), Relaxed);
                usual(info);
            }));
        });
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.data_dir = dir.path().to_owned();
        config.compaction.auto_enabled = false;
        change(&mut config);
        let metrics = Arc::new(Metrics::new(prometheus::Registry::new()).unwrap());
        let (most, idle) = (config.server.max_connections.max(64), config.server.idle_timeout);
        let standalone = Standalone::start(Parts {
            meta: Arc::new(MemoryStore::new()),
            store: store(&config.storage),
            config: Arc::new(config),
            clock: Arc::new(SystemClock::new()),
            metrics: Arc::clone(&metrics),
        })
        .await
        .unwrap();
        let stop = CancellationToken::new();
        let port = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (grpc, http) = (port().await, port().await);
        let (grpc_address, http_address) = (grpc.local_addr().unwrap(), http.local_addr().unwrap());
        let listener = |socket, protocol| {
            Listener::new(socket, most, idle, protocol, None, Arc::new(Unwatched) as Arc<dyn Watched>)
        };
        let services = GrpcServer::new(Arc::clone(&standalone), Arc::clone(&metrics));
        let requests = services.requests();
        let large = LargeBodies::new(requests.large().clone(), requests.max_message_bytes(), requests.size_key());
        let growth = requests.growth().clone();
        let bounds =
            RequestBounds { idle, memory: requests.small().clone(), growth: growth.clone(), large, streams: 4 };
        let milvus = Milvus { service: Arc::new(services.milvus()), let_in: GrpcServer::let_in };
        let control = ControlService { service: Arc::new(services.control()), let_in: GrpcServer::let_in_to_control };
        let router = http::router(Arc::clone(&standalone), Arc::clone(&metrics), milvus, control, || {}, bounds);
        tokio::spawn(http::serve(listener(http, RefusalProtocol::Http1), router, idle, stop.clone()));
        tokio::spawn(services.serve(listener(grpc, RefusalProtocol::Http2), stop.clone().cancelled_owned()));
        Self { grpc: grpc_address, http: http_address, standalone, metrics, growth, stop, _dir: dir, _turn: None }
    }

    /// With a loaded collection of ten rows, half of them flushed.
    pub async fn with_rows(change: impl FnOnce(&mut Config)) -> Self {
        let served = Self::start(change).await;
        served.make_rows().await;
        served
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.grpc)).unwrap().connect().await.unwrap()
    }

    pub async fn client(&self) -> MilvusServiceClient<Channel> {
        MilvusServiceClient::new(self.channel().await).max_decoding_message_size(usize::MAX)
    }

    pub async fn make_rows(&self) {
        let mut api = self.client().await;
        let creation = rpc::creation(BOOK, vec![rpc::id_field(), rpc::vector_field("vec", DIM)]);
        assert_eq!(api.create_collection(creation).await.unwrap().into_inner().code, 0);
        self.load(BOOK, "vec").await;
        for keys in [0..KEYS / 2, KEYS / 2..KEYS] {
            let answer = api.insert(insertion(keys.clone())).await.unwrap().into_inner();
            assert_eq!(answer.status.unwrap().code, 0);
            if keys.start == 0 {
                let flush = FlushRequest { collection_names: vec![BOOK.into()], ..Default::default() };
                assert_eq!(api.flush(flush).await.unwrap().into_inner().status.unwrap().code, 0);
            }
        }
    }

    /// Loads a collection, whose vector field this is, so that it can be queried.
    pub async fn load(&self, collection: &str, vector: &str) {
        let mut api = self.client().await;
        assert_eq!(api.create_index(rpc::indexing(collection, vector)).await.unwrap().into_inner().code, 0);
        assert_eq!(api.load_collection(rpc::loading(collection)).await.unwrap().into_inner().code, 0);
    }

    /// An ordinary call is answered, and the rows are there.
    pub async fn is_well(&self) {
        let answer = within("an ordinary query", async { self.client().await.query(query("id >= 0")).await }).await;
        let answer = answer.unwrap().into_inner();
        assert_eq!(answer.status.unwrap_or_default().code, 0);
        let mut keys = rpc::longs_of(&answer.fields_data, "id").to_vec();
        keys.sort_unstable();
        assert_eq!(keys, (0..KEYS).collect::<Vec<_>>());
    }

    pub async fn stop(self) {
        self.stop.cancel();
        within("the stop", self.standalone.shutdown()).await;
    }
}

pub fn insertion(keys: std::ops::Range<i64>) -> InsertRequest {
    let rows = (keys.end - keys.start) as usize;
    let vectors = keys.clone().flat_map(|key| [key as f32; DIM]).collect();
    rpc::insertion(BOOK, rows, vec![rpc::longs("id", keys.collect()), rpc::vectors("vec", DIM, vectors)])
}

pub fn query(filter: &str) -> QueryRequest {
    QueryRequest {
        collection_name: BOOK.into(),
        expr: filter.into(),
        output_fields: vec!["id".into()],
        ..Default::default()
    }
}

/// Rows near vectors.
pub fn search(vectors: &[[f32; DIM]], filter: &str) -> SearchRequest {
    let values = vectors.iter().map(|vector| vector.map(f32::to_le_bytes).concat().into()).collect();
    let group = PlaceholderValue {
        tag: "$0".into(),
        r#type: PlaceholderType::FloatVector.into(),
        values,
        ..Default::default()
    };
    let group = PlaceholderGroup { placeholders: vec![group] };
    SearchRequest {
        collection_name: BOOK.into(),
        dsl: filter.into(),
        dsl_type: DslType::BoolExprV1.into(),
        search_input: Some(SearchInput::PlaceholderGroup(group.encode_to_vec().into())),
        search_params: rpc::pairs(&[("topk", "10"), ("params", "{}"), ("round_decimal", "-1")]),
        nq: vectors.len() as i64,
        output_fields: vec!["id".into()],
        ..Default::default()
    }
}

/// The longest that any hostile call may take in a debug build on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
