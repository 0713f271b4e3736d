//! An expression after binding: names are resolved and types fit. `query::eval` evaluates it.

use std::{collections::HashSet, sync::Arc};

use super::{
    ast::{ArithmeticOp, CompareOp, Literal, Step},
    like::Pattern,
    num::Num,
    room::text_bytes,
    value::{ItemList, ItemSet, RowValue},
};
use crate::{
    memory::Extra,
    model::{DataType, FieldId},
};

/// A checked expression; evaluate it with [`BoundExpr::evaluate`].
///
/// It holds its memory as long as one of its clones lives, which share all that is large.
#[derive(Debug, Clone)]
pub struct BoundExpr {
    pub(in crate::query) root: Arc<Predicate>,
    pub(in crate::query) fields: Vec<FieldId>,
    pub(super) _memory: Arc<Extra>,
}

impl BoundExpr {
    /// Fields that evaluation reads, ascending, each once.
    pub fn fields(&self) -> &[FieldId] {
        &self.fields
    }
}

/// A field as evaluation needs it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::query) struct FieldRef {
    pub(in crate::query) id: FieldId,
    /// Name of its column in record batches.
    pub(in crate::query) column: String,
    pub(in crate::query) kind: DataType,
    /// Element type of an array.
    pub(in crate::query) element: Option<DataType>,
    pub(in crate::query) is_primary_key: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::query) enum ValueSource {
    /// A whole field, never a JSON field.
    Field(FieldRef),
    /// A value inside a JSON field. The path is not empty.
    Json(FieldRef, Vec<Step>),
    /// One element of an array field.
    Element(FieldRef, usize, DataType),
}

#[derive(Debug, Clone)]
pub(in crate::query) enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    /// A single value against constants of its type (of any type, for JSON).
    Test(ValueSource, Test),
    /// Two columns of text, or two of bools.
    Columns(FieldRef, CompareOp, FieldRef),
    /// A comparison of two computed numbers.
    Numbers {
        left: Term,
        op: CompareOp,
        right: Term,
        /// Both sides are rounded to single precision first, as in a Float field.
        single: bool,
        /// The result if a side has no value.
        absent: bool,
    },
    /// A whole array or JSON list equals the items, or differs from them. False if there is no list.
    List {
        source: ValueSource,
        equal: bool,
        items: ItemList,
    },
    Exists(FieldRef, Vec<Step>),
    Contains {
        source: ValueSource,
        mode: ContainsMode,
        items: ItemSet,
    },
}

#[derive(Debug, Clone)]
pub(in crate::query) enum Test {
    Compare(CompareOp, Literal),
    In(LiteralSet),
    Like(Pattern),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum ContainsMode {
    All,
    Any,
}

impl Test {
    /// None if the value and the constant of the test are of different kinds.
    pub(in crate::query) fn accepts(&self, value: &RowValue<'_>) -> Option<bool> {
        match (self, value) {
            (Self::Compare(op, literal), value) => value.compare(*op, literal),
            (Self::In(set), RowValue::Bool(value)) => Some(set.has_bool(*value)),
            (Self::In(set), RowValue::Number(value)) => Some(set.has_number(*value)),
            (Self::In(set), RowValue::Text(value)) => Some(set.strings.contains(value.as_ref())),
            (Self::Like(pattern), RowValue::Text(value)) => Some(pattern.matches(value)),
            (Self::Like(_), _) => None,
        }
    }
}

/// A term of arithmetic.
#[derive(Debug, Clone)]
pub(in crate::query) enum Term {
    Constant(Num),
    Value(ValueSource),
    /// Number of elements of an array or JSON list; 0 if there is none.
    Length(ValueSource),
    Negate(Box<Term>),
    Arithmetic(ArithmeticOp, Box<Term>, Box<Term>),
}

/// Constants to look up by value. Clients choose them, so the hash function is one whose collisions they can't provoke.
#[derive(Debug, Clone, Default)]
pub(in crate::query) struct LiteralSet {
    pub(in crate::query) ints: HashSet<i64>,
    /// Bits; both zeros as the positive one.
    floats: HashSet<u64>,
    pub(in crate::query) strings: HashSet<String>,
    bools: [bool; 2],
    /// How many were inserted, each time one was given again too.
    pub(in crate::query) listed: usize,
}

impl LiteralSet {
    pub(in crate::query) fn insert(&mut self, literal: Literal) {
        self.listed += 1;
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

    pub(in crate::query) fn contains(&self, literal: &Literal) -> bool {
        match literal {
            Literal::Bool(v) => self.has_bool(*v),
            Literal::Int(v) => self.ints.contains(v),
            Literal::Float(v) => self.has_float(*v),
            Literal::Str(v) => self.strings.contains(v),
        }
    }

    /// Memory of one more constant. A table that grows has room for as many again, and is copied from the one before.
    pub(in crate::query) fn entry_bytes(literal: &Literal) -> u64 {
        let table = |entry: usize| 4 * (entry as u64 + 1);
        match literal {
            Literal::Bool(_) => 0,
            Literal::Int(_) | Literal::Float(_) => table(size_of::<u64>()),
            Literal::Str(text) => table(size_of::<String>()) + text_bytes(text),
        }
    }

    pub(in crate::query) fn has_bool(&self, value: bool) -> bool {
        self.bools[usize::from(value)]
    }

    pub(in crate::query) fn has_float(&self, value: f64) -> bool {
        self.floats.contains(&(value + 0.0).to_bits())
    }

    pub(in crate::query) fn has_number(&self, value: Num) -> bool {
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
    use super::*;

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

    /// These keys all have the same hash under multiplication by the constant of a common fast hash.
    #[test]
    fn colliding_keys_of_a_client_are_found_at_once() {
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
