//! Tests of the DataCoord in a whole process, and a definition for tests of its parts.

mod commits;
mod compaction;
mod drops;
mod execution;
mod limits;
mod scrub;
mod world;

use crate::{kit::model, model::Collection};

pub(crate) fn definition(id: i64, name: &str, aliases: &[&str]) -> Collection {
    let aliases = aliases.iter().map(|a| (*a).to_owned()).collect();
    Collection { aliases, ..model::collection(id, model::schema(name, Vec::new())) }
}
