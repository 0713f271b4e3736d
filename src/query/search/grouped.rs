//! Groups of several rows: a second look at the rows, for those of the groups that the first one has found.
//!
//! One look can't find both within bounds: a group may get among the nearest by a late row, when its other rows have gone
//! by.

use std::collections::HashMap;

use super::nearest::{Hit, Nearest};
use crate::{
    model::{FieldId, PrimaryKey},
    query::{scan::KeyColumn, select::RowPlace},
};

/// Groups of rows: a search finds the groups whose nearest rows are nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouping {
    /// A field of whole numbers, bools or text. Rows of one value are a group.
    pub field: FieldId,
    /// Most rows of a group, one of each key.
    pub size: u64,
}

/// Rows of one query vector.
#[derive(Debug)]
pub(super) enum FoundRows {
    /// The nearest, or the nearest of each group.
    Nearest(Nearest),
    Members(GroupMembers),
}

impl FoundRows {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Nearest(nearest) => nearest.len(),
            Self::Members(members) => members.groups.values().map(Nearest::len).sum(),
        }
    }

    /// False if a row of this rank is not among them with any key. Only a finite number is a rank.
    pub(super) fn may_take(&self, rank: f32) -> bool {
        match self {
            Self::Nearest(nearest) => nearest.may_take(rank),
            Self::Members(_) => rank.is_finite(),
        }
    }

    /// Takes a row if it is among them. The caller has asked [`Self::may_take`].
    pub(super) fn offer(
        &mut self,
        rank: f32,
        place: RowPlace,
        keys: &KeyColumn,
        groups: Option<&KeyColumn>,
        index: usize,
    ) {
        match self {
            Self::Nearest(nearest) => nearest.offer(rank, place, keys, groups, index),
            Self::Members(members) => {
                let group = groups.and_then(|groups| members.groups.get_mut(&groups.get(index)));
                if let Some(nearest) = group
                    && nearest.may_take(rank)
                {
                    nearest.offer(rank, place, keys, None, index);
                }
            }
        }
    }

    /// Takes the rows of another part of the same search.
    pub(super) fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Nearest(all), Self::Nearest(part)) => all.merge(part),
            (Self::Members(all), Self::Members(part)) => {
                for (group, part) in part.groups {
                    if let Some(all) = all.groups.get_mut(&group) {
                        all.merge(part);
                    }
                }
            }
            // Parts of one search are of one kind.
            (Self::Nearest(_), Self::Members(_)) | (Self::Members(_), Self::Nearest(_)) => {}
        }
    }

    /// The nearest first; of groups those of the nearest group first.
    pub(super) fn into_hits(self) -> Vec<Hit> {
        match self {
            Self::Nearest(nearest) => nearest.into_hits().collect(),
            Self::Members(GroupMembers { order, mut groups }) => {
                let groups = order.iter().filter_map(|group| groups.remove(group));
                groups.flat_map(Nearest::into_hits).collect()
            }
        }
    }
}

/// The nearest rows of each of some groups.
#[derive(Debug)]
pub(super) struct GroupMembers {
    /// The groups, the nearest first.
    order: Vec<PrimaryKey>,
    /// Clients choose the values, so the hash function is one whose collisions they can't provoke.
    groups: HashMap<PrimaryKey, Nearest>,
}

impl GroupMembers {
    /// Places for the rows of groups.
    pub(super) fn of(order: Vec<PrimaryKey>, size: usize) -> Self {
        let groups = order.iter().map(|group| (group.clone(), Nearest::new(size))).collect();
        Self { order, groups }
    }
}
