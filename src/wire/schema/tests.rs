use prost::Message;
use rstest::rstest;

use super::*;
use crate::{
    config::LimitsConfig,
    model::{DataType, FieldId, properties},
    wire::{
        proto::{common, milvus, schema as proto},
        status::Code,
    },
};

fn field(name: &str, data_type: proto::DataType, params: &[(&str, &str)]) -> proto::FieldSchema {
    let type_params =
        params.iter().map(|(k, v)| common::KeyValuePair { key: (*k).to_owned(), value: (*v).to_owned() }).collect();
    proto::FieldSchema { name: name.to_owned(), data_type: data_type as i32, type_params, ..Default::default() }
}

fn pk() -> proto::FieldSchema {
    proto::FieldSchema { is_primary_key: true, ..field("id", proto::DataType::Int64, &[]) }
}

fn vector() -> proto::FieldSchema {
    field("vec", proto::DataType::FloatVector, &[("dim", "8")])
}

fn array(element: proto::DataType, params: &[(&str, &str)]) -> proto::FieldSchema {
    proto::FieldSchema { element_type: element as i32, ..field("arr", proto::DataType::Array, params) }
}

fn schema(fields: Vec<proto::FieldSchema>) -> proto::CollectionSchema {
    proto::CollectionSchema { name: "books".to_owned(), fields, ..Default::default() }
}

fn request(schema: &proto::CollectionSchema) -> milvus::CreateCollectionRequest {
    milvus::CreateCollectionRequest {
        collection_name: "books".to_owned(),
        schema: schema.encode_to_vec(),
        ..Default::default()
    }
}

fn create(schema: &proto::CollectionSchema) -> Result<CollectionDefinition, SchemaError> {
    define(&request(schema), &LimitsConfig::default())
}

/// Every type of Milvus 2.3.
fn every_type() -> Vec<proto::FieldSchema> {
    use proto::DataType as T;
    vec![
        pk(),
        field("flag", T::Bool, &[]),
        field("i8", T::Int8, &[]),
        field("i16", T::Int16, &[]),
        field("i32", T::Int32, &[]),
        field("f", T::Float, &[]),
        field("d", T::Double, &[]),
        field("doc", T::Json, &[]),
        field("name", T::VarChar, &[("max_length", "65535")]),
        array(T::VarChar, &[("max_capacity", "4096"), ("max_length", "7")]),
        field("vec", T::FloatVector, &[("dim", "32768")]),
    ]
}

#[test]
fn every_type_is_accepted_and_described_back() {
    let mut sent = schema(every_type());
    sent.description = "all of them".to_owned();
    sent.enable_dynamic_field = true;
    sent.fields[10].index_params = vec![common::KeyValuePair { key: "metric_type".into(), value: "L2".into() }];
    let created = create(&sent).unwrap();
    assert_eq!((created.shards, created.partitions), (1, None));
    let ids: Vec<i64> = created.schema.fields.iter().map(|f| f.id.0).collect();
    assert_eq!(ids, (100..=111).collect::<Vec<_>>());
    assert_eq!(created.schema.primary_key().name, "id");
    let meta = created.schema.dynamic_field().unwrap();
    assert_eq!((meta.id, meta.name.as_str(), meta.data_type), (FieldId(111), "$meta", DataType::Json));
    let array = created.schema.field("arr").unwrap();
    assert_eq!(
        (array.element_type, array.max_capacity, array.max_length),
        (Some(DataType::VarChar), Some(4096), Some(7))
    );
    assert_eq!(created.schema.field("vec").unwrap().dim, Some(32768));

    let described = describe(&created.schema);
    for (i, field) in sent.fields.iter_mut().enumerate() {
        field.field_id = 100 + i as i64;
    }
    assert_eq!(described, sent, "what was sent, with ids and without the dynamic field");
}

#[test]
fn ids_of_the_client_do_not_matter() {
    let mut fields = vec![pk(), vector()];
    fields[0].field_id = 7;
    fields[1].field_id = 7;
    let created = create(&schema(fields)).unwrap();
    assert_eq!(created.schema.fields.iter().map(|f| f.id.0).collect::<Vec<_>>(), [100, 101]);
}

#[rstest]
#[case::no_vector(vec![pk()])]
#[case::varchar_key(vec![proto::FieldSchema {
    is_primary_key: true, ..field("k", proto::DataType::VarChar, &[("max_length", "1")])
}])]
#[case::auto_id_of_a_varchar_key(vec![proto::FieldSchema {
    is_primary_key: true, auto_id: true, ..field("k", proto::DataType::VarChar, &[("max_length", "20")])
}])]
#[case::smallest_vector(vec![pk(), field("v", proto::DataType::FloatVector, &[("dim", "1")])])]
#[case::binary_vector(vec![pk(), field("v", proto::DataType::BinaryVector, &[("dim", "64")])])]
#[case::clustering_key(vec![pk(), proto::FieldSchema {
    is_clustering_key: true, ..field("n", proto::DataType::Int64, &[])
}])]
#[case::unknown_parameter(vec![pk(), field("n", proto::DataType::Int64, &[("mmap.enabled", "true")])])]
fn accepts(#[case] fields: Vec<proto::FieldSchema>) {
    create(&schema(fields)).unwrap();
}

fn set(mut field: proto::FieldSchema, change: impl Fn(&mut proto::FieldSchema)) -> proto::FieldSchema {
    change(&mut field);
    field
}

/// All of these are code 65535 in the catalogue; the text must name the field and the value.
#[rstest]
#[case::no_key(vec![vector()], "primary key is not specified")]
#[case::two_keys(vec![pk(), set(pk(), |f| f.name = "b".into())], "more than one primary key: id, b")]
#[case::float_key(vec![set(field("x", proto::DataType::Float, &[]), |f| f.is_primary_key = true)], "x is Float")]
#[case::two_vectors(vec![pk(), vector(), set(vector(), |f| f.name = "w".into())], "more than one vector field: vec, w")]
#[case::no_dim(vec![pk(), field("v", proto::DataType::FloatVector, &[])], "dim should be specified for field v")]
#[case::dim_zero(vec![pk(), field("v", proto::DataType::FloatVector, &[("dim", "0")])], "invalid dim: 0 of field v")]
#[case::dim_large(vec![pk(), field("v", proto::DataType::FloatVector, &[("dim", "32769")])], "1 ~ 32768")]
#[case::dim_negative(vec![pk(), field("v", proto::DataType::FloatVector, &[("dim", "-8")])], "invalid dim: -8")]
#[case::dim_text(vec![pk(), field("v", proto::DataType::FloatVector, &[("dim", "eight")])], "invalid dim: eight")]
#[case::dim_bits(vec![pk(), field("v", proto::DataType::BinaryVector, &[("dim", "12")])], "12 of field v should be multiple of 8")]
#[case::no_length(vec![pk(), field("s", proto::DataType::VarChar, &[])], "max_length should be specified for field s")]
#[case::no_capacity(vec![pk(), array(proto::DataType::Int8, &[])], "max_capacity should be specified for field arr")]
#[case::capacity_large(vec![pk(), array(proto::DataType::Int8, &[("max_capacity", "4097")])], "1 ~ 4096")]
#[case::element_length(vec![pk(), array(proto::DataType::VarChar, &[("max_capacity", "4")])], "max_length")]
#[case::element_json(vec![pk(), array(proto::DataType::Json, &[("max_capacity", "4")])], "element type JSON")]
#[case::element_missing(vec![pk(), array(proto::DataType::None, &[("max_capacity", "4")])], "element type None")]
#[case::clustering_key_type(vec![pk(), set(vector(), |f| f.is_clustering_key = true)], "vec is FloatVector")]
#[case::two_clustering_keys(
    vec![
        set(pk(), |f| f.is_clustering_key = true),
        set(field("b", proto::DataType::Int64, &[]), |f| f.is_clustering_key = true),
    ],
    "more than one clustering key: id, b"
)]
#[case::same_name(vec![pk(), set(vector(), |f| f.name = "id".into())], "duplicated field name: id")]
#[case::empty_name(vec![pk(), set(vector(), |f| f.name = String::new())], "field name should not be empty")]
#[case::bad_name(vec![pk(), set(vector(), |f| f.name = "a-b".into())], "Invalid field name: a-b")]
#[case::long_name(vec![pk(), set(vector(), |f| f.name = "n".repeat(256))], "256 exceeds 255")]
#[case::digit_first(vec![pk(), set(vector(), |f| f.name = "1a".into())], "first character")]
#[case::dollar(vec![pk(), set(vector(), |f| f.name = "$meta".into())], "$meta")]
#[case::row_id(vec![pk(), set(vector(), |f| f.name = "RowID".into())], "RowID is reserved")]
#[case::timestamp(vec![pk(), set(vector(), |f| f.name = "Timestamp".into())], "Timestamp is reserved")]
#[case::dynamic(vec![pk(), set(vector(), |f| f.is_dynamic = true)], "dynamic field: vec")]
#[case::auto_id_elsewhere(vec![pk(), set(field("n", proto::DataType::Int64, &[]), |f| f.auto_id = true)], "autoID: n")]
#[case::partition_key_type(vec![pk(), set(field("n", proto::DataType::Int32, &[]), |f| f.is_partition_key = true)], "n is Int32")]
#[case::partition_key_is_key(vec![set(pk(), |f| f.is_partition_key = true)], "can't be the primary key: id")]
#[case::two_partition_keys(
    vec![
        pk(),
        set(field("a", proto::DataType::Int64, &[]), |f| f.is_partition_key = true),
        set(field("b", proto::DataType::Int64, &[]), |f| f.is_partition_key = true),
    ],
    "more than one partition key: a, b"
)]
#[case::string(vec![pk(), field("s", proto::DataType::String, &[])], "data type String is not supported: field s")]
#[case::sparse(vec![pk(), field("s", proto::DataType::SparseFloatVector, &[])], "SparseFloatVector")]
#[case::int8_vector(vec![pk(), field("s", proto::DataType::Int8Vector, &[("dim", "8")])], "Int8Vector")]
#[case::float16(vec![pk(), field("s", proto::DataType::Float16Vector, &[("dim", "8")])], "Float16Vector")]
#[case::unknown_type(vec![pk(), set(vector(), |f| f.data_type = 77)], "data type 77")]
#[case::nullable(vec![pk(), set(vector(), |f| f.nullable = true)], "nullable is not supported: field vec")]
#[case::default_value(
    vec![pk(), set(vector(), |f| f.default_value = Some(proto::ValueField::default()))],
    "default_value is not supported: field vec"
)]
#[case::function_output(vec![pk(), set(vector(), |f| f.is_function_output = true)], "is_function_output")]
fn refuses(#[case] fields: Vec<proto::FieldSchema>, #[case] says: &str) {
    let error = create(&schema(fields)).unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
    let status = error.status();
    assert_eq!((status.code, status.error_code), (65535, 1));
}

/// The one mistake in a schema for which Milvus has a code of its own.
#[rstest]
#[case::zero("0")]
#[case::large("65536")]
fn refuses_a_length(#[case] length: &str) {
    let field = field("s", proto::DataType::VarChar, &[("max_length", length)]);
    let error = create(&schema(vec![pk(), field])).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("max_length: {length}")) && text.contains("65535"), "{text}");
    let status = error.status();
    assert_eq!((status.code, status.error_code), (1100, 5));
}

#[rstest]
#[case::functions(|s: &mut proto::CollectionSchema| s.functions = vec![proto::FunctionSchema {
    name: "bm25".into(), ..Default::default()
}], "functions are not supported: bm25")]
#[case::structs(|s: &mut proto::CollectionSchema| s.struct_array_fields = vec![proto::StructArrayFieldSchema {
    name: "clips".into(), ..Default::default()
}], "struct array fields are not supported: clips")]
#[case::external(|s: &mut proto::CollectionSchema| s.external_source = "s3://b".into(), "external")]
#[case::namespace(|s: &mut proto::CollectionSchema| s.enable_namespace = true, "namespaces")]
#[case::too_many_fields(
    |s: &mut proto::CollectionSchema| s.fields.extend((0..63).map(|i| field(&format!("f{i}"), proto::DataType::Bool, &[]))),
    "65 fields exceed the limit of 64"
)]
fn refuses_schema(#[case] change: impl Fn(&mut proto::CollectionSchema), #[case] says: &str) {
    let mut schema = schema(vec![pk(), vector()]);
    change(&mut schema);
    let error = create(&schema).unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
}

/// Names are invalid parameters (1100), everything else is unexpected (65535).
#[rstest]
#[case::bad_name(|r: &mut milvus::CreateCollectionRequest| r.collection_name = "1books".into(), 1100, "Invalid collection name: 1books")]
#[case::empty_name(|r: &mut milvus::CreateCollectionRequest| r.collection_name = String::new(), 1100, "collection name should not be empty")]
#[case::other_name(|r: &mut milvus::CreateCollectionRequest| r.collection_name = "papers".into(), 1100, "Invalid collection name: papers")]
#[case::bytes(|r: &mut milvus::CreateCollectionRequest| r.schema = vec![0xff; 9], 65535, "schema can't be parsed")]
#[case::shards(|r: &mut milvus::CreateCollectionRequest| r.shards_num = 17, 65535, "shards_num 17 exceeds the limit of 16")]
#[case::partitions(|r: &mut milvus::CreateCollectionRequest| r.num_partitions = 8, 65535, "num_partitions 8 needs")]
fn refuses_request(
    #[case] change: impl Fn(&mut milvus::CreateCollectionRequest),
    #[case] code: i32,
    #[case] says: &str,
) {
    let mut request = request(&schema(vec![pk(), vector()]));
    change(&mut request);
    let error = define(&request, &LimitsConfig::default()).unwrap_err();
    assert!(error.to_string().starts_with(says), "{error}");
    assert_eq!(error.status().code, code);
}

#[rstest]
#[case(-1, 1)]
#[case(0, 1)]
#[case(1, 1)]
#[case(16, 16)]
fn shards_are_at_least_one(#[case] asked: i32, #[case] shards: u32) {
    let mut request = request(&schema(vec![pk(), vector()]));
    request.shards_num = asked;
    assert_eq!(define(&request, &LimitsConfig::default()).unwrap().shards, shards);
}

#[rstest]
#[case::default(0, Some(64))]
#[case::one(1, Some(1))]
#[case::most(4096, Some(4096))]
#[case::too_many(4097, None)]
#[case::negative(-1, None)]
fn partitions_of_a_key(#[case] asked: i64, #[case] partitions: Option<u32>) {
    let key = set(field("tenant", proto::DataType::VarChar, &[("max_length", "9")]), |f| f.is_partition_key = true);
    let mut request = request(&schema(vec![pk(), vector(), key]));
    request.num_partitions = asked;
    let created = define(&request, &LimitsConfig::default());
    match partitions {
        Some(n) => assert_eq!(created.unwrap().partitions, Some(n)),
        None => assert!(created.unwrap_err().to_string().contains("outside 1..=4096")),
    }
}

#[test]
fn descriptions_and_parameters_have_limits() {
    let long = "x".repeat(properties::MAX_VALUE_BYTES + 1);
    let mut described = schema(vec![pk(), vector()]);
    described.description.clone_from(&long);
    let field = |change: &dyn Fn(&mut proto::FieldSchema)| {
        let mut field = vector();
        change(&mut field);
        schema(vec![pk(), field])
    };
    let param = |key: &str, value: &str| common::KeyValuePair { key: key.to_owned(), value: value.to_owned() };
    for (case, expected) in [
        (described, "the description of the collection has 65536 bytes, the limit is 65535"),
        (
            field(&|field| field.description.clone_from(&long)),
            "the description of field vec has 65536 bytes, the limit is 65535",
        ),
        (
            field(&|field| field.type_params.push(param("note", &long))),
            "type params of a field: the value of note has 65536 bytes, the limit is 65535",
        ),
        (field(&|field| field.index_params.push(param(&"k".repeat(256), ""))), "index params of a field: key kkk"),
    ] {
        let error = create(&case).unwrap_err();
        assert_eq!(error.code(), Code::PARAMETER_INVALID);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
