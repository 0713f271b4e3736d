//! What every [`MetaStore`] must do. `conformance!(make)` runs the suite on the stores that `make` returns.

use std::sync::Arc;

use bytes::Bytes;

use super::{Expected, Guard, MetaError, MetaStore, Op, Span, Txn};

pub(super) fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.to_owned(), value: Bytes::copy_from_slice(value.as_bytes()) }
}

pub(super) fn delete(key: &str) -> Op {
    Op::Delete { key: key.to_owned() }
}

pub(super) fn guard(key: &str, expected: Expected) -> Guard {
    Guard { key: key.to_owned(), expected }
}

pub(super) fn value(text: &str) -> Expected {
    Expected::Value(Bytes::copy_from_slice(text.as_bytes()))
}

pub(super) fn ops(ops: Vec<Op>) -> Txn {
    Txn { guards: Vec::new(), ops }
}

/// Everything below a prefix as text.
pub(super) async fn dump(store: &dyn MetaStore, prefix: &str) -> Vec<(String, String)> {
    scanned(store, &Span::of(prefix))
}

fn scanned(store: &dyn MetaStore, span: &Span) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let seen = store.scan_blocking(span, &mut |key, value| {
        pairs.push((key.to_owned(), String::from_utf8(value.to_vec()).unwrap()));
        Ok(())
    });
    seen.unwrap();
    pairs
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub(super) async fn reads_what_was_written(store: Arc<dyn MetaStore>) {
    assert_eq!(store.get("a").await.unwrap(), None);
    store.commit(ops(vec![put("a", "1"), put("b", ""), put("a", "2")])).await.unwrap();
    assert_eq!(store.get("a").await.unwrap().as_deref(), Some(&b"2"[..]), "the later operation wins");
    assert_eq!(store.get("b").await.unwrap().as_deref(), Some(&b""[..]), "an empty value is a value");
    assert_eq!(store.get_blocking("a").unwrap().as_deref(), Some(&b"2"[..]));
    store.commit(ops(vec![delete("a"), delete("never")])).await.unwrap();
    assert_eq!(dump(&*store, "").await, pairs(&[("b", "")]));
}

pub(super) async fn scans_are_ordered_and_cut(store: Arc<dyn MetaStore>) {
    let keys = ["p/1", "p/10", "p/2", "p/é", "p0", "o/9", "q", "p/"];
    store.commit(ops(keys.iter().map(|k| put(k, k)).collect())).await.unwrap();
    let keys_of = |span: &Span| scanned(&*store, span).into_iter().map(|(k, _)| k).collect::<Vec<_>>();
    let all = keys_of(&Span::of("p/"));
    assert_eq!(all, ["p/", "p/1", "p/10", "p/2", "p/é"]);

    // On a key, between keys, before the first and behind the last.
    let cuts = ["p/2", "p/11", "a", "z", "p/", "p/~"].map(str::to_owned).to_vec();
    let spans = Span::cut("p/", cuts);
    assert_eq!(spans.len(), 7);
    assert_eq!(spans.iter().flat_map(keys_of).collect::<Vec<_>>(), all, "spans put together are the prefix");

    let span = |from: Option<&str>, before: Option<&str>| Span {
        prefix: "p/".to_owned(),
        from: from.map(str::to_owned),
        before: before.map(str::to_owned),
    };
    assert_eq!(keys_of(&span(Some("p/10"), Some("p/2"))), ["p/10"], "from is inside, before is not");
    assert_eq!(keys_of(&span(Some("a"), Some("z"))), all, "the prefix limits");
    assert!(keys_of(&span(Some("p/2"), Some("p/1"))).is_empty(), "reversed");
    assert!(keys_of(&span(Some("q"), None)).is_empty());
    assert!(keys_of(&span(None, Some("p/"))).is_empty());
}

pub(super) async fn an_error_ends_a_scan(store: Arc<dyn MetaStore>) {
    store.commit(ops(vec![put("a", "1"), put("b", "2"), put("c", "3")])).await.unwrap();
    let mut seen = Vec::new();
    let ended = store.scan_blocking(&Span::of(""), &mut |key, _| {
        seen.push(key.to_owned());
        if key == "b" { Err(MetaError::NotFound { key: key.to_owned() }) } else { Ok(()) }
    });
    assert_eq!(ended, Err(MetaError::NotFound { key: "b".to_owned() }));
    assert_eq!(seen, ["a", "b"]);
}

pub(super) async fn prefixes_are_deleted_whole_and_alone(store: Arc<dyn MetaStore>) {
    let keys = ["plan/1/1", "plan/1/2", "plan/10/1", "plan/1", "plan/1.", "plan/10"];
    store.commit(ops(keys.iter().map(|k| put(k, "")).collect())).await.unwrap();
    let txn = ops(vec![Op::DeletePrefix { prefix: "plan/1/".to_owned() }, put("plan/1/3", "")]);
    store.commit(txn).await.unwrap();
    let left: Vec<String> = dump(&*store, "").await.into_iter().map(|(k, _)| k).collect();
    assert_eq!(left, ["plan/1", "plan/1.", "plan/1/3", "plan/10", "plan/10/1"]);
}

pub(super) async fn guards_decide(store: Arc<dyn MetaStore>) {
    store.commit(ops(vec![put("here", "old")])).await.unwrap();
    let cases = [
        (guard("here", Expected::Present), true),
        (guard("here", Expected::Absent), false),
        (guard("here", value("old")), true),
        (guard("here", value("other")), false),
        (guard("here", value("")), false),
        (guard("here", value("older")), false),
        (guard("gone", Expected::Absent), true),
        (guard("gone", Expected::Present), false),
        (guard("gone", value("")), false),
    ];
    for (i, (guard, holds)) in cases.into_iter().enumerate() {
        let mark = format!("mark/{i}");
        let key = guard.key.clone();
        let result = store.commit(Txn { guards: vec![guard], ops: vec![put(&mark, "")] }).await;
        assert_eq!(result, if holds { Ok(()) } else { Err(MetaError::Conflict { key }) }, "case {i}");
        assert_eq!(store.get(&mark).await.unwrap().is_some(), holds, "case {i}");
    }
}

pub(super) async fn a_failed_guard_undoes_everything(store: Arc<dyn MetaStore>) {
    store.commit(ops(vec![put("a", "1"), put("b", "1")])).await.unwrap();
    let txn = Txn {
        guards: vec![guard("a", value("1")), guard("b", value("2")), guard("c", Expected::Present)],
        ops: vec![put("a", "3"), delete("b"), put("c", "3"), Op::DeletePrefix { prefix: String::new() }],
    };
    assert_eq!(store.commit(txn).await, Err(MetaError::Conflict { key: "b".to_owned() }), "names the first");
    assert_eq!(dump(&*store, "").await, pairs(&[("a", "1"), ("b", "1")]));
}

/// Many writers increment two counters in one transaction: no update is lost and nobody sees one without the other.
pub(super) async fn transactions_are_serial(store: Arc<dyn MetaStore>) {
    const WRITERS: usize = 8;
    const EACH: usize = 20;
    store.commit(ops(vec![put("x", "0"), put("y", "0")])).await.unwrap();
    let write = |store: Arc<dyn MetaStore>| async move {
        for _ in 0..EACH {
            loop {
                let seen = dump(&*store, "").await;
                assert_eq!(seen[0].1, seen[1].1, "both or none");
                let next = (seen[0].1.parse::<usize>().unwrap() + 1).to_string();
                let guards = vec![guard("x", value(&seen[0].1))];
                match store.commit(Txn { guards, ops: vec![put("x", &next), put("y", &next)] }).await {
                    Ok(()) => break,
                    Err(MetaError::Conflict { .. }) => {}
                    Err(e) => panic!("{e}"),
                }
            }
        }
    };
    let tasks: Vec<_> = (0..WRITERS).map(|_| tokio::spawn(write(store.clone()))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let total = (WRITERS * EACH).to_string();
    assert_eq!(dump(&*store, "").await, pairs(&[("x", &total), ("y", &total)]));
}

/// Of many transactions that want the same key, exactly one gets it, also when they are committed as one group.
pub(super) async fn one_of_many_wins(store: Arc<dyn MetaStore>) {
    let claim = |i: usize| {
        let store = store.clone();
        async move {
            let ops = vec![put("lock", &i.to_string()), put(&format!("won/{i}"), "")];
            store.commit(Txn { guards: vec![guard("lock", Expected::Absent)], ops }).await
        }
    };
    let results = futures::future::join_all((0..64).map(claim)).await;
    let winners: Vec<usize> = results.iter().enumerate().filter(|(_, r)| r.is_ok()).map(|(i, _)| i).collect();
    assert_eq!(winners.len(), 1);
    let winner = winners[0].to_string();
    assert_eq!(dump(&*store, "").await, pairs(&[("lock", &winner), (&format!("won/{winner}"), "")]));
}

pub(super) async fn plain_threads_can_commit(store: Arc<dyn MetaStore>) {
    let thread = std::thread::spawn({
        let store = store.clone();
        move || {
            store.commit_blocking(ops(vec![put("a", "1")])).unwrap();
            let txn = Txn { guards: vec![guard("a", Expected::Absent)], ops: vec![] };
            (store.get_blocking("a").unwrap(), store.commit_blocking(txn))
        }
    });
    let (read, refused) = tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"1"[..]));
    assert_eq!(refused, Err(MetaError::Conflict { key: "a".to_owned() }));
}

/// One test per rule, over `$make`, which returns a guard to keep alive and an empty store.
macro_rules! conformance {
    ($make:expr) => {
        crate::meta::conformance::conformance!($make,
            reads_what_was_written,
            scans_are_ordered_and_cut,
            an_error_ends_a_scan,
            prefixes_are_deleted_whole_and_alone,
            guards_decide,
            a_failed_guard_undoes_everything,
            transactions_are_serial,
            one_of_many_wins,
            plain_threads_can_commit,
        );
    };
    ($make:expr, $($rule:ident,)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            let (_keep, store) = $make();
            crate::meta::conformance::$rule(store).await;
        })*
    };
}
pub(super) use conformance;
