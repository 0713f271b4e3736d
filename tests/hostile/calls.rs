//! Every method of every service with messages of any content, over a connection.

use bytes::{Buf as _, BufMut as _};
use datacoord::wire::proto::{
    common::Status as Outcome,
    milvus::{milvus_service_client::MilvusServiceClient, search_request::SearchInput, *},
    schema::DataType,
};
use prost::Message as _;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

use crate::{
    kit::{numbers::Numbers, rpc},
    memory,
    messages::{Method, Protocol, field_of},
    mutate,
    served::{BOOK, DIM, PATIENCE, Served, insertion, panics, query, search},
};

const STATUS: &str = ".milvus.proto.common.Status";
/// Memory that the server and this test may hold at once, above that before the first call: the pools of a server with
/// little memory, and copies of a message on its way.
const MOST_MEMORY: usize = 192 << 20;

/// Passes bytes through, so that a message need not be one.
#[derive(Debug, Clone, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

/// The answer's message; of a stream none, because it may be silent for ever.
pub async fn call(channel: &Channel, method: &Method, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let call = async {
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let path = PathAndQuery::try_from(method.path.as_str()).map_err(|e| Status::unknown(e.to_string()))?;
        let answer = grpc.server_streaming(Request::new(message), path, Raw).await?;
        if method.is_stream {
            return Ok(Vec::new());
        }
        answer.into_inner().message().await?.ok_or_else(|| Status::unknown("an answer without a message"))
    };
    tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(|_| panic!("{} is not answered", method.path))
}

/// The status of Milvus in an answer, if its message has one.
pub fn outcome(protocol: &Protocol, method: &Method, answer: &[u8]) -> Option<Outcome> {
    if method.output == STATUS {
        return Some(Outcome::decode(answer).expect("a status"));
    }
    let number = protocol.field_number(&method.output, "status", STATUS)?;
    Some(Outcome::decode(field_of(answer, number).unwrap_or_default().as_slice()).expect("a status"))
}

/// A failure of the server itself, and not a refusal.
fn is_defect(status: &Status) -> bool {
    matches!(status.code(), Code::Unknown | Code::Internal | Code::DataLoss | Code::Cancelled | Code::Unavailable)
}

/// Everything that clients can see of definitions and rows, as text.
async fn state(api: &mut MilvusServiceClient<Channel>) -> String {
    let mut seen = String::new();
    let databases = api.list_databases(ListDatabasesRequest::default()).await.unwrap().into_inner().db_names;
    for database in databases {
        let shown = ShowCollectionsRequest { db_name: database.clone(), ..Default::default() };
        let shown = api.show_collections(shown).await.unwrap().into_inner();
        let mut names = shown.collection_names;
        names.sort();
        for name in names {
            let (db_name, collection_name) = (database.clone(), name.clone());
            let described = DescribeCollectionRequest { db_name, collection_name, ..Default::default() };
            let described = api.describe_collection(described).await.unwrap().into_inner();
            let (db_name, collection_name) = (database.clone(), name.clone());
            let partitions = ShowPartitionsRequest { db_name, collection_name, ..Default::default() };
            let partitions = api.show_partitions(partitions).await.unwrap().into_inner().partition_names;
            let mut aliases = described.aliases;
            aliases.sort();
            let (schema, properties) = (described.schema, described.properties);
            seen += &format!("{database}.{name} {schema:?} {aliases:?} {properties:?} {partitions:?}\n");
        }
    }
    let rows =
        api.query(QueryRequest { output_fields: vec!["count(*)".into()], ..query("") }).await.unwrap().into_inner();
    seen + &format!("{:?}", rpc::longs_of(&rows.fields_data, "count(*)"))
}

/// Ordinary requests, whose changed bytes get far.
fn ordinary() -> Vec<(&'static str, Vec<u8>)> {
    let named = || BOOK.to_owned();
    let fields =
        vec![rpc::id_field(), rpc::vector_field("vec", 4), rpc::field("s", DataType::VarChar, &[("max_length", "9")])];
    let InsertRequest { fields_data, num_rows, .. } = insertion(0..3);
    vec![
        ("CreateCollection", rpc::creation("film", fields).encode_to_vec()),
        ("Insert", insertion(100..103).encode_to_vec()),
        (
            "Upsert",
            UpsertRequest { collection_name: named(), fields_data, num_rows, ..Default::default() }.encode_to_vec(),
        ),
        ("Query", query("id in [1, 2]").encode_to_vec()),
        ("Search", search(&[[1.0; DIM]; 2], "id >= 0").encode_to_vec()),
        (
            "HybridSearch",
            HybridSearchRequest {
                collection_name: named(),
                requests: vec![search(&[[1.0; DIM]; 2], "id >= 0"), search(&[[2.0; DIM]; 2], "")],
                rank_params: rpc::pairs(&[
                    ("strategy", "weighted"),
                    ("params", r#"{"weights": [0.5, 1], "norm_score": true}"#),
                    ("limit", "3"),
                ]),
                output_fields: vec!["id".into()],
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        (
            "Delete",
            DeleteRequest { collection_name: named(), expr: "id in [77]".into(), ..Default::default() }.encode_to_vec(),
        ),
        (
            "CreateIndex",
            CreateIndexRequest {
                collection_name: named(),
                field_name: "vec".into(),
                extra_params: rpc::pairs(&[
                    ("index_type", "HNSW"),
                    ("metric_type", "L2"),
                    ("params", r#"{"M": 8, "efConstruction": 64}"#),
                ]),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        (
            "AlterCollection",
            AlterCollectionRequest {
                collection_name: named(),
                properties: rpc::pairs(&[("a", "b")]),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        (
            "ManualCompaction",
            ManualCompactionRequest { collection_name: named(), ..Default::default() }.encode_to_vec(),
        ),
    ]
}

/// Little memory, so that a pool that leaks is soon full, and short history.
fn small(config: &mut datacoord::config::Config) {
    config.budget.requests = 32 << 20;
    config.budget.queries = 16 << 20;
    config.compaction.history_jobs = 16;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_message_gets_a_status_and_a_refusal_changes_nothing() {
    let served = Served::with_rows(small).await;
    let channel = served.channel().await;
    let mut api = served.client().await;
    let described = DescribeCollectionRequest { collection_name: BOOK.into(), ..Default::default() };
    let id = api.describe_collection(described).await.unwrap().into_inner().collection_id;
    let protocol = Protocol::new(&[BOOK, "id", "vec", "default", "_default", "film"], &[id]);
    assert!(protocol.methods.len() >= 77, "{}", protocol.methods.len());
    let ordinary = ordinary();
    let mut numbers = Numbers::new(7);
    let mut seen = state(&mut api).await;
    let watch = memory::Watch::begin();
    let (mut refused, mut accepted) = (0, 0);
    for method in &protocol.methods {
        let name = method.path.rsplit('/').next().unwrap_or_default();
        let known: Vec<Vec<u8>> =
            ordinary.iter().filter(|(of, _)| *of == name).map(|(_, message)| message.clone()).collect();
        for round in 0..16 {
            let message = match round {
                0 => Vec::new(),
                1 => (0..numbers.below(300)).map(|_| numbers.next() as u8).collect(),
                _ if round % 2 == 0 && !known.is_empty() => mutate::changed(&mut numbers, &known),
                _ => protocol.message(&mut numbers, &method.input),
            };
            let answer = call(&channel, method, message).await;
            let is_refused = match &answer {
                Err(status) => {
                    assert!(!is_defect(status), "{} {round}: {status}", method.path);
                    assert!(!status.message().is_empty(), "{} {round}: {:?}", method.path, status.code());
                    true
                }
                Ok(answer) => outcome(&protocol, method, answer).is_some_and(|status| {
                    assert!(status.code == 0 || !status.reason.is_empty(), "{} {round}: {status:?}", method.path);
                    status.code != 0 || status.error_code != 0
                }),
            };
            let now = state(&mut api).await;
            if is_refused {
                refused += 1;
                assert_eq!(now, seen, "{} {round} was refused and changed something: {answer:?}", method.path);
            } else {
                accepted += 1;
            }
            seen = now;
            // An accepted message may have dropped or renamed the collection.
            if !seen.contains(&format!("default.{BOOK} ")) {
                drop_alias(&served).await;
                served.make_rows().await;
                seen = state(&mut api).await;
            }
        }
    }
    let peak = watch.peak();
    assert!(peak < MOST_MEMORY, "{peak} bytes were held at once");
    assert_eq!(panics(), 0);
    assert!(refused > 300 && accepted > 200, "{refused} refused, {accepted} accepted");
    let health = served.standalone.health();
    assert!(health.takes_calls(), "{health:?}");
    served.stop().await;
}

/// The name of the collection may have become an alias of its new name.
async fn drop_alias(served: &Served) {
    let request = DropAliasRequest { alias: BOOK.into(), ..Default::default() };
    served.client().await.drop_alias(request).await.unwrap();
}

/// Large and deep messages that are valid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_deep_messages_are_answered_within_bounds() {
    let served = Served::with_rows(|_| {}).await;
    let mut api = served.client().await;
    let watch = memory::Watch::begin();
    let named = || BOOK.to_owned();

    let ids: Vec<i64> = (0..1_000_000).collect();
    let request = GetFlushStateRequest { segment_i_ds: ids.clone(), ..Default::default() };
    api.get_flush_state(request).await.unwrap();
    let request = ManualCompactionRequest { collection_name: named(), segment_ids: ids, ..Default::default() };
    api.manual_compaction(request).await.unwrap();

    let partitions: Vec<String> = (0..10_000).map(|n| format!("p{n}")).collect();
    let load =
        LoadPartitionsRequest { collection_name: named(), partition_names: partitions.clone(), ..Default::default() };
    let status = api.load_partitions(load).await.unwrap().into_inner();
    assert_ne!(status.code, 0, "{status:?}");
    let answer = api.query(QueryRequest { partition_names: partitions, ..query("id > 0") }).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().code, 65535);

    let long = format!("id in [{}]", vec!["-9223372036854775808"; 300_000].join(","));
    let answer = api.query(query(&long)).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().code, 0, "a long list is no error");
    for (filter, text) in [
        (format!("{}id > 0{}", "(".repeat(50_000), ")".repeat(50_000)), "100"),
        (format!("id in [{}]", "1,".repeat(9 << 20)), "16777216"),
        (format!("{} id > 0", "not ".repeat(50_000)), "100"),
    ] {
        let answer = api.query(query(&filter)).await.unwrap().into_inner().status.unwrap();
        assert!(answer.code != 0 && answer.reason.contains(text), "{} {}", answer.code, answer.reason);
        assert!(answer.reason.len() < 4096);
    }

    let fields: Vec<_> = (0..10_000).map(|n| rpc::field(&format!("f{n}"), DataType::Int64, &[])).collect();
    let status = api.create_collection(rpc::creation("wide", fields)).await.unwrap().into_inner();
    assert_ne!(status.code, 0);

    let output_fields = vec!["id".to_owned(); 100_000];
    api.query(QueryRequest { output_fields, ..query("id > 0") }).await.unwrap();

    // As many query vectors and rows as are allowed, and more; a claim; many empty vectors in few bytes.
    let many = search(&vec![[1.0; DIM]; 16_384], "id >= 0");
    let answer = api.search(many.clone()).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().code, 0);
    assert_eq!(answer.results.unwrap().topks.len(), 16_384);
    let too_many = search(&vec![[1.0; DIM]; 16_385], "id >= 0");
    let claimed = SearchRequest { nq: i64::MAX, ..search(&[[1.0; DIM]], "") };
    // Field 3, length 0, ten million times in the only message of field 1.
    let values = [0x1a, 0].repeat(10_000_000);
    let mut empty = vec![0x0a];
    prost::encoding::encode_varint(values.len() as u64, &mut empty);
    empty.extend_from_slice(&values);
    let empty = SearchRequest { search_input: Some(SearchInput::PlaceholderGroup(empty.into())), ..many };
    for request in [too_many, claimed, empty] {
        let status = api.search(request).await.unwrap().into_inner().status.unwrap();
        assert!(status.reason.contains("should be in range [1, 16384]"), "{status:?}");
    }

    // Compressed messages are not taken, so none can grow when it is read.
    let mut request = Request::new(GetVersionRequest::default());
    request.metadata_mut().insert("grpc-encoding", "gzip".parse().unwrap());
    let status = api.get_version(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");

    // A message within a message, ten thousand times: the decoder has a bound of its own.
    let mut deep = Vec::new();
    for _ in 0..10_000 {
        let mut outer = Vec::with_capacity(deep.len() + 12);
        prost::encoding::encode_key(8, prost::encoding::WireType::LengthDelimited, &mut outer);
        prost::encoding::encode_varint(deep.len() as u64, &mut outer);
        outer.extend_from_slice(&deep);
        deep = outer;
    }
    let protocol = Protocol::new(&[], &[]);
    let insert = protocol.methods.iter().find(|method| method.path.ends_with("MilvusService/Insert")).unwrap();
    let status = call(&served.channel().await, insert, deep).await;
    assert!(status.as_ref().is_err_and(|status| !is_defect(status)) || status.is_ok(), "{status:?}");

    let peak = watch.peak();
    assert!(peak < 2 * MOST_MEMORY, "{peak} bytes were held at once");
    assert_eq!(panics(), 0);
    served.is_well().await;
    served.stop().await;
}
