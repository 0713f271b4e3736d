//! The second pass: every column of every piece, read, filtered, put in order and written.
//!
//! Must never: mix rows of two pieces, or write one field of a piece in another order than the others.

use std::sync::{Arc, atomic::Ordering::AcqRel};

use super::{
    CompactError,
    copied::{ColumnObject, copy},
    cut::{BatchPart, share},
    inputs::Inputs,
    merge_run::MergeRun,
    piece_work::{PieceWork, Selections, shape},
    sink::{PieceShape, Sink},
    survivors::{PartCursor, survivors},
};
use crate::{
    binlog::Encoded,
    model::{LogFile, LogId},
    storage::LogPath,
};

const MAX_RESERVE_BYTES: u64 = 256 << 20;

/// A written column.
pub(super) struct Written {
    pub(super) output: usize,
    pub(super) number: usize,
    pub(super) field: usize,
    pub(super) file: LogFile,
}

/// Writes field number `field` of a piece as log `log`.
pub(super) async fn write_column(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
    (field, log): (usize, LogId),
) -> Result<Written, CompactError> {
    let made = match work.copied(selections) {
        Some(part) => copy(exec, inputs, work, part, field).await?,
        None => None,
    };
    let made = match made {
        Some(made) => made,
        None => ColumnObject::Encoded(rewrite(exec, inputs, selections, work, field).await?),
    };
    store(exec, inputs, selections, work, (field, log), made).await
}

/// Puts a finished column into the store.
async fn store(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
    (field, log): (usize, LogId),
    made: ColumnObject,
) -> Result<Written, CompactError> {
    let Some(id) = inputs.fields.get(field).map(|f| f.id) else {
        return Err(CompactError::Internal(format!("no field number {field}")));
    };
    let path = LogPath::insert(work.ids, id, log);
    let file = match made {
        ColumnObject::Encoded(encoded) => {
            let file = encoded.log_file(log);
            exec.put(path, encoded.bytes).await?;
            file
        }
        ColumnObject::Readdressed(from, copy) => {
            let file = copy.log_file(log, from.checksum);
            exec.splice(path, copy.prefix, (&from.path, copy.payload)).await?;
            file
        }
    };

    let source = |part: &BatchPart, total: u64| {
        let survivors = selections.get(part.batch).map_or(0, |s| s.survivors);
        share(total, survivors, &part.kept)
    };
    let parts = || work.piece.parts.iter().filter_map(|part| Some((part, inputs.batches.get(part.batch)?)));
    exec.progress.add_bytes(parts().map(|(part, batch)| source(part, batch.file_bytes(field))).sum());
    if work.columns_left.fetch_sub(1, AcqRel) == 1 {
        exec.progress.add_rows(parts().map(|(part, batch)| source(part, batch.rows)).sum());
    }
    Ok(Written { output: work.output, number: work.number, field, file })
}

async fn rewrite(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
    field: usize,
) -> Result<Encoded, CompactError> {
    let shape = shape(exec, inputs, selections, work).await?;
    let mut sink = open_sink(exec, inputs, selections, work, field, &shape)?;
    for part in &work.piece.parts {
        let column = inputs.column(part.batch, field)?;
        let bytes = exec.fetch(column.object()).await?;
        let (stop, selections, part) = (exec.stop.clone(), selections.clone(), part.clone());
        sink = exec
            .cores
            .run(move || {
                let log = column.open(bytes)?;
                survivors(&column, &log, &selections, &part, &stop, |keep, array| sink.write(keep, array))?;
                Ok(sink)
            })
            .await?;
        exec.progress.alive();
    }
    let now_ms = exec.task.now_ms;
    exec.cores.run(move || sink.finish(&shape, now_ms)).await
}

/// One piece among several that are written together, each with the selections of its own output.
pub(super) struct ColumnTarget {
    pub(super) work: Arc<PieceWork>,
    pub(super) selections: Selections,
    pub(super) log: LogId,
}

/// A sink with the rows of the current batch that go there.
struct Feed {
    target: usize,
    selections: Selections,
    part: BatchPart,
    cursor: PartCursor,
    sink: Sink,
}

/// Writes field number `field` of several pieces, and reads every batch once for all of them. `order` lists the batches
/// in the order in which the pieces have their parts.
pub(super) async fn write_columns(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    targets: &[ColumnTarget],
    order: &[usize],
    field: usize,
) -> Result<Vec<Written>, CompactError> {
    let mut takers: Vec<Vec<(usize, BatchPart)>> = vec![Vec::new(); inputs.batches.len()];
    let mut batches_left = vec![0usize; targets.len()];
    for (target, left) in batches_left.iter_mut().enumerate() {
        for part in &targets[target].work.piece.parts {
            match takers[part.batch].last_mut() {
                // Parts of one batch in one piece follow each other.
                Some((last, before)) if *last == target => before.kept.end = part.kept.end,
                _ => {
                    takers[part.batch].push((target, part.clone()));
                    *left += 1;
                }
            }
        }
    }
    let mut open: Vec<Option<Sink>> = targets.iter().map(|_| None).collect();
    let mut written = Vec::with_capacity(targets.len());
    for batch in order {
        let takers = std::mem::take(&mut takers[*batch]);
        if takers.is_empty() {
            continue;
        }
        let mut feeds = Vec::with_capacity(takers.len());
        for (target, part) in takers {
            let ColumnTarget { work, selections, .. } = &targets[target];
            let sink = match open[target].take() {
                Some(sink) => sink,
                None => {
                    let shape = shape(exec, inputs, selections, work).await?;
                    open_sink(exec, inputs, selections, work, field, &shape)?
                }
            };
            let (selections, cursor) = (selections.clone(), PartCursor::of(&part));
            feeds.push(Feed { target, selections, part, cursor, sink });
        }
        let column = inputs.column(*batch, field)?;
        let bytes = exec.fetch(column.object()).await?;
        let stop = exec.stop.clone();
        let feeds = exec
            .cores
            .run(move || {
                let log = column.open(bytes)?;
                column.scan(&log, &stop, |row, array| {
                    for feed in &mut feeds {
                        let Some(selection) = feed.selections.get(feed.part.batch) else { continue };
                        if let Some((keep, rows)) = feed.cursor.take(selection, row, array)? {
                            feed.sink.write(keep, &rows)?;
                        }
                    }
                    Ok(())
                })?;
                Ok(feeds)
            })
            .await?;
        exec.progress.alive();
        for Feed { target, sink, .. } in feeds {
            batches_left[target] -= 1;
            if batches_left[target] > 0 {
                open[target] = Some(sink);
                continue;
            }
            let ColumnTarget { work, selections, log } = &targets[target];
            let (shape, now_ms) = (shape(exec, inputs, selections, work).await?, exec.task.now_ms);
            let encoded = exec.cores.run(move || sink.finish(&shape, now_ms)).await?;
            written.push(store(exec, inputs, selections, work, (field, *log), ColumnObject::Encoded(encoded)).await?);
        }
    }
    Ok(written)
}

/// The sink of one column of a piece, nothing written yet.
fn open_sink(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
    field: usize,
    shape: &PieceShape,
) -> Result<Sink, CompactError> {
    let Some(output) = inputs.fields.get(field) else {
        return Err(CompactError::Internal(format!("no field number {field}")));
    };
    // The metadata may claim any size. The buffer is bounded all the same.
    let room = work.written_bytes(inputs, selections, field).min(exec.binlog.max_bytes).min(MAX_RESERVE_BYTES);
    let keys = (field == inputs.key).then(|| work.keys.clone());
    Sink::new(work.ids, output, exec.binlog, keys, shape, room)
}
