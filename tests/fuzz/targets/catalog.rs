//! Records of the catalog: keys and values of every class, as a damaged or foreign metadata store may have them.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use bytes::Bytes;
use datacoord::{
    error::{Classify, ErrorKind},
    meta::{Catalog, CatalogTxn, Contents, MemoryStore, MetaError, MetaStore, Op, PageLimit, Span, Txn},
    model::{LogFile, Segment, SegmentId, SegmentLogs},
};
use futures::executor::block_on;

use super::choices::{Choices, counted};
use crate::kit::model;

/// Beginnings of keys, with the number of ids that follow.
const CLASSES: [(&str, usize); 16] = [
    ("datacoord-meta/s/", 3),
    ("datacoord-meta/logs/", 3),
    ("datacoord/database/", 1),
    ("datacoord/collection/", 1),
    ("datacoord/job/", 1),
    ("datacoord/plan/", 2),
    ("datacoord/traffic/", 1),
    ("datacoord/channel/", 1),
    ("datacoord/controls", 0),
    ("datacoord/wal", 0),
    ("datacoord/bound/id", 0),
    ("coordinator/epoch", 0),
    ("coordinator/identity", 0),
    ("coordinator/marks", 0),
    ("datacoord/user/", 1),
    ("datacoord/role/", 1),
];
/// Ids of keys: those of the seeds' values, and outer ones.
const IDS: [&str; 10] = [
    "7",
    "8",
    "9",
    "-1",
    "0000000000000000007",
    "0000000000000000008",
    "0000000000000000009",
    "9223372036854775807",
    "default",
    "07",
];

type Loaded = Contents<Vec<Segment>>;

/// Records: class, ids, and the value with its length.
pub(super) fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut ops = BTreeMap::new();
    while !choices.is_over() && ops.len() < 64 {
        let (prefix, ids) = choices.pick(&CLASSES);
        let ids: Vec<&str> = (0..*ids).map(|_| *choices.pick(&IDS)).collect();
        let key = format!("{prefix}{}", ids.join("/"));
        ops.insert(key, Bytes::copy_from_slice(choices.bytes()));
    }
    let store = MemoryStore::new();
    let ops = ops.into_iter().map(|(key, value)| Op::Put { key, value }).collect();
    block_on(store.commit(Txn { guards: Vec::new(), ops })).expect("distinct keys");
    // A record that can't be read is refused as damage, and nothing else is wrong with it.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    if let Err(error) = runtime.block_on(read(Arc::new(store))) {
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound), "{error}");
    }
}

async fn read(store: Arc<dyn MetaStore>) -> Result<(), MetaError> {
    let catalog = Catalog::open(store).await?;
    catalog.identity().await?;
    let (marks, controls, log) = (catalog.marks().await?, catalog.controls().await?, catalog.write_ahead_log().await?);
    let contents = load(&catalog).await?;
    let mut logs = Vec::new();
    for segment in contents.segments.values().flatten() {
        match catalog.segment_logs(&segment.group, segment.id).await {
            Ok(of_segment) => logs.push(of_segment),
            Err(MetaError::NotFound { .. }) => logs.push(SegmentLogs::default()),
            Err(error) => return Err(error),
        }
    }

    let again = Catalog::open(Arc::new(MemoryStore::new())).await?;
    let mut txn = again.txn();
    txn.put_marks(&marks).put_controls(&controls);
    if let Some(log) = &log {
        txn.put_write_ahead_log(log);
    }
    for (segment, logs) in contents.segments.values().flatten().zip(&logs) {
        txn.put_segment_and_logs(segment, logs);
    }
    contents.databases.iter().for_each(|database| {
        txn.put_database(database);
    });
    contents.users.iter().for_each(|user| {
        txn.put_user(user);
    });
    contents.roles.iter().for_each(|role| {
        txn.put_role(role);
    });
    contents.collections.iter().for_each(|collection| {
        txn.put_collection(collection);
    });
    contents.jobs.iter().for_each(|job| {
        txn.put_job(job);
    });
    contents.plans.iter().for_each(|plan| {
        txn.put_plan(plan);
    });
    contents.channel_delta_lsn.iter().for_each(|(channel, lsn)| {
        txn.set_channel_delta_lsn(channel, *lsn);
    });
    contents.write_stats.iter().for_each(|(id, stats)| {
        txn.put_write_stats(*id, stats);
    });
    txn.commit().await.unwrap_or_else(|e| panic!("what was read can be written: {e}"));
    let read_again = load(&again).await.unwrap_or_else(|e| panic!("what was written can be read: {e}"));
    assert_eq!(shown(&read_again), shown(&contents));
    assert_eq!((again.marks().await?, again.controls().await?), (marks, controls));
    assert_eq!(again.write_ahead_log().await?, log);
    Ok(())
}

async fn load(catalog: &Catalog) -> Result<Loaded, MetaError> {
    catalog.load(std::mem::take).await
}

/// As text, because NaN does not equal itself; maps in order.
fn shown(contents: &Loaded) -> String {
    fn in_order<K: Ord, V>(map: &std::collections::HashMap<K, V>) -> BTreeMap<&K, &V> {
        map.iter().collect()
    }
    let parts: [&dyn Debug; 9] = [
        &contents.databases,
        &contents.users,
        &contents.roles,
        &contents.collections,
        &contents.jobs,
        &contents.plans,
        &in_order(&contents.segments),
        &in_order(&contents.channel_delta_lsn),
        &in_order(&contents.write_stats),
    ];
    format!("{parts:?}")
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let group = Arc::new(model::group(7, 8, "by-dev-rootcoord-dml_0_7v0"));
    let segment = Segment { rows: 3, insert_bytes: 9, ..model::segment(9, &group) };
    let file = model::log_file(1, 3, 9, datacoord::model::Timestamp(5));
    let files = |file: &LogFile| vec![(datacoord::model::FieldId(100), vec![file.clone()])];
    let logs = SegmentLogs { insert: files(&file), stats: files(&file), delta: vec![file] };
    let collection = model::collection(7, super::schema::every_type());
    let input = model::input(&segment);
    let plan = model::plan(9, 8, (*group).clone(), vec![input]);
    let job = model::job(8, 7, &[9]);
    let stored = |fill: &dyn Fn(&mut CatalogTxn)| -> Bytes {
        let store = Arc::new(MemoryStore::new());
        block_on(async {
            let catalog = Catalog::open(Arc::clone(&store) as Arc<dyn MetaStore>).await.expect("an empty store");
            let mut txn = catalog.txn();
            fill(&mut txn);
            txn.commit().await.expect("one record");
            let page = store.scan(&Span::of("datacoord"), PageLimit::new(9, 1 << 20)).await.expect("memory");
            page.pairs().next().map(|(_, value)| Bytes::copy_from_slice(value)).expect("the record")
        })
    };
    // Positions in CLASSES and IDS.
    let record = |head: &[u8], value: &[u8]| [head, &counted(value)[..]].concat();
    let of_segment = record(
        &[0, 0, 1, 2],
        &stored(&|txn| {
            txn.put_segment(&segment);
        }),
    );
    let of_logs = record(
        &[1, 0, 1, 2],
        &stored(&|txn| {
            txn.put_logs(&group, SegmentId(9), &logs);
        }),
    );
    let of_collection = record(
        &[3, 4],
        &stored(&|txn| {
            txn.put_collection(&collection);
        }),
    );
    let of_job = record(
        &[4, 5],
        &stored(&|txn| {
            txn.put_job(&job);
        }),
    );
    let of_plan = record(
        &[5, 5, 6],
        &stored(&|txn| {
            txn.put_plan(&plan);
        }),
    );
    let database = record(&[2, 8], br#"{"name":"default","created_at":5}"#);
    let user = record(&[14, 8], br#"{"name":"default","roles":[1,9223372036854775807]}"#);
    let role = record(&[15, 8], br#"{"id":1,"name":"default"}"#);
    let channel = record(&[7, 0], &7u64.to_be_bytes());
    let epoch = record(&[11], &u64::MAX.to_be_bytes());
    let identity = record(&[12], b"3f1c4a52-0000-4000-8000-000000000000");
    let wal = record(&[9], br#"{"id":"3f1c4a52-0000-4000-8000-000000000000","newest":1}"#);
    let all =
        [&of_segment, &of_logs, &of_collection, &of_job, &of_plan, &database, &channel, &identity, &wal, &user, &role]
            .map(Vec::as_slice)
            .concat();
    vec![all, of_segment, of_logs, of_collection, of_job, of_plan, epoch]
}
