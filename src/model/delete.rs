//! A delete of one primary key.

use super::{PrimaryKey, Timestamp};

/// Kills every row with this key whose timestamp is strictly smaller. Equal timestamps keep the row: that is how an
/// upsert, which is a delete and an insert of one timestamp, survives itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delete {
    pub key: PrimaryKey,
    pub ts: Timestamp,
}
