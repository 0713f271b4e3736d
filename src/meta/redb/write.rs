//! The writer thread: applies queued transactions in groups, one durable commit for each group.
//!
//! Must never answer a transaction before its group is durable, and never apply a part of one.

use std::ops::Bound;

use ::redb::{Database, ReadableTable, Table};
use tokio::sync::{mpsc, oneshot};

use super::{
    error::RedbFailure,
    file::{File, begin},
    frame::{self, ALL_TALLIES, PAIRS, TALLIES, Tallies, UNCHECKED, checked, framed},
};
use crate::{
    fault::{self, Planted},
    meta::{MetaError, Op, Txn, span::prefix_end},
};

/// Transactions of one group, so that the first of many is not kept waiting for all of them.
const MAX_GROUP: usize = 1024;

pub(super) struct WriteRequest {
    pub(super) txn: Txn,
    pub(super) answer: oneshot::Sender<Result<(), MetaError>>,
}

/// Gives the records of an older release their checksums: in one transaction, so that a crash leaves them as they were.
pub(super) fn move_unchecked(database: &Database) -> Result<Tallies, RedbFailure> {
    let mut tallies = Tallies::default();
    let write = begin(database)?;
    {
        let (old, mut table) = (write.open_table(UNCHECKED)?, write.open_table(PAIRS)?);
        for pair in old.iter()? {
            let (key, value) = pair?;
            put(&mut table, key.value(), value.value(), &mut tallies)?;
        }
        write.open_table(TALLIES)?.insert(ALL_TALLIES, tallies.encode().as_slice())?;
    }
    write.delete_table(UNCHECKED)?;
    write.commit()?;
    tracing::info!(records = tallies.iter().map(|(_, tally)| tally.pairs).sum::<u64>(), "metadata has checksums now");
    Ok(tallies)
}

pub(super) fn write_loop(file: &File, mut tallies: Tallies, mut requests: mpsc::Receiver<WriteRequest>) {
    let mut group = Vec::new();
    while requests.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
        let (txns, answers): (Vec<Txn>, Vec<_>) = group.drain(..).map(|r| (r.txn, r.answer)).unzip();
        let results = match file.call("commit", |database| write_group(database, txns, &mut tallies)) {
            Ok(results) => results
                .into_iter()
                .map(|result| match result {
                    Ok(()) => Ok(()),
                    Err(NotApplied::Conflict(key)) => Err(MetaError::Conflict { key }),
                    Err(NotApplied::Damaged(reason)) => Err(file.error("commit", RedbFailure::Damaged(reason))),
                })
                .collect(),
            Err(error) => {
                tracing::error!(%error, transactions = answers.len(), "metadata commit failed");
                answers.iter().map(|_| Err(error.clone())).collect::<Vec<_>>()
            }
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // A caller that has gone away needs no answer.
            let _ = answer.send(result);
        }
    }
}

/// Why one transaction of a group was not applied.
enum NotApplied {
    /// The guard of this key does not hold.
    Conflict(String),
    /// The value that a guard compares is damaged.
    Damaged(String),
}

/// Applies the transactions whose guards hold. Any failure of the store undoes the whole group.
fn write_group(
    database: &Database,
    txns: Vec<Txn>,
    tallies: &mut Tallies,
) -> Result<Vec<Result<(), NotApplied>>, RedbFailure> {
    let write = begin(database)?;
    let mut results = Vec::with_capacity(txns.len());
    let mut next = tallies.clone();
    let mut table = write.open_table(PAIRS)?;
    for txn in txns {
        results.push(match first_refusal(&table, &txn)? {
            Some(refused) => Err(refused),
            None => {
                let half = if fault::planted(Planted::HalfCommitted) { txn.ops.len() / 2 } else { 0 };
                apply(&mut table, txn.ops.get(half..).unwrap_or_default(), &mut next)?;
                Ok(())
            }
        });
    }
    drop(table);
    if results.iter().any(Result::is_ok) {
        if next != *tallies {
            write.open_table(TALLIES)?.insert(ALL_TALLIES, next.encode().as_slice())?;
        }
        write.commit()?;
        *tallies = next;
    } else {
        write.abort()?;
    }
    Ok(results)
}

fn first_refusal(table: &Table<'_, &[u8], &[u8]>, txn: &Txn) -> Result<Option<NotApplied>, RedbFailure> {
    for guard in &txn.guards {
        let key = guard.key.as_bytes();
        let stored = table.get(key)?;
        let value = match stored.as_ref().map(|stored| checked(key, stored.value())).transpose() {
            Ok(value) => value.map(|(value, _)| value),
            Err(reason) => return Ok(Some(NotApplied::Damaged(reason))),
        };
        if !guard.expected.holds(value) {
            return Ok(Some(NotApplied::Conflict(guard.key.clone())));
        }
    }
    Ok(None)
}

fn apply(table: &mut Table<'_, &[u8], &[u8]>, ops: &[Op], tallies: &mut Tallies) -> Result<(), RedbFailure> {
    for op in ops {
        match op {
            Op::Put { key, value } => put(table, key.as_bytes(), value, tallies)?,
            Op::Delete { key } => {
                let key = key.as_bytes();
                if let Some(before) = table.remove(key)? {
                    forget(key, before.value(), tallies)?;
                }
            }
            Op::DeletePrefix { prefix } => {
                let end = prefix_end(prefix.as_bytes());
                let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let mut failure = None;
                table.retain_in::<&[u8], _>((Bound::Included(prefix.as_bytes()), end), |key, before| {
                    failure = forget(key, before, tallies).err().or(failure.take());
                    false
                })?;
                failure.map_or(Ok(()), Err)?;
            }
        }
    }
    Ok(())
}

fn put(
    table: &mut Table<'_, &[u8], &[u8]>,
    key: &[u8],
    value: &[u8],
    tallies: &mut Tallies,
) -> Result<(), RedbFailure> {
    let (stored, checksum) = framed(key, value);
    if let Some(before) = table.insert(key, stored.as_slice())? {
        forget(key, before.value(), tallies)?;
    }
    tallies.of_key(key).add(checksum);
    Ok(())
}

/// Takes a pair out of the tally, with the checksum that was added. The value may have been damaged since.
fn forget(key: &[u8], before: &[u8], tallies: &mut Tallies) -> Result<(), RedbFailure> {
    let Some((checksum, _)) = frame::split(before) else {
        return Err(RedbFailure::Damaged(format!("key {} has no checksum", frame::shown(key))));
    };
    tallies.of_key(key).take(checksum);
    Ok(())
}
