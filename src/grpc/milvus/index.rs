//! Index definitions: stored and described. No index is built; a definition counts as finished at once, because every
//! read here is exact without one.

use super::*;
use crate::{
    model::{Collection, IndexDef, RequestError},
    standalone::CollectionName,
};

impl MilvusApi {
    pub(super) async fn do_create_index(&self, request: Request<CreateIndexRequest>) -> Outcome<()> {
        let (call, request) = CallContext::split(request);
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        let params = request.extra_params.into_iter().map(|p| (p.key, p.value)).collect();
        Ok(self.standalone.create_index(name, &request.field_name, &request.index_name, params).await?)
    }

    pub(super) async fn do_drop_index(&self, request: Request<DropIndexRequest>) -> Outcome<()> {
        let (call, request) = CallContext::split(request);
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.drop_index(name, &request.field_name, &request.index_name).await?)
    }

    pub(super) async fn do_describe_index(
        &self,
        request: Request<DescribeIndexRequest>,
    ) -> Outcome<DescribeIndexResponse> {
        let (call, request) = CallContext::split(request);
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let meta = cell.meta();
        let rows = cell.rows(None) as i64;
        let index_descriptions = chosen(&meta, &request.field_name, &request.index_name)?
            .into_iter()
            .map(|index| IndexDescription {
                index_name: index.name.clone(),
                index_id: index.id,
                params: index.params.iter().map(|(k, v)| super::system::pair(k, v)).collect(),
                field_name: meta.schema.field_by_id(index.field).map(|f| f.name.clone()).unwrap_or_default(),
                indexed_rows: rows,
                total_rows: rows,
                state: common::IndexState::Finished.into(),
                ..Default::default()
            })
            .collect();
        Ok(DescribeIndexResponse { index_descriptions, ..Default::default() })
    }

    pub(super) async fn do_get_index_build_progress(
        &self,
        request: Request<GetIndexBuildProgressRequest>,
    ) -> Outcome<GetIndexBuildProgressResponse> {
        let (call, request) = CallContext::split(request);
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        chosen(&cell.meta(), &request.field_name, &request.index_name)?;
        let rows = cell.rows(None) as i64;
        Ok(GetIndexBuildProgressResponse { indexed_rows: rows, total_rows: rows, ..Default::default() })
    }

    pub(super) async fn do_get_index_state(
        &self,
        request: Request<GetIndexStateRequest>,
    ) -> Outcome<GetIndexStateResponse> {
        let (call, request) = CallContext::split(request);
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        chosen(&cell.meta(), &request.field_name, &request.index_name)?;
        Ok(GetIndexStateResponse { state: common::IndexState::Finished.into(), ..Default::default() })
    }
}

/// The indexes that a request means: one by name, those of a field, or all.
///
/// # Errors
/// `IndexNotFound` when there is none.
fn chosen<'a>(meta: &'a Collection, field: &str, index: &str) -> Outcome<Vec<&'a IndexDef>> {
    let field_id = meta.schema.field(field).map(|f| f.id);
    let found: Vec<_> = meta
        .indexes
        .iter()
        .filter(|i| if index.is_empty() { field.is_empty() || Some(i.field) == field_id } else { i.name == index })
        .collect();
    if found.is_empty() {
        let asked = [index, field, &meta.name].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        return Err(RequestError::IndexNotFound(asked.to_owned()).into());
    }
    Ok(found)
}
