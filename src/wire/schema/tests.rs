use prost::Message;
use rstest::rstest;

use super::*;
use crate::{
    config::LimitsConfig,
    model::{DataType, FieldId, properties},
    wire::proto::{common, milvus, schema as proto},
};
use proto::{DataType as T, value_field::Data as Value};

fn field(name: &str, data_type: proto::DataType, params: &[(&str, &str)]) -> proto::FieldSchema {
    let type_params =
        params.iter().map(|(k, v)| common::KeyValuePair { key: (*k).to_owned(), value: (*v).to_owned() }).collect();
    proto::FieldSchema { name: name.to_owned(), data_type: data_type as i32, type_params, ..Default::default() }
}

fn pk() -> proto::FieldSchema {
    proto::FieldSchema { is_primary_key: true, ..field("id", T::Int64, &[]) }
}

fn vector() -> proto::FieldSchema {
    field("vec", T::FloatVector, &[("dim", "8")])
}

fn array(element: proto::DataType, params: &[(&str, &str)]) -> proto::FieldSchema {
    proto::FieldSchema { element_type: element as i32, ..field("arr", T::Array, params) }
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
    is_primary_key: true, ..field("k", T::VarChar, &[("max_length", "1")])
}])]
#[case::auto_id_of_a_varchar_key(vec![proto::FieldSchema {
    is_primary_key: true, auto_id: true, ..field("k", T::VarChar, &[("max_length", "20")])
}])]
#[case::smallest_vector(vec![pk(), field("v", T::FloatVector, &[("dim", "1")])])]
#[case::binary_vector(vec![pk(), field("v", T::BinaryVector, &[("dim", "64")])])]
#[case::clustering_key(vec![pk(), proto::FieldSchema {
    is_clustering_key: true, ..field("n", T::Int64, &[])
}])]
#[case::unknown_parameter(vec![pk(), field("n", T::Int64, &[("mmap.enabled", "true")])])]
fn accepts(#[case] fields: Vec<proto::FieldSchema>) {
    create(&schema(fields)).unwrap();
}

fn set(mut field: proto::FieldSchema, change: impl Fn(&mut proto::FieldSchema)) -> proto::FieldSchema {
    change(&mut field);
    field
}

fn with_default(field: proto::FieldSchema, value: Value) -> proto::FieldSchema {
    proto::FieldSchema { default_value: Some(proto::ValueField { data: Some(value) }), ..field }
}

#[test]
fn default_values_are_described_as_they_were_sent() {
    let mut sent = schema(vec![
        with_default(pk(), Value::LongData(5)),
        with_default(field("flag", T::Bool, &[]), Value::BoolData(true)),
        with_default(field("tiny", T::Int8, &[]), Value::IntData(-128)),
        with_default(field("small", T::Int16, &[]), Value::IntData(32767)),
        with_default(field("middle", T::Int32, &[]), Value::IntData(i32::MIN)),
        with_default(field("ratio", T::Float, &[]), Value::FloatData(0.1)),
        with_default(field("exact", T::Double, &[]), Value::DoubleData(0.1)),
        with_default(field("text", T::VarChar, &[("max_length", "4")]), Value::StringData("abcd".into())),
        field("none", T::Int64, &[]),
    ]);
    let described = describe(&create(&sent).unwrap().schema);
    for (i, field) in sent.fields.iter_mut().enumerate() {
        field.field_id = 100 + i as i64;
    }
    assert_eq!(described, sent);
}

/// Code, legacy code and text as Milvus 2.3.5 answers.
#[rstest]
#[case::no_key(vec![vector()], 65535, "primary key is not specified")]
#[case::two_keys(
    vec![pk(), set(pk(), |f| f.name = "b".into())], 65535, "there are more than one primary key, field name = id, b"
)]
#[case::float_key(
    vec![set(field("x", T::Float, &[]), |f| f.is_primary_key = true)], 65535,
    "the data type of primary key should be Int64 or VarChar"
)]
#[case::two_vectors(
    vec![pk(), vector(), set(vector(), |f| f.name = "w".into())], 65535,
    "multiple vector fields is not supported, fields name: vec, w"
)]
#[case::two_kinds_of_vectors(
    vec![pk(), vector(), field("w", T::BinaryVector, &[("dim", "8")])], 65535,
    "multiple vector fields is not supported, fields name: vec, w"
)]
#[case::no_dim(
    vec![pk(), field("v", T::FloatVector, &[])], 65535,
    "dimension is not defined in field type params, check type param `dim` for vector field"
)]
#[case::dim_zero(floats("0"), 65535, "invalid dimension: 0. should be in range 1 ~ 32768")]
#[case::dim_negative(floats("-1"), 65535, "invalid dimension: -1. should be in range 1 ~ 32768")]
#[case::dim_large(floats("32769"), 65535, "invalid dimension: 32769. should be in range 1 ~ 32768")]
#[case::dim_text(floats("a"), 65535, "strconv.ParseInt: parsing \"a\": invalid syntax")]
#[case::dim_empty(floats(""), 65535, "strconv.ParseInt: parsing \"\": invalid syntax")]
#[case::dim_space(floats(" 8"), 65535, "strconv.ParseInt: parsing \" 8\": invalid syntax")]
#[case::dim_huge(
    floats("99999999999999999999"),
    65535,
    "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"
)]
#[case::bits(bits("12"), 65535, "invalid dimension: 12. should be multiple of 8. ")]
#[case::bits_zero(bits("0"), 65535, "invalid dimension: 0. should be in range 1 ~ 32768")]
#[case::bits_large(bits("32776"), 65535, "invalid dimension: 32776. should be in range 1 ~ 32768")]
#[case::no_length(
    vec![pk(), field("s", T::VarChar, &[])], 65535,
    "type param(max_length) should be specified for varChar field of collection books"
)]
#[case::length_zero(
    varchar("0"),
    1100,
    "the maximum length specified for a VarChar should be in (0, 65535]: invalid parameter"
)]
#[case::length_large(
    varchar("65536"),
    1100,
    "the maximum length specified for a VarChar should be in (0, 65535]: invalid parameter"
)]
#[case::length_text(varchar("a"), 65535, "strconv.ParseInt: parsing \"a\": invalid syntax")]
#[case::length_fraction(varchar("1.5"), 65535, "strconv.ParseInt: parsing \"1.5\": invalid syntax")]
#[case::no_capacity(
    vec![pk(), array(T::Int8, &[])], 65535,
    "type param(max_capacity) should be specified for array field of collection books"
)]
#[case::capacity_zero(
    vec![pk(), array(T::Int8, &[("max_capacity", "0")])], 65535,
    "the maximum capacity specified for a Array should be in (0, 4096]"
)]
#[case::capacity_large(
    vec![pk(), array(T::Int8, &[("max_capacity", "4097")])], 65535,
    "the maximum capacity specified for a Array should be in (0, 4096]"
)]
#[case::capacity_text(
    vec![pk(), array(T::Int8, &[("max_capacity", "a")])], 65535, "the value of max_capacity must be an integer"
)]
#[case::element_length(
    vec![pk(), array(T::VarChar, &[("max_capacity", "4")])], 65535,
    "type param(max_length) should be specified for varChar field of collection books"
)]
#[case::element_json(
    vec![pk(), array(T::Json, &[("max_capacity", "4")])], 65535, "element type JSON is not supported"
)]
#[case::element_vector(
    vec![pk(), array(T::FloatVector, &[("max_capacity", "4")])], 65535, "element type FloatVector is not supported"
)]
#[case::element_missing(
    vec![pk(), array(T::None, &[("max_capacity", "4")])], 65535, "element data type None is not valid"
)]
#[case::element_string(
    vec![pk(), array(T::String, &[("max_capacity", "4")])], 65535,
    "string data type not supported yet, please use VarChar type instead"
)]
#[case::element_unknown(
    vec![pk(), set(array(T::Int8, &[("max_capacity", "4")]), |f| f.element_type = 77)], 65535,
    "element type 77 is not supported"
)]
#[case::string(
    vec![pk(), field("s", T::String, &[])], 65535,
    "string data type not supported yet, please use VarChar type instead"
)]
#[case::no_type(vec![pk(), field("s", T::None, &[])], 65535, "data type None is not valid")]
#[case::same_name(vec![pk(), set(vector(), |f| f.name = "id".into())], 65535, "duplicated field name")]
#[case::empty_name(
    vec![pk(), set(vector(), |f| f.name = String::new())], 1701,
    "field name should not be empty: field name invalid[field=]"
)]
#[case::bad_name(
    vec![pk(), set(vector(), |f| f.name = "a-b".into())], 1701,
    "Invalid field name: a-b. Field name cannot only contain numbers, letters, and underscores.: field name \
     invalid[field=a-b]"
)]
#[case::digit_first(
    vec![pk(), set(vector(), |f| f.name = "12-s".into())], 1701,
    "Invalid field name: 12-s. The first character of a field name must be an underscore or letter.: field name \
     invalid[field=12-s]"
)]
#[case::dollar(
    vec![pk(), set(vector(), |f| f.name = "$meta".into())], 1701,
    "Invalid field name: $meta. The first character of a field name must be an underscore or letter.: field name \
     invalid[field=$meta]"
)]
#[case::row_id(vec![pk(), set(vector(), |f| f.name = "RowID".into())], 1100, SYSTEM_FIELD)]
#[case::timestamp(vec![pk(), set(vector(), |f| f.name = "Timestamp".into())], 1100, SYSTEM_FIELD)]
#[case::dynamic(
    vec![pk(), set(vector(), |f| f.is_dynamic = true)], 65535, "cannot explicitly set a field as a dynamic field"
)]
#[case::auto_id_elsewhere(
    vec![pk(), set(field("n", T::Int64, &[]), |f| f.auto_id = true)], 65535,
    "only primary field can speficy AutoID with true, field name = n"
)]
#[case::auto_id_twice(
    vec![set(pk(), |f| f.auto_id = true), set(field("n", T::Int64, &[]), |f| f.auto_id = true)], 65535,
    "only one field can speficy AutoID with true, field name = id, n"
)]
#[case::partition_key_type(
    vec![pk(), set(field("n", T::Int32, &[]), |f| f.is_partition_key = true)], 65535,
    "the data type of partition key should be Int64 or VarChar"
)]
#[case::partition_key_is_key(
    vec![set(pk(), |f| f.is_partition_key = true)], 65535, "the partition key field must not be primary field"
)]
#[case::two_partition_keys(
    vec![
        pk(),
        set(field("a", T::Int64, &[]), |f| f.is_partition_key = true),
        set(field("b", T::Int64, &[]), |f| f.is_partition_key = true),
    ],
    65535,
    "there are more than one partition key, field name = a, b"
)]
#[case::default_of_another_type(
    vec![pk(), with_default(field("x", T::Int64, &[]), Value::StringData("a".into()))], 1100,
    "default value type mismatches field schema type: invalid parameter[expected=DataType_VarChar][actual=not match]"
)]
#[case::default_of_another_size(
    vec![pk(), with_default(field("x", T::Int64, &[]), Value::IntData(1))], 1100,
    "default value type mismatches field schema type: invalid parameter[expected=DataType_Int][actual=not match]"
)]
#[case::default_of_a_vector(
    vec![pk(), with_default(vector(), Value::FloatData(1.0))], 1100,
    "default value type mismatches field schema type: invalid parameter[expected=DataType_Float][actual=not match]"
)]
#[case::default_beyond_int8(
    vec![pk(), with_default(field("x", T::Int8, &[]), Value::IntData(128))], 1100,
    "default value out of range: invalid parameter[128 out of range -128 <= value <= 127]"
)]
#[case::default_beyond_int16(
    vec![pk(), with_default(field("x", T::Int16, &[]), Value::IntData(-32769))], 1100,
    "default value out of range: invalid parameter[-32769 out of range -32768 <= value <= 32767]"
)]
#[case::default_too_long(
    vec![pk(), with_default(field("x", T::VarChar, &[("max_length", "4")]), Value::StringData("abcde".into()))], 1100,
    "the length (5) of string exceeds max length (4): invalid parameter[expected=valid length string][actual=string \
     length exceeds max length]"
)]
// Two faults: the order of the checks decides.
#[case::default_before_system_name(
    vec![pk(), with_default(field("RowID", T::Int64, &[]), Value::IntData(1))], 1100,
    "default value type mismatches field schema type: invalid parameter[expected=DataType_Int][actual=not match]"
)]
#[case::same_name_before_key(vec![vector(), vector()], 65535, "duplicated field name")]
#[case::key_before_dynamic(vec![set(vector(), |f| f.is_dynamic = true)], 65535, "primary key is not specified")]
#[case::auto_id_before_type(
    vec![pk(), set(field("x", T::Int64, &[]), |f| f.auto_id = true), field("y", T::String, &[])], 65535,
    "only primary field can speficy AutoID with true, field name = x"
)]
#[case::type_before_partition_key(
    vec![set(pk(), |f| f.is_partition_key = true), field("y", T::String, &[])], 65535,
    "string data type not supported yet, please use VarChar type instead"
)]
#[case::partition_key_before_name(
    vec![set(pk(), |f| f.is_partition_key = true), field("1a", T::Int64, &[])], 65535,
    "the partition key field must not be primary field"
)]
#[case::name_before_vectors(
    vec![pk(), vector(), set(vector(), |f| f.name = "w".into()), field("1a", T::Int64, &[])], 1701,
    "Invalid field name: 1a. The first character of a field name must be an underscore or letter.: field name \
     invalid[field=1a]"
)]
fn refuses(#[case] fields: Vec<proto::FieldSchema>, #[case] code: i32, #[case] reason: &str) {
    let error = create(&schema(fields)).unwrap_err();
    let status = error.status();
    let legacy = if code == 1100 { 5 } else { 1 };
    assert_eq!((status.code, status.error_code, status.reason.as_str()), (code, legacy, reason));
}

const SYSTEM_FIELD: &str = "schema contains system field: RowID, Timestamp, $meta: invalid parameter\
                            [expected=schema don't contains system field][actual=contains]";

fn floats(dim: &str) -> Vec<proto::FieldSchema> {
    vec![pk(), field("v", T::FloatVector, &[("dim", dim)])]
}

fn bits(dim: &str) -> Vec<proto::FieldSchema> {
    vec![pk(), field("v", T::BinaryVector, &[("dim", dim)])]
}

fn varchar(length: &str) -> Vec<proto::FieldSchema> {
    vec![pk(), field("s", T::VarChar, &[("max_length", length)])]
}

/// Milvus 2.3.5 has none of these, or stores a value that it can't read.
#[rstest]
#[case::clustering_key_type(vec![pk(), set(vector(), |f| f.is_clustering_key = true)], "vec is FloatVector")]
#[case::two_clustering_keys(
    vec![
        set(pk(), |f| f.is_clustering_key = true),
        set(field("b", T::Int64, &[]), |f| f.is_clustering_key = true),
    ],
    "more than one clustering key: id, b"
)]
#[case::sparse(vec![pk(), field("s", T::SparseFloatVector, &[])], "type SparseFloatVector is not supported: field s")]
#[case::int8_vector(vec![pk(), field("s", T::Int8Vector, &[("dim", "8")])], "Int8Vector")]
#[case::float16(vec![pk(), field("s", T::Float16Vector, &[("dim", "8")])], "Float16Vector")]
#[case::unknown_type(vec![pk(), set(vector(), |f| f.data_type = 77)], "data type 77")]
#[case::nullable(vec![pk(), set(vector(), |f| f.nullable = true)], "nullable is not supported: field vec")]
#[case::default_value(
    vec![pk(), set(vector(), |f| f.default_value = Some(proto::ValueField::default()))],
    "default_value is not supported: field vec"
)]
#[case::default_of_bytes(
    vec![pk(), with_default(field("x", T::Json, &[]), Value::BytesData("{}".into()))],
    "default_value is not supported: field x"
)]
#[case::function_output(vec![pk(), set(vector(), |f| f.is_function_output = true)], "is_function_output")]
fn refuses_newer_features(#[case] fields: Vec<proto::FieldSchema>, #[case] says: &str) {
    let status = create(&schema(fields)).unwrap_err().status();
    assert!(status.reason.contains(says), "{}", status.reason);
    assert_eq!((status.code, status.error_code), (65535, 1));
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
    |s: &mut proto::CollectionSchema| s.fields.extend((0..63).map(|i| field(&format!("f{i}"), T::Bool, &[]))),
    "maximum field's number should be limited to 64"
)]
fn refuses_schema(#[case] change: impl Fn(&mut proto::CollectionSchema), #[case] says: &str) {
    let mut schema = schema(vec![pk(), vector()]);
    change(&mut schema);
    let error = create(&schema).unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
}

/// Code and text as Milvus 2.3.5 answers; only the text about bytes is ours.
#[rstest]
#[case::bad_name(|r: &mut milvus::CreateCollectionRequest| *r = named("1books"), 1100,
    "Invalid collection name: 1books. the first character of a collection name must be an underscore or letter: invalid \
     parameter")]
#[case::empty_name(|r: &mut milvus::CreateCollectionRequest| *r = named(""), 1100,
    "collection name should not be empty: invalid parameter")]
#[case::no_schema(|r: &mut milvus::CreateCollectionRequest| r.schema.clear(), 1100,
    "collection name should not be empty: invalid parameter")]
#[case::other_name(|r: &mut milvus::CreateCollectionRequest| r.collection_name = "papers".into(), 1100,
    "collection name = papers, schema.Name=books: invalid parameter[expected=collection name matches schema name]\
     [actual=don't match]")]
#[case::bytes(|r: &mut milvus::CreateCollectionRequest| r.schema = vec![0xff; 9], 65535, "schema can't be parsed")]
#[case::shards(|r: &mut milvus::CreateCollectionRequest| r.shards_num = 17, 65535,
    "maximum shards's number should be limited to 16")]
#[case::shards_before_name(|r: &mut milvus::CreateCollectionRequest| {
    *r = named("1x");
    r.shards_num = 17;
}, 65535, "maximum shards's number should be limited to 16")]
#[case::partitions(|r: &mut milvus::CreateCollectionRequest| r.num_partitions = 8, 65535,
    "num_partitions should only be specified with partition key field enabled")]
#[case::negative_partitions(|r: &mut milvus::CreateCollectionRequest| r.num_partitions = -1, 65535,
    "num_partitions should only be specified with partition key field enabled")]
fn refuses_request(
    #[case] change: impl Fn(&mut milvus::CreateCollectionRequest),
    #[case] code: i32,
    #[case] reason: &str,
) {
    let mut request = request(&schema(vec![pk(), vector()]));
    change(&mut request);
    let status = define(&request, &LimitsConfig::default()).unwrap_err().status();
    assert!(status.reason.starts_with(reason), "{}", status.reason);
    assert_eq!(status.code, code);
}

/// A request whose schema has this name too.
fn named(name: &str) -> milvus::CreateCollectionRequest {
    let schema = proto::CollectionSchema { name: name.to_owned(), ..schema(vec![pk(), vector()]) };
    milvus::CreateCollectionRequest { collection_name: name.to_owned(), ..request(&schema) }
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
#[case::default(0, Ok(64))]
#[case::one(1, Ok(1))]
#[case::most(4096, Ok(4096))]
#[case::too_many(4097, Err("partition number (4097) exceeds max configuration (4096), collection: books"))]
#[case::negative(-1, Err("the specified partitions should be greater than 0 if partition key is used"))]
fn partitions_of_a_key(#[case] asked: i64, #[case] partitions: Result<u32, &str>) {
    let key = set(field("tenant", T::VarChar, &[("max_length", "9")]), |f| f.is_partition_key = true);
    let mut request = request(&schema(vec![pk(), vector(), key]));
    request.num_partitions = asked;
    let created = define(&request, &LimitsConfig::default());
    match partitions {
        Ok(n) => assert_eq!(created.unwrap().partitions, Some(n)),
        Err(reason) => {
            let status = created.unwrap_err().status();
            assert_eq!((status.code, status.reason.as_str()), (65535, reason));
        }
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
        assert_eq!(error.status().code, 1100);
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
