//! Numbers of rows and constants. Comparisons are exact: no number is rounded for them.

/// A number of a row. Integers and doubles compare exactly with each other, never through a rounded conversion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::query) enum Num {
    Int(i64),
    Float(f64),
}

impl Num {
    pub(in crate::query) fn as_f64(self) -> f64 {
        match self {
            Self::Int(v) => v as f64,
            Self::Float(v) => v,
        }
    }

    pub(in crate::query) fn compare(self, other: Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => compare_int(a, b),
            (Self::Float(a), Self::Int(b)) => compare_int(b, a).map(std::cmp::Ordering::reverse),
        }
    }
}

fn compare_int(int: i64, float: f64) -> Option<std::cmp::Ordering> {
    use std::cmp::Ordering;
    // 2^63: the first double above every i64, and the negative of the smallest one.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float.is_nan() {
        None
    } else if float >= LIMIT {
        Some(Ordering::Less)
    } else if float < -LIMIT {
        Some(Ordering::Greater)
    } else {
        let whole = float.trunc();
        Some(int.cmp(&(whole as i64)).then(if float > whole {
            Ordering::Less
        } else if float < whole {
            Ordering::Greater
        } else {
            Ordering::Equal
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[test]
    fn integers_and_doubles_compare_exactly() {
        for (int, float, expected) in [
            (1, 1.0, Some(Ordering::Equal)),
            (1, 1.5, Some(Ordering::Less)),
            (-1, -1.5, Some(Ordering::Greater)),
            (9_007_199_254_740_993, 9_007_199_254_740_992.0, Some(Ordering::Greater)),
            (i64::MAX, 9_223_372_036_854_775_808.0, Some(Ordering::Less)),
            (i64::MIN, -9_223_372_036_854_775_808.0, Some(Ordering::Equal)),
            (0, f64::NAN, None),
            (0, f64::NEG_INFINITY, Some(Ordering::Greater)),
        ] {
            assert_eq!(Num::Int(int).compare(Num::Float(float)), expected, "{int} and {float}");
            assert_eq!(Num::Float(float).compare(Num::Int(int)), expected.map(Ordering::reverse), "{float} and {int}");
        }
    }
}
