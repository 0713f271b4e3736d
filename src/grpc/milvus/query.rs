//! Query: rows or a count.

use arrow::array::RecordBatch;

use super::{
    super::failure::{invalid, rejected},
    *,
};
use crate::{
    coordinator::{ReadRequest, partition_ids},
    model::{CollectionSchema, FieldId},
    query::compile,
    wire::{
        proto::schema::FieldData,
        rows::answer::{self as columns, COUNT},
    },
};

/// What clients send for "no limit".
const UNLIMITED: i64 = -1;

impl MilvusApi {
    pub(super) async fn do_query(&self, request: Request<QueryRequest>) -> Outcome<QueryResults> {
        let (call, request) = CallContext::split(request);
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let meta = cell.meta();
        let schema = &meta.schema;
        if !request.expr_template_values.is_empty() {
            return Err(invalid(
                "expression templates (expr_template_values) are not supported: put the values into expr",
            ));
        }
        let filter = compile(&request.expr, schema).map_err(|e| rejected(e.to_string()))?;
        let partitions = if request.partition_names.is_empty() {
            None
        } else {
            Some(partition_ids(&meta, &request.partition_names)?)
        };
        let window = Window::of(&request, self.coordinator.config().limits.max_query_rows)?;

        let mut answer = QueryResults {
            collection_name: request.collection_name.clone(),
            primary_field_name: schema.primary_key().name.clone(),
            ..Default::default()
        };
        if request.output_fields.iter().any(|f| f.eq_ignore_ascii_case(COUNT)) {
            if window.given {
                return Err(rejected("count entities with pagination is not allowed"));
            }
            if request.output_fields.len() > 1 {
                return Err(rejected(format!("{COUNT} can't be asked for together with other output fields")));
            }
            let count = self.coordinator.count(&cell, filter, partitions).await?;
            answer.fields_data = vec![columns::count(count)];
            answer.output_fields = vec![COUNT.to_owned()];
            return Ok(answer);
        }
        if filter.is_none() && window.limit.is_none() {
            return Err(rejected("empty expression should be used with limit"));
        }
        let output = Output::of(schema, &request.output_fields)?;
        let read = ReadRequest {
            filter,
            partitions,
            fields: output.fields.clone(),
            limit: window.limit,
            offset: window.offset,
        };
        let batch = self.coordinator.query(&cell, read).await?;
        answer.fields_data = output.columns(schema, &batch)?;
        answer.output_fields = output.names(schema);
        Ok(answer)
    }
}

/// The columns of an answer: the primary key always, then what was asked for, each once. `*` is every field of the
/// schema; a name outside it is a key of the dynamic field, if the collection has one.
struct Output {
    fields: Vec<FieldId>,
    /// Keys of the dynamic field, when it is not asked for as a whole.
    keys: Vec<String>,
}

impl Output {
    fn of(schema: &CollectionSchema, asked: &[String]) -> Outcome<Self> {
        let mut fields = vec![schema.primary_key().id];
        let mut keys = Vec::new();
        let mut whole_dynamic = false;
        for name in asked {
            let found: Vec<FieldId> = if name == "*" {
                schema.fields.iter().map(|f| f.id).collect()
            } else if let Some(field) = schema.field(name) {
                vec![field.id]
            } else if let Some(dynamic) = schema.dynamic_field() {
                keys.push(name.clone());
                fields.push(dynamic.id);
                continue;
            } else {
                return Err(rejected(format!("field {name} not exist")));
            };
            whole_dynamic |= schema.dynamic_field().is_some_and(|dynamic| found.contains(&dynamic.id));
            fields.extend(found);
        }
        if whole_dynamic {
            keys.clear();
        }
        let mut seen = std::collections::HashSet::new();
        fields.retain(|id| seen.insert(*id));
        Ok(Self { fields, keys })
    }

    fn columns(&self, schema: &CollectionSchema, batch: &RecordBatch) -> Outcome<Vec<FieldData>> {
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

    fn names(&self, schema: &CollectionSchema) -> Vec<String> {
        let fields = self.fields.iter().filter_map(|id| schema.field_by_id(*id));
        let named = fields.filter(|f| !f.is_dynamic || self.keys.is_empty()).map(|f| f.name.clone());
        named.chain(self.keys.iter().cloned()).collect()
    }
}

/// Limit and offset of a query, from its parameters.
struct Window {
    limit: Option<u64>,
    offset: u64,
    /// The client asked for a page.
    given: bool,
}

impl Window {
    fn of(request: &QueryRequest, max_rows: u64) -> Outcome<Self> {
        let number = |key: &str| -> Outcome<Option<u64>> {
            let Some(pair) = request.query_params.iter().find(|p| p.key == key) else { return Ok(None) };
            let value: i64 = pair
                .value
                .trim()
                .parse()
                .map_err(|_| invalid(format!("{key} [{}] is invalid, it should be an integer", pair.value)))?;
            if value == UNLIMITED {
                return Ok(None);
            }
            u64::try_from(value)
                .map(Some)
                .map_err(|_| invalid(format!("{key} [{value}] is invalid, it must not be negative")))
        };
        let limit = number("limit")?;
        let offset = number("offset")?;
        if limit == Some(0) {
            return Err(invalid("limit [0] is invalid, it should be greater than 0"));
        }
        if let Some(limit) = limit
            && limit.saturating_add(offset.unwrap_or(0)) > max_rows
        {
            return Err(invalid(format!(
                "invalid max query result window, (offset+limit) should be in range [1, {max_rows}], but got {}",
                limit + offset.unwrap_or(0)
            )));
        }
        Ok(Self { limit, offset: offset.unwrap_or(0), given: limit.is_some() || offset.is_some() })
    }
}
