//! The profile that behaves as Milvus 2.3.5 does, beside the defaults. What Milvus does was seen on a real server: three
//! small segments become one, and a segment with exactly 20 % deleted rows is rewritten.

use std::{path::Path, time::Duration};

use datacoord::{
    config::{CompactionConfig, Sources, layers},
    model::{SegmentId, Trigger},
};

use crate::group::{MB, Simulated};

fn stock() -> CompactionConfig {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/stock.yaml");
    layers::load(&Sources { file: Some(file), ..Sources::default() }).unwrap().config.compaction
}

fn ids(group: &Simulated) -> Vec<SegmentId> {
    group.segments.iter().map(|segment| segment.id).collect()
}

#[test]
fn three_small_segments_become_one() {
    for (config, segments) in [(stock(), 1), (CompactionConfig::default(), 3)] {
        let mut group = Simulated::with(config);
        group.flush(2 * MB);
        group.flush(2 * MB);
        assert_eq!(group.run(Trigger::Flush), 0, "two are not enough");
        group.flush(2 * MB);
        group.run(Trigger::Flush);
        assert_eq!(group.segments.len(), segments, "{}", group.layout());
    }
}

#[test]
fn a_fifth_of_deleted_rows_is_enough() {
    for (config, percent, is_rewritten) in [
        (stock(), 19, false),
        (stock(), 20, true),
        (CompactionConfig::default(), 20, false),
        (CompactionConfig::default(), 21, true),
    ] {
        let mut group = Simulated::with(config);
        let id = group.flush(100 << 10);
        group.delete(id, percent, Duration::from_secs(1));
        let before = group.get(id).unwrap().clone();
        assert_eq!(before.delta_rows * 100, before.rows * percent, "the share is exact");
        group.run(Trigger::Tick);
        assert_eq!(ids(&group) != [id], is_rewritten, "{percent} %: {}", group.layout());
    }
}
