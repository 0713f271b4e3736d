//! Why a search is refused: values and limits, and no wire code. `wire::status` words it for clients of Milvus.

use super::{CollectionId, Metric};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// A parameter that every search has.
    #[error("the search has no {0}")]
    Missing(&'static str),
    /// A parameter that is no number.
    #[error("{key} is {value}, expected a whole number")]
    NotANumber { key: &'static str, value: String },
    /// `what` is the parameter, or two that count together.
    #[error("{what} is {got}, expected 1 to {most}")]
    OutOfRange { what: &'static str, got: i64, most: u64 },
    #[error("round_decimal is {0}, expected -1 to 6")]
    RoundDecimal(String),
    #[error("ignore_growing is {0}, expected true or false")]
    GrowingFlag(String),
    /// The parameters of the index, which are a JSON object.
    #[error("params can't be read: {0}")]
    Params(String),
    #[error("{key} is {value}, expected a number")]
    Bound { key: &'static str, value: String },
    #[error("range_filter is {near} and radius is {radius}: no value of {metric:?} is between them")]
    EmptyRange { metric: Metric, near: String, radius: String },
    #[error("{0:?} has no ranges")]
    NoRange(Metric),
    /// A page of an iterator, whose flag for older servers is missing.
    #[error("search_iter_v2 is set, and iterator is not")]
    IteratorFlag,
    /// A parameter that a page of an iterator can't have.
    #[error("a search for a page of an iterator has {0}")]
    InIterator(&'static str),
    #[error("search_iter_last_bound is {0}, expected a number")]
    LastBound(String),
    /// Something of newer releases.
    #[error("{0} is not supported")]
    Unsupported(String),

    /// `got` is the number of query vectors.
    #[error("{got} query vectors, expected 1 to {most}")]
    Queries { got: i64, most: u64 },
    /// The request has other vectors than it says.
    #[error("nq is {claimed}, and there are {got} query vectors")]
    ClaimedQueries { claimed: i64, got: usize },
    #[error("the query vectors can't be read: {0}")]
    Placeholders(String),
    #[error("the query vectors are of type {got}, field {field} is of type {expected}")]
    OtherVectors { field: String, expected: &'static str, got: i32 },
    /// In bytes.
    #[error("a query vector has {got} bytes, the vectors of the field have {expected}")]
    Dimension { expected: usize, got: usize },

    #[error("there is no partition {0} to search")]
    NoPartition(String),
    #[error("{0}")]
    IndexParam(#[from] IndexParamError),
    #[error("there is no field {0} to group by")]
    NoGroup(String),
    #[error("group_size is {got}, expected 1 to {most}")]
    GroupSize { got: i64, most: u64 },
    #[error("rows can't be grouped by field {field} of type {data_type}")]
    GroupType { field: String, data_type: &'static str },

    /// Of a hybrid search: `got` is the number of its searches.
    #[error("{got} searches in a hybrid search, expected 1 to {most}")]
    Searches { got: usize, most: usize },
    /// The searches of a hybrid search have as many query vectors as the first one.
    #[error("search {search} of a hybrid search has {got} query vectors, the first one has {expected}")]
    OtherQueries { search: usize, expected: usize, got: usize },
    #[error("strategy is {0}, expected rrf or weighted")]
    Strategy(String),
    /// The parameters of the strategy, which are a JSON object.
    #[error("the parameters of the strategy can't be read: {0}")]
    RankParams(String),
    #[error("k is {got}, expected a number above 0 and below {most}")]
    RankConstant { got: String, most: u32 },
    #[error("the strategy has no weights")]
    NoWeights,
    #[error("weights are {0}, expected a list of numbers")]
    Weights(String),
    #[error("a weight is {0}, expected 0 to 1")]
    Weight(String),
    #[error("{got} weights, expected one for each of {expected} searches")]
    WeightCount { expected: usize, got: usize },
    #[error("norm_score is {0}, expected true or false")]
    NormScore(String),

    #[error("the collection has no vector field")]
    NoVectorField,
    #[error("there is no field {0} to search")]
    NoField(String),
    #[error("field {0} has no vectors")]
    NotAVector(String),
    /// The index of the field has another metric.
    #[error("the index of collection {collection} has metric {expected}, the search asks for {got}")]
    OtherMetric { collection: CollectionId, expected: String, got: String },
    #[error("field {field} can't be searched by {metric:?}")]
    MetricOfOtherVectors { metric: Metric, field: String },
}

/// A parameter of a search that the index does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexParamError {
    #[error("{0} is no whole number")]
    Type(&'static str),
    #[error("{0} is a text that is no number")]
    Text(&'static str),
    /// It has more than 31 bits.
    #[error("{0} is beyond 2147483647")]
    Overflow(&'static str),
    #[error("{key} is not from 1 to {most}")]
    OutOfRange { key: &'static str, most: i64 },
    /// `wanted`: rows that the search is for.
    #[error("{key} is {got}, expected at least {wanted}, the number of rows")]
    Below { key: &'static str, got: i64, wanted: i64 },
    #[error("search_list is {got}, expected {wanted} to ten times as many, or 200")]
    SearchList { got: i64, wanted: i64 },
}
