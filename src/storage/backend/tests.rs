use std::{path::Path, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use rstest::rstest;

use super::*;
use crate::{
    error::{Classify, ErrorKind},
    kit::gate::Gate,
    storage::{
        bucket::Bucket,
        fixtures::{names, object},
        local::LocalFiles,
    },
};

/// The promises of every backend.
#[rstest]
#[case::memory(|_: &Path| Arc::new(Bucket::in_memory()) as Arc<dyn StorageBackend>)]
#[case::local(|dir: &Path| Arc::new(LocalFiles::open(&dir.join("a/b")).unwrap()) as Arc<dyn StorageBackend>)]
#[case::wrapped(|dir: &Path| Gate::new(Arc::new(LocalFiles::open(dir).unwrap())) as Arc<dyn StorageBackend>)]
#[tokio::test]
async fn backends_behave_alike(#[case] make: fn(&Path) -> Arc<dyn StorageBackend>) {
    let dir = tempfile::tempdir().unwrap();
    let backend = make(dir.path());
    assert_eq!(names(&*backend, "insert_log").await, Vec::<String>::new());
    assert!(matches!(backend.get("insert_log/1").await, Err(StorageError::NotFound { .. })));

    let all = [object("insert_log/1/a", b"one"), object("insert_log/10/b", b""), object("delta_log/1", b"three")];
    backend.put(&all).await.unwrap();
    for Object { name, bytes, .. } in &all {
        assert_eq!(&backend.get(name).await.unwrap(), bytes, "{name}");
        assert_eq!(backend.size(name).await.unwrap(), bytes.len() as u64, "{name}");
    }
    assert_eq!(backend.get_range("delta_log/1", 1..4).await.unwrap(), "hre");
    assert_eq!(backend.get_range("delta_log/1", 0..5).await.unwrap(), "three");
    assert!(matches!(backend.get_range("delta_log/9", 0..1).await, Err(StorageError::NotFound { .. })));
    assert!(matches!(backend.size("delta_log/9").await, Err(StorageError::NotFound { .. })));
    assert_eq!(names(&*backend, "insert_log").await, ["insert_log/1/a", "insert_log/10/b"]);
    assert_eq!(names(&*backend, "insert_log/1").await, ["insert_log/1/a"], "a prefix ends at a slash");
    let listed: Vec<Listed> = backend.list("delta_log").try_collect().await.unwrap();
    assert_eq!((listed[0].bytes, listed[0].modified_ms > 1_600_000_000_000), (5, true));

    // An object that is another one's end behind its own beginning, or nothing but that, or as good as empty.
    for (bytes, range, expected) in [(&b"my "[..], 2..5, "my ree"), (b"", 1..5, "hree"), (b"my ", 5..5, "my ")] {
        let rest = Some(Rest { name: "delta_log/1".to_owned(), range });
        backend.put(&[Object { rest, ..object("delta_log/spliced", bytes) }]).await.unwrap();
        assert_eq!(backend.get("delta_log/spliced").await.unwrap(), expected);
    }
    let rest = |name: &str, end| Some(Rest { name: name.to_owned(), range: 2..end });
    let short = backend.put(&[Object { rest: rest("delta_log/1", 6), ..object("x", b"a") }]).await.unwrap_err();
    assert_eq!((short.kind(), short.to_string().contains("delta_log/1")), (ErrorKind::Corrupt, true), "{short}");
    let none = backend.put(&[Object { rest: rest("delta_log/9", 6), ..object("x", b"a") }]).await.unwrap_err();
    assert_eq!((none.kind(), none.to_string().contains("delta_log/9")), (ErrorKind::Corrupt, true), "{none}");
    assert!(matches!(backend.get("x").await, Err(StorageError::NotFound { .. })), "all or nothing");
    backend.delete("delta_log/spliced").await.unwrap();

    backend.put(&[object("insert_log/1/a", b"replaced")]).await.unwrap();
    backend.copy("insert_log/1/a", "delta_log/2/c").await.unwrap();
    backend.copy("insert_log/1/a", "delta_log/2/c").await.unwrap();
    backend.delete("insert_log/1/a").await.unwrap();
    backend.delete("insert_log/1/a").await.unwrap();
    assert_eq!(backend.get("delta_log/2/c").await.unwrap(), "replaced");
    assert_eq!(names(&*backend, "insert_log").await, ["insert_log/10/b"]);
    assert!(matches!(backend.copy("insert_log/1/a", "x").await, Err(StorageError::NotFound { .. })));
    assert_eq!(backend.clear_staging().await.unwrap(), 0, "nothing is left behind");
}

#[rstest]
#[case::memory(|_: &Path| Arc::new(Bucket::in_memory()) as Arc<dyn StorageBackend>)]
#[case::local(|dir: &Path| Arc::new(LocalFiles::open(dir).unwrap()) as Arc<dyn StorageBackend>)]
#[tokio::test]
async fn of_many_swaps_at_once_one_is_done(#[case] make: fn(&Path) -> Arc<dyn StorageBackend>) {
    let dir = tempfile::tempdir().unwrap();
    // Each over a backend of its own where that is possible, as other processes would have it.
    let backends: Vec<_> = (0..8).map(|_| make(dir.path())).collect();
    let shared = backends[0].get("mark").await.is_err() && names(&*backends[1], "").await.is_empty();
    assert!(shared, "nothing is there yet");
    let is_memory = format!("{:?}", backends[0]).contains("InMemory");
    let mut before = None;
    for round in 0..5 {
        let swaps = (0..8).map(|n| {
            let backend = if is_memory { &backends[0] } else { &backends[n] };
            let next = Bytes::from(format!("{round}/{n}"));
            let expected = before.clone();
            async move { (backend.swap("mark", expected, next.clone()).await.unwrap(), next) }
        });
        let swapped = futures::future::join_all(swaps).await;
        let done: Vec<&Bytes> = swapped.iter().filter(|(s, _)| *s == Swapped::Done).map(|(_, next)| next).collect();
        let [winner] = done.as_slice() else { panic!("{swapped:?}") };
        let instead = Swapped::Instead(Some((*winner).clone()));
        assert_eq!(swapped.iter().filter(|(s, _)| *s == instead).count(), 7, "{swapped:?}");
        assert_eq!(backends[0].get("mark").await.unwrap(), **winner);
        before = Some((*winner).clone());
    }
    assert_eq!(backends[0].swap("mark", None, Bytes::new()).await.unwrap(), Swapped::Instead(before));
    assert_eq!(names(&*backends[0], "").await, ["mark"], "nothing else is left behind");
}
