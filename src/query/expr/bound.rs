//! An expression whose names are resolved and whose types fit: what is evaluated.

use std::collections::HashSet;

use super::{
    ast::{ArithmeticOp, CompareOp, Literal, Step},
    like::Pattern,
    value::{ItemList, ItemSet},
};
use crate::model::{DataType, FieldId};

/// A checked expression; evaluate it with [`BoundExpr::evaluate`].
#[derive(Debug, Clone)]
pub struct BoundExpr {
    pub(super) root: Predicate,
    pub(super) fields: Vec<FieldId>,
}

impl BoundExpr {
    /// Fields that evaluation reads, ascending, each once.
    pub fn fields(&self) -> &[FieldId] {
        &self.fields
    }
}

/// A field as evaluation needs it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FieldRef {
    pub(super) id: FieldId,
    /// Name of its column in record batches.
    pub(super) column: String,
    pub(super) kind: DataType,
    /// Element type of an array.
    pub(super) element: Option<DataType>,
    pub(super) is_primary_key: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// A whole field; JSON only as the root of a path, so never here.
    Field(FieldRef),
    /// What a path reaches inside a JSON field; the path is not empty.
    Json(FieldRef, Vec<Step>),
    /// One element of an array field.
    Element(FieldRef, usize, DataType),
}

#[derive(Debug, Clone)]
pub(super) enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    /// A single value against constants that are of its type (or of any type, for JSON).
    Test(Source, Test),
    /// Two columns of text, or two of bools.
    Columns(FieldRef, CompareOp, FieldRef),
    /// Numbers that are computed.
    Numbers {
        left: Number,
        op: CompareOp,
        right: Number,
        /// Both sides are rounded to single precision first, as they would be in a Float field.
        single: bool,
        /// The result where a side has no value.
        absent: bool,
    },
    /// A whole array or JSON list is (not) exactly this one; false where there is no list.
    List {
        source: Source,
        equal: bool,
        items: ItemList,
    },
    Exists(FieldRef, Vec<Step>),
    Contains {
        source: Source,
        mode: ContainsMode,
        items: ItemSet,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Test {
    Compare(CompareOp, Literal),
    In(LiteralSet),
    Like(Pattern),
}

/// A list element: a constant, or a list of them (inside JSON).
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Literal(Literal),
    List(Vec<Item>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContainsMode {
    All,
    Any,
}

/// A term of arithmetic.
#[derive(Debug, Clone)]
pub(super) enum Number {
    Constant(Num),
    Value(Source),
    /// Elements of an array or JSON list; 0 where there is none.
    Length(Source),
    Negate(Box<Number>),
    Arithmetic(ArithmeticOp, Box<Number>, Box<Number>),
}

/// A number of a row. Integers and doubles compare exactly with each other, never through a rounded conversion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Num {
    Int(i64),
    Float(f64),
}

impl Num {
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Int(v) => v as f64,
            Self::Float(v) => v,
        }
    }

    pub(super) fn compare(self, other: Self) -> Option<std::cmp::Ordering> {
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

/// Constants to be looked up by value. A client chooses them: the hash is one that it can't make collide.
#[derive(Debug, Clone, Default)]
pub(super) struct LiteralSet {
    pub(super) ints: HashSet<i64>,
    /// Bits; both zeros as the positive one.
    floats: HashSet<u64>,
    pub(super) strings: HashSet<String>,
    bools: [bool; 2],
}

impl LiteralSet {
    pub(super) fn insert(&mut self, literal: Literal) {
        match literal {
            Literal::Bool(v) => self.bools[usize::from(v)] = true,
            Literal::Int(v) => {
                self.ints.insert(v);
            }
            Literal::Float(v) => {
                self.floats.insert((v + 0.0).to_bits());
            }
            Literal::Str(v) => {
                self.strings.insert(v);
            }
        }
    }

    pub(super) fn has_bool(&self, value: bool) -> bool {
        self.bools[usize::from(value)]
    }

    pub(super) fn has_float(&self, value: f64) -> bool {
        self.floats.contains(&(value + 0.0).to_bits())
    }

    pub(super) fn has_number(&self, value: Num) -> bool {
        match value {
            Num::Int(v) => {
                self.ints.contains(&v)
                    || self.has_float(v as f64) && value.compare(Num::Float(v as f64)).is_some_and(|o| o.is_eq())
            }
            Num::Float(v) => {
                self.has_float(v)
                    || self.ints.contains(&(v as i64)) && value.compare(Num::Int(v as i64)).is_some_and(|o| o.is_eq())
            }
        }
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

    #[test]
    fn a_set_finds_numbers_of_either_kind() {
        let mut set = LiteralSet::default();
        for literal in [Literal::Int(9_007_199_254_740_993), Literal::Float(2.0), Literal::Float(-0.0)] {
            set.insert(literal);
        }
        for (value, expected) in [
            (Num::Int(9_007_199_254_740_993), true),
            (Num::Float(9_007_199_254_740_992.0), false),
            (Num::Int(2), true),
            (Num::Float(2.0), true),
            (Num::Int(0), true),
            (Num::Float(0.5), false),
        ] {
            assert_eq!(set.has_number(value), expected, "{value:?}");
        }
    }

    /// These keys have one hash under multiplication by the constant of a common fast hash.
    #[test]
    fn keys_that_a_client_made_to_collide_are_found_at_once() {
        const FACTOR: u64 = 0xf135_7aea_2e62_a9c5;
        // Newton's iteration: the inverse of an odd number modulo 2^64.
        let inverse = (0..6).fold(FACTOR, |x, _| x.wrapping_mul(2u64.wrapping_sub(FACTOR.wrapping_mul(x))));
        assert_eq!(FACTOR.wrapping_mul(inverse), 1);
        let key = |i: u64| i.wrapping_mul(inverse) as i64;
        let mut set = LiteralSet::default();
        (0..300_000).for_each(|i| set.insert(Literal::Int(key(i))));
        assert!((0..300_000).all(|i| set.has_number(Num::Int(key(i)))));
    }
}
