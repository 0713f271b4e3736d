//! The shape of a collection's segments: how many are small, how much of them is deleted, and how far both are from what
//! automatic compaction tolerates.
//!
//! A plain function of a table and the settings. Must never: choose segments; that is the planner's.

use super::segments::SegmentTable;
use crate::{
    config::CompactionConfig,
    model::{Segment, SegmentLevel},
};

/// Upper bounds of the ranges of sizes, as shares of the largest segment that is written. A last range has no bound.
pub const FILL_BOUNDS: [f64; 6] = [0.01, 0.05, 0.25, 0.5, 0.85, 1.0];
/// Upper bounds of the ranges of deleted rows, as shares of a segment's rows, each included.
pub const DELETED_BOUNDS: [f64; 5] = [0.0, 0.05, 0.2, 0.5, 1.0];

/// Segments of one range of sizes and one of deletes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CellSum {
    pub segments: u64,
    pub bytes: u64,
}

/// Sums over the segments that the catalog knows, as of one table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CollectionShape {
    /// Live ones.
    pub segments: u64,
    /// Below the size up to which a segment is merged with others.
    pub small: u64,
    /// Small ones beyond the number that a group may have.
    pub small_beyond: u64,
    pub rows: u64,
    pub live_rows: u64,
    /// Insert and delta objects of live segments.
    pub stored_bytes: u64,
    /// The part of the insert objects that a rewrite would probably drop.
    pub dead_bytes: u64,
    pub dropped: u64,
    pub dropped_bytes: u64,
    /// By size, then by deletes.
    pub cells: [[CellSum; DELETED_BOUNDS.len()]; FILL_BOUNDS.len() + 1],
    /// 0 to 100; 100 without segments.
    pub score: u32,
}

/// A segment below this many bytes is small.
pub(super) fn small_below(config: &CompactionConfig) -> u64 {
    (config.max_segment_bytes as f64 * config.small_proportion) as u64
}

impl CollectionShape {
    pub(super) fn of(table: &SegmentTable, config: &CompactionConfig) -> Self {
        let mut shape = Self::default();
        let (small_below, mut insert_bytes) = (small_below(config), 0);
        for group in table.groups() {
            let mut small = 0;
            for segment in table.live_in(group).iter() {
                shape.add(segment, config.max_segment_bytes);
                insert_bytes += segment.insert_bytes;
                // L0 segments have no rows; deletes go from them, and they are merged with nothing.
                small += u64::from(segment.level != SegmentLevel::L0 && segment.insert_bytes < small_below);
            }
            shape.small += small;
            shape.small_beyond += small.saturating_sub(config.max_small_segments.into());
        }
        for segment in table.dropped().iter() {
            shape.dropped += 1;
            shape.dropped_bytes += segment.insert_bytes + segment.delta_bytes;
        }
        shape.score = shape.scored(insert_bytes, config.delta_ratio);
        shape
    }

    /// Adds another one to the sums. The lower score stays.
    pub fn add_all(&mut self, other: &Self) {
        self.segments += other.segments;
        self.small += other.small;
        self.small_beyond += other.small_beyond;
        self.rows += other.rows;
        self.live_rows += other.live_rows;
        self.stored_bytes += other.stored_bytes;
        self.dead_bytes += other.dead_bytes;
        self.dropped += other.dropped;
        self.dropped_bytes += other.dropped_bytes;
        for (cell, more) in self.cells.iter_mut().flatten().zip(other.cells.iter().flatten()) {
            cell.segments += more.segments;
            cell.bytes += more.bytes;
        }
        self.score = self.score.min(other.score);
    }

    fn add(&mut self, segment: &Segment, full_bytes: u64) {
        let bytes = segment.insert_bytes + segment.delta_bytes;
        self.segments += 1;
        self.rows += segment.rows;
        self.live_rows += segment.live_rows_estimate();
        self.stored_bytes += bytes;
        self.dead_bytes += segment.insert_bytes.saturating_sub(segment.live_bytes_estimate());
        let fill = segment.insert_bytes as f64 / full_bytes.max(1) as f64;
        let deleted = match segment.rows {
            0 => 0.0,
            rows => (segment.delta_rows as f64 / rows as f64).min(1.0),
        };
        let of_fill = FILL_BOUNDS.partition_point(|bound| *bound <= fill);
        let of_deleted = DELETED_BOUNDS.partition_point(|bound| *bound < deleted);
        if let Some(cell) = self.cells.get_mut(of_fill).and_then(|row| row.get_mut(of_deleted)) {
            cell.segments += 1;
            cell.bytes += bytes;
        }
    }

    /// The share of segments that are tolerated, times the share of live bytes over the share that is.
    fn scored(&self, insert_bytes: u64, delta_ratio: f64) -> u32 {
        if self.segments == 0 {
            return 100;
        }
        let tolerated = 1.0 - self.small_beyond as f64 / self.segments as f64;
        let live = match insert_bytes {
            0 => 1.0,
            bytes => 1.0 - self.dead_bytes as f64 / bytes as f64,
        };
        let live = (live / (1.0 - delta_ratio).max(f64::EPSILON)).min(1.0);
        // 0.6 / 0.8 is 0.7499…
        (100.0 * tolerated * live + 1e-9).clamp(0.0, 100.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rstest::rstest;

    use super::*;
    use crate::{kit::model, model::SegmentState};

    const MB: u64 = 1 << 20;

    /// Settings are the defaults: 512 MB at most, small below 256 MB, ten small ones and 20 % deletes are tolerated.
    fn shape(segments: &[(u64, u64, u64)]) -> CollectionShape {
        let group = Arc::new(model::group(1, 2, "c_1v0"));
        let mut segments: Vec<Segment> = (1..)
            .zip(segments)
            .map(|(id, (mb, rows, delta_rows))| Segment {
                insert_bytes: mb * MB,
                rows: *rows,
                delta_rows: *delta_rows,
                ..model::segment(id, &group)
            })
            .collect();
        CollectionShape::of(&SegmentTable::of(&mut segments), &CompactionConfig::default())
    }

    #[rstest]
    #[case::nothing(vec![], 100)]
    #[case::ten_small_ones_are_tolerated(vec![(1, 100, 0); 10], 100)]
    #[case::half_of_twenty_are_too_many(vec![(1, 100, 0); 20], 50)]
    #[case::large_ones_are_never_too_many(vec![(256, 100, 0); 20], 100)]
    #[case::a_fifth_of_deletes_is_tolerated(vec![(400, 100, 20)], 100)]
    #[case::three_fifths_live_of_four(vec![(400, 100, 40)], 75)]
    #[case::both(vec![(1, 100, 40); 20], 37)]
    #[case::all_deleted(vec![(400, 100, 100)], 0)]
    fn the_score_is_what_is_tolerated(#[case] segments: Vec<(u64, u64, u64)>, #[case] score: u32) {
        assert_eq!(shape(&segments).score, score);
    }

    #[test]
    fn each_segment_is_in_one_cell() {
        // 5.12 MB are a hundredth: the bound belongs to the next range.
        let shape = shape(&[(5, 100, 0), (6, 100, 5), (128, 100, 6), (512, 100, 51), (600, 100, 500)]);
        let found: Vec<(usize, usize)> = (0..FILL_BOUNDS.len() + 1)
            .flat_map(|fill| (0..DELETED_BOUNDS.len()).map(move |deleted| (fill, deleted)))
            .filter(|(fill, deleted)| shape.cells[*fill][*deleted].segments == 1)
            .collect();
        assert_eq!(found, [(0, 0), (1, 1), (3, 2)]);
        assert_eq!(shape.cells[6][4], CellSum { segments: 2, bytes: 1112 * MB });
        assert_eq!((shape.segments, shape.small, shape.rows, shape.live_rows), (5, 3, 500, 338));
    }

    #[test]
    fn dropped_ones_are_counted_apart() {
        let group = Arc::new(model::group(1, 2, "c_1v0"));
        let dropped = Segment {
            state: SegmentState::Dropped,
            insert_bytes: 3,
            delta_bytes: 4,
            rows: 9,
            ..model::segment(1, &group)
        };
        let shape = CollectionShape::of(&SegmentTable::of(&mut vec![dropped]), &CompactionConfig::default());
        assert_eq!((shape.dropped, shape.dropped_bytes, shape.segments, shape.rows), (1, 7, 0, 0));
        assert_eq!(shape.score, 100);
    }
}
