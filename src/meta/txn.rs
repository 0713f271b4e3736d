//! Conditional transactions: guards that must hold, and operations that are then applied.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::MetaError;

/// A conditional transaction. No key is written twice, so the order of operations has no meaning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold, or nothing happens.
    pub guards: Vec<Guard>,
    pub ops: Vec<Op>,
}

impl Txn {
    /// The rules that every store enforces before it looks at a guard. They are etcd's: a limit on the number of guards
    /// and of operations, no two puts of one key, and no put of a key that the same transaction deletes.
    ///
    /// # Errors
    /// `TooLarge`, or `Overlap` with the key.
    pub fn check(&self, limit: usize) -> Result<(), MetaError> {
        let (guards, operations) = (self.guards.len(), self.ops.len());
        if guards > limit || operations > limit {
            return Err(MetaError::TooLarge { guards, operations, limit });
        }
        let mut puts = BTreeSet::new();
        for op in &self.ops {
            if let Op::Put { key, .. } = op
                && !puts.insert(key.as_str())
            {
                return Err(MetaError::Overlap { key: key.clone() });
            }
        }
        let overlapped = self.ops.iter().find_map(|op| match op {
            Op::Put { .. } => None,
            Op::Delete { key } => puts.get(key.as_str()),
            Op::DeletePrefix { prefix } => {
                puts.range(prefix.as_str()..).next().filter(|key| key.starts_with(prefix.as_str()))
            }
        });
        overlapped.map_or(Ok(()), |key| Err(MetaError::Overlap { key: (*key).to_owned() }))
    }
}

/// The state that a key must have for the transaction to take effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    pub key: String,
    pub expected: Expected,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The key does not exist.
    Absent,
    /// The key exists with any value.
    Present,
    /// The key has exactly these bytes.
    Value(Bytes),
}

impl Expected {
    pub(super) fn holds(&self, stored: Option<&[u8]>) -> bool {
        match (self, stored) {
            (Self::Absent, None) | (Self::Present, Some(_)) => true,
            (Self::Value(expected), Some(stored)) => expected == stored,
            _ => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Put {
        key: String,
        value: Bytes,
    },
    /// Deleting a key that does not exist is no error.
    Delete {
        key: String,
    },
    /// Deletes every key that begins with `prefix`.
    DeletePrefix {
        prefix: String,
    },
}
