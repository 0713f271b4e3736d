//! Number and checksum of all pairs of a class of keys.
//!
//! A checksum beside each value proves that the value was read as it was written. It can't show that a pair was *not*
//! read: a damaged page may lose keys without a trace. So a store that can be damaged keeps, for each class of keys, the
//! number of pairs and the sum of their checksums. The transaction that changes the pairs changes them too, and a reader
//! of the whole class compares.

/// Number of pairs, and the sum of their checksums. The order in which they were added does not matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub pairs: u64,
    pub sum: u64,
}

impl Tally {
    pub(super) fn add(&mut self, checksum: u32) {
        self.pairs = self.pairs.wrapping_add(1);
        self.sum = self.sum.wrapping_add(checksum.into());
    }

    pub(super) fn take(&mut self, checksum: u32) {
        self.pairs = self.pairs.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(checksum.into());
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { pairs: self.pairs.wrapping_add(other.pairs), sum: self.sum.wrapping_add(other.sum) }
    }
}

/// CRC-32C of a key and its value: a value under another key does not have it.
pub(super) fn pair_checksum(key: &[u8], value: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&(key.len() as u64).to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(sum, key), value)
}

/// The class of a key: its first two parts with their slashes, one part if there is no second slash. There are as many
/// classes as kinds of records.
pub(super) fn class(key: &str) -> &str {
    let slashes = key.match_indices('/').map(|(at, _)| at + 1);
    key.get(..slashes.take(2).last().unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_prefixes_of_the_catalog() {
        use crate::meta::key::{
            CHANNELS, COLLECTIONS, CONTROLS, DATABASES, EPOCH, IDENTITY, JOBS, LOGS, PLANS, ROLES, SEGMENTS, USERS,
        };
        for prefix in [SEGMENTS, LOGS, DATABASES, COLLECTIONS, JOBS, PLANS, CHANNELS, USERS, ROLES] {
            assert_eq!(class(&format!("{prefix}1/2/3")), prefix);
            assert_eq!(class(prefix), prefix);
        }
        assert_eq!([EPOCH, IDENTITY, CONTROLS, "a"].map(class), ["coordinator/", "coordinator/", "datacoord/", ""]);
    }

    #[test]
    fn key_and_value_are_told_apart() {
        assert_ne!(pair_checksum(b"ab", b"c"), pair_checksum(b"a", b"bc"));
        assert_ne!(pair_checksum(b"a", b""), pair_checksum(b"", b"a"));
    }
}
