//! Newtypes for the 64-bit ids, so that a segment can't be passed for a collection.
//!
//! All ids come from one allocator, are positive and are never used twice. A log id is never 1: the format reserves it for
//! the compound statistics file.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(CollectionId);
id!(PartitionId);
id!(SegmentId);
id!(
    /// Id of a field inside its collection: 0 and 1 are the system fields, user fields start at 100.
    FieldId
);
id!(
    /// Id of one object (insert, delta or statistics log).
    LogId
);
id!(
    /// Id of a compaction job: the `compactionID` that SDKs see.
    JobId
);
id!(PlanId);

/// Position of a record in the write-ahead log: strictly increasing; 0 is before the first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Lsn(pub u64);

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl FieldId {
    /// System field: number of a row, unique, assigned when the row arrives.
    pub const ROW_ID: Self = Self(0);
    /// System field: hybrid timestamp of the row's insert.
    pub const TIMESTAMP: Self = Self(1);
    /// First id of a user's field.
    pub const FIRST_USER: Self = Self(100);

    pub fn is_system(self) -> bool {
        self < Self::FIRST_USER
    }
}

impl PartitionId {
    /// All partitions of a channel. L0 segments with deletes that name no partition have it.
    pub const ALL: Self = Self(-1);
}

impl LogId {
    /// Reserved for the statistics file that holds one entry per sync of a segment. Milvus writes it, we only read it.
    pub const COMPOUND_STATS: Self = Self(1);
}

/// The ids that every log carries in its descriptor and its name: whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogIds {
    pub collection: CollectionId,
    pub partition: PartitionId,
    pub segment: SegmentId,
}
