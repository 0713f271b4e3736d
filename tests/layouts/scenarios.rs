//! Drawn scenarios: the segments, the plans and their reasons, their cost, and the segments afterwards.
//!
//! A bar of 32 cells is one segment of the maximum size (512 MB); `#` is live, `x` is deleted.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use datacoord::{
    model::{SegmentId, Timestamp, Trigger},
    planner::Policy,
};

use crate::group::{MB, Simulated};

const HOUR: Duration = Duration::from_secs(3600);

/// Plans and carries out until nothing is planned, and writes a report.
fn play(group: &mut Simulated, trigger: Trigger) -> String {
    let mut text = group.layout();
    for round in 1.. {
        let proposals = group.propose(trigger);
        writeln!(text, "-- {} {round}", trigger.as_str()).unwrap();
        for draft in &proposals.drafts {
            let inputs: Vec<String> = draft.inputs.iter().map(|i| i.segment.to_string()).collect();
            let (kind, inputs, to) = (draft.kind.as_str(), inputs.join(" "), draft.estimated_output_bytes / MB);
            writeln!(text, "{kind} {inputs} -> {to} MB: {}", draft.reason).unwrap();
        }
        let mut skipped: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, reason) in &proposals.skipped {
            skipped.entry(reason.to_string()).or_default().push(id.to_string());
        }
        for (reason, ids) in skipped {
            writeln!(text, "not {}: {reason}", ids.join(" ")).unwrap();
        }
        if proposals.drafts.is_empty() {
            break;
        }
        for draft in &proposals.drafts {
            group.carry_out(draft);
        }
        text.push_str(&group.layout());
    }
    for (reason, bytes) in std::mem::take(&mut group.rewritten) {
        writeln!(text, "rewritten, {reason}: {} MB", bytes / MB).unwrap();
    }
    text
}

fn flushed(megabytes: &[u64]) -> Simulated {
    let mut group = Simulated::new();
    for mb in megabytes {
        group.flush(mb * MB);
    }
    group
}

#[test]
fn sealed_segments_fill_one() {
    let mut group = flushed(&[118, 118, 118]);
    let before = play(&mut group, Trigger::Flush);
    group.flush(118 * MB);
    let after = play(&mut group, Trigger::Flush);
    insta::assert_snapshot!(format!("{before}\n{after}"), @r"
       1 [########                        ] 118 MB
       2 [########                        ] 118 MB
       3 [########                        ] 118 MB
    -- flush 1
    not 1 2 3: too few small segments: 3 of 11, 354 of 435.1 MB

       1 [########                        ] 118 MB
       2 [########                        ] 118 MB
       3 [########                        ] 118 MB
       4 [########                        ] 118 MB
    -- flush 1
    mix 1 2 3 4 -> 472 MB: 494927872 bytes of small segments reach 456340275
       5 [##############################  ] 472 MB
    -- flush 2
    not 5: already 92.1 % full
    rewritten, full_enough: 472 MB
    ");
}

#[test]
fn many_tiny_flushes() {
    let mut group = flushed(&[2; 11]);
    let first = play(&mut group, Trigger::Flush);
    for _ in 0..10 {
        group.flush(2 * MB);
    }
    let second = play(&mut group, Trigger::Flush);
    insta::assert_snapshot!(format!("{first}\n{second}"), @r"
       1 [#                               ]   2 MB
       2 [#                               ]   2 MB
       3 [#                               ]   2 MB
       4 [#                               ]   2 MB
       5 [#                               ]   2 MB
       6 [#                               ]   2 MB
       7 [#                               ]   2 MB
       8 [#                               ]   2 MB
       9 [#                               ]   2 MB
      10 [#                               ]   2 MB
      11 [#                               ]   2 MB
    -- flush 1
    mix 1 2 3 4 5 6 7 8 9 10 11 -> 22 MB: 11 small segments exceed 10
      12 [##                              ]  22 MB
    -- flush 2
    not 12: alone in its group
    rewritten, small_segments: 22 MB

      12 [##                              ]  22 MB
      13 [#                               ]   2 MB
      14 [#                               ]   2 MB
      15 [#                               ]   2 MB
      16 [#                               ]   2 MB
      17 [#                               ]   2 MB
      18 [#                               ]   2 MB
      19 [#                               ]   2 MB
      20 [#                               ]   2 MB
      21 [#                               ]   2 MB
      22 [#                               ]   2 MB
    -- flush 1
    mix 13 14 15 16 17 18 19 20 21 22 -> 20 MB: 11 small segments exceed 10
    not 12: too few small segments: 1 of 11, 22 of 435.1 MB
      12 [##                              ]  22 MB
      23 [##                              ]  20 MB
    -- flush 2
    not 12 23: too few small segments: 2 of 11, 42 of 435.1 MB
    rewritten, small_segments: 20 MB
    ");
}

#[test]
fn a_backlog_is_levelled() {
    let mut group = flushed(&[130, 60, 118, 90, 40, 118, 75, 118, 33, 118, 101, 20, 118, 118, 99]);
    insta::assert_snapshot!(play(&mut group, Trigger::Tick), @r"
       1 [#########                       ] 130 MB
       2 [####                            ]  60 MB
       3 [########                        ] 118 MB
       4 [######                          ]  90 MB
       5 [###                             ]  40 MB
       6 [########                        ] 118 MB
       7 [#####                           ]  75 MB
       8 [########                        ] 118 MB
       9 [###                             ]  33 MB
      10 [########                        ] 118 MB
      11 [#######                         ] 101 MB
      12 [##                              ]  20 MB
      13 [########                        ] 118 MB
      14 [########                        ] 118 MB
      15 [#######                         ]  99 MB
    -- tick 1
    mix 1 7 9 13 15 -> 455 MB: 477102080 bytes of small segments reach 456340275
    mix 2 3 5 8 14 -> 454 MB: 476053504 bytes of small segments reach 456340275
    mix 4 6 10 11 12 -> 447 MB: 468713472 bytes of small segments reach 456340275
      16 [#############################   ] 455 MB
      17 [#############################   ] 454 MB
      18 [############################    ] 447 MB
    -- tick 2
    not 18: already 87.3 % full
    not 17: already 88.6 % full
    not 16: already 88.8 % full
    rewritten, full_enough: 1356 MB
    ");
}

#[test]
fn deletes_make_room() {
    let mut group = flushed(&[500, 480, 470, 150, 60]);
    for (id, percent) in [(1, 45), (2, 70), (3, 10), (4, 5)] {
        group.delete(datacoord::model::SegmentId(id), percent, HOUR);
    }
    let automatic = play(&mut group, Trigger::Tick);
    let manual = play(&mut group, Trigger::Manual);
    insta::assert_snapshot!(format!("{automatic}\n{manual}"), @r"
       1 [##################xxxxxxxxxxxxxx] 500 MB
       2 [#########xxxxxxxxxxxxxxxxxxxxx  ] 480 MB
       3 [###########################xxx  ] 470 MB
       4 [#########x                      ] 150 MB
       5 [####                            ]  60 MB
    -- tick 1
    mix 1 2 5 -> 479 MB: 230400 of 512000 rows are deleted, ratio 0.2
    not 3: 10 % delta rows, rewritten above 20 %
    not 4: too few small segments: 1 of 11, 142.5 of 435.1 MB
       3 [###########################xxx  ] 470 MB
       4 [#########x                      ] 150 MB
       6 [##############################  ] 479 MB
    -- tick 2
    not 3: 10 % delta rows, rewritten above 20 %
    not 6: already 93.5 % full
    not 4: too few small segments: 1 of 11, 142.5 of 435.1 MB
    rewritten, delta_rows: 479 MB

       3 [###########################xxx  ] 470 MB
       4 [#########x                      ] 150 MB
       6 [##############################  ] 479 MB
    -- manual 1
    single 3 -> 423 MB: asked for: the segment has 48128 delta rows
    single 4 -> 142 MB: asked for: the segment has 7680 delta rows
    not 6: already 93.5 % full
       6 [##############################  ] 479 MB
       7 [###########################     ] 423 MB
       8 [#########                       ] 142 MB
    -- manual 2
    not 8: 27.8 % full, nothing that would fill it fits beside it
    not 7: 82.6 % full, nothing that would fill it fits beside it
    not 6: already 93.5 % full
    rewritten, manual_rewrite: 565 MB
    ");
}

#[test]
fn a_client_asks_for_everything() {
    let mut group = flushed(&[505, 490, 300, 250, 20, 12]);
    group.delete(datacoord::model::SegmentId(2), 100, HOUR);
    insta::assert_snapshot!(play(&mut group, Trigger::Manual), @r"
       1 [################################] 505 MB
       2 [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ] 490 MB
       3 [###################             ] 300 MB
       4 [################                ] 250 MB
       5 [##                              ]  20 MB
       6 [#                               ]  12 MB
    -- manual 1
    single 2 -> 0 MB: asked for: the segment has 501760 delta rows
    mix 4 5 6 -> 282 MB: asked for: these segments fit together
    not 3: 58.5 % full, nothing that would fill it fits beside it
    not 1: already 98.6 % full
       1 [################################] 505 MB
       3 [###################             ] 300 MB
       7 [##################              ] 282 MB
    -- manual 2
    not 7: 55 % full, nothing that would fill it fits beside it
    not 3: 58.5 % full, nothing that would fill it fits beside it
    not 1: already 98.6 % full
    rewritten, manual_merge: 282 MB
    rewritten, manual_rewrite: 0 MB
    ");
}

#[test]
fn rows_expire() {
    let mut group = Simulated::new();
    group.ttl = Some(10 * HOUR);
    for hours in [5, 12, 20, 200] {
        group.flush_over(400 * MB, hours * HOUR);
    }
    let automatic = play(&mut group, Trigger::Tick);
    let manual = play(&mut group, Trigger::Manual);
    insta::assert_snapshot!(format!("{automatic}\n{manual}"), @r"
       1 [#########################       ] 400 MB
       2 [#########################       ] 400 MB
       3 [#########################       ] 400 MB
       4 [#########################       ] 400 MB
    -- tick 1
    single 3 -> 200 MB: about 204800 of 409600 rows are past their time to live, ratio 0.2
    single 4 -> 20 MB: about 389120 of 409600 rows are past their time to live, ratio 0.2
    not 2: about 16.6 % expired rows, rewritten above 20 %
    not 1: already 78.1 % full
       1 [#########################       ] 400 MB
       2 [#########################       ] 400 MB
       5 [#############                   ] 200 MB
       6 [##                              ]  20 MB
    -- tick 2
    not 2: about 16.6 % expired rows, rewritten above 20 %
    not 1: already 78.1 % full
    not 5 6: too few small segments: 2 of 11, 220 of 435.1 MB
    rewritten, expired: 220 MB

       1 [#########################       ] 400 MB
       2 [#########################       ] 400 MB
       5 [#############                   ] 200 MB
       6 [##                              ]  20 MB
    -- manual 1
    mix 2 6 -> 353 MB: asked for: these segments fit together
    not 5: 39 % full, nothing that would fill it fits beside it
    not 1: 78.1 % full, nothing that would fill it fits beside it
       1 [#########################       ] 400 MB
       5 [#############                   ] 200 MB
       7 [#######################         ] 353 MB
    -- manual 2
    not 5: 39 % full, nothing that would fill it fits beside it
    not 7: 69 % full, nothing that would fill it fits beside it
    not 1: 78.1 % full, nothing that would fill it fits beside it
    rewritten, manual_merge: 353 MB
    ");
}

#[test]
fn a_retention_window_passes() {
    let mut group = flushed(&[400]);
    let written = group.now_ms;
    group.delete(datacoord::model::SegmentId(1), 50, Duration::ZERO);
    let mut text = String::new();
    for hours in [1, 2, 3, 4, 8] {
        group.now_ms = written + hours * HOUR.as_millis() as u64;
        group.retain_after = Timestamp::from_ms(group.now_ms - 2 * HOUR.as_millis() as u64);
        writeln!(text, "after {hours} h\n{}", play(&mut group, Trigger::Tick)).unwrap();
    }
    insta::assert_snapshot!(text, @r"
    after 1 h
       1 [#############xxxxxxxxxxxx       ] 400 MB
    -- tick 1
    not 1: 204800 delta rows inside the retention window

    after 2 h
       1 [#############xxxxxxxxxxxx       ] 400 MB
    -- tick 1
    not 1: 204800 delta rows inside the retention window

    after 3 h
       1 [#############xxxxxxxxxxxx       ] 400 MB
    -- tick 1
    not 1: 204800 delta rows inside the retention window

    after 4 h
       1 [#############xxxxxxxxxxxx       ] 400 MB
    -- tick 1
    single 1 -> 300 MB: 102400 of 409600 rows are deleted, ratio 0.2
       2 [#############xxxxxx             ] 300 MB
    -- tick 2
    not 2: 102400 delta rows inside the retention window
    rewritten, delta_rows: 300 MB

    after 8 h
       2 [#############xxxxxx             ] 300 MB
    -- tick 1
    single 2 -> 233 MB: 68266 of 307200 rows are deleted, ratio 0.2
       3 [#############xx                 ] 233 MB
    -- tick 2
    not 3: alone in its group
    rewritten, delta_rows: 233 MB
    ");
}

/// The same, asked for by a client with a policy.
fn asked(group: &mut Simulated, policy: Policy) -> String {
    group.policy = policy;
    play(group, Trigger::Manual)
}

#[test]
fn segments_of_a_size_are_asked_for() {
    let mut group = flushed(&[700, 500, 120, 90, 30, 200, 128]);
    group.delete(SegmentId(5), 100, HOUR);
    let small = asked(&mut group, Policy::ForceMerge { target_bytes: 128 * MB });
    let large = asked(&mut group, Policy::ForceMerge { target_bytes: 1024 * MB });
    insta::assert_snapshot!(format!("{small}\n{large}"), @r"
       1 [############################################] 700 MB
       2 [################################] 500 MB
       3 [########                        ] 120 MB
       4 [######                          ]  90 MB
       5 [xx                              ]  30 MB
       6 [#############                   ] 200 MB
       7 [########                        ] 128 MB
    -- manual 1
    mix 1 2 4 6 -> 1490 MB: asked for: segments of 134217728 bytes
    single 5 -> 0 MB: asked for: the segment has 30720 delta rows
    not 7: already 100 % full
    not 3: already 93.7 % full
       3 [########                        ] 120 MB
       7 [########                        ] 128 MB
       8 [########                        ] 124 MB
       9 [########                        ] 124 MB
      10 [########                        ] 124 MB
      11 [########                        ] 124 MB
      12 [########                        ] 124 MB
      13 [########                        ] 124 MB
      14 [########                        ] 124 MB
      15 [########                        ] 124 MB
      16 [########                        ] 124 MB
      17 [########                        ] 124 MB
      18 [########                        ] 124 MB
      19 [########                        ] 124 MB
    -- manual 2
    not 7: already 100 % full
    not 3: already 93.7 % full
    not 8 9 10 11 12 13 14 15 16 17 18 19: already 97 % full
    rewritten, force_merge: 1490 MB
    rewritten, manual_rewrite: 0 MB

       3 [########                        ] 120 MB
       7 [########                        ] 128 MB
       8 [########                        ] 124 MB
       9 [########                        ] 124 MB
      10 [########                        ] 124 MB
      11 [########                        ] 124 MB
      12 [########                        ] 124 MB
      13 [########                        ] 124 MB
      14 [########                        ] 124 MB
      15 [########                        ] 124 MB
      16 [########                        ] 124 MB
      17 [########                        ] 124 MB
      18 [########                        ] 124 MB
      19 [########                        ] 124 MB
    -- manual 1
    mix 3 7 10 12 14 16 18 -> 868 MB: asked for: segments of 1073741824 bytes
    mix 8 9 11 13 15 17 19 -> 869 MB: asked for: segments of 1073741824 bytes
      20 [#######################################################] 868 MB
      21 [#######################################################] 869 MB
    -- manual 2
    not 20 21: already 84.8 % full
    rewritten, force_merge: 1738 MB
    ");
}

#[test]
fn rows_are_clustered() {
    let mut group = flushed(&[400, 300, 200]);
    group.delete(SegmentId(1), 10, HOUR);
    let first = asked(&mut group, Policy::Clustering);
    group.flush(20 * MB);
    group.flush(20 * MB);
    group.delete(SegmentId(4), 30, HOUR);
    let automatic = play(&mut group, Trigger::Tick);
    let standard = asked(&mut group, Policy::Standard);
    let second = asked(&mut group, Policy::Clustering);
    insta::assert_snapshot!(format!("{first}\n{automatic}\n{standard}\n{second}"), @r"
       1 [#######################xx       ] 400 MB
       2 [###################             ] 300 MB
       3 [#############                   ] 200 MB
    -- manual 1
    clustering 1 2 3 -> 860 MB: asked for: inputs not clustered by field 101: 3
       4 [###########################     ] 430 MB
       5 [###########################     ] 430 MB
    -- manual 2
    not 4 5: already clustered by field 101
    rewritten, cluster: 860 MB

       4 [###################xxxxxxxx     ] 430 MB
       5 [###########################     ] 430 MB
       6 [##                              ]  20 MB
       7 [##                              ]  20 MB
    -- tick 1
    single 4 -> 301 MB: 132096 of 440320 rows are deleted, ratio 0.2
    not 5: clustered (level L2), not merged with others
    not 6 7: too few small segments: 2 of 11, 40 of 435.1 MB
       5 [###########################     ] 430 MB
       6 [##                              ]  20 MB
       7 [##                              ]  20 MB
       8 [###################             ] 301 MB
    -- tick 2
    not 5 8: clustered (level L2), not merged with others
    not 6 7: too few small segments: 2 of 11, 40 of 435.1 MB
    rewritten, delta_rows: 301 MB

       5 [###########################     ] 430 MB
       6 [##                              ]  20 MB
       7 [##                              ]  20 MB
       8 [###################             ] 301 MB
    -- manual 1
    mix 6 7 -> 40 MB: asked for: these segments fit together
    not 5 8: clustered (level L2), not merged with others
       5 [###########################     ] 430 MB
       8 [###################             ] 301 MB
       9 [###                             ]  40 MB
    -- manual 2
    not 9: 7.8 % full, nothing that would fill it fits beside it
    not 5 8: clustered (level L2), not merged with others
    rewritten, manual_merge: 40 MB

       5 [###########################     ] 430 MB
       8 [###################             ] 301 MB
       9 [###                             ]  40 MB
    -- manual 1
    clustering 5 8 9 -> 771 MB: asked for: inputs not clustered by field 101: 1
      10 [#########################       ] 385 MB
      11 [#########################       ] 385 MB
    -- manual 2
    not 10 11: already clustered by field 101
    rewritten, cluster: 771 MB
    ");
}

#[test]
fn deletes_without_rows() {
    let mut group = flushed(&[40, 30]);
    let l0 = group.flush(MB);
    group.delete(l0, 100, HOUR);
    group.make_l0(l0);
    let automatic = play(&mut group, Trigger::Tick);
    let spread = asked(&mut group, Policy::L0Delete);
    insta::assert_snapshot!(format!("{automatic}\n{spread}"), @r"
       1 [###                             ]  40 MB
       2 [##                              ]  30 MB
       3 [                                ]   0 MB
    -- tick 1
    not 3: level L0, its deletes are spread on request only
    not 1 2: too few small segments: 2 of 11, 70 of 435.1 MB

       1 [###                             ]  40 MB
       2 [##                              ]  30 MB
       3 [                                ]   0 MB
    -- manual 1
    l0_delete 3 -> 0 MB: asked for: 1024 deletes are in L0 segments
    not 1 2: level L1, only deletes of level L0 are spread
       1 [###                             ]  40 MB
       2 [##                              ]  30 MB
    -- manual 2
    not 1 2: level L1, only deletes of level L0 are spread
    ");
}
