//! Searches: of one list of vectors, and of several that become one.

use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt as _;
use prost::Message as _;

use super::{
    answer::{Done, Fault, MISSING_PARAMETER},
    call::RestCall,
    columns::bits,
    entities::{DEFAULT_LIMIT, consistency},
    members::{Members, is_null, not_json, numbers, shown, text_of},
    params::pair,
    rows::JsonRows,
};
use crate::{
    http::request::ReceivedBody,
    json::{MAX_TREE_BYTES, Value},
    memory::Account,
    model::{CollectionSchema, DataType, Field, Privilege},
    wire::proto::{
        common::{KeyValuePair, PlaceholderGroup, PlaceholderType, PlaceholderValue},
        milvus::{HybridSearchRequest, SearchRequest, SearchResults, search_request::SearchInput},
    },
};

pub(in crate::http) async fn search(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("SearchReqV2", &body)?;
    members.refuse(&UNSUPPORTED)?;
    let target = call.target(&members)?;
    let meta = call.definition(&target, Privilege::Search)?;
    let (consistency_level, use_default_consistency) = consistency(&members)?;
    let field = members.text("annsField")?;
    let mut search_params = search_params(&members, "searchParams")?;
    let limit = members.int("limit")?.unwrap_or(DEFAULT_LIMIT);
    search_params.push(pair("topk", limit.to_string()));
    search_params.push(pair("offset", members.int("offset")?.unwrap_or(0).to_string()));
    let group = members.text("groupingField")?;
    if !group.is_empty() {
        search_params.push(pair("group_by_field", group));
        if let Some(size) = members.int("groupSize")?.filter(|size| *size > 0) {
            search_params.push(pair("group_size", size.to_string()));
            search_params.push(pair("strict_group_size", members.flag("strictGroupSize")?.to_string()));
        }
    }
    search_params.push(pair("anns_field", field.clone()));
    let placeholder = vectors(&members, vector_field(&meta.schema, &field)?)?;
    let request = SearchRequest {
        db_name: target.database,
        collection_name: target.name,
        partition_names: members.texts("partitionNames")?.unwrap_or_default(),
        dsl: members.text("filter")?,
        // BoolExprV1, the only one there is.
        dsl_type: 1,
        output_fields: members.texts("outputFields")?.unwrap_or_default(),
        search_params,
        nq: placeholder.values.len() as i64,
        consistency_level,
        use_default_consistency,
        search_input: Some(input(placeholder)),
        ..Default::default()
    };
    let (found, memory) = call.ask("Search", request, |service, request| service.search(request).boxed()).await?;
    found_rows(&call, &meta.schema, found, memory)
}

/// Members of a search that mean something in Milvus and nothing here.
const UNSUPPORTED: [&str; 5] = ["exprParams", "ids", "functionScore", "functionChains", "searchAggregation"];

pub(in crate::http) async fn hybrid_search(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("HybridSearchReq", &body)?;
    members.refuse(&UNSUPPORTED)?;
    let target = call.target(&members)?;
    let meta = call.definition(&target, Privilege::Search)?;
    let (consistency_level, use_default_consistency) = consistency(&members)?;
    let searches = members.objects("search", "SubSearchReq")?;
    let requests = searches.iter().map(|search| one_of_several(search, &meta.schema));
    let requests = requests.collect::<Result<_, _>>()?;
    let mut rank_params = vec![pair("limit", members.int("limit")?.unwrap_or(DEFAULT_LIMIT).to_string())];
    rank_params.push(pair("offset", members.int("offset")?.unwrap_or(0).to_string()));
    rank_params.push(pair("round_decimal", "-1"));
    let group = members.text("groupingField")?;
    if !group.is_empty() {
        rank_params.push(pair("group_by_field", group));
    }
    if let Some(rerank) = members.object("rerank", "Rand")? {
        let strategy = rerank.text("strategy")?;
        rank_params.extend(Some(strategy).filter(|name| !name.is_empty()).map(|name| pair("strategy", name)));
        rank_params.extend(rerank.value("params").map(|params| pair("params", text_of(params))));
    }
    let request = HybridSearchRequest {
        db_name: target.database,
        collection_name: target.name,
        partition_names: members.texts("partitionNames")?.unwrap_or_default(),
        requests,
        rank_params,
        output_fields: members.texts("outputFields")?.unwrap_or_default(),
        consistency_level,
        use_default_consistency,
        ..Default::default()
    };
    let ask = call.ask("HybridSearch", request, |service, request| service.hybrid_search(request).boxed());
    let (found, memory) = ask.await?;
    found_rows(&call, &meta.schema, found, memory)
}

/// A search of a hybrid search.
fn one_of_several(search: &Members<'_>, schema: &CollectionSchema) -> Result<SearchRequest, Fault> {
    search.refuse(&UNSUPPORTED)?;
    let field = search.text("annsField")?;
    let mut search_params = search_params(search, "params")?;
    search_params.extend(search.int("limit")?.map(|limit| pair("topk", limit.to_string())));
    if search.flag("ignoreGrowing")? {
        search_params.push(pair("ignore_growing", "true"));
    }
    for (member, key) in [("metricType", "metric_type"), ("groupingField", "group_by_field")] {
        let value = search.text(member)?;
        search_params.extend(Some(value).filter(|value| !value.is_empty()).map(|value| pair(key, value)));
    }
    search_params.push(pair("anns_field", field.clone()));
    let placeholder = vectors(search, vector_field(schema, &field)?)?;
    Ok(SearchRequest {
        dsl: search.text("filter")?,
        // BoolExprV1, the only one there is.
        dsl_type: 1,
        search_params,
        nq: placeholder.values.len() as i64,
        search_input: Some(input(placeholder)),
        ..Default::default()
    })
}

/// The rows that were found, as JSON.
fn found_rows(
    call: &RestCall,
    schema: &CollectionSchema,
    found: SearchResults,
    memory: Option<Account>,
) -> Result<Response, Fault> {
    let results = found.results.unwrap_or_default();
    let keys = results.ids.as_ref().map(|keys| (schema.primary_key().name.as_str(), keys));
    let rows =
        JsonRows { fields: &results.fields_data, keys, scores: &results.scores, allows_int64: call.allows_int64 };
    Done::of_search(rows, results.topks.clone()).held_answer(memory)
}

/// The query vectors of a search.
fn vectors(members: &Members<'_>, field: &Field) -> Result<PlaceholderValue, Fault> {
    let placeholder = placeholder(members.list("data")?.into_iter().flatten(), field)?;
    if placeholder.values.is_empty() {
        let text = "either 'ids' (for primary key search) or 'data' (for vector search) must be provided";
        return Err(Fault::Coded(MISSING_PARAMETER, text.to_owned()));
    }
    Ok(placeholder)
}

fn input(placeholder: PlaceholderValue) -> SearchInput {
    let group = PlaceholderGroup { placeholders: vec![placeholder] };
    SearchInput::PlaceholderGroup(group.encode_to_vec().into())
}

/// The vector field that is searched; without a name the only one.
fn vector_field<'s>(schema: &'s CollectionSchema, name: &str) -> Result<&'s Field, Fault> {
    let mut vectors = schema.fields.iter().filter(|field| field.data_type.is_vector());
    let found = match (name, vectors.next()) {
        ("", Some(first)) => match vectors.next() {
            None => Some(first),
            Some(second) => {
                return Err(not_json(&format!(
                    "search without annsField, but already found multiple vector fields: [{}, {},,,]: invalid parameter",
                    first.name, second.name
                )));
            }
        },
        _ => schema.field(name).filter(|field| field.data_type.is_vector()),
    };
    found.ok_or_else(|| not_json(&format!("cannot find a vector field: field not found[field={}]", shown(name))))
}

/// Query vectors of a field.
fn placeholder<'b>(vectors: impl Iterator<Item = Value<'b>>, field: &Field) -> Result<PlaceholderValue, Fault> {
    let is_binary = field.data_type == DataType::BinaryVector;
    let kind = if is_binary { PlaceholderType::BinaryVector } else { PlaceholderType::FloatVector };
    let mut values = Vec::new();
    for (at, vector) in vectors.enumerate() {
        let wrong = |got: String| {
            let (expected, name) = (field.data_type.name(), &field.name);
            not_json(&format!(
                "invalid parameter[expected={expected}][actual={got}]: query vector {at} of field {name}"
            ))
        };
        let mut bytes = Vec::with_capacity(field.vector_bytes());
        let is_read = match is_binary {
            true => bits(vector, &text_of(vector), &mut bytes).is_some(),
            false => numbers(vector.raw(), |number: f32| bytes.extend_from_slice(&number.to_le_bytes())),
        };
        if is_null(vector) || !is_read {
            return Err(wrong(shown(&text_of(vector))));
        }
        if bytes.len() != field.vector_bytes() {
            return Err(wrong(format!("{} bytes instead of {}", bytes.len(), field.vector_bytes())));
        }
        values.push(Bytes::from(bytes));
    }
    Ok(PlaceholderValue { tag: "$0".to_owned(), r#type: kind.into(), values, ..Default::default() })
}

/// `searchParams`, or another member of this meaning: its members are parameters of the search, and all of them with those of its `params` the parameters of
/// the index.
fn search_params(members: &Members<'_>, name: &'static str) -> Result<Vec<KeyValuePair>, Fault> {
    const PARAMS: &str = "params";
    let length = members.value(name).map_or(0, |given| given.raw().len());
    if length > MAX_TREE_BYTES {
        return Err(Fault::invalid(format!("{name} has {length} bytes, the limit is {MAX_TREE_BYTES}")));
    }
    let given = members.object(name, "SearchParams")?;
    let inner = match given.as_ref().and_then(|given| given.value(PARAMS)) {
        None => None,
        Some(value) if value.members().is_none() => {
            return Err(Fault::invalid(format!("{name}.params must be a dict: invalid parameter")));
        }
        Some(value) => Some(Members::of(PARAMS, value)?),
    };
    let mut pairs = Vec::new();
    let mut index = serde_json::Map::new();
    let parsed = |value: Value<'_>| serde_json::from_slice::<serde_json::Value>(value.raw());
    for (name, value) in inner.iter().flat_map(Members::each) {
        index.insert(name.to_owned(), parsed(value).map_err(|error| not_json(&error.to_string()))?);
    }
    for (name, value) in given.iter().flat_map(Members::each).filter(|(name, _)| *name != PARAMS) {
        let parsed = parsed(value).map_err(|error| not_json(&error.to_string()))?;
        match index.get(name) {
            Some(other) if *other != parsed && other.as_f64().is_none_or(|other| parsed.as_f64() != Some(other)) => {
                let (value, other) = (shown(&text_of(value)), shown(&other.to_string()));
                return Err(Fault::invalid(format!(
                    "ambiguous parameter: {name}, in search_param: {value}, in search_param.params: {other}: invalid \
                     parameter"
                )));
            }
            Some(_) => {}
            None => {
                index.insert(name.to_owned(), parsed);
            }
        }
        let key = match name {
            "ignoreGrowing" => "ignore_growing",
            "metricType" => "metric_type",
            name => name,
        };
        pairs.push(pair(key, text_of(value)));
    }
    pairs.push(pair(PARAMS, serde_json::Value::Object(index).to_string()));
    pairs.push(pair("round_decimal", "-1"));
    Ok(pairs)
}
