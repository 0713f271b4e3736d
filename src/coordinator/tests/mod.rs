//! Tests of the DataCoord in a whole process, and a definition for tests of its parts.

mod compaction;
mod execution;
mod scrub;

use std::sync::Arc;

use crate::model::{Collection, CollectionId, CollectionSchema, Timestamp};

pub(crate) fn definition(id: i64, name: &str, aliases: &[&str]) -> Collection {
    Collection {
        id: CollectionId(id),
        database: "default".to_owned(),
        name: name.to_owned(),
        schema: Arc::new(CollectionSchema {
            name: name.to_owned(),
            description: String::new(),
            enable_dynamic_field: false,
            fields: Vec::new(),
            primary: 0,
        }),
        channels: Vec::new(),
        partitions: Vec::new(),
        aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
        properties: Default::default(),
        consistency_level: 0,
        created_at: Timestamp(1),
        updated_at: Timestamp(1),
        indexes: Vec::new(),
        loaded: Vec::new(),
        dropped: false,
    }
}
