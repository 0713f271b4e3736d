use std::fs::File;

use bytes::Bytes;
use rstest::rstest;

use super::{
    direct::{Buffers, Direct},
    *,
};
use crate::{
    error::{Classify, ErrorKind},
    storage::{
        backend::Rest,
        fixtures::{names, object},
    },
};

/// The folder is gone, or is the empty one below a disk that is not mounted: that is no word about any object.
#[rstest]
#[tokio::test]
async fn a_local_store_that_is_away_is_not_an_object_that_is_missing(#[values(true, false)] empty: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (root, away) = (dir.path().join("files"), dir.path().join("away"));
    let backend = LocalFiles::open(&root).unwrap();
    backend.put(&[object("insert_log/1", b"one")]).await.unwrap();
    std::fs::rename(&root, &away).unwrap();
    if empty {
        std::fs::create_dir(&root).unwrap();
    }
    let failures = [
        backend.get("insert_log/1").await.unwrap_err(),
        backend.get_range("insert_log/1", 0..1).await.unwrap_err(),
        backend.size("insert_log/1").await.unwrap_err(),
        backend.put(&[object("insert_log/2", b"two")]).await.unwrap_err(),
        backend.copy("insert_log/1", "insert_log/3").await.unwrap_err(),
        backend.delete("insert_log/1").await.unwrap_err(),
    ];
    for error in failures {
        assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
        assert!(error.to_string().contains("files is not there"), "{error}");
    }
    if empty {
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0, "nothing is written into it");
        std::fs::remove_dir(&root).unwrap();
    }
    assert!(!root.exists(), "it is not made again");
    std::fs::rename(&away, &root).unwrap();
    assert_eq!(backend.get("insert_log/1").await.unwrap(), "one");
    assert!(matches!(backend.get("insert_log/2").await, Err(StorageError::NotFound { .. })));
}

/// Bytes move in calls of 256 kB; the disk is given a megabyte at a time, or half of one past the cache.
#[rstest]
#[tokio::test]
async fn local_files_of_many_calls_are_written_copied_and_read_whole(#[values(true, false)] read_soon: bool) {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path()).unwrap();
    let bytes: Bytes = (0..2_600_017u32).map(|i| (i * 7 % 251) as u8).collect();
    let whole = Object { bytes: bytes.clone(), read_soon, ..object("insert_log/1", b"") };
    let rest = Some(Rest { name: "insert_log/1".to_owned(), range: 5..2_600_017 });
    files.put(&[whole]).await.unwrap();
    files.put(&[Object { rest, read_soon, ..object("insert_log/2", b"01234") }]).await.unwrap();
    assert_eq!(files.get("insert_log/1").await.unwrap(), bytes);
    let spliced = files.get("insert_log/2").await.unwrap();
    assert_eq!((&spliced[..5], &spliced[5..]), (&b"01234"[..], &bytes[5..]));
    for range in [0..2_600_017, 1..262_144, 262_143..524_289, 2_600_000..2_600_017, 7..7] {
        let read = files.get_range("insert_log/1", range.start..range.end).await.unwrap();
        assert_eq!(read, bytes[range.start as usize..range.end as usize], "{range:?}");
    }
    let short = files.get_range("insert_log/1", 2_600_000..2_600_018).await.unwrap_err().to_string();
    assert!(short.contains("ends 17 bytes after 2600000"), "{short}");
}

/// Sizes around the buffer's, once as a file system does it that has direct writes and once as one that refuses them.
#[rstest]
fn direct_files_hold_the_written_bytes(
    #[values(0, 1, 4096, 524_287, 524_288, 524_289, 1_048_576, 1_500_000)] size: usize,
    #[values(false, true)] refused: bool,
) {
    let dir = tempfile::tempdir().unwrap();
    let (path, source) = (dir.path().join("file"), dir.path().join("source"));
    let bytes: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
    let (written, appended) = bytes.split_at(size / 3);
    std::fs::write(&source, appended).unwrap();
    let file = File::create_new(&path).unwrap();
    let buffers = Buffers::default();
    let mut direct = if refused {
        // Not open for writing, so that it refuses.
        Direct::over(&buffers, &file, File::open(&path).unwrap())
    } else if let Some(direct) = Direct::open(&buffers, &file, &path) {
        direct
    } else {
        return eprintln!("not tested: {} has no direct writes", path.display());
    };
    written.chunks(1000).for_each(|part| direct.write(part).unwrap());
    let source = File::open(source).unwrap();
    while direct.append(&source, 100_000).unwrap() > 0 {}
    direct.finish().unwrap();
    assert!(std::fs::read(path).unwrap() == bytes);
}

#[tokio::test]
async fn local_files_leave_no_empty_folders_and_no_staged_files() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path()).unwrap();
    files.put(&[object("insert_log/1/2/3/4/5", b"x"), object("insert_log/1/2/9/4/6", b"y")]).await.unwrap();
    files.delete("insert_log/1/2/3/4/5").await.unwrap();
    assert!(!dir.path().join("insert_log/1/2/3").exists() && dir.path().join("insert_log/1/2/9").exists());
    files.delete("insert_log/1/2/9/4/6").await.unwrap();
    assert!(!dir.path().join("insert_log").exists() && dir.path().exists());

    // A file left by a crash between writing and naming is skipped, never listed, and cleared on request.
    std::fs::write(dir.path().join(".staging/0"), "left").unwrap();
    let later = LocalFiles::open(dir.path()).unwrap();
    later.put(&[object("delta_log/1", b"z")]).await.unwrap();
    assert_eq!(names(&later, "").await, ["delta_log/1"]);
    assert_eq!(later.clear_staging().await.unwrap(), 1);
    assert_eq!(later.get("delta_log/1").await.unwrap(), "z");

    // A failed put names the object and leaves nothing staged: the target is a folder.
    std::fs::create_dir_all(dir.path().join("delta_log/7/8")).unwrap();
    let error = later.put(&[object("delta_log/7", b"z")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
    assert!(error.to_string().contains("delta_log/7"), "{error}");
    assert_eq!(later.clear_staging().await.unwrap(), 0);
}

/// P3: a file is synced before it gets its name, and after that every directory from its own up to the root.
#[tokio::test]
async fn local_files_are_synced_before_a_write_returns() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path()).unwrap();
    let root = dir.path().canonicalize().unwrap();
    let take = || std::mem::take(&mut *files.steps.lock());
    let check = |steps: &[DurableStep], names: &[&str]| {
        for name in names {
            let target = root.join(name);
            let named = steps.iter().position(|s| *s == DurableStep::Named(target.clone())).unwrap();
            for parent in target.ancestors().skip(1).take_while(|a| a.starts_with(&root)) {
                let synced = steps.iter().rposition(|s| *s == DurableStep::Synced(parent.to_owned()));
                assert!(synced.is_some_and(|at| at > named), "{} after {name}", parent.display());
            }
        }
        let first_named = steps.iter().position(|s| matches!(s, DurableStep::Named(_))).unwrap();
        let staged =
            |s: &&DurableStep| matches!(s, DurableStep::Synced(path) if path.starts_with(root.join(".staging")));
        assert_eq!(steps.iter().take(first_named).filter(staged).count(), names.len());
        let synced: std::collections::BTreeSet<String> = steps.iter().map(|s| format!("{s:?}")).collect();
        assert_eq!(synced.len(), steps.len(), "nothing is synced twice");
    };
    let names = ["insert_log/1/2/3/0/4", "insert_log/1/2/3/1/5", "delta_log/1/2/3/6"];
    files.put(&names.map(|name| object(name, b"x"))).await.unwrap();
    check(&take(), &names);
    files.copy(names[2], "delta_log/1/2/9/6").await.unwrap();
    check(&take(), &["delta_log/1/2/9/6"]);
    // Directories that exist are synced too: an earlier process may have made them and died.
    files.put(&[object("delta_log/1/2/9/7", b"y")]).await.unwrap();
    check(&take(), &["delta_log/1/2/9/7"]);
}

#[tokio::test]
async fn deletes_beside_puts_lose_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let files = LocalFiles::open(dir.path()).unwrap();
    let (one, two) = (files.clone(), files);
    let deleting = tokio::spawn(async move {
        for _ in 0..200 {
            one.put(&[object("delta_log/1/2/3/4", b"gone")]).await.unwrap();
            one.delete("delta_log/1/2/3/4").await.unwrap();
        }
    });
    for at in 0..200 {
        let name = format!("delta_log/1/2/3/{}", at + 10);
        two.put(&[object(&name, b"kept")]).await.unwrap();
        assert_eq!(two.get(&name).await.unwrap(), "kept");
        two.delete(&name).await.unwrap();
    }
    deleting.await.unwrap();
}
