//! Shares of a segment's rows, and those from which on it is rewritten.

use std::fmt;

use crate::config::CompactionConfig;

/// The threshold of a share, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShareLimit {
    pub ratio: f64,
    /// A share that equals the threshold is beyond it.
    pub inclusive: bool,
}

impl ShareLimit {
    pub(super) fn of_deletes(config: &CompactionConfig) -> Self {
        Self { ratio: config.delta_ratio, inclusive: config.inclusive_shares }
    }

    pub(super) fn of_expired(config: &CompactionConfig) -> Self {
        Self { ratio: config.expired_ratio, inclusive: config.inclusive_shares }
    }

    /// Whether so many of the rows are too many. None never are.
    pub(super) fn is_exceeded(self, part: u64, rows: u64) -> bool {
        let (part, limit) = (part as f64, rows as f64 * self.ratio);
        part > limit || (self.inclusive && part > 0.0 && part >= limit)
    }

    /// The least number of such rows that are too many.
    pub(crate) fn least(self, rows: u64) -> u64 {
        let limit = rows as f64 * self.ratio;
        if self.inclusive { (limit.ceil() as u64).max(1) } else { limit as u64 + 1 }
    }
}

impl fmt::Display for ShareLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = Percent(self.ratio);
        if self.inclusive { write!(f, "from {ratio} % on") } else { write!(f, "above {ratio} %") }
    }
}

/// A share in percent, cut to one decimal. Rounding could show a value that reaches a threshold it is below.
pub(super) struct Percent(pub(super) f64);

impl Percent {
    pub(super) fn of(part: u64, whole: u64) -> Self {
        Self(if whole == 0 { 0.0 } else { part as f64 / whole as f64 })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 0.29 * 1000 is 289.999…: without the small addition, 29 % would become 28.9 %.
        let tenths = (self.0 * 1000.0 + 1e-6).floor();
        write!(f, "{}", tenths / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::fewer(19, 100, false, false)]
    #[case::exactly(20, 100, false, true)]
    #[case::more(21, 100, true, true)]
    #[case::none_of_none(0, 0, false, false)]
    #[case::a_part_of_a_row(1, 4, true, true)]
    fn a_share_is_beyond_its_limit(#[case] part: u64, #[case] rows: u64, #[case] above: bool, #[case] from: bool) {
        for (inclusive, exceeded) in [(false, above), (true, from)] {
            let limit = ShareLimit { ratio: 0.2, inclusive };
            assert_eq!(limit.is_exceeded(part, rows), exceeded, "{limit}");
            assert!(limit.is_exceeded(limit.least(rows), rows), "{limit}: {}", limit.least(rows));
            assert!(!limit.is_exceeded(limit.least(rows) - 1, rows), "{limit}: {}", limit.least(rows));
        }
    }

    #[test]
    fn the_text_tells_the_effect_of_the_limit() {
        let text = |inclusive| ShareLimit { ratio: 0.2, inclusive }.to_string();
        assert_eq!((text(false), text(true)), ("above 20 %".to_owned(), "from 20 % on".to_owned()));
    }
}
