//! Writing a clustering: the rows of every range of the clustering key become outputs of their own.
//!
//! Must never: put rows of two ranges into one output, or keep an output above the plan's limit, unless it is a single
//! row.

use super::{
    CompactError,
    clustering::{self, KeySurvey},
    inputs::Inputs,
    merge_run::MergeRun,
    piece_work::Selections,
    write::{Cuts, OutputDraft, arrange, largest, merge_order, next_aim, units_of_ranges, write_units},
};

/// Times that all rows are divided into ranges anew because those written first are too large.
const DIVISIONS: u32 = 5;
/// Room left for errors of the sample when rows are divided by ranges of keys.
const SAMPLE_MARGIN: u64 = 10;
/// Ranges that are written at once: more would leave less memory for each and make smaller binlogs.
pub(super) const RANGES_AT_ONCE: usize = 8;

/// Result of writing ranges.
enum Ranged {
    Written(Vec<OutputDraft>),
    /// An output has so many bytes. Nothing that was written counts.
    TooLarge(u64),
}

/// Writes the rows range by range of the clustering key.
pub(super) async fn cluster(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
) -> Result<Vec<OutputDraft>, CompactError> {
    let most = exec.task.plan.max_output_bytes;
    let survey = clustering::survey(exec, inputs, selections).await?;
    let mut aim = most - most / SAMPLE_MARGIN;
    for division in 1.. {
        match write_ranges(exec, inputs, &survey, aim, (exec.task.max_outputs, division < DIVISIONS)).await? {
            Ranged::Written(drafts) => {
                exec.progress.complete();
                return Ok(drafts);
            }
            Ranged::TooLarge(bytes) => {
                tracing::info!(plan = %exec.task.plan.id, bytes, limit = most, "ranges too large, divided again");
                exec.clean_up().await;
                aim = next_aim(aim, most, bytes);
            }
        }
    }
    Err(CompactError::Internal("no attempt to cluster was made".to_owned()))
}

/// Divides the surveyed rows and writes them, a few ranges at a time.
///
/// Ranges are cut by a sample and by estimate. If the first ones prove too large, the others are expected to be so too:
/// with `may_give_up` the caller begins again. A range that proves too large later is surveyed and divided by itself.
/// That ends: every time it gets two ranges at least, until each has one key and is cut at any row.
async fn write_ranges(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    survey: &KeySurvey,
    aim: u64,
    (max_outputs, may_give_up): (u64, bool),
) -> Result<Ranged, CompactError> {
    let most = exec.task.plan.max_output_bytes;
    let ranges = survey.divide(aim);
    if ranges.occupied() as u64 > max_outputs {
        return Err(exec.too_many_outputs());
    }
    let at_once = ranges.len().clamp(1, RANGES_AT_ONCE);
    // For each range, a column of a piece and its encoded form are in memory.
    let binlog_bytes = exec.binlog.max_bytes.min(exec.budget.limit_bytes() / (3 * at_once as u64)).max(1);
    let order = merge_order(inputs, survey.selections());
    let mut done = Vec::new();
    for first in (0..ranges.len()).step_by(at_once) {
        let (mut drafts, mut works, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for number in first..ranges.len().min(first + at_once) {
            let Some(share) = ranges.share(exec, inputs, number).await? else { continue };
            let output_bytes = if share.is_uniform() { aim } else { u64::MAX };
            let max_outputs = max_outputs.saturating_sub((done.len() + drafts.len()) as u64);
            let cuts = Cuts { output_bytes, binlog_bytes, first: drafts.len(), max_outputs };
            let (of_share, of_share_works) = arrange(exec, inputs, &share.selections, &order, cuts)?;
            let range = |draft| OutputDraft { cluster_range: Some(share.range.clone()), ..draft };
            let outputs = of_share.len();
            drafts.extend(of_share.into_iter().map(range));
            works.push((share.selections.clone(), of_share_works));
            shares.push((share, outputs));
        }
        let units = units_of_ranges(exec, inputs, works)?;
        let mut drafts = write_units(exec, inputs, &order, drafts, units).await?;
        let all = largest(&drafts);
        if all > most && first == 0 && may_give_up {
            return Ok(Ranged::TooLarge(all));
        }
        for (share, outputs) in shares {
            let of_share: Vec<OutputDraft> = drafts.drain(..outputs).collect();
            let bytes = largest(&of_share);
            if bytes <= most {
                done.extend(of_share);
                continue;
            }
            tracing::info!(plan = %exec.task.plan.id, bytes, limit = most, "range too large, divided again");
            exec.discard(|path| of_share.iter().any(|d| Some(d.ids) == path.ids())).await;
            let survey = clustering::survey(exec, inputs, &share.selections).await?;
            let aim = next_aim(aim.min(survey.bytes()), most, bytes);
            let max_outputs = max_outputs.saturating_sub((done.len() + drafts.len()) as u64);
            match Box::pin(write_ranges(exec, inputs, &survey, aim, (max_outputs, false))).await? {
                Ranged::Written(drafts) => done.extend(drafts),
                given_up @ Ranged::TooLarge(_) => return Ok(given_up),
            }
        }
    }
    Ok(Ranged::Written(done))
}
