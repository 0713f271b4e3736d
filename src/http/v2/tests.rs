//! The routes over a whole process: requests of scripts for Milvus' REST, and the answers.

use arrow_array::{cast::AsArray as _, types::Int8Type};
use axum::{Router, body::Body};
use serde_json::{Value as Tree, json};
use tower::ServiceExt as _;

use super::{
    answer::Fault,
    columns::columns,
    members::{Members, ValueRoom},
};
use crate::{
    config::LimitsConfig,
    http::tests::{app, read},
    json as text,
    kit::{model, pools},
    memory::Growth,
    model::{CollectionSchema, DataType, DefaultValue, Field},
    standalone::tests::World,
    wire::{proto::milvus::InsertRequest, rows::insert::insert_batch},
};

struct Server {
    router: Router,
    world: World,
}

impl Server {
    async fn new() -> Self {
        let world = World::new().await;
        Self { router: app(&world), world }
    }

    async fn with_users() -> Self {
        let world = World::with(|config| config.access.enabled = true).await;
        Self { router: app(&world), world }
    }

    /// HTTP status and body of a route under `/v2/vectordb/`.
    async fn send(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> (u16, Tree) {
        let mut request = axum::http::Request::builder().method("POST").uri(format!("/v2/vectordb/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let answer = read(self.router.clone().oneshot(request).await.unwrap()).await;
        let body = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{path}: {}", answer.body));
        (answer.status, body)
    }

    async fn call(&self, path: &str, body: Tree) -> Tree {
        let (status, answer) = self.send(path, &body.to_string(), &[]).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// The data of a success.
    async fn data(&self, path: &str, body: Tree) -> Tree {
        let mut answer = self.call(path, body.clone()).await;
        assert_eq!(answer["code"], 0, "{path} {body}: {answer}");
        answer["data"].take()
    }

    /// Code and message of a failure.
    async fn fails(&self, path: &str, body: &str) -> (i64, String) {
        let (status, answer) = self.send(path, body, &[]).await;
        assert_eq!((status, answer.get("data")), (200, None), "{path}: {answer}");
        (answer["code"].as_i64().unwrap(), answer["message"].as_str().unwrap().to_owned())
    }

    async fn books(&self) {
        self.data("collections/create", json!({"collectionName": "books", "dimension": 2, "metricType": "L2"})).await;
    }
}

#[tokio::test]
async fn a_collection_of_a_dimension_is_written_read_and_searched() {
    let server = Server::new().await;
    server.books().await;
    let rows = json!([{"id": 1, "vector": [1, 2], "color": "red"}, {"id": "2", "vector": [3.5, -1e1], "n": 9007199254740993i64}]);
    let inserted = server.call("entities/insert", json!({"collectionName": "books", "data": rows})).await;
    assert_eq!(inserted, json!({"code": 0, "cost": 0, "data": {"insertCount": 2, "insertIds": ["1", "2"]}}));
    let found = server.data("entities/query", json!({"collectionName": "books", "filter": "id > 0"})).await;
    let (one, two) = (
        json!({"id": "1", "vector": [1.0, 2.0], "color": "red"}),
        json!({"id": "2", "vector": [3.5, -10.0], "n": 9007199254740993i64}),
    );
    assert_eq!(found, json!([one, two]));
    let read = json!({"collectionName": "books", "id": [1], "outputFields": ["color"]});
    let (_, answer) = server.send("entities/get", &read.to_string(), &[("accept-type-allow-int64", "true")]).await;
    assert_eq!(answer, json!({"code": 0, "cost": 0, "data": [{"id": 1, "color": "red"}]}));
    let near = json!({"collectionName": "books", "data": [[3, -10]], "limit": 5, "outputFields": ["color"]});
    let found = server.call("entities/search", near).await;
    let (one, two) = (json!({"id": "1", "color": "red", "distance": 148.0}), json!({"id": "2", "distance": 0.25}));
    assert_eq!(found, json!({"code": 0, "cost": 0, "data": [two, one], "topks": [2]}));

    let rows = json!([{"id": 2, "vector": [0, 0], "color": "blue"}]);
    let upserted = server.data("entities/upsert", json!({"collectionName": "books", "data": rows})).await;
    assert_eq!(upserted, json!({"upsertCount": 1, "upsertIds": ["2"]}));
    let deleted = server.data("entities/delete", json!({"collectionName": "books", "filter": "id in [1]"})).await;
    assert_eq!(deleted, json!({"deleteCount": 1}));
    let all = json!({"collectionName": "books", "outputFields": ["count(*)"]});
    assert_eq!(server.data("entities/query", all).await, json!([{"count(*)": "1"}]));
    assert_eq!(server.data("collections/flush", json!({"collectionName": "books"})).await, json!({}));
    assert_eq!(server.data("entities/get", json!({"collectionName": "books", "id": 2})).await[0]["color"], "blue");
}

/// A row has every type, and comes back in its form.
#[tokio::test]
async fn every_type_has_its_form() {
    let server = Server::new().await;
    let field = |name: &str, data_type: &str| json!({"fieldName": name, "dataType": data_type});
    let mut fields: Vec<Tree> = ["Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "JSON"]
        .map(|data_type| field(data_type, data_type))
        .to_vec();
    let text = json!({"max_length": 20});
    fields.push(json!({"fieldName": "k", "dataType": "VarChar", "isPrimary": true, "elementTypeParams": text}));
    fields.push(json!({"fieldName": "bits", "dataType": "BinaryVector", "elementTypeParams": {"dim": "16"}}));
    for (name, element) in [("ints", "Int64"), ("texts", "VarChar"), ("bools", "Bool"), ("floats", "Float")] {
        let params = json!({"max_capacity": 3, "max_length": 5});
        fields.push(json!({
            "fieldName": name, "dataType": "Array", "elementDataType": element, "elementTypeParams": params,
        }));
    }
    let index = json!([{"fieldName": "bits", "metricType": "HAMMING", "indexType": "BIN_FLAT"}]);
    let create = json!({"collectionName": "all", "schema": {"fields": fields}, "indexParams": index});
    server.data("collections/create", create).await;
    let row = json!({
        "Bool": true, "Int8": -128, "Int16": "32767", "Int32": -5, "Int64": 9007199254740993i64, "Float": 0.1,
        "Double": "1.5e300", "JSON": {"a": [1, "ä", null]}, "k": "a \"quoted\" \\ key", "bits": "/wE=",
        "ints": [1, 2], "texts": ["x", "ä"], "bools": [true], "floats": [],
    });
    server.data("entities/insert", json!({"collectionName": "all", "data": [row]})).await;
    let mut second = row.clone();
    (second["k"], second["bits"]) = (json!("b"), json!([255, 1]));
    server.data("entities/insert", json!({"collectionName": "all", "data": [second]})).await;
    let found = server.data("entities/get", json!({"collectionName": "all", "id": "a \"quoted\" \\ key"})).await;
    let expected = json!({
        "Bool": true, "Int8": -128, "Int16": 32767, "Int32": -5, "Int64": "9007199254740993", "Float": 0.1,
        "Double": 1.5e300, "JSON": r#"{"a":[1,"ä",null]}"#, "k": "a \"quoted\" \\ key", "bits": "/wE=",
        "ints": {"Data": {"LongData": {"data": [1, 2]}}}, "texts": {"Data": {"StringData": {"data": ["x", "ä"]}}},
        "bools": {"Data": {"BoolData": {"data": [true]}}}, "floats": {"Data": {"FloatData": {}}},
    });
    assert_eq!(found, json!([expected]));
    let near = json!({"collectionName": "all", "data": ["/wE=", [255, 0]], "limit": 1});
    let found = server.call("entities/search", near).await;
    assert_eq!(found["topks"], json!([1, 1]));
    assert_eq!(found["data"][1]["distance"], 1.0);
}

#[tokio::test]
async fn a_collection_is_defined_described_and_dropped() {
    let server = Server::new().await;
    let named = |name: &str| json!({"collectionName": name});
    assert_eq!(server.data("collections/has", named("books")).await, json!({"has": false}));
    server.books().await;
    assert_eq!(server.data("collections/has", named("books")).await, json!({"has": true}));
    assert_eq!(server.data("collections/list", json!({})).await, json!(["books"]));
    assert_eq!(server.data("collections/get_stats", named("books")).await, json!({"rowCount": 0}));
    let state = server.data("collections/get_load_state", named("books")).await;
    assert_eq!(state, json!({"loadState": "LoadStateLoaded", "loadProgress": 100}));
    let described = server.data("collections/describe", named("books")).await;
    assert_eq!(described["load"], "LoadStateLoaded");
    assert_eq!(described["enableDynamicField"], true);
    assert_eq!(described["indexes"], json!([{"indexName": "vector", "fieldName": "vector", "metricType": "L2"}]));
    let vector = json!({
        "name": "vector", "id": 101, "type": "FloatVector", "primaryKey": false, "partitionKey": false,
        "clusteringKey": false, "autoId": false, "description": "", "nullable": false,
        "params": [{"key": "dim", "value": "2"}],
    });
    assert_eq!(described["fields"][1], vector);
    assert_eq!(server.data("indexes/list", named("books")).await, json!(["vector"]));
    let index = json!({"collectionName": "books", "indexName": "vector"});
    let described = server.data("indexes/describe", index.clone()).await;
    assert_eq!((&described[0]["metricType"], &described[0]["indexState"]), (&json!("L2"), &json!("Finished")));
    assert_eq!(server.data("collections/release", named("books")).await, json!({}));
    let state = server.data("collections/get_load_state", named("books")).await;
    assert_eq!(state, json!({"loadState": "LoadStateNotLoad"}));
    server.data("indexes/drop", index).await;
    assert_eq!(server.data("indexes/list", named("books")).await, json!([]));
    let again = json!([{"fieldName": "vector", "indexName": "v", "metricType": "IP", "indexType": "HNSW",
        "params": {"M": 8, "efConstruction": 64}}]);
    server.data("indexes/create", json!({"collectionName": "books", "indexParams": again})).await;
    server.data("collections/load", named("books")).await;
    server.data("collections/drop", named("books")).await;
    let missing = json!({"collectionName": "books", "data": [{"id": 1}]}).to_string();
    for path in ["collections/get_load_state", "collections/describe", "entities/insert", "entities/query"] {
        let (code, message) = server.fails(path, &missing).await;
        assert_eq!(code, 100, "{path}: {message}");
        assert!(message.contains("books"), "{path}: {message}");
    }
}

#[tokio::test]
async fn a_database_is_named_by_the_body_or_the_header() {
    let server = Server::new().await;
    server.world.standalone.create_database("other").await.unwrap();
    let create = json!({"dbName": "other", "collectionName": "books", "dimension": 2});
    server.data("collections/create", create).await;
    assert_eq!(server.data("collections/list", json!({})).await, json!([]));
    let (_, listed) = server.send("collections/list", "{}", &[("db-name", "other")]).await;
    assert_eq!(listed["data"], json!(["books"]));
    let (_, listed) = server.send("collections/list", r#"{"dbName":"default"}"#, &[("db-name", "other")]).await;
    assert_eq!(listed["data"], json!([]));
}

/// Code and message of every kind of mistake.
#[tokio::test]
async fn mistakes_are_answered_with_milvus_codes() {
    let server = Server::new().await;
    server.books().await;
    let long = "x".repeat(300);
    let with = |members: &str| format!(r#"{{"collectionName":"books",{members}}}"#);
    let required = "failed on the 'required' tag";
    for (path, body, code, text) in [
        ("entities/query", String::new(), 1801, "the request body should be nil, however {} is valid"),
        ("entities/query", "{".to_owned(), 1801, "the text ends too early at byte 1"),
        ("entities/query", "[]".to_owned(), 1801, "cannot unmarshal array into Go value of type httpserver.QueryReqV2"),
        ("entities/query", "{}".to_owned(), 1802, "Key: 'QueryReqV2.CollectionName' Error:Field validation"),
        (
            "entities/query",
            r#"{"collectionName":7}"#.to_owned(),
            1801,
            "number 7 into Go struct field QueryReqV2.collectionName",
        ),
        ("entities/query", with(r#""limit":"5""#), 1801, "string into Go struct field QueryReqV2.limit of type int32"),
        ("entities/query", with(r#""limit":5000000000"#), 1801, "number 5000000000 into Go struct field"),
        ("entities/query", with(r#""outputFields":[1]"#), 1801, "QueryReqV2.outputFields of type string"),
        ("entities/query", with(r#""filter":"id >""#), 65535, "id >"),
        (
            "entities/query",
            with(r#""limit":20000"#),
            65535,
            "(offset+limit) should be in range [1, 16384], but got 20000",
        ),
        ("entities/query", with(r#""exprParams":{"a":1}"#), 1100, "exprParams is not supported"),
        ("entities/query", with(r#""consistencyLevel":"Weak""#), 1100, "parameter:'Weak' is incorrect"),
        ("entities/get", with(r#""x":1"#), 1802, required),
        ("entities/get", with(r#""id":"one""#), 1806, "please check the primary key"),
        ("entities/get", with(r#""id":[1.5]"#), 1806, "1.5"),
        ("entities/delete", with(r#""id":1"#), 1802, required),
        ("entities/insert", with(r#""x":1"#), 1802, required),
        ("entities/insert", with(r#""data":{}"#), 1801, "object into Go struct field CollectionDataReq.data"),
        ("entities/insert", with(r#""data":[]"#), 1804, "missing required parameters"),
        ("entities/insert", with(r#""data":[1]"#), 1804, "row 0 is 1, expected an object"),
        ("entities/insert", with(r#""data":[{"id":1}]"#), 1804, "missing field: vector, row 0"),
        (
            "entities/insert",
            with(r#""data":[{"id":1,"vector":[1,null]}]"#),
            1804,
            "[expected=FloatVector][actual=[1,null]]",
        ),
        ("entities/insert", with(r#""data":[{"id":1,"vector":[1]}]"#), 1804, "has 1 numbers, expected 2"),
        (
            "entities/insert",
            with(r#""data":[{"id":1.5,"vector":[1,2]}]"#),
            1804,
            "[expected=Int64][actual=1.5]: field id, row 0",
        ),
        ("entities/insert", with(&format!(r#""data":[{{"id":"{long}","vector":[1,2]}}]"#)), 1804, "x…]: field id"),
        (
            "entities/insert",
            with(r#""data":[{"id":1,"vector":[1,2],"$meta":{}}]"#),
            65535,
            "cannot set json key to: $meta",
        ),
        ("entities/insert", with(r#""partitionName":"p","data":[{"id":1,"vector":[1,2]}]"#), 200, "p"),
        ("entities/upsert", with(r#""partialUpdate":true,"data":[{"id":1}]"#), 1100, "partialUpdate is not supported"),
        ("entities/search", with(r#""limit":5"#), 1802, "must be provided"),
        ("entities/search", with(r#""data":[[1]]"#), 1801, "4 bytes instead of 8"),
        ("entities/search", with(r#""data":[["a",1]]"#), 1801, "query vector 0 of field vector"),
        ("entities/search", with(r#""data":[[1,2]],"annsField":"id""#), 1801, "cannot find a vector field"),
        ("entities/search", with(r#""ids":[1]"#), 1100, "ids is not supported"),
        ("entities/search", with(r#""data":[[1,2]],"searchParams":{"params":1}"#), 1100, "must be a dict"),
        (
            "entities/search",
            with(r#""data":[[1,2]],"searchParams":{"ef":1,"params":{"ef":2}}"#),
            1100,
            "ambiguous parameter: ef",
        ),
        ("collections/create", r#"{"collectionName":"b"}"#.to_owned(), 1100, "dimension is required"),
        (
            "collections/create",
            r#"{"collectionName":"b","dimension":2,"idType":"Int8"}"#.to_owned(),
            1100,
            "idType can only be",
        ),
        (
            "collections/create",
            r#"{"collectionName":"b","schema":{"fields":[{"fieldName":"k","dataType":"int64"}]}}"#.to_owned(),
            1100,
            "data type int64 is invalid(case sensitive)",
        ),
        (
            "collections/create",
            r#"{"collectionName":"b","schema":{"fields":[{"fieldName":"k"}]}}"#.to_owned(),
            1802,
            "FieldSchema.DataType",
        ),
        ("indexes/create", with(r#""indexParams":[]"#), 1802, required),
        ("indexes/describe", with(r#""indexName":"none""#), 700, "none"),
    ] {
        let (found, message) = server.fails(path, &body).await;
        assert_eq!(found, code, "{path} {body}: {message}");
        assert!(message.contains(text), "{path} {body}: {message}");
    }
}

#[tokio::test]
async fn searches_take_parameters_groups_and_partitions() {
    let server = Server::new().await;
    server.books().await;
    let rows: Vec<Tree> = (0..10).map(|id| json!({"id": id, "vector": [id, 0], "half": id / 2})).collect();
    server.data("entities/insert", json!({"collectionName": "books", "data": rows})).await;
    let ids = |found: &Tree| -> Vec<String> {
        found.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    for (members, expected) in [
        (json!({"limit": 2, "offset": 1}), &["1", "2"][..]),
        (json!({"filter": "id > 7"}), &["8", "9"]),
        (json!({"searchParams": {"metricType": "L2", "params": {"radius": 17, "range_filter": 4}}}), &["2", "3", "4"]),
        (json!({"searchParams": {"radius": 17, "range_filter": 4}}), &["2", "3", "4"]),
        (json!({"partitionNames": ["_default"], "limit": 1}), &["0"]),
    ] {
        let mut body = json!({"collectionName": "books", "data": [[0, 0]], "annsField": "vector"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        assert_eq!(ids(&server.data("entities/search", body).await), expected, "{members}");
    }
    let other = json!({"collectionName": "books", "data": [[0, 0]], "searchParams": {"metricType": "IP"}});
    let (code, message) = server.fails("entities/search", &other.to_string()).await;
    assert_eq!(code, 65535);
    assert!(message.contains("L2") && message.contains("IP"), "{message}");
}

#[tokio::test]
async fn users_need_their_privileges() {
    let server = Server::with_users().await;
    let root = [("authorization", "Bearer root:Milvus")];
    let create = r#"{"collectionName":"books","dimension":2}"#;
    let (status, answer) = server.send("collections/create", create, &[]).await;
    assert_eq!((status, &answer["code"]), (401, &json!(1800)));
    let (status, answer) = server.send("collections/create", create, &root).await;
    assert_eq!((status, &answer["code"]), (200, &json!(0)), "{answer}");
    let password = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "secret1");
    server.world.standalone.accounts().create_user("guest", &password).await.unwrap();
    let guest = [("authorization", "Bearer guest:secret1")];
    let body = r#"{"collectionName":"books","id":1,"filter":"id > 1","indexName":"vector","data":[[1,2]],
        "indexParams":[{"fieldName":"vector"}]}"#;
    for path in [
        "entities/insert",
        "entities/upsert",
        "entities/delete",
        "entities/query",
        "entities/get",
        "entities/search",
        "collections/get_stats",
        "collections/create",
        "collections/drop",
        "collections/load",
        "collections/release",
        "collections/flush",
        "indexes/create",
        "indexes/drop",
    ] {
        let body = if path == "collections/create" { r#"{"collectionName":"b","dimension":2}"# } else { body };
        let (status, answer) = server.send(path, body, &guest).await;
        assert_eq!((status, &answer["code"]), (403, &json!(65535)), "{path}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains("guest"), "{path}: {answer}");
        // A collection that is not there looks the same.
        let (status, _) = server.send(path, &body.replace("books", "none"), &guest).await;
        assert_eq!(status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let server = Server::new().await;
    server.books().await;
    let row = r#"{"id":1,"vector":[1,2]}"#;
    let rows = |count: usize| format!(r#"{{"collectionName":"books","data":[{}]}}"#, vec![row; count].join(","));
    assert_eq!(server.send("entities/insert", &rows(2_000), &[]).await.0, 200);
    let request = axum::http::Request::builder().method("POST").uri("/v2/vectordb/entities/insert");
    let request = request.body(Body::from(rows(5_000))).unwrap();
    let answer = read(server.router.clone().oneshot(request).await.unwrap()).await;
    assert_eq!((answer.status, answer.body.as_str()), (413, "the body is larger than 65536 bytes (some.key)"));
}

fn schema(fields: Vec<Field>) -> CollectionSchema {
    model::schema("books", [vec![model::key(100, "id", DataType::Int64)], fields].concat())
}

fn read_rows(schema: &CollectionSchema, rows: &str) -> Result<u32, String> {
    let list = text::find(rows.as_bytes(), &[]).unwrap().elements().unwrap();
    columns(schema, list).map(|(count, _)| count)
}

#[test]
fn rows_become_columns_or_say_why_not() {
    let scalar = |data_type| schema(vec![model::field(101, "f", data_type)]);
    let array = |element| {
        schema(vec![Field {
            element_type: Some(element),
            max_capacity: Some(9),
            ..model::field(101, "f", DataType::Array)
        }])
    };
    for (schema, good, bad) in [
        (scalar(DataType::Bool), &["true", "\"F\"", "1"][..], &["2", "\"yes\"", "[]"][..]),
        (scalar(DataType::Int8), &["-128", "\"127\""], &["128", "1.0", "true", "{}"]),
        (scalar(DataType::Int64), &["-9223372036854775808"], &["9223372036854775808", "\"\""]),
        (scalar(DataType::Float), &["1e30", "\"2\""], &["1e60", "\"NaN\"", "\"inf\""]),
        (scalar(DataType::VarChar), &["\"\"", "5", "true", "{}"], &[]),
        (scalar(DataType::Json), &["{}", "5", "\"{}\""], &[]),
        (array(DataType::Int8), &["[]", "[1,2]"], &["[\"1\"]", "[1.5]", "5", "[null]", "[[1]]"]),
        (array(DataType::VarChar), &["[\"a\"]"], &["[1]", "\"a\""]),
        (array(DataType::Bool), &["[true,false]"], &["[1]"]),
    ] {
        let row = |value: &str| format!(r#"[{{"id":1,"f":{value}}}]"#);
        for value in good {
            assert_eq!(read_rows(&schema, &row(value)), Ok(1), "{value}");
        }
        for value in bad {
            let error = read_rows(&schema, &row(value)).unwrap_err();
            assert!(error.ends_with("field f, row 0"), "{value}: {error}");
        }
        assert_eq!(
            read_rows(&schema, r#"[{"id":1,"f":null}]"#).unwrap_err().split(": ").nth(1),
            Some("missing field"),
            "null"
        );
    }
    let plain = schema(Vec::new());
    let error = read_rows(&plain, r#"[{"id":1},{"id":2,"more":1}]"#).unwrap_err();
    assert_eq!(error, "has pass more field without dynamic schema, please check it: more, row 1");
    // Of equal keys the first counts.
    assert_eq!(read_rows(&plain, r#"[{"id":1,"id":"no number"}]"#), Ok(1));
}

#[test]
fn a_member_left_out_stands_for_the_default() {
    let default_value = Some(DefaultValue::Int(-8));
    let schema = schema(vec![Field { default_value, ..model::field(101, "f", DataType::Int8) }]);
    let rows = br#"[{"id":1},{"id":2,"f":7},{"id":3,"f":null}]"#;
    let list = text::find(rows, &[]).unwrap().elements().unwrap();
    let (count, fields) = columns(&schema, list).unwrap();
    assert_eq!((count, fields[1].valid_data.as_slice()), (3, &[false, true, false][..]));
    let mut request = InsertRequest { num_rows: 3, fields_data: fields, ..Default::default() };
    let batch = insert_batch(&schema, &mut request, &LimitsConfig::default(), &mut pools::ample()).unwrap();
    assert_eq!(batch.column(1).as_primitive::<Int8Type>().values(), &[-8, 7, -8]);
}

/// Defined, described and filled in.
#[tokio::test]
async fn default_values_have_the_types_of_their_fields() {
    let server = Server::new().await;
    let defined = |data_type: &str, value: &str| {
        format!(
            r#"{{"collectionName":"b","schema":{{"fields":[
                {{"fieldName":"id","dataType":"Int64","isPrimary":true}},
                {{"fieldName":"vector","dataType":"FloatVector","elementTypeParams":{{"dim":2}}}},
                {{"fieldName":"x","dataType":"{data_type}","elementTypeParams":{{"max_length":4}},"defaultValue":{value}}}
            ]}}}}"#
        )
    };
    for (data_type, value, code, text) in [
        ("Bool", "1", 1100, "Wrong defaultValue type: invalid parameter[expected=bool][actual=1]"),
        ("Int8", "1.5", 1100, "Wrong defaultValue type: invalid parameter[expected=number of 32 bits][actual=1.5]"),
        ("Int8", "128", 1100, "default value out of range"),
        ("Int64", "\"1\"", 1100, "[expected=number of 64 bits][actual=1]"),
        ("Float", "1e60", 1100, "[expected=number of a float][actual=1e60]"),
        ("Double", "null", 0, ""),
        ("VarChar", "5", 1100, "[expected=string][actual=5]"),
        ("VarChar", "\"abcde\"", 1100, "the length (5) of string exceeds max length (4)"),
        ("JSON", "{}", 65535, "default_value is not supported: field x"),
    ] {
        let (_, answer) = server.send("collections/create", &defined(data_type, value), &[]).await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert_eq!(answer["code"], json!(code), "{data_type} {value}: {answer}");
        assert!(message.contains(text), "{data_type} {value}: {message}");
        server.send("collections/drop", r#"{"collectionName":"b"}"#, &[]).await;
    }
    for (data_type, value, described) in [
        ("Bool", "true", json!({"BoolData": true})),
        ("Int16", "-5", json!({"IntData": -5})),
        ("Int64", "9223372036854775807", json!({"LongData": i64::MAX})),
        ("Float", "0.5", json!({"FloatData": 0.5})),
        ("Double", "0.1", json!({"DoubleData": 0.1})),
        ("VarChar", "\"none\"", json!({"StringData": "none"})),
    ] {
        let (_, answer) = server.send("collections/create", &defined(data_type, value), &[]).await;
        assert_eq!(answer["code"], json!(0), "{data_type}: {answer}");
        let (_, answer) = server.send("collections/describe", r#"{"collectionName":"b"}"#, &[]).await;
        assert_eq!(answer["data"]["fields"][2]["defaultValue"], json!({"Data": described}), "{answer}");
        assert_eq!(answer["data"]["fields"][0].get("defaultValue"), None);
        let rows = r#"{"collectionName":"b","data":[{"id":1,"vector":[1,2]}]}"#;
        let (_, answer) = server.send("entities/insert", rows, &[]).await;
        assert_eq!(answer["data"]["insertCount"], json!(1), "{answer}");
        server.send("collections/drop", r#"{"collectionName":"b"}"#, &[]).await;
    }
}

#[test]
fn members_are_found_as_go_finds_them() {
    let body = br#" {"DBNAME": "a", "dbName": "b", "x": null, "Limit": 5, "unknown": {}} "#;
    let room = || ValueRoom { admitted: 0, extra: pools::ample() };
    let members = Members::read("Req", body, room()).unwrap();
    assert_eq!(members.text("dbName").unwrap(), "b", "the exact name wins");
    assert_eq!((members.text("x").unwrap(), members.int("limit").unwrap()), (String::new(), Some(5)));
    assert!(members.refuse(&["unknown", "x"]).is_ok(), "nothing is said");
    assert!(Members::read("Req", b"\xff{}", room()).is_err());
}

/// An empty list has two bytes in a body, and a hundred once it is a part of a request.
#[test]
fn what_a_body_becomes_takes_memory() {
    let many = |value: &str| format!(r#"{{"data":[{}]}}"#, vec![value; 1000].join(","));
    let code = |body: &str, admitted: u64, growth: &Growth| {
        let room = ValueRoom { admitted, extra: growth.of_call(0) };
        match Members::read("Req", body.as_bytes(), room).err()? {
            Fault::Coded(code, text) => Some((code, text)),
            Fault::Answered(_) => None,
        }
    };
    for value in ["{}", "[]", "\"\"", "null"] {
        let body = many(value);
        let (code, text) = code(&body, body.len() as u64, &pools::growth(40 << 10)).expect(value);
        assert_eq!(code, 1100, "{text}");
        assert!(text.starts_with("the values of the body are too many") && text.ends_with("(some.key)"), "{text}");
    }
    // Others have the memory now.
    let growth = pools::growth(1 << 20);
    let mut others = [growth.of_call(0), growth.of_call(0)];
    others.iter_mut().for_each(|other| other.take(1 << 20).unwrap());
    let body = many("{}");
    assert_eq!(code(&body, 0, &growth).unwrap().0, 8, "the rate limit");
    drop(others);
    assert_eq!(code(&body, 0, &growth), None);
    assert_eq!(growth.used_bytes(), 0, "it was given back");
    // Rows of vectors need nothing beyond four times their bytes.
    let vector = vec!["0.12345678"; 64].join(",");
    let rows = many(&format!(r#"{{"id":1,"v":[{vector}]}}"#));
    assert_eq!(code(&rows, 3 * rows.len() as u64, &pools::growth(1024)), None);
    // Deep values stay text.
    let deep = format!(r#"{{"a":[[[[[{}]]]]]}}"#, vec!["[]"; 10_000].join(","));
    assert_eq!(code(&deep, 3 * deep.len() as u64, &pools::growth(1024)), None);
}

/// Distances by hand; the places of both searches are 1/(1 + n) each.
#[tokio::test]
async fn several_searches_become_one() {
    let server = Server::new().await;
    server.books().await;
    let row = |id: i64| json!({"id": id, "vector": [id, 0], "n": id});
    let rows: Vec<Tree> = (1..9).map(row).collect();
    server.data("entities/insert", json!({"collectionName": "books", "data": rows})).await;
    let search =
        |id: i64, filter: &str| json!({"data": [[id, 0]], "annsField": "vector", "filter": filter, "limit": 3});
    let asked = |rerank: Tree, more: Tree| {
        let mut body = json!({
            "collectionName": "books", "search": [search(2, ""), search(6, "id > 5")], "rerank": rerank,
            "limit": 4, "outputFields": ["n"],
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let reciprocal = json!({"strategy": "rrf", "params": {"k": 1}});
    let hit = |id: i64, distance: f64| json!({"id": id.to_string(), "n": id, "distance": distance});
    let third = f64::from(1.0f32 / 3.0);
    let found =
        json!({"code": 0, "cost": 0, "data": [hit(2, 0.5), hit(6, 0.5), hit(1, third), hit(7, third)], "topks": [4]});
    for path in ["entities/hybrid_search", "entities/advanced_search"] {
        let mut answer = server.call(path, asked(reciprocal.clone(), json!({}))).await;
        for hit in answer["data"].as_array_mut().unwrap() {
            hit["distance"] = json!(hit["distance"].as_f64().unwrap() as f32 as f64);
        }
        assert_eq!(answer, found, "{path}");
    }
    let weighted = json!({"strategy": "weighted", "params": {"weights": [1, 1]}});
    let page = server.data("entities/hybrid_search", asked(weighted.clone(), json!({"offset": 1, "limit": 1}))).await;
    assert_eq!(page, json!([hit(6, 0.0)]));
    for (rerank, more, code, reason) in [
        (json!({"strategy": "best"}), json!({}), 1100, "unsupported rank type best"),
        (json!({"strategy": "weighted", "params": {"weights": [1]}}), json!({}), 1100, "[expected=2][actual=1]"),
        (weighted.clone(), json!({"search": []}), 1100, "minimum of ann search requests is 1"),
        (weighted.clone(), json!({"search": [{"annsField": "vector"}]}), 1802, "'data'"),
        (weighted.clone(), json!({"search": [{"data": [[1]]}]}), 1801, "4 bytes instead of 8"),
        (weighted.clone(), json!({"functionScore": {"a": 1}}), 1100, "functionScore is not supported"),
        (weighted.clone(), json!({"groupingField": "n"}), 1100, "group_by_field in a hybrid search"),
        (weighted, json!({"collectionName": "none"}), 100, "none"),
    ] {
        let (got, text) = server.fails("entities/hybrid_search", &asked(rerank, more).to_string()).await;
        assert!(got == code && text.contains(reason), "{got} {text}");
    }
}
