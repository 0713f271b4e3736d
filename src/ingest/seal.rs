//! Decides when a growing segment takes no more rows, and when waiting deletes are handed on. Values in, decisions with
//! reasons out; no clock, no lock, no log.
//!
//! The result does not depend on the order of the segments.

use std::time::Duration;

use crate::{
    config::IngestConfig,
    model::{Lsn, SegmentId},
};

/// A growing segment as the rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrowingStats {
    pub id: SegmentId,
    /// Bytes of its rows in memory.
    pub bytes: u64,
    /// Milliseconds since 1970 of its first and its last row.
    pub created_at_ms: u64,
    pub last_write_ms: u64,
    pub first_lsn: Lsn,
    /// Bytes of the log from its first row to the end. The segment keeps them from being removed.
    pub log_bytes: u64,
}

/// Why a segment is sealed, with the value and the threshold that it met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealReason {
    Size {
        bytes: u64,
        threshold_bytes: u64,
    },
    Age {
        age: Duration,
        threshold: Duration,
    },
    Idle {
        idle: Duration,
        threshold: Duration,
        bytes: u64,
    },
    /// All growing segments together hold too much, and this is the largest left.
    Memory {
        growing_bytes: u64,
        limit_bytes: u64,
    },
    LogLength {
        log_bytes: u64,
        limit_bytes: u64,
    },
    /// A client asked.
    Asked,
    /// A later segment of the group was found in the log, so this one had been sealed before the restart.
    Recovered,
}

impl SealReason {
    /// Name for metrics labels.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Size { .. } => "size",
            Self::Age { .. } => "age",
            Self::Idle { .. } => "idle",
            Self::Memory { .. } => "memory",
            Self::LogLength { .. } => "log_length",
            Self::Asked => "asked",
            Self::Recovered => "recovered",
        }
    }
}

impl std::fmt::Display for SealReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Size { bytes, threshold_bytes } => write!(f, "{bytes} bytes reach {threshold_bytes}"),
            Self::Age { age, threshold } => write!(f, "age {age:?} reaches {threshold:?}"),
            Self::Idle { idle, threshold, bytes } => {
                write!(f, "nothing written for {idle:?}, threshold {threshold:?}, and it has {bytes} bytes")
            }
            Self::Memory { growing_bytes, limit_bytes } => {
                write!(f, "growing segments hold {growing_bytes} bytes, limit {limit_bytes}")
            }
            Self::LogLength { log_bytes, limit_bytes } => {
                write!(f, "keeps {log_bytes} bytes of the log, limit {limit_bytes}")
            }
            Self::Asked => f.write_str("asked for"),
            Self::Recovered => f.write_str("a later segment of its group was in the log"),
        }
    }
}

/// Bytes at which a growing segment is sealed at once.
pub fn size_threshold(config: &IngestConfig) -> u64 {
    (config.max_segment_bytes as f64 * config.seal_proportion) as u64
}

/// The segments to be sealed now, oldest first, each with the first rule that applies: size, age, idleness, length of
/// the log; then memory, for the rest.
pub fn decide(segments: &[GrowingStats], config: &IngestConfig, now_ms: u64) -> Vec<(SegmentId, SealReason)> {
    let mut sealed: Vec<(&GrowingStats, SealReason)> = Vec::new();
    let mut rest: Vec<&GrowingStats> = Vec::new();
    for segment in segments {
        match by_itself(segment, config, now_ms) {
            Some(reason) => sealed.push((segment, reason)),
            None => rest.push(segment),
        }
    }
    let limit_bytes = config.memory_limit_bytes;
    let mut growing_bytes: u64 = rest.iter().map(|s| s.bytes).sum();
    rest.sort_by_key(|s| (std::cmp::Reverse(s.bytes), s.id));
    for segment in rest {
        if growing_bytes <= limit_bytes {
            break;
        }
        sealed.push((segment, SealReason::Memory { growing_bytes, limit_bytes }));
        growing_bytes -= segment.bytes;
    }
    sealed.sort_by_key(|(s, _)| (s.first_lsn, s.id));
    sealed.into_iter().map(|(s, reason)| (s.id, reason)).collect()
}

/// Rules that look at one segment alone.
fn by_itself(segment: &GrowingStats, config: &IngestConfig, now_ms: u64) -> Option<SealReason> {
    let threshold_bytes = size_threshold(config);
    let bytes = segment.bytes;
    if bytes >= threshold_bytes {
        return Some(SealReason::Size { bytes, threshold_bytes });
    }
    let age = Duration::from_millis(now_ms.saturating_sub(segment.created_at_ms));
    if age >= config.max_life {
        return Some(SealReason::Age { age, threshold: config.max_life });
    }
    let idle = Duration::from_millis(now_ms.saturating_sub(segment.last_write_ms));
    if idle >= config.max_idle && bytes >= config.min_idle_bytes {
        return Some(SealReason::Idle { idle, threshold: config.max_idle, bytes });
    }
    let (log_bytes, limit_bytes) = (segment.log_bytes, config.wal_max_bytes);
    (log_bytes > limit_bytes).then_some(SealReason::LogLength { log_bytes, limit_bytes })
}

/// Deletes that wait on one channel, as the rule sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingStats {
    pub keys: u64,
    /// Milliseconds since 1970 of the oldest.
    pub oldest_ms: u64,
    /// Bytes of the log from the oldest to the end.
    pub log_bytes: u64,
    /// Bytes of memory that waiting deletes take, of all channels together.
    pub all_bytes: u64,
    /// Not before this time, because the last attempt failed; 0: at any time.
    pub retry_at_ms: u64,
    /// The last attempt failed: they are due as soon as they may be tried again.
    pub has_failed: bool,
}

/// True if waiting deletes are to be given to the flushed segments now.
pub fn deltas_due(pending: &PendingStats, config: &IngestConfig, now_ms: u64) -> bool {
    pending.keys > 0
        && now_ms >= pending.retry_at_ms
        && (pending.has_failed
            || pending.keys > config.delta_max_rows
            || now_ms.saturating_sub(pending.oldest_ms) >= config.delta_max_age.as_millis() as u64
            || pending.log_bytes > config.wal_max_bytes
            || pending.all_bytes > config.memory_limit_bytes / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const NOW: u64 = 10_000_000;

    fn config() -> IngestConfig {
        IngestConfig {
            seal_proportion: 0.25,
            max_segment_bytes: 4_000,
            max_life: Duration::from_secs(100),
            max_idle: Duration::from_secs(10),
            min_idle_bytes: 50,
            memory_limit_bytes: 1_500,
            wal_max_bytes: 10_000,
            delta_max_rows: 100,
            delta_max_age: Duration::from_secs(10),
            ..IngestConfig::default()
        }
    }

    fn segment(id: i64, bytes: u64, age_ms: u64, idle_ms: u64, log_bytes: u64) -> GrowingStats {
        GrowingStats {
            id: SegmentId(id),
            bytes,
            created_at_ms: NOW - age_ms,
            last_write_ms: NOW - idle_ms,
            first_lsn: Lsn(1_000 - log_bytes.min(900)),
            log_bytes,
        }
    }

    #[rstest]
    #[case::small_young_busy(999, 99_999, 9_999, 10_000, None)]
    #[case::size(1_000, 0, 0, 0, Some("size"))]
    #[case::age(1, 100_000, 0, 0, Some("age"))]
    #[case::idle(50, 20_000, 10_000, 0, Some("idle"))]
    #[case::idle_but_too_small(49, 20_000, 10_000, 0, None)]
    #[case::log(1, 0, 0, 10_001, Some("log_length"))]
    #[case::clock_went_back(1, 0, 0, 0, None)]
    fn one_segment(
        #[case] bytes: u64,
        #[case] age_ms: u64,
        #[case] idle_ms: u64,
        #[case] log_bytes: u64,
        #[case] expected: Option<&str>,
    ) {
        let decided = decide(&[segment(7, bytes, age_ms, idle_ms, log_bytes)], &config(), NOW);
        assert_eq!(decided.first().map(|(_, reason)| reason.code()), expected);
        if age_ms == 0 {
            // A row from the future (the clock went back) has no age.
            let decided = decide(&[segment(7, 60, 0, 0, 0)], &config(), NOW - 5_000_000);
            assert_eq!(decided, []);
        }
    }

    #[test]
    fn memory_takes_the_largest_until_it_fits() {
        let segments = [segment(1, 300, 0, 0, 9), segment(2, 900, 0, 0, 8), segment(3, 700, 0, 0, 7)];
        let decided = decide(&segments, &config(), NOW);
        let reason = SealReason::Memory { growing_bytes: 1_900, limit_bytes: 1_500 };
        assert_eq!(decided, [(SegmentId(2), reason)]);
    }

    #[test]
    fn a_segment_sealed_for_another_reason_frees_memory_first() {
        let segments = [segment(1, 1_200, 0, 0, 9), segment(2, 900, 0, 0, 8)];
        let decided: Vec<_> = decide(&segments, &config(), NOW).into_iter().map(|(s, r)| (s.0, r.code())).collect();
        assert_eq!(decided, [(1, "size")]);
    }

    #[test]
    fn the_log_rule_takes_the_oldest_first() {
        let segments = [segment(1, 1, 0, 0, 20_000), segment(2, 1, 0, 0, 30_000), segment(3, 1, 0, 0, 5_000)];
        let mut segments = segments.to_vec();
        segments[1].first_lsn = Lsn(1);
        segments[0].first_lsn = Lsn(2);
        let decided: Vec<_> = decide(&segments, &config(), NOW).into_iter().map(|(s, _)| s.0).collect();
        assert_eq!(decided, [2, 1]);
    }

    #[rstest]
    #[case::none(0, 99_999, 99_999, 99_999, 0, false)]
    #[case::few_and_young(100, 9_999, 10_000, 375, 0, false)]
    #[case::many(101, 0, 0, 0, 0, true)]
    #[case::old(1, 10_000, 0, 0, 0, true)]
    #[case::log(1, 0, 10_001, 0, 0, true)]
    #[case::memory(1, 0, 0, 376, 0, true)]
    #[case::failed_just_now(101, 10_000, 10_001, 376, NOW + 1, false)]
    #[case::failed_a_while_ago(1, 0, 0, 0, NOW, true)]
    #[case::failed_and_gone(0, 0, 0, 0, NOW, false)]
    fn deltas(
        #[case] keys: u64,
        #[case] age_ms: u64,
        #[case] log_bytes: u64,
        #[case] all_bytes: u64,
        #[case] retry_at_ms: u64,
        #[case] due: bool,
    ) {
        let has_failed = retry_at_ms > 0;
        let pending = PendingStats { keys, oldest_ms: NOW - age_ms, log_bytes, all_bytes, retry_at_ms, has_failed };
        assert_eq!(deltas_due(&pending, &config(), NOW), due);
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_memory_is_kept(
            sizes in prop::collection::vec((1u64..1_200, 0u64..120_000, 0u64..12_000), 0..20),
            seed in any::<u64>(),
        ) {
            let segments: Vec<_> =
                sizes.iter().enumerate().map(|(n, (b, age, log))| segment(n as i64, *b, *age, *age, *log)).collect();
            let mut shuffled = segments.clone();
            shuffled.sort_by_key(|s| (s.id.0 as u64).wrapping_mul(seed | 1));
            let decided = decide(&segments, &config(), NOW);
            prop_assert_eq!(&decided, &decide(&shuffled, &config(), NOW));
            let left: u64 = segments.iter().filter(|s| !decided.iter().any(|(d, _)| *d == s.id)).map(|s| s.bytes).sum();
            prop_assert!(left <= config().memory_limit_bytes);
        }
    }
}
