//! Query: rows or a count.

use std::collections::HashSet;

use arrow_array::RecordBatch;

use super::{
    call_error::{invalid, rejected},
    *,
};
use crate::{
    memory::Account,
    model::{CollectionSchema, FieldId},
    standalone::{ReadRequest, compile_filter, is_key_name, partition_ids},
    wire::{
        proto::{common::KeyValuePair, schema::FieldData},
        rows::answer::{self as columns, COUNT},
    },
};

/// Characters of a name or number of a request that an error repeats.
const SHOWN_CHARS: usize = 128;

impl MilvusApi {
    /// The answer, and the memory that it takes until it is sent.
    pub(super) async fn do_query(&self, request: Request<QueryRequest>) -> Outcome<(QueryResults, Option<Account>)> {
        let (call, request) = CallContext::split(request);
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let meta = cell.meta();
        let schema = &meta.schema;
        if !request.expr_template_values.is_empty() {
            return Err(invalid(
                "expression templates (expr_template_values) are not supported: put the values into expr",
            ));
        }
        let filter = compile_filter(&request.expr, schema).map_err(|e| rejected(e.to_string()))?;
        let partitions = if request.partition_names.is_empty() {
            None
        } else {
            Some(partition_ids(&meta, &request.partition_names)?)
        };
        let window = Window::of(&request.query_params, self.standalone.config().limits.max_query_rows)?;

        let mut answer = QueryResults {
            collection_name: request.collection_name.clone(),
            primary_field_name: schema.primary_key().name.clone(),
            ..Default::default()
        };
        if request.output_fields.iter().any(|f| f.trim().eq_ignore_ascii_case(COUNT)) {
            if window.given {
                return Err(rejected("count entities with pagination is not allowed"));
            }
            if request.output_fields.len() > 1 {
                return Err(rejected(format!("{COUNT} can't be asked for together with other output fields")));
            }
            let count = self.standalone.count(&cell, filter, partitions).await?;
            answer.fields_data = vec![columns::count(count)];
            answer.output_fields = vec![COUNT.to_owned()];
            return Ok((answer, None));
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
        let read = self.standalone.query(&cell, read).await?;
        answer.fields_data = output.columns(schema, &read.rows)?;
        answer.output_fields = output.names(schema);
        Ok((answer, Some(read.memory)))
    }
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
    pub(super) fn of(schema: &CollectionSchema, asked: &[String]) -> Outcome<Self> {
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

/// Limit and offset of a query, from its parameters.
#[derive(Debug)]
struct Window {
    /// None: all rows.
    limit: Option<u64>,
    offset: u64,
    /// The client asked for a page.
    given: bool,
}

impl Window {
    /// Codes and texts are those of Milvus 2.3.5. Without a limit the offset means nothing, but it is checked.
    fn of(params: &[KeyValuePair], max_rows: u64) -> Outcome<Self> {
        let number = |key: &str| -> Outcome<Option<i64>> {
            let Some(pair) = params.iter().find(|p| p.key == key) else { return Ok(None) };
            let value = pair.value.trim();
            value.parse().map(Some).map_err(|_| rejected(format!("{key} [{}] is invalid", shown(value))))
        };
        let refused = |what: String| rejected(format!("invalid max query result window, {what}"));
        let (limit, offset) = (number("limit")?, number("offset")?);
        let given = limit.is_some() || offset.is_some();
        let offset = offset.unwrap_or(0);
        let offset = u64::try_from(offset)
            .map_err(|_| refused(format!("offset [{offset}] is invalid, should be gte than 0")))?;
        let Some(limit) = limit else { return Ok(Self { limit: None, offset, given }) };
        let wrong = || refused(format!("limit [{limit}] is invalid, should be greater than 0"));
        let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0).ok_or_else(wrong)?;
        let end = limit.saturating_add(offset);
        if end > max_rows {
            let key = "quotaAndLimits.limits.maxQueryResultWindow";
            return Err(refused(format!("(offset+limit) should be in range [1, {max_rows}], but got {end} ({key})")));
        }
        Ok(Self { limit: Some(limit), offset, given })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kit::model, model::DataType};

    fn schema(dynamic: bool) -> CollectionSchema {
        let mut fields = vec![model::key(100, "id", DataType::Int64), model::field(101, "j", DataType::Json)];
        if dynamic {
            fields.push(model::dynamic(102));
        }
        model::schema("books", fields)
    }

    fn output(dynamic: bool, names: &[&str]) -> Result<(Vec<i64>, Vec<String>), (i32, String)> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let output = Output::of(&schema(dynamic), &names).map_err(|CallError(status)| (status.code, status.reason))?;
        let mut keys = output.keys;
        keys.sort_unstable();
        Ok((output.fields.iter().map(|id| id.0).collect(), keys))
    }

    #[test]
    fn output_fields_are_fields_or_keys() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        for (names, fields, found) in [
            (&[][..], &[100][..], &[][..]),
            (&["*"], &[100, 101, 102], &[]),
            (&["j"], &[100, 101], &[]),
            (&[" j "], &[100, 101], &[]),
            (&["$meta"], &[100, 102], &[]),
            (&["color"], &[100, 102], &["color"]),
            (&["color", "color", " color", "size_2"], &[100, 102], &["color", "size_2"]),
            (&["IN"], &[100, 102], &["IN"]),
            (&["color", "$meta"], &[100, 102], &[]),
        ] {
            assert_eq!(output(true, names), Ok((fields.to_vec(), keys(found))), "{names:?}");
        }
        for name in [
            "$meta[\"k\"]",
            "j[\"k\"]",
            "j['k']",
            "count(x)",
            "",
            " ",
            "%",
            "**",
            "1a",
            "a b",
            "(a)",
            "like",
            "$x",
            "a-b",
        ] {
            assert_eq!(output(true, &[name]), Err((65535, format!("parse output field name failed: {}", name.trim()))));
            assert_eq!(output(false, &[name]), Err((65535, format!("field {} not exist", name.trim()))));
        }
        let (_, reason) = output(true, &[&"(".repeat(1 << 20)]).unwrap_err();
        assert!(reason.len() < 200, "{}", reason.len());
    }

    #[test]
    fn a_page_has_a_beginning_and_rows() {
        let window = |limit: Option<&str>, offset: Option<&str>| {
            let pair = |key: &str, value: &str| KeyValuePair { key: key.to_owned(), value: value.to_owned() };
            let pairs = [limit.map(|v| pair("limit", v)), offset.map(|v| pair("offset", v))];
            let params: Vec<_> = pairs.into_iter().flatten().collect();
            Window::of(&params, 16_384)
                .map(|window| (window.limit, window.offset, window.given))
                .map_err(|CallError(status)| (status.code, status.reason))
        };
        let refused = |what: &str| Err((65535, format!("invalid max query result window, {what}")));
        for (limit, offset, expected) in [
            (None, None, Ok((None, 0, false))),
            (Some("5"), None, Ok((Some(5), 0, true))),
            (Some("5"), Some("7"), Ok((Some(5), 7, true))),
            (Some("16384"), Some("0"), Ok((Some(16_384), 0, true))),
            (None, Some("7"), Ok((None, 7, true))),
            (Some("-1"), None, refused("limit [-1] is invalid, should be greater than 0")),
            (Some("-2"), None, refused("limit [-2] is invalid, should be greater than 0")),
            (Some("0"), None, refused("limit [0] is invalid, should be greater than 0")),
            (Some("5"), Some("-1"), refused("offset [-1] is invalid, should be gte than 0")),
            (None, Some("-1"), refused("offset [-1] is invalid, should be gte than 0")),
            (
                Some("16384"),
                Some("1"),
                refused(
                    "(offset+limit) should be in range [1, 16384], but got 16385 (quotaAndLimits.limits.maxQueryResultWindow)",
                ),
            ),
            (Some("x"), None, Err((65535, "limit [x] is invalid".to_owned()))),
        ] {
            assert_eq!(window(limit, offset), expected, "{limit:?} {offset:?}");
        }
    }
}
