//! Definitions of indexes, which are kept and described.

use crate::{
    model::{IndexDef, RequestError, name::check_name, properties},
    standalone::{CollectionName, Standalone, StandaloneError},
};

impl Standalone {
    /// Stores an index definition. The same definition again succeeds.
    pub async fn create_index(
        &self,
        name: CollectionName<'_>,
        field: &str,
        index: &str,
        params: Vec<(String, String)>,
    ) -> Result<(), StandaloneError> {
        properties::check_sizes("index params", params.iter().map(|(key, value)| (key, value)))?;
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let meta = cell.meta();
        let field = meta
            .schema
            .field(field)
            .filter(|f| !f.is_dynamic)
            .ok_or_else(|| RequestError::NoFieldToIndex(field.to_owned()))?;
        let index_name = if index.is_empty() { field.name.clone() } else { index.to_owned() };
        check_name("index name", &index_name, self.config.limits.max_name_length).map_err(RequestError::BadName)?;
        if let Some(old) = meta.indexes.iter().find(|i| i.name == index_name || i.field == field.id) {
            if old.name == index_name && old.field == field.id && old.params == params {
                return Ok(());
            }
            return Err(RequestError::FieldHasIndex { field: field.name.clone(), index: old.name.clone() }.into());
        }
        let id = self.ids.next().await?;
        let field = field.id;
        self.change(ddl, &cell, |c| {
            c.indexes.push(IndexDef { id, name: index_name, field, params });
            Ok(())
        })
        .await
    }

    /// Drops an index by name or by field; a missing one is no error.
    pub async fn drop_index(&self, name: CollectionName<'_>, field: &str, index: &str) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let meta = cell.meta();
        let field = meta.schema.field(field).map(|f| f.id);
        self.change(ddl, &cell, |c| {
            c.indexes.retain(|i| if index.is_empty() { Some(i.field) != field } else { i.name != index });
            Ok(())
        })
        .await
    }
}
