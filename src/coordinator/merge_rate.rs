//! How fast merges have been, for estimates.

use parking_lot::Mutex;

/// Weight of a merge relative to the next one of the same length.
const DECAY: f64 = 0.8;

/// Measured bytes of inputs per second of execution, commit included. Newer merges count more, and longer ones too: a
/// merge of a few rows says little about the speed of a large one.
#[derive(Debug, Default)]
pub(super) struct MergeRate {
    /// Bytes and seconds, both decayed.
    sums: Mutex<(f64, f64)>,
}

impl MergeRate {
    /// Takes in one completed plan.
    pub(super) fn observe(&self, bytes: u64, seconds: f64) {
        let mut sums = self.sums.lock();
        // The clock may show no time at all; count a millisecond.
        *sums = (sums.0 * DECAY + bytes as f64, sums.1 * DECAY + seconds.max(0.001));
    }

    /// None until something was measured.
    pub(super) fn bytes_per_second(&self) -> Option<f64> {
        let (bytes, seconds) = *self.sums.lock();
        (seconds > 0.0 && bytes > 0.0).then(|| bytes / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_latest_and_the_longest() {
        let rate = MergeRate::default();
        assert_eq!(rate.bytes_per_second(), None);
        rate.observe(1000, 1.0);
        assert_eq!(rate.bytes_per_second(), Some(1000.0));
        rate.observe(0, 0.0);
        assert!(rate.bytes_per_second().is_some_and(|r| r > 990.0), "a tiny merge changes little");
        for _ in 0..20 {
            rate.observe(4000, 1.0);
        }
        assert!(rate.bytes_per_second().is_some_and(|r| (3900.0..4000.1).contains(&r)), "{rate:?}");
    }
}
