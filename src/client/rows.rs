//! Calls about collections and their rows.

use prost::Message as _;

use super::{
    Client, ClientError,
    connection::{answered, poll, succeeded},
};
use crate::wire::proto::{
    common::{DslType, IndexState, KeyValuePair, PlaceholderGroup, PlaceholderType, PlaceholderValue},
    milvus::{
        CreateCollectionRequest, CreateIndexRequest, DeleteRequest, DescribeCollectionRequest, DescribeIndexRequest,
        DropCollectionRequest, FlushRequest, GetFlushStateRequest, InsertRequest, LoadCollectionRequest, QueryRequest,
        SearchRequest, UpsertRequest, search_request::SearchInput,
    },
    schema::{CollectionSchema, FieldData, i_ds::IdField},
};

/// Milvus' code for a collection that is not there.
const COLLECTION_NOT_FOUND: i32 = 100;

impl Client {
    /// The schema of a collection; none if there is no collection of this name.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn schema(&self, collection: &str) -> Result<Option<CollectionSchema>, ClientError> {
        let call = "DescribeCollection";
        let request = DescribeCollectionRequest { collection_name: collection.to_owned(), ..Default::default() };
        let answer = answered(call, self.milvus.clone().describe_collection(request).await)?;
        match succeeded(call, answer.status) {
            Ok(()) => Ok(Some(answer.schema.unwrap_or_default())),
            Err(ClientError::Refused { code: COLLECTION_NOT_FOUND, .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Creates a collection with one shard.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn create_collection(
        &self,
        schema: &CollectionSchema,
        properties: &[(&str, &str)],
    ) -> Result<(), ClientError> {
        let call = "CreateCollection";
        let pair = |(key, value): &(&str, &str)| KeyValuePair { key: (*key).to_owned(), value: (*value).to_owned() };
        let request = CreateCollectionRequest {
            collection_name: schema.name.clone(),
            schema: schema.encode_to_vec(),
            shards_num: 1,
            properties: properties.iter().map(pair).collect(),
            ..Default::default()
        };
        let status = answered(call, self.milvus.clone().create_collection(request).await)?;
        succeeded(call, Some(status))
    }

    /// Creates an index of a vector field, which a load needs: a graph, with distances by L2.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn create_index(&self, collection: &str, field: &str) -> Result<(), ClientError> {
        let call = "CreateIndex";
        let pair = |key: &str, value: &str| KeyValuePair { key: key.to_owned(), value: value.to_owned() };
        let request = CreateIndexRequest {
            collection_name: collection.to_owned(),
            field_name: field.to_owned(),
            extra_params: vec![
                pair("index_type", "HNSW"),
                pair("metric_type", "L2"),
                pair("params", r#"{"M": 16, "efConstruction": 100}"#),
            ],
            ..Default::default()
        };
        let status = answered(call, self.milvus.clone().create_index(request).await)?;
        succeeded(call, Some(status))
    }

    /// Waits until every segment that gets an index has it.
    ///
    /// # Errors
    /// Those of a call, and `TooLong`.
    pub async fn wait_indexed(&self, collection: &str) -> Result<(), ClientError> {
        poll("the index", || {
            let mut milvus = self.milvus.clone();
            async move {
                let call = "DescribeIndex";
                let request = DescribeIndexRequest { collection_name: collection.to_owned(), ..Default::default() };
                let answer = answered(call, milvus.describe_index(request).await)?;
                succeeded(call, answer.status)?;
                Ok(answer.index_descriptions.iter().all(|index| index.state() == IndexState::Finished).then_some(()))
            }
        })
        .await
    }

    /// Loads a collection, so that it can be queried.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn load(&self, collection: &str) -> Result<(), ClientError> {
        let call = "LoadCollection";
        let request =
            LoadCollectionRequest { collection_name: collection.to_owned(), replica_number: 1, ..Default::default() };
        let status = answered(call, self.milvus.clone().load_collection(request).await)?;
        succeeded(call, Some(status))
    }

    /// Drops a collection with all its rows.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn drop_collection(&self, collection: &str) -> Result<(), ClientError> {
        let call = "DropCollection";
        let request = DropCollectionRequest { collection_name: collection.to_owned(), ..Default::default() };
        let status = answered(call, self.milvus.clone().drop_collection(request).await)?;
        succeeded(call, Some(status))
    }

    /// Inserts `rows` rows, whose columns these are.
    ///
    /// # Errors
    /// Those of a call, and `Incomplete` if the server took another number of rows.
    pub async fn insert(&self, collection: &str, rows: usize, columns: Vec<FieldData>) -> Result<(), ClientError> {
        let call = "Insert";
        let request = InsertRequest {
            collection_name: collection.to_owned(),
            num_rows: rows as u32,
            fields_data: columns,
            ..Default::default()
        };
        let answer = answered(call, self.milvus.clone().insert(request).await)?;
        succeeded(call, answer.status)?;
        complete(call, answer.insert_cnt, rows)
    }

    /// Inserts rows and deletes those of the same keys that are older.
    ///
    /// # Errors
    /// As of [`Client::insert`].
    pub async fn upsert(&self, collection: &str, rows: usize, columns: Vec<FieldData>) -> Result<(), ClientError> {
        let call = "Upsert";
        let request = UpsertRequest {
            collection_name: collection.to_owned(),
            num_rows: rows as u32,
            fields_data: columns,
            ..Default::default()
        };
        let answer = answered(call, self.milvus.clone().upsert(request).await)?;
        succeeded(call, answer.status)?;
        complete(call, answer.upsert_cnt, rows)
    }

    /// Deletes the rows that match an expression.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn delete(&self, collection: &str, expr: String) -> Result<(), ClientError> {
        let call = "Delete";
        let request = DeleteRequest { collection_name: collection.to_owned(), expr, ..Default::default() };
        let answer = answered(call, self.milvus.clone().delete(request).await)?;
        succeeded(call, answer.status)
    }

    /// Flushes a collection and waits until all its rows are in flushed segments, as every SDK does.
    ///
    /// # Errors
    /// Those of a call, and `TooLong`.
    pub async fn flush(&self, collection: &str) -> Result<(), ClientError> {
        let call = "Flush";
        let request = FlushRequest { collection_names: vec![collection.to_owned()], ..Default::default() };
        let answer = answered(call, self.milvus.clone().flush(request).await)?;
        succeeded(call, answer.status)?;
        let segments = answer.coll_seg_i_ds.into_iter().filter_map(|entry| entry.value).flat_map(|ids| ids.data);
        let request = GetFlushStateRequest {
            segment_i_ds: segments.collect(),
            flush_ts: answer.coll_flush_ts.first().map_or(0, |entry| entry.value),
            collection_name: collection.to_owned(),
            ..Default::default()
        };
        poll("the flush", || {
            let (mut milvus, request) = (self.milvus.clone(), request.clone());
            async move {
                let call = "GetFlushState";
                let answer = answered(call, milvus.get_flush_state(request).await)?;
                succeeded(call, answer.status)?;
                Ok(answer.flushed.then_some(()))
            }
        })
        .await
    }

    /// Keys and distances of the rows that are nearest to a vector, the nearest first. The keys are whole numbers.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn search(
        &self,
        collection: &str,
        field: &str,
        vector: &[f32],
        limit: usize,
    ) -> Result<Vec<(i64, f32)>, ClientError> {
        let call = "Search";
        let value = PlaceholderValue {
            tag: "$0".to_owned(),
            r#type: PlaceholderType::FloatVector.into(),
            values: vec![vector.iter().flat_map(|number| number.to_le_bytes()).collect()],
            ..Default::default()
        };
        let group = PlaceholderGroup { placeholders: vec![value] }.encode_to_vec();
        let pair = |key: &str, value: String| KeyValuePair { key: key.to_owned(), value };
        let request = SearchRequest {
            collection_name: collection.to_owned(),
            dsl_type: DslType::BoolExprV1.into(),
            search_input: Some(SearchInput::PlaceholderGroup(group.into())),
            search_params: vec![
                pair("anns_field", field.to_owned()),
                pair("topk", limit.to_string()),
                pair("params", "{}".to_owned()),
            ],
            nq: 1,
            ..Default::default()
        };
        let answer = answered(call, self.milvus.clone().search(request).await)?;
        succeeded(call, answer.status)?;
        let found = answer.results.unwrap_or_default();
        let keys = match found.ids.and_then(|ids| ids.id_field) {
            Some(IdField::IntId(keys)) => keys.data,
            Some(IdField::StrId(_)) | None => Vec::new(),
        };
        Ok(keys.into_iter().zip(found.scores).collect())
    }

    /// Columns of the rows that match an expression; an empty one matches all, for `count(*)`.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn query(
        &self,
        collection: &str,
        expr: String,
        output_fields: &[&str],
    ) -> Result<Vec<FieldData>, ClientError> {
        let call = "Query";
        let request = QueryRequest {
            collection_name: collection.to_owned(),
            expr,
            output_fields: output_fields.iter().map(|field| (*field).to_owned()).collect(),
            ..Default::default()
        };
        let answer = answered(call, self.milvus.clone().query(request).await)?;
        succeeded(call, answer.status)?;
        Ok(answer.fields_data)
    }
}

fn complete(call: &'static str, taken: i64, sent: usize) -> Result<(), ClientError> {
    if taken == sent as i64 { Ok(()) } else { Err(ClientError::Incomplete { call, taken, sent }) }
}
