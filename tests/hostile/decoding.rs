//! Messages that are small on the wire and large once they are decoded.

use std::collections::HashSet;

use datacoord::wire::{
    footprint::{decoded_bytes, shape_of},
    proto::milvus::*,
};
use futures::{StreamExt as _, future::join_all, stream};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, client::Grpc, codegen::http::uri::PathAndQuery};

use crate::{
    calls::{Raw, call, outcome},
    kit::{rpc, within},
    memory,
    messages::{Method, Protocol},
    served::{BOOK, Served, panics, query},
};

/// Large messages may take eleven sixteenths of it.
const REQUESTS: u64 = 8 << 20;
const MESSAGE: usize = 2 << 20;
/// Calls at once.
const CALLS: usize = 8;
/// Bytes that one call may hold at once in this process: the memory of all requests, of which lists may have half as spare capacity
/// and a copy while they grow; and the copies of the message on the client's side.
const MOST_MEMORY: usize = 3 * REQUESTS as usize + 6 * MESSAGE;

fn small(config: &mut datacoord::config::Config) {
    config.budget.requests = REQUESTS;
}

/// Milvus' rate limit, or a code that says that a message is too large.
fn is_refusal(protocol: &Protocol, method: &Method, answer: &Result<Vec<u8>, tonic::Status>) -> bool {
    match answer {
        Err(status) => status.code() == Code::ResourceExhausted,
        Ok(answer) => outcome(protocol, method, answer).is_some_and(|status| status.code == 8),
    }
}

/// Every list of every request, with as many elements as fit into a message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_list_becomes_more_than_the_memory_of_requests() {
    let served = Served::with_rows(small).await;
    let channel = served.channel().await;
    let protocol = Protocol::new(&[], &[]);
    let (mut seen, mut tried, mut refused) = (HashSet::new(), 0, 0);
    for method in &protocol.methods {
        for (list, message) in protocol.crowded(&method.input, MESSAGE, &mut seen) {
            let watch = memory::Watch::begin();
            let answer = call(&channel, method, message).await;
            let peak = watch.peak();
            assert!(peak < MOST_MEMORY, "{list} in {}: {peak} bytes were held at once, {answer:?}", method.path);
            tried += 1;
            refused += usize::from(is_refusal(&protocol, method, &answer));
        }
    }
    assert!(tried >= 70 && refused > tried * 9 / 10, "{refused} of {tried} refused");
    assert_eq!(panics(), 0);
    served.is_well().await;
    served.stop().await;
}

/// Each fits alone, as it is sent all fit, and together they become more than there is. The server holds a decoded
/// message as long as the client does not end its request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_grow_at_once_share_the_memory_of_requests() {
    let served = Served::with_rows(small).await;
    let channel = served.channel().await;
    let message = GetFlushStateRequest { segment_i_ds: vec![1; 300_000], ..Default::default() }.encode_to_vec();
    let (release, mut refused) = (CancellationToken::new(), tokio::sync::mpsc::channel(CALLS));
    let calls = (0..CALLS).map(|_| {
        let rest = stream::once(release.clone().cancelled_owned()).filter_map(|()| async { None });
        let messages = stream::iter([message.clone()]).chain(rest);
        let (mut grpc, refused) = (Grpc::new(channel.clone()), refused.0.clone());
        async move {
            grpc.ready().await.expect("a connection");
            let path = PathAndQuery::from_static("/milvus.proto.milvus.MilvusService/GetFlushState");
            let code = match grpc.client_streaming(Request::new(messages), path, Raw).await {
                Ok(_) => Code::Ok,
                Err(status) => status.code(),
            };
            if code == Code::ResourceExhausted {
                refused.send(()).await.expect("the test waits");
            }
            code
        }
    });
    let calls = tokio::spawn(join_all(calls.collect::<Vec<_>>()));
    within("a refusal", refused.1.recv()).await;
    release.cancel();
    let codes = within("the calls", calls).await.expect("the calls");
    assert!(codes.contains(&Code::Ok), "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, Code::Ok | Code::ResourceExhausted)), "{codes:?}");
    assert_eq!(panics(), 0);
    served.is_well().await;
    served.stop().await;
}

fn many(field: u32, element: &[u8], count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        encode_key(field, WireType::LengthDelimited, &mut bytes);
        encode_varint(element.len() as u64, &mut bytes);
        bytes.extend_from_slice(element);
    }
    bytes
}

/// The count beside the allocations of the decoder.
#[tokio::test]
async fn the_decoder_takes_what_was_counted() {
    // Only one test counts memory at a time.
    let served = Served::start(|_| {}).await;
    fn taken<M: Message + Default>(message: &[u8]) -> usize {
        let watch = memory::Watch::begin();
        let decoded = M::decode(message).expect("a message");
        let peak = watch.peak();
        drop(decoded);
        peak + size_of::<M>()
    }
    type Taken = fn(&[u8]) -> usize;
    let keys: Vec<u8> = (0..50_000).flat_map(|n: u32| many(13, &many(1, format!("{n}").as_bytes(), 1), 1)).collect();
    let cases: Vec<(&str, Taken, Vec<u8>)> = vec![
        ("InsertRequest", taken::<InsertRequest>, many(5, &[], 100_000)),
        ("InsertRequest", taken::<InsertRequest>, many(5, &many(3, &many(6, &[], 1), 1), 10_000)),
        ("InsertRequest", taken::<InsertRequest>, many(6, &[1; 100_000], 1)),
        ("GetFlushStateRequest", taken::<GetFlushStateRequest>, many(1, &[1; (1 << 17) + 1], 1)),
        ("QueryRequest", taken::<QueryRequest>, many(5, &[], (1 << 16) + 1)),
        ("QueryRequest", taken::<QueryRequest>, many(5, b"twenty letters of it", 50_000)),
        ("QueryRequest", taken::<QueryRequest>, keys),
        ("CreateIndexRequest", taken::<CreateIndexRequest>, many(5, &many(1, b"k", 1), 33)),
        ("InsertRequest", taken::<InsertRequest>, insertion_of_everything().encode_to_vec()),
    ];
    for (at, (name, taken, message)) in cases.into_iter().enumerate() {
        let shape = shape_of(&format!(".milvus.proto.milvus.{name}")).expect("a message of the protocol");
        let counted = decoded_bytes(shape, &message).expect("a whole message") as usize;
        let taken = taken(&message);
        // A list that has just grown has room for as many again, and its half was copied.
        assert!(taken <= 3 * counted, "{at} {name}: {taken} taken, {counted} counted");
        assert!(counted <= 3 * taken + 1024, "{at} {name}: {taken} taken, {counted} counted");
    }
    served.stop().await;
}

/// Columns as clients send them.
fn insertion_of_everything() -> InsertRequest {
    let rows = 1000;
    let columns = vec![rpc::longs("id", (0..rows).collect()), rpc::vectors("vec", 16, vec![0.5; 16 * rows as usize])];
    rpc::insertion(BOOK, rows as usize, columns)
}

/// A schema is a message in a field of bytes, and it too is counted before it is decoded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_empty_fields_is_bounded() {
    let served = Served::with_rows(small).await;
    let mut api = served.client().await;
    let watch = memory::Watch::begin();
    let creation = CreateCollectionRequest {
        collection_name: "wide".into(),
        schema: many(4, &[], MESSAGE / 2),
        ..Default::default()
    };
    let status = api.create_collection(creation).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    // An inner message that claims more than the outer one has: the decoder would read on.
    let mut broken = many(4, &[0x12, 100], 1);
    broken.extend(many(4, &[], MESSAGE / 4));
    let creation = CreateCollectionRequest { collection_name: "wide".into(), schema: broken, ..Default::default() };
    let status = api.create_collection(creation).await.unwrap().into_inner();
    assert!(status.code != 0 && status.reason.contains("schema can't be parsed"), "{status:?}");
    let peak = watch.peak();
    assert!(peak < MOST_MEMORY, "{peak}");
    api.query(query("id >= 0")).await.unwrap();
    served.is_well().await;
    served.stop().await;
}

/// Bodies of HTTP as trees would take thirty times their bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_empty_lists_never_becomes_a_tree() {
    let served = Served::with_rows(|_| {}).await;
    let lists = |name: &str| format!(r#"{{"{name}":[{}]}}"#, vec!["[]"; 300_000].join(","));
    for body in [lists("unknown"), lists("collectionID"), lists("segment_ids")] {
        let head = format!("POST /api/v1/compaction HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len());
        let mut stream = TcpStream::connect(served.http).await.unwrap();
        let watch = memory::Watch::begin();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = [0; 9];
        within("an answer", stream.read_exact(&mut answer)).await.unwrap();
        let peak = watch.peak();
        assert_eq!(&answer, b"HTTP/1.1 ");
        assert!(peak < 10 * body.len(), "{peak} bytes for a body of {}", body.len());
    }
    served.is_well().await;
    served.stop().await;
}
