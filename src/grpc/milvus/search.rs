//! Search: the nearest rows of query vectors.

use arrow_array::RecordBatch;

use super::{
    call_error::rejected,
    query::{Output, go_bool, read_partitions, with_values},
    *,
};
use crate::{
    ids,
    memory::Account,
    model::{CollectionSchema, Field, RequestError, SearchError},
    standalone::{
        AskedEffort, BoundExpr, Grouping, Page, QueryVectors, Range, Rows, SearchAnswer, SearchRequest as Wanted,
        compile_filter,
    },
    wire::{
        proto::{
            common::KeyValuePair,
            milvus::search_request::SearchInput,
            schema::{FieldData, SearchIteratorV2Results, SearchResultData},
        },
        rows::{answer as columns, queries::query_vectors},
        status,
    },
};

/// Most rows of a query vector, those that the offset skips included, as in Milvus.
const MOST_ROWS: u64 = 16_384;
/// Most rows of a group, as in Milvus unless it is configured.
const MOST_MEMBERS: u64 = 10;
/// Most query vectors of a search, as in Milvus.
const MOST_QUERIES: u64 = 16_384;

impl MilvusApi {
    /// The answer, and the memory that it takes until it is sent.
    pub(super) async fn do_search(&self, request: Request<SearchRequest>) -> Outcome<(SearchResults, Account)> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let meta = cell.meta();
        let schema = &meta.schema;
        check_partitions(schema, &request.partition_names)?;
        let output = Output::of(schema, &request.output_fields)?;
        let params = Params::of(&request.search_params)?;
        let field = params.field(schema)?;
        let group = params.group(schema)?;
        let mut fields = output.fields.clone();
        fields.extend(group.map(|group| group.id).filter(|id| !output.fields.contains(id)));
        let queries = queries(&request, field)?;
        if params.iterator.is_some() && queries.len() != 1 {
            return Err(refused(SearchError::InIterator("several query vectors")));
        }
        let filter = filter(&request, schema)?;
        let partitions = Some(read_partitions(&meta, &request.partition_names, status::of_search_refusal)?);
        let count = queries.len();
        let wanted = Wanted {
            rows: Rows { filter, partitions, ignore_growing: params.ignore_growing },
            field: field.id,
            metric: params.metric.to_owned(),
            queries,
            limit: params.limit,
            offset: params.offset,
            range: params.range,
            group: group.map(|group| Grouping { field: group.id, size: params.group_size }),
            page: params.iterator.as_ref().map(|iterator| iterator.page),
            fields: fields.clone(),
            asked: params.asked,
        };
        let found = self.standalone.search(&cell, wanted).await?;
        let mut results = results(schema, &output, &found, count, params.decimals)?;
        if let Some(group) = group {
            let column = fields.iter().zip(found.rows.columns()).find(|(id, _)| **id == group.id);
            let (_, column) = column.ok_or_else(|| rejected("the answer has no groups"))?;
            let values = columns::field_data(group, column).map_err(|error| rejected(error.to_string()))?;
            results.group_by_field_value = Some(values);
        }
        let mut answer = SearchResults { collection_name: request.collection_name, ..Default::default() };
        if let (Some(iterator), Some(last_bound)) = (params.iterator, found.end) {
            let token = match iterator.token {
                "" => ids::unique_name().to_string(),
                token => token.to_owned(),
            };
            results.search_iterator_v2_results = Some(SearchIteratorV2Results { token, last_bound });
            // Clients send it back with the next page, and warn if there is none.
            answer.session_ts = self.standalone.timestamp().await?.0;
        }
        answer.results = Some(results);
        Ok((answer, found.memory))
    }
}

pub(super) fn refused(error: SearchError) -> CallError {
    RequestError::from(error).into()
}

pub(super) fn unsupported(what: &str) -> CallError {
    refused(SearchError::Unsupported(what.to_owned()))
}

/// Clients can't name partitions if a partition key chooses them.
pub(super) fn check_partitions(schema: &CollectionSchema, named: &[String]) -> Outcome<()> {
    match named.first() {
        Some(name) if schema.partition_key().is_some() => Err(RequestError::PartitionByKey(name.clone()).into()),
        _ => Ok(()),
    }
}

/// The vectors of a request.
pub(super) fn queries(request: &SearchRequest, field: &Field) -> Outcome<QueryVectors> {
    let found = match &request.search_input {
        Some(SearchInput::Ids(_)) => return Err(unsupported("a search by primary keys")),
        _ if request.search_by_primary_keys => return Err(unsupported("a search by primary keys")),
        Some(SearchInput::PlaceholderGroup(group)) => query_vectors(group, request.nq, field, MOST_QUERIES),
        None => query_vectors(&bytes::Bytes::new(), request.nq, field, MOST_QUERIES),
    };
    Ok(QueryVectors::new(found.map_err(refused)?, field.vector_bytes()))
}

/// The expression of a request.
pub(super) fn filter(request: &SearchRequest, schema: &CollectionSchema) -> Outcome<Option<BoundExpr>> {
    let expr = with_values(&request.dsl, &request.expr_template_values)?;
    compile_filter(&expr, schema).map_err(|error| rejected(format!("failed to create query plan: {error}")))
}

/// The message. The first column of the rows is the primary key, which is a column of the answer only if it was asked for.
pub(super) fn results(
    schema: &CollectionSchema,
    output: &Output,
    found: &SearchAnswer,
    queries: usize,
    decimals: Option<u32>,
) -> Outcome<SearchResultData> {
    let SearchAnswer { counts, scores, rows, .. } = found;
    let key = schema.primary_key();
    let ids = columns::ids(key, first(rows)?).map_err(|error| rejected(error.to_string()))?;
    let mut fields_data: Vec<FieldData> = output.columns(schema, rows)?;
    let mut output_fields = output.names(schema);
    if !output.has_key {
        fields_data.remove(0);
        output_fields.remove(0);
    }
    Ok(SearchResultData {
        num_queries: queries as i64,
        // Milvus gives the number of the last one.
        top_k: counts.last().map_or(0, |count| *count as i64),
        fields_data,
        scores: scores.iter().map(|score| rounded(*score, decimals)).collect(),
        ids: Some(ids),
        topks: counts.iter().map(|count| *count as i64).collect(),
        output_fields,
        primary_field_name: key.name.clone(),
        ..Default::default()
    })
}

fn first(rows: &RecordBatch) -> Outcome<&arrow_array::ArrayRef> {
    rows.columns().first().ok_or_else(|| rejected("the answer has no primary key"))
}

/// As Milvus computes it, in single precision.
fn rounded(score: f32, decimals: Option<u32>) -> f32 {
    match decimals {
        None => score,
        Some(decimals) => {
            let factor = 10f32.powi(decimals as i32);
            (score * factor).round() / factor
        }
    }
}

/// The parameters of a search.
#[derive(Debug, PartialEq)]
pub(super) struct Params<'r> {
    /// Empty: the only vector field.
    anns_field: &'r str,
    /// Empty: that of the index.
    pub(super) metric: &'r str,
    pub(super) limit: u64,
    offset: u64,
    /// None: scores are not rounded.
    decimals: Option<u32>,
    pub(super) range: Option<Range>,
    pub(super) ignore_growing: bool,
    /// Empty: rows are not grouped.
    group: &'r str,
    /// Most rows of a group.
    group_size: u64,
    /// The search is for a page of an iterator.
    iterator: Option<Iteration<'r>>,
    pub(super) asked: AskedEffort,
}

/// An iterator of clients of 2.5 and later. Nothing of it is kept here: each page says where the page before ended.
#[derive(Debug, PartialEq)]
struct Iteration<'r> {
    /// The name of the iterator; empty: this is its first page.
    token: &'r str,
    page: Page,
}

impl<'r> Iteration<'r> {
    /// The iterator, and the number of rows of its page.
    fn read(pairs: &'r [KeyValuePair]) -> Result<Option<(Self, u64)>, SearchError> {
        let get = |key: &str| value(pairs, key);
        let is_set = |key: &str| get(key).and_then(go_bool).unwrap_or(false);
        if !is_set("search_iter_v2") {
            return Ok(None);
        }
        if !is_set("iterator") {
            return Err(SearchError::IteratorFlag);
        }
        if get("group_by_field").is_some_and(|field| !field.is_empty()) {
            return Err(SearchError::InIterator("group_by_field"));
        }
        if offset(pairs)? > 0 {
            return Err(SearchError::InIterator("an offset"));
        }
        const SIZE: &str = "search_iter_batch_size";
        let size = window(SIZE, number(SIZE, get(SIZE).ok_or(SearchError::Missing(SIZE))?)?)?;
        let after = get("search_iter_last_bound").filter(|bound| !bound.is_empty()).map(|bound| {
            let number = bound.parse::<f32>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| SearchError::LastBound(bound.to_owned()))
        });
        let iterator = Self { token: get("search_iter_id").unwrap_or(""), page: Page { after: after.transpose()? } };
        Ok(Some((iterator, size)))
    }
}

impl<'r> Params<'r> {
    fn of(pairs: &'r [KeyValuePair]) -> Outcome<Self> {
        Self::read(pairs).map_err(refused)
    }

    pub(super) fn read(pairs: &'r [KeyValuePair]) -> Result<Self, SearchError> {
        let get = |key: &str| value(pairs, key);
        let ignore_growing = ignore_growing(pairs)?.unwrap_or(false);
        // Groups have all the rows that they can have, so `strict_group_size` changes nothing.
        let group_size = match get("group_size") {
            None => 1,
            Some(size) => {
                let got = number("group_size", size)?;
                let size = u64::try_from(got).ok().filter(|size| (1..=MOST_MEMBERS).contains(size));
                size.ok_or(SearchError::GroupSize { got, most: MOST_MEMBERS })?
            }
        };
        let group = get("group_by_field").unwrap_or("");
        let (iterator, size) = Iteration::read(pairs)?.unzip();
        let limit = match size {
            Some(size) => size,
            None => window("topk", number("topk", get("topk").ok_or(SearchError::Missing("topk"))?)?)?,
        };
        let offset = offset(pairs)?;
        window("offset+topk", (limit + offset) as i64)?;
        let decimals = decimals(pairs)?;
        let metric = get("metric_type").unwrap_or("");
        let inner = get("params").filter(|text| !text.is_empty()).map(json).transpose()?;
        let range = inner.as_ref().map_or(Ok(None), range)?;
        let asked = inner.as_ref().map(effort).unwrap_or_default();
        let anns_field = get("anns_field").unwrap_or("");
        Ok(Self {
            anns_field,
            metric,
            limit,
            offset,
            decimals,
            range,
            ignore_growing,
            group,
            group_size,
            iterator,
            asked,
        })
    }

    pub(super) fn is_grouped(&self) -> bool {
        !self.group.is_empty()
    }

    fn group<'s>(&self, schema: &'s CollectionSchema) -> Outcome<Option<&'s Field>> {
        match self.group {
            "" => Ok(None),
            name => schema.field(name).map(Some).ok_or_else(|| refused(SearchError::NoGroup(name.to_owned()))),
        }
    }

    pub(super) fn field<'s>(&self, schema: &'s CollectionSchema) -> Outcome<&'s Field> {
        let vectors = || schema.fields.iter().find(|field| field.data_type.is_vector());
        let field = match self.anns_field {
            "" => vectors().ok_or(SearchError::NoVectorField),
            name => schema.field(name).ok_or_else(|| SearchError::NoField(name.to_owned())),
        };
        let field = field.map_err(refused)?;
        if field.data_type.is_vector() { Ok(field) } else { Err(refused(SearchError::NotAVector(field.name.clone()))) }
    }
}

pub(super) fn value<'r>(pairs: &'r [KeyValuePair], key: &str) -> Option<&'r str> {
    pairs.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str())
}

/// None: the request does not say.
pub(super) fn ignore_growing(pairs: &[KeyValuePair]) -> Result<Option<bool>, SearchError> {
    let flag = |value: &str| go_bool(value).ok_or_else(|| SearchError::GrowingFlag(value.to_owned()));
    value(pairs, "ignore_growing").map(flag).transpose()
}

pub(super) fn offset(pairs: &[KeyValuePair]) -> Result<u64, SearchError> {
    match value(pairs, "offset").map(|value| number("offset", value)).transpose()? {
        None | Some(0) => Ok(0),
        Some(offset) => window("offset", offset),
    }
}

/// Places that scores are rounded to. None: they are not rounded.
pub(super) fn decimals(pairs: &[KeyValuePair]) -> Result<Option<u32>, SearchError> {
    match value(pairs, "round_decimal") {
        None | Some("-1") => Ok(None),
        Some(value) => {
            let decimals = value.parse().ok().filter(|decimals| *decimals <= 6);
            decimals.map(Some).ok_or_else(|| SearchError::RoundDecimal(value.to_owned()))
        }
    }
}

pub(super) fn number(key: &'static str, value: &str) -> Result<i64, SearchError> {
    value.parse().map_err(|_| SearchError::NotANumber { key, value: value.to_owned() })
}

/// A number of rows.
pub(super) fn window(what: &'static str, got: i64) -> Result<u64, SearchError> {
    let rows = u64::try_from(got).ok().filter(|rows| (1..=MOST_ROWS).contains(rows));
    rows.ok_or(SearchError::OutOfRange { what, got, most: MOST_ROWS })
}

/// The parameters of the index.
fn json(text: &str) -> Result<serde_json::Value, SearchError> {
    serde_json::from_str(text).map_err(|e| SearchError::Params(e.to_string()))
}

/// How thoroughly the index is to be searched. A parameter that is no number is ignored.
fn effort(params: &serde_json::Value) -> AskedEffort {
    let number = |key| params.get(key).and_then(serde_json::Value::as_u64);
    AskedEffort { ef: number("ef"), nprobe: number("nprobe"), search_list: number("search_list") }
}

/// The bounds among the parameters of the index. Without a radius there are none.
fn range(params: &serde_json::Value) -> Result<Option<Range>, SearchError> {
    let bound = |key: &'static str| match params.get(key) {
        None => Ok(None),
        Some(value) => {
            let wrong = || SearchError::Bound { key, value: value.to_string() };
            value.as_f64().map(|number| Some(number as f32)).ok_or_else(wrong)
        }
    };
    let Some(radius) = bound("radius")? else { return Ok(None) };
    Ok(Some(Range { radius, near: bound("range_filter")? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(given: &[(&str, &str)]) -> Vec<KeyValuePair> {
        let pair = |(key, value): &(&str, &str)| KeyValuePair { key: (*key).to_owned(), value: (*value).to_owned() };
        given.iter().map(pair).collect()
    }

    /// Codes and texts of Milvus 2.3.5.
    #[test]
    fn refusals_of_parameters() {
        let top = |what: &str, got: i64| {
            format!("{what} [{got}] is invalid, top k should be in range [1, 16384], but got {got}")
        };
        let decimal =
            |value: &str| format!("round_decimal [{value}] is invalid, should be -1 or an integer in range [0, 6]");
        for (given, reason) in [
            (&[][..], "topk not found in search_params".to_owned()),
            (&[("topk", "x")], "topk [x] is invalid".to_owned()),
            (&[("topk", "")], "topk [] is invalid".to_owned()),
            (&[("topk", "0")], top("topk", 0)),
            (&[("topk", "-1")], top("topk", -1)),
            (&[("topk", "16385")], top("topk", 16_385)),
            (&[("topk", "9223372036854775807")], top("topk", i64::MAX)),
            (&[("topk", "16384"), ("offset", "1")], top("offset+topk", 16_385)),
            (&[("topk", "1"), ("offset", "-1")], top("offset", -1)),
            (&[("topk", "1"), ("offset", "16385")], top("offset", 16_385)),
            (&[("topk", "1"), ("offset", "x")], "offset [x] is invalid".to_owned()),
            (&[("topk", "1"), ("round_decimal", "7")], decimal("7")),
            (&[("topk", "1"), ("round_decimal", "-2")], decimal("-2")),
            (&[("topk", "1"), ("round_decimal", "x")], decimal("x")),
            (&[("topk", "1"), ("ignore_growing", "x")], "parse search growing failed".to_owned()),
            (
                &[("topk", "1"), ("params", r#"{"radius": "3"}"#)],
                r#"fail to search: radius: type must be number, but is "3""#.to_owned(),
            ),
            (
                &[("topk", "1"), ("params", r#"{"radius": null}"#)],
                "fail to search: radius: type must be number, but is null".to_owned(),
            ),
        ] {
            let CallError(status) = Params::of(&pairs(given)).unwrap_err();
            assert_eq!((status.code, status.error_code, status.reason), (65535, 1, reason), "{given:?}");
        }
        for params in ["{", "{]", "1e999", &"[".repeat(1 << 20)] {
            let given = pairs(&[("topk", "1"), ("params", params)]);
            let CallError(status) = Params::of(&given).unwrap_err();
            assert!(status.reason.starts_with("fail to search: params: "), "{}", status.reason);
        }
    }

    #[test]
    fn parameters_as_clients_send_them() {
        let plain = Params {
            anns_field: "",
            metric: "",
            limit: 10,
            offset: 0,
            decimals: None,
            range: None,
            ignore_growing: false,
            group: "",
            group_size: 1,
            iterator: None,
            asked: AskedEffort::default(),
        };
        let given = pairs(&[("topk", "10")]);
        assert_eq!(Params::of(&given).unwrap(), plain);
        let given = pairs(&[
            ("anns_field", "v"),
            ("topk", "10"),
            ("params", r#"{"nprobe": 10, "radius": 2, "range_filter": 0.5}"#),
            ("metric_type", "L2"),
            ("round_decimal", "3"),
            ("ignore_growing", "True"),
            ("offset", "5"),
        ]);
        let range = Some(Range { radius: 2.0, near: Some(0.5) });
        let full = Params {
            anns_field: "v",
            metric: "L2",
            offset: 5,
            decimals: Some(3),
            range,
            ignore_growing: true,
            asked: AskedEffort { nprobe: Some(10), ..AskedEffort::default() },
            ..plain
        };
        assert_eq!(Params::of(&given).unwrap(), full);
        // None of these is an error in Milvus.
        for params in ["", "{}", "[]", "7", r#"{"range_filter": 1, "ef": "x"}"#] {
            let given = pairs(&[("topk", "10"), ("params", params), ("round_decimal", "-1"), ("offset", "0")]);
            assert_eq!(Params::of(&given).unwrap().range, None, "{params}");
        }
    }

    /// As pymilvus 2.6 sends a page.
    #[test]
    fn pages_of_iterators() {
        let set = [("iterator", "True"), ("search_iter_v2", "True")];
        let page = |more: &[(&'static str, &'static str)]| pairs(&[&set[..], more].concat());
        for (more, limit, token, after) in [
            (&[("topk", "1000"), ("search_iter_batch_size", "20")][..], 20, "", None),
            (&[("search_iter_batch_size", "1"), ("search_iter_id", "a"), ("search_iter_last_bound", "")], 1, "a", None),
            (&[("search_iter_batch_size", "1"), ("search_iter_last_bound", "1e-05")], 1, "", Some(1e-5)),
            (
                &[("search_iter_batch_size", "16384"), ("search_iter_last_bound", "-3.4028234663852886e+38")],
                16_384,
                "",
                Some(f32::MIN),
            ),
        ] {
            let given = page(more);
            let params = Params::of(&given).unwrap();
            assert_eq!(params.iterator, Some(Iteration { token, page: Page { after } }), "{more:?}");
            assert_eq!(params.limit, limit);
        }
        let batch = ("search_iter_batch_size", "20");
        for (more, code, text) in [
            (&[][..], 65535, "search_iter_batch_size not found in search_params"),
            (&[("search_iter_batch_size", "x")], 65535, "search_iter_batch_size [x] is invalid"),
            (&[("search_iter_batch_size", "0")], 65535, "search_iter_batch_size [0] is invalid, top k"),
            (&[("search_iter_batch_size", "16385")], 65535, "search_iter_batch_size [16385] is invalid, top k"),
            (&[batch, ("offset", "1")], 1100, "not allowed to have an offset when doing iteration"),
            (&[batch, ("group_by_field", "f")], 1100, "not allowed to have group_by_field when doing iteration"),
            (&[batch, ("search_iter_last_bound", "x")], 1100, "failed to parse input last bound: [x] is no number"),
            (&[batch, ("search_iter_last_bound", "nan")], 1100, "failed to parse input last bound: [nan] is no number"),
        ] {
            let CallError(status) = Params::of(&page(more)).unwrap_err();
            assert!(
                status.code == code && status.reason.starts_with(text),
                "{more:?}: {} {}",
                status.code,
                status.reason
            );
        }
        let CallError(status) = Params::of(&pairs(&[set[1], batch])).unwrap_err();
        assert_eq!(status.reason, "both iterator and search_iter_v2 must be set in the SDK");
        // The iterator of older clients, which counts by ranges.
        assert_eq!(Params::of(&pairs(&[set[0], ("topk", "5")])).unwrap().iterator, None);
    }

    /// Texts of Milvus 2.6.
    #[test]
    fn groups_have_a_size() {
        for (size, expected) in [
            ("1", Ok(1)),
            ("10", Ok(10)),
            ("11", Err((1100, "input group size:11 exceeds configured max group size:10"))),
            ("0", Err((1100, "input group size:0 is negative, failed to do search_groupby"))),
            ("-1", Err((1100, "input group size:-1 is negative, failed to do search_groupby"))),
            ("x", Err((65535, "group_size [x] is invalid"))),
        ] {
            let given =
                pairs(&[("topk", "1"), ("group_by_field", "f"), ("group_size", size), ("strict_group_size", "True")]);
            let found = Params::of(&given).map(|params| params.group_size);
            let found = found.map_err(|CallError(status)| (status.code, status.reason));
            assert_eq!(found, expected.map_err(|(code, text)| (code, text.to_owned())), "{size}");
        }
    }

    #[test]
    fn scores_are_rounded_to_places() {
        for (score, decimals, expected) in [
            (0.160_000_01, None, 0.160_000_01),
            (0.160_000_01, Some(1), 0.2),
            (2.56, Some(1), 2.6),
            (2.56, Some(0), 3.0),
            (-0.05, Some(1), -0.1),
            (0.123_456_7, Some(6), 0.123_457),
        ] {
            assert_eq!(rounded(score, decimals), expected, "{score} {decimals:?}");
        }
    }
}
