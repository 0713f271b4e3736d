//! Writers that are faster than the store: they are slowed, then refused with a code after which clients try again, and
//! memory stays within its budget.

use std::sync::Arc;

use datacoord::{
    config::Config,
    storage::{SegmentStore, StorageBackend, StorageError},
    wire::proto::{milvus::*, schema::FieldData},
};
use futures::future::join_all;

use crate::{
    kit::{
        gate::{Gate, Operation, ROWS},
        rpc, within,
    },
    served::Served,
};

const FAST: &str = "fast";
/// Milvus' rate limit.
const RATE_LIMIT: i32 = 8;
/// Growing segments are sealed beyond this, and writers wait beyond twice that.
const MEMORY: u64 = 1 << 20;
/// About 256 KB.
const ROWS_AT_ONCE: usize = 7000;
const WRITERS: i64 = 8;

fn little_memory(config: &mut Config) {
    config.ingest.memory_limit_bytes = MEMORY;
    config.storage.retry_backoff = std::time::Duration::ZERO;
    config.storage.max_attempts = 1;
}

async fn server() -> (Arc<Gate>, Served) {
    let gate = Gate::new(SegmentStore::in_memory().backend());
    let backend = Arc::clone(&gate) as Arc<dyn StorageBackend>;
    let served = Served::over(|storage| SegmentStore::with_backend(backend, storage), little_memory).await;
    let creation = rpc::creation(FAST, vec![rpc::id_field(), rpc::vector_field("vec", 4)]);
    let status = served.client().await.create_collection(creation).await.unwrap().into_inner();
    assert_eq!(status.code, 0);
    served.load(FAST, "vec").await;
    (gate, served)
}

fn insertion(first: i64) -> InsertRequest {
    let keys: Vec<i64> = (first..).take(ROWS_AT_ONCE).collect();
    let columns: Vec<FieldData> = vec![rpc::longs("id", keys), rpc::vectors("vec", 4, vec![0.5; 4 * ROWS_AT_ONCE])];
    rpc::insertion(FAST, ROWS_AT_ONCE, columns)
}

/// Bytes of rows that are not flushed.
fn unflushed(served: &Served) -> u64 {
    served.standalone.refresh_metrics();
    served.metrics.ingest.growing_bytes.get() as u64
}

async fn rows(served: &Served) -> i64 {
    let count =
        QueryRequest { collection_name: FAST.into(), output_fields: vec!["count(*)".into()], ..Default::default() };
    let answer = served.client().await.query(count).await.unwrap().into_inner();
    rpc::longs_of(&answer.fields_data, "count(*)").first().copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_wait_for_a_slow_store_and_are_refused_without_one() {
    let (gate, served) = server().await;
    // A store that does not answer: writers are slowed until the last of them waits.
    gate.hold(Operation::Put, ROWS);
    let api = served.client().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let mut api = api.clone();
            tokio::spawn(async move {
                for n in 0..4 {
                    let first = (writer * 4 + n) * ROWS_AT_ONCE as i64;
                    let status = api.insert(insertion(first)).await.unwrap().into_inner().status.unwrap_or_default();
                    assert_eq!(status.code, 0, "{status:?}");
                }
            })
        })
        .collect();
    within("memory that is full", async {
        while unflushed(&served) <= 2 * MEMORY {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gate.arrival().await;
    // One request of each writer may have passed before the memory was full.
    let most = 2 * MEMORY + WRITERS as u64 * (512 << 10);
    assert!(unflushed(&served) <= most, "{}", unflushed(&served));
    assert!(writers.iter().any(|writer| !writer.is_finished()));
    assert!(rows(&served).await > 0, "reads go on");
    gate.open();
    within("the writers", join_all(writers)).await.into_iter().for_each(|writer| writer.unwrap());
    assert_eq!(rows(&served).await, WRITERS * 4 * ROWS_AT_ONCE as i64);

    // A store that refuses: waiting would not help, so writers are told to come back.
    gate.refuse(Operation::Put, ROWS, |object| StorageError::Full {
        operation: "put",
        object,
        what: "by the test".into(),
    });
    let mut api = served.client().await;
    let mut first = WRITERS * 4 * ROWS_AT_ONCE as i64;
    let mut written = 0;
    let refusal = within("a refusal", async {
        loop {
            let status = api.insert(insertion(first)).await.unwrap().into_inner().status.unwrap_or_default();
            if status.code != 0 {
                break status;
            }
            written += 1;
            first += ROWS_AT_ONCE as i64;
        }
    })
    .await;
    assert_eq!((refusal.code, refusal.retriable), (RATE_LIMIT, true), "{refusal:?}");
    assert!(refusal.reason.contains("datacoord.ingest.memoryLimit"), "{}", refusal.reason);
    assert!(unflushed(&served) <= most, "{}", unflushed(&served));
    // Refused rows are not there, accepted ones are.
    assert_eq!(rows(&served).await, (WRITERS * 4 + written) * ROWS_AT_ONCE as i64);
    gate.heal();
    within("a write after the store is back", async {
        loop {
            let status = api.insert(insertion(first)).await.unwrap().into_inner().status.unwrap_or_default();
            if status.code == 0 {
                break;
            }
            assert_eq!(status.code, RATE_LIMIT, "{status:?}");
        }
    })
    .await;
    served.stop().await;
}
