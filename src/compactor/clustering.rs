//! Clustering: the surviving rows, divided by ranges of the clustering key.
//!
//! ```text
//! key column ──▶ sample ──▶ bounds      a | b | c      every range about as large, none larger than an output may be
//!                             │
//!      for each range:  key column ──▶ selection of its rows ──▶ the same cut and second pass as any merge
//! ```
//!
//! Ranges don't overlap. A value that alone is more than one output gets a range of its own, and only such a range is
//! cut into several outputs: they have that value in common and nothing else. A few ranges at a time are written from one
//! reading of the inputs, so that memory does not grow with their number.
//!
//! Must never: put a row into two ranges or into none, or hold the keys of more than one step of one batch besides the
//! sample.

use std::cmp::Ordering;

use arrow_array::Array;
use arrow_buffer::BooleanBufferBuilder;

use super::{
    CompactError,
    cluster_keys::ClusterKeys,
    first_pass::{DECODE_BYTES, scan_values},
    inputs::Inputs,
    merge_run::MergeRun,
    piece_work::Selections,
    selection::{Keep, RowIds, Selection, TimeRange},
};
use crate::{
    fault::{self, Planted},
    model::{ClusterRange, Scalar, Timestamp},
};

/// Sampled keys. With fewer than a hundred outputs, the error of a range is about a hundredth of one output.
const SAMPLES: u64 = 64 * 1024;
/// Bytes that the sample takes, more or less: wide texts are sampled less often.
const SAMPLE_BYTES: u64 = 8 << 20;
/// Samples that are taken however wide the keys are.
const LEAST_SAMPLES: u64 = 256;

/// Where one range ends and the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    value: Scalar,
    /// Rows with exactly this value belong to the range before.
    after: bool,
}

impl Bound {
    /// Whether a key that compares so with the value belongs to the ranges behind.
    fn is_behind(&self, key_to_value: Ordering) -> bool {
        key_to_value.is_gt() || (key_to_value.is_eq() && !self.after)
    }
}

/// Keys from one bound to the next; none: as far as there are keys.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Slice {
    from: Option<Bound>,
    to: Option<Bound>,
}

impl Slice {
    fn holds(&self, compare: impl Fn(&Scalar) -> Ordering) -> bool {
        let is_lost = |bound: &Bound| fault::planted(Planted::BoundaryRowLost) && compare(&bound.value).is_eq();
        if self.to.as_ref().is_some_and(is_lost) {
            return false;
        }
        self.from.as_ref().is_none_or(|bound| bound.is_behind(compare(&bound.value)))
            && self.to.as_ref().is_none_or(|bound| !bound.is_behind(compare(&bound.value)))
    }

    /// False if no key between `min` and `max` can be in it.
    fn meets(&self, min: &Scalar, max: &Scalar) -> bool {
        self.from.as_ref().is_none_or(|bound| bound.is_behind(max.cmp(&bound.value)))
            && self.to.as_ref().is_none_or(|bound| !bound.is_behind(min.cmp(&bound.value)))
    }
}

/// The clustering key of the surviving rows, looked at once.
pub(super) struct KeySurvey {
    selections: Selections,
    /// Position of the key in the inputs' fields.
    field: usize,
    /// Smallest and largest key of each batch's survivors.
    ranges: Vec<Option<(Scalar, Scalar)>>,
    /// Sampled keys in order, each value once, with the bytes that it stands for.
    sample: Vec<(Scalar, u64)>,
}

/// The rows of one range.
pub(super) struct Share {
    pub(super) selections: Selections,
    pub(super) range: ClusterRange,
}

impl Share {
    /// All rows have the same key: cutting them anywhere keeps ranges apart.
    pub(super) fn is_uniform(&self) -> bool {
        self.range.min == self.range.max
    }
}

/// Reads the key of every surviving row.
pub(super) async fn survey(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
) -> Result<KeySurvey, CompactError> {
    let key = exec.task.schema.clustering_key().map(|key| key.id);
    let Some(field) = inputs.fields.iter().position(|f| Some(f.id) == key) else {
        return Err(CompactError::Internal(format!("plan {}: schema without a clustering key", exec.task.plan.id)));
    };
    let rows: u64 = selections.iter().map(|s| s.kept).sum();
    let bytes: u64 = inputs.batches.iter().map(|batch| batch.file_memory_bytes(field)).sum();
    let width = (bytes / inputs.rows().max(1)).max(1);
    let every = rows.div_ceil((SAMPLE_BYTES / width).clamp(LEAST_SAMPLES, SAMPLES)).max(1);

    let largest = inputs.batches.iter().map(|batch| batch.file_bytes(field)).max().unwrap_or(0);
    let _memory = exec.reserve(largest + DECODE_BYTES + SAMPLE_BYTES).await?;
    let (mut ranges, mut sample) = (Vec::with_capacity(inputs.batches.len()), Vec::new());
    // Sampled rows are as far apart as if the batches were one.
    let mut skip = 0;
    for (number, (batch, selection)) in inputs.batches.iter().zip(selections.iter()).enumerate() {
        if selection.kept == 0 {
            ranges.push(None);
            continue;
        }
        let size = batch.size(selection);
        let weight = u128::from(size.object_bytes) * u128::from(every) / u128::from(size.rows.max(1));
        let weight = u64::try_from(weight).unwrap_or(u64::MAX).max(1);
        let column = inputs.column(number, field)?;
        let bytes = exec.fetch(column.object()).await?;
        let (selection, stop) = (selection.clone(), exec.stop.clone());
        let work = exec.cores.run(move || {
            let (mut range, mut taken): (Option<(Scalar, Scalar)>, _) = (None, Vec::new());
            column.scan(&column.open(bytes)?, &stop, |row, array| {
                let array = selection.keep.slice(row, array.len()).apply(array)?;
                let keys =
                    ClusterKeys::of(&array).ok_or_else(|| column.mismatch("is not a column of numbers or texts"))?;
                for row in 0..array.len() {
                    if skip == 0 {
                        taken.push((keys.get(row), weight));
                        skip = every;
                    }
                    skip -= 1;
                    keys.widen(&mut range, row);
                }
                Ok(())
            })?;
            Ok((range, taken, skip))
        });
        let (range, taken, left) = work.await?;
        skip = left;
        ranges.push(range);
        sample.extend(taken);
        exec.progress.alive();
    }
    sample.sort_unstable();
    sample.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    Ok(KeySurvey { selections: selections.clone(), field, ranges, sample })
}

impl KeySurvey {
    /// The rows that were looked at.
    pub(super) fn selections(&self) -> &Selections {
        &self.selections
    }

    /// Estimated bytes of the objects of the rows.
    pub(super) fn bytes(&self) -> u64 {
        self.sample.iter().map(|(_, weight)| *weight).fold(0, u64::saturating_add)
    }

    /// Ranges of about equal weight, as few as `output_bytes` allows.
    pub(super) fn divide(&self, output_bytes: u64) -> Ranges<'_> {
        Ranges { survey: self, slices: slices(&self.sample, output_bytes.max(1)) }
    }
}

/// The ranges of one attempt.
pub(super) struct Ranges<'a> {
    survey: &'a KeySurvey,
    slices: Vec<Slice>,
}

impl Ranges<'_> {
    pub(super) fn len(&self) -> usize {
        self.slices.len()
    }

    /// How many of them have rows for sure: sampled keys are in them.
    pub(super) fn occupied(&self) -> usize {
        let mut rest = self.survey.sample.as_slice();
        let has_keys = |slice: &&Slice| {
            let ends = |key: &Scalar| slice.to.as_ref().is_some_and(|bound| bound.is_behind(key.cmp(&bound.value)));
            let (here, behind) = rest.split_at(rest.partition_point(|(key, _)| !ends(key)));
            rest = behind;
            !here.is_empty()
        };
        self.slices.iter().filter(has_keys).count()
    }

    /// The rows of one range; None if it has none.
    pub(super) async fn share(
        &self,
        exec: &MergeRun<'_>,
        inputs: &Inputs,
        number: usize,
    ) -> Result<Option<Share>, CompactError> {
        let Some(slice) = self.slices.get(number) else { return Ok(None) };
        let KeySurvey { selections: all, field, ranges, .. } = self.survey;
        let columns = [*field, Inputs::ROW_ID, Inputs::TIMESTAMP];
        let bytes =
            inputs.batches.iter().map(|batch| columns.iter().map(|field| batch.file_bytes(*field)).max().unwrap_or(0));
        let largest = bytes.max().unwrap_or(0);
        let _memory = exec.reserve(largest + DECODE_BYTES + inputs.rows() / 8).await?;
        let mut selections = Vec::with_capacity(all.len());
        let mut range: Option<ClusterRange> = None;
        let mut extend = |(min, max): (Scalar, Scalar)| match &mut range {
            Some(range) => {
                range.extend(min);
                range.extend(max);
            }
            None => {
                let mut first = ClusterRange::of(inputs.fields[*field].id, min);
                first.extend(max);
                range = Some(first);
            }
        };
        for (batch, (selection, keys)) in all.iter().zip(ranges).enumerate() {
            let met = keys.as_ref().filter(|(min, max)| slice.meets(min, max));
            selections.push(match met {
                None => nothing_of(selection),
                Some((min, max)) if slice.holds(|v| min.cmp(v)) && slice.holds(|v| max.cmp(v)) => {
                    extend((min.clone(), max.clone()));
                    selection.clone()
                }
                Some(_) => {
                    let (part, found) = part_of(exec, inputs, selection, (batch, *field), slice).await?;
                    found.into_iter().for_each(&mut extend);
                    part
                }
            });
        }
        Ok(range.map(|range| Share { selections: selections.into(), range }))
    }
}

/// A batch of which no row is in the range.
fn nothing_of(selection: &Selection) -> Selection {
    Selection {
        keep: Keep::None,
        kept: 0,
        deleted: selection.kept + selection.deleted,
        ts_from: Timestamp::ZERO,
        ts_to: Timestamp::ZERO,
        row_ids: None,
        ..selection.clone()
    }
}

/// Those survivors of a batch that are in the range, and the smallest and largest key among them.
async fn part_of(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selection: &Selection,
    (batch, field): (usize, usize),
    slice: &Slice,
) -> Result<(Selection, Option<(Scalar, Scalar)>), CompactError> {
    let column = inputs.column(batch, field)?;
    let bytes = exec.fetch(column.object()).await?;
    let (all, slice, stop) = (selection.keep.clone(), slice.clone(), exec.stop.clone());
    let work = exec.cores.run(move || {
        let mut bits = BooleanBufferBuilder::new(column.file.rows as usize);
        let mut range: Option<(Scalar, Scalar)> = None;
        column.scan(&column.open(bytes)?, &stop, |first, array| {
            let keys = ClusterKeys::of(array).ok_or_else(|| column.mismatch("is not a column of numbers or texts"))?;
            for row in 0..array.len() {
                let here = all.has(first + row) && slice.holds(|value| keys.compare(row, value));
                bits.append(here);
                if here {
                    keys.widen(&mut range, row);
                }
            }
            Ok(())
        })?;
        Ok((bits.finish(), range))
    });
    let (bits, range) = work.await?;
    exec.progress.alive();
    let kept = bits.count_set_bits() as u64;
    if kept == 0 {
        return Ok((nothing_of(selection), None));
    }
    if kept == selection.kept {
        return Ok((selection.clone(), range));
    }
    let here = bits.clone();
    let times = scan_values(exec, inputs, (batch, Inputs::TIMESTAMP), None, move |times, row, timestamps| {
        let part = here.slice(row, timestamps.len());
        part.set_indices().filter_map(|at| timestamps.get(at)).for_each(|ts| TimeRange::extend(times, *ts));
    });
    let TimeRange { from: ts_from, to: ts_to } = times.await?.unwrap_or_default();
    let here = bits.clone();
    let row_ids = scan_values(exec, inputs, (batch, Inputs::ROW_ID), None, move |row_ids, row, ids| {
        let part = here.slice(row, ids.len());
        part.set_indices().filter_map(|at| ids.get(at)).for_each(|id| {
            RowIds::extend(row_ids, std::slice::from_ref(id));
        });
    });
    let row_ids = row_ids.await?;
    let part = Selection {
        keep: Keep::Some(bits),
        kept,
        deleted: selection.deleted + (selection.kept - kept),
        ts_from,
        ts_to,
        row_ids,
        ..selection.clone()
    };
    Ok((part, range))
}

/// Divides values in order, each with its weight, into slices of about equal weight: as few as `most` allows, and none
/// above it except those of a single value. Beside such a value there may be slices that nothing is in.
fn slices(sample: &[(Scalar, u64)], most: u64) -> Vec<Slice> {
    let mut left: u64 = sample.iter().map(|(_, weight)| *weight).fold(0, u64::saturating_add);
    let mut bounds: Vec<Bound> = Vec::new();
    let mut here = 0u64;
    let mut slices_left = left.div_ceil(most).max(1);
    for (value, weight) in sample {
        if *weight > most {
            bounds.push(Bound { value: value.clone(), after: false });
            bounds.push(Bound { value: value.clone(), after: true });
            left = left.saturating_sub(here.saturating_add(*weight));
            slices_left = left.div_ceil(most).max(1);
            here = 0;
            continue;
        }
        // Whichever leaves the slice nearer to its even share.
        let is_over = here.saturating_add(*weight) > most || here.saturating_add(*weight / 2) > left / slices_left;
        if here > 0 && is_over {
            bounds.push(Bound { value: value.clone(), after: false });
            left = left.saturating_sub(here);
            slices_left = slices_left.saturating_sub(1).max(left.div_ceil(most)).max(1);
            here = 0;
        }
        here = here.saturating_add(*weight);
    }
    let from = std::iter::once(None).chain(bounds.iter().cloned().map(Some));
    let to = bounds.iter().cloned().map(Some).chain([None]);
    from.zip(to).map(|(from, to)| Slice { from, to }).collect()
}

#[cfg(test)]
mod tests;
