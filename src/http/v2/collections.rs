//! Collections: list, has, describe, counts, load state, create, drop, load, release and flush.

use axum::response::Response;
use futures::FutureExt as _;
use prost::Message as _;
use serde_json::{Value as Tree, json};

use super::{
    answer::{Done, Fault, INVALID_PARAMETER, MISSING_PARAMETER},
    call::{RestCall, Target},
    members::{Members, shown, text_of},
    params::{extra_params, metric, pair, pairs},
};
use crate::{
    http::request::ReceivedBody,
    json::{JsonScalar, Value},
    wire::proto::{
        common::{ConsistencyLevel, KeyValuePair, LoadState},
        milvus::{
            CreateCollectionRequest, CreateIndexRequest, DescribeCollectionRequest, DescribeIndexRequest,
            DropCollectionRequest, FlushRequest, GetCollectionStatisticsRequest, GetLoadStateRequest,
            GetLoadingProgressRequest, HasCollectionRequest, IndexDescription, ListAliasesRequest,
            LoadCollectionRequest, ReleaseCollectionRequest, ShowCollectionsRequest,
        },
        schema::{CollectionSchema, DataType, FieldSchema, ValueField, value_field},
    },
};

/// The metric and the fields of a collection that is created with a dimension alone.
const METRIC: &str = "COSINE";
const KEY_FIELD: &str = "id";
const VECTOR_FIELD: &str = "vector";
const METRIC_KEY: &str = "metric_type";
const TTL_KEY: &str = "collection.ttl.seconds";

fn nothing() -> Response {
    Done::new(json!({})).answer()
}

pub(in crate::http) async fn list(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("DatabaseReq", &body)?;
    let request = ShowCollectionsRequest { db_name: call.database(&members)?, ..Default::default() };
    let (shown, _) =
        call.ask("ShowCollections", request, |service, request| service.show_collections(request).boxed()).await?;
    Ok(Done::new(shown.collection_names).answer())
}

/// The collection of a request that has no other members.
fn named(call: &RestCall, body: &[u8]) -> Result<Target, Fault> {
    call.target(&call.members("CollectionNameReq", body)?)
}

pub(in crate::http) async fn has(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let Target { database, name } = named(&call, &call.whole(body)?)?;
    let request = HasCollectionRequest { db_name: database, collection_name: name, ..Default::default() };
    let (has, _) =
        call.ask("HasCollection", request, |service, request| service.has_collection(request).boxed()).await?;
    Ok(Done::new(json!({"has": has.value})).answer())
}

pub(in crate::http) async fn stats(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let Target { database, name } = named(&call, &call.whole(body)?)?;
    let request = GetCollectionStatisticsRequest { db_name: database, collection_name: name, ..Default::default() };
    let (found, _) = call
        .ask("GetCollectionStatistics", request, |service, request| service.get_collection_statistics(request).boxed())
        .await?;
    let rows = found.stats.iter().find(|pair| pair.key == "row_count").and_then(|pair| pair.value.parse::<i64>().ok());
    Ok(Done::new(json!({"rowCount": rows.unwrap_or(0)})).answer())
}

pub(in crate::http) async fn drop_one(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let Target { database, name } = named(&call, &call.whole(body)?)?;
    let request = DropCollectionRequest { db_name: database, collection_name: name, ..Default::default() };
    call.ask("DropCollection", request, |service, request| service.drop_collection(request).boxed()).await?;
    Ok(nothing())
}

pub(in crate::http) async fn load(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    load_one(&call, named(&call, &call.whole(body)?)?).await?;
    Ok(nothing())
}

async fn load_one(call: &RestCall, Target { database, name }: Target) -> Result<(), Fault> {
    let request = LoadCollectionRequest { db_name: database, collection_name: name, ..Default::default() };
    call.ask("LoadCollection", request, |service, request| service.load_collection(request).boxed()).await?;
    Ok(())
}

pub(in crate::http) async fn release(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let Target { database, name } = named(&call, &call.whole(body)?)?;
    let request = ReleaseCollectionRequest { db_name: database, collection_name: name, ..Default::default() };
    call.ask("ReleaseCollection", request, |service, request| service.release_collection(request).boxed()).await?;
    Ok(nothing())
}

/// Rows are in segments when the service answers, so there is nothing to wait for.
pub(in crate::http) async fn flush(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let Target { database, name } = named(&call, &call.whole(body)?)?;
    let request = FlushRequest { db_name: database, collection_names: vec![name], ..Default::default() };
    call.ask("Flush", request, |service, request| service.flush(request).boxed()).await?;
    Ok(nothing())
}

async fn state(call: &RestCall, Target { database, name }: Target) -> Result<LoadState, Fault> {
    let request = GetLoadStateRequest { db_name: database, collection_name: name, ..Default::default() };
    let (found, _) =
        call.ask("GetLoadState", request, |service, request| service.get_load_state(request).boxed()).await?;
    Ok(found.state())
}

pub(in crate::http) async fn load_state(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("CollectionNameReq", &body)?;
    let target = call.target(&members)?;
    match state(&call, target.clone()).await? {
        LoadState::NotExist => {
            let (database, name) = (target.database, target.name);
            Err(Fault::Coded(100, format!("collection not found[database={database}][collection={name}]")))
        }
        LoadState::NotLoad => Ok(Done::new(json!({"loadState": LoadState::NotLoad.as_str_name()})).answer()),
        _ => {
            let request = GetLoadingProgressRequest {
                db_name: target.database,
                collection_name: target.name,
                partition_names: members.texts("partitionNames")?.unwrap_or_default(),
                ..Default::default()
            };
            let (found, _) = call
                .ask("GetLoadingProgress", request, |service, request| service.get_loading_progress(request).boxed())
                .await?;
            let state = if found.progress >= 100 { LoadState::Loaded } else { LoadState::Loading };
            Ok(Done::new(json!({"loadState": state.as_str_name(), "loadProgress": found.progress})).answer())
        }
    }
}

pub(in crate::http) async fn describe(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let target = named(&call, &call.whole(body)?)?;
    let Target { database, name } = target.clone();
    let request = DescribeCollectionRequest { db_name: database, collection_name: name, ..Default::default() };
    let (found, _) = call
        .ask("DescribeCollection", request, |service, request| service.describe_collection(request).boxed())
        .await?;
    let schema = found.schema.clone().unwrap_or_default();
    let auto_id = schema.fields.iter().any(|field| field.is_primary_key && field.auto_id);
    let level = ConsistencyLevel::try_from(found.consistency_level).unwrap_or(ConsistencyLevel::Bounded);
    // Collections that the caller may not see are left out, and the answer says so, as in Milvus.
    let mut message = String::new();
    let load = state(&call, target.clone()).await.map(|state| state.as_str_name());
    let load = load.unwrap_or_else(|fault| note(&mut message, &fault, ""));
    let Target { database, name } = target.clone();
    let request = DescribeIndexRequest { db_name: database, collection_name: name, ..Default::default() };
    let indexes = call.ask("DescribeIndex", request, |service, request| service.describe_index(request).boxed()).await;
    let indexes = indexes.map(|(found, _)| found.index_descriptions);
    let indexes: Vec<IndexDescription> = indexes.unwrap_or_else(|fault| note(&mut message, &fault, Vec::new()));
    let Target { database, name } = target;
    let request = ListAliasesRequest { db_name: database, collection_name: name, ..Default::default() };
    let aliases = call.ask("ListAliases", request, |service, request| service.list_aliases(request).boxed()).await;
    let aliases = aliases.map(|(found, _)| found.aliases);
    let aliases: Vec<String> = aliases.unwrap_or_else(|fault| note(&mut message, &fault, Vec::new()));
    let indexes: Vec<Tree> = indexes
        .iter()
        .map(|index| json!({"indexName": index.index_name, "fieldName": index.field_name, "metricType": metric(index)}))
        .collect();
    let data = json!({
        "collectionName": found.collection_name,
        "collectionID": found.collection_id,
        "description": schema.description,
        "autoId": auto_id,
        "fields": schema.fields.iter().map(field).collect::<Vec<_>>(),
        "functions": [],
        "aliases": aliases,
        "indexes": indexes,
        "load": load,
        "shardsNum": found.shards_num,
        "partitionsNum": found.num_partitions,
        "consistencyLevel": level.as_str_name(),
        "enableDynamicField": schema.enable_dynamic_field,
        "properties": pairs(&found.properties),
    });
    Ok(super::super::answer::json(axum::http::StatusCode::OK, &json!({"code": 0, "data": data, "message": message})))
}

/// Adds a failure to the message of an answer that has more.
fn note<T>(message: &mut String, fault: &Fault, instead: T) -> T {
    match fault {
        Fault::Coded(_, text) => message.push_str(text),
        Fault::Answered(_) => message.push_str("permission denied"),
    }
    message.push(';');
    instead
}

fn field(field: &FieldSchema) -> Tree {
    let name = |number| DataType::try_from(number).unwrap_or(DataType::None).as_str_name();
    let mut described = json!({
        "name": field.name,
        "id": field.field_id,
        "type": name(field.data_type),
        "primaryKey": field.is_primary_key,
        "partitionKey": field.is_partition_key,
        "clusteringKey": field.is_clustering_key,
        "autoId": field.auto_id,
        "description": field.description,
        "nullable": field.nullable,
    });
    if let Some(value) = field.default_value.as_ref().and_then(|value| value.data.as_ref()) {
        described["defaultValue"] = json!({"Data": value_tree(value)});
    }
    if !field.type_params.is_empty() {
        described["params"] = pairs(&field.type_params).into();
    }
    if field.data_type() == DataType::Array {
        described["elementType"] = name(field.element_type).into();
    }
    described
}

/// A value as Go writes the structure that holds it.
fn value_tree(value: &value_field::Data) -> Tree {
    use value_field::Data;
    match value {
        Data::BoolData(value) => json!({"BoolData": value}),
        Data::IntData(value) => json!({"IntData": value}),
        Data::LongData(value) => json!({"LongData": value}),
        Data::FloatData(value) => json!({"FloatData": value}),
        Data::DoubleData(value) => json!({"DoubleData": value}),
        Data::StringData(value) => json!({"StringData": value}),
        // No field has one.
        Data::BytesData(_) | Data::TimestamptzData(_) | Data::DateData(_) | Data::TimeData(_) => Tree::Null,
    }
}

/// A definition, and the indexes that come with it.
struct Definition {
    schema: CollectionSchema,
    partitions: i64,
    indexes: Vec<CreateIndexRequest>,
}

pub(in crate::http) async fn create(call: RestCall, body: ReceivedBody) -> Result<Response, Fault> {
    let body = call.whole(body)?;
    let members = call.members("CollectionReq", &body)?;
    members.refuse(&["externalSource", "externalSpec"])?;
    let target = call.target(&members)?;
    let params = members.object("params", "params")?;
    let param = |name: &str| params.as_ref().and_then(|params| params.value(name)).map(text_of);
    let schema = members.object("schema", "CollectionSchema")?;
    let fields = schema.as_ref().map(|schema| schema.objects("fields", "FieldSchema")).transpose()?.unwrap_or_default();
    let definition = match schema.filter(|_| !fields.is_empty()) {
        Some(schema) => defined(&members, &schema, &fields, &target, param("partitionsNum").as_deref())?,
        None => quick(&members, &target, param("max_length").as_deref(), param("enableDynamicField").as_deref())?,
    };
    let given = members.text("consistencyLevel")?;
    let level = match (given.as_str(), param("consistencyLevel").unwrap_or_default()) {
        ("", level) => level,
        (given, _) => given.into(),
    };
    let level = match level.as_ref() {
        "" => ConsistencyLevel::Bounded,
        name => ConsistencyLevel::from_str_name(name).ok_or_else(|| {
            invalid(
                "consistencyLevel can only be [Strong, Session, Bounded, Eventually, Customized], default: Bounded",
                "Strong, Session, Bounded, Eventually, Customized",
                name,
            )
        })?,
    };
    let number = |name: &str| param(name).and_then(|text| text.parse::<i64>().ok());
    let request = CreateCollectionRequest {
        db_name: target.database.clone(),
        collection_name: target.name.clone(),
        schema: definition.schema.encode_to_vec(),
        shards_num: number("shardsNum").and_then(|shards| i32::try_from(shards).ok()).unwrap_or(1),
        consistency_level: level.into(),
        properties: properties(&members, param("ttlSeconds").as_deref())?,
        num_partitions: definition.partitions,
        ..Default::default()
    };
    call.ask("CreateCollection", request, |service, request| service.create_collection(request).boxed()).await?;
    if definition.indexes.is_empty() {
        return Ok(nothing());
    }
    for index in definition.indexes {
        call.ask("CreateIndex", index, |service, request| service.create_index(request).boxed()).await?;
    }
    load_one(&call, target).await?;
    Ok(nothing())
}

fn invalid(text: &str, expected: &str, actual: &str) -> Fault {
    let actual = shown(actual);
    Fault::Coded(INVALID_PARAMETER, format!("{text}: invalid parameter[expected={expected}][actual={actual}]"))
}

/// Properties by their keys, which are all passed on; the time to live has two more names.
fn properties(members: &Members<'_>, ttl: Option<&str>) -> Result<Vec<KeyValuePair>, Fault> {
    let given = members.object("properties", "properties")?;
    let key = |name: &str| if name == "ttl.seconds" { TTL_KEY.to_owned() } else { name.to_owned() };
    let given = given.iter().flat_map(Members::each);
    let mut pairs: Vec<_> = given.map(|(name, value)| pair(&key(name), text_of(value))).collect();
    pairs.extend(ttl.map(|ttl| pair(TTL_KEY, ttl)));
    if pairs.iter().filter(|pair| pair.key == TTL_KEY).count() > 1 {
        return Err(Fault::invalid("collection TTL is specified multiple times: invalid parameter"));
    }
    Ok(pairs)
}

/// A collection of a key and a vector, with an index.
fn quick(
    members: &Members<'_>,
    target: &Target,
    max_length: Option<&str>,
    dynamic: Option<&str>,
) -> Result<Definition, Fault> {
    let dim = members.int("dimension")?.unwrap_or(0);
    let vector_type = match members.text("vectorFieldType")?.as_str() {
        "" | "FloatVector" => DataType::FloatVector,
        "BinaryVector" => DataType::BinaryVector,
        other => {
            let text = "vectorFieldType can only be [FloatVector, BinaryVector], default: FloatVector";
            return Err(invalid(text, "FloatVector, BinaryVector", other));
        }
    };
    if dim == 0 {
        return Err(invalid(
            "dimension is required for quickly create collection(default metric type: COSINE)",
            "collectionName & dimension",
            "collectionName",
        ));
    }
    let (key_type, key_params) = match members.text("idType")?.as_str() {
        "" | "Int64" | "int64" => (DataType::Int64, Vec::new()),
        "VarChar" | "Varchar" => {
            (DataType::VarChar, max_length.map(|length| pair("max_length", length)).into_iter().collect())
        }
        other => return Err(invalid("idType can only be [Int64, VarChar], default: Int64", "Int64, Varchar", other)),
    };
    let enable_dynamic_field = match dynamic {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => false,
        Some(other) => {
            return Err(Fault::invalid(format!("parse enableDynamicField fail, err:{} is no bool", shown(other))));
        }
    };
    let or = |name: String, default: &str| if name.is_empty() { default.to_owned() } else { name };
    let key = FieldSchema {
        name: or(members.text("primaryFieldName")?, KEY_FIELD),
        is_primary_key: true,
        data_type: key_type.into(),
        auto_id: members.flag("autoID")?,
        type_params: key_params,
        ..Default::default()
    };
    let vector = FieldSchema {
        name: or(members.text("vectorFieldName")?, VECTOR_FIELD),
        data_type: vector_type.into(),
        type_params: vec![pair("dim", dim.to_string())],
        ..Default::default()
    };
    let default_metric = if vector_type == DataType::BinaryVector { "HAMMING" } else { METRIC };
    let metric = or(members.text("metricType")?, default_metric);
    let index = CreateIndexRequest {
        db_name: target.database.clone(),
        collection_name: target.name.clone(),
        field_name: vector.name.clone(),
        index_name: vector.name.clone(),
        extra_params: vec![pair(METRIC_KEY, metric)],
        ..Default::default()
    };
    let schema = CollectionSchema {
        name: target.name.clone(),
        description: members.text("description")?,
        fields: vec![key, vector],
        enable_dynamic_field,
        ..Default::default()
    };
    Ok(Definition { schema, partitions: 0, indexes: vec![index] })
}

/// A collection by its fields.
fn defined(
    members: &Members<'_>,
    schema: &Members<'_>,
    fields: &[Members<'_>],
    target: &Target,
    partitions: Option<&str>,
) -> Result<Definition, Fault> {
    schema.refuse(&["functions", "structFields", "externalSource", "externalSpec"])?;
    let auto_id = schema.flag("autoID")?;
    let fields = fields.iter().map(|field| defined_field(field, auto_id)).collect::<Result<Vec<_>, _>>()?;
    let mut indexes = Vec::new();
    for index in members.objects("indexParams", "IndexParam")? {
        let field_name = index.required("fieldName")?;
        if !fields.iter().any(|field| field.name == field_name) {
            let name = shown(&field_name);
            let text = format!("missing required parameters, error: `{name}` hasn't defined in schema");
            return Err(Fault::Coded(MISSING_PARAMETER, text));
        }
        indexes.push(CreateIndexRequest {
            db_name: target.database.clone(),
            collection_name: target.name.clone(),
            field_name,
            index_name: index.text("indexName")?,
            extra_params: extra_params(&index)?,
            ..Default::default()
        });
    }
    let is_keyed = fields.iter().any(|field| field.is_partition_key);
    let partitions = partitions.filter(|_| is_keyed).and_then(|number| number.parse().ok());
    let schema = CollectionSchema {
        name: target.name.clone(),
        description: members.text("description")?,
        auto_id,
        fields,
        enable_dynamic_field: schema.flag("enableDynamicField")?,
        ..Default::default()
    };
    Ok(Definition { schema, partitions: partitions.filter(|number| *number > 0).unwrap_or(0), indexes })
}

/// The service checks the range of small integers and the length of texts.
fn default_value(data_type: DataType, value: Value<'_>) -> Result<ValueField, Fault> {
    let scalar = value.scalar();
    let number = match &scalar {
        Some(JsonScalar::Number(number)) => Some(number),
        _ => None,
    };
    let (expected, data) = match data_type {
        DataType::Bool => match scalar {
            Some(JsonScalar::Bool(flag)) => ("bool", Some(value_field::Data::BoolData(flag))),
            _ => ("bool", None),
        },
        DataType::Int8 | DataType::Int16 | DataType::Int32 => {
            let whole = number.and_then(|number| i32::try_from(number.as_i64()?).ok());
            ("number of 32 bits", whole.map(value_field::Data::IntData))
        }
        DataType::Int64 => {
            ("number of 64 bits", number.and_then(|number| number.as_i64()).map(value_field::Data::LongData))
        }
        DataType::Float => {
            let near = number.and_then(|number| number.raw().parse().ok());
            ("number of a float", near.filter(|near: &f32| near.is_finite()).map(value_field::Data::FloatData))
        }
        DataType::Double => ("number", number.map(|number| value_field::Data::DoubleData(number.as_f64()))),
        DataType::VarChar => match scalar {
            Some(JsonScalar::Text(text)) => ("string", Some(value_field::Data::StringData(text.into_owned()))),
            _ => ("string", None),
        },
        // The service refuses it by name.
        _ => return Ok(ValueField::default()),
    };
    let wrong = || invalid("Wrong defaultValue type", expected, &text_of(value));
    Ok(ValueField { data: Some(data.ok_or_else(wrong)?) })
}

fn defined_field(field: &Members<'_>, auto_id: bool) -> Result<FieldSchema, Fault> {
    let data_type = |member: &str, what: &str| {
        let name = field.text(member)?;
        DataType::from_str_name(&name).ok_or_else(|| {
            Fault::invalid(format!("invalid parameter, {what} {} is invalid(case sensitive).", shown(&name)))
        })
    };
    field.required("fieldName")?;
    field.required("dataType")?;
    let own_type = data_type("dataType", "data type")?;
    let element_type = match own_type {
        DataType::Array => data_type("elementDataType", "element data type")?,
        _ => DataType::None,
    };
    let params = field.object("elementTypeParams", "elementTypeParams")?;
    let params = params.iter().flat_map(Members::each).map(|(name, value)| pair(name, text_of(value))).collect();
    let is_primary_key = field.flag("isPrimary")?;
    Ok(FieldSchema {
        name: field.text("fieldName")?,
        description: field.text("description")?,
        data_type: own_type.into(),
        element_type: element_type.into(),
        is_primary_key,
        auto_id: is_primary_key && auto_id,
        is_partition_key: field.flag("isPartitionKey")?,
        is_clustering_key: field.flag("isClusteringKey")?,
        type_params: params,
        nullable: field.flag("nullable")?,
        default_value: field.value("defaultValue").map(|value| default_value(own_type, value)).transpose()?,
        ..Default::default()
    })
}
