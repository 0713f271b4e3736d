use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use rstest::rstest;

use super::*;
use crate::wire::proto::{
    common, datacoord,
    milvus::{self, GetFlushStateRequest, InsertRequest, QueryRequest},
    schema::{self, FieldData, LongArray, ScalarField, StringArray, TemplateValue, field_data, scalar_field::Data},
};

fn id(name: &str) -> ShapeId {
    shape_of(name).unwrap_or_else(|| panic!("{name} is not known"))
}

fn insert() -> ShapeId {
    id(".milvus.proto.milvus.InsertRequest")
}

/// A value with its length in front.
fn put(bytes: &mut Vec<u8>, field: u32, value: &[u8]) {
    encode_key(field, WireType::LengthDelimited, bytes);
    encode_varint(value.len() as u64, bytes);
    bytes.extend_from_slice(value);
}

/// Every structure fits into its bound, and no bound is far off.
#[test]
fn structures_fit_into_their_bounds() {
    macro_rules! fits {
        ($package:literal, $module:ident, $($name:ident),+ $(,)?) => {
            $(
                let bound = shapes::all().get(id(concat!($package, stringify!($name)))).bytes;
                let real = size_of::<$module::$name>() as u64;
                assert!((real..=real * 2 + 16).contains(&bound), "{}: {real}, {bound}", stringify!($name));
            )+
        };
    }
    fits!(
        ".milvus.proto.milvus.",
        milvus,
        InsertRequest,
        UpsertRequest,
        DeleteRequest,
        QueryRequest,
        SearchRequest,
        HybridSearchRequest,
        CreateCollectionRequest,
        CreateIndexRequest,
        AlterCollectionRequest,
        GetFlushStateRequest,
        ManualCompactionRequest,
        FlushRequest,
        LoadPartitionsRequest,
        ShowCollectionsRequest,
        OperatePrivilegeRequest,
        SelectGrantRequest,
        GetMetricsRequest,
        ConnectRequest,
        LoadBalanceRequest,
        CompactionMergeInfo,
    );
    fits!(
        ".milvus.proto.schema.",
        schema,
        FieldData,
        ScalarField,
        VectorField,
        FieldSchema,
        CollectionSchema,
        FunctionSchema,
        ArrayArray,
        StringArray,
        LongArray,
        BoolArray,
        ValueField,
        TemplateValue,
        TemplateArrayValue,
        SparseFloatArray,
        IDs,
        FunctionScore,
    );
    fits!(".milvus.proto.common.", common, KeyValuePair, MsgBase, Status, PlaceholderValue);
    fits!(
        ".datacoord.v1.",
        datacoord,
        ListSegmentsRequest,
        ListCompactionsRequest,
        PlanCompactionRequest,
        WatchCompactionRequest,
        CollectionRef,
    );
}

#[test]
fn every_method_is_known_by_its_path() {
    assert!(shapes::inputs() >= 77, "{}", shapes::inputs());
    for path in [
        "/milvus.proto.milvus.MilvusService/Insert",
        "/milvus.proto.data.DataCoord/ManualCompaction",
        "/datacoord.v1.DataCoord/CollectGarbage",
    ] {
        assert!(input_of(path).is_some(), "{path}");
    }
    assert_eq!(input_of("/milvus.proto.milvus.MilvusService/Insert"), Some(insert()));
    assert_eq!(input_of("/grpc.health.v1.Health/Check"), None);
}

/// Numbers by hand: a list has room for four elements at least, small allocations get an eighth more in steps of 16.
#[test]
fn what_is_counted() {
    let empty = |shape| decoded_bytes(shape, &[]).unwrap();
    let more = |message: &[u8], shape| decoded_bytes(shape, message).unwrap() - empty(shape);
    let ids = |n: usize| GetFlushStateRequest { segment_i_ds: vec![1; n], ..Default::default() }.encode_to_vec();
    let flush = id(".milvus.proto.milvus.GetFlushStateRequest");
    for (count, expected) in [(0, 0), (1, 48), (4, 48), (5, 48), (100, 912), (1_000_000, 8_000_000)] {
        assert_eq!(more(&ids(count), flush), expected, "{count} packed numbers");
    }
    // The same numbers one by one.
    let mut one_by_one = Vec::new();
    (0..100).for_each(|_| one_by_one.extend_from_slice(&[0x08, 1]));
    assert_eq!(more(&one_by_one, flush), 912);
    // An empty text has a `String`, a long one also its letters.
    let query = id(".milvus.proto.milvus.QueryRequest");
    let texts =
        |text: &str| QueryRequest { output_fields: vec![text.to_owned(); 8], ..Default::default() }.encode_to_vec();
    assert_eq!(more(&texts(""), query), 224);
    assert_eq!(more(&texts(&"x".repeat(100)), query), 224 + 8 * 112);
    assert_eq!(more(&texts(&"x".repeat(100_000)), query), 224 + 8 * 100_000);
    // A map has places for its entries.
    let mut values = QueryRequest::default();
    values.expr_template_values.insert("k".to_owned(), TemplateValue::default());
    assert!(more(&values.encode_to_vec(), query) >= 4 * (24 + size_of::<TemplateValue>() as u64));
}

fn column(data: Data) -> FieldData {
    FieldData { field: Some(field_data::Field::Scalars(ScalarField { data: Some(data) })), ..Default::default() }
}

#[test]
fn vectors_and_large_numbers_take_no_more_than_on_the_wire() {
    let vectors = schema::FloatArray { data: vec![0.5; 250_000] };
    let longs = column(Data::LongData(LongArray { data: vec![1 << 60; 100_000] }));
    let vectors = FieldData {
        field: Some(field_data::Field::Vectors(schema::VectorField {
            dim: 8,
            data: Some(schema::vector_field::Data::FloatVector(vectors)),
        })),
        ..Default::default()
    };
    let message = InsertRequest { fields_data: vec![longs, vectors], ..Default::default() }.encode_to_vec();
    let decoded = decoded_bytes(insert(), &message).unwrap();
    assert!(decoded < message.len() as u64 + (4 << 10), "{decoded} for {} bytes", message.len());
    // Short texts take more, and it is counted.
    let texts = column(Data::StringData(StringArray { data: vec!["abc".to_owned(); 100_000] }));
    let message = InsertRequest { fields_data: vec![texts], ..Default::default() }.encode_to_vec();
    let decoded = decoded_bytes(insert(), &message).unwrap();
    assert!((4_000_000..5_000_000).contains(&decoded), "{decoded} for {} bytes", message.len());
}

/// The pieces in which a message arrives do not change the outcome.
#[test]
fn a_message_may_arrive_in_any_pieces() {
    let mut message = InsertRequest {
        collection_name: "books".to_owned(),
        fields_data: vec![
            column(Data::LongData(LongArray { data: (0..300).map(|n| n * n).collect() })),
            column(Data::StringData(StringArray { data: vec!["x".repeat(200); 3] })),
        ],
        hash_keys: vec![7; 50],
        num_rows: 300,
        ..Default::default()
    }
    .encode_to_vec();
    // Unknown fields of each kind, a group among them.
    message.extend_from_slice(&[0xF8, 0x7F, 0x96, 0x01, 0xF9, 0x7F, 1, 2, 3, 4, 5, 6, 7, 8, 0xFA, 0x7F, 2, 9, 9]);
    message.extend_from_slice(&[0xFB, 0x7F, 0x08, 0x01, 0xFC, 0x7F, 0xFD, 0x7F, 1, 2, 3, 4]);
    InsertRequest::decode(message.as_slice()).expect("the decoder takes it");
    let whole = decoded_bytes(insert(), &message).unwrap();
    for length in 1..40 {
        let mut reading = MessageReading::of(insert(), message.len() as u64);
        message.chunks(length).for_each(|piece| reading.pass(piece).unwrap());
        assert_eq!(reading.bytes(), whole, "pieces of {length}");
    }
}

#[rstest]
#[case::a_field_of_number_zero(&[0x00, 1])]
#[case::an_unknown_wire_type(&[0x0f])]
#[case::a_text_of_numbers(&[0x18, 1])]
#[case::a_number_of_text(&[0x3a, 1, 1])]
#[case::a_group_that_a_message_is(&[0x0b, 0x0c])]
#[case::an_end_without_a_group(&[0xFC, 0x7F])]
#[case::a_group_without_an_end(&[0xFB, 0x7F, 0x08, 0x01])]
#[case::a_text_beyond_the_message(&[0x1a, 9, b'a'])]
#[case::a_number_that_ends_too_early(&[0x38, 0x80])]
#[case::a_number_of_eleven_bytes(&[0x38, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])]
#[case::a_number_of_65_bits(&[0x38, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2])]
#[case::a_packed_list_that_ends_within_a_number(&[0x32, 2, 1, 0x80])]
#[case::a_length_beyond_all_numbers(&[0x1a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])]
fn a_broken_message_is_refused_by_both(#[case] message: &[u8]) {
    assert!(decoded_bytes(insert(), message).is_err());
    assert!(InsertRequest::decode(message).is_err());
}

/// The decoder itself reads over the end of the inner message, and notices only afterwards.
#[test]
fn a_message_must_not_reach_over_the_end_of_the_one_around_it() {
    let mut message = Vec::new();
    // A column of two bytes, which claims to have a text of a hundred.
    put(&mut message, 5, &[0x12, 100]);
    message.extend_from_slice(&[b'x'; 100]);
    let fault = decoded_bytes(insert(), &message).unwrap_err();
    assert_eq!(fault.to_string(), "a value is longer than its message at byte 4 of the message");
}

/// The limit of the decoder: a hundred messages within the first.
#[test]
fn depth_has_the_limit_of_the_decoder() {
    let nested = |levels: usize| {
        let mut message = Vec::new();
        for _ in 0..levels {
            let inner = std::mem::take(&mut message);
            // `array_data` of a `ScalarField`, and `data` of an `ArrayArray`.
            let mut list = Vec::new();
            put(&mut list, 1, &inner);
            put(&mut message, 8, &list);
        }
        message
    };
    let scalar = id(".milvus.proto.schema.ScalarField");
    for (levels, is_accepted) in [(50, true), (51, false), (5000, false)] {
        let message = nested(levels);
        assert_eq!(decoded_bytes(scalar, &message).is_ok(), is_accepted, "{levels}");
        assert_eq!(ScalarField::decode(message.as_slice()).is_ok(), is_accepted, "{levels}");
    }
    let groups = [0xFB, 0x7F].repeat(200);
    assert!(decoded_bytes(insert(), &groups).is_err());
}

/// The schema of a new collection is a message in a field of bytes. Its handler refuses a broken one in Milvus' words.
#[test]
fn a_message_in_bytes_is_counted_and_never_refused() {
    let creation = id(".milvus.proto.milvus.CreateCollectionRequest");
    let with = |schema: Vec<u8>| {
        milvus::CreateCollectionRequest { schema, shards_num: 7, ..Default::default() }.encode_to_vec()
    };
    let bytes = |schema: Vec<u8>| decoded_bytes(creation, &with(schema)).unwrap();
    let nothing = bytes(Vec::new());
    // A thousand empty fields.
    let fields = bytes([0x22, 0].repeat(1000));
    assert!(fields - nothing >= 1000 * size_of::<schema::FieldSchema>() as u64, "{fields}");
    for broken in [vec![0x22, 9], vec![0x22, 0, 0x0f, 1, 2, 3], vec![0x22, 2, 0x80, 0x80], vec![0x80]] {
        bytes(broken);
    }
}
