//! One store and several data directories that claim it: copies, backups, a forgotten second process. At most one of them
//! may commit or collect garbage, and none collects objects that another one wrote.

use std::{fs, path::Path, sync::Arc, time::Duration};

use datacoord::{
    clock::ManualClock,
    config::{Config, StorageKind},
    coordinator::{Condition, CoordinatorError},
    error::{Classify, ErrorKind},
    meta::{MetaStore, Op, RedbStore, Txn},
    standalone::{CollectionName, StandaloneError},
    storage::SegmentStore,
};

use super::world::Process;

const BOOK: &str = "book";

/// Data directories by name, beside the one store that all of them use.
struct Copies {
    root: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Copies {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), clock: Arc::new(ManualClock::at(1_700_000_000_000)) }
    }

    fn config(&self, name: &str) -> Config {
        let mut config = Config::default();
        config.server.data_dir = self.root.path().join(name);
        config.storage.kind = StorageKind::Local { root: Some(self.root.path().join("store")) };
        config.compaction.auto_enabled = false;
        config.gc.enabled = false;
        // With no tolerance every object is old enough to be collected at once.
        config.gc.missing_tolerance = Duration::ZERO;
        config
    }

    async fn start_with(&self, config: Config) -> Result<Process, StandaloneError> {
        let store = SegmentStore::open(&config.storage, &config.server.data_dir).map_err(CoordinatorError::from)?;
        Process::start(config, Arc::clone(&self.clock), store).await
    }

    async fn start(&self, name: &str) -> Result<Process, StandaloneError> {
        self.start_with(self.config(name)).await
    }

    /// Leaves a stopped server with one segment of ten rows.
    async fn stopped(&self, name: &str) {
        let process = self.start(name).await.unwrap();
        process.create(BOOK, &[]).await;
        process.segment(BOOK, 0..10).await;
        process.stop().await;
    }

    fn copy(&self, from: &str, to: &str) {
        copy(&self.root.path().join(from), &self.root.path().join(to));
    }

    fn store(&self) -> std::path::PathBuf {
        self.root.path().join("store")
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn refused(started: Result<Process, StandaloneError>) -> String {
    let Err(error) = started else { panic!("started, and must not") };
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
    error.to_string()
}

#[tokio::test]
async fn only_the_first_of_a_catalog_and_its_copy_may_start() {
    for (first, second) in [("a", "copy"), ("copy", "a")] {
        let copies = Copies::new();
        copies.stopped("a").await;
        copies.copy("a", "copy");
        let owner = copies.start(first).await.unwrap();
        refused(copies.start(second).await);
        // Still so after the first one has stopped: it may have written meanwhile.
        owner.segment(BOOK, 10..20).await;
        owner.stop().await;
        refused(copies.start(second).await);
        let owner = copies.start(first).await.unwrap();
        assert_eq!(owner.keys(BOOK).await, (0..20).collect::<Vec<_>>());
        owner.stop().await;
    }
}

#[tokio::test]
async fn a_backup_from_before_the_last_run_is_refused() {
    let copies = Copies::new();
    copies.stopped("a").await;
    copies.copy("a", "backup");
    let owner = copies.start("a").await.unwrap();
    owner.segment(BOOK, 10..20).await;
    owner.stop().await;
    fs::remove_dir_all(copies.root.path().join("a")).unwrap();
    refused(copies.start("backup").await);
}

#[tokio::test]
async fn a_running_server_whose_copy_was_started_neither_commits_nor_collects() {
    let copies = Copies::new();
    copies.stopped("a").await;
    let old = copies.start("a").await.unwrap();
    copies.copy("a", "copy");
    let new = copies.start("copy").await.unwrap();
    new.segment(BOOK, 10..20).await;
    // In the old one's catalog no segment names these objects.
    let error = old.coordinator.collect_garbage().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert_eq!(new.keys(BOOK).await, (0..20).collect::<Vec<_>>());
    // The old one refuses every call that writes.
    assert_eq!(old.standalone.health().condition(), Condition::Failed);
    let reasons = old.standalone.health().reasons().join("\n");
    assert!(reasons.contains("docs/operations.md") && reasons.contains("taken over by"), "{reasons}");
    let cell = old.standalone.resolve(CollectionName::new("", BOOK)).unwrap();
    let flushed = old.standalone.flush(&cell).await.unwrap_err();
    assert_eq!(flushed.kind(), ErrorKind::Fenced, "{flushed}");
    let compacted = old.standalone.create_database("another").await.unwrap_err();
    assert_eq!(compacted.kind(), ErrorKind::Fenced, "{compacted}");
    old.stop().await;
    new.stop().await;
}

#[tokio::test]
async fn a_running_server_whose_copy_was_started_is_fenced_by_its_next_flush() {
    let copies = Copies::new();
    copies.stopped("a").await;
    let old = copies.start("a").await.unwrap();
    copies.copy("a", "copy");
    let new = copies.start("copy").await.unwrap();
    old.insert(BOOK, 10..20).await;
    let cell = old.standalone.resolve(CollectionName::new("", BOOK)).unwrap();
    // The flush's commit notices the new owner, and the caller gets the error.
    assert!(old.standalone.flush(&cell).await.is_err());
    assert_eq!(old.standalone.health().condition(), Condition::Failed);
    assert_eq!(old.coordinator.collect_garbage().await.unwrap_err().kind(), ErrorKind::Fenced);
    old.stop().await;
    assert_eq!(new.keys(BOOK).await, (0..10).collect::<Vec<_>>());
    new.stop().await;
}

#[tokio::test]
async fn a_copy_may_start_by_naming_the_run_that_it_replaces() {
    let copies = Copies::new();
    copies.stopped("a").await;
    copies.copy("a", "copy");
    let old = copies.start("a").await.unwrap();
    let text = refused(copies.start("copy").await);
    let run = text.rsplit_once("--take-over ").unwrap().1.to_owned();
    let mut config = copies.config("copy");
    config.storage.take_over = run;
    let new = copies.start_with(config.clone()).await.unwrap();
    assert_eq!(old.coordinator.collect_garbage().await.unwrap_err().kind(), ErrorKind::Fenced);
    old.stop().await;
    new.segment(BOOK, 10..20).await;
    new.stop().await;
    // The old one stays out, even with the same setting; the new owner starts with and without it.
    refused(copies.start("a").await);
    refused(copies.start_with(Config { server: copies.config("a").server, ..config.clone() }).await);
    for config in [config, copies.config("copy")] {
        let new = copies.start_with(config).await.unwrap();
        assert_eq!(new.keys(BOOK).await, (0..20).collect::<Vec<_>>());
        new.stop().await;
    }
}

#[tokio::test]
async fn a_store_marked_by_an_older_release_is_taken_by_its_catalog_only() {
    let copies = Copies::new();
    copies.stopped("a").await;
    // The mark of that release is the catalog's identity alone.
    let mark = fs::read_to_string(copies.store().join("datacoord-owner")).unwrap();
    let identity = mark.split(' ').nth(3).unwrap();
    fs::write(copies.store().join("datacoord-owner"), identity).unwrap();
    refused(copies.start("another").await);
    let text = refused(copies.start("a").await);
    assert!(text.contains(identity), "this catalog has written newer ones: {text}");
    {
        let meta = RedbStore::open(&copies.root.path().join("a")).unwrap();
        let forget = Op::Delete { key: "coordinator/marks".to_owned() };
        meta.commit(Txn { guards: Vec::new(), ops: vec![forget] }).await.unwrap();
    }
    copies.copy("a", "copy");
    let owner = copies.start("a").await.unwrap();
    assert_eq!(owner.keys(BOOK).await, (0..10).collect::<Vec<_>>());
    refused(copies.start("copy").await);
    owner.stop().await;
}

#[tokio::test]
async fn a_store_that_lost_its_folder_refuses_the_start_and_names_it() {
    let copies = Copies::new();
    copies.stopped("a").await;
    fs::rename(copies.store(), copies.root.path().join("away")).unwrap();
    let text = refused(copies.start("a").await);
    assert!(text.contains(&copies.store().display().to_string()), "{text}");
    fs::remove_dir_all(copies.store()).unwrap();
    fs::rename(copies.root.path().join("away"), copies.store()).unwrap();
    let owner = copies.start("a").await.unwrap();
    assert_eq!(owner.keys(BOOK).await, (0..10).collect::<Vec<_>>());
    owner.stop().await;
}
