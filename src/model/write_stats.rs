//! Write statistics of a collection: bytes that flushes wrote, and bytes that compaction read and wrote again.
//!
//! Stored as JSON under `datacoord/traffic/`.

use serde::{Deserialize, Serialize};

/// Sums since counting began. Bytes are those of insert and delta objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WriteStats {
    /// Start of counting, milliseconds since 1970; 0: nothing was counted yet.
    pub since_ms: u64,
    pub flushed_rows: u64,
    /// Written by flushes of rows and deletes.
    pub flushed_bytes: u64,
    /// Inputs of completed plans.
    pub merged_in_bytes: u64,
    /// Written by completed plans.
    pub merged_out_bytes: u64,
}

impl WriteStats {
    fn since(self, now_ms: u64) -> Self {
        Self { since_ms: if self.since_ms == 0 { now_ms } else { self.since_ms }, ..self }
    }

    /// These statistics with one flush added.
    pub fn with_flush(self, rows: u64, bytes: u64, now_ms: u64) -> Self {
        let this = self.since(now_ms);
        Self { flushed_rows: this.flushed_rows + rows, flushed_bytes: this.flushed_bytes + bytes, ..this }
    }

    /// These statistics with one completed plan added.
    pub fn with_merge(self, bytes_in: u64, bytes_out: u64, now_ms: u64) -> Self {
        let this = self.since(now_ms);
        let (merged_in_bytes, merged_out_bytes) = (this.merged_in_bytes + bytes_in, this.merged_out_bytes + bytes_out);
        Self { merged_in_bytes, merged_out_bytes, ..this }
    }

    /// Bytes written per byte flushed; none before the first flush.
    pub fn write_amplification(&self) -> Option<f64> {
        let all = self.flushed_bytes as f64 + self.merged_out_bytes as f64;
        (self.flushed_bytes > 0).then(|| all / self.flushed_bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_begins_with_the_first_flush() {
        let stats = WriteStats::default();
        assert_eq!(stats.write_amplification(), None);
        let stats = stats.with_flush(10, 100, 5).with_flush(1, 100, 6).with_merge(200, 150, 7);
        assert_eq!((stats.since_ms, stats.flushed_rows, stats.merged_in_bytes), (5, 11, 200));
        assert_eq!(stats.write_amplification(), Some(1.75));
    }
}
