use std::sync::Arc;

use rstest::rstest;

use super::*;
use crate::{
    kit::model,
    model::{FieldId, SegmentIndex, SegmentState},
};

const LARGE: u64 = 1_000;

/// Segments in sentences: `1i` has an index, `2` has none, `3s` is small and needs none. `1i 2i > 3` is a merge.
fn table(merges: &[&str]) -> SegmentTable {
    let group = Arc::new(model::group_of_shard_0(1, 2));
    let mut table = SegmentTable::default();
    let id = |word: &str| SegmentId(word.trim_end_matches(['i', 's']).parse().unwrap());
    let words = |part: &str| part.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for merge in merges {
        let (from, to) = merge.split_once('>').unwrap_or(("", merge));
        let (from, to) = (words(from), words(to));
        let ids = |words: &[String]| words.iter().map(|word| id(word)).collect::<Vec<_>>();
        for source in ids(&from) {
            let before = table.find(source).unwrap().clone();
            table.fold([Segment { state: SegmentState::Dropped, compaction_to: ids(&to).into(), ..before }]);
        }
        for word in &to {
            let index = SegmentIndex { index: 7, field: FieldId(101), build: 1, version: 1, parts: Vec::new() };
            table.fold([Segment {
                rows: if word.ends_with('s') { 1 } else { LARGE },
                indexes: if word.ends_with('i') { [index].into() } else { Box::default() },
                compaction_from: ids(&from).into(),
                ..model::segment(id(word).0, &group)
            }]);
        }
    }
    table
}

fn lacks_index(segment: &Segment) -> bool {
    segment.rows >= LARGE && segment.index(7).is_none()
}

/// `1(3)`: segment 1, with the deletes of segment 3.
fn read(table: &SegmentTable) -> String {
    let words = table.for_search(&lacks_index).into_iter().map(|read| {
        let merged: Vec<String> = read.merged_into.iter().map(|segment| segment.id.to_string()).collect();
        let merged = if merged.is_empty() { String::new() } else { format!("({})", merged.join(" ")) };
        format!("{}{merged}", read.segment.id)
    });
    words.collect::<Vec<_>>().join(" ")
}

#[rstest]
#[case::flushed(&["1i", "2"], "1 2")]
#[case::output_with_its_index(&["1i", "2i", "1i 2i > 3i"], "3")]
#[case::output_without_its_index(&["1i", "2i", "1i 2i > 3"], "1(3) 2(3)")]
#[case::small_output(&["1i", "2s", "1i 2s > 3s"], "3")]
#[case::small_sources_need_none(&["1i", "2s", "1i 2s > 3"], "1(3) 2(3)")]
#[case::no_source_has_one(&["1", "1 > 3"], "3")]
#[case::some_sources_have_one(&["1i", "2", "4i", "1i 2 4i > 3"], "3")]
#[case::two_outputs_go_together(&["1i", "1i > 2 3"], "1(2 3)")]
#[case::fewer_rows_lack_one(&["1", "4i", "1 4i > 2 3"], "1(2 3) 4(2 3)")]
#[case::one_output_has_its_index(&["1i", "1i > 2i 3"], "1(2i 3)")]
#[case::one_output_was_merged_on(&["1i", "1i > 2 3", "4i", "3 4i > 5i"], "2 5")]
#[case::two_generations(&["1i", "2i", "1i 2i > 3", "4i", "3 4i > 5"], "1(3 5) 2(3 5) 4(5)")]
#[case::outputs_of_one_merge_in_the_next_one(&["1i", "1i > 2 3", "2 3 > 4"], "1(2 3 4)")]
#[case::only_one_of_them_in_the_next_one(&["1i", "1i > 2 3", "6i", "2 6i > 4"], "3 4")]
#[case::unrelated_segments_stay(&["1i", "2", "1i > 3", "4i"], "1(3) 2 4")]
fn search_reads(#[case] merges: &[&str], #[case] expected: &str) {
    assert_eq!(read(&table(merges)), expected.replace("2i", "2"));
}

#[test]
fn sources_that_were_collected_stand_in_for_nothing() {
    let mut table = table(&["1i", "2i", "1i 2i > 3"]);
    table.forget(&[SegmentId(2)]);
    assert_eq!(read(&table), "3");
}

#[test]
fn a_long_history_is_followed_for_some_merges_only() {
    assert_eq!(read(&table(&["1i", "1i > 2", "2 > 3", "3 > 4", "4 > 5"])), "1(2 3 4 5)");
    assert_eq!(read(&table(&["1i", "1i > 2", "2 > 3", "3 > 4", "4 > 5", "5 > 6"])), "6");
}
