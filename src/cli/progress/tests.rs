use console::{measure_text_width, strip_ansi_codes};
use rstest::rstest;

use super::{
    board::Board,
    frame::{bar, plain, with_bar},
};
use crate::wire::proto::datacoord::{CompactionEvent, Plan, PlanPhase, PlanState, Progress};

/// A plan with a hundred rows of a kilobyte each, of which so many are done.
fn event(plan_id: i64, phase: PlanPhase, done: i64) -> CompactionEvent {
    let state = match phase {
        PlanPhase::Queued | PlanPhase::Paused => PlanState::Queued,
        PlanPhase::Ended => PlanState::Completed,
        _ => PlanState::Executing,
    };
    let progress = Progress { total_rows: 100, done_rows: done, total_bytes: 100 << 10, done_bytes: done << 10 };
    let plan = Plan {
        plan_id,
        kind: "mix".into(),
        state: state as i32,
        progress: Some(progress),
        started_at_ms: 1000,
        ended_at_ms: if phase == PlanPhase::Ended { 3500 } else { 0 },
        ..Plan::default()
    };
    let is_merging = phase == PlanPhase::Merging;
    CompactionEvent {
        at_ms: 1_795_982_400_000,
        plan: Some(plan),
        phase: phase as i32,
        mb_per_second: is_merging.then_some(12.5),
        eta_seconds: is_merging.then_some(3.0),
        job: None,
    }
}

#[rstest]
#[case(0.0, "[····················]")]
#[case(0.5, "[██████████··········]")]
#[case(1.0, "[████████████████████]")]
#[case(7.0, "[████████████████████]")]
fn a_bar_is_as_full_as_the_plan(#[case] share: f64, #[case] drawn: &str) {
    assert_eq!(bar(share), drawn);
}

#[test]
fn a_line_tells_of_every_phase_and_each_tenth() {
    let mut board = Board::default();
    let told = [
        (PlanPhase::Queued, 0, true),
        (PlanPhase::Reading, 0, true),
        (PlanPhase::Merging, 1, true),
        (PlanPhase::Merging, 5, false),
        (PlanPhase::Merging, 10, false),
        (PlanPhase::Merging, 12, true),
        (PlanPhase::Merging, 13, false),
        (PlanPhase::Committing, 100, true),
        (PlanPhase::Ended, 100, true),
    ];
    for (phase, done, is_told) in told {
        assert_eq!(board.take(&event(1, phase, done)).is_some(), is_told, "{phase:?} {done}");
    }
    assert!(board.take(&CompactionEvent::default()).is_none(), "the last event has no plan");
    assert_eq!((board.open.len(), board.ended_count), (0, 1));
}

#[test]
fn a_plan_is_told_by_rows_speed_and_the_time_that_is_left() {
    let mut board = Board::default();
    let mut told = |phase, done| board.take(&event(7, phase, done)).unwrap();
    assert_eq!(plain(&told(PlanPhase::Queued, 0)), "plan 7 (mix): queued");
    let merging = told(PlanPhase::Merging, 45);
    assert_eq!(plain(&merging), "plan 7 (mix): merging, 45 %, 45 of 100 rows, 12.5 MB/s, 3.00 s left");
    let drawn = with_bar(&merging);
    assert_eq!(drawn, "plan 7 mix [█████████···········]  45 % merging 45 of 100 rows, 12.5 MB/s, 3.00 s left");
    let ended = plain(&told(PlanPhase::Ended, 100));
    assert_eq!(strip_ansi_codes(&ended), "plan 7 (mix): completed after 2.50 s");
}

#[test]
fn a_failure_has_its_reason() {
    let mut failed = event(7, PlanPhase::Ended, 10);
    let plan = failed.plan.as_mut().unwrap();
    plan.state = PlanState::Failed as i32;
    plan.failure_reason = "insert_log/1: bad magic".into();
    let line = plain(&Board::default().take(&failed).unwrap());
    assert_eq!(strip_ansi_codes(&line), "plan 7 (mix): failed after 2.50 s: insert_log/1: bad magic");
}

#[test]
fn a_frame_never_exceeds_the_terminal() {
    let mut board = Board::default();
    for plan in 0..50 {
        board.take(&event(plan, if plan < 10 { PlanPhase::Queued } else { PlanPhase::Merging }, plan));
        board.take(&event(100 + plan, PlanPhase::Ended, 100));
    }
    for (width, height) in [(80, 24), (20, 5), (1, 1), (200, 3), (40, 0), (80, 100)] {
        for lines in [board.bars(width, height), board.screen("datacoord at 127.0.0.1:19530", width, height)] {
            assert!(lines.len() <= height, "{} of {height}", lines.len());
            assert!(lines.iter().all(|line| measure_text_width(line) <= width.max(1)), "{lines:#?}");
        }
    }
    let bars = board.bars(200, 6);
    assert!(bars[0].starts_with("plan 10 mix ["), "plans under way come first: {bars:#?}");
    assert_eq!(bars[5], "and 45 more plans");
}

#[test]
fn a_screen_without_plans_says_so() {
    let lines = Board::default().screen("datacoord at db:1", 100, 24);
    let plain: Vec<_> = lines.iter().map(|line| strip_ansi_codes(line)).collect();
    let expected = ["datacoord at db:1  -", "0 under way, 0 waiting, 0 ended; 0.0 MB/s, 0 B left", "", "nothing runs"];
    assert_eq!(plain, expected);
}

#[test]
fn a_screen_begins_with_the_sums() {
    let mut board = Board::default();
    board.take(&event(1, PlanPhase::Queued, 0));
    board.take(&event(2, PlanPhase::Merging, 50));
    board.take(&event(3, PlanPhase::Ended, 100));
    let lines = board.screen("datacoord at db:1", 100, 24);
    let plain: Vec<_> = lines.iter().map(|line| strip_ansi_codes(line)).collect();
    let expected = [
        "datacoord at db:1  2026-11-29T20:00:00Z",
        "1 under way, 1 waiting, 1 ended; 12.5 MB/s, 150.0 kB left",
        "",
        "plan 2 mix [██████████··········]  50 % merging 50 of 100 rows, 12.5 MB/s, 3.00 s left",
        "plan 1 mix [····················]   0 % queued 0 of 100 rows",
        "",
        "plan 3 mix completed after 2.50 s",
    ];
    assert_eq!(plain, expected);
}

/// A watch may last for months.
#[test]
fn ended_plans_are_kept_up_to_a_number() {
    let mut board = Board::default();
    for plan in 0..1000 {
        board.take(&event(plan, PlanPhase::Ended, 100));
    }
    assert_eq!((board.ended.len(), board.ended_count), (100, 1000));
    assert_eq!(board.ended.back().unwrap().plan.plan_id, 999);
}
