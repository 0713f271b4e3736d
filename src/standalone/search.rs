//! Searches: the rows that a read may see, ranked by their vectors.
//!
//! A hybrid search makes several of them over one read set.
//!
//! Must never: search a collection that is not loaded, or by another metric than that of the field's index.

use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::{FutureExt, future::BoxFuture};

use super::{
    Rows, Standalone, StandaloneError,
    asked_effort::AskedEffort,
    reads::{PinnedRead, ReadPurpose},
};
use crate::{
    coordinator::CollectionCell,
    error::{Classify, ErrorKind},
    memory::Account,
    model::{
        Collection, Field, FieldId, IndexDefinition, IndexParamError, LoadError, Metric, RequestError, SearchError,
    },
    query::{self, Found, Fusion, Grouping, Hybrid, IteratorPage, QueryError, QueryVectors, Range, ReadSet, Search},
};

/// A client's search.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    pub rows: Rows,
    /// A vector field of the collection.
    pub field: FieldId,
    /// Name of the metric; empty: that of the field's index.
    pub metric: String,
    pub queries: QueryVectors,
    pub limit: u64,
    pub offset: u64,
    pub range: Option<Range>,
    /// Rows of each group are found, not one of each key.
    pub group: Option<Grouping>,
    /// The search is for a page of an iterator, which is exact.
    pub page: Option<IteratorPage>,
    /// Columns of the answer, in this order.
    pub fields: Vec<FieldId>,
    pub asked: AskedEffort,
}

/// A client's hybrid search.
#[derive(Debug, Clone)]
pub struct HybridRequest {
    /// Of one vector field, over the same partitions and with the same `ignore_growing`, which the first one gives. Their
    /// offsets, groups, pages and columns don't count.
    pub searches: Vec<SearchRequest>,
    pub fusion: Fusion,
    pub limit: u64,
    pub offset: u64,
    /// Columns of the answer, in this order.
    pub fields: Vec<FieldId>,
}

/// Most searches of a hybrid search, as in Milvus.
pub const MOST_SEARCHES: usize = 1024;

/// Rows of each query vector, and the account of the memory that they and their messages take. It counts until both are
/// gone.
#[derive(Debug)]
pub struct SearchAnswer {
    /// Number of rows of each query vector.
    pub counts: Vec<usize>,
    /// Value of each row.
    pub scores: Vec<f32>,
    pub rows: RecordBatch,
    /// Of a page of an iterator: the value behind which the next one begins.
    pub end: Option<f32>,
    pub memory: Account,
}

/// The metric of a search: that of the field's index, which the search may name.
///
/// # Errors
/// `OtherMetric` if it names another one.
fn search_metric(collection: &Collection, field: &Field, asked: &str) -> Result<Metric, RequestError> {
    let index = collection.indexes.iter().find(|index| index.field == field.id);
    let named = index.and_then(|index| index.params.iter().find(|(key, _)| key == METRIC_KEY));
    let Some((_, indexed)) = named else {
        return match Metric::named(asked) {
            None if asked.is_empty() => Ok(Metric::default_of(field.data_type)),
            None => Err(other_metric(collection, Metric::default_of(field.data_type).name(), asked)),
            Some(metric) => Ok(metric),
        };
    };
    if !asked.is_empty() && asked != indexed {
        return Err(other_metric(collection, indexed, asked));
    }
    Metric::named(indexed).ok_or_else(|| other_metric(collection, Metric::default_of(field.data_type).name(), indexed))
}

/// The type of an index whose kind is ours to choose, so that it has no parameters.
const AUTOINDEX: &str = "AUTOINDEX";

/// The parameter of an index with its metric.
const METRIC_KEY: &str = "metric_type";

fn other_metric(collection: &Collection, expected: &str, got: &str) -> RequestError {
    SearchError::OtherMetric { collection: collection.id, expected: expected.to_owned(), got: got.to_owned() }.into()
}

impl Standalone {
    /// The nearest rows of each query vector.
    ///
    /// # Errors
    /// `CollectionNotLoaded`, and those of a query.
    pub async fn search(&self, cell: &CollectionCell, request: SearchRequest) -> Result<SearchAnswer, StandaloneError> {
        let meta = loaded(cell)?;
        let rows = request.rows.clone();
        let field = request.field;
        let (search, refused) = self.checked(cell, &meta, request)?;
        let (page, metric) = (search.page, search.metric);
        let refused: Vec<_> = refused.into_iter().collect();
        self.until_stop(async {
            let admitted = self.queries.admit().await;
            let limits = self.query_limits(&admitted);
            let over = |read_set| {
                let (schema, search, limits) = (Arc::clone(&meta.schema), search.clone(), limits.clone());
                async move { query::search(&schema, read_set, search, &limits).await }.boxed()
            };
            let Found { counts, scores, rows } = self.found(cell, &rows, (field, &refused), over).await?;
            self.metrics.search.vectors.inc_by(counts.len() as u64);
            // An empty page ends where it begins.
            let nearest = if metric.greater_is_nearer() { f32::MAX } else { f32::MIN };
            let end = page.map(|page| scores.last().copied().or(page.after).unwrap_or(nearest));
            Ok(SearchAnswer { counts, scores, rows, end, memory: admitted.memory.clone() })
        })
        .await
    }

    /// The best rows of several searches together. The scores of the answer are the fused values.
    ///
    /// # Errors
    /// Those of a search. A request has one search at least.
    pub async fn hybrid_search(
        &self,
        cell: &CollectionCell,
        request: HybridRequest,
    ) -> Result<SearchAnswer, StandaloneError> {
        let meta = loaded(cell)?;
        let HybridRequest { searches, fusion, limit, offset, fields: output } = request;
        let none = || RequestError::from(SearchError::Searches { got: 0, most: MOST_SEARCHES });
        let (rows, field) = searches.first().map(|first| (first.rows.clone(), first.field)).ok_or_else(none)?;
        let count = searches.len() as u64;
        let checked =
            |request| self.checked(cell, &meta, SearchRequest { offset: 0, group: None, page: None, ..request });
        let checked = searches.into_iter().map(checked).collect::<Result<Vec<_>, _>>()?;
        let (searches, refused): (_, Vec<_>) = checked.into_iter().unzip();
        let refused: Vec<_> = refused.into_iter().flatten().collect();
        let hybrid = Hybrid { searches, fusion, limit, offset, output };
        self.until_stop(async {
            let admitted = self.queries.admit().await;
            let limits = self.query_limits(&admitted);
            let over = |read_set| {
                let (schema, hybrid, limits) = (Arc::clone(&meta.schema), hybrid.clone(), limits.clone());
                async move { query::hybrid(&schema, read_set, hybrid, &limits).await }.boxed()
            };
            let Found { counts, scores, rows } = self.found(cell, &rows, (field, &refused), over).await?;
            self.metrics.search.vectors.inc_by(counts.len() as u64 * count);
            Ok(SearchAnswer { counts, scores, rows, end: None, memory: admitted.memory.clone() })
        })
        .await
    }

    /// The result of a search over the rows that the collection has now. If the files of a stand-in are gone, the search
    /// is made once more, without stand-ins. A parameter that the index refuses is an error once a segment has an index:
    /// Milvus reads no such parameter before.
    async fn found(
        &self,
        cell: &CollectionCell,
        rows: &Rows,
        (field, refused): (FieldId, &[(FieldId, IndexParamError)]),
        over: impl Fn(ReadSet) -> BoxFuture<'static, Result<Found, QueryError>> + Send + Sync,
    ) -> Result<Found, StandaloneError> {
        let mut may_be_gone = true;
        let first = async {
            let PinnedRead { set, has_stand_ins, pins: _pins, .. } =
                self.read_set(cell, rows, ReadPurpose::SearchWithStandIns(field)).await?;
            may_be_gone = has_stand_ins;
            let is_indexed = |field| set.sources.iter().any(|source| source.is_indexed(field));
            if let Some((_, error)) = refused.iter().find(|(field, _)| is_indexed(*field)) {
                return Err(RequestError::from(SearchError::IndexParam(*error)).into());
            }
            Ok::<_, StandaloneError>(over(set).await?)
        };
        match first.await {
            Err(error) if may_be_gone && matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) => {
                tracing::debug!(collection = %cell.id, %error, "a search is repeated without stand-ins");
                let PinnedRead { set, pins: _pins, .. } = self.read_set(cell, rows, ReadPurpose::Search(field)).await?;
                Ok(over(set).await?)
            }
            found => found,
        }
    }

    /// A search of the loaded collection, with the metric and the effort that its index gives; and a parameter that this
    /// index refuses.
    fn checked(
        &self,
        cell: &CollectionCell,
        meta: &Collection,
        request: SearchRequest,
    ) -> Result<(Search, Option<(FieldId, IndexParamError)>), StandaloneError> {
        let unknown = || QueryError::UnknownField { field: request.field, collection: meta.name.clone() };
        let field = meta.schema.field_by_id(request.field).ok_or_else(unknown)?;
        let metric = search_metric(meta, field, &request.metric)?;
        let definition = meta.indexes.iter().find(|index| index.field == field.id);
        let kind = definition.and_then(|index| IndexDefinition::of(field, &index.params).ok()).map(|found| found.kind);
        let is_chosen_here = definition.is_some_and(|index| index.params.iter().any(|(_, value)| value == AUTOINDEX));
        // Groups and pages of iterators take rows from the index until they have enough, so none are too few in view.
        let is_of_one_size = request.range.is_none() && request.group.is_none() && request.page.is_none();
        let wanted = is_of_one_size.then_some(request.limit + request.offset);
        let checked = if is_chosen_here { Ok(()) } else { request.asked.check(kind, wanted) };
        let refused = checked.err().map(|error| (field.id, error));
        let effort = request.asked.effort(kind);
        if let Some(Range { radius, near: Some(near) }) = request.range
            && !(if metric.greater_is_nearer() { near > radius } else { near < radius })
        {
            let (near, radius) = (near.to_string(), radius.to_string());
            return Err(RequestError::from(SearchError::EmptyRange { metric, near, radius }).into());
        }
        let search = Search {
            scope: self.scope(cell, request.rows),
            field: request.field,
            metric,
            queries: request.queries,
            limit: request.limit,
            offset: request.offset,
            range: request.range,
            group: request.group,
            page: request.page,
            output: request.fields,
            effort,
        };
        Ok((search, refused))
    }
}

/// The definition of a collection that is loaded.
fn loaded(cell: &CollectionCell) -> Result<Arc<Collection>, StandaloneError> {
    let meta = cell.meta();
    if meta.loaded.is_empty() { Err(LoadError::CollectionNotLoaded(cell.id).into()) } else { Ok(meta) }
}
