//! Statistics logs: range and Bloom filter of a segment's primary keys, as JSON text (see docs/formats.md).

use arrow_array::{Array, ArrayRef, cast::AsArray};
use base64::{Engine, engine::general_purpose::URL_SAFE};
use bytes::Bytes;
use serde::{Deserialize, Deserializer};

use super::{BinlogError, BloomFilter, delta::key, json::push_string};
use crate::model::{DataType, FieldId, PkRange, PrimaryKey};

/// The keys that a batch of rows or a segment may hold.
#[derive(Debug, Clone, PartialEq)]
pub struct PkStats {
    /// The primary key field.
    pub field: FieldId,
    /// Int64 or VarChar.
    pub key_type: DataType,
    /// Smallest and largest key. `None` without keys, or if the file has no range.
    pub range: Option<PkRange>,
    pub filter: BloomFilter,
}

impl PkStats {
    /// False only if the key is certainly absent.
    pub fn may_contain(&self, key: &PrimaryKey) -> bool {
        if self.range.as_ref().is_some_and(|range| !range.contains(key)) {
            return false;
        }
        match key {
            PrimaryKey::Int(key) => self.filter.contains_int(*key),
            PrimaryKey::Str(key) => self.filter.contains_str(key),
        }
    }

    /// Encodes a single statistics log.
    pub fn encode(&self) -> Bytes {
        let mut out = String::new();
        self.push(&mut out);
        Bytes::from(out)
    }

    /// Writes `max` and `min` as 0: they have no meaning any more, but a reader of Milvus needs them.
    fn push(&self, out: &mut String) {
        let filter = URL_SAFE.encode(self.filter.bit_set());
        out.push_str(&format!(
            "{{\"fieldID\":{},\"max\":0,\"min\":0,\"bf\":{{\"m\":{},\"k\":{},\"b\":\"{filter}\"}},\"pkType\":{},\"maxPk\":",
            self.field,
            self.filter.bits(),
            self.filter.hashes(),
            self.key_type.number(),
        ));
        self.push_key(out, self.range.as_ref().map(|range| &range.max));
        out.push_str(",\"minPk\":");
        self.push_key(out, self.range.as_ref().map(|range| &range.min));
        out.push('}');
    }

    fn push_key(&self, out: &mut String, key: Option<&PrimaryKey>) {
        match key {
            Some(PrimaryKey::Int(key)) => out.push_str(&key.to_string()),
            Some(PrimaryKey::Str(key)) => push_string(out, key),
            None if self.key_type == DataType::VarChar => out.push_str("\"\""),
            None => out.push('0'),
        }
    }
}

/// Reads a statistics log: an array if `compound` (log id 1), a single object otherwise.
pub fn decode_stats(bytes: &[u8], compound: bool) -> Result<Vec<PkStats>, BinlogError> {
    let entries: Vec<StatsEntry> = if compound {
        serde_json::from_slice(bytes).map_err(|e| json_error(bytes, &e))?
    } else {
        vec![serde_json::from_slice(bytes).map_err(|e| json_error(bytes, &e))?]
    };
    entries.into_iter().map(StatsEntry::stats).collect()
}

fn json_error(bytes: &[u8], error: &serde_json::Error) -> BinlogError {
    // Usually the text is one line; a position on a later line is found by counting newlines.
    let line_start: usize =
        bytes.split_inclusive(|b| *b == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    BinlogError::corrupt(line_start + error.column().saturating_sub(1), format!("statistics: {error}"))
}

#[derive(Deserialize)]
struct StatsEntry {
    #[serde(rename = "fieldID")]
    field: i64,
    #[serde(default)]
    max: i64,
    #[serde(default)]
    min: i64,
    bf: StoredFilter,
    #[serde(rename = "pkType", default = "int64")]
    key_type: i32,
    #[serde(rename = "maxPk", default, deserialize_with = "optional_key")]
    max_key: Option<PrimaryKey>,
    #[serde(rename = "minPk", default, deserialize_with = "optional_key")]
    min_key: Option<PrimaryKey>,
}

#[derive(Deserialize)]
struct StoredFilter {
    m: u64,
    k: u32,
    b: String,
}

/// A missing type means Int64.
fn int64() -> i32 {
    DataType::Int64.number()
}

fn optional_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PrimaryKey>, D::Error> {
    key(deserializer).map(Some)
}

impl StatsEntry {
    fn stats(self) -> Result<PkStats, BinlogError> {
        let corrupt = |what: String| BinlogError::corrupt(0, what);
        let key_type = match DataType::from_number(self.key_type) {
            Some(key_type @ (DataType::Int64 | DataType::VarChar)) => key_type,
            _ => return Err(corrupt(format!("pkType {} is neither 5 nor 21", self.key_type))),
        };
        let range = match (self.min_key, self.max_key, key_type) {
            (Some(min @ PrimaryKey::Int(_)), Some(max @ PrimaryKey::Int(_)), DataType::Int64)
            | (Some(min @ PrimaryKey::Str(_)), Some(max @ PrimaryKey::Str(_)), DataType::VarChar) => {
                Some(PkRange { min, max })
            }
            // Files that are older than typed keys have plain ones.
            (None, None, DataType::Int64) => {
                Some(PkRange { min: PrimaryKey::Int(self.min), max: PrimaryKey::Int(self.max) })
            }
            (None, None, _) => None,
            _ => return Err(corrupt(format!("minPk and maxPk do not both have pkType {}", self.key_type))),
        };
        let bit_set = URL_SAFE.decode(&self.bf.b).map_err(|e| corrupt(format!("bloom filter: {e}")))?;
        let filter = BloomFilter::from_parts(self.bf.m, self.bf.k, &bit_set)?;
        Ok(PkStats { field: FieldId(self.field), key_type, range, filter })
    }
}

/// Collects the statistics of a segment's keys.
#[derive(Debug)]
pub struct PkStatsBuilder {
    field: FieldId,
    key_type: DataType,
    filter: BloomFilter,
    ints: Option<(i64, i64)>,
    texts: Option<(String, String)>,
}

impl PkStatsBuilder {
    /// `capacity` is the expected number of keys; for a compacted segment the rows of its sources, dead ones included. More
    /// keys only raise the false-positive rate.
    pub fn new(field: FieldId, key_type: DataType, capacity: u64, false_positive_rate: f64) -> Self {
        let filter = BloomFilter::new(capacity, false_positive_rate);
        Self { field, key_type, filter, ints: None, texts: None }
    }

    /// Adds the keys of a column, which must be Int64 or Utf8 according to the key type.
    pub fn add_column(&mut self, column: &ArrayRef) -> Result<(), BinlogError> {
        match self.key_type {
            DataType::VarChar => {
                let keys = column.as_string_opt::<i32>().ok_or_else(|| self.wrong_type(column))?;
                keys.iter().flatten().for_each(|key| self.add_str(key));
            }
            _ => {
                let keys = column
                    .as_primitive_opt::<arrow_array::types::Int64Type>()
                    .ok_or_else(|| self.wrong_type(column))?;
                keys.values().iter().for_each(|key| self.add_int(*key));
            }
        }
        Ok(())
    }

    fn wrong_type(&self, column: &ArrayRef) -> BinlogError {
        let (expected, actual) = (self.key_type.name().to_owned(), column.data_type().to_string());
        BinlogError::ColumnType { field: self.field, expected, actual }
    }

    /// Adds one key.
    pub fn add(&mut self, key: &PrimaryKey) {
        match key {
            PrimaryKey::Int(key) => self.add_int(*key),
            PrimaryKey::Str(key) => self.add_str(key),
        }
    }

    fn add_int(&mut self, key: i64) {
        self.filter.insert_int(key);
        self.ints = Some(self.ints.map_or((key, key), |(min, max)| (min.min(key), max.max(key))));
    }

    fn add_str(&mut self, key: &str) {
        self.filter.insert_str(key);
        match &mut self.texts {
            None => self.texts = Some((key.to_owned(), key.to_owned())),
            Some((min, _)) if key < min.as_str() => key.clone_into(min),
            Some((_, max)) if key > max.as_str() => key.clone_into(max),
            Some(_) => {}
        }
    }

    pub fn finish(self) -> PkStats {
        let range = match (self.ints, self.texts) {
            (Some((min, max)), _) => Some(PkRange { min: PrimaryKey::Int(min), max: PrimaryKey::Int(max) }),
            (None, Some((min, max))) => {
                Some(PkRange { min: PrimaryKey::Str(min.into()), max: PrimaryKey::Str(max.into()) })
            }
            (None, None) => None,
        };
        PkStats { field: self.field, key_type: self.key_type, range, filter: self.filter }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn built() -> PkStats {
        let mut builder = PkStatsBuilder::new(FieldId(100), DataType::Int64, 3, 0.05);
        [2, 3, 1].iter().for_each(|key| builder.add(&PrimaryKey::Int(*key)));
        builder.finish()
    }

    /// The filter is that of a file of Milvus.
    const JSON: &str = r#"{"fieldID":100,"max":0,"min":0,"bf":{"m":19,"k":5,"b":"AAAAAAAAABMAAAAAAAZ7uQ=="},"pkType":5,"maxPk":3,"minPk":1}"#;

    #[test]
    fn single_has_milvus_bytes() {
        assert_eq!(built().encode(), JSON);
        assert_eq!(decode_stats(JSON.as_bytes(), false).unwrap(), [built()]);
    }

    #[test]
    fn compound_is_an_array_and_only_that() {
        let compound = format!("[{JSON},{JSON}]");
        assert_eq!(decode_stats(compound.as_bytes(), true).unwrap(), [built(), built()]);
        assert!(decode_stats(JSON.as_bytes(), true).is_err());
        assert!(decode_stats(compound.as_bytes(), false).is_err());
    }

    #[test]
    fn answers_by_range_and_filter() {
        let stats = built();
        for key in 1..=3 {
            assert!(stats.may_contain(&PrimaryKey::Int(key)));
        }
        assert!(!stats.may_contain(&PrimaryKey::Int(0)));
        assert!(!stats.may_contain(&PrimaryKey::Str("1".into())));
    }

    #[test]
    fn text_keys_compare_by_bytes_and_are_escaped() {
        let mut builder = PkStatsBuilder::new(FieldId(101), DataType::VarChar, 3, 0.05);
        for key in ["b", "<a>", "ä"] {
            builder.add(&PrimaryKey::Str(key.into()));
        }
        let stats = builder.finish();
        let json = String::from_utf8(stats.encode().to_vec()).unwrap();
        assert!(json.ends_with(r#""pkType":21,"maxPk":"ä","minPk":"\u003ca\u003e"}"#), "{json}");
        assert_eq!(decode_stats(json.as_bytes(), false).unwrap(), [stats]);
    }

    #[test]
    fn old_files_have_plain_bounds() {
        let old = r#"{"fieldID":100,"max":3,"min":1,"bf":{"m":19,"k":5,"b":"AAAAAAAAABMAAAAAAAZ7uQ=="}}"#;
        assert_eq!(decode_stats(old.as_bytes(), false).unwrap(), [built()]);
    }

    #[rstest]
    #[case("", 0)]
    #[case("{\"fieldID\":100", 14)]
    #[case("{\n\"fieldID\":x}", 12)]
    fn syntax_errors_name_the_byte(#[case] text: &str, #[case] at: u64) {
        let error = decode_stats(text.as_bytes(), false).unwrap_err();
        assert!(matches!(error, BinlogError::Corrupt { offset, .. } if offset.abs_diff(at) <= 1), "{error}");
    }

    #[rstest]
    #[case(r#""pkType":5"#, r#""pkType":6"#)]
    #[case(r#""pkType":5"#, r#""pkType":21"#)]
    #[case(r#""maxPk":3"#, r#""maxPk":"3""#)]
    #[case(r#","minPk":1"#, "")]
    #[case("Z7uQ==", "Z7uQ")]
    #[case(r#""m":19"#, r#""m":20"#)]
    fn refuses(#[case] from: &str, #[case] to: &str) {
        let text = JSON.replace(from, to);
        assert_ne!(text, JSON);
        assert!(decode_stats(text.as_bytes(), false).is_err(), "{text}");
    }
}
