//! Counts, and the keys that a delete by filter hits.

use std::{collections::BTreeSet, sync::Arc};

use futures::{TryStreamExt, pin_mut};

use super::{
    QueryError, QueryLimits, ReadSet, Scope,
    scan::{Detail, survivors},
};
use crate::model::{CollectionSchema, PrimaryKey};

/// How many rows live and match. Several rows of one key count several times.
///
/// Reads no more than it must: without filter, deletes and expiry only numbers are added up.
pub async fn count(schema: &Arc<CollectionSchema>, read_set: ReadSet, scope: Scope) -> Result<u64, QueryError> {
    let ReadSet { sources, deletes } = read_set;
    let found = survivors(schema, &sources, deletes, scope, Detail::Count);
    pin_mut!(found);
    let mut rows = 0;
    while let Some(batch) = found.try_next().await? {
        rows += batch.rows;
    }
    Ok(rows)
}

/// Keys of the rows that live and match, ascending, each once; an error beyond `limits.max_rows` of them.
pub async fn matching_keys(
    schema: &Arc<CollectionSchema>,
    read_set: ReadSet,
    scope: Scope,
    limits: &QueryLimits,
) -> Result<Vec<PrimaryKey>, QueryError> {
    let ReadSet { sources, deletes } = read_set;
    let found = survivors(schema, &sources, deletes, scope, Detail::Key);
    pin_mut!(found);
    let mut keys = BTreeSet::new();
    while let Some(batch) = found.try_next().await? {
        if let Some(column) = &batch.keys {
            keys.extend((0..batch.places.len()).map(|i| column.get(i)));
        }
        if keys.len() as u64 > limits.max_rows {
            return Err(QueryError::TooLarge { what: "keys", max: limits.max_rows });
        }
    }
    Ok(keys.into_iter().collect())
}
