//! The owner of the log, and the files that the log must have: one small file beside those of the log.
//!
//! A log that is missing as a whole looks like one that was never begun, an older copy looks like a log that ends early,
//! and one without its first files looks like a log that has shrunk: each has only whole frames. So the log itself names
//! its first and its newest file, and the catalog keeps the name of the log. [`check`] compares the three.
//!
//! The file is written to a temporary name, synced and renamed, so it is never torn. It is written *before* a file of the
//! log goes and *after* one was made, so that a crash in between leaves a file too many, not one too few.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::error::{IngestError, LogLoss};
use crate::model::{Lsn, WriteAheadLog};

/// Not a name that a log file can have.
const NAME: &str = "identity";
const UNFINISHED: &str = "identity.new";

/// The catalog's knowledge of the log as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnownLog {
    /// The identity of the catalog.
    pub catalog: Uuid,
    /// [`crate::ingest::RecoveryReport::log`] of the last start that has told the catalog.
    pub noted: Option<WriteAheadLog>,
    /// The catalog has records that only a process with a log can have made.
    pub had_log: bool,
}

impl KnownLog {
    /// The name by which an operator accepts the loss of the log.
    pub(in crate::ingest) fn name(&self) -> Uuid {
        self.noted.map_or(self.catalog, |log| log.id)
    }
}

/// Tells a log from every other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogOwner {
    /// The catalog that its rows belong to.
    pub catalog: Uuid,
    pub log: Uuid,
}

/// The name of a log and of its outer files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogIdentity {
    pub owner: LogOwner,
    /// Position that the oldest file begins with; there may be older ones that were to be removed.
    pub oldest: Lsn,
    /// Position that the newest file begins with; there may be a newer one that was just made.
    pub newest: Lsn,
}

/// The same as the file has it: JSON.
#[derive(Serialize, Deserialize)]
struct StoredIdentity {
    catalog: String,
    log: String,
    oldest: u64,
    newest: u64,
}

/// The identity in the folder; None: there is no such file. A file that can't be read as one is damage.
pub(in crate::ingest) fn read(dir: &Path) -> Result<Option<LogIdentity>, IngestError> {
    let path = dir.join(NAME);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IngestError::Io { action: "read", path, source }),
    };
    let parsed = serde_json::from_slice::<StoredIdentity>(&bytes).map_err(|e| e.to_string()).and_then(|stored| {
        let uuid = |text: &str| Uuid::try_parse(text).map_err(|e| e.to_string());
        let owner = LogOwner { catalog: uuid(&stored.catalog)?, log: uuid(&stored.log)? };
        Ok(LogIdentity { owner, oldest: Lsn(stored.oldest), newest: Lsn(stored.newest) })
    });
    parsed.map(Some).map_err(|detail| IngestError::Corrupt { path, offset: 0, detail })
}

/// Durable when it returns.
pub(in crate::ingest) fn write(dir: &Path, identity: &LogIdentity) -> io::Result<()> {
    let LogIdentity { owner: LogOwner { catalog, log }, oldest, newest } = *identity;
    let stored =
        StoredIdentity { catalog: catalog.to_string(), log: log.to_string(), oldest: oldest.0, newest: newest.0 };
    let unfinished = dir.join(UNFINISHED);
    let mut file = File::create(&unfinished)?;
    file.write_all(&serde_json::to_vec(&stored)?)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, dir.join(NAME))?;
    sync_dir(dir)
}

/// Makes the entries of a directory durable.
pub(in crate::ingest) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Checks that the log in the folder is the one that the catalog knows, with all of its files. `files`: first positions,
/// ascending. Returns the owner of the log, None for a log that has no name yet.
pub(in crate::ingest) fn check(
    known: &KnownLog,
    found: Option<&LogIdentity>,
    files: &[Lsn],
) -> Result<Option<LogOwner>, LogLoss> {
    let expected = known.noted.map(|log| LogOwner { catalog: known.catalog, log: log.id });
    let (owner, identity) = match (expected, found) {
        // An older release wrote it, which gave logs no names, or there is none yet.
        (None, None) if !files.is_empty() || !known.had_log => return Ok(None),
        (_, None) if files.is_empty() => return Err(LogLoss::Absent),
        (_, None) => return Err(LogLoss::Unnamed),
        // A start has ended between naming the log and telling the catalog.
        (None, Some(found)) if found.owner.catalog == known.catalog => (found.owner, found),
        (Some(expected), Some(found)) if found.owner == expected => (expected, found),
        (_, Some(found)) => return Err(LogLoss::Foreign { log: found.owner.log, catalog: found.owner.catalog }),
    };
    let newest = known.noted.map_or(identity.newest, |log| log.newest.max(identity.newest));
    match (files.first(), files.last()) {
        (Some(first), _) if *first > identity.oldest => {
            Err(LogLoss::NoOldest { expected: identity.oldest, found: *first })
        }
        (_, Some(last)) if *last >= newest => Ok(Some(owner)),
        (_, last) => Err(LogLoss::NoNewest { expected: newest, found: last.copied().unwrap_or_default() }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::WriteAheadLog;

    const CATALOG: Uuid = Uuid::from_u128(1);
    const LOG: Uuid = Uuid::from_u128(2);
    const OTHER: Uuid = Uuid::from_u128(3);

    fn known(noted: Option<(Uuid, u64)>, had_log: bool) -> KnownLog {
        let noted = noted.map(|(id, newest)| WriteAheadLog { id, newest: Lsn(newest) });
        KnownLog { catalog: CATALOG, noted, had_log }
    }

    fn identity(catalog: Uuid, log: Uuid, oldest: u64, newest: u64) -> LogIdentity {
        LogIdentity { owner: LogOwner { catalog, log }, oldest: Lsn(oldest), newest: Lsn(newest) }
    }

    fn of(log: Uuid) -> Result<Option<LogOwner>, LogLoss> {
        Ok(Some(LogOwner { catalog: CATALOG, log }))
    }

    #[rstest]
    #[case::first_start(None, false, None, &[], Ok(None))]
    #[case::older_release(None, true, None, &[5, 9], Ok(None))]
    #[case::older_release_whose_log_is_gone(None, true, None, &[], Err(LogLoss::Absent))]
    #[case::named_and_not_noted(None, false, Some(identity(CATALOG, LOG, 1, 1)), &[1], of(LOG))]
    #[case::of_another_catalog(
        None, false, Some(identity(OTHER, LOG, 1, 1)), &[1], Err(LogLoss::Foreign { log: LOG, catalog: OTHER })
    )]
    #[case::all_there(Some((LOG, 7)), true, Some(identity(CATALOG, LOG, 3, 7)), &[3, 7], of(LOG))]
    #[case::not_removed_yet(Some((LOG, 7)), true, Some(identity(CATALOG, LOG, 3, 7)), &[1, 3, 7], of(LOG))]
    #[case::not_noted_yet(Some((LOG, 3)), true, Some(identity(CATALOG, LOG, 3, 7)), &[3, 7, 9], of(LOG))]
    #[case::gone(Some((LOG, 7)), true, None, &[], Err(LogLoss::Absent))]
    #[case::without_its_name(Some((LOG, 7)), true, None, &[3, 7], Err(LogLoss::Unnamed))]
    #[case::another_log(
        Some((LOG, 7)), true, Some(identity(CATALOG, OTHER, 3, 7)), &[3, 7],
        Err(LogLoss::Foreign { log: OTHER, catalog: CATALOG })
    )]
    #[case::without_its_oldest(
        Some((LOG, 7)), true, Some(identity(CATALOG, LOG, 3, 9)), &[7, 9],
        Err(LogLoss::NoOldest { expected: Lsn(3), found: Lsn(7) })
    )]
    #[case::without_its_newest(
        Some((LOG, 7)), true, Some(identity(CATALOG, LOG, 3, 9)), &[3, 7],
        Err(LogLoss::NoNewest { expected: Lsn(9), found: Lsn(7) })
    )]
    #[case::an_older_copy(
        Some((LOG, 12)), true, Some(identity(CATALOG, LOG, 3, 7)), &[3, 7],
        Err(LogLoss::NoNewest { expected: Lsn(12), found: Lsn(7) })
    )]
    #[case::only_its_name(
        Some((LOG, 7)), true, Some(identity(CATALOG, LOG, 3, 7)), &[],
        Err(LogLoss::NoNewest { expected: Lsn(7), found: Lsn(0) })
    )]
    fn the_log_must_be_the_known_one_and_whole(
        #[case] noted: Option<(Uuid, u64)>,
        #[case] had_log: bool,
        #[case] found: Option<LogIdentity>,
        #[case] files: &[u64],
        #[case] expected: Result<Option<LogOwner>, LogLoss>,
    ) {
        let files: Vec<Lsn> = files.iter().map(|first| Lsn(*first)).collect();
        assert_eq!(check(&known(noted, had_log), found.as_ref(), &files), expected);
    }

    #[test]
    fn a_name_is_read_back_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let written = identity(CATALOG, LOG, 3, u64::MAX);
        write(dir.path(), &identity(OTHER, OTHER, 1, 1)).unwrap();
        write(dir.path(), &written).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(written));
        let path = dir.path().join(NAME);
        std::fs::write(&path, "{\"catalog\":\"").unwrap();
        let text = read(dir.path()).unwrap_err().to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
    }
}
