//! Converts `fields_data` of Insert and Upsert to a record batch: which columns there are, which fields they are of, and
//! that keys of an upsert occur once. `columns` converts each of them.

use std::{collections::HashMap, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};

use super::{
    carried,
    columns::{binary, column},
    defaults,
    distinct::check_distinct,
    error::{RowError, missing, other_number},
    values::values_carried,
};
use crate::{
    config::LimitsConfig,
    memory::Extra,
    model::{CollectionSchema, Field},
    wire::{
        proto::{milvus, schema::FieldData},
        schema::DYNAMIC_FIELD,
    },
};

/// Rows of an Insert: every stored column except RowID and Timestamp, ascending by field id; without the primary key if the
/// collection generates it. Takes `fields_data` out of the request, and memory for the default values that it fills in: hold
/// `memory` as long as the rows.
pub fn insert_batch(
    schema: &CollectionSchema,
    request: &mut milvus::InsertRequest,
    limits: &LimitsConfig,
    memory: &mut Extra,
) -> Result<RecordBatch, RowError> {
    let fields = std::mem::take(&mut request.fields_data);
    batch(schema, fields, request.num_rows, limits, memory, ClientKeys::OfInserts)
}

/// Rows of an Upsert, like [`insert_batch`]. The client must give the keys, each only once. If the collection generates
/// keys, the column of the key has those of the rows to replace, as in releases after 2.3; 2.3.5 refuses them.
pub fn upsert_batch(
    schema: &CollectionSchema,
    request: &mut milvus::UpsertRequest,
    limits: &LimitsConfig,
    memory: &mut Extra,
) -> Result<RecordBatch, RowError> {
    let key = schema.primary_key();
    if request.partial_update {
        return Err(RowError::Parameter("partial_update is not supported".to_owned()));
    }
    let fields = std::mem::take(&mut request.fields_data);
    let rows = batch(schema, fields, request.num_rows, limits, memory, ClientKeys::OfUpserts)?;
    if rows.column_by_name(&key.column_name()).is_none() {
        return Err(RowError::Parameter(format!(
            "upsert can not assign primary field data when auto id enabled {}: invalid parameter",
            key.name
        )));
    }
    check_distinct(key, &rows)?;
    Ok(rows)
}

/// When the key of a collection that generates keys is a column of the client.
#[derive(Clone, Copy, PartialEq)]
enum ClientKeys {
    /// Never.
    OfInserts,
    /// If the client gives it.
    OfUpserts,
}

fn batch(
    schema: &CollectionSchema,
    fields: Vec<FieldData>,
    num_rows: u32,
    limits: &LimitsConfig,
    memory: &mut Extra,
    keys: ClientKeys,
) -> Result<RecordBatch, RowError> {
    if num_rows == 0 {
        return Err(RowError::Parameter(
            "num_rows should be greater than 0: invalid parameter[expected=invalid num_rows][actual=0]".to_owned(),
        ));
    }
    if schema.primary_key().default_value.is_some() {
        return Err(RowError::Parameter("primary key can't be with default value: invalid parameter".to_owned()));
    }
    let rows = num_rows as usize;
    let key = &schema.primary_key().name;
    let is_keyed =
        keys == ClientKeys::OfUpserts && fields.iter().any(|data| !data.is_dynamic && data.field_name == *key);
    let wanted = wanted(schema, is_keyed);
    let mut given = HashMap::with_capacity(fields.len());
    for data in fields {
        let field = resolve(&wanted, &data)?;
        if given.insert(field.id, data).is_some() {
            return Err(RowError::Parameter(format!("duplicated field {} found: invalid parameter", field.name)));
        }
    }
    // Another column may have a wrong number of values, which the checks of columns refuse.
    if given.values().any(|data| values_carried(data) >= rows) {
        carried::take_row_bytes(given.values(), rows, memory)?;
        defaults::fill(&wanted, &mut given, rows, memory)?;
    }
    let mut columns = Vec::with_capacity(wanted.len());
    for field in &wanted {
        columns.push(match given.remove(&field.id) {
            Some(data) => column(schema, field, data, rows, limits)?,
            // A client leaves the dynamic field out when no row has a key outside the schema. Another column has confirmed
            // the client's number of rows, so the number alone does not decide a size.
            None if field.is_dynamic && !columns.is_empty() => binary(field, std::iter::repeat_n(&b"{}"[..], rows))?,
            None => return Err(missing(field, wanted.len())),
        });
    }
    let arrow = wanted.iter().map(|f| ArrowField::new(f.column_name(), f.arrow_type(), false)).collect::<Vec<_>>();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(arrow)), columns)
        .map_err(|e| RowError::Column { field: schema.name.clone(), reason: e.to_string() })
}

/// The fields that a client gives, ascending by id. `is_keyed`: a generated key is one of them.
fn wanted(schema: &CollectionSchema, is_keyed: bool) -> Vec<&Field> {
    let mut wanted: Vec<&Field> =
        schema.fields.iter().filter(|f| is_keyed || !(f.is_primary_key && f.auto_id)).collect();
    wanted.sort_by_key(|f| f.id);
    wanted
}

/// Finds the field of a client's column. pymilvus 2.3 sends the dynamic field without a name.
fn resolve<'a>(wanted: &[&'a Field], data: &FieldData) -> Result<&'a Field, RowError> {
    let name = if data.is_dynamic { DYNAMIC_FIELD } else { data.field_name.as_str() };
    // Neither an unknown field nor a key that the server makes is one that a client gives.
    let given = wanted.iter().copied().find(|field| field.name == name);
    given.ok_or_else(|| other_number(wanted.len(), wanted.len() + 1))
}
