//! The answer of a search: rows in their order, and then their columns.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;

use crate::{
    model::FieldId,
    query::{
        QueryError, QueryLimits, RowSource,
        interrupt::Interrupt,
        select::{RowPlace, fetch},
    },
};

/// The rows that were found, those of the first query vector first, the nearest of each first.
#[derive(Debug)]
pub struct Found {
    /// Number of rows of each query vector.
    pub counts: Vec<usize>,
    /// Value of each row in the metric of the search.
    pub scores: Vec<f32>,
    /// The output columns, named and typed as in `CollectionSchema::arrow_schema`.
    pub rows: RecordBatch,
}

/// The rows of an answer before their columns are read, in the order of [`Found`].
pub(super) struct Ranking {
    counts: Vec<usize>,
    scores: Vec<f32>,
    places: Arc<[RowPlace]>,
}

impl Ranking {
    /// `queries` gives the rows of each query vector, with their values.
    pub(super) fn of<R: Iterator<Item = (f32, RowPlace)>>(
        queries: impl Iterator<Item = Result<R, QueryError>>,
    ) -> Result<Self, QueryError> {
        let (mut counts, mut scores, mut places) = (Vec::with_capacity(queries.size_hint().0), Vec::new(), Vec::new());
        for rows in queries {
            let before = places.len();
            for (score, place) in rows? {
                scores.push(score);
                places.push(place);
            }
            counts.push(places.len() - before);
        }
        Ok(Self { counts, scores, places: places.into() })
    }

    /// Reads the columns of the answer.
    pub(super) async fn read(
        self,
        (schema, output): (Arc<Schema>, &[FieldId]),
        sources: &[Box<dyn RowSource>],
        limits: &QueryLimits,
        interrupt: &Interrupt,
    ) -> Result<Found, QueryError> {
        let Self { counts, scores, places } = self;
        let rows = fetch(schema, sources, output, places, limits, interrupt).await?;
        Ok(Found { counts, scores, rows })
    }
}
