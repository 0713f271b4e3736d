//! Primary keys that follow from an expression: enough to delete without reading rows, or to skip segments.

use std::{cmp::Ordering, collections::BTreeSet, sync::Arc};

use super::{
    ast::{CompareOp, Literal},
    bound::{BoundExpr, Predicate, Test, ValueSource},
};
use crate::model::{PkRange, PrimaryKey};

/// Primary keys that rows matching an expression can have. May be too wide, never too narrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PkFilter {
    /// Any key.
    All,
    /// One of these keys.
    Keys(BTreeSet<PrimaryKey>),
    /// A key between these, both included; None: no bound. At least one is present.
    Between(Option<PrimaryKey>, Option<PrimaryKey>),
}

impl PkFilter {
    /// False if no row of a segment whose keys span `range` can match.
    pub fn overlaps(&self, range: &PkRange) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.range(&range.min..=&range.max).next().is_some(),
            Self::Between(min, max) => {
                min.as_ref().is_none_or(|min| *min <= range.max) && max.as_ref().is_none_or(|max| *max >= range.min)
            }
        }
    }

    /// The keys, if there is a list of them.
    pub fn keys(&self) -> Option<&BTreeSet<PrimaryKey>> {
        match self {
            Self::Keys(keys) => Some(keys),
            Self::All | Self::Between(..) => None,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, filter) | (filter, Self::All) => filter,
            (Self::Keys(keys), filter) | (filter, Self::Keys(keys)) => {
                Self::Keys(keys.into_iter().filter(|key| filter.admits(key)).collect())
            }
            (Self::Between(min1, max1), Self::Between(min2, max2)) => {
                // `None` is smaller than any key. That is right for lower bounds (below) and wrong for upper ones.
                let max = match (max1, max2) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                Self::Between(min1.max(min2), max)
            }
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Keys(mut a), Self::Keys(b)) => {
                a.extend(b);
                Self::Keys(a)
            }
            _ => Self::All,
        }
    }

    fn admits(&self, key: &PrimaryKey) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.contains(key),
            Self::Between(min, max) => {
                min.as_ref().is_none_or(|min| min <= key) && max.as_ref().is_none_or(|max| key <= max)
            }
        }
    }
}

impl BoundExpr {
    /// The keys of an expression of the form `key == x` or `key in […]`, ascending, each once; none for any other.
    pub fn exact_keys(&self) -> Option<Vec<PrimaryKey>> {
        match (&*self.root, self.pk_filter()) {
            (Predicate::Test(ValueSource::Field(field), _), PkFilter::Keys(keys)) if field.is_primary_key => {
                Some(keys.into_iter().collect())
            }
            _ => None,
        }
    }

    /// How many keys such an expression lists, counting a repeated one each time; none for any other.
    pub fn listed_keys(&self) -> Option<usize> {
        let Predicate::Test(ValueSource::Field(field), test) = &*self.root else { return None };
        match test {
            Test::In(set) if field.is_primary_key => Some(set.listed),
            _ => self.exact_keys().map(|keys| keys.len()),
        }
    }

    /// The primary keys that matching rows can have.
    pub fn pk_filter(&self) -> PkFilter {
        filter(&self.root)
    }
}

fn filter(predicate: &Predicate) -> PkFilter {
    match predicate {
        Predicate::All(parts) => parts.iter().map(filter).fold(PkFilter::All, PkFilter::and),
        Predicate::Any(parts) => parts.iter().map(filter).reduce(PkFilter::or).unwrap_or(PkFilter::All),
        Predicate::Test(ValueSource::Field(field), test) if field.is_primary_key => tested(test),
        _ => PkFilter::All,
    }
}

fn tested(test: &Test) -> PkFilter {
    match test {
        Test::In(set) => PkFilter::Keys(
            set.ints
                .iter()
                .map(|v| PrimaryKey::Int(*v))
                .chain(set.strings.iter().map(|v| PrimaryKey::Str(Arc::from(v.as_str()))))
                .collect(),
        ),
        Test::Compare(op, literal) => match key(literal) {
            Some(key) => compared(*op, key),
            None => PkFilter::All,
        },
        Test::Like(_) => PkFilter::All,
    }
}

fn key(literal: &Literal) -> Option<PrimaryKey> {
    match literal {
        Literal::Int(v) => Some(PrimaryKey::Int(*v)),
        Literal::Str(v) => Some(PrimaryKey::Str(Arc::from(v.as_str()))),
        Literal::Bool(_) | Literal::Float(_) => None,
    }
}

fn compared(op: CompareOp, key: PrimaryKey) -> PkFilter {
    // An integer bound moves to its neighbour. Text has no neighbour below, so the bound stays included: too wide, but
    // allowed.
    let beside = |key: PrimaryKey, side: Ordering| match (&key, side) {
        (PrimaryKey::Int(v), Ordering::Less) => v.checked_sub(1).map(PrimaryKey::Int),
        (PrimaryKey::Int(v), Ordering::Greater) => v.checked_add(1).map(PrimaryKey::Int),
        _ => Some(key),
    };
    let none = || PkFilter::Keys(BTreeSet::new());
    match op {
        CompareOp::Eq => PkFilter::Keys(BTreeSet::from([key])),
        CompareOp::Ne => PkFilter::All,
        CompareOp::Le => PkFilter::Between(None, Some(key)),
        CompareOp::Ge => PkFilter::Between(Some(key), None),
        CompareOp::Lt => beside(key, Ordering::Less).map_or_else(none, |k| PkFilter::Between(None, Some(k))),
        CompareOp::Gt => beside(key, Ordering::Greater).map_or_else(none, |k| PkFilter::Between(Some(k), None)),
    }
}
