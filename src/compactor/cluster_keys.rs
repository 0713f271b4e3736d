//! A decoded column of clustering keys, of any type that rows can be clustered by.

use std::cmp::Ordering;

use arrow_array::{
    ArrayRef, Float64Array, Int64Array, StringArray,
    cast::AsArray,
    types::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};
use arrow_schema::DataType as Arrow;

use crate::model::Scalar;

/// A column of keys.
pub(super) enum ClusterKeys {
    Int(Int64Array),
    Float(Float64Array),
    Str(StringArray),
}

impl ClusterKeys {
    /// None if rows can't be clustered by such a column.
    pub(super) fn of(array: &ArrayRef) -> Option<Self> {
        match array.data_type() {
            Arrow::Int8 => Some(Self::Int(array.as_primitive_opt::<Int8Type>()?.unary(i64::from))),
            Arrow::Int16 => Some(Self::Int(array.as_primitive_opt::<Int16Type>()?.unary(i64::from))),
            Arrow::Int32 => Some(Self::Int(array.as_primitive_opt::<Int32Type>()?.unary(i64::from))),
            Arrow::Int64 => Some(Self::Int(array.as_primitive_opt::<Int64Type>()?.clone())),
            Arrow::Float32 => Some(Self::Float(array.as_primitive_opt::<Float32Type>()?.unary(f64::from))),
            Arrow::Float64 => Some(Self::Float(array.as_primitive_opt::<Float64Type>()?.clone())),
            Arrow::Utf8 => Some(Self::Str(array.as_string_opt::<i32>()?.clone())),
            _ => None,
        }
    }

    pub(super) fn get(&self, row: usize) -> Scalar {
        match self {
            Self::Int(keys) => Scalar::Int(keys.value(row)),
            Self::Float(keys) => Scalar::Float(keys.value(row)),
            Self::Str(keys) => Scalar::Str(keys.value(row).into()),
        }
    }

    /// How the key of a row compares with a value.
    pub(super) fn compare(&self, row: usize, value: &Scalar) -> Ordering {
        match (self, value) {
            (Self::Int(keys), Scalar::Int(value)) => keys.value(row).cmp(value),
            (Self::Float(keys), Scalar::Float(value)) => keys.value(row).total_cmp(value),
            (Self::Str(keys), Scalar::Str(value)) => keys.value(row).cmp(value),
            (_, value) => self.get(row).cmp(value),
        }
    }

    /// Has a range of values, from the least to the greatest, include that of a row.
    pub(super) fn widen(&self, range: &mut Option<(Scalar, Scalar)>, row: usize) {
        match range {
            None => *range = Some((self.get(row), self.get(row))),
            Some((min, _)) if self.compare(row, min).is_lt() => *min = self.get(row),
            Some((_, max)) if self.compare(row, max).is_gt() => *max = self.get(row),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{BooleanArray, Float32Array, Int8Array, Int16Array, Int32Array};

    use super::*;

    #[test]
    fn every_type_of_key_is_read() {
        let ascending: [ArrayRef; 5] = [
            Arc::new(Int8Array::from(vec![-1, 2])),
            Arc::new(Int16Array::from(vec![-1, 2])),
            Arc::new(Int32Array::from(vec![-1, 2])),
            Arc::new(Int64Array::from(vec![-1, 2])),
            Arc::new(Float32Array::from(vec![-1.0, 2.0])),
        ];
        for array in ascending {
            let keys = ClusterKeys::of(&array).unwrap();
            assert_eq!([keys.get(0).to_string(), keys.get(1).to_string()], ["-1", "2"]);
            assert!(keys.compare(0, &keys.get(1)).is_lt() && keys.compare(1, &keys.get(1)).is_eq());
        }
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN]));
        assert!(ClusterKeys::of(&floats).unwrap().compare(0, &Scalar::Float(f64::INFINITY)).is_gt());
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["b"]));
        assert!(ClusterKeys::of(&texts).unwrap().compare(0, &Scalar::Str("a".into())).is_gt());
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        assert!(ClusterKeys::of(&flags).is_none());
    }
}
