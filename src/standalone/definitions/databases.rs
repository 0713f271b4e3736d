//! Databases.

use std::sync::Arc;

use crate::{
    model::{
        Database, RequestError,
        name::{NameKind, check_name},
    },
    standalone::{
        Standalone, StandaloneError,
        directory::{Allowed, NameChange},
    },
};

impl Standalone {
    pub async fn create_database(&self, name: &str) -> Result<(), StandaloneError> {
        check_name(NameKind::Database, name, self.config.limits.max_name_length).map_err(RequestError::BadName)?;
        let ddl = self.ddl_turn().await;
        self.check_name(NameChange::CreateDatabase { name, most: self.config.limits.max_databases })?;
        let database = Database { name: name.to_owned(), created_at: self.timestamp().await? };
        let (names, stored) = (Arc::clone(&self.names), database.clone());
        let fold = move |_: &_| names.change(|names| names.put_database(database));
        Ok(self
            .coordinator
            .redefine(
                ddl,
                |txn| {
                    txn.put_database(&stored);
                },
                fold,
            )
            .await?)
    }

    /// Drops an empty database; a missing one is no error.
    pub async fn drop_database(&self, name: &str) -> Result<(), StandaloneError> {
        let ddl = self.ddl_turn().await;
        if self.check_name(NameChange::DropDatabase(name))? == Allowed::Already {
            return Ok(());
        }
        let (names, gone) = (Arc::clone(&self.names), name.to_owned());
        let fold = move |_: &_| names.change(|names| names.remove_database(&gone));
        Ok(self
            .coordinator
            .redefine(
                ddl,
                |txn| {
                    txn.delete_database(name);
                },
                fold,
            )
            .await?)
    }
}
