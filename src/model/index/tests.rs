use rstest::rstest;

use super::*;
use crate::{
    kit::model,
    model::{DataType, Field, Metric},
};

fn field(data_type: DataType, dim: u32) -> Field {
    Field {
        dim: Some(dim).filter(|dim| *dim > 0),
        type_params: vec![("dim".to_owned(), dim.to_string())],
        ..model::field(101, "v", data_type)
    }
}

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The pairs of an index type and its metric, with `params`.
fn definition(name: &str, metric: &str, params: &str) -> Vec<(String, String)> {
    pairs(&[("index_type", name), ("metric_type", metric), ("params", params)])
}

#[rstest]
#[case("FLAT", "L2", "{}", IndexKind::Flat, Metric::L2)]
#[case("IVF_FLAT", "IP", r#"{"nlist": 128}"#, IndexKind::IvfFlat { lists: 128 }, Metric::Ip)]
#[case("IVF_FLAT", "IP", r#"{"nlist": "128"}"#, IndexKind::IvfFlat { lists: 128 }, Metric::Ip)]
#[case("IVF_FLAT", "IP", r#"{"nlist": 128.0}"#, IndexKind::IvfFlat { lists: 128 }, Metric::Ip)]
#[case("IVF_SQ8", "COSINE", r#"{"nlist": 65536, "nbits": 8}"#, IndexKind::IvfSq8 { lists: 65_536 }, Metric::Cosine)]
#[case("IVF_PQ", "L2", r#"{"nlist": 1, "m": 4}"#, IndexKind::IvfPq { lists: 1, parts: 4, bits: 8 }, Metric::L2)]
#[case(
    "IVF_PQ", "L2", r#"{"nlist": 1, "m": 8, "nbits": 6}"#, IndexKind::IvfPq { lists: 1, parts: 8, bits: 6 }, Metric::L2
)]
#[case("GPU_IVF_FLAT", "L2", r#"{"nlist": 2}"#, IndexKind::GpuIvfFlat { lists: 2 }, Metric::L2)]
#[case("GPU_IVF_PQ", "L2", r#"{"nlist": 1, "m": 0}"#, IndexKind::GpuIvfPq { lists: 1, parts: 0, bits: 8 }, Metric::L2)]
#[case("SCANN", "L2", r#"{"nlist": 3}"#, IndexKind::Scann { lists: 3 }, Metric::L2)]
#[case(
    "HNSW", "COSINE", r#"{"M": 2048, "efConstruction": 2147483647}"#,
    IndexKind::Hnsw { links: 2048, ef_construction: 2_147_483_647 }, Metric::Cosine
)]
#[case("DISKANN", "L2", "null", IndexKind::DiskAnn, Metric::L2)]
fn kinds_over_float_vectors(
    #[case] name: &str,
    #[case] metric_name: &str,
    #[case] params: &str,
    #[case] kind: IndexKind,
    #[case] metric: Metric,
) {
    let given = definition(name, metric_name, params);
    let found = IndexDefinition::of(&field(DataType::FloatVector, 8), &given);
    assert_eq!(found, Ok(IndexDefinition { kind, metric: Some(metric), is_auto: false }));
    assert_eq!(found.unwrap().described(given.clone()), given, "described as it was given");
}

#[rstest]
#[case("BIN_FLAT", "SUPERSTRUCTURE", "{}", IndexKind::BinFlat, Metric::Superstructure)]
#[case("BIN_IVF_FLAT", "JACCARD", r#"{"nlist": 5}"#, IndexKind::BinIvfFlat { lists: 5 }, Metric::Jaccard)]
#[case(
    "HNSW", "HAMMING", r#"{"M": 1, "efConstruction": 1}"#, IndexKind::Hnsw { links: 1, ef_construction: 1 },
    Metric::Hamming
)]
fn kinds_over_binary_vectors(
    #[case] name: &str,
    #[case] metric_name: &str,
    #[case] params: &str,
    #[case] kind: IndexKind,
    #[case] metric: Metric,
) {
    let found = IndexDefinition::of(&field(DataType::BinaryVector, 16), &definition(name, metric_name, params));
    assert_eq!(found, Ok(IndexDefinition { kind, metric: Some(metric), is_auto: false }));
}

/// Pairs as Milvus 2.3.5 describes them; its choice is HNSW with these numbers.
#[rstest]
#[case::nothing(&[], "IP")]
#[case::name(&[("index_type", "AUTOINDEX")], "IP")]
#[case::metric(&[("metric_type", "L2")], "L2")]
#[case::both(&[("index_type", "AUTOINDEX"), ("metric_type", "HAMMING"), ("params", "{}")], "HAMMING")]
fn a_choice_of_the_server_is_written_out(#[case] given: &[(&str, &str)], #[case] metric: &str) {
    let field = field(DataType::FloatVector, 8);
    let found = IndexDefinition::of(&field, &pairs(given)).unwrap();
    assert_eq!((found.kind, found.is_auto), (IndexKind::Hnsw { links: 18, ef_construction: 240 }, true));
    let stored = found.described(pairs(given));
    assert_eq!(stored, pairs(&[("index_type", "AUTOINDEX"), ("metric_type", metric)]));
    assert_eq!(IndexDefinition::of(&field, &stored), Ok(found), "the stored pairs mean the same");
}

#[rstest]
#[case(DataType::VarChar, &[], IndexKind::Trie)]
#[case(DataType::VarChar, &[("index_type", "Trie")], IndexKind::Trie)]
#[case(DataType::VarChar, &[("index_type", "marisa-trie")], IndexKind::Trie)]
#[case(DataType::Int64, &[], IndexKind::StlSort)]
#[case(DataType::Int8, &[("index_type", "STL_SORT")], IndexKind::StlSort)]
#[case(DataType::Double, &[("index_type", "Asceneding"), ("metric_type", "L2")], IndexKind::StlSort)]
fn scalars_have_one_kind_each(#[case] data_type: DataType, #[case] given: &[(&str, &str)], #[case] kind: IndexKind) {
    let found = IndexDefinition::of(&field(data_type, 0), &pairs(given)).unwrap();
    assert_eq!(found, IndexDefinition { kind, metric: None, is_auto: false });
    assert_eq!(found.described(pairs(given)), pairs(given));
}

#[test]
fn the_last_value_of_a_key_counts() {
    let given = pairs(&[("index_type", "IVF_FLAT"), ("index_type", "FLAT"), ("metric_type", "L2")]);
    let found = IndexDefinition::of(&field(DataType::FloatVector, 8), &given).unwrap();
    assert_eq!(found.kind, IndexKind::Flat);
    let inside = pairs(&[("metric_type", "L2"), ("params", r#"{"index_type": "FLAT"}"#)]);
    assert_eq!(IndexDefinition::of(&field(DataType::FloatVector, 8), &inside).unwrap().kind, IndexKind::Flat);
}

/// Parameters that no index could be built with, which Milvus finds out later.
#[rstest]
#[case(r#"{"nlist": 1, "m": -2}"#, IndexFault::BadParts("-2".to_owned()))]
#[case(r#"{"nlist": 1, "m": 2, "nbits": -1}"#, IndexFault::BadBits("-1".to_owned()))]
fn negative_numbers_of_a_product_are_refused(#[case] params: &str, #[case] fault: IndexFault) {
    let given = definition("IVF_PQ", "L2", params);
    assert_eq!(IndexDefinition::of(&field(DataType::FloatVector, 8), &given), Err(fault));
}
