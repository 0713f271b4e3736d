//! How pairs lie in the file: each value behind the checksum of its pair, and the tallies of all classes in one record.
//!
//! | table | key | value |
//! |---|---|---|
//! | `checked` | the key | CRC-32C of the pair (u32), then the value |
//! | `tallies` | empty | CRC-32C of the rest (u32), then for each class: length of its name (u32), name, pairs, sum (u64 each) |
//! | `kv` | the key | the value alone, as releases up to 0.1.0 wrote it; moved into `checked` when the file is opened |
//!
//! Numbers are little-endian.

use std::collections::BTreeMap;

use ::redb::TableDefinition;

use crate::{
    fault::{self, Planted},
    meta::tally::{Tally, class, pair_checksum},
};

/// Keys are compared as bytes, which for UTF-8 is the order of strings.
pub(super) const PAIRS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("checked");
pub(super) const TALLIES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("tallies");
pub(super) const UNCHECKED: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("kv");
/// The one key of `tallies`.
pub(super) const ALL_TALLIES: &[u8] = b"";

const CHECKSUM_BYTES: usize = size_of::<u32>();
/// Keys of the catalog are shorter.
const SHOWN_BYTES: usize = 200;

/// A value as it is stored, and the checksum of its pair.
pub(super) fn framed(key: &[u8], value: &[u8]) -> (Vec<u8>, u32) {
    let checksum = pair_checksum(key, value);
    ([&checksum.to_le_bytes()[..], value].concat(), checksum)
}

/// The checksum that a stored value says its pair has, and the value.
pub(super) fn split(stored: &[u8]) -> Option<(u32, &[u8])> {
    let (checksum, value) = stored.split_first_chunk::<CHECKSUM_BYTES>()?;
    Some((u32::from_le_bytes(*checksum), value))
}

/// A key as an error shows it. That of a damaged page may be as long as the page.
pub(super) fn shown(key: &[u8]) -> String {
    match key.split_at_checked(SHOWN_BYTES) {
        Some((start, rest)) if !rest.is_empty() => format!("{}… ({} bytes)", String::from_utf8_lossy(start), key.len()),
        _ => String::from_utf8_lossy(key).into_owned(),
    }
}

/// The value and the checksum of its pair, or why the value is not the one that was written.
pub(super) fn checked<'a>(key: &[u8], stored: &'a [u8]) -> Result<(&'a [u8], u32), String> {
    let Some((expected, value)) = split(stored) else {
        return Err(format!("key {} has {} bytes instead of a value", shown(key), stored.len()));
    };
    let found = pair_checksum(key, value);
    if found != expected && !fault::planted(Planted::CatalogUnchecked) {
        let key = shown(key);
        return Err(format!("key {key}: checksum {expected:08x} expected, {found:08x} found"));
    }
    Ok((value, found))
}

/// The tallies of all classes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tallies(BTreeMap<String, Tally>);

impl Tallies {
    /// A key that is not text is counted in the class without a name; the catalog has no such key.
    pub(super) fn of_key(&mut self, key: &[u8]) -> &mut Tally {
        let class = std::str::from_utf8(key).map_or("", class);
        if !self.0.contains_key(class) {
            self.0.insert(class.to_owned(), Tally::default());
        }
        self.0.entry(class.to_owned()).or_default()
    }

    /// Zero if there never was such a key.
    pub(super) fn of_class(&self, class: &str) -> Tally {
        self.0.get(class).copied().unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Tally)> {
        self.0.iter().map(|(class, tally)| (class.as_str(), *tally))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (class, tally) in &self.0 {
            body.extend_from_slice(&(class.len() as u32).to_le_bytes());
            body.extend_from_slice(class.as_bytes());
            body.extend_from_slice(&tally.pairs.to_le_bytes());
            body.extend_from_slice(&tally.sum.to_le_bytes());
        }
        [&crc32c::crc32c(&body).to_le_bytes()[..], &body].concat()
    }

    /// None: these are not the bytes that were written.
    pub(super) fn decode(stored: &[u8]) -> Option<Self> {
        let (checksum, mut rest) = split(stored)?;
        if crc32c::crc32c(rest) != checksum {
            return None;
        }
        let mut tallies = BTreeMap::new();
        while !rest.is_empty() {
            let class_bytes = u32::from_le_bytes(take(&mut rest)?) as usize;
            let class = std::str::from_utf8(rest.get(..class_bytes)?).ok()?.to_owned();
            rest = rest.get(class_bytes..)?;
            let (pairs, sum) = (u64::from_le_bytes(take(&mut rest)?), u64::from_le_bytes(take(&mut rest)?));
            tallies.insert(class, Tally { pairs, sum });
        }
        Some(Self(tallies))
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_flipped_bit_shows(
            key in prop::collection::vec(any::<u8>(), 0..40),
            value in prop::collection::vec(any::<u8>(), 0..80),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let (mut stored, checksum) = framed(&key, &value);
            prop_assert_eq!(checked(&key, &stored), Ok((&value[..], checksum)));
            let at = at.index(key.len() + stored.len());
            let mut key = key;
            match at.checked_sub(key.len()) {
                None => key[at] ^= 1 << bit,
                Some(at) => stored[at] ^= 1 << bit,
            }
            prop_assert!(checked(&key, &stored).is_err());
        }

        #[test]
        fn tallies_read_back_and_a_flipped_bit_shows(
            keys in prop::collection::vec("[a-c]{0,2}/[a-c]{0,2}/[a-c]{0,2}", 0..20),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let mut tallies = Tallies::default();
            keys.iter().for_each(|key| tallies.of_key(key.as_bytes()).add(key.len() as u32));
            let mut stored = tallies.encode();
            prop_assert_eq!(Tallies::decode(&stored), Some(tallies));
            let at = at.index(stored.len());
            stored[at] ^= 1 << bit;
            prop_assert_eq!(Tallies::decode(&stored), None);
        }
    }
}
