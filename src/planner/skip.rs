//! Reasons for leaving a segment alone.
//!
//! Every reason carries the measured value and the threshold, so that its text answers "why is this segment not
//! compacted?" without the settings at hand. Values only; nothing here decides.

use std::{
    fmt,
    time::{Duration, UNIX_EPOCH},
};

use super::{
    Violation,
    share::{Percent, ShareLimit},
};
use crate::model::{FailureKind, FieldId, SegmentLevel, Timestamp};

/// The reason why no draft has a segment. Sizes are in bytes, shares from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SkipReason {
    /// All compaction is switched off.
    Disabled,
    /// Automatic compaction is switched off, for all collections or by the collection's property.
    AutoOff { by_collection: bool },
    /// The policy does not take segments of this level.
    Level { level: SegmentLevel },
    /// The request named other segments.
    OutOfScope,
    /// Input of an unfinished plan.
    Reserved,
    /// Its vectors have no index yet, and the settings demand one.
    NotIndexed,
    /// Its last plan failed for good. Automatic triggers try again from `until_ms` on (milliseconds since 1970; none:
    /// never). A client's request tries at any time.
    LastPlanFailed { kind: FailureKind, until_ms: Option<u64> },
    /// The only live segment of its group, with nothing to drop.
    Alone,
    /// The same, and a compaction has written it: a request would write it once more as it is.
    AloneCompacted,
    /// Not small, with nothing to drop.
    AlreadyFull { bytes: u64, max_bytes: u64 },
    /// It has deletes, but not enough for a rewrite.
    FewDeletes { delta_rows: u64, rows: u64, limit: ShareLimit },
    /// It has expired rows, but not enough for a rewrite.
    FewExpired { expired_rows: u64, rows: u64, limit: ShareLimit },
    /// Small, but the small segments of the group are too few and together too small to fill one.
    TooFewSmall { small: u32, needed: u32, bytes: u64, needed_bytes: u64 },
    /// No other candidate fits beside it, or no choice of candidates fills a segment.
    NothingFits { bytes: u64, max_bytes: u64 },
    /// Its deletes are inside the retention window.
    Retained { delta_rows: u64 },
    /// The collection has no clustering key.
    NoClusteringKey,
    /// Clustered by this field already, with nothing to drop.
    Clustered { field: FieldId },
    /// It has deletes that are newer than the oldest row in memory.
    Growing { newest: Timestamp, growing_from: Timestamp },
    /// Its draft broke a rule of [`super::validate`].
    Refused(Violation),
}

impl SkipReason {
    /// Every name in metric labels.
    pub const CODES: [&'static str; 19] = [
        "disabled",
        "auto_off",
        "level",
        "out_of_scope",
        "reserved",
        "not_indexed",
        "last_plan_failed",
        "alone",
        "alone_compacted",
        "already_full",
        "few_deletes",
        "few_expired",
        "too_few_small",
        "nothing_fits",
        "retained",
        "no_clustering_key",
        "clustered",
        "growing",
        "refused",
    ];

    /// Name in metric labels.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::AutoOff { .. } => "auto_off",
            Self::Level { .. } => "level",
            Self::OutOfScope => "out_of_scope",
            Self::Reserved => "reserved",
            Self::NotIndexed => "not_indexed",
            Self::LastPlanFailed { .. } => "last_plan_failed",
            Self::Alone => "alone",
            Self::AloneCompacted => "alone_compacted",
            Self::AlreadyFull { .. } => "already_full",
            Self::FewDeletes { .. } => "few_deletes",
            Self::FewExpired { .. } => "few_expired",
            Self::TooFewSmall { .. } => "too_few_small",
            Self::NothingFits { .. } => "nothing_fits",
            Self::Retained { .. } => "retained",
            Self::NoClusteringKey => "no_clustering_key",
            Self::Clustered { .. } => "clustered",
            Self::Growing { .. } => "growing",
            Self::Refused(_) => "refused",
        }
    }
}

/// A measured value and its threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    pub value: f64,
    /// The segment is planned if the value exceeds it; none: no value would be enough.
    pub threshold: Option<f64>,
    /// Unit of both: bytes, rows, segments, or a share from 0 to 1.
    pub unit: &'static str,
}

impl SkipReason {
    /// The numbers behind the reason; none if it has no numbers.
    pub fn measure(&self) -> Option<Measure> {
        let of = |value, threshold, unit| Some(Measure { value, threshold, unit });
        match self {
            Self::Disabled
            | Self::AutoOff { .. }
            | Self::Level { .. }
            | Self::OutOfScope
            | Self::Reserved
            | Self::NotIndexed
            | Self::LastPlanFailed { .. }
            | Self::NoClusteringKey
            | Self::Clustered { .. }
            | Self::Growing { .. }
            | Self::Refused(_) => None,
            Self::Alone | Self::AloneCompacted => of(1.0, Some(2.0), "segments"),
            Self::AlreadyFull { bytes, max_bytes } | Self::NothingFits { bytes, max_bytes } => {
                of(*bytes as f64, Some(*max_bytes as f64), "bytes")
            }
            Self::FewDeletes { delta_rows: part, rows, limit }
            | Self::FewExpired { expired_rows: part, rows, limit } => {
                of(Percent::of(*part, *rows).0, Some(limit.ratio), "share")
            }
            Self::TooFewSmall { small, needed, .. } => of(f64::from(*small), Some(f64::from(*needed)), "segments"),
            Self::Retained { delta_rows } => of(*delta_rows as f64, None, "rows"),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("compaction is off"),
            Self::AutoOff { by_collection: false } => f.write_str("auto-compaction is off"),
            Self::AutoOff { by_collection: true } => f.write_str("auto-compaction is off for this collection"),
            Self::Level { level: SegmentLevel::L0 } => f.write_str("level L0, its deletes are spread on request only"),
            Self::Level { level: SegmentLevel::L1 } => f.write_str("level L1, only deletes of level L0 are spread"),
            Self::Level { level: SegmentLevel::L2 } => f.write_str("clustered (level L2), not merged with others"),
            Self::OutOfScope => f.write_str("not among the segments asked for"),
            Self::Reserved => f.write_str("reserved by another plan"),
            Self::NotIndexed => {
                f.write_str("its vectors have no index yet, which dataCoord.compaction.indexBasedCompaction demands")
            }
            Self::LastPlanFailed { kind, until_ms: None } => {
                write!(f, "its last plan failed ({}), tried again on request only", kind.as_str())
            }
            Self::LastPlanFailed { kind, until_ms: Some(until_ms) } => {
                write!(f, "its last plan failed ({}), tried again from {} on", kind.as_str(), Utc(*until_ms))
            }
            Self::Alone => f.write_str("alone in its group"),
            Self::AloneCompacted => f.write_str("alone in its group, and a compaction has written it already"),
            Self::AlreadyFull { bytes, max_bytes } => write!(f, "already {} % full", Percent::of(*bytes, *max_bytes)),
            Self::FewDeletes { delta_rows, rows, limit } => {
                write!(f, "{} % delta rows, rewritten {limit}", Percent::of(*delta_rows, *rows))
            }
            Self::FewExpired { expired_rows, rows, limit } => {
                write!(f, "about {} % expired rows, rewritten {limit}", Percent::of(*expired_rows, *rows))
            }
            Self::TooFewSmall { small, needed, bytes, needed_bytes } => {
                let (bytes, needed_bytes) = (Megabytes(*bytes), Megabytes(*needed_bytes));
                write!(f, "too few small segments: {small} of {needed}, {bytes} of {needed_bytes} MB")
            }
            Self::NothingFits { bytes, max_bytes } => {
                write!(f, "{} % full, nothing that would fill it fits beside it", Percent::of(*bytes, *max_bytes))
            }
            Self::Retained { delta_rows } => write!(f, "{delta_rows} delta rows inside the retention window"),
            Self::NoClusteringKey => f.write_str("the collection has no clustering key"),
            Self::Clustered { field } => write!(f, "already clustered by field {field}"),
            Self::Growing { newest, growing_from } => {
                write!(f, "its newest delete ({newest}) is newer than the oldest row in memory ({growing_from})")
            }
            Self::Refused(violation) => write!(f, "refused: {violation}"),
        }
    }
}

/// A time in milliseconds since 1970, printed as a date.
struct Utc(u64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last time that the format can print.
        const LAST_MS: u64 = 253_402_300_799_999;
        let time = UNIX_EPOCH + Duration::from_millis(self.0.min(LAST_MS));
        write!(f, "{}", humantime::format_rfc3339_seconds(time))
    }
}

/// Bytes in units of 2^20, as Milvus counts megabytes, cut to one decimal.
struct Megabytes(u64);

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (u128::from(self.0) * 10) >> 20;
        match tenths % 10 {
            0 => write!(f, "{}", tenths / 10),
            tenth => write!(f, "{}.{tenth}", tenths / 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;

    const MB: u64 = 1 << 20;

    fn above(ratio: f64) -> ShareLimit {
        ShareLimit { ratio, inclusive: false }
    }

    #[rstest]
    #[case(SkipReason::Disabled, None)]
    #[case(SkipReason::FewDeletes { delta_rows: 12, rows: 100, limit: above(0.2) }, Some((0.12, Some(0.2), "share")))]
    #[case(SkipReason::AlreadyFull { bytes: 93, max_bytes: 100 }, Some((93.0, Some(100.0), "bytes")))]
    #[case(
        SkipReason::TooFewSmall { small: 4, needed: 11, bytes: 1, needed_bytes: 2 }, Some((4.0, Some(11.0), "segments"))
    )]
    #[case(SkipReason::Retained { delta_rows: 7 }, Some((7.0, None, "rows")))]
    fn has_numbers(#[case] reason: SkipReason, #[case] expected: Option<(f64, Option<f64>, &str)>) {
        assert_eq!(reason.measure().map(|m| (m.value, m.threshold, m.unit)), expected);
    }

    #[rstest]
    #[case(SkipReason::Alone, "alone in its group")]
    #[case(SkipReason::AloneCompacted, "alone in its group, and a compaction has written it already")]
    #[case(
        SkipReason::LastPlanFailed { kind: FailureKind::Corrupt, until_ms: None },
        "its last plan failed (corrupt), tried again on request only"
    )]
    #[case(
        SkipReason::LastPlanFailed { kind: FailureKind::Exhausted, until_ms: Some(1_700_000_060_999) },
        "its last plan failed (exhausted), tried again from 2023-11-14T22:14:20Z on"
    )]
    #[case(
        SkipReason::LastPlanFailed { kind: FailureKind::Exhausted, until_ms: Some(u64::MAX) },
        "its last plan failed (exhausted), tried again from 9999-12-31T23:59:59Z on"
    )]
    #[case(SkipReason::AutoOff { by_collection: false }, "auto-compaction is off")]
    #[case(SkipReason::AlreadyFull { bytes: 93 * MB, max_bytes: 100 * MB }, "already 93 % full")]
    #[case(SkipReason::AlreadyFull { bytes: 9_399, max_bytes: 10_000 }, "already 93.9 % full")]
    #[case(
        SkipReason::FewDeletes { delta_rows: 12, rows: 100, limit: above(0.2) },
        "12 % delta rows, rewritten above 20 %"
    )]
    #[case(
        SkipReason::FewDeletes { delta_rows: 28_999, rows: 100_000, limit: above(0.29) },
        "28.9 % delta rows, rewritten above 29 %"
    )]
    #[case(
        SkipReason::TooFewSmall { small: 4, needed: 11, bytes: 120 * MB, needed_bytes: 435 * MB + MB / 5 },
        "too few small segments: 4 of 11, 120 of 435.1 MB"
    )]
    #[case(SkipReason::FewDeletes { delta_rows: 1, rows: 0, limit: above(0.2) }, "0 % delta rows, rewritten above 20 %")]
    fn says_value_and_threshold(#[case] reason: SkipReason, #[case] text: &str) {
        assert_eq!(reason.to_string(), text);
    }

    #[test]
    fn all_names_are_listed() {
        let (_, code) = include_str!("skip.rs").split_once("fn code(").unwrap();
        let (code, _) = code.split_once("\n    }\n").unwrap();
        let named: BTreeSet<&str> = code.split('"').skip(1).step_by(2).collect();
        assert_eq!(named, SkipReason::CODES.into_iter().collect());
        assert_eq!(named.len(), SkipReason::CODES.len());
    }
}
