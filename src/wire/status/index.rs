//! Refused index definitions in Milvus' words.

use crate::model::{
    Metric,
    index::{IndexFault, VectorKind},
};

/// True if Milvus calls the fault an invalid parameter.
pub(super) fn is_parameter(fault: &IndexFault) -> bool {
    matches!(fault, IndexFault::Field(_) | IndexFault::ScalarType { .. })
}

/// The reason of a refusal.
pub(super) fn text(fault: &IndexFault) -> String {
    use IndexFault as F;
    match fault {
        // Milvus adds a sentence of its JSON reader, which is another one than ours.
        F::Params(why) => format!("unmarshal params failed, {why}"),
        F::Field(data_type) => {
            let what = format!("create index on {} field", data_type.name());
            format!("{what} is not supported: invalid parameter[expected=supported field][actual={what}]")
        }
        F::ScalarType { expected, got } => {
            format!("index type not match: invalid parameter[expected={expected}][actual={got}]")
        }
        F::UnknownType(name) => format!("invalid index type: {name}"),
        F::MoreThanAuto => "only metric type can be passed when use AutoIndex".to_owned(),
        F::Dimension { schema, got } => {
            format!("dimension mismatch, dimension in schema: {schema}, dimension: {got}")
        }
        F::Vectors(VectorKind::Float) => "float or float16 vector are only supported".to_owned(),
        F::Vectors(VectorKind::Binary) => "binary vector is only supported".to_owned(),
        F::Metric(allowed) => {
            let names: Vec<&str> = allowed.iter().map(|metric: &Metric| metric.name()).collect();
            format!("metric type not found or not supported, supported: [{}]", names.join(" "))
        }
        F::Range { key, least, most } => format!("{key} out of range: [{least}, {most}]"),
        F::NoParts => "parameter `m` not found".to_owned(),
        F::BadParts(text) => format!("invalid `m`: {text}"),
        F::BadBits(text) => format!("invalid nbits: {text}"),
        F::SqBits => "nbits can be only set to 8 for IVF_SQ".to_owned(),
        F::Indivisible { dim, parts } => {
            format!("dimension must be able to be divided by `m`, dimension: {dim}, m: {parts}")
        }
        F::OddDimension(dim) => format!("dimension must be able to be divided by 2, dimension: {dim}"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::{common, of_request};
    use crate::{
        kit::model,
        model::{DataType, Field, IndexDefinition, RequestError},
    };

    const FLOATS: DataType = DataType::FloatVector;
    const BITS: DataType = DataType::BinaryVector;
    const OF_FLOATS: &str = "metric type not found or not supported, supported: [L2 IP COSINE]";
    const OF_BITS: &str =
        "metric type not found or not supported, supported: [HAMMING JACCARD SUBSTRUCTURE SUPERSTRUCTURE]";
    const OF_HNSW: &str = "metric type not found or not supported, supported: [L2 IP COSINE HAMMING JACCARD]";
    const NLIST: &str = "nlist out of range: [1, 65536]";
    const EF: &str = "efConstruction out of range: [1, 2147483647]";
    const LINKS: &str = "M out of range: [1, 2048]";
    const ONLY_METRIC: &str = "only metric type can be passed when use AutoIndex";

    /// Refused definitions with the texts that Milvus 2.3.5 answered; `-` leaves a key out. The code is 65535, for
    /// scalars 1100.
    #[rstest]
    #[case::only_metric(FLOATS, "-", "XX", "{}", OF_HNSW)]
    #[case::auto_and_more(FLOATS, "AUTOINDEX", "L2", r#"{"nlist": 4}"#, ONLY_METRIC)]
    #[case::no_type_and_more(FLOATS, "-", "L2", r#"{"nlist": 4}"#, ONLY_METRIC)]
    #[case::no_type_nor_metric(FLOATS, "-", "-", r#"{"nlist": 4}"#, ONLY_METRIC)]
    #[case::empty_type(FLOATS, "", "L2", "{}", "invalid index type: ")]
    #[case::annoy(FLOATS, "ANNOY", "L2", "{}", "invalid index type: ANNOY")]
    #[case::small_letters(FLOATS, "flat", "L2", "{}", "invalid index type: flat")]
    #[case::scalar_type(FLOATS, "STL_SORT", "L2", "{}", "invalid index type: STL_SORT")]
    #[case::bits_of_floats(FLOATS, "BIN_FLAT", "L2", "{}", "binary vector is only supported")]
    #[case::bit_lists_of_floats(FLOATS, "BIN_IVF_FLAT", "L2", "{}", "binary vector is only supported")]
    #[case::floats_of_bits(BITS, "IVF_FLAT", "L2", r#"{"nlist": 0}"#, "float or float16 vector are only supported")]
    #[case::flat_metric(FLOATS, "FLAT", "JACCARD", "{}", OF_FLOATS)]
    #[case::flat_small_letters(FLOATS, "FLAT", "l2", "{}", OF_FLOATS)]
    #[case::flat_empty_metric(FLOATS, "FLAT", "", "{}", OF_FLOATS)]
    #[case::flat_no_metric(FLOATS, "FLAT", "-", "{}", OF_FLOATS)]
    #[case::diskann_metric(FLOATS, "DISKANN", "XX", "{}", OF_FLOATS)]
    #[case::no_nlist(FLOATS, "IVF_FLAT", "L2", "{}", NLIST)]
    #[case::nlist_zero(FLOATS, "IVF_SQ8", "L2", r#"{"nlist": 0}"#, NLIST)]
    #[case::nlist_large(FLOATS, "IVF_PQ", "L2", r#"{"nlist": 65537, "m": 2}"#, NLIST)]
    #[case::nlist_text(FLOATS, "SCANN", "L2", r#"{"nlist": "x"}"#, NLIST)]
    #[case::nlist_negative(FLOATS, "GPU_IVF_FLAT", "L2", r#"{"nlist": -1}"#, NLIST)]
    #[case::nlist_fraction(FLOATS, "GPU_IVF_PQ", "L2", r#"{"nlist": 1.5, "m": 2}"#, NLIST)]
    #[case::nlist_object(FLOATS, "IVF_FLAT", "L2", r#"{"nlist": {"a": 1}}"#, NLIST)]
    #[case::nlist_before_metric(FLOATS, "IVF_FLAT", "XX", r#"{"nlist": 0}"#, NLIST)]
    #[case::no_params(FLOATS, "IVF_FLAT", "L2", "null", NLIST)]
    #[case::metric_after_nlist(FLOATS, "IVF_FLAT", "XX", r#"{"nlist": 4}"#, OF_FLOATS)]
    #[case::no_m(FLOATS, "IVF_PQ", "L2", r#"{"nlist": 4}"#, "parameter `m` not found")]
    #[case::m_zero(FLOATS, "IVF_PQ", "L2", r#"{"nlist": 4, "m": 0}"#, "invalid `m`: 0")]
    #[case::m_text(FLOATS, "IVF_PQ", "L2", r#"{"nlist": 4, "m": "x"}"#, "invalid `m`: x")]
    #[case::m_odd(
        FLOATS,
        "IVF_PQ",
        "L2",
        r#"{"nlist": 4, "m": 3}"#,
        "dimension must be able to be divided by `m`, dimension: 4, m: 3"
    )]
    #[case::m_large(
        FLOATS,
        "IVF_PQ",
        "L2",
        r#"{"nlist": 4, "m": 8}"#,
        "dimension must be able to be divided by `m`, dimension: 4, m: 8"
    )]
    #[case::nbits_text(FLOATS, "IVF_PQ", "L2", r#"{"nlist": 4, "m": 2, "nbits": "x"}"#, "invalid nbits: x")]
    #[case::sq_bits(FLOATS, "IVF_SQ8", "L2", r#"{"nlist": 0, "nbits": 9}"#, "nbits can be only set to 8 for IVF_SQ")]
    #[case::hnsw_nothing(FLOATS, "HNSW", "L2", "{}", EF)]
    #[case::hnsw_ef_zero(FLOATS, "HNSW", "L2", r#"{"M": 8, "efConstruction": 0}"#, EF)]
    #[case::hnsw_ef_large(FLOATS, "HNSW", "L2", r#"{"M": 8, "efConstruction": 2147483648}"#, EF)]
    #[case::hnsw_no_links(FLOATS, "HNSW", "L2", r#"{"efConstruction": 8}"#, LINKS)]
    #[case::hnsw_links_small_letter(FLOATS, "HNSW", "L2", r#"{"m": 8, "efConstruction": 8}"#, LINKS)]
    #[case::hnsw_links_large(FLOATS, "HNSW", "L2", r#"{"M": 2049, "efConstruction": 8}"#, LINKS)]
    #[case::hnsw_metric(FLOATS, "HNSW", "SUBSTRUCTURE", r#"{"M": 8, "efConstruction": 8}"#, OF_HNSW)]
    #[case::dimension(
        FLOATS,
        "FLAT",
        "L2",
        r#"{"dim": 8}"#,
        "dimension mismatch, dimension in schema: 4, dimension: 8"
    )]
    #[case::bits_metric(BITS, "BIN_FLAT", "L2", "{}", OF_BITS)]
    #[case::bits_no_metric(BITS, "BIN_IVF_FLAT", "-", r#"{"nlist": 0}"#, OF_BITS)]
    #[case::bit_lists_metric(
        BITS,
        "BIN_IVF_FLAT",
        "SUBSTRUCTURE",
        r#"{"nlist": 4}"#,
        "metric type not found or not supported, supported: [HAMMING JACCARD]"
    )]
    #[case::bit_lists_nlist(BITS, "BIN_IVF_FLAT", "HAMMING", "{}", NLIST)]
    #[case::text(
        DataType::VarChar,
        "STL_SORT",
        "-",
        "{}",
        "index type not match: invalid parameter[expected=Trie][actual=STL_SORT]"
    )]
    #[case::number(
        DataType::Int32,
        "IVF_SQ8",
        "-",
        "{}",
        "index type not match: invalid parameter[expected=STL_SORT][actual=IVF_SQ8]"
    )]
    #[case::number_empty_type(
        DataType::Float,
        "",
        "-",
        "{}",
        "index type not match: invalid parameter[expected=STL_SORT][actual=]"
    )]
    #[case::bool(
        DataType::Bool,
        "-",
        "-",
        "{}",
        "create index on Bool field is not supported: invalid parameter\
        [expected=supported field][actual=create index on Bool field]"
    )]
    #[case::json(
        DataType::Json,
        "STL_SORT",
        "-",
        "{}",
        "create index on JSON field is not supported: invalid parameter\
        [expected=supported field][actual=create index on JSON field]"
    )]
    #[case::array(
        DataType::Array,
        "-",
        "-",
        "{}",
        "create index on Array field is not supported: invalid parameter\
        [expected=supported field][actual=create index on Array field]"
    )]
    fn refused(
        #[case] data_type: DataType,
        #[case] index_type: &str,
        #[case] metric: &str,
        #[case] params: &str,
        #[case] reason: &str,
    ) {
        let status = refusal(data_type, 4, &[("index_type", index_type), ("metric_type", metric), ("params", params)]);
        let codes = if data_type.is_vector() { (65535, 1) } else { (1100, 5) };
        assert_eq!((status.code, status.error_code), codes);
        assert_eq!(status.reason, reason);
    }

    #[test]
    fn odd_dimensions_and_broken_params_are_refused() {
        let scann = [("index_type", "SCANN"), ("metric_type", "L2"), ("nlist", "4")];
        let reason = "dimension must be able to be divided by 2, dimension: 127";
        assert_eq!(refusal(FLOATS, 127, &scann).reason, reason);
        for params in ["{nlist", "[1]", ""] {
            let status = refusal(FLOATS, 4, &[("index_type", "FLAT"), ("metric_type", "L2"), ("params", params)]);
            assert!(status.reason.starts_with("unmarshal params failed, "), "{}", status.reason);
            assert_eq!(status.code, 65535);
        }
    }

    fn refusal(data_type: DataType, dim: u32, pairs: &[(&str, &str)]) -> common::Status {
        let field = Field {
            dim: Some(dim),
            type_params: vec![("dim".to_owned(), dim.to_string())],
            ..model::field(101, "v", data_type)
        };
        let given = pairs.iter().filter(|(_, value)| *value != "-");
        let given: Vec<_> = given.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        of_request(&RequestError::BadIndex(IndexDefinition::of(&field, &given).unwrap_err()))
    }
}
