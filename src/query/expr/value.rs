//! Values of rows, and constants in the form in which lists are compared.

use std::{borrow::Cow, collections::HashSet};

use super::{
    ast::{CompareOp, Literal},
    num::Num,
};
use crate::json;

/// A scalar found in a row.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::query) enum RowValue<'a> {
    Bool(bool),
    Number(Num),
    Text(Cow<'a, str>),
}

impl<'a> From<json::JsonScalar<'a>> for RowValue<'a> {
    fn from(scalar: json::JsonScalar<'a>) -> Self {
        match scalar {
            json::JsonScalar::Bool(value) => Self::Bool(value),
            json::JsonScalar::Number(number) => {
                Self::Number(number.as_i64().map_or_else(|| Num::Float(number.as_f64()), Num::Int))
            }
            json::JsonScalar::Text(text) => Self::Text(text),
        }
    }
}

impl RowValue<'_> {
    /// None if the two are of different kinds.
    pub(in crate::query) fn compare(&self, op: CompareOp, literal: &Literal) -> Option<bool> {
        Some(match (self, literal) {
            (Self::Bool(a), Literal::Bool(b)) => op.holds(Some(a.cmp(b))),
            (Self::Number(a), Literal::Int(b)) => op.holds(a.compare(Num::Int(*b))),
            (Self::Number(a), Literal::Float(b)) => op.holds(a.compare(Num::Float(*b))),
            (Self::Text(a), Literal::Str(b)) => op.holds(Some(a.as_ref().cmp(b.as_str()))),
            _ => return None,
        })
    }

    /// The number in a scalar.
    pub(in crate::query) fn number(self) -> Option<Num> {
        match self {
            Self::Number(number) => Some(number),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

/// A list element in an expression: a constant, or a list of constants (inside JSON).
#[derive(Debug, Clone, PartialEq)]
pub(in crate::query) enum Item {
    Literal(Literal),
    List(Vec<Item>),
}

/// An element of a list in the form in which elements are compared: two are equal exactly if they are the same value. 1
/// and 1.0 are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::query) enum ListKey<'a> {
    Bool(bool),
    /// Also a double that is this integer.
    Int(i64),
    /// Bits of any other double.
    Float(u64),
    Text(Cow<'a, str>),
    List(Vec<ListKey<'a>>),
}

impl<'a> ListKey<'a> {
    /// None for NaN, which equals nothing.
    pub(in crate::query) fn scalar(value: RowValue<'a>) -> Option<Self> {
        match value {
            RowValue::Bool(value) => Some(Self::Bool(value)),
            RowValue::Number(number) => Self::number(number),
            RowValue::Text(text) => Some(Self::Text(text)),
        }
    }

    fn number(number: Num) -> Option<Self> {
        match number {
            Num::Int(value) => Some(Self::Int(value)),
            Num::Float(value) if value.is_nan() => None,
            // The conversion saturates: the comparison tells whether it was exact.
            Num::Float(value) if number.compare(Num::Int(value as i64)).is_some_and(|o| o.is_eq()) => {
                Some(Self::Int(value as i64))
            }
            Num::Float(value) => Some(Self::Float(value.to_bits())),
        }
    }

    /// None if no constant can equal it: null, objects, and lists that have these inside or are nested deeper than `levels`.
    pub(in crate::query) fn json(value: json::Value<'a>, levels: usize) -> Option<Self> {
        if let Some(scalar) = value.scalar() {
            return Self::scalar(scalar.into());
        }
        let levels = levels.checked_sub(1)?;
        value.elements()?.map(|element| Self::json(element, levels)).collect::<Option<_>>().map(Self::List)
    }

    fn item(item: Item) -> Option<ListKey<'static>> {
        match item {
            Item::Literal(Literal::Bool(value)) => Some(ListKey::Bool(value)),
            Item::Literal(Literal::Int(value)) => Some(ListKey::Int(value)),
            Item::Literal(Literal::Float(value)) => ListKey::number(Num::Float(value)),
            Item::Literal(Literal::Str(value)) => Some(ListKey::Text(Cow::Owned(value))),
            Item::List(items) => items.into_iter().map(Self::item).collect::<Option<_>>().map(ListKey::List),
        }
    }

    fn levels(&self) -> usize {
        match self {
            Self::List(keys) => 1 + keys.iter().map(Self::levels).max().unwrap_or(0),
            _ => 0,
        }
    }
}

/// The elements of a list in a row: of an array field or inside JSON. None: the element equals no constant.
pub(in crate::query) type ListKeys<'k, 'a> = &'k mut dyn Iterator<Item = Option<ListKey<'a>>>;

/// A list of constants, in their order.
#[derive(Debug, Clone)]
pub(in crate::query) struct ItemList {
    keys: Vec<Option<ListKey<'static>>>,
    levels: usize,
}

impl ItemList {
    pub(in crate::query) fn new(items: Vec<Item>) -> Self {
        let keys: Vec<_> = items.into_iter().map(ListKey::item).collect();
        let levels = keys.iter().flatten().map(ListKey::levels).max().unwrap_or(0);
        Self { keys, levels }
    }

    /// Deepest nesting of lists inside the list.
    pub(in crate::query) fn levels(&self) -> usize {
        self.levels
    }

    pub(in crate::query) fn equals(&self, list: ListKeys<'_, '_>) -> bool {
        let mut wanted = self.keys.iter();
        for key in list {
            let equal = matches!((wanted.next(), &key), (Some(Some(wanted)), Some(key)) if wanted == key);
            if !equal {
                return false;
            }
        }
        wanted.next().is_none()
    }
}

/// Constants to find in lists. A search costs one step per element, for any number of constants.
#[derive(Debug, Clone)]
pub(in crate::query) struct ItemSet {
    keys: HashSet<ListKey<'static>>,
    levels: usize,
    /// One of the constants equals nothing.
    unmatchable: bool,
}

impl ItemSet {
    pub(in crate::query) fn new(items: Vec<Item>) -> Self {
        let keys: Vec<_> = items.into_iter().map(ListKey::item).collect();
        let unmatchable = keys.contains(&None);
        let keys: HashSet<_> = keys.into_iter().flatten().collect();
        let levels = keys.iter().map(ListKey::levels).max().unwrap_or(0);
        Self { keys, levels, unmatchable }
    }

    /// Deepest nesting of lists inside the constants.
    pub(in crate::query) fn levels(&self) -> usize {
        self.levels
    }

    /// True if the list has at least one of the constants.
    pub(in crate::query) fn meets(&self, list: ListKeys<'_, '_>) -> bool {
        list.flatten().any(|key| has(&self.keys, &key))
    }

    /// True if the list has each of the constants.
    pub(in crate::query) fn is_in(&self, list: ListKeys<'_, '_>) -> bool {
        if self.unmatchable {
            return false;
        }
        let mut seen = HashSet::new();
        for key in list.flatten() {
            if has(&self.keys, &key) && seen.insert(key) && seen.len() == self.keys.len() {
                return true;
            }
        }
        self.keys.is_empty()
    }
}

/// Looks a key up whose lifetime is shorter than that of the set's keys.
fn has<'a>(keys: &HashSet<ListKey<'a>>, key: &ListKey<'a>) -> bool {
    keys.contains(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(num: Num) -> Option<ListKey<'static>> {
        ListKey::scalar(RowValue::Number(num))
    }

    #[test]
    fn keys_are_equal_as_their_numbers_are() {
        let numbers = [
            Num::Int(0),
            Num::Float(-0.0),
            Num::Int(1),
            Num::Float(1.0),
            Num::Float(1.5),
            Num::Int(i64::MAX),
            Num::Int(i64::MIN),
            Num::Float(9_223_372_036_854_775_808.0),
            Num::Float(-9_223_372_036_854_775_808.0),
            Num::Int(9_007_199_254_740_993),
            Num::Float(9_007_199_254_740_992.0),
            Num::Float(1e300),
            Num::Float(f64::INFINITY),
            Num::Float(f64::NAN),
        ];
        for a in numbers {
            for b in numbers {
                let equal = a.compare(b).is_some_and(|o| o.is_eq());
                assert_eq!(number(a).is_some() && number(a) == number(b), equal, "{a:?} {b:?}");
            }
        }
    }
}
