//! Where the stream of surviving rows is cut into output segments and, inside them, into binlogs.
//!
//! ```text
//! input batches   |  0 (kept 90 %)  |    1    |2|      3      |     in the order of the merge
//! pieces          |        A        |    B      |   C  |  D   |     a piece becomes one binlog per field
//! output segments |                first               |second|     only if one would grow too large
//! ```
//!
//! Any split is readable, so the cuts follow the input batches wherever they can: then no object
//! is read for two pieces, pieces are independent, and a batch that loses no row can be copied as it is. A batch is
//! split only if it is far over the limit or if an output segment is full. Two neighbouring pieces that could have
//! been one exist only beside a copied batch.
//!
//! Sizes of rows are shares of their batch, measured in the input objects. They are estimates: rows of one batch need
//! not be equally long.
//!
//! Must never: lose a row, use one twice, or change their order.

use std::ops::Range;

/// A batch may exceed the limit by a quarter before it is split. Flushes cut *after* the limit is passed, so their batches
/// are regularly a little too large.
const SPLIT_SLACK: u64 = 4;
/// An output that has no room for a whole batch takes a part of it only if the part is at least 1/16 of a full binlog or of
/// the output.
const CRUMB: u64 = 16;
/// Outputs share the rows evenly if each is filled to this part of the limit that way, in hundredths: a crumb less is
/// still four fifths. Otherwise they are filled one by one, and the last one takes the rest.
const WELL_FILLED: u64 = 88;
/// Room left for errors of estimation when rows have to be spread over several output segments.
const OUTPUT_MARGIN: u64 = 64;

/// One input batch: one insert log per field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchSize {
    pub(super) rows: u64,
    /// Rows that survive.
    pub(super) kept: u64,
    /// Of all rows and fields, in memory.
    pub(super) memory_bytes: u64,
    /// Of all objects.
    pub(super) object_bytes: u64,
    /// Every row survives, in ascending order: the objects may be copied.
    pub(super) copyable: bool,
}

/// Share of `total` that rows `range` out of `rows` stand for; the shares of adjacent ranges add up exactly.
pub(super) fn share(total: u64, rows: u64, range: &Range<u64>) -> u64 {
    let until = |row: u64| u128::from(total) * u128::from(row.min(rows)) / u128::from(rows.max(1));
    (until(range.end) - until(range.start)) as u64
}

impl BatchSize {
    /// Rows of the source, dead ones included, that a range of the surviving rows stands for.
    pub(super) fn source_rows(&self, kept: &Range<u64>) -> u64 {
        share(self.rows, self.kept, kept)
    }

    /// The part of `total` bytes of the whole batch that belongs to surviving rows.
    fn surviving(&self, total: u64) -> u64 {
        (u128::from(total) * u128::from(self.kept) / u128::from(self.rows.max(1))) as u64
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CutLimits {
    /// Bytes of a piece in memory.
    pub(super) binlog_bytes: u64,
    /// The same for a copied piece, which is never in memory. Not less.
    pub(super) copied_bytes: u64,
    /// Bytes of the objects of an output segment.
    pub(super) output_bytes: u64,
    /// Bytes of the objects of one piece without any row (headers and footers, all fields).
    pub(super) overhead_bytes: u64,
}

/// Surviving rows `kept` (counted among the survivors, not among all rows) of input batch `batch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BatchPart {
    pub(super) batch: usize,
    pub(super) kept: Range<u64>,
}

/// The rows of one binlog of every field. At least one row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Piece {
    pub(super) parts: Vec<BatchPart>,
    pub(super) rows: u64,
    /// Estimates.
    pub(super) memory_bytes: u64,
    pub(super) object_bytes: u64,
}

/// One output segment. At least one piece.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct OutputCut {
    pub(super) pieces: Vec<Piece>,
    /// Rows of the inputs, dead ones included, that this output replaces.
    pub(super) source_rows: u64,
}

impl OutputCut {
    fn object_bytes(&self) -> u64 {
        self.pieces.iter().map(|p| p.object_bytes).sum()
    }
}

/// Cuts the surviving rows of `batches`, in this order. Empty if no row survives.
pub(super) fn cut(batches: &[BatchSize], limits: CutLimits) -> Vec<OutputCut> {
    let single = Cutter::new(limits, Level { outputs: 1, left: 0, limit: u64::MAX }).run(batches);
    if single.first().is_none_or(|output| output.object_bytes() <= limits.output_bytes) {
        return single;
    }
    let limit = limits.output_bytes - limits.output_bytes / OUTPUT_MARGIN;
    let total: u64 = single.iter().map(OutputCut::object_bytes).sum();
    let least = total.div_ceil(limit.max(1)).max(1);
    // Roundings may add up to one more output: then there is one more to share from the start.
    for outputs in [least, least + 1] {
        // Every further output has at least one piece of its own.
        let total = total.saturating_add(limits.overhead_bytes.saturating_mul(outputs - 1));
        if u128::from(total / outputs) * 100 < u128::from(limits.output_bytes) * u128::from(WELL_FILLED) {
            break;
        }
        let levelled = Cutter::new(limits, Level { outputs, left: total, limit }).run(batches);
        if levelled.len() as u64 <= outputs {
            return levelled;
        }
    }
    Cutter::new(limits, Level { outputs: 1, left: total, limit }).run(batches)
}

/// Size of the next output: an even share of the rest, never beyond the limit.
#[derive(Debug, Clone, Copy)]
struct Level {
    outputs: u64,
    left: u64,
    limit: u64,
}

impl Level {
    fn next_limit(&self) -> u64 {
        if self.outputs > 1 { self.limit.min(self.left / self.outputs) } else { self.limit }
    }

    fn take(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        self.outputs = self.outputs.saturating_sub(1);
    }
}

struct Cutter {
    limits: CutLimits,
    level: Level,
    output_limit: u64,
    done: Vec<OutputCut>,
    output: OutputCut,
    output_bytes: u64,
    piece: Piece,
}

impl Cutter {
    fn new(limits: CutLimits, level: Level) -> Self {
        Self {
            limits,
            level,
            output_limit: level.next_limit(),
            done: Vec::new(),
            output: OutputCut::default(),
            output_bytes: 0,
            piece: Piece::default(),
        }
    }

    fn run(mut self, batches: &[BatchSize]) -> Vec<OutputCut> {
        for (index, batch) in batches.iter().enumerate() {
            if batch.kept == 0 {
                self.output.source_rows += batch.rows;
                continue;
            }
            let alone = batch.copyable && batch.memory_bytes >= self.limits.binlog_bytes / 2;
            if alone {
                self.close_piece();
            }
            self.place(index, batch);
            if alone {
                self.close_piece();
            }
        }
        self.close_output();
        let mut outputs = self.done;
        // Batches without survivors after the last cut count for the last output.
        if let Some(last) = outputs.last_mut() {
            last.source_rows += self.output.source_rows;
        }
        outputs
    }

    fn place(&mut self, index: usize, batch: &BatchSize) {
        let payload = batch.surviving(batch.object_bytes.saturating_sub(self.limits.overhead_bytes));
        let memory = batch.surviving(batch.memory_bytes);
        let mut start = 0;
        while start < batch.kept {
            let rest = batch.kept - start;
            let room = self.room();
            let fitting = match (room, payload) {
                (None, _) => 0,
                (Some(_), 0) => u64::MAX,
                (Some(room), payload) => (u128::from(room) * u128::from(batch.kept) / u128::from(payload)) as u64,
            };
            let mut take = rest.min(fitting);
            if take < rest && !self.output_is_empty() {
                let rows = start..start + take;
                let crumb = share(memory, batch.kept, &rows) < self.limits.binlog_bytes / CRUMB
                    && share(payload, batch.kept, &rows) < self.limits.output_bytes / CRUMB;
                if take == 0 || crumb {
                    self.close_output();
                    continue;
                }
            }
            // An output takes one row even if that is too large: there is no other way to keep it.
            take = take.max(1);
            let bytes = share(memory, batch.kept, &(start..start + take));
            if self.piece.memory_bytes.saturating_add(bytes) > self.limits.binlog_bytes {
                if !self.piece.parts.is_empty() {
                    self.close_piece();
                    continue;
                }
                let fits = |limit: u64| bytes <= limit.saturating_add(limit / SPLIT_SLACK);
                let is_copied = batch.copyable && take == batch.kept && fits(self.limits.copied_bytes);
                let limit = self.limits.binlog_bytes.max(1);
                if !is_copied && !fits(limit) {
                    take = take.div_ceil(bytes.div_ceil(limit));
                }
            }
            self.append(index, batch, start..start + take, payload, memory);
            start += take;
        }
    }

    /// Bytes of rows that still fit into the output; None if it can't even take another piece.
    fn room(&self) -> Option<u64> {
        let next_overhead = if self.piece.parts.is_empty() { self.limits.overhead_bytes } else { 0 };
        let used = self.output_bytes.saturating_add(self.piece.object_bytes).saturating_add(next_overhead);
        self.output_limit.checked_sub(used)
    }

    fn output_is_empty(&self) -> bool {
        self.output.pieces.is_empty() && self.piece.parts.is_empty()
    }

    fn append(&mut self, index: usize, batch: &BatchSize, kept: Range<u64>, payload: u64, memory: u64) {
        if self.piece.parts.is_empty() {
            self.piece.object_bytes = self.limits.overhead_bytes;
        }
        self.piece.rows += kept.end - kept.start;
        self.piece.memory_bytes += share(memory, batch.kept, &kept);
        self.piece.object_bytes += share(payload, batch.kept, &kept);
        self.output.source_rows += batch.source_rows(&kept);
        self.piece.parts.push(BatchPart { batch: index, kept });
    }

    fn close_piece(&mut self) {
        if !self.piece.parts.is_empty() {
            let piece = std::mem::take(&mut self.piece);
            self.output_bytes = self.output_bytes.saturating_add(piece.object_bytes);
            self.output.pieces.push(piece);
        }
    }

    fn close_output(&mut self) {
        self.close_piece();
        if !self.output.pieces.is_empty() {
            self.done.push(std::mem::take(&mut self.output));
            self.level.take(self.output_bytes);
            self.output_limit = self.level.next_limit();
            self.output_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests;
