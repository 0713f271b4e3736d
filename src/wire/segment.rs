//! Segments in the messages of both APIs, and the numbers of their states and levels.
//!
//! SDKs raise on a number outside the enumerations, so only this file produces these numbers.

use super::proto::{common, datacoord, milvus};
use crate::model::{IndexDef, Segment, SegmentLevel, SegmentState};

/// Milvus' number of a state.
pub fn state_number(state: SegmentState) -> i32 {
    let number = match state {
        SegmentState::Growing => common::SegmentState::Growing,
        SegmentState::Sealed => common::SegmentState::Sealed,
        SegmentState::Flushing => common::SegmentState::Flushing,
        SegmentState::Flushed => common::SegmentState::Flushed,
        SegmentState::Dropped => common::SegmentState::Dropped,
    };
    number as i32
}

/// The state for Milvus' number. `None` for states that no segment here has (none, not existing, importing).
pub fn state(number: i32) -> Option<SegmentState> {
    Some(match common::SegmentState::try_from(number).ok()? {
        common::SegmentState::Growing => SegmentState::Growing,
        common::SegmentState::Sealed => SegmentState::Sealed,
        common::SegmentState::Flushing => SegmentState::Flushing,
        common::SegmentState::Flushed => SegmentState::Flushed,
        common::SegmentState::Dropped => SegmentState::Dropped,
        common::SegmentState::None | common::SegmentState::NotExist | common::SegmentState::Importing => return None,
    })
}

/// Milvus' number of a level.
pub fn level_number(level: SegmentLevel) -> i32 {
    let number = match level {
        SegmentLevel::L0 => common::SegmentLevel::L0,
        SegmentLevel::L1 => common::SegmentLevel::L1,
        SegmentLevel::L2 => common::SegmentLevel::L2,
    };
    number as i32
}

/// The level for Milvus' number. Legacy segments are older than levels: they hold flushed rows, as L1 does today.
pub fn level(number: i32) -> Option<SegmentLevel> {
    Some(match common::SegmentLevel::try_from(number).ok()? {
        common::SegmentLevel::L0 => SegmentLevel::L0,
        common::SegmentLevel::Legacy | common::SegmentLevel::L1 => SegmentLevel::L1,
        common::SegmentLevel::L2 => SegmentLevel::L2,
    })
}

/// A row of `GetPersistentSegmentInfo`. Rows include dead ones, as in Milvus.
pub fn persistent_info(segment: &Segment) -> milvus::PersistentSegmentInfo {
    milvus::PersistentSegmentInfo {
        segment_id: segment.id.0,
        collection_id: segment.group.collection.0,
        partition_id: segment.group.partition.0,
        num_rows: signed(segment.rows),
        state: state_number(segment.state),
        level: level_number(segment.level),
        is_sorted: is_sorted(segment.state),
        // In releases that have this field, 0 means storage v1.
        storage_version: 0,
        insert_channel: segment.group.channel.as_str().to_owned(),
        compaction_from: segment.compaction_from.iter().map(|id| id.0).collect(),
    }
}

/// A row of `GetQuerySegmentInfo`: a segment that query node `node` serves, with its index if one of `definitions` is built
/// for it. Query nodes call a segment that is readable but not writable *Sealed*.
pub fn query_info(segment: &Segment, definitions: &[IndexDef], node: i64) -> milvus::QuerySegmentInfo {
    let index = definitions.iter().find(|def| segment.indexes.iter().any(|built| built.index == def.id));
    let state = match segment.state {
        SegmentState::Flushed | SegmentState::Flushing => SegmentState::Sealed,
        other => other,
    };
    milvus::QuerySegmentInfo {
        segment_id: segment.id.0,
        collection_id: segment.group.collection.0,
        partition_id: segment.group.partition.0,
        mem_size: signed(segment.memory_bytes),
        num_rows: signed(segment.rows),
        index_name: index.map(|def| def.name.clone()).unwrap_or_default(),
        index_id: index.map_or(0, |def| def.id),
        state: state_number(state),
        node_ids: vec![node],
        level: level_number(segment.level),
        is_sorted: is_sorted(segment.state),
        ..Default::default()
    }
}

/// True if no step that sorts the rows of a segment is still to come. Newer releases have such a step after a flush, and
/// clients wait for its end. Here a flush writes the rows in their final order, that of their row ids, and not of their keys.
fn is_sorted(state: SegmentState) -> bool {
    match state {
        SegmentState::Flushed | SegmentState::Dropped => true,
        SegmentState::Growing | SegmentState::Sealed | SegmentState::Flushing => false,
    }
}

/// A row of our own `ListSegments`. `why_not_planned` is the planner's last reason for skipping it; empty without one.
pub fn listed(segment: &Segment, why_not_planned: String) -> datacoord::Segment {
    datacoord::Segment {
        segment_id: segment.id.0,
        collection_id: segment.group.collection.0,
        partition_id: segment.group.partition.0,
        channel: segment.group.channel.as_str().to_owned(),
        state: segment.state.as_str().to_owned(),
        rows: signed(segment.rows),
        bytes: signed(segment.insert_bytes),
        memory_bytes: signed(segment.memory_bytes),
        delta_rows: signed(segment.delta_rows),
        delta_bytes: signed(segment.delta_bytes),
        delta_logs: i64::from(segment.delta_logs),
        compaction_from: segment.compaction_from.iter().map(|id| id.0).collect(),
        timestamp_from: segment.ts_from.0,
        timestamp_to: segment.ts_to.0,
        why_not_planned,
        level: level_name(segment.level).to_owned(),
        clustering_field_id: segment.cluster_range.as_ref().map_or(0, |range| range.field.0),
        clustering_min: segment.cluster_range.as_ref().map(|range| range.min.to_string()).unwrap_or_default(),
        clustering_max: segment.cluster_range.as_ref().map(|range| range.max.to_string()).unwrap_or_default(),
    }
}

fn level_name(level: SegmentLevel) -> &'static str {
    match level {
        SegmentLevel::L0 => "L0",
        SegmentLevel::L1 => "L1",
        SegmentLevel::L2 => "L2",
    }
}

/// Counts are int64 in messages; no count of rows or bytes reaches the limit.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rstest::rstest;

    use super::*;
    use crate::model::{
        Channel, ClusterRange, CollectionId, FieldId, Group, PartitionId, Scalar, SegmentId, SegmentIndex, Timestamp,
    };

    fn segment(state: SegmentState, level: SegmentLevel) -> Segment {
        Segment {
            state,
            level,
            rows: 100,
            insert_bytes: 1000,
            memory_bytes: 2000,
            delta_rows: 3,
            delta_bytes: 30,
            delta_logs: 2,
            delta_ts_from: Timestamp(5),
            ts_from: Timestamp(1),
            ts_to: Timestamp(2),
            compaction_from: [SegmentId(3), SegmentId(4)].into(),
            version: 1,
            ..Segment::new(
                SegmentId(9),
                Arc::new(Group {
                    collection: CollectionId(7),
                    partition: PartitionId(8),
                    channel: Channel::new("by-dev-rootcoord-dml_0_7v0"),
                }),
            )
        }
    }

    /// Numbers of the published enumeration, with which SDKs compare.
    #[rstest]
    #[case(SegmentState::Growing, 2, 2, false)]
    #[case(SegmentState::Sealed, 3, 3, false)]
    #[case(SegmentState::Flushed, 4, 3, true)]
    #[case(SegmentState::Flushing, 5, 3, false)]
    #[case(SegmentState::Dropped, 6, 6, true)]
    fn states(#[case] state: SegmentState, #[case] number: i32, #[case] queried: i32, #[case] sorted: bool) {
        assert_eq!(state_number(state), number);
        assert_eq!(super::state(number), Some(state));
        let segment = segment(state, SegmentLevel::L1);
        let (kept, loaded) = (persistent_info(&segment), query_info(&segment, &[], 1));
        assert_eq!((kept.state, kept.is_sorted), (number, sorted));
        assert_eq!((loaded.state, loaded.is_sorted), (queried, sorted));
    }

    #[rstest]
    #[case(0)]
    #[case(1)]
    #[case(7)]
    #[case(8)]
    #[case(-1)]
    fn states_that_no_segment_has(#[case] number: i32) {
        assert_eq!(state(number), None);
    }

    #[rstest]
    #[case(0, Some(SegmentLevel::L1))]
    #[case(1, Some(SegmentLevel::L0))]
    #[case(2, Some(SegmentLevel::L1))]
    #[case(3, Some(SegmentLevel::L2))]
    #[case(4, None)]
    fn levels(#[case] number: i32, #[case] expected: Option<SegmentLevel>) {
        assert_eq!(level(number), expected);
        if let Some(level) = expected.filter(|_| number > 0) {
            assert_eq!(level_number(level), number);
        }
    }

    #[test]
    fn listings() {
        let segment = segment(SegmentState::Flushed, SegmentLevel::L2);
        let info = persistent_info(&segment);
        assert_eq!((info.segment_id, info.collection_id, info.partition_id, info.num_rows), (9, 7, 8, 100));
        assert_eq!((info.level, info.compaction_from.as_slice()), (3, &[3, 4][..]));
        assert_eq!(info.insert_channel, "by-dev-rootcoord-dml_0_7v0");
        let info = query_info(&segment, &[], 5);
        assert_eq!((info.segment_id, info.num_rows, info.mem_size), (9, 100, 2000));
        assert_eq!((info.node_ids.as_slice(), info.index_name.as_str(), info.index_id), (&[5][..], "", 0));
        let definition = |id| IndexDef { id, name: format!("by_{id}"), field: FieldId(101), params: Vec::new() };
        let built = SegmentIndex { index: 12, field: FieldId(101), build: 40, version: 1, parts: Vec::new() };
        let indexed = Segment { indexes: [built].into(), ..segment.clone() };
        let info = query_info(&indexed, &[definition(11), definition(12)], 5);
        assert_eq!((info.index_name.as_str(), info.index_id), ("by_12", 12));
        let range = ClusterRange { field: FieldId(101), min: Scalar::Int(-5), max: Scalar::Int(7) };
        let clustered = Segment { cluster_range: Some(Box::new(range)), ..segment.clone() };
        let statistics = |s: &Segment| {
            let listed = listed(s, String::new());
            (listed.level, listed.clustering_field_id, listed.clustering_min, listed.clustering_max)
        };
        assert_eq!(statistics(&clustered), ("L2".to_owned(), 101, "-5".to_owned(), "7".to_owned()));
        assert_eq!(statistics(&segment), ("L2".to_owned(), 0, String::new(), String::new()));
        let listed = listed(&segment, "too large".to_owned());
        assert_eq!((listed.state.as_str(), listed.bytes, listed.memory_bytes), ("Flushed", 1000, 2000));
        assert_eq!((listed.delta_rows, listed.delta_bytes, listed.delta_logs), (3, 30, 2));
        assert_eq!((listed.timestamp_from, listed.timestamp_to), (1, 2));
        assert_eq!(listed.why_not_planned, "too large");
    }
}
