//! Insert, upsert, delete.

use super::{call_error::rejected, members::check_namespace, *};
use crate::{
    model::{CollectionSchema, RequestError},
    standalone::{ExprError, Mutation, readable},
    wire::{
        rows::{answer, insert},
        status,
    },
};

impl MilvusApi {
    pub(super) async fn do_insert(&self, request: Request<InsertRequest>) -> Outcome<MutationResult> {
        let (call, mut request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        check_namespace(request.namespace.as_ref())?;
        let schema = Arc::clone(&cell.meta().schema);
        // Held until the call is answered.
        let mut memory = self.growth.of_call(0);
        let rows = insert::insert_batch(&schema, &mut request, &self.standalone.config().limits, &mut memory)
            .map_err(|e| CallError(e.status()))?;
        let done = self.standalone.insert(&cell, &request.partition_name, rows).await?;
        Ok(MutationResult { insert_cnt: done.count as i64, ..written(&schema, done)? })
    }

    pub(super) async fn do_upsert(&self, request: Request<UpsertRequest>) -> Outcome<MutationResult> {
        let (call, mut request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        check_namespace(request.namespace.as_ref())?;
        let schema = Arc::clone(&cell.meta().schema);
        // Held until the call is answered.
        let mut memory = self.growth.of_call(0);
        let rows = insert::upsert_batch(&schema, &mut request, &self.standalone.config().limits, &mut memory)
            .map_err(|e| CallError(e.status()))?;
        let done = self.standalone.upsert(&cell, &request.partition_name, rows).await?;
        let count = done.count as i64;
        // Milvus counts the replaced keys as inserted, deleted and upserted alike.
        Ok(MutationResult { insert_cnt: count, delete_cnt: count, upsert_cnt: count, ..written(&schema, done)? })
    }

    pub(super) async fn do_delete(&self, request: Request<DeleteRequest>) -> Outcome<MutationResult> {
        let (call, request) = self.read(request).map_err(|error| error.detailed("Invalid collection name"))?;
        let cell = self
            .collection(&call, &request.db_name, &request.collection_name)
            .map_err(|error| error.within("Failed to get collection id"))?;
        check_namespace(request.namespace.as_ref())?;
        if cell.meta().schema.partition_key().is_some() && !request.partition_name.is_empty() {
            return Err(RequestError::PartitionByKey(request.partition_name).into());
        }
        let scope = self.standalone.delete_scope(&cell, &request.partition_name).map_err(|error| match error {
            RequestError::PartitionNotFound(_) => CallError::from(error).within("Failed to get partition id"),
            RequestError::BadName(_) => CallError::from(error).detailed("Invalid partition name"),
            error => error.into(),
        })?;
        if request.expr.is_empty() {
            return Err(CallError(status::no_expression(cell.meta().channels.first())));
        }
        let schema = Arc::clone(&cell.meta().schema);
        let expr = self
            .filter(&request.expr, &request.expr_template_values, &schema, ExprError::delete_reason)?
            .ok_or_else(|| CallError(status::bad_expression("", "a delete needs an expression")))?;
        // Keys need no rows to be looked at, and so no load.
        let seen = match expr.exact_keys() {
            Some(_) => None,
            None => Some(readable(&cell.meta(), scope.as_ref().map(std::slice::from_ref)).map_err(RequestError::from)?),
        };
        let done = self.standalone.delete(&cell, scope, &expr, seen).await?;
        Ok(MutationResult { delete_cnt: done.count as i64, timestamp: done.ts.0, ..Default::default() })
    }
}

fn written(schema: &CollectionSchema, done: Mutation) -> Outcome<MutationResult> {
    let ids = done.keys.as_ref().map(|keys| answer::ids(schema.primary_key(), keys)).transpose();
    Ok(MutationResult {
        succ_index: (0..done.count as u32).collect(),
        i_ds: ids.map_err(|e| rejected(e.to_string()))?,
        timestamp: done.ts.0,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests;
