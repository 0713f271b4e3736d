//! Definitions of indexes, which are checked, kept and described.

use crate::{
    model::{
        Collection, Field, IndexDef, IndexDefinition, RequestError,
        name::{NameKind, check_name},
        properties,
    },
    standalone::{CollectionName, Standalone, StandaloneError, loading::check_index_drop},
};

impl Standalone {
    /// Stores an index definition. The same definition again succeeds: the order of its pairs is then the one that was
    /// given last. Without a name it gets that of its field.
    ///
    /// # Errors
    /// `BadName`, `NoFieldToIndex`, `BadIndex`, `IndexExists`, `FieldHasIndex`; pairs that are too large.
    pub async fn create_index(
        &self,
        name: CollectionName<'_>,
        field: &str,
        index: &str,
        params: Vec<(String, String)>,
    ) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let meta = cell.meta();
        // A name of spaces alone is one, as in Milvus.
        if !index.trim().is_empty() {
            check_name(NameKind::Index, index, self.config.limits.max_name_length).map_err(RequestError::BadName)?;
        }
        let found = meta.schema.field(field).ok_or_else(|| RequestError::NoFieldToIndex(field.to_owned()))?;
        properties::check_sizes("index params", params.iter().map(|(key, value)| (key, value)))?;
        let params = IndexDefinition::of(found, &params).map_err(RequestError::BadIndex)?.described(params);
        let name = if index.is_empty() { found.name.clone() } else { index.to_owned() };
        let field = found.id;
        let id = match same(&meta, &name, found, &params)? {
            Some(id) => id,
            None => self.ids.next().await?,
        };
        self.change(ddl, &cell, |c| {
            match c.indexes.iter_mut().find(|i| i.id == id) {
                Some(old) => old.params = params,
                None => c.indexes.push(IndexDef { id, name, field, params }),
            }
            Ok(())
        })
        .await?;
        self.coordinator.definitions_changed(&cell);
        Ok(())
    }

    /// Drops an index by name; a missing one is no error. Without a name it is the only one of the collection, if it is
    /// of the field that is named.
    ///
    /// # Errors
    /// `ManyIndexes`, if there are several and none is named.
    pub async fn drop_index(&self, name: CollectionName<'_>, field: &str, index: &str) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let cell = self.resolve(name)?;
        let meta = cell.meta();
        check_index_drop(&meta)?;
        if index.is_empty() && meta.indexes.len() > 1 {
            return Err(RequestError::ManyIndexes.into());
        }
        let field = (index.is_empty() && !field.is_empty()).then(|| meta.schema.field(field).map(|f| f.id));
        self.change(ddl, &cell, |c| {
            c.indexes.retain(|i| {
                let is_named = index.is_empty() || i.name == index;
                let is_of_field = field.is_none_or(|field| field == Some(i.field));
                !(is_named && is_of_field)
            });
            Ok(())
        })
        .await?;
        // Builds end, and indexes are forgotten.
        self.coordinator.definitions_changed(&cell);
        Ok(())
    }
}

/// The id of this index, if the collection has it already.
///
/// # Errors
/// `IndexExists`, `FieldHasIndex`.
fn same(
    meta: &Collection,
    name: &str,
    field: &Field,
    params: &[(String, String)],
) -> Result<Option<i64>, RequestError> {
    for old in &meta.indexes {
        if old.name == name {
            let same = old.params.len() == params.len() && old.params.iter().all(|pair| params.contains(pair));
            return match old.field == field.id && same {
                true => Ok(Some(old.id)),
                false => Err(RequestError::IndexExists(name.to_owned())),
            };
        }
        if old.field == field.id {
            return Err(RequestError::FieldHasIndex { field: field.name.clone(), index: old.name.clone() });
        }
    }
    Ok(None)
}
