use console::strip_ansi_codes;
use rstest::rstest;

use super::{
    checks, collection_explained, draft, garbage, job, jobs, lineage, pauses, segment_explained, settings_checked,
    status, style, table, throttle, units, verified,
};
use crate::{
    cli::view::{CollectionStatus, StatusView},
    wire::proto::datacoord::{explain_collection_response::Count, pause_scope::Scope, *},
};

/// 2026-11-29T20:00:00Z
const MOMENT: i64 = 1_795_982_400_000;

fn plain(text: &str) -> Vec<String> {
    strip_ansi_codes(text).lines().map(str::to_owned).collect()
}

fn books() -> CollectionRef {
    CollectionRef { db_name: "default".into(), collection_name: "books".into(), collection_id: 7 }
}

#[rstest]
#[case(0, "0 B")]
#[case(1023, "1023 B")]
#[case(1024, "1.0 kB")]
#[case(1536, "1.5 kB")]
#[case(5 << 20, "5.0 MB")]
fn sizes(#[case] count: i64, #[case] text: &str) {
    assert_eq!(units::bytes(count), text);
}

#[rstest]
#[case(0.123, "0.12 s")]
#[case(9.94, "9.94 s")]
#[case(9.96, "10 s")]
#[case(59.4, "59 s")]
#[case(59.6, "1 min 0 s")]
#[case(185.0, "3 min 5 s")]
#[case(7800.0, "2 h 10 min")]
#[case(-1.0, "0.00 s")]
fn durations(#[case] seconds: f64, #[case] text: &str) {
    assert_eq!(units::seconds(seconds), text);
}

#[test]
fn times_and_shares_that_are_not_there_are_a_dash() {
    assert_eq!((units::time(MOMENT).as_str(), units::time(0).as_str()), ("2026-11-29T20:00:00Z", "-"));
    assert_eq!((units::took(1000, 3500).as_str(), units::took(1000, 0).as_str()), ("2.50 s", "-"));
    assert_eq!((units::share(1, 8).as_str(), units::share(0, 0).as_str()), ("12.5 %", "-"));
}

#[test]
fn colours_have_no_width_in_a_table() {
    let row = |state: String| vec![state, "x".to_owned()];
    let coloured = table::table(&["state", "end"], &[row(style::bad("failed")), row(style::good("ok"))]);
    assert!(coloured.contains('\u{1b}'), "{coloured:?}");
    assert_eq!(plain(&coloured), ["  state   end", "  failed  x", "  ok      x"]);
}

#[test]
fn jobs_are_listed_with_their_plans_and_pauses() {
    let of = |job_id, state: JobState, completed_plans, failed_plans, reason: &str| Compaction {
        job_id,
        collection: Some(books()),
        trigger: "manual".into(),
        state: state as i32,
        completed_plans,
        failed_plans,
        created_at_ms: MOMENT,
        ended_at_ms: MOMENT + 1500,
        reason: reason.into(),
        ..Compaction::default()
    };
    let answer = ListCompactionsResponse {
        jobs: vec![of(2, JobState::PartiallyCompleted, 1, 1, ""), of(1, JobState::Completed, 0, 0, "nothing to do")],
        next_page_token: "1".into(),
        pauses: vec![PauseEntry {
            scope: Some(PauseScope { scope: Some(Scope::Collection(books())) }),
            by: "ops".into(),
            since_ms: MOMENT,
        }],
    };
    let lines = [
        "  job  collection  trigger  state                 plans  made at                 took",
        "    2  books       manual   partially completed  1 of 2  2026-11-29T20:00:00Z  1.50 s",
        "    1  books       manual   completed                 0  2026-11-29T20:00:00Z  1.50 s  nothing to do",
        "there are more: raise --limit",
        "paused: collection books, by ops since 2026-11-29T20:00:00Z",
    ];
    assert_eq!(plain(&jobs(&answer)), lines);
}

#[test]
fn a_job_is_told_with_the_failure_of_its_plan() {
    let plan = Plan {
        plan_id: 5,
        kind: "mix".into(),
        reason: "3 small segments".into(),
        state: PlanState::Failed as i32,
        sources: vec![1, 2, 3],
        failure_kind: "corrupt".into(),
        failure_reason: "insert_log/1: bad magic".into(),
        attempts: 2,
        created_at_ms: MOMENT,
        started_at_ms: MOMENT + 1000,
        ended_at_ms: MOMENT + 3000,
        ..Plan::default()
    };
    let job_of = Compaction {
        job_id: 4,
        collection: Some(CollectionRef { db_name: "shop".into(), ..books() }),
        trigger: "manual".into(),
        state: JobState::Failed as i32,
        failed_plans: 1,
        created_at_ms: MOMENT,
        ended_at_ms: MOMENT + 3000,
        priority: 9,
        deadline_ms: MOMENT + 60_000,
        ..Compaction::default()
    };
    let lines = [
        "job 4 of shop.books (manual): failed",
        "  made at 2026-11-29T20:00:00Z, took 3.00 s, priority 9, to end by 2026-11-29T20:01:00Z",
        "  plans: 0 executing, 0 completed, 1 failed, 0 timed out, 0 cancelled",
        "    plan 5 (mix)",
        "      why:     3 small segments",
        "      sources: 1, 2, 3",
        "      target:  nothing",
        "      state:   failed after 2.00 s, attempt 2",
        "      failure: insert_log/1: bad magic (corrupt)",
    ];
    assert_eq!(plain(&job(&GetCompactionResponse { job: Some(job_of), plans: vec![plan] })), lines);
}

/// 1 was made from 2 and 3, which share the source 4, and 3 also from 5.
#[test]
fn a_lineage_is_a_tree_that_repeats_nothing() {
    let of = |segment_id, compaction_from: &[i64], rows| LineageSegment {
        segment_id,
        origin: if compaction_from.is_empty() { SegmentOrigin::Flush } else { SegmentOrigin::Compaction } as i32,
        state: "Flushed".into(),
        rows,
        bytes: rows * 100,
        compaction_from: compaction_from.to_vec(),
        ..LineageSegment::default()
    };
    let gone = LineageSegment { segment_id: 5, origin: SegmentOrigin::Unknown as i32, ..LineageSegment::default() };
    let segments = vec![of(1, &[2, 3], 9), of(2, &[4], 4), of(3, &[4, 5], 5), of(4, &[6], 8), gone, of(6, &[], 8)];
    let lines = [
        "1 Flushed, 9 rows, 900 B, by compaction",
        "├─ 2 Flushed, 4 rows, 400 B, by compaction",
        "│  └─ 4 Flushed, 8 rows, 800 B, by compaction",
        "│     └─ 6 Flushed, 8 rows, 800 B, by flush",
        "└─ 3 Flushed, 5 rows, 500 B, by compaction",
        "   ├─ 4 Flushed, 8 rows, 800 B, by compaction, as above",
        "   └─ 5 its record is collected",
        "older records are collected: the tree is not complete",
    ];
    assert_eq!(plain(&lineage(&GetLineageResponse { segments, is_complete: false })), lines);
}

#[test]
fn a_segment_is_explained_with_what_would_change_it() {
    let explanation = Explanation {
        segment: Some(Segment {
            segment_id: 3,
            state: "Flushed".into(),
            level: "L1".into(),
            rows: 100,
            bytes: 2048,
            delta_rows: 5,
            ..Segment::default()
        }),
        automatic: Some(ExplainVerdict {
            code: "few_deletes".into(),
            text: "5.0 % deleted, threshold 20 %".into(),
            remedy: "delete 16 rows more".into(),
            ..ExplainVerdict::default()
        }),
        on_request: Some(ExplainVerdict {
            code: "planned".into(),
            text: "it would be compacted".into(),
            plan: Some(DraftPlan { sources: vec![3, 4], input_rows: 150, ..DraftPlan::default() }),
            ..ExplainVerdict::default()
        }),
        next_look_ms: MOMENT + 30_000,
        held: "paused by ops".into(),
        indexes: vec![IndexExplanation {
            field_name: "v".into(),
            code: "few_rows".into(),
            text: "searched exactly: 100 rows".into(),
            ..IndexExplanation::default()
        }],
        ..Explanation::default()
    };
    let lines = [
        "segment 3 Flushed L1: 100 rows, 5 deletes, 2.0 kB",
        "  by itself:          5.0 % deleted, threshold 20 % (few_deletes)",
        "  to change that:     delete 16 rows more",
        "  held:               paused by ops",
        "  looked at next:     2026-11-29T20:00:30Z, in 30 s",
        "  on request:         it would be compacted (planned), 2 segments with 150 rows",
        "  searches of v:      searched exactly: 100 rows (few_rows)",
    ];
    assert_eq!(plain(&segment_explained(&explanation, MOMENT)), lines);
}

#[test]
fn a_collection_is_explained_by_counts_and_segments() {
    let answer = ExplainCollectionResponse {
        counts: vec![Count { code: "planned".into(), segments: 12, bytes: 4096 }],
        explanations: vec![Explanation {
            segment: Some(Segment { segment_id: 3, rows: 8, delta_rows: 2, ..Segment::default() }),
            automatic: Some(ExplainVerdict { text: "it would be compacted".into(), ..Default::default() }),
            on_request: Some(ExplainVerdict { code: "planned".into(), ..Default::default() }),
            ..Explanation::default()
        }],
        segments: 12,
    };
    let lines = [
        "12 segments",
        "  by itself  segments   bytes",
        "  planned          12  4.0 kB",
        "",
        "  segment  rows  deleted  by itself              on request",
        "        3     8   25.0 %  it would be compacted  planned",
        "and 11 more: raise --limit, or explain one segment",
    ];
    assert_eq!(plain(&collection_explained(&answer)), lines);
}

#[test]
fn a_dry_run_tells_what_it_would_do_and_what_would_stay() {
    let answer = PlanCompactionResponse {
        plans: vec![DraftPlan {
            kind: "mix".into(),
            reason: "11 small segments".into(),
            sources: vec![1, 2],
            input_rows: 10,
            input_bytes: 2048,
            estimated_output_bytes: 1024,
            estimated_seconds: Some(1.5),
            partition_id: 8,
            ..DraftPlan::default()
        }],
        skipped: vec![SkippedSegment {
            segment_id: 3,
            reason: Some(SkipReason { code: "full".into(), text: "it is full".into(), ..SkipReason::default() }),
        }],
        estimated_seconds: Some(1.5),
        merge_mb_per_second: Some(100.0),
        ..PlanCompactionResponse::default()
    };
    let lines = [
        "  kind  segments  rows   reads  writes   takes  partition  because",
        "  mix          2    10  2.0 kB  1.0 kB  1.50 s          8  11 small segments",
        "1 plan would be made; about 1.50 s at 100.0 MB/s",
        "",
        "1 segment would stay:",
        "  segment  code  because",
        "        3  full  it is full",
    ];
    assert_eq!(plain(&draft(&answer)), lines);
    let nothing = PlanCompactionResponse { reason: "there is one segment".into(), ..PlanCompactionResponse::default() };
    assert_eq!(plain(&draft(&nothing)), ["0 plans would be made: there is one segment"]);
}

#[test]
fn garbage_is_told_with_its_pins() {
    let sum =
        |segments, files, bytes| Some(GarbageSum { segments: Some(segments), files: Some(files), bytes: Some(bytes) });
    let item = |pins| GarbageItem { segment_id: 9, files: 3, bytes: 300, pins, ..GarbageItem::default() };
    let pin = |kind: &str| GarbagePin { kind: kind.into(), until_ms: MOMENT, plan_id: 4 };
    let answer = CollectGarbageResponse {
        collected: sum(0, 0, 0),
        pinned: sum(1, 3, 300),
        items: vec![item(vec![pin("tolerance"), pin("plan")]), item(vec![])],
    };
    let text = plain(&garbage(&answer, true));
    assert!(text[1].contains("its age, until 2026-11-29T20:00:00Z, plan 4  segment 9"), "{text:#?}");
    assert!(text[2].contains("nothing"), "{text:#?}");
    assert_eq!(
        text[3..],
        ["would be collected now: 0 dropped segments, 0 files, 0 B", "pinned: 1 dropped segments, 3 files, 300 B"]
    );
    let collected = CollectGarbageResponse { collected: sum(2, 6, 1024), ..CollectGarbageResponse::default() };
    assert_eq!(plain(&garbage(&collected, false)), ["collected 2 dropped segments, 6 files, 1.0 kB"]);
}

#[test]
fn the_status_begins_with_the_verdict() {
    let of_books = CollectionStatus {
        collection: books(),
        amplification: GetAmplificationResponse {
            read: Some(1.25),
            live_segments: 4,
            live_rows: 100,
            stored_bytes: 2048,
            ..GetAmplificationResponse::default()
        },
        to_compact: 3,
    };
    let throttle_of = ThrottleResponse {
        measured_mb_per_second: Some(1.0),
        in_effect: "no limit, as configured".into(),
        ..ThrottleResponse::default()
    };
    assert_eq!(throttle(&throttle_of), "no limit, as configured; now 1.0 MB/s\n");
    let sick = StatusView {
        version: "2.3.5".into(),
        endpoint: "127.0.0.1:19530".into(),
        verdict: OverviewVerdict { code: "degraded".into(), text: "Works, but the bucket is away".into() },
        is_healthy: false,
        health_reasons: vec!["the bucket does not answer".into()],
        throttle: throttle_of,
        executing: vec![Compaction {
            job_id: 4,
            collection: Some(books()),
            trigger: "tick".into(),
            executing_plans: 2,
            progress: Some(Progress { total_rows: 10, done_rows: 5, total_bytes: 2048, done_bytes: 1024 }),
            ..Compaction::default()
        }],
        collections: vec![of_books],
        other_collections: 2,
        ..StatusView::default()
    };
    let lines = [
        "datacoord 2.3.5 at 127.0.0.1:19530",
        "Works, but the bucket is away",
        "health: not well",
        "  the bucket does not answer",
        "throttle: no limit, as configured; now 1.0 MB/s",
        "jobs: 1 under way",
        "  job 4 of books (tick): 5 of 10 rows, 1.0 kB of 2.0 kB, 2 plans",
        "",
        "  collection  segments  live rows  stored  read ×  write ×  space ×  to compact",
        "  books              4        100  2.0 kB    1.25        -        -           3",
        "and 2 more collections: raise --limit",
    ];
    assert_eq!(plain(&status(&sick)), lines);
}

#[test]
fn a_pause_names_its_scope() {
    let entry =
        |scope| PauseEntry { scope: Some(PauseScope { scope: Some(scope) }), by: "ops".into(), since_ms: MOMENT };
    let text = pauses(&[entry(Scope::Everything(true)), entry(Scope::JobId(4))]);
    let lines =
        ["paused: everything, by ops since 2026-11-29T20:00:00Z", "paused: job 4, by ops since 2026-11-29T20:00:00Z"];
    assert_eq!(plain(&text), lines);
}

#[test]
fn findings_have_their_next_step_below() {
    let found = [("disk", "ok", "5.0 GB free", ""), ("object store", "problem", "it is away", "start it")];
    let lines = [
        "ok        disk            5.0 GB free",
        "problem   object store    it is away",
        "                          start it",
    ];
    assert_eq!(plain(&checks(found.into_iter())), lines);
}

#[test]
fn settings_are_checked_with_warnings_first() {
    let text = settings_checked(
        1,
        2,
        &["key dataCoord.segmnt means nothing here: is it meant to be dataCoord.segment.maxSize?".to_owned()],
    );
    let lines = [
        "warning: key dataCoord.segmnt means nothing here: is it meant to be dataCoord.segment.maxSize?",
        "OK: 1 key set, 2 of the file mean nothing here",
    ];
    assert_eq!(plain(&text), lines);
    assert_eq!(plain(&settings_checked(0, 0, &[])), ["OK: 0 keys set"]);
}

#[test]
fn a_verdict_on_files_names_each_damage() {
    let damage = ["insert_log/1: corrupt".to_owned()];
    let lines =
        ["damaged: insert_log/1: corrupt", "2 logs, 7 rows and deletes, 1.0 kB: 1 damaged; 1 other file beside them"];
    assert_eq!(plain(&verified([2, 1, 1], 7, 1024, &damage)), lines);
    assert_eq!(plain(&verified([1, 0, 0], 7, 10, &[])), ["1 log, 7 rows and deletes, 10 B: OK"]);
}
