//! The Bloom filter of the statistics log: same hash, same bit positions and same bit order as Milvus, so that filters
//! written by either side answer alike (see docs/formats.md).
//!
//! The hash is MurmurHash3 x64 128-bit with seed 0, of the key and of the key followed by one byte `01`. It is written
//! out here instead of using the `murmur3` crate, because that crate reads from a stream: this code copies neither form of
//! a key and needs no loop for an integer key.

use super::BinlogError;
use crate::fault::{self, Planted};

/// Most hash functions that a filter may have. No practical false-positive rate needs as many; the limit bounds the work
/// that a file can demand.
const MAX_HASHES: u32 = 1024;

/// A set of keys without false negatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BloomFilter {
    bits: u64,
    hashes: u32,
    /// Bit `i` is bit `i & 63` of word `i >> 6`.
    words: Vec<u64>,
}

impl BloomFilter {
    /// An empty filter for `capacity` keys at a false-positive rate. Capacity 0 counts as 1; the rate is clamped to 1e-9 to
    /// 0.5.
    pub fn new(capacity: u64, false_positive: f64) -> Self {
        let n = capacity.clamp(1, u64::from(u32::MAX)) as f64;
        let rate = if false_positive.is_nan() { 0.05 } else { false_positive.clamp(1e-9, 0.5) };
        let ln2 = std::f64::consts::LN_2;
        let bits = (-n * rate.ln() / (ln2 * ln2)).ceil().max(1.0) as u64;
        let hashes = (ln2 * bits as f64 / n).ceil().max(1.0) as u32;
        Self { bits, hashes, words: vec![0; bits.div_ceil(64) as usize] }
    }

    /// Reads the filter of a file: `m`, `k` and the decoded bit set (u64 `m`, then the words, all big-endian).
    pub(super) fn from_parts(bits: u64, hashes: u32, bit_set: &[u8]) -> Result<Self, BinlogError> {
        let corrupt = |what: String| BinlogError::corrupt(0, what);
        if bits == 0 || hashes == 0 || hashes > MAX_HASHES {
            return Err(corrupt(format!("bloom filter with {bits} bits and {hashes} hashes")));
        }
        let (words, rest) = bit_set.as_chunks::<8>();
        let mut words = words.iter().map(|w| u64::from_be_bytes(*w));
        if words.next() != Some(bits) || words.len() as u64 != bits.div_ceil(64) || !rest.is_empty() {
            return Err(corrupt(format!("bit set of {} bytes for a bloom filter of {bits} bits", bit_set.len())));
        }
        Ok(Self { bits, hashes, words: words.collect() })
    }

    /// The bit set in the encoding of a file.
    pub(super) fn bit_set(&self) -> Vec<u8> {
        std::iter::once(&self.bits).chain(&self.words).flat_map(|word| word.to_be_bytes()).collect()
    }

    /// Number of bits, `m`.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// Number of hash functions, `k`.
    pub fn hashes(&self) -> u32 {
        self.hashes
    }

    /// Adds an int64 key.
    pub fn insert_int(&mut self, key: i64) {
        self.insert(hash_int(key));
    }

    /// Adds a varchar key.
    pub fn insert_str(&mut self, key: &str) {
        self.insert(hash_bytes(key.as_bytes()));
    }

    /// False only if this int64 key was never added.
    pub fn contains_int(&self, key: i64) -> bool {
        self.contains(hash_int(key))
    }

    /// False only if this varchar key was never added.
    pub fn contains_str(&self, key: &str) -> bool {
        self.contains(hash_bytes(key.as_bytes()))
    }

    fn insert(&mut self, hash: [u64; 4]) {
        if fault::planted(Planted::KeyLeftOut) && hash[0].is_multiple_of(16) {
            return;
        }
        for i in 0..u64::from(self.hashes) {
            let bit = position(hash, i, self.bits);
            if let Some(word) = self.words.get_mut((bit >> 6) as usize) {
                *word |= 1 << (bit & 63);
            }
        }
    }

    fn contains(&self, hash: [u64; 4]) -> bool {
        (0..u64::from(self.hashes)).all(|i| {
            let bit = position(hash, i, self.bits);
            self.words.get((bit >> 6) as usize).is_some_and(|word| word >> (bit & 63) & 1 == 1)
        })
    }
}

/// Position of the i-th bit of a key.
fn position([h0, h1, h2, h3]: [u64; 4], i: u64, bits: u64) -> u64 {
    let base = if i.is_multiple_of(2) { h0 } else { h1 };
    // (i + i mod 2) mod 4 is 0 or 2.
    let step = if (i + i % 2).is_multiple_of(4) { h2 } else { h3 };
    base.wrapping_add(i.wrapping_mul(step)) % bits
}

const C1: u64 = 0x87C3_7B91_1142_53D5;
const C2: u64 = 0x4CF5_AD43_2745_937F;

fn scramble1(k: u64) -> u64 {
    k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn scramble2(k: u64) -> u64 {
    k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn block((mut h1, mut h2): (u64, u64), k1: u64, k2: u64) -> (u64, u64) {
    h1 = (h1 ^ scramble1(k1)).rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52DC_E729);
    h2 = (h2 ^ scramble2(k2)).rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5AB5);
    (h1, h2)
}

/// Mixes in the tail of at most 15 bytes, zero-padded, and finishes the hash. An empty half changes nothing.
fn finish((h1, h2): (u64, u64), tail1: u64, tail2: u64, len: u64) -> (u64, u64) {
    let mut h1 = h1 ^ scramble1(tail1) ^ len;
    let mut h2 = h2 ^ scramble2(tail2) ^ len;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = mix(h1);
    h2 = mix(h2);
    h1 = h1.wrapping_add(h2);
    (h1, h2.wrapping_add(h1))
}

fn mix(mut k: u64) -> u64 {
    k = (k ^ k >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    k = (k ^ k >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    k ^ k >> 33
}

/// Hashes of the 8 little-endian bytes of an integer, and of these bytes followed by `01`.
fn hash_int(key: i64) -> [u64; 4] {
    let (h0, h1) = finish((0, 0), key as u64, 0, 8);
    let (h2, h3) = finish((0, 0), key as u64, 1, 9);
    [h0, h1, h2, h3]
}

/// Hashes of the bytes, and of the bytes followed by `01`.
fn hash_bytes(key: &[u8]) -> [u64; 4] {
    let (blocks, tail) = key.as_chunks::<16>();
    let mut state = (0, 0);
    for chunk in blocks {
        let (k1, k2) = halves(chunk);
        state = block(state, k1, k2);
    }
    let mut padded = [0; 16];
    // The tail has at most 15 bytes, so one more byte fits.
    for (to, from) in padded.iter_mut().zip(tail) {
        *to = *from;
    }
    let len = key.len() as u64;
    let (k1, k2) = halves(&padded);
    let (h0, h1) = finish(state, k1, k2, len);
    if let Some(next) = padded.get_mut(tail.len()) {
        *next = 1;
    }
    let (k1, k2) = halves(&padded);
    let (h2, h3) =
        if tail.len() == 15 { finish(block(state, k1, k2), 0, 0, len + 1) } else { finish(state, k1, k2, len + 1) };
    [h0, h1, h2, h3]
}

fn halves(chunk: &[u8; 16]) -> (u64, u64) {
    let whole = u128::from_le_bytes(*chunk);
    (whole as u64, (whole >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// Keys with the hashes and bit positions that Milvus computes.
    #[rstest]
    #[case::zero(hash_int(0), [0x28df63b7cc57c3cb, 0xf2557dfcc4e8fe52, 0xa696ac1a95daa601, 0x15366f87b0ad2078], [3373, 7962, 11515, 227, 1626])]
    #[case::one(hash_int(1), [0x004403b7fb05c44a, 0x3d8acdb4d36d9c06, 0x35a2ca94d0a172cf, 0x337d25f65b519c76], [2883, 3447, 148, 5680, 8194])]
    #[case::minus(hash_int(-1), [0xa0e4b27a1abaed73, 0x692112c96b4a46af, 0xd27ee3a6ff1cbd11, 0x0908be626435cde3], [634, 9725, 6878, 7264, 1006])]
    #[case::text(hash_bytes(b"k-00000"), [0x9420df2756657649, 0x75371246f95e847d, 0x7da9708b4edde820, 0xfe45eafd98441245], [2962, 12092, 1324, 5131, 4041])]
    #[case::empty(hash_bytes(b""), [0, 0, 0x7ace5c908374fe16, 0x778867e4430e6785], [0, 9846, 7221, 3164, 4728])]
    fn hashes_are_those_of_milvus(#[case] hash: [u64; 4], #[case] expected: [u64; 4], #[case] bits: [u64; 5]) {
        assert_eq!(hash, expected);
        let positions: Vec<u64> = (0..5).map(|i| position(hash, i, 12_471)).collect();
        assert_eq!(positions, bits);
    }

    #[test]
    fn small_filter_has_milvus_bits() {
        let mut filter = BloomFilter::new(3, 0.05);
        for key in [1, 2, 3] {
            filter.insert_int(key);
        }
        assert_eq!((filter.bits(), filter.hashes()), (19, 5));
        // "AAAAAAAAABMAAAAAAAZ7uQ==" in a file of Milvus.
        assert_eq!(filter.bit_set(), hex::decode("0000000000000013000000000006 7bb9".replace(' ', "")).unwrap());
    }

    #[rstest]
    #[case(2000, 0.05, 12_471, 5)]
    #[case(0, 0.05, 7, 5)]
    fn sizes(#[case] capacity: u64, #[case] rate: f64, #[case] bits: u64, #[case] hashes: u32) {
        let filter = BloomFilter::new(capacity, rate);
        assert_eq!((filter.bits(), filter.hashes()), (bits, hashes));
    }

    #[test]
    fn refuses_bit_sets_of_other_sizes() {
        assert!(BloomFilter::from_parts(64, 5, &[0, 0, 0, 0, 0, 0, 0, 64, 1, 2, 3, 4, 5, 6, 7, 8]).is_ok());
        assert!(BloomFilter::from_parts(64, 5, &[0, 0, 0, 0, 0, 0, 0, 63, 1, 2, 3, 4, 5, 6, 7, 8]).is_err());
        assert!(BloomFilter::from_parts(64, 5, &[0, 0, 0, 0, 0, 0, 0, 64]).is_err());
        assert!(BloomFilter::from_parts(64, 5, &[0; 7]).is_err());
        assert!(BloomFilter::from_parts(0, 5, &[0; 8]).is_err());
        assert!(BloomFilter::from_parts(u64::MAX, 5, &[0xFF; 8]).is_err());
        assert!(BloomFilter::from_parts(64, 1_000_000, &[0, 0, 0, 0, 0, 0, 0, 64, 1, 2, 3, 4, 5, 6, 7, 8]).is_err());
    }

    proptest! {
        /// The reference is another implementation of the hash, over the concatenated bytes.
        #[test]
        fn hash_equals_the_reference(key in proptest::collection::vec(any::<u8>(), 0..70)) {
            let reference = |bytes: &[u8]| {
                let hash = murmur3::murmur3_x64_128(&mut std::io::Cursor::new(bytes), 0).unwrap();
                (hash as u64, (hash >> 64) as u64)
            };
            let (h0, h1) = reference(&key);
            let (h2, h3) = reference(&[&key[..], &[1]].concat());
            prop_assert_eq!(hash_bytes(&key), [h0, h1, h2, h3]);
        }

        #[test]
        fn integer_hash_is_that_of_its_bytes(key in any::<i64>()) {
            prop_assert_eq!(hash_int(key), hash_bytes(&key.to_le_bytes()));
        }

        #[test]
        fn never_denies_a_member(keys in proptest::collection::vec(any::<i64>(), 1..200)) {
            let mut filter = BloomFilter::new(keys.len() as u64, 0.05);
            keys.iter().for_each(|key| filter.insert_int(*key));
            prop_assert!(keys.iter().all(|key| filter.contains_int(*key)));
            let bit_set = filter.bit_set();
            let again = BloomFilter::from_parts(filter.bits(), filter.hashes(), &bit_set).unwrap();
            prop_assert_eq!(again, filter);
        }
    }
}
