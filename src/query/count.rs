//! Counts, and the keys that a delete by filter hits.

use std::{collections::BTreeSet, sync::Arc};

use futures::{TryStreamExt, pin_mut};

use super::{
    QueryError, QueryLimits, ReadSet, Scope,
    interrupt::{Checkpoint, Interrupt, ROW_UNITS},
    scan::{Detail, Survivors, survivors},
    select::CHOSEN_BYTES,
};
use crate::model::{CollectionSchema, PrimaryKey};

/// Counts the live rows that match. Several rows of one key count several times.
///
/// Reads only the columns it needs: without filter, deletes and expiry it only adds up numbers of rows.
pub async fn count(schema: &Arc<CollectionSchema>, read_set: ReadSet, scope: Scope) -> Result<u64, QueryError> {
    count_until(schema, read_set, scope, Interrupt::default()).await
}

pub(super) async fn count_until(
    schema: &Arc<CollectionSchema>,
    read_set: ReadSet,
    scope: Scope,
    interrupt: Interrupt,
) -> Result<u64, QueryError> {
    let _ends_with_the_caller = interrupt.on_drop();
    let ReadSet { sources, deletes } = read_set;
    let found = survivors(schema, &sources, deletes, scope, Detail::Count, None, &interrupt).await?;
    pin_mut!(found);
    let mut rows = 0;
    while let Some(batch) = found.try_next().await? {
        rows += batch.rows;
    }
    Ok(rows)
}

/// Keys of the live rows that match, ascending, each once. More than `limits.max_rows` of them are an error.
pub async fn matching_keys(
    schema: &Arc<CollectionSchema>,
    read_set: ReadSet,
    scope: Scope,
    limits: &QueryLimits,
) -> Result<Vec<PrimaryKey>, QueryError> {
    matching_keys_until(schema, read_set, scope, limits, Interrupt::default()).await
}

pub(super) async fn matching_keys_until(
    schema: &Arc<CollectionSchema>,
    read_set: ReadSet,
    scope: Scope,
    limits: &QueryLimits,
    interrupt: Interrupt,
) -> Result<Vec<PrimaryKey>, QueryError> {
    let _ends_with_the_caller = interrupt.on_drop();
    let ReadSet { sources, deletes } = read_set;
    let found = survivors(schema, &sources, deletes, scope, Detail::Key, Some(limits), &interrupt).await?;
    pin_mut!(found);
    let mut keys = BTreeSet::new();
    while let Some(batch) = found.try_next().await? {
        if batch.keys.is_some() {
            limits.hold(batch.places.len() as u64 * CHOSEN_BYTES)?;
        }
        keys = interrupt.sized(batch.places.len(), move |checkpoint| add_keys(keys, &batch, checkpoint)).await?;
        if keys.len() as u64 > limits.max_rows {
            return Err(QueryError::TooLarge { what: "keys", max: limits.max_rows });
        }
    }
    interrupt.sized(keys.len(), |_| Ok(keys.into_iter().collect())).await
}

fn add_keys(
    mut keys: BTreeSet<PrimaryKey>,
    found: &Survivors,
    checkpoint: &Checkpoint,
) -> Result<BTreeSet<PrimaryKey>, QueryError> {
    if let Some(column) = &found.keys {
        for i in 0..found.places.len() {
            checkpoint.spend(ROW_UNITS)?;
            keys.insert(column.get(i));
        }
    }
    Ok(keys)
}
