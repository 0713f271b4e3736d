//! Delta logs: the deletes of one segment as JSON texts (see docs/formats.md).

use std::{ops::Range, sync::Arc, vec};

use arrow_array::{Array, ArrayRef, StringArray, builder::StringBuilder, cast::AsArray};
use arrow_schema::DataType as Arrow;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use super::{
    BinlogError, Descriptor, Encoded, LogBytes, LogIds,
    container::{self, DELETE_EVENT, DELTA_DATA_TYPE, DELTA_FIELD},
    insert::seal,
    json::push_string,
    payload::{ColumnWriter, Payload, PayloadReader, conform},
};
use crate::{
    config::BinlogConfig,
    model::{DataType, Delete, PrimaryKey, Timestamp},
};

const BATCH_ROWS: usize = 8192;

/// Writes deletes in the order given. Fails for an empty list and for a delete with timestamp 0.
pub fn encode_delta(
    ids: LogIds,
    deletes: &[Delete],
    config: &BinlogConfig,
    written_at_ms: u64,
) -> Result<Encoded, BinlogError> {
    let field = DELTA_FIELD;
    let (Some(ts_from), Some(ts_to)) = (deletes.iter().map(|d| d.ts).min(), deletes.iter().map(|d| d.ts).max()) else {
        return Err(BinlogError::Empty { field });
    };
    let mut writer = ColumnWriter::for_deletes(field, config)?;
    let mut text = String::new();
    let mut text_bytes = 0;
    for chunk in deletes.chunks(BATCH_ROWS) {
        let mut column = StringBuilder::with_capacity(chunk.len(), chunk.len() * 64);
        for delete in chunk {
            text.clear();
            push_row(&mut text, delete);
            text_bytes += text.len() as u64;
            column.append_value(&text);
        }
        let column: ArrayRef = Arc::new(column.finish());
        writer.write(&column)?;
    }
    let descriptor = Descriptor { ids, field, ts_from, ts_to, data_type: DELTA_DATA_TYPE, original_size: text_bytes };
    seal(writer.finish()?, &descriptor, DELETE_EVENT, deletes.len() as u64, written_at_ms)
}

fn push_row(out: &mut String, delete: &Delete) {
    let key_type = match &delete.key {
        PrimaryKey::Int(key) => {
            out.push_str("{\"pk\":");
            out.push_str(&key.to_string());
            DataType::Int64
        }
        PrimaryKey::Str(key) => {
            out.push_str("{\"pk\":");
            push_string(out, key);
            DataType::VarChar
        }
    };
    out.push_str(",\"ts\":");
    out.push_str(&delete.ts.to_string());
    out.push_str(",\"pkType\":");
    out.push_str(&key_type.number().to_string());
    out.push('}');
}

/// Reads all deletes in the order of the log.
pub fn decode_delta(bytes: impl Into<LogBytes>) -> Result<Vec<Delete>, BinlogError> {
    let mut deletes = Vec::new();
    scan_delta(bytes, |part| deletes.extend(part))?;
    Ok(deletes)
}

/// Passes the deletes to `each` in the order of the log, some at a time.
pub fn scan_delta(bytes: impl Into<LogBytes>, mut each: impl FnMut(Vec<Delete>)) -> Result<(), BinlogError> {
    DeltaReader::open(bytes)?.try_for_each(|part| {
        each(part?);
        Ok(())
    })
}

/// Reads the deletes in the order of the log, some at a time. Accepts any JSON with the three keys, and the oldest form
/// `pk,ts`. Must not be used after an error.
pub struct DeltaReader {
    bytes: LogBytes,
    /// Payloads that are not begun.
    payloads: vec::IntoIter<Range<usize>>,
    /// Offset and reader of the current payload.
    open: Option<(usize, PayloadReader)>,
    /// Number of deletes read so far.
    seen: usize,
}

impl DeltaReader {
    pub fn open(bytes: impl Into<LogBytes>) -> Result<Self, BinlogError> {
        let bytes = bytes.into();
        let payloads = container::parse(&bytes, DELETE_EVENT)?.payloads.into_iter();
        Ok(Self { bytes, payloads, open: None, seen: 0 })
    }

    fn read(&mut self) -> Result<Option<Vec<Delete>>, BinlogError> {
        loop {
            let Some((offset, reader)) = &mut self.open else {
                let Some(range) = self.payloads.next() else { return Ok(None) };
                let offset = range.start;
                self.open = Some((offset, Payload::open(self.bytes.part(range), offset)?.read(BATCH_ROWS, None)?));
                continue;
            };
            let offset = *offset;
            let Some(column) = reader.next()? else {
                self.open = None;
                continue;
            };
            let column = conform(column, &Arrow::Utf8, offset)?;
            let empty = StringArray::new_null(0);
            let texts = column.as_string_opt::<i32>().unwrap_or(&empty);
            let mut deletes = Vec::with_capacity(texts.len());
            for text in texts.iter().flatten() {
                let wrong = |e| BinlogError::corrupt(offset, format!("delete {}: {e}", self.seen + deletes.len()));
                let delete = parse_row(text).map_err(wrong)?;
                deletes.push(delete);
            }
            self.seen += deletes.len();
            return Ok(Some(deletes));
        }
    }
}

impl Iterator for DeltaReader {
    type Item = Result<Vec<Delete>, BinlogError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn parse_row(text: &str) -> Result<Delete, String> {
    if text.trim_start().starts_with('{') {
        let row: DeltaRow = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let matches = match row.pk {
            PrimaryKey::Int(_) => row.pk_type == DataType::Int64.number(),
            PrimaryKey::Str(_) => row.pk_type == DataType::VarChar.number(),
        };
        if !matches {
            return Err(format!("pkType {} for key {}", row.pk_type, row.pk));
        }
        return Ok(Delete { key: row.pk, ts: Timestamp(row.ts) });
    }
    let old = text.split_once(',').and_then(|(pk, ts)| Some((pk.trim().parse().ok()?, ts.trim().parse().ok()?)));
    match old {
        Some((pk, ts)) => Ok(Delete { key: PrimaryKey::Int(pk), ts: Timestamp(ts) }),
        None => Err("neither JSON nor \"pk,ts\"".to_owned()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeltaRow {
    #[serde(deserialize_with = "key")]
    pk: PrimaryKey,
    ts: u64,
    pk_type: i32,
}

/// Parses an integer of 64 bits or a string. Never goes through a double, which would change large keys.
pub(super) fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PrimaryKey, D::Error> {
    struct KeyVisitor;

    impl Visitor<'_> for KeyVisitor {
        type Value = PrimaryKey;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a 64-bit integer or a string")
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<PrimaryKey, E> {
            Ok(PrimaryKey::Int(value))
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<PrimaryKey, E> {
            i64::try_from(value).map(PrimaryKey::Int).map_err(|_| E::custom(format!("key {value} exceeds 64 bits")))
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<PrimaryKey, E> {
            Ok(PrimaryKey::Str(value.into()))
        }
    }

    deserializer.deserialize_any(KeyVisitor)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::kit::model::{delete_of_int as int, delete_of_text as text};

    /// Texts as Milvus writes them.
    #[rstest]
    #[case(int(1234, 470597221698764803), r#"{"pk":1234,"ts":470597221698764803,"pkType":5}"#)]
    #[case(int(i64::MIN, u64::MAX), r#"{"pk":-9223372036854775808,"ts":18446744073709551615,"pkType":5}"#)]
    #[case(text("k-01200", 470597236850163715), r#"{"pk":"k-01200","ts":470597236850163715,"pkType":21}"#)]
    #[case(text("a<b>&\u{2028}\"\u{1}", 7), r#"{"pk":"a\u003cb\u003e\u0026\u2028\"\u0001","ts":7,"pkType":21}"#)]
    fn rows_have_milvus_bytes(#[case] delete: Delete, #[case] json: &str) {
        let mut out = String::new();
        push_row(&mut out, &delete);
        assert_eq!(out, json);
        assert_eq!(parse_row(json), Ok(delete));
    }

    #[rstest]
    #[case(r#" { "pkType" : 5, "ts" : 2, "pk" : -1 } "#, int(-1, 2))]
    #[case("9007199254740993,470597221698764803", int(9_007_199_254_740_993, 470597221698764803))]
    #[case(r#"{"pk":9223372036854775807,"ts":1,"pkType":5,"later":[1]}"#, int(i64::MAX, 1))]
    fn readers_tolerate(#[case] row: &str, #[case] delete: Delete) {
        assert_eq!(parse_row(row), Ok(delete));
    }

    #[rstest]
    #[case(r#"{"pk":1,"ts":1}"#)]
    #[case(r#"{"pk":1.5,"ts":1,"pkType":5}"#)]
    #[case(r#"{"pk":9223372036854775808,"ts":1,"pkType":5}"#)]
    #[case(r#"{"pk":"1","ts":1,"pkType":5}"#)]
    #[case(r#"{"pk":1,"ts":-1,"pkType":5}"#)]
    #[case("1")]
    #[case("a,1")]
    #[case("")]
    fn refuses(#[case] row: &str) {
        assert!(parse_row(row).is_err(), "{row}");
    }
}
