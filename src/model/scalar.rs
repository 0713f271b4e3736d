//! Values of scalar fields that rows are clustered by, and ranges of them.

use std::{cmp::Ordering, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{DataType, FieldId};

/// A value of a clustering key. Texts compare by their UTF-8 bytes. Floating-point numbers compare in IEEE 754 total order,
/// which has a place for NaN: -NaN, -∞ … -0.0, 0.0 … ∞, NaN.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Scalar {
    Int(i64),
    /// Written as its bits: not every text format knows NaN and infinity.
    Float(#[serde(with = "float_bits")] f64),
    Str(Arc<str>),
}

pub(super) mod float_bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::model) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.to_bits())
    }

    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        u64::deserialize(from).map(f64::from_bits)
    }
}

impl Scalar {
    /// True if rows can be clustered by a field of this type: numbers and texts.
    pub fn holds(data_type: DataType) -> bool {
        matches!(
            data_type,
            DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float
                | DataType::Double
                | DataType::VarChar
        )
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Int(_) => 0,
            Self::Float(_) => 1,
            Self::Str(_) => 2,
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Str(a), Self::Str(b)) => a.cmp(b),
            // A field never has both. Ordered by kind, because `Ord` must be total.
            (a, b) => a.kind().cmp(&b.kind()),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scalar {}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(v) => v.fmt(f),
            Self::Float(v) => v.fmt(f),
            Self::Str(v) => write!(f, "{v:?}"),
        }
    }
}

/// Partition statistics of a clustered segment: smallest and largest value of the key, both included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRange {
    pub field: FieldId,
    pub min: Scalar,
    pub max: Scalar,
}

impl ClusterRange {
    pub fn of(field: FieldId, value: Scalar) -> Self {
        Self { field, min: value.clone(), max: value }
    }

    /// Widens the range to include `value`.
    pub fn extend(&mut self, value: Scalar) {
        if value < self.min {
            self.min = value;
        } else if value > self.max {
            self.max = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_have_a_total_order() {
        let mut values = [f64::NAN, 1.0, f64::NEG_INFINITY, 0.0, -0.0, f64::INFINITY].map(Scalar::Float);
        values.sort();
        let texts = values.each_ref().map(Scalar::to_string);
        assert_eq!(texts, ["-inf", "-0", "0", "1", "inf", "NaN"]);
        assert_eq!(Scalar::Float(f64::NAN), Scalar::Float(f64::NAN));
    }

    #[test]
    fn ranges_grow_both_ways() {
        let mut range = ClusterRange::of(FieldId(101), Scalar::Int(5));
        for value in [7, 6, 3, 5] {
            range.extend(Scalar::Int(value));
        }
        assert_eq!((range.min, range.max), (Scalar::Int(3), Scalar::Int(7)));
    }
}
