//! Which names of which messages are checked, and the refusals of whole calls. Expected answers are those that Milvus
//! 2.3.5 gave.

use tonic::Request;

use super::{super::MilvusApi, *};
use crate::{
    kit::pools,
    model::name::NameFault,
    standalone::tests::World,
    wire::proto::{
        common::{KeyValuePair, Status as Outcome},
        milvus::milvus_service_server::MilvusService as _,
    },
};

fn faults<T: MessageNames>(request: &T) -> Option<(NameKind, NameFault)> {
    request.check_names(255).err().map(|bad| (bad.kind, bad.fault))
}

macro_rules! each {
    ($name:ident, $field:ident: $($message:ident),* $(,)?) => {
        vec![$((
            stringify!($message),
            faults(&$message { $field: $name.to_owned(), ..valid() }),
        )),*]
    };
}

/// A message whose other names are allowed.
fn valid<T: Valid>() -> T {
    T::valid()
}

trait Valid {
    fn valid() -> Self;
}

macro_rules! valid {
    ($($message:ident { $($field:ident),* })*) => {
        $(impl Valid for $message {
            fn valid() -> Self {
                Self { $($field: "fine".to_owned(),)* ..Default::default() }
            }
        })*
    };
}

valid! {
    DropCollectionRequest { collection_name }
    TruncateCollectionRequest { collection_name }
    HasCollectionRequest { collection_name }
    DescribeCollectionRequest { collection_name }
    ShowPartitionsRequest { collection_name }
    CreatePartitionRequest { collection_name, partition_name }
    DropPartitionRequest { collection_name, partition_name }
    HasPartitionRequest { collection_name, partition_name }
    LoadCollectionRequest { collection_name }
    ReleaseCollectionRequest { collection_name }
    LoadPartitionsRequest { collection_name }
    ReleasePartitionsRequest { collection_name }
    GetLoadingProgressRequest { collection_name }
    GetLoadStateRequest { collection_name }
    DescribeIndexRequest { collection_name }
    DropIndexRequest { collection_name }
    GetIndexStateRequest { collection_name }
    GetIndexBuildProgressRequest { collection_name }
    GetIndexStatisticsRequest { collection_name }
    DeleteRequest { collection_name }
    QueryRequest { collection_name }
    CreateAliasRequest { collection_name, alias }
    AlterAliasRequest { collection_name, alias }
    DropAliasRequest { alias }
    DescribeAliasRequest { alias }
    CreateDatabaseRequest { db_name }
    DropDatabaseRequest { db_name }
}

#[test]
fn names_of_collections_are_checked_first() {
    for (name, expected) in [
        ("", Some(NameFault::Empty)),
        (" ", Some(NameFault::Empty)),
        ("12-s", Some(NameFault::First)),
        ("a-b", Some(NameFault::Characters)),
        (&"a".repeat(256), Some(NameFault::TooLong(255))),
        (" spaced ", None),
        ("fine", None),
    ] {
        let expected = expected.map(|fault| (NameKind::Collection, fault));
        let found = each!(
            name, collection_name: DropCollectionRequest, TruncateCollectionRequest, HasCollectionRequest,
            DescribeCollectionRequest, ShowPartitionsRequest, CreatePartitionRequest, DropPartitionRequest,
            HasPartitionRequest, LoadCollectionRequest, ReleaseCollectionRequest, LoadPartitionsRequest,
            ReleasePartitionsRequest, GetLoadingProgressRequest, GetLoadStateRequest, DescribeIndexRequest,
            DropIndexRequest, GetIndexStateRequest, GetIndexBuildProgressRequest, GetIndexStatisticsRequest,
            DeleteRequest, QueryRequest, CreateAliasRequest, AlterAliasRequest,
        );
        for (message, fault) in found {
            assert_eq!(fault, expected, "{message} {name:?}");
        }
    }
}

#[test]
fn other_names_are_checked_by_their_kind() {
    let aliases =
        |name: &str| each!(name, alias: CreateAliasRequest, AlterAliasRequest, DropAliasRequest, DescribeAliasRequest);
    for (message, fault) in aliases("12-s") {
        assert_eq!(fault, Some((NameKind::Alias, NameFault::First)), "{message}");
    }
    let databases = |name: &str| each!(name, db_name: CreateDatabaseRequest, DropDatabaseRequest);
    for (name, expected) in [("", NameFault::Empty), (" ", NameFault::First), (" a", NameFault::First)] {
        for (message, fault) in databases(name) {
            assert_eq!(fault, Some((NameKind::Database, expected)), "{message} {name:?}");
        }
    }
    for (name, expected) in [("", NameFault::Empty), (" ", NameFault::First), ("a-b", NameFault::Characters)] {
        let group = || "fine".to_owned();
        let expected = Some((NameKind::ResourceGroup, expected));
        let new = CreateResourceGroupRequest { resource_group: name.to_owned(), ..Default::default() };
        assert_eq!(faults(&new), expected);
        let (source_resource_group, target_resource_group) = (name.to_owned(), group());
        let source = TransferNodeRequest { source_resource_group, target_resource_group, ..Default::default() };
        assert_eq!(faults(&source), expected);
        let (source_resource_group, target_resource_group) = (group(), name.to_owned());
        let target = TransferReplicaRequest { source_resource_group, target_resource_group, ..Default::default() };
        assert_eq!(faults(&target), expected);
    }
    let name = "12-s";
    let has = HasPartitionRequest { partition_name: name.to_owned(), ..valid() };
    assert_eq!(faults(&has), Some((NameKind::Partition, NameFault::Characters)));
    let field = DropIndexRequest { field_name: name.to_owned(), ..valid() };
    assert_eq!(faults(&field), Some((NameKind::Field, NameFault::First)));
    let renamed = RenameCollectionRequest { new_name: name.to_owned(), ..Default::default() };
    assert_eq!(faults(&renamed), Some((NameKind::Collection, NameFault::First)));
}

/// Names that Milvus does not check: those that may be missing, names beside an id, and lists that only a kind of question reads.
#[test]
fn names_that_do_not_count_are_not_checked() {
    let bad = || "12-s".to_owned();
    for (kind, expected) in
        [(ShowType::All, None), (ShowType::InMemory, Some((NameKind::Partition, NameFault::Characters)))]
    {
        let partitions = ShowPartitionsRequest { partition_names: vec![bad()], r#type: kind.into(), ..valid() };
        assert_eq!(faults(&partitions), expected);
        let expected = expected.map(|_| (NameKind::Collection, NameFault::First));
        let collections =
            ShowCollectionsRequest { collection_names: vec![bad()], r#type: kind.into(), ..Default::default() };
        assert_eq!(faults(&collections), expected);
    }
    assert_eq!(faults(&DescribeCollectionRequest { collection_id: 7, ..Default::default() }), None);
    assert_eq!(faults(&GetFlushStateRequest::default()), None);
    assert_eq!(faults(&ListAliasesRequest::default()), None);
    assert!(faults(&GetFlushStateRequest { collection_name: bad(), ..Default::default() }).is_some());
    assert_eq!(
        faults(&CreatePartitionRequest { partition_name: bad(), ..valid() }),
        None,
        "checked after its collection"
    );
    assert_eq!(faults(&InsertRequest { collection_name: bad(), ..Default::default() }), None);
}

fn refusal(status: Option<Outcome>) -> (i32, i32, String) {
    let status = status.unwrap();
    (status.code, status.error_code, status.reason)
}

fn refused(code: i32, error_code: i32, reason: &str) -> (i32, i32, String) {
    (code, error_code, reason.to_owned())
}

macro_rules! ask {
    ($api:expr, $call:ident, $request:expr) => {
        $api.$call(Request::new($request)).await.unwrap().into_inner()
    };
}

#[tokio::test]
async fn calls_are_refused_in_milvus_words() {
    let world = World::new().await;
    world.collection("books").await;
    let api = MilvusApi::new(world.standalone.clone(), pools::growth(64 << 20));
    let (books, name) = (|| "books".to_owned(), |name: &str| name.to_owned());
    let first = refused(
        1100,
        5,
        "Invalid collection name: 12-s. the first character of a collection name must be an underscore or letter: invalid \
         parameter",
    );
    let has = HasCollectionRequest { collection_name: name("12-s"), ..Default::default() };
    assert_eq!(refusal(ask!(api, has_collection, has).status), first);
    let has = HasCollectionRequest { collection_name: name(" books"), ..Default::default() };
    let answer = ask!(api, has_collection, has);
    assert_eq!((refusal(answer.status), answer.value), (refused(0, 0, ""), false), "looked up with its space");

    // Calls whose names are only looked up.
    let stats =
        |collection: &str| GetCollectionStatisticsRequest { collection_name: name(collection), ..Default::default() };
    let not_found =
        |collection: &str| refused(100, 4, &format!("collection not found[database=default][collection={collection}]"));
    assert_eq!(refusal(ask!(api, get_collection_statistics, stats("12-s")).status), not_found("12-s"));
    let unnamed = refused(100, 4, "collection not found[collection=0]");
    assert_eq!(refusal(ask!(api, get_collection_statistics, stats("")).status), unnamed);

    // Partitions, after their collection.
    let create = |collection: &str, partition: &str| CreatePartitionRequest {
        collection_name: name(collection),
        partition_name: name(partition),
        ..Default::default()
    };
    let empty = refused(65535, 1, "Invalid partition name: . Partition name should not be empty.");
    assert_eq!(refusal(Some(ask!(api, create_partition, create("books", " ")))), empty);
    assert_eq!(refusal(Some(ask!(api, create_partition, create("nope", "-")))), not_found("nope"));
    let first = refused(
        65535,
        1,
        "Invalid partition name: -a. The first character of a partition name must be an underscore or letter.",
    );
    let drop = DropPartitionRequest { collection_name: books(), partition_name: name("-a"), ..Default::default() };
    assert_eq!(refusal(Some(ask!(api, drop_partition, drop))), first);

    let delete = |partition: &str, expr: &str| DeleteRequest {
        collection_name: books(),
        partition_name: name(partition),
        expr: name(expr),
        ..Default::default()
    };
    assert_eq!(refusal(ask!(api, delete, delete("-a", "id in [1]")).status), first);
    let missing = refused(200, 15, "Failed to get partition id: partition not found[partition=nope]");
    assert_eq!(refusal(ask!(api, delete, delete("nope", "nosuch == 1")).status), missing);
    let no_expression =
        refused(1100, 5, "invalid expression: invalid parameter[expected=valid expr][actual=empty expr]");
    assert_eq!(refusal(ask!(api, delete, delete("", "")).status), no_expression);
    let elsewhere = DeleteRequest { collection_name: name("nope"), ..delete("", "id in [1]") };
    let (code, legacy, reason) = not_found("nope");
    let missing = (code, legacy, format!("Failed to get collection id: {reason}"));
    assert_eq!(refusal(ask!(api, delete, elsewhere).status), missing);

    let query = |partition: &str, expr: &str, params: &[(&str, &str)]| QueryRequest {
        collection_name: books(),
        partition_names: vec![name(partition)],
        expr: name(expr),
        query_params: params.iter().map(|(key, value)| KeyValuePair { key: name(key), value: name(value) }).collect(),
        ..Default::default()
    };
    let missing = |partition: &str| refused(65535, 1, &format!("partition name {partition} not found"));
    assert_eq!(refusal(ask!(api, query, query("12-s", "id in [1]", &[])).status), missing("12-s"));
    assert_eq!(refusal(ask!(api, query, query(" ", "id in [1]", &[("limit", "-1")])).status), empty);
    let window = "invalid max query result window, limit [-1] is invalid, should be greater than 0";
    let asked = query("nope", "id in [1]", &[("limit", "-1")]);
    assert_eq!(refusal(ask!(api, query, asked).status), refused(65535, 1, window));
    let (_, _, reason) = refusal(ask!(api, query, query("nope", "nosuch == 1", &[])).status);
    assert!(reason.starts_with("cannot parse expression: nosuch == 1"), "{reason}");
    let unlimited = refused(65535, 1, "empty expression should be used with limit");
    assert_eq!(refusal(ask!(api, query, query("nope", "", &[])).status), unlimited);
    let count = QueryRequest { output_fields: vec![name("count(*)")], ..query("nope", "", &[("limit", "5")]) };
    assert_eq!(refusal(ask!(api, query, count).status), missing("nope"));

    // Indexes: the collection, then the name of the index, then the field.
    let index = |collection: &str, index: &str, field: &str| CreateIndexRequest {
        collection_name: name(collection),
        index_name: name(index),
        field_name: name(field),
        ..Default::default()
    };
    assert_eq!(refusal(Some(ask!(api, create_index, index("12-s", "12-s", "nope")))), not_found("12-s"));
    let bad = refused(
        65535,
        1,
        "Invalid index name: 12-s. The first character of a index name must be an underscore or letter.",
    );
    assert_eq!(refusal(Some(ask!(api, create_index, index("books", "12-s", "nope")))), bad);
    let no_field = refused(65535, 1, "cannot create index on non-exist field: nope");
    assert_eq!(refusal(Some(ask!(api, create_index, index("books", "fine", "nope")))), no_field);
}
