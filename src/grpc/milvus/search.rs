//! Search: the nearest rows of query vectors.

pub(super) mod params;

use arrow_array::RecordBatch;

use self::params::SearchParams;
use super::{
    call_error::{refused, rejected, unsupported},
    members::check_search,
    query::{Output, read_partitions},
    *,
};
use crate::{
    coordinator::CollectionCell,
    ids,
    memory::{Account, Extra},
    model::{Collection, CollectionSchema, Field, RequestError, SearchError},
    standalone::{BoundExpr, ExprError, Grouping, QueryVectors, Rows, SearchAnswer, SearchRequest as Wanted},
    wire::{
        proto::{
            milvus::search_request::SearchInput,
            schema::{FieldData, SearchIteratorV2Results, SearchResultData},
        },
        rows::{answer as columns, queries::query_vectors},
        status,
    },
};

/// Most query vectors of a search, as in Milvus.
const MOST_QUERIES: u64 = 16_384;

impl MilvusApi {
    /// The answer, and the memory that it takes until it is sent.
    pub(super) async fn do_search(&self, request: Request<SearchRequest>) -> Outcome<(SearchResults, Account)> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        check_search(&request)?;
        // Held until the call is answered.
        let mut memory = self.growth.of_call(0);
        let asked = (request.partition_names.as_slice(), request.output_fields.as_slice());
        let Searched { meta, output } = Searched::of(&cell, asked, &mut memory)?;
        let schema = &meta.schema;
        let params = SearchParams::of(&request.search_params)?;
        let field = params.field(schema)?;
        let group = params.group(schema)?;
        let mut fields = output.fields.clone();
        fields.extend(group.map(|group| group.id).filter(|id| !output.fields.contains(id)));
        let queries = queries(&request, field)?;
        if params.iterator.is_some() && queries.len() != 1 {
            return Err(refused(SearchError::InIterator("several query vectors")));
        }
        let filter = self.search_filter(&request, schema)?;
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

impl MilvusApi {
    /// The filter of a search.
    pub(super) fn search_filter(
        &self,
        request: &SearchRequest,
        schema: &CollectionSchema,
    ) -> Outcome<Option<BoundExpr>> {
        let words = |error: &ExprError| format!("failed to create query plan: {error}");
        self.filter(&request.dsl, &request.expr_template_values, schema, words)
    }
}

/// The definition of the collection that is searched, and the columns of the answer.
pub(super) struct Searched {
    pub(super) meta: Arc<Collection>,
    pub(super) output: Output,
}

impl Searched {
    /// Clients can't name partitions if a partition key chooses them.
    pub(super) fn of(
        cell: &CollectionCell,
        (partitions, output_fields): (&[String], &[String]),
        memory: &mut Extra,
    ) -> Outcome<Self> {
        let meta = cell.meta();
        match partitions.first() {
            Some(name) if meta.schema.partition_key().is_some() => {
                Err(RequestError::PartitionByKey(name.clone()).into())
            }
            _ => Ok(Self { output: Output::of(&meta.schema, output_fields, memory)?, meta }),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
