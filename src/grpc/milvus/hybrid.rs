//! Hybrid search: several searches of one collection, whose results become one.
//!
//! Every search brings vectors, an expression and parameters; collection, partitions, output fields, limit and offset are
//! those of the whole request. Must never drop a part of a request that would change its answer: it is refused.

use super::{
    call_error::{refused, unsupported},
    members::{check_namespace, check_search},
    query::read_partitions,
    search::{
        Searched,
        params::{SearchParams, decimals, ignore_growing, number, offset, value, window},
        queries, results,
    },
    *,
};
use crate::{
    json::tree,
    memory::Account,
    model::{CollectionSchema, SearchError},
    standalone::{Fusion, HybridRequest, MOST_SEARCHES, Rows, SearchRequest as Wanted},
    wire::{
        proto::{
            common::KeyValuePair,
            schema::{FunctionScore, FunctionType},
        },
        status,
    },
};

/// The constant of reciprocal ranks, unless the request gives it.
const USUAL_K: f64 = 60.0;
/// It is below this.
const MOST_K: u32 = 16_384;

impl MilvusApi {
    /// The answer, and the memory that it takes until it is sent.
    pub(super) async fn do_hybrid_search(
        &self,
        request: Request<HybridSearchRequest>,
    ) -> Outcome<(SearchResults, Account)> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        check_namespace(request.namespace.as_ref())?;
        // Held until the call is answered.
        let mut memory = self.growth.of_call(0);
        let asked = (request.partition_names.as_slice(), request.output_fields.as_slice());
        let Searched { meta, output } = Searched::of(&cell, asked, &mut memory)?;
        let schema = &meta.schema;
        let count = request.requests.len();
        if !(1..=MOST_SEARCHES).contains(&count) {
            return Err(refused(SearchError::Searches { got: count, most: MOST_SEARCHES }));
        }
        let rank = RankParams::read(&request.rank_params).map_err(refused)?;
        let fusion = match &request.function_score {
            _ if !request.function_chains.is_empty() => return Err(unsupported("a chain of functions")),
            Some(score) => function(score)?,
            None => strategy(&request.rank_params),
        };
        let fusion = fusion.and_then(|fusion| for_searches(fusion, count)).map_err(refused)?;
        let partitions = read_partitions(&meta, &request.partition_names, status::of_search_refusal)?;
        let searches = request.requests.iter().map(|search| self.wanted(search, schema, &rank));
        let mut searches = searches.collect::<Outcome<Vec<Wanted>>>()?;
        let (mut ignore_growing, mut queries) = Default::default();
        if let Some(first) = searches.first_mut() {
            (ignore_growing, queries) = (first.rows.ignore_growing, first.queries.len());
            // It gives them for all. A list in each search would take a thousand times the memory.
            first.rows.partitions = Some(partitions);
        }
        if searches.iter().any(|search| search.rows.ignore_growing != ignore_growing) {
            return Err(unsupported("ignore_growing in some searches of a hybrid search"));
        }
        let fields = output.fields.clone();
        let wanted = HybridRequest { searches, fusion, limit: rank.limit, offset: rank.offset, fields };
        let found = self.standalone.hybrid_search(&cell, wanted).await?;
        let results = Some(results(schema, &output, &found, queries, rank.decimals)?);
        let collection_name = request.collection_name;
        Ok((SearchResults { results, collection_name, ..Default::default() }, found.memory))
    }

    /// One of the searches.
    fn wanted(&self, request: &SearchRequest, schema: &CollectionSchema, rank: &RankParams) -> Outcome<Wanted> {
        check_search(request)?;
        // Milvus ignores the offset of a search. Without a limit of its own it finds the rows that the whole request needs.
        let mut pairs: Vec<KeyValuePair> = Vec::with_capacity(request.search_params.len() + 1);
        pairs.extend(request.search_params.iter().filter(|pair| pair.key != "offset").cloned());
        if value(&pairs, "topk").is_none() {
            pairs.push(KeyValuePair { key: "topk".to_owned(), value: (rank.limit + rank.offset).to_string() });
        }
        let params = SearchParams::read(&pairs).map_err(refused)?;
        if params.is_grouped() {
            return Err(unsupported(GROUPS));
        }
        let field = params.field(schema)?;
        Ok(Wanted {
            rows: Rows {
                filter: self.search_filter(request, schema)?,
                partitions: None,
                ignore_growing: rank.ignore_growing.unwrap_or(params.ignore_growing),
            },
            field: field.id,
            metric: params.metric.to_owned(),
            queries: queries(request, field)?,
            limit: params.limit,
            offset: 0,
            range: params.range,
            group: None,
            page: None,
            fields: Vec::new(),
            asked: params.asked,
        })
    }
}

const GROUPS: &str = "group_by_field in a hybrid search";

/// The parameters of the whole request.
#[derive(Debug, PartialEq, Eq)]
struct RankParams {
    limit: u64,
    offset: u64,
    /// None: values are not rounded.
    decimals: Option<u32>,
    /// None: each search says it.
    ignore_growing: Option<bool>,
}

impl RankParams {
    fn read(pairs: &[KeyValuePair]) -> Result<Self, SearchError> {
        let limit = number("limit", value(pairs, "limit").ok_or(SearchError::Missing("limit"))?)?;
        let limit = window("limit", limit)?;
        let offset = offset(pairs)?;
        window("offset+limit", (limit + offset) as i64)?;
        if value(pairs, "group_by_field").is_some_and(|field| !field.is_empty()) {
            return Err(SearchError::Unsupported(GROUPS.to_owned()));
        }
        Ok(Self { limit, offset, decimals: decimals(pairs)?, ignore_growing: ignore_growing(pairs)? })
    }
}

/// The strategy of the parameters; without one reciprocal ranks.
fn strategy(pairs: &[KeyValuePair]) -> Result<Fusion, SearchError> {
    let Some(name) = value(pairs, "strategy") else { return reciprocal(None) };
    let params = value(pairs, "params").unwrap_or("{}");
    let params: serde_json::Value = tree(params.as_bytes()).map_err(|e| SearchError::RankParams(e.to_string()))?;
    if !params.is_object() {
        return Err(SearchError::RankParams("they are no object".to_owned()));
    }
    fusion(name, |key| params.get(key).cloned())
}

/// The function that ranks, of clients that send one instead of a strategy.
fn function(score: &FunctionScore) -> Outcome<Result<Fusion, SearchError>> {
    let [function] = score.functions.as_slice() else {
        return Err(unsupported(&format!("a ranking by {} functions", score.functions.len())));
    };
    if function.r#type != i32::from(FunctionType::Rerank) {
        return Err(unsupported(&format!("a ranking by a function of type {}", function.r#type)));
    }
    if !function.input_field_names.is_empty() {
        return Err(unsupported("a ranking by fields"));
    }
    let named = |key: &str| function.params.iter().find(|pair| pair.key.eq_ignore_ascii_case(key));
    // Numbers, lists and flags are sent as texts.
    let parsed = |key: &str| {
        let text = named(key)?.value.as_str();
        let flag = query::go_bool(text).filter(|_| key == NORM_SCORE).map(serde_json::Value::from);
        Some(flag.or_else(|| tree(text.as_bytes()).ok()).unwrap_or_else(|| text.into()))
    };
    Ok(fusion(named("reranker").map_or("", |pair| pair.value.as_str()), parsed))
}

const NORM_SCORE: &str = "norm_score";

fn fusion(name: &str, param: impl Fn(&str) -> Option<serde_json::Value>) -> Result<Fusion, SearchError> {
    match name.to_ascii_lowercase().as_str() {
        "rrf" => reciprocal(param("k")),
        "weighted" => {
            let given = param("weights").ok_or(SearchError::NoWeights)?;
            let list = given.as_array().ok_or_else(|| SearchError::Weights(given.to_string()))?;
            let weight = |given: &serde_json::Value| match given.as_f64() {
                None => Err(SearchError::Weights(given.to_string())),
                Some(weight) if (0.0..=1.0).contains(&weight) => Ok(weight as f32),
                Some(_) => Err(SearchError::Weight(given.to_string())),
            };
            let weights = list.iter().map(weight).collect::<Result<_, _>>()?;
            let normalized = match param(NORM_SCORE) {
                None => false,
                Some(given) => {
                    let flag = given.as_bool().or_else(|| given.as_str().and_then(query::go_bool));
                    flag.ok_or_else(|| SearchError::NormScore(given.to_string()))?
                }
            };
            Ok(Fusion::Weighted { weights, normalized })
        }
        _ => Err(SearchError::Strategy(name.to_owned())),
    }
}

fn reciprocal(k: Option<serde_json::Value>) -> Result<Fusion, SearchError> {
    let given = k.unwrap_or_else(|| USUAL_K.into());
    let k = given.as_f64().filter(|k| *k > 0.0 && *k < f64::from(MOST_K));
    let k = k.ok_or_else(|| SearchError::RankConstant { got: given.to_string(), most: MOST_K })?;
    Ok(Fusion::Reciprocal { k: k as f32 })
}

/// A fusion that has a weight for each search.
fn for_searches(fusion: Fusion, count: usize) -> Result<Fusion, SearchError> {
    match &fusion {
        Fusion::Weighted { weights, .. } if weights.is_empty() => Err(SearchError::NoWeights),
        Fusion::Weighted { weights, .. } if weights.len() != count => {
            Err(SearchError::WeightCount { expected: count, got: weights.len() })
        }
        _ => Ok(fusion),
    }
}

#[cfg(test)]
mod tests;
