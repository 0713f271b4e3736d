//! Whole merges over a store in memory, against a reference that is the rule written down naively.

mod clustering;
mod damage;
mod failures;
mod l0_delete;
mod large_objects;
mod merges;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow_array::{
    Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, Int64Array, StringArray, cast::AsArray, types::Int64Type,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    binlog::{InsertLog, InsertLogWriter, decode_delta, encode_delta},
    config::{BinlogConfig, WorkerConfig},
    error::ErrorKind,
    kit::model,
    model::{
        CollectionId, CollectionSchema, DataType, Delete, Field, FieldId, Group, LogFile, LogId, LogIds, PartitionId,
        PkRange, Plan, PlanKind, PlanState, PrimaryKey, SegmentId, SegmentLevel, SegmentLogs, Timestamp,
    },
    storage::{LogPath, SegmentStore},
};

const VECTOR_BYTES: usize = 16;

/// A row; its vector and its document follow from the row id, so that a mix-up of columns shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    id: i64,
    key: PrimaryKey,
    /// Milliseconds.
    at: u64,
}

fn ts(ms: u64) -> Timestamp {
    Timestamp(Timestamp::from_ms(ms).0 | 5)
}

fn int(id: i64, key: i64, at: u64) -> Row {
    Row { id, key: PrimaryKey::Int(key), at }
}

fn delete(key: i64, at: u64) -> Delete {
    Delete { key: PrimaryKey::Int(key), ts: ts(at) }
}

/// Like real vectors it can't be compressed.
fn vector(id: i64) -> Vec<u8> {
    let mix = |n: u64| (n ^ (n >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31);
    let first = mix(mix(id as u64).wrapping_mul(0x94D0_49BB_1331_11EB));
    [first, mix(first)].iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn document(id: i64) -> Vec<u8> {
    format!("{{\"id\":{id},\"pad\":\"{}\"}}", "x".repeat(id.unsigned_abs() as usize % 40)).into_bytes()
}

fn schema(key_type: DataType) -> Arc<CollectionSchema> {
    let key = Field { max_length: Some(64), ..model::key(101, "f101", key_type) };
    let vector = model::vector(100, "f100", VECTOR_BYTES as u32 / 4);
    Arc::new(model::schema("c", vec![vector, key, model::field(102, "f102", DataType::Json)]))
}

/// Ids that a test's attempt has.
const IDS: std::ops::Range<i64> = 1000..1_000_000_000;

/// A store with segments in it, and the settings of a run.
struct World {
    store: SegmentStore,
    schema: Arc<CollectionSchema>,
    binlog: BinlogConfig,
    worker: WorkerConfig,
    kind: PlanKind,
    inputs: Vec<CompactionInput>,
    max_output_bytes: u64,
    keep_deletes_after: Timestamp,
    ttl: Option<Duration>,
    now_ms: u64,
}

fn group() -> Group {
    model::group(1, 2, "ch_1v0")
}

impl World {
    fn new(key_type: DataType) -> Self {
        Self {
            store: SegmentStore::in_memory(),
            schema: schema(key_type),
            binlog: BinlogConfig::default(),
            worker: WorkerConfig::default(),
            kind: PlanKind::Mix,
            inputs: vec![],
            max_output_bytes: u64::MAX,
            keep_deletes_after: Timestamp::MAX,
            ttl: None,
            now_ms: 1_000_000,
        }
    }

    fn ids(&self, segment: SegmentId) -> LogIds {
        LogIds { collection: CollectionId(1), partition: PartitionId(2), segment }
    }

    /// Stores a segment: one binlog per element of `batches`, one delta log per element of `deltas`.
    async fn segment(&mut self, id: i64, batches: &[Vec<Row>], deltas: &[Vec<Delete>]) {
        let ids = self.ids(SegmentId(id));
        let mut logs = SegmentLogs::default();
        let mut next = id * 1000;
        let mut log_id = || {
            next += 1;
            LogId(next)
        };
        for field in self.schema.stored_fields() {
            let mut files = vec![];
            for rows in batches {
                let mut writer = InsertLogWriter::new(ids, &field, &self.binlog).unwrap();
                writer.write(&column(&field, rows)).unwrap();
                let times = || rows.iter().map(|row| ts(row.at));
                let log = writer.finish(times().min().unwrap(), times().max().unwrap(), 1).unwrap();
                files.push(self.put(LogPath::insert(ids, field.id, log_id()), log).await);
            }
            logs.insert.push((field.id, files));
        }
        for deletes in deltas {
            let log = encode_delta(ids, deletes, &self.binlog, 1).unwrap();
            logs.delta.push(self.put(LogPath::delta(ids, log_id()), log).await);
        }
        let mut segment = model::segment(id, &Arc::new(group()));
        segment.summarise(&logs);
        self.inputs.push(CompactionInput { segment, logs });
    }

    /// The objects of an output.
    fn names(&self, output: &OutputSegment) -> Vec<String> {
        let ids = self.ids(output.id);
        let insert =
            output.logs.insert.iter().flat_map(|(f, files)| files.iter().map(|l| LogPath::insert(ids, *f, l.id)));
        let stats = output.logs.stats.iter().flat_map(|(f, files)| files.iter().map(|l| LogPath::stats(ids, *f, l.id)));
        let delta = output.logs.delta.iter().map(|l| LogPath::delta(ids, l.id));
        insert.chain(stats).chain(delta).map(|path| path.to_string()).collect()
    }

    async fn put(&self, path: LogPath, log: crate::binlog::Encoded) -> LogFile {
        let file = log.log_file(path.log());
        self.store.put(&path, log.bytes).await.unwrap();
        file
    }

    /// As if Milvus or an older release had written the inputs: their contents are found by decoding.
    fn forget_checksums(&mut self) {
        for input in &mut self.inputs {
            let insert = input.logs.insert.iter_mut().flat_map(|(_, files)| files);
            insert.chain(&mut input.logs.delta).for_each(|file| file.checksum = None);
        }
    }

    fn task(&self) -> CompactionTask {
        let inputs = self.inputs.iter().map(|i| model::input(&i.segment)).collect();
        CompactionTask {
            plan: Plan {
                kind: self.kind,
                keep_deletes_after: self.keep_deletes_after,
                ttl: self.ttl,
                max_output_bytes: self.max_output_bytes,
                attempts: 1,
                state: PlanState::Executing { started_at_ms: 1 },
                ..model::plan(7, 8, group(), inputs)
            },
            schema: self.schema.clone(),
            inputs: self.inputs.clone(),
            now_ms: self.now_ms,
            ids: IDS,
            max_outputs: u64::MAX,
        }
    }

    fn compactor(&self) -> Compactor {
        Compactor::new(self.store.clone(), self.binlog.clone(), &self.worker)
    }

    async fn run(&self) -> Result<CompactionOutcome, CompactError> {
        self.compactor().run(&self.task(), &ProgressSink::new(), &CancellationToken::new()).await
    }

    /// Names of all objects in the store.
    async fn objects(&self) -> Vec<String> {
        use futures::TryStreamExt;
        let mut all = vec![];
        for folder in ["insert_log", "delta_log", "stats_log"] {
            let listed: Vec<_> = self.store.list(folder).try_collect().await.unwrap();
            all.extend(listed.into_iter().map(|o| o.path.to_string()));
        }
        all.sort();
        all
    }

    /// Rows of an output, binlog by binlog. Checks that every column tells the same story.
    async fn read(&self, output: &OutputSegment) -> Vec<Vec<Row>> {
        let fields = self.schema.stored_fields();
        assert_eq!(
            output.logs.insert.iter().map(|(f, _)| *f).collect::<Vec<_>>(),
            fields.iter().map(|f| f.id).collect::<Vec<_>>()
        );
        let mut binlogs = vec![];
        for number in 0..output.logs.batches() {
            let mut columns: BTreeMap<FieldId, ArrayRef> = BTreeMap::new();
            for field in &fields {
                let file = &output.logs.field(field.id)[number];
                let path = LogPath::insert(self.ids(output.id), field.id, file.id);
                let bytes = self.store.get(&path).await.unwrap();
                assert_eq!(file.bytes, bytes.len() as u64);
                let checksum = crc32c::crc32c(&bytes);
                assert_eq!(file.checksum.unwrap_or(checksum), checksum, "{path}");
                let log = InsertLog::open(bytes).unwrap();
                assert_eq!(log.header().ids, self.ids(output.id));
                assert_eq!(log.header().field, field.id);
                assert_eq!((log.header().ts_from, log.header().ts_to), (file.ts_from, file.ts_to));
                let arrays: Vec<ArrayRef> = log.read(field, 1000).unwrap().collect::<Result<_, _>>().unwrap();
                let arrays: Vec<_> = arrays.iter().map(AsRef::as_ref).collect();
                let column = arrow_select::concat::concat(&arrays).unwrap();
                assert_eq!(column.len() as u64, file.rows);
                columns.insert(field.id, column);
            }
            let rows = rows(&columns);
            let times = || rows.iter().map(|r| ts(r.at));
            let file = &output.logs.field(FieldId::TIMESTAMP)[number];
            assert_eq!((file.ts_from, file.ts_to), (times().min().unwrap(), times().max().unwrap()));
            binlogs.push(rows);
        }
        binlogs
    }

    /// All delta entries of an output, log by log.
    async fn read_deltas(&self, output: &OutputSegment) -> Vec<Vec<Delete>> {
        let mut all = vec![];
        for file in &output.logs.delta {
            let bytes = self.store.get(&LogPath::delta(self.ids(output.id), file.id)).await.unwrap();
            all.push(decode_delta(bytes).unwrap());
        }
        all
    }
}

fn column(field: &Field, rows: &[Row]) -> ArrayRef {
    let ints = |f: fn(&Row) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(f))) as ArrayRef;
    match (field.id.0, field.data_type) {
        (0, _) => ints(|row| row.id),
        (1, _) => ints(|row| ts(row.at).0 as i64),
        (100, _) => Arc::new(FixedSizeBinaryArray::try_from_iter(rows.iter().map(|row| vector(row.id))).unwrap()),
        (101, DataType::Int64) => ints(|row| match row.key {
            PrimaryKey::Int(key) => key,
            PrimaryKey::Str(_) => panic!("a string"),
        }),
        (101, _) => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| match &row.key {
            PrimaryKey::Str(key) => key.to_string(),
            PrimaryKey::Int(_) => panic!("an int"),
        }))),
        _ => Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| document(row.id)))),
    }
}

fn rows(columns: &BTreeMap<FieldId, ArrayRef>) -> Vec<Row> {
    let ids = columns[&FieldId(0)].as_primitive::<Int64Type>();
    let times = columns[&FieldId(1)].as_primitive::<Int64Type>();
    let vectors = columns[&FieldId(100)].as_fixed_size_binary();
    let documents = columns[&FieldId(102)].as_binary::<i32>();
    (0..ids.len())
        .map(|row| {
            let id = ids.value(row);
            assert_eq!(vectors.value(row), vector(id), "vector of row id {id}");
            assert_eq!(documents.value(row), document(id), "document of row id {id}");
            let key = &columns[&FieldId(101)];
            let key = match key.as_primitive_opt::<Int64Type>() {
                Some(keys) => PrimaryKey::Int(keys.value(row)),
                None => PrimaryKey::Str(key.as_string::<i32>().value(row).into()),
            };
            let time = Timestamp(times.value(row) as u64);
            assert_eq!(ts(time.physical_ms()), time);
            Row { id, key, at: time.physical_ms() }
        })
        .collect()
}
