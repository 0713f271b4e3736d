//! The write-ahead log as the catalog remembers it. The log itself is `ingest::wal`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Lsn;

/// Identity of the log that holds the rows that are not in the catalog yet, and how far it had come. Stored as JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteAheadLog {
    /// Unique to this log: a log that replaces it has another id.
    #[serde(with = "as_text")]
    pub id: Uuid,
    /// Position at which its newest file began when a process last opened it.
    pub newest: Lsn,
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
        Uuid::try_parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}
