//! The canonical digest of rows: independent of their order, their files and how these are encoded (rule in
//! `milvus-2.3.5/README.md`).

use std::collections::HashMap;

use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type},
};
use datacoord::model::{CollectionSchema, DataType, Delete, Field, FieldId, PrimaryKey, Timestamp};
use sha2::{Digest, Sha256};

use crate::manifest::Expected;

/// Bytes of the two system fields, which come first in a row.
const SYSTEM_BYTES: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    key: PrimaryKey,
    ts: u64,
    row_id: i64,
    bytes: Vec<u8>,
}

/// Rows to be digested.
pub struct Rows {
    fields: Vec<Field>,
    key: FieldId,
    rows: Vec<Row>,
}

impl Rows {
    pub fn new(schema: &CollectionSchema) -> Self {
        Self { fields: schema.stored_fields(), key: schema.primary_key().id, rows: Vec::new() }
    }

    /// Adds a batch with the columns of the schema's `arrow_schema`.
    pub fn add(&mut self, batch: &RecordBatch) {
        let column = |id: FieldId| batch.column_by_name(&id.to_string()).unwrap();
        for at in 0..batch.num_rows() {
            let mut bytes = Vec::new();
            for field in &self.fields {
                push_value(&mut bytes, field, column(field.id).as_ref(), at);
            }
            let key = match column(self.key).data_type() {
                arrow_schema::DataType::Utf8 => PrimaryKey::Str(column(self.key).as_string::<i32>().value(at).into()),
                _ => PrimaryKey::Int(column(self.key).as_primitive::<Int64Type>().value(at)),
            };
            let number = |id| column(id).as_primitive::<Int64Type>().value(at);
            let (ts, row_id) = (number(FieldId::TIMESTAMP) as u64, number(FieldId::ROW_ID));
            self.rows.push(Row { key, ts, row_id, bytes });
        }
    }

    /// Drops the rows that a strictly newer delete of their key kills.
    pub fn apply(&mut self, deletes: &[Delete]) {
        let mut newest: HashMap<&PrimaryKey, Timestamp> = HashMap::new();
        for delete in deletes {
            let ts = newest.entry(&delete.key).or_default();
            *ts = delete.ts.max(*ts);
        }
        self.rows.retain(|row| newest.get(&row.key).is_none_or(|ts| ts.0 <= row.ts));
    }

    /// Adds all rows of another value.
    pub fn join(&mut self, other: &Self) {
        self.rows.extend(other.rows.iter().cloned());
    }

    pub fn digest(mut self) -> Expected {
        self.rows.sort();
        let hash = |from: usize| {
            let mut hash = Sha256::new();
            self.rows.iter().for_each(|row| hash.update(&row.bytes[from..]));
            hex::encode(hash.finalize())
        };
        Expected { rows: self.rows.len() as u64, sha256: hash(0), user_fields_sha256: hash(SYSTEM_BYTES) }
    }
}

fn push_value(out: &mut Vec<u8>, field: &Field, column: &dyn Array, at: usize) {
    let int = match field.data_type {
        DataType::Bool => return out.push(u8::from(column.as_boolean().value(at))),
        DataType::Int8 => i64::from(column.as_primitive::<Int8Type>().value(at)),
        DataType::Int16 => i64::from(column.as_primitive::<Int16Type>().value(at)),
        DataType::Int32 => i64::from(column.as_primitive::<Int32Type>().value(at)),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(at),
        DataType::Float => return out.extend(column.as_primitive::<Float32Type>().value(at).to_le_bytes()),
        DataType::Double => return out.extend(column.as_primitive::<Float64Type>().value(at).to_le_bytes()),
        DataType::VarChar => return push_bytes(out, column.as_string::<i32>().value(at).as_bytes()),
        DataType::Json | DataType::Array => return push_bytes(out, column.as_binary::<i32>().value(at)),
        DataType::BinaryVector | DataType::FloatVector => {
            return push_bytes(out, column.as_fixed_size_binary().value(at));
        }
    };
    out.extend(int.to_le_bytes());
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}
