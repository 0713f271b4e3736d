use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn batch(rows: u64, kept: u64, bytes: u64) -> BatchSize {
    BatchSize { rows, kept, memory_bytes: bytes, object_bytes: bytes, copyable: false }
}

fn copyable(bytes: u64) -> BatchSize {
    BatchSize { copyable: true, ..batch(bytes, bytes, bytes) }
}

fn limits(binlog_bytes: u64, output_bytes: u64) -> CutLimits {
    CutLimits { binlog_bytes, copied_bytes: binlog_bytes, output_bytes, overhead_bytes: 0 }
}

/// Drawn as `0[0..90] 1[0..10] | 2[0..5] || 3[0..7]`: pieces between bars, outputs between double bars.
fn draw(outputs: &[OutputCut]) -> String {
    let part = |p: &BatchPart| format!("{}[{}..{}]", p.batch, p.kept.start, p.kept.end);
    let piece = |p: &Piece| p.parts.iter().map(part).collect::<Vec<_>>().join(" ");
    let output = |o: &OutputCut| o.pieces.iter().map(piece).collect::<Vec<_>>().join(" | ");
    outputs.iter().map(output).collect::<Vec<_>>().join(" || ")
}

#[rstest]
#[case::nothing(vec![], limits(100, 1000), "")]
#[case::nothing_survives(vec![batch(10, 0, 10), batch(5, 0, 5)], limits(100, 1000), "")]
#[case::one(vec![batch(10, 9, 10)], limits(100, 1000), "0[0..9]")]
#[case::small_batches_join(vec![batch(40, 40, 40), batch(60, 60, 60), batch(1, 1, 1)], limits(100, 1000),
    "0[0..40] 1[0..60] | 2[0..1]")]
#[case::dead_rows_make_room(vec![batch(80, 40, 80), batch(60, 60, 60)], limits(100, 1000), "0[0..40] 1[0..60]")]
#[case::dead_batches_are_passed_over(vec![batch(10, 10, 10), batch(10, 0, 10), batch(10, 10, 10)], limits(100, 1000),
    "0[0..10] 2[0..10]")]
#[case::a_little_over_stays_whole(vec![batch(125, 125, 125), batch(5, 5, 5)], limits(100, 1000),
    "0[0..125] | 1[0..5]")]
#[case::far_over_is_split_evenly(vec![batch(300, 300, 300)], limits(100, 1000),
    "0[0..100] | 0[100..200] | 0[200..300]")]
#[case::far_over_but_mostly_dead(vec![batch(300, 100, 300)], limits(100, 1000), "0[0..100]")]
#[case::copied_batches_stay_alone(vec![batch(10, 10, 10), copyable(50), copyable(49), copyable(20)], limits(100, 1000),
    "0[0..10] | 1[0..50] | 2[0..49] 3[0..20]")]
#[case::full_output_splits_a_batch(vec![batch(60, 60, 60), batch(60, 60, 60)], limits(1000, 64),
    "0[0..60] || 1[0..60]")]
#[case::outputs_are_filled(vec![batch(100, 100, 100)], limits(50, 64), "0[0..32] | 0[32..63] || 0[63..100]")]
#[case::even_shares_where_they_fill_every_output(vec![batch(60, 60, 60), batch(62, 62, 62)], limits(48, 64),
    "0[0..60] || 1[0..31] | 1[31..62]")]
#[case::no_crumbs_for_a_full_output(vec![batch(60, 60, 60), batch(40, 40, 40)], limits(64, 64),
    "0[0..60] || 1[0..40]")]
#[case::room_is_worth_a_small_binlog(vec![batch(55, 55, 55), batch(40, 40, 40)], limits(64, 64),
    "0[0..55] 1[0..8] || 1[8..40]")]
#[case::a_row_is_never_refused(vec![batch(3, 3, 300)], limits(10, 10), "0[0..1] || 0[1..2] || 0[2..3]")]
fn cuts(#[case] batches: Vec<BatchSize>, #[case] limits: CutLimits, #[case] expected: &str) {
    assert_eq!(draw(&cut(&batches, limits)), expected);
}

#[test]
fn a_plan_that_just_fits_is_one_output() {
    let batches = [batch(50, 50, 500), batch(50, 50, 500)];
    assert_eq!(cut(&batches, limits(300, 1000)).len(), 1);
    assert_eq!(cut(&batches, limits(300, 999)).len(), 2);
}

#[test]
fn objects_without_rows_count_once_per_piece() {
    let limits = CutLimits { overhead_bytes: 10, ..limits(1000, 40) };
    let outputs = cut(&[batch(10, 5, 30), batch(10, 10, 20)], limits);
    assert_eq!(draw(&outputs), "0[0..5] 1[0..10]");
    assert_eq!(outputs[0].pieces[0].object_bytes, 10 + 20 / 2 + 10);
}

#[test]
fn rows_that_weigh_nothing_still_need_objects() {
    let limits = CutLimits { overhead_bytes: 10, ..limits(10, 25) };
    let light = BatchSize { object_bytes: 5, ..batch(10, 10, 10) };
    assert_eq!(draw(&cut(&[light, light, light], limits)), "0[0..10] | 1[0..10] || 2[0..10]");
}

#[test]
fn an_output_stands_for_the_dead_rows_too() {
    let outputs = cut(&[batch(10, 0, 10), batch(100, 50, 100), batch(7, 0, 7)], limits(100, 1000));
    assert_eq!(outputs.iter().map(|o| o.source_rows).collect::<Vec<_>>(), [117]);
}

fn any_batch() -> impl Strategy<Value = BatchSize> {
    (1u64..2000, 0u64..=100, 1u64..50, 1u64..50, any::<bool>()).prop_map(|(rows, percent, memory, object, ordered)| {
        let kept = if percent > 70 { rows } else { rows * percent / 100 };
        BatchSize {
            rows,
            kept,
            memory_bytes: rows * memory,
            object_bytes: rows * object,
            copyable: ordered && kept == rows,
        }
    })
}

proptest! {
    #[test]
    fn no_row_is_lost_the_order_stays_and_limits_hold(
        batches in prop::collection::vec(any_batch(), 0..30),
        binlog_bytes in 200u64..20_000,
        output_bytes in 1000u64..200_000,
        overhead_bytes in 0u64..200,
        copied in 1u64..20,
    ) {
        let limits = CutLimits { overhead_bytes, copied_bytes: binlog_bytes * copied, ..limits(binlog_bytes, output_bytes) };
        let outputs = cut(&batches, limits);
        let pieces: Vec<&Piece> = outputs.iter().flat_map(|o| &o.pieces).collect();

        let rows = |part: &BatchPart| part.kept.clone().map(|row| (part.batch, row)).collect::<Vec<_>>();
        let got: Vec<(usize, u64)> = pieces.iter().flat_map(|p| p.parts.iter().flat_map(rows)).collect();
        let all: Vec<(usize, u64)> =
            batches.iter().enumerate().flat_map(|(i, b)| (0..b.kept).map(move |row| (i, row))).collect();
        prop_assert_eq!(got, all);

        for output in &outputs {
            prop_assert!(!output.pieces.is_empty());
            let lone_row = output.pieces.len() == 1 && output.pieces[0].rows == 1;
            prop_assert!(output.object_bytes() <= output_bytes || lone_row);
        }
        for piece in &pieces {
            let per_part: u64 = piece.parts.iter().map(|p| p.kept.end - p.kept.start).sum();
            prop_assert!(piece.rows == per_part && piece.rows > 0);
            // A piece of several parts obeys the limit; one part alone may use the slack, and a row's share is rounded.
            let slack = if piece.parts.len() > 1 { 0 } else { binlog_bytes / SPLIT_SLACK + 50 };
            // A whole batch that is copied has a limit of its own.
            let is_copied = |part: &BatchPart| batches[part.batch].copyable && part.kept == (0..batches[part.batch].kept);
            let factor = if matches!(&piece.parts[..], [part] if is_copied(part)) { copied } else { 1 };
            prop_assert!(piece.memory_bytes <= (binlog_bytes + slack) * factor, "{piece:?}");
        }
        if !outputs.is_empty() {
            let sources: u64 = outputs.iter().map(|o| o.source_rows).sum();
            prop_assert_eq!(sources, batches.iter().map(|b| b.rows).sum::<u64>());
        }
    }

    /// Given small rows and true sizes.
    #[test]
    fn all_outputs_but_the_last_are_well_filled(
        batches in prop::collection::vec(any_batch(), 0..30),
        binlog_bytes in 200u64..20_000,
        output_bytes in 5000u64..200_000,
    ) {
        let outputs = cut(&batches, limits(binlog_bytes, output_bytes));
        let filled = |output: &OutputCut| output.object_bytes() * 5 >= output_bytes * 4;
        let all_but_last = outputs.len().saturating_sub(1);
        prop_assert!(outputs.iter().take(all_but_last).all(filled), "{}", draw(&outputs));
    }

    #[test]
    fn a_batch_begins_a_piece_only_if_it_does_not_fit_into_the_one_before(
        batches in prop::collection::vec(any_batch(), 0..30),
        binlog_bytes in 200u64..20_000,
    ) {
        let outputs = cut(&batches, limits(binlog_bytes, u64::MAX));
        prop_assert!(outputs.len() <= 1);
        let stays_alone = |p: &Piece| {
            let batch = batches[p.parts[0].batch];
            p.parts.len() == 1 && batch.copyable && batch.memory_bytes >= binlog_bytes / 2
        };
        for pair in outputs.iter().flat_map(|o| o.pieces.windows(2)) {
            let first = &pair[1].parts[0];
            let batch = batches[first.batch];
            let rest = batch.memory_bytes * (batch.kept - first.kept.start) / batch.rows;
            let fits = pair[0].memory_bytes + rest + 1 < binlog_bytes;
            prop_assert!(!fits || stays_alone(&pair[0]) || stays_alone(&pair[1]), "{pair:?}");
        }
    }
}
