//! The write-ahead log, as the catalog remembers it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Lsn;

/// What the catalog knows of the log that has what it does not have yet: that there is one, and how far it had come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteAheadLog {
    /// Never that of another log, not even of one that takes its place.
    #[serde(with = "as_text")]
    pub id: Uuid,
    /// The position that its newest file began with when a process last opened it.
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
