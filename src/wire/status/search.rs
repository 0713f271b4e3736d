//! Refused searches in Milvus' words.
//!
//! Milvus 2.3.5 refuses every one with code 65535; those that it does not have carry the texts of newer releases. Where its
//! text is the failed assertion of a C++ file, with names of nodes and channels around it, only the part that speaks of the
//! request is kept.

use std::fmt::Display;

use crate::model::{IndexParamError, SearchError};

/// Most characters of a value of the request that a text repeats.
const SHOWN_CHARS: usize = 128;

/// True if Milvus 2.3.5 takes the request and means something else, or does not have it, so that it has no words.
pub(super) fn is_newer(error: &SearchError) -> bool {
    use SearchError as E;
    matches!(
        error,
        E::Unsupported(_)
            | E::NoGroup(_)
            | E::GroupSize { .. }
            | E::IteratorFlag
            | E::InIterator(_)
            | E::LastBound(_)
            | E::Searches { .. }
            | E::OtherQueries { .. }
            | E::Strategy(_)
            | E::RankParams(_)
            | E::RankConstant { .. }
            | E::NoWeights
            | E::Weights(_)
            | E::Weight(_)
            | E::WeightCount { .. }
            | E::NormScore(_)
    )
}

pub(super) fn text(error: &SearchError) -> String {
    use SearchError as E;
    match error {
        E::Missing(key) => format!("{key} not found in search_params"),
        E::NotANumber { key, value } => format!("{key} [{}] is invalid", shown(value)),
        E::OutOfRange { what, got, most } => {
            format!("{what} [{got}] is invalid, top k should be in range [1, {most}], but got {got}")
        }
        E::RoundDecimal(value) => {
            format!("round_decimal [{}] is invalid, should be -1 or an integer in range [0, 6]", shown(value))
        }
        E::GrowingFlag(_) => "parse search growing failed".to_owned(),
        E::Unsupported(_) => error.to_string(),
        E::IteratorFlag => "both iterator and search_iter_v2 must be set in the SDK".to_owned(),
        E::InIterator(what) => format!("not allowed to have {what} when doing iteration"),
        E::LastBound(value) => format!("failed to parse input last bound: [{}] is no number", shown(value)),
        E::Params(why) => failed(format_args!("params: {why}")),
        E::Bound { key, value } => failed(format_args!("{key}: type must be number, but is {}", shown(value))),
        E::EmptyRange { metric, .. } if metric.greater_is_nearer() => {
            failed("range_filter must be greater than radius for IP/COSINE")
        }
        E::EmptyRange { .. } => failed("range_filter must be less than radius for L2/HAMMING/JACCARD"),
        E::NoRange(_) => failed("failed to range search: invalid metric type: failed to brute force search"),
        E::Queries { got, most } => format!(
            "nq [{got}] is invalid, nq (number of search vector per search request) should be in range [1, {most}], but \
             got {got}"
        ),
        E::ClaimedQueries { claimed, got } => {
            failed(format_args!("illegal req sizes, slice_nqs_prefix_sum_[last] = {claimed}, total_nq = {got}"))
        }
        E::Placeholders(why) => failed(format_args!("placeholder group: {why}")),
        E::OtherVectors { field, expected, got } => failed(format_args!(
            "vector type must be the same, field {field} - type {expected}, search info type {got}"
        )),
        E::Dimension { expected, got } => {
            failed(format_args!("vector dimension mismatch, expected vector size(byte) {expected}, actual {got}"))
        }
        E::NoPartition(name) => format!("partition name {} not found", shown(name)),
        E::IndexParam(error) => failed(index_param(*error)),
        E::NoGroup(name) => format!("groupBy field not found in schema: field not found[field={}]", shown(name)),
        E::GroupSize { got, most } if *got > 0 => {
            format!("input group size:{got} exceeds configured max group size:{most}")
        }
        E::GroupSize { got, .. } => format!("input group size:{got} is negative, failed to do search_groupby"),
        E::GroupType { data_type, .. } => {
            failed(format_args!("unsupported data type {data_type} for group by operator"))
        }
        E::Searches { got: 0, .. } => "minimum of ann search requests is 1".to_owned(),
        E::Searches { got, most } => format!("maximum of ann search requests is {most}, but got {got}"),
        E::OtherQueries { search, expected, got } => format!(
            "nq should be the same in hybrid search: invalid parameter[expected={expected}][actual={got}]: request {search}"
        ),
        E::Strategy(name) => format!("unsupported rank type {}, expected rrf or weighted", shown(name)),
        E::RankParams(why) => format!("parse rerank params failed: {why}"),
        E::RankConstant { got, most } => {
            format!("The rank params k should be in range (0, {most}), but got {}", shown(got))
        }
        E::NoWeights => "weights not found in rank_params".to_owned(),
        E::Weights(got) => format!("the weights param should be an array of numbers, but got {}", shown(got)),
        E::Weight(got) => format!("rank param weight should be in range [0, 1], but got {}", shown(got)),
        E::WeightCount { expected, got } => format!(
            "the length of weights param mismatch with ann search requests: invalid parameter[expected={expected}][actual={got}]"
        ),
        E::NormScore(got) => format!("the type of rank param norm_score should be bool, but got {}", shown(got)),
        E::NoVectorField => "anns_field not found in schema".to_owned(),
        E::NoField(name) => format!(
            "failed to create query plan: failed to get field schema by name: fieldName({}) not found",
            shown(name)
        ),
        E::NotAVector(name) => {
            format!("failed to create query plan: field ({name}) to search is not of vector data type")
        }
        E::OtherMetric { collection, expected, got } => failed(format_args!(
            "collection:{collection}, metric type not match: invalid parameter[expected={expected}][actual={}]",
            shown(got)
        )),
        E::MetricOfOtherVectors { .. } => failed("Data type and metric type miss-match"),
    }
}

/// Refused by the part that searches.
fn failed(why: impl Display) -> String {
    format!("failed to search: {why}")
}

/// As the index library of Milvus says it.
fn index_param(error: IndexParamError) -> String {
    use IndexParamError as E;
    match error {
        E::Type(key) => format!("type conflict in json: param {key} should be integer"),
        E::Text(_) => "invalid value in json: stoi".to_owned(),
        E::Overflow(key) => format!("arithmetic overflow: param {key} should be at most 2147483647"),
        E::OutOfRange { key, most } => format!("out of range in json: param {key} out of range [ 1,{most} ]"),
        E::Below { key, got, wanted } => {
            format!("out of range in json: {key}({got}) should be larger than k({wanted})")
        }
        E::SearchList { got, wanted } => format!(
            "out of range in json: search_list_size should be in range: [topk, max(200, topk * 10)], topk = {wanted}, \
             search_list_size = {got}"
        ),
    }
}

/// The beginning of a long text.
fn shown(text: &str) -> &str {
    text.char_indices().nth(SHOWN_CHARS).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}
