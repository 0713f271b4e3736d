//! Each limit of docs/operations.md, met for real: its code, and a text that names the limit, and its key where the words
//! are ours. The table of the document is compared with the server.

use std::time::Duration;

use datacoord::{
    config::Config,
    wire::proto::{common::Status as Outcome, milvus::*, schema::DataType},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    kit::rpc,
    served::{BOOK, DIM, Served, insertion, query, search},
};

/// A limit as the document has it.
struct Limit {
    what: &'static str,
    /// Empty: no setting changes it.
    key: &'static str,
    default: String,
    /// Milvus' code, gRPC's or HTTP's.
    code: &'static str,
    /// A part that the text must have.
    text: &'static str,
    /// The text is Milvus', so it has no key.
    is_milvus: bool,
}

fn table() -> Vec<Limit> {
    let (server, limits) = (Config::default().server, Config::default().limits);
    let mib = |bytes: usize| format!("{} MB", bytes >> 20);
    let limit = |what, key, default: String, code, text| Limit { what, key, default, code, text, is_milvus: false };
    let milvus = |what, key, default: u64, code, text| {
        let default = default.to_string();
        Limit { what, key, default, code, text, is_milvus: true }
    };
    vec![
        limit(
            "message",
            "proxy.grpc.serverMaxRecvSize",
            mib(server.max_request_bytes),
            "RESOURCE_EXHAUSTED",
            "1048576",
        ),
        limit("message of gRPC health and reflection", "", "16 KB".to_owned(), "RESOURCE_EXHAUSTED", "16384"),
        limit(
            "message once it is decoded",
            "datacoord.grpc.memoryLimit",
            "11/16 of it".to_owned(),
            "RESOURCE_EXHAUSTED",
            "of 11534336 bytes",
        ),
        milvus(
            "rows of an answer",
            "quotaAndLimits.limits.maxQueryResultWindow",
            limits.max_query_rows,
            "65535",
            "in range [1, 16384]",
        ),
        milvus("name", "proxy.maxNameLength", limits.max_name_length as u64, "1100", "less than 255 characters"),
        milvus("fields of a collection", "proxy.maxFieldNum", limits.max_fields.into(), "65535", "limited to 64"),
        milvus("shards of a collection", "proxy.maxShardNum", limits.max_shards.into(), "65535", "limited to 16"),
        milvus("dimension of a vector", "proxy.maxDimension", limits.max_dimension.into(), "65535", "1 ~ 32768"),
        milvus("partitions of a collection", "rootCoord.maxPartitionNum", limits.max_partitions as u64, "65535", "(2)"),
        milvus(
            "collections of a database",
            "quotaAndLimits.limits.maxCollectionNumPerDB",
            limits.max_database_collections as u64,
            "102",
            "limit=4",
        ),
        milvus(
            "collections",
            "quotaAndLimits.limits.maxCollectionNum",
            limits.max_collections as u64,
            "102",
            "limit=6",
        ),
        milvus("databases beside `default`", "rootCoord.maxDatabaseNum", limits.max_databases as u64, "801", "limit=2"),
        milvus(
            "`max_length` of a VarChar",
            "datacoord.limits.maxVarCharLength",
            limits.max_varchar_length.into(),
            "1100",
            "(0, 65535]",
        ),
        milvus(
            "`max_capacity` of an array",
            "datacoord.limits.maxArrayCapacity",
            limits.max_array_capacity.into(),
            "65535",
            "(0, 4096]",
        ),
        limit("JSON value", "common.JSONMaxLength", format!("{} bytes", limits.max_json_bytes), "1100", "65536"),
        limit("depth of a JSON value", "", datacoord::json::MAX_DEPTH.to_string(), "1100", "1024"),
        limit("value of a property, description", "", "65535 bytes".to_owned(), "1100", "65535"),
        limit(
            "parameters of a search, an index or a ranking, as JSON",
            "",
            format!("{} bytes", datacoord::json::MAX_TREE_BYTES),
            "65535",
            "65535",
        ),
        limit("expression", "", mib(datacoord::query::expr::MAX_BYTES), "65535", "16777216"),
        limit("depth of an expression", "", datacoord::query::expr::MAX_DEPTH.to_string(), "65535", "100"),
        limit("head of a gRPC call", "", "16 KB".to_owned(), "431", ""),
        limit("body of an HTTP request", "", "1 MB".to_owned(), "413", "1048576"),
        limit(ROWS_BODY, "proxy.grpc.serverMaxRecvSize", "64 MB".to_owned(), "413", "1048576"),
        limit(
            "pause within a request",
            "datacoord.connections.idleTimeout",
            format!("{} s", server.idle_timeout.as_secs()),
            "408",
            "2s",
        ),
    ]
}

/// Goes beyond the limit; the code and the text of the answer.
async fn exceed(served: &Served, what: &str) -> (String, String) {
    let mut api = served.client().await;
    let create = |name: &str, more: Vec<datacoord::wire::proto::schema::FieldSchema>| {
        rpc::creation(name, [vec![rpc::id_field(), rpc::vector_field("v", 2)], more].concat())
    };
    let collection = async |request: CreateCollectionRequest| {
        plain(served.client().await.create_collection(request).await.unwrap().into_inner())
    };
    let filtered =
        async |expr: String| milvus(served.client().await.query(query(&expr)).await.unwrap().into_inner().status);
    let json = async |text: String| {
        let field = rpc::field("js", DataType::Json, &[]);
        api_ok(served.client().await.create_collection(create("documents", vec![field])).await.unwrap().into_inner());
        let data = datacoord::wire::proto::schema::JsonArray { data: vec![text.into_bytes().into()] };
        let column =
            rpc::scalars("js", DataType::Json, datacoord::wire::proto::schema::scalar_field::Data::JsonData(data));
        let columns = vec![rpc::longs("id", vec![1]), rpc::vectors("v", 2, vec![0.5, 0.5]), column];
        let answer = served.client().await.insert(rpc::insertion("documents", 1, columns)).await.unwrap().into_inner();
        milvus(answer.status)
    };
    match what {
        "message" => match api.insert(insertion(0..100_000)).await {
            Err(status) => grpc(&status),
            Ok(answer) => milvus(answer.into_inner().status),
        },
        "message of gRPC health and reflection" => {
            let mut health = tonic::client::Grpc::new(served.channel().await);
            health.ready().await.unwrap();
            let path = tonic::codegen::http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/Check");
            // A name in the field 1.
            let message = [&[0x0a, 0x81, 0x80, 0x01], "n".repeat(16_385).as_bytes()].concat();
            grpc(&health.unary(tonic::Request::new(message), path, crate::calls::Raw).await.unwrap_err())
        }
        "message once it is decoded" => {
            let fields_data = vec![datacoord::wire::proto::schema::FieldData::default(); 250_000];
            match api.insert(InsertRequest { fields_data, ..Default::default() }).await {
                Err(status) => grpc(&status),
                Ok(answer) => milvus(answer.into_inner().status),
            }
        }
        "parameters of a search, an index or a ranking, as JSON" => {
            let params = format!("{{\"ef\": [{}]}}", vec!["1"; 40_000].join(","));
            let search_params = rpc::pairs(&[("topk", "10"), ("params", &params)]);
            let request = SearchRequest { search_params, ..search(&[[1.0; DIM]], "") };
            milvus(api.search(request).await.unwrap().into_inner().status)
        }
        "rows of an answer" => {
            let query_params = rpc::pairs(&[("limit", "16385")]);
            milvus(api.query(QueryRequest { query_params, ..query("id > 0") }).await.unwrap().into_inner().status)
        }
        "name" => collection(create(&"n".repeat(256), vec![])).await,
        "fields of a collection" => {
            let many = (0..63).map(|n| rpc::field(&format!("f{n}"), DataType::Int64, &[])).collect();
            collection(create("c", many)).await
        }
        "shards of a collection" => collection(CreateCollectionRequest { shards_num: 17, ..create("c", vec![]) }).await,
        "dimension of a vector" => {
            collection(rpc::creation("c", vec![rpc::id_field(), rpc::vector_field("v", 32_769)])).await
        }
        "partitions of a collection" => {
            let partition = |name: &str| CreatePartitionRequest {
                collection_name: BOOK.into(),
                partition_name: name.into(),
                ..Default::default()
            };
            api_ok(api.create_partition(partition("p1")).await.unwrap().into_inner());
            plain(api.create_partition(partition("p2")).await.unwrap().into_inner())
        }
        "databases beside `default`" => {
            let database = |name: &str| CreateDatabaseRequest { db_name: name.into(), ..Default::default() };
            api_ok(api.create_database(database("d1")).await.unwrap().into_inner());
            api_ok(api.create_database(database("d2")).await.unwrap().into_inner());
            plain(api.create_database(database("d3")).await.unwrap().into_inner())
        }
        "collections" => {
            let mut last = (String::new(), String::new());
            for n in 0..6 {
                last = collection(create(&format!("c{n}"), vec![])).await;
            }
            last
        }
        "collections of a database" => {
            let database = CreateDatabaseRequest { db_name: "one".into(), ..Default::default() };
            let made = api.create_database(database).await.unwrap().into_inner();
            assert!(made.code == 0, "{made:?}");
            let mut last = (String::new(), String::new());
            for n in 0..5 {
                last =
                    collection(CreateCollectionRequest { db_name: "one".into(), ..create(&format!("c{n}"), vec![]) })
                        .await;
            }
            last
        }
        "`max_length` of a VarChar" => {
            collection(create("c", vec![rpc::field("s", DataType::VarChar, &[("max_length", "65536")])])).await
        }
        "`max_capacity` of an array" => {
            let array = datacoord::wire::proto::schema::FieldSchema {
                element_type: DataType::Int64.into(),
                ..rpc::field("a", DataType::Array, &[("max_capacity", "4097")])
            };
            collection(create("c", vec![array])).await
        }
        "JSON value" => json(format!("\"{}\"", "x".repeat(65_535))).await,
        "depth of a JSON value" => json(format!("{}1{}", "[".repeat(1025), "]".repeat(1025))).await,
        "value of a property, description" => {
            let properties = rpc::pairs(&[("note", &"x".repeat(65_536))]);
            let request = AlterCollectionRequest { collection_name: BOOK.into(), properties, ..Default::default() };
            plain(api.alter_collection(request).await.unwrap().into_inner())
        }
        "expression" => filtered(format!("id in [{}1]", "1,".repeat(8 << 20))).await,
        "depth of an expression" => filtered(format!("{}id > 0{}", "(".repeat(101), ")".repeat(101))).await,
        "head of a gRPC call" => {
            let mut request = tonic::Request::new(GetVersionRequest::default());
            request.metadata_mut().insert("x-much", "x".repeat(20_000).parse().unwrap());
            let status = api.get_version(request).await.unwrap_err();
            (if status.to_string().contains("431") { "431".to_owned() } else { status.to_string() }, String::new())
        }
        "body of an HTTP request" => {
            rest(
                served,
                &format!("POST /api/v1/compaction HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", (1 << 20) + 1),
            )
            .await
        }
        ROWS_BODY => {
            rest(
                served,
                &format!(
                    "POST /v2/vectordb/entities/insert HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
                    (1 << 20) + 1
                ),
            )
            .await
        }
        "pause within a request" => {
            rest(served, "POST /api/v1/compaction HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{").await
        }
        other => panic!("nothing goes beyond {other}"),
    }
}

fn api_ok(status: Outcome) {
    assert!(status.code == 0 || status.reason.contains("duplicate collection"), "{status:?}");
}

fn plain(status: Outcome) -> (String, String) {
    (status.code.to_string(), status.reason)
}

fn milvus(status: Option<Outcome>) -> (String, String) {
    plain(status.unwrap_or_default())
}

fn grpc(status: &tonic::Status) -> (String, String) {
    let name = if status.code() == tonic::Code::ResourceExhausted { "RESOURCE_EXHAUSTED" } else { "another code" };
    (name.to_owned(), status.message().to_owned())
}

/// Bodies with rows or vectors have the limit of messages.
const ROWS_BODY: &str = "body of `entities/insert`, `upsert` and the searches";

/// Sends a head that promises more than it sends; the code and the text of the answer.
async fn rest(served: &Served, head: &str) -> (String, String) {
    let mut stream = TcpStream::connect(served.http).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // The body of the larger one is never read as a whole.
    let _ = stream.write_all(&[b' '; 4096].repeat(if head.contains("length: 9\r") { 0 } else { 260 })).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(crate::served::PATIENCE, stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    (text.split(' ').nth(1).unwrap_or_default().to_owned(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_limit_is_as_the_document_says() {
    let served = Served::with_rows(|config| {
        config.limits.max_partitions = 2;
        config.limits.max_databases = 2;
        config.server.idle_timeout = Duration::from_secs(2);
    })
    .await;
    let narrow = Served::beside(|config| {
        config.server.max_request_bytes = 1 << 20;
        config.budget.requests = 16 << 20;
        config.limits.max_collections = 6;
        config.limits.max_database_collections = 4;
    })
    .await;
    let document = include_str!("../../docs/operations.md");
    let (_, section) = document.split_once("\n## Limits\n").expect("a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let mut wrong = Vec::new();
    let table = table();
    for limit in &table {
        let Limit { what, key, default, code, text, is_milvus } = limit;
        let narrowed = ["message", "message once it is decoded", "collections", "collections of a database", ROWS_BODY];
        let of = if narrowed.contains(what) { &narrow } else { &served };
        let (found, said) = exceed(of, what).await;
        let names_key = *is_milvus || said.contains(key);
        if found != *code || !names_key || !said.contains(text) {
            wrong.push(format!("{what}: {found} {said}"));
        }
        let shown = if key.is_empty() { "–".to_owned() } else { format!("`{key}`") };
        let row = format!("| {what} | {shown} | {default} | {code} |");
        if !rows.contains(&row.as_str()) {
            wrong.push(format!("the document lacks {row}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(rows.len(), table.len(), "the document has limits that nothing here goes beyond: {rows:#?}");
    served.is_well().await;
    narrow.stop().await;
    served.stop().await;
}
