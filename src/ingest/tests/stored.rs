//! With real objects: flushed segments are read back through `storage`.

use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::{super::*, world::*};
use crate::{
    binlog::LogIds,
    clock::{Clock, ManualClock},
    config::{BinlogConfig, IngestConfig},
    ids::{self, MemoryBounds, Numbers},
    model::{Delete, FieldId, Lsn, PartitionId, PrimaryKey, SegmentState},
    storage::{SegmentStore, read_columns, read_deletes},
};

#[derive(Default)]
struct Keeps {
    flushed: Mutex<Vec<FlushedSegment>>,
}

#[async_trait]
impl FlushSink for Keeps {
    async fn commit_flush(&self, flushed: FlushedSegment) -> Result<Committed, FlushError> {
        self.flushed.lock().push(flushed);
        Ok(Committed::Here)
    }

    async fn commit_deltas(&self, _: DeltaBatch) -> Result<Committed, FlushError> {
        Ok(Committed::Here)
    }
}

#[tokio::test]
async fn a_flushed_segment_reads_back_from_its_objects() {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(START_MS));
    let Numbers { ids, tso, .. } = ids::open(Arc::new(MemoryBounds::default()), clock.clone()).await.unwrap();
    let (store, sink) = (SegmentStore::in_memory(), Arc::new(Keeps::default()));
    let collection = RecoveredCollection {
        schema: schema(),
        partitions: [PartitionId(1)].into(),
        has_segment: Box::new(|_| false),
        delta_lsn: Default::default(),
    };
    let known = RecoveredCatalog { collections: [(COLLECTION, collection)].into(), ..RecoveredCatalog::default() };
    let (config, binlog) = (IngestConfig::default(), BinlogConfig::default());
    let writer = StoreWriter { store: store.clone(), config: binlog, ids: ids.clone(), clock: clock.clone() };
    let (wal_dir, writer) = (dir.path().join("wal"), Arc::new(writer));
    let parts = IngestParts { config, wal_dir, ids, tso, clock, writer, sink: sink.clone(), known };
    let (ingest, _) = Ingest::open(parts).await.unwrap();
    // The later request has the smaller row ids.
    for (first, keys) in [(5_000, vec![2, 4, 6]), (4_000, vec![8, 10])] {
        let inserts = vec![InsertPart { group: group(1, 0), rows: rows(first, &keys) }];
        ingest.write(Write { collection: COLLECTION, schema: schema(), deletes: vec![], inserts }).await.unwrap();
    }
    let keys: Arc<[PrimaryKey]> = [4, 12].map(PrimaryKey::Int).into();
    let deletes = vec![DeleteOp { channel: channel(0), partition: None, keys, older_than: None }];
    let delete = Write { collection: COLLECTION, schema: schema(), deletes, inserts: vec![] };
    let deleted = ingest.write(delete).await.unwrap();
    let sealed = ingest.seal(COLLECTION).await.unwrap();
    ingest.wait_flushed(&sealed).await.unwrap();

    let flushed = sink.flushed.lock().remove(0);
    let segment = &flushed.segment;
    assert_eq!(
        (segment.id, segment.state, segment.rows, segment.end_lsn),
        (sealed[0], SegmentState::Flushed, 5, Lsn(2))
    );
    assert_eq!((segment.delta_rows, segment.delta_ts_from), (1, deleted.ts));
    let range = segment.pk_range.clone().unwrap();
    assert_eq!((range.min, range.max), (PrimaryKey::Int(2), PrimaryKey::Int(10)));
    assert!(flushed.stats[0].may_contain(&PrimaryKey::Int(6)));
    assert_eq!((segment.ts_from.physical_ms(), segment.insert_bytes), (START_MS, flushed.logs.insert_bytes()));

    let ids = LogIds { collection: COLLECTION, partition: PartitionId(1), segment: sealed[0] };
    let fields = [0, 1, 100, 101].map(FieldId);
    let batches: Vec<_> =
        read_columns(&store, ids, &flushed.logs, &schema(), &fields, 100).try_collect().await.unwrap();
    let read: Vec<Row> = batches.iter().flat_map(read_rows).collect();
    let found: Vec<(i64, i64)> = read.iter().map(|r| (r.id, r.key)).collect();
    assert_eq!(found, [(4_000, 8), (4_001, 10), (5_000, 2), (5_001, 4), (5_002, 6)]);
    assert!(read[0].ts == read[1].ts && read[2].ts == read[4].ts && read[0].ts > read[2].ts);
    let deletes = read_deletes(&store, ids, &flushed.logs).await.unwrap();
    assert_eq!(deletes, [Delete { key: PrimaryKey::Int(4), ts: deleted.ts }]);
}
