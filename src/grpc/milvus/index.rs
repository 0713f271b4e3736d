//! Index definitions, and how far their indexes have come. Segments that need no index count as indexed.

use super::*;
use crate::{
    coordinator::{CollectionCell, IndexProgress},
    model::{Collection, Field, IndexDef, IndexDefinition, RequestError},
    standalone::CollectionName,
    wire::status,
};

impl MilvusApi {
    pub(super) async fn do_create_index(&self, request: Request<CreateIndexRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        if request.collection_name.is_empty() {
            return Err(RequestError::CollectionNotNamed.into());
        }
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        let params = request.extra_params.into_iter().map(|p| (p.key, p.value)).collect();
        Ok(self.standalone.create_index(name, &request.field_name, &request.index_name, params).await?)
    }

    pub(super) async fn do_drop_index(&self, request: Request<DropIndexRequest>) -> Outcome<()> {
        let (call, request) = self.read(request)?;
        let name = CollectionName::new(call.database(&request.db_name), &request.collection_name);
        Ok(self.standalone.drop_index(name, &request.field_name, &request.index_name).await?)
    }

    pub(super) async fn do_describe_index(
        &self,
        request: Request<DescribeIndexRequest>,
    ) -> Outcome<DescribeIndexResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let index_descriptions = self.described(&cell, &request.index_name, |_, given| given.to_vec());
        if index_descriptions.is_empty() {
            return Err(match request.index_name.as_str() {
                "" => RequestError::NoIndex(request.collection_name).into(),
                name => RequestError::IndexNotFound(name.to_owned()).into(),
            });
        }
        Ok(DescribeIndexResponse { index_descriptions, ..Default::default() })
    }

    pub(super) async fn do_get_index_statistics(
        &self,
        request: Request<GetIndexStatisticsRequest>,
    ) -> Outcome<GetIndexStatisticsResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let index_descriptions = self.described(&cell, &request.index_name, IndexDefinition::chosen);
        if index_descriptions.is_empty() {
            return Err(RequestError::IndexNotFound(request.index_name).into());
        }
        Ok(GetIndexStatisticsResponse { index_descriptions, ..Default::default() })
    }

    pub(super) async fn do_get_index_build_progress(
        &self,
        request: Request<GetIndexBuildProgressRequest>,
    ) -> Outcome<GetIndexBuildProgressResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let meta = cell.meta();
        let progress = match chosen(&meta, &request.index_name).as_slice() {
            [] => return Err(RequestError::IndexNotFound(request.index_name).into()),
            [index] => self.coordinator.index_progress(&cell, index),
            _ => return Err(CallError(status::progress_of_many())),
        };
        let (indexed_rows, total_rows) = (progress.indexed_rows as i64, progress.total_rows as i64);
        Ok(GetIndexBuildProgressResponse { indexed_rows, total_rows, ..Default::default() })
    }

    /// No index, or several, is a state too, and no error.
    pub(super) async fn do_get_index_state(
        &self,
        request: Request<GetIndexStateRequest>,
    ) -> Outcome<GetIndexStateResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let (state, fail_reason) = match chosen(&cell.meta(), &request.index_name).as_slice() {
            [index] => {
                let progress = self.coordinator.index_progress(&cell, index);
                (state(&progress), progress.failure.unwrap_or_default())
            }
            _ => (common::IndexState::None, String::new()),
        };
        Ok(GetIndexStateResponse { state: state.into(), fail_reason, ..Default::default() })
    }

    /// The index of a name, or all of them, as clients see them; `told` makes the parameters of a field's index out of the
    /// stored ones.
    fn described(
        &self,
        cell: &CollectionCell,
        index: &str,
        told: impl Fn(&Field, &[(String, String)]) -> Vec<(String, String)>,
    ) -> Vec<IndexDescription> {
        let meta = cell.meta();
        let describe = |index: &IndexDef| {
            let field = meta.schema.field_by_id(index.field);
            let params = field.map(|field| told(field, &index.params)).unwrap_or_default();
            let progress = self.coordinator.index_progress(cell, index);
            IndexDescription {
                index_name: index.name.clone(),
                index_id: index.id,
                params: params.iter().map(|(k, v)| super::system::pair(k, v)).collect(),
                field_name: field.map(|f| f.name.clone()).unwrap_or_default(),
                indexed_rows: progress.indexed_rows as i64,
                total_rows: progress.total_rows as i64,
                pending_index_rows: (progress.total_rows - progress.indexed_rows) as i64,
                state: state(&progress).into(),
                index_state_fail_reason: progress.failure.unwrap_or_default(),
                ..Default::default()
            }
        };
        chosen(&meta, index).into_iter().map(describe).collect()
    }
}

fn state(progress: &IndexProgress) -> common::IndexState {
    match progress {
        IndexProgress { failure: Some(_), .. } => common::IndexState::Failed,
        IndexProgress { indexed_rows, total_rows, .. } if indexed_rows >= total_rows => common::IndexState::Finished,
        _ => common::IndexState::InProgress,
    }
}

/// The index of a name, or all of them. A field that a request names has no say, as in Milvus.
fn chosen<'a>(meta: &'a Collection, index: &str) -> Vec<&'a IndexDef> {
    meta.indexes.iter().filter(|i| index.is_empty() || i.name == index).collect()
}

#[cfg(test)]
mod tests;
