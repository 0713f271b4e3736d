//! One value of one row, and what the tests say about it.

use super::{
    ast::{CompareOp, Literal},
    bound::{Item, Num, Test},
};

/// A scalar found in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Bool(bool),
    Number(Num),
    Text(&'a str),
}

impl Value<'_> {
    /// None if the two are of different kinds.
    fn compare(self, op: CompareOp, literal: &Literal) -> Option<bool> {
        Some(match (self, literal) {
            (Self::Bool(a), Literal::Bool(b)) => op.holds(Some(a.cmp(b))),
            (Self::Number(a), Literal::Int(b)) => op.holds(a.compare(Num::Int(*b))),
            (Self::Number(a), Literal::Float(b)) => op.holds(a.compare(Num::Float(*b))),
            (Self::Text(a), Literal::Str(b)) => op.holds(Some(a.cmp(b.as_str()))),
            _ => return None,
        })
    }

    pub(super) fn equals(self, literal: &Literal) -> bool {
        self.compare(CompareOp::Eq, literal) == Some(true)
    }

    /// None if the value is of another kind than what it is compared with.
    pub(super) fn passes(self, test: &Test) -> Option<bool> {
        match (test, self) {
            (Test::Compare(op, literal), value) => value.compare(*op, literal),
            (Test::In(set), Self::Bool(value)) => Some(set.has_bool(value)),
            (Test::In(set), Self::Number(value)) => Some(set.has_number(value)),
            (Test::In(set), Self::Text(value)) => Some(set.strings.contains(value)),
            (Test::Like(pattern), Self::Text(value)) => Some(pattern.matches(value)),
            (Test::Like(_), _) => None,
        }
    }
}

/// A list found in a row: of an array field or inside JSON.
pub(super) trait Elements {
    fn len(&self) -> usize;
    /// True if the element at `index`, which is below `len`, is this item.
    fn is(&self, index: usize, item: &Item) -> bool;

    fn contains(&self, item: &Item) -> bool {
        (0..self.len()).any(|i| self.is(i, item))
    }

    fn equals(&self, items: &[Item]) -> bool {
        self.len() == items.len() && items.iter().enumerate().all(|(i, item)| self.is(i, item))
    }
}
