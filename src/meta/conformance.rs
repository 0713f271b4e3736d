//! The rules that every [`MetaStore`] must keep. `conformance!(make)` runs the suite on the stores that `make` returns.

use std::sync::Arc;

use bytes::Bytes;

use super::{Expected, Guard, MetaError, MetaStore, Op, Page, PageLimit, Span, Txn};

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
    scanned(store, Span::of(prefix)).await
}

/// Two pairs to a page.
const SMALL: PageLimit = PageLimit::new(2, usize::MAX);

fn texts(page: &Page) -> Vec<(String, String)> {
    page.pairs().map(|(key, value)| (key.to_owned(), String::from_utf8(value.to_vec()).unwrap())).collect()
}

async fn scanned(store: &dyn MetaStore, span: Span) -> Vec<(String, String)> {
    let (mut pairs, mut rest) = (Vec::new(), Some(span));
    while let Some(span) = rest {
        let page = store.scan(&span, SMALL).await.unwrap();
        pairs.extend(texts(&page));
        rest = page.rest;
    }
    pairs
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub(super) async fn reads_written_values(store: Arc<dyn MetaStore>) {
    assert_eq!(store.get("a").await.unwrap(), None);
    store.commit(ops(vec![put("a", "1"), put("b", "")])).await.unwrap();
    store.commit(ops(vec![put("a", "2")])).await.unwrap();
    assert_eq!(store.get("a").await.unwrap().as_deref(), Some(&b"2"[..]), "the later transaction wins");
    assert_eq!(store.get("b").await.unwrap().as_deref(), Some(&b""[..]), "an empty value is a value");
    store.commit(ops(vec![delete("a"), delete("never")])).await.unwrap();
    assert_eq!(dump(&*store, "").await, pairs(&[("b", "")]));
}

pub(super) async fn scans_are_ordered_and_cut(store: Arc<dyn MetaStore>) {
    let keys = ["p/1", "p/10", "p/2", "p/é", "p0", "o/9", "q", "p/"];
    store.commit(ops(keys.iter().map(|k| put(k, k)).collect())).await.unwrap();
    let keys_of = async |span: Span| scanned(&*store, span).await.into_iter().map(|(k, _)| k).collect::<Vec<_>>();
    let all = keys_of(Span::of("p/")).await;
    assert_eq!(all, ["p/", "p/1", "p/10", "p/2", "p/é"]);

    // On a key, between keys, before the first and behind the last.
    let cuts = ["p/2", "p/11", "a", "z", "p/", "p/~"].map(str::to_owned).to_vec();
    let spans = Span::cut("p/", cuts);
    assert_eq!(spans.len(), 7);
    let mut together = Vec::new();
    for span in spans {
        together.extend(keys_of(span).await);
    }
    assert_eq!(together, all, "spans put together are the prefix");

    let span = |from: Option<&str>, before: Option<&str>| Span {
        prefix: "p/".to_owned(),
        from: from.map(str::to_owned),
        before: before.map(str::to_owned),
    };
    assert_eq!(keys_of(span(Some("p/10"), Some("p/2"))).await, ["p/10"], "from is inside, before is not");
    assert_eq!(keys_of(span(Some("a"), Some("z"))).await, all, "the prefix limits");
    assert!(keys_of(span(Some("p/2"), Some("p/1"))).await.is_empty(), "reversed");
    assert!(keys_of(span(Some("q"), None)).await.is_empty());
    assert!(keys_of(span(None, Some("p/"))).await.is_empty());
}

pub(super) async fn pages_are_bounded(store: Arc<dyn MetaStore>) {
    let values = [("a", 10), ("b", 10), ("c", 1000), ("d", 10), ("e", 10)];
    store.commit(ops(values.iter().map(|(key, bytes)| put(key, &"x".repeat(*bytes))).collect())).await.unwrap();
    let pages = async |limit: PageLimit| {
        let (mut pages, mut rest) = (Vec::new(), Some(Span::of("")));
        while let Some(span) = rest {
            let page = store.scan(&span, limit).await.unwrap();
            pages.push(page.pairs().map(|(key, _)| key).collect::<String>());
            assert_eq!(page.bytes(), page.pairs().map(|(key, value)| key.len() + value.len()).sum::<usize>());
            assert_eq!(page.tally.pairs, page.pairs().count() as u64);
            rest = page.rest;
        }
        pages
    };
    assert_eq!(pages(PageLimit::new(2, usize::MAX)).await, ["ab", "cd", "e"]);
    assert_eq!(pages(PageLimit::new(5, usize::MAX)).await, ["abcde"], "a full page may be the last one");
    assert_eq!(pages(PageLimit::new(100, 20)).await, ["ab", "c", "de"], "the pair that reaches the limit is the last");
    assert_eq!(pages(PageLimit::new(0, 0)).await, ["a", "b", "c", "d", "e"], "every page gets on");
}

/// Each page is of a moment of its own, and the pages together have every key that was there throughout exactly once.
pub(super) async fn a_scan_over_pages_sees_staying_pairs_exactly_once(store: Arc<dyn MetaStore>) {
    let staying = ["b", "d", "h"];
    store.commit(ops(staying.iter().chain(&["c", "f", "g"]).map(|key| put(key, "old")).collect())).await.unwrap();
    let first = store.scan(&Span::of(""), SMALL).await.unwrap();
    assert_eq!(texts(&first), pairs(&[("b", "old"), ("c", "old")]));
    // Behind the page: a new key, a lost one, a changed one. In front of it, and in it: nothing that it goes back for.
    let changes = vec![put("a", "new"), delete("c"), put("e", "new"), delete("g"), put("h", "new"), put("b", "new")];
    store.commit(ops(changes)).await.unwrap();
    let second = store.scan(&first.rest.unwrap(), SMALL).await.unwrap();
    assert_eq!(texts(&second), pairs(&[("d", "old"), ("e", "new")]));
    // The key that the next page would begin at is gone when it is read.
    store.commit(ops(vec![delete("f"), put("ff", "new")])).await.unwrap();
    let third = store.scan(&second.rest.unwrap(), SMALL).await.unwrap();
    assert_eq!(texts(&third), pairs(&[("ff", "new"), ("h", "new")]));
    assert_eq!(third.rest, None);
}

pub(super) async fn prefixes_are_deleted_whole_and_alone(store: Arc<dyn MetaStore>) {
    let keys = ["plan/1/1", "plan/1/2", "plan/10/1", "plan/1", "plan/1.", "plan/10"];
    store.commit(ops(keys.iter().map(|k| put(k, "")).collect())).await.unwrap();
    let txn = ops(vec![Op::DeletePrefix { prefix: "plan/1/".to_owned() }, put("plan/2/3", "")]);
    store.commit(txn).await.unwrap();
    let left: Vec<String> = dump(&*store, "").await.into_iter().map(|(k, _)| k).collect();
    assert_eq!(left, ["plan/1", "plan/1.", "plan/10", "plan/10/1", "plan/2/3"]);
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
        ops: vec![put("a", "3"), delete("b"), put("c", "3"), Op::DeletePrefix { prefix: "d".to_owned() }],
    };
    assert_eq!(store.commit(txn).await, Err(MetaError::Conflict { key: "b".to_owned() }), "names the first");
    assert_eq!(dump(&*store, "").await, pairs(&[("a", "1"), ("b", "1")]));
}

/// Many writers increment two counters in one transaction: no update is lost, and no reader sees one without the other.
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

/// etcd refuses these, so every store does: whether or not the guards hold, and without a trace.
pub(super) async fn a_key_is_written_once(store: Arc<dyn MetaStore>) {
    let prefix = |prefix: &str| Op::DeletePrefix { prefix: prefix.to_owned() };
    store.commit(ops(vec![put("p/1", "old")])).await.unwrap();
    for (ops, key) in [
        (vec![put("a", "1"), put("p/2", ""), put("a", "1")], "a"),
        (vec![put("p/1", "new"), delete("p/1")], "p/1"),
        (vec![delete("p/1"), put("p/1", "new")], "p/1"),
        (vec![prefix("p/"), put("p/2", "")], "p/2"),
        (vec![put("p/2", ""), put("q", ""), prefix("p")], "p/2"),
        (vec![put("q", ""), prefix("")], "q"),
    ] {
        for guards in [vec![], vec![guard("p/1", Expected::Absent)]] {
            let refused = store.commit(Txn { guards, ops: ops.clone() }).await;
            assert_eq!(refused, Err(MetaError::Overlap { key: key.to_owned() }));
        }
    }
    assert_eq!(dump(&*store, "").await, pairs(&[("p/1", "old")]));
    // Deletes may overlap, and a prefix may end just before a key that is put.
    let txn = ops(vec![delete("p/1"), delete("p/1"), prefix("p/"), put("p0", ""), put("p", "")]);
    store.commit(txn).await.unwrap();
    assert_eq!(dump(&*store, "").await, pairs(&[("p", ""), ("p0", "")]));
}

/// A store without a limit takes everything.
pub(super) async fn more_than_the_limit_is_refused(store: Arc<dyn MetaStore>) {
    let limit = store.max_operations();
    if limit == usize::MAX {
        return;
    }
    let puts = |many: usize| (0..many).map(|i| put(&format!("{i:05}"), "")).collect::<Vec<_>>();
    let guards = |many: usize| (0..many).map(|i| guard(&format!("none/{i}"), Expected::Absent)).collect::<Vec<_>>();
    for (guards, ops) in [(guards(limit + 1), puts(1)), (guards(1), puts(limit + 1))] {
        let expected = MetaError::TooLarge { guards: guards.len(), operations: ops.len(), limit };
        assert_eq!(store.commit(Txn { guards, ops }).await, Err(expected));
    }
    assert_eq!(dump(&*store, "").await, []);
    store.commit(Txn { guards: guards(limit), ops: puts(limit) }).await.unwrap();
    assert_eq!(dump(&*store, "").await.len(), limit);
}

/// One test per rule, over `$make`, which returns a guard to keep alive and an empty store.
macro_rules! conformance {
    ($make:expr) => {
        crate::meta::conformance::conformance!($make,
            reads_written_values,
            scans_are_ordered_and_cut,
            pages_are_bounded,
            a_scan_over_pages_sees_staying_pairs_exactly_once,
            prefixes_are_deleted_whole_and_alone,
            guards_decide,
            a_failed_guard_undoes_everything,
            transactions_are_serial,
            one_of_many_wins,
            a_key_is_written_once,
            more_than_the_limit_is_refused,
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
