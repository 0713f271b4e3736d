//! Aliases: other names of collections.

use std::sync::Arc;

use crate::{
    meta::CatalogTxn,
    model::{
        Collection, RequestError,
        name::{NameKind, check_name},
    },
    standalone::{
        CollectionName, Standalone, StandaloneError,
        directory::{Allowed, Meaning, NameChange, alias_not_found, not_found},
    },
};

impl Standalone {
    /// Gives a collection, which must be named by its own name, an alias. The same alias again is no error.
    pub async fn create_alias(&self, name: CollectionName<'_>, alias: &str) -> Result<(), StandaloneError> {
        check_name(NameKind::Alias, alias, self.config.limits.max_name_length).map_err(RequestError::BadName)?;
        let ddl = self.ddl_turn().await;
        let change = NameChange::CreateAlias { alias, of: name };
        let Allowed::Of(id) = self.check_name(change)? else { return Ok(()) };
        let cell = self.coordinator.collection(id)?;
        self.change(ddl, &cell, |c| {
            c.aliases.push(alias.to_owned());
            Ok(())
        })
        .await
    }

    /// Points an existing alias to another collection.
    pub async fn alter_alias(&self, name: CollectionName<'_>, alias: &str) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let change = NameChange::AlterAlias { alias, to: name };
        let Allowed::Moves { from, to } = self.check_name(change)? else { return Ok(()) };
        let (owner, cell) = (self.coordinator.collection(from)?, self.coordinator.collection(to)?);
        // Both definitions in one transaction: at no moment does the alias point nowhere, or to both.
        let mut old = Collection::clone(&owner.meta());
        old.aliases.retain(|a| a != alias);
        let mut new = Collection::clone(&cell.meta());
        new.aliases.push(alias.to_owned());
        let (names, stored) = (Arc::clone(&self.names), [old.clone(), new.clone()]);
        let write = |txn: &mut CatalogTxn| {
            for collection in &stored {
                txn.put_collection(collection);
            }
        };
        let fold = move |_: &_| names.redefine([(&*owner, old), (&*cell, new)]);
        Ok(self.coordinator.redefine(ddl, write, fold).await?)
    }

    /// Drops an alias; a missing one is no error.
    pub async fn drop_alias(&self, database: &str, alias: &str) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        let change = NameChange::DropAlias { database, alias };
        let Allowed::Of(id) = self.check_name(change)? else { return Ok(()) };
        let cell = self.coordinator.collection(id)?;
        self.change(ddl, &cell, |c| {
            c.aliases.retain(|a| a != alias);
            Ok(())
        })
        .await
    }

    pub fn describe_alias(&self, database: &str, alias: &str) -> Result<Arc<Collection>, StandaloneError> {
        match self.meaning(CollectionName { database, name: alias })? {
            Some(Meaning::Alias(id)) => Ok(self.coordinator.collection(id)?.meta()),
            Some(Meaning::Collection(_)) | None => Err(alias_not_found(database, alias).into()),
        }
    }

    /// Aliases of a collection, which must be named by its own name.
    pub fn list_aliases(&self, name: CollectionName<'_>) -> Result<Vec<String>, StandaloneError> {
        match self.meaning(name)? {
            Some(Meaning::Collection(id)) => Ok(self.coordinator.collection(id)?.meta().aliases.clone()),
            Some(Meaning::Alias(_)) | None => Err(not_found(name).into()),
        }
    }
}
