//! The check of the object store: an object is written, read and deleted.

use std::time::Duration;

use bytes::Bytes;

use super::check::{Check, CheckResult};
use crate::{
    config::{Config, StorageKind},
    ids::unique_name,
    storage::{Object, SegmentStore, StorageBackend, StorageError},
};

/// A healthy store needs some milliseconds for the three requests.
const PATIENCE: Duration = Duration::from_secs(10);
const NAME: &str = "object store";

/// Opens the store and tries it.
pub(super) async fn check(config: &Config) -> Check {
    if let StorageKind::Local { root } = &config.storage.kind {
        let folder = root.clone().unwrap_or_else(|| config.server.data_dir.clone());
        if !folder.exists() {
            // Opening would make it, with the rights of this user.
            return Check::new(NAME, CheckResult::Skipped, format!("{} is not there yet", folder.display()), "");
        }
    }
    let store = match SegmentStore::open(&config.storage, &config.server.data_dir) {
        Ok(store) => store,
        Err(error) => return bad(error.to_string()),
    };
    let place = store.place();
    match tokio::time::timeout(PATIENCE, attempt(&*store.backend())).await {
        Ok(Ok(())) => Check::ok(NAME, format!("an object was written, read and deleted in {place}")),
        Ok(Err(error)) => bad(format!("{place}: {error}")),
        Err(_) => bad(format!("{place} did not answer within {} s", PATIENCE.as_secs())),
    }
}

fn bad(text: String) -> Check {
    let advice = "is the store there, and may this user write? Flushes and merges wait until it works";
    Check::new(NAME, CheckResult::Problem, text, advice)
}

/// Writes, reads and deletes one object. Its name is not that of a log, so nothing else looks at it.
pub(super) async fn attempt(backend: &dyn StorageBackend) -> Result<(), StorageError> {
    let name = format!("datacoord-doctor-{}", unique_name());
    let bytes = Bytes::from_static(b"doctor");
    let object = Object { name: name.clone(), bytes: bytes.clone(), rest: None, pace: None, read_soon: false };
    let written = backend.put(&[object]).await;
    let read = match &written {
        Ok(()) => backend.get(&name).await.map(Some),
        Err(_) => Ok(None),
    };
    // Also after a failure: the object may be there.
    let deleted = backend.delete(&name).await;
    written?;
    let read = read?;
    deleted?;
    if read.as_ref() == Some(&bytes) { Ok(()) } else { Err(StorageError::NotFound { object: name }) }
}
