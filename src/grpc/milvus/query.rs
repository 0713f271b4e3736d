//! Query: rows or a count.

use std::collections::{HashMap, HashSet};

use arrow_array::RecordBatch;

use super::{
    call_error::{invalid, rejected},
    members::check_namespace,
    *,
};
use crate::{
    error::{Classify as _, ErrorKind},
    memory::{Account, Extra, Full},
    model::{Collection, CollectionSchema, FieldId, LoadError, PartitionId, RequestError, SearchError},
    standalone::{
        BoundExpr, ExprError, FilterError, MAX_FILTER_BYTES, ReadRequest, Rows, compile_filter, is_key_name,
        partition_ids, readable,
    },
    wire::{
        proto::{
            common::KeyValuePair,
            schema::{FieldData, TemplateValue},
        },
        rows::answer::{self as columns, COUNT},
        status::{self, Code},
        template::{self, TemplateError},
    },
};

/// Output fields that have room in the memory of any call.
const USUAL_NAMES: usize = 64;

/// Memory of a further one: in the set of names, as a key of the dynamic field, and in the answer. The text of a long name
/// has room in the memory of its message.
const NAME_BYTES: u64 = 192;

/// Characters of a name or number of a request that an error repeats.
const SHOWN_CHARS: usize = 128;

impl MilvusApi {
    /// The answer, and the memory that it takes until it is sent.
    pub(super) async fn do_query(&self, request: Request<QueryRequest>) -> Outcome<(QueryResults, Option<Account>)> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        check_namespace(request.namespace.as_ref())?;
        let meta = cell.meta();
        let schema = &meta.schema;
        self.standalone.check_queried(&request.partition_names)?;
        let params = QueryParams::of(&request.query_params, self.standalone.config().limits.max_query_rows)?;
        let filter = self.filter(&request.expr, &request.expr_template_values, schema, ToString::to_string)?;
        let is_count = is_count(&request.output_fields);
        // Held until the call is answered.
        let mut memory = self.growth.of_call(0);
        let output = if is_count { None } else { Some(Output::of(schema, &request.output_fields, &mut memory)?) };
        if !is_count && filter.is_none() && params.limit.is_none() {
            return Err(rejected("empty expression should be used with limit"));
        }
        let partitions = Some(read_partitions(&meta, &request.partition_names, status::of_query_refusal)?);
        let rows = Rows { filter, partitions, ignore_growing: params.ignore_growing };
        let mut answer = QueryResults {
            collection_name: request.collection_name.clone(),
            primary_field_name: schema.primary_key().name.clone(),
            ..Default::default()
        };
        let Some(output) = output else {
            if params.limit.is_some() {
                return Err(rejected("count entities with pagination is not allowed"));
            }
            answer.fields_data = vec![columns::count(self.standalone.count(&cell, rows).await?)];
            answer.output_fields = vec![COUNT.to_owned()];
            return Ok((answer, None));
        };
        let read = ReadRequest { rows, fields: output.fields.clone(), limit: params.limit, offset: params.offset };
        let read = self.standalone.query(&cell, read).await?;
        answer.fields_data = output.columns(schema, &read.rows)?;
        answer.output_fields = output.names(schema);
        Ok((answer, Some(read.memory)))
    }

    /// The filter of a query, a search or a delete: its expression, with the values that newer clients send beside it. It holds
    /// the memory that it takes. `words` has Milvus' words for an expression that is refused.
    pub(super) fn filter(
        &self,
        expr: &str,
        values: &HashMap<String, TemplateValue>,
        schema: &CollectionSchema,
        words: impl FnOnce(&ExprError) -> String,
    ) -> Outcome<Option<BoundExpr>> {
        // Of the text, until it is read.
        let mut memory = self.growth.of_call(0);
        let text = template::fill(expr, values, MAX_FILTER_BYTES, &mut memory).map_err(|error| match error {
            TemplateError::Memory(full) => too_large(&full),
            error => invalid(error.to_string()),
        })?;
        compile_filter(&text, schema, &self.growth).map_err(|error| match error {
            FilterError::Expr(error) => rejected(words(&error)),
            FilterError::Memory(full) => too_large(&full),
        })
    }
}

/// An expression that there is no memory for. More than all calls may have never fits; clients wait for the rest and try
/// again.
fn too_large(full: &Full) -> CallError {
    let text = format!("the expression takes too much memory once it is read: {full}");
    match full.kind() {
        ErrorKind::Invalid => invalid(text),
        _ => CallError(status::rate_limited(text)),
    }
}

/// The partitions that a query or a search sees: those that it names, or all that are loaded. `refusal` words that some
/// are not loaded; a missing one has a text of its own.
pub(super) fn read_partitions(
    meta: &Collection,
    names: &[String],
    refusal: impl Fn(&LoadError) -> common::Status,
) -> Outcome<Vec<PartitionId>> {
    if let (Some(_), Some(name)) = (meta.schema.partition_key(), names.first()) {
        return Err(RequestError::PartitionByKey(name.clone()).into());
    }
    let named = match names {
        [] => None,
        names => Some(partition_ids(meta, names).map_err(|error| match error.request() {
            Some(RequestError::PartitionNotFound(name)) => {
                CallError::from(RequestError::from(SearchError::NoPartition(name.clone())))
            }
            _ => error.into(),
        })?),
    };
    readable(meta, named.as_deref()).map_err(|error| CallError(refusal(&error)))
}

/// The columns of an answer: the primary key always, then the output fields of the request, each once. `*` is every
/// field of the schema. Another name is a key of the dynamic field, if the collection has one; a path into a field is
/// refused.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) fields: Vec<FieldId>,
    /// The primary key was asked for.
    pub(super) has_key: bool,
    /// Keys of the dynamic field; empty: the whole field, if it is asked for.
    keys: Vec<String>,
}

impl Output {
    /// Takes memory for names beyond the usual number: hold `memory` as long as the output.
    pub(super) fn of(schema: &CollectionSchema, asked: &[String], memory: &mut Extra) -> Outcome<Self> {
        let beyond = asked.len().saturating_sub(USUAL_NAMES) as u64;
        memory.take(beyond.saturating_mul(NAME_BYTES)).map_err(|full| {
            CallError(Code::of_memory(&full).with(format_args!("{} output fields: {full}", asked.len())))
        })?;
        let mut fields = vec![schema.primary_key().id];
        let mut keys = Vec::new();
        let (mut whole_dynamic, mut has_key) = (false, false);
        let asked: HashSet<&str> = asked.iter().map(|name| name.trim()).collect();
        for name in asked {
            let found: Vec<FieldId> = if name == "*" {
                schema.fields.iter().map(|f| f.id).collect()
            } else if let Some(field) = schema.field(name) {
                vec![field.id]
            } else if let Some(dynamic) = schema.dynamic_field() {
                if !is_key_name(name) {
                    return Err(rejected(format!("parse output field name failed: {}", shown(name))));
                }
                keys.push(name.to_owned());
                fields.push(dynamic.id);
                continue;
            } else {
                return Err(rejected(format!("field {} not exist", shown(name))));
            };
            has_key |= found.contains(&schema.primary_key().id);
            whole_dynamic |= schema.dynamic_field().is_some_and(|dynamic| found.contains(&dynamic.id));
            fields.extend(found);
        }
        if whole_dynamic {
            keys.clear();
        }
        let mut seen = HashSet::new();
        fields.retain(|id| seen.insert(*id));
        Ok(Self { fields, has_key, keys })
    }

    pub(super) fn columns(&self, schema: &CollectionSchema, batch: &RecordBatch) -> Outcome<Vec<FieldData>> {
        let mut answer = Vec::with_capacity(self.fields.len());
        for (id, column) in self.fields.iter().zip(batch.columns()) {
            let field = schema.field_by_id(*id).ok_or_else(|| rejected(format!("field {id} is not in the schema")))?;
            let data = if field.is_dynamic && !self.keys.is_empty() {
                columns::dynamic_keys(field, column, &self.keys)
            } else {
                columns::field_data(field, column)
            };
            answer.push(data.map_err(|e| rejected(e.to_string()))?);
        }
        Ok(answer)
    }

    pub(super) fn names(&self, schema: &CollectionSchema) -> Vec<String> {
        let fields = self.fields.iter().filter_map(|id| schema.field_by_id(*id));
        let named = fields.filter(|f| !f.is_dynamic || self.keys.is_empty()).map(|f| f.name.clone());
        named.chain(self.keys.iter().cloned()).collect()
    }
}

/// The beginning of a long text.
fn shown(text: &str) -> &str {
    text.char_indices().nth(SHOWN_CHARS).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Whether a request asks for the number of rows: that is its one output field then.
fn is_count(output_fields: &[String]) -> bool {
    matches!(output_fields, [only] if only.trim().eq_ignore_ascii_case(COUNT))
}

/// The parameters of a query that mean something here.
#[derive(Debug)]
struct QueryParams {
    /// None: all rows.
    limit: Option<u64>,
    offset: u64,
    ignore_growing: bool,
}

impl QueryParams {
    /// Codes, texts and order of the checks are those of Milvus 2.3.5. Without a limit the offset means nothing; a
    /// negative one is refused all the same.
    fn of(params: &[KeyValuePair], max_rows: u64) -> Outcome<Self> {
        let value = |key: &str| params.iter().find(|p| p.key == key).map(|p| p.value.as_str());
        let number = |key: &str, text: &str| -> Outcome<i64> {
            text.parse().map_err(|_| rejected(format!("{key} [{}] is invalid", shown(text))))
        };
        let refused = |what: String| rejected(format!("invalid max query result window, {what}"));
        let ignore_growing = match value("ignore_growing") {
            Some(text) => go_bool(text).ok_or_else(|| rejected("parse search growing failed"))?,
            None => false,
        };
        if let Some(text) = value("reduce_stop_for_best").filter(|text| go_bool(text).is_none()) {
            return Err(CallError(status::bad_stop_flag(shown(text))));
        }
        let limit = value("limit").map(|text| number("limit", text)).transpose()?;
        let offset = match value("offset") {
            Some(text) if limit.is_some() => number("offset", text)?,
            Some(text) => text.parse().unwrap_or(0),
            None => 0,
        };
        if offset < 0 {
            return Err(refused(format!("offset [{offset}] is invalid, should be gte than 0")));
        }
        let Some(limit) = limit else { return Ok(Self { limit: None, offset: offset as u64, ignore_growing }) };
        if limit <= 0 {
            return Err(refused(format!("limit [{limit}] is invalid, should be greater than 0")));
        }
        // Milvus adds with overflow, and shows it.
        let end = limit.wrapping_add(offset);
        if !u64::try_from(end).is_ok_and(|end| (1..=max_rows).contains(&end)) {
            return Err(refused(format!("(offset+limit) should be in range [1, {max_rows}], but got {end}")));
        }
        Ok(Self { limit: Some(limit as u64), offset: offset as u64, ignore_growing })
    }
}

/// A flag in the spellings that Milvus reads here.
pub(super) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
