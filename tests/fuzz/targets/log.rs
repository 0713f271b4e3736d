//! The write-ahead log: frames whose sums are right, with any content, and bytes that are no frames.
//!
//! Random changes of a log never get past its sums, so an input describes frames, and the sums are made here.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use async_trait::async_trait;
use datacoord::{
    clock::{Clock, ManualClock},
    config::IngestConfig,
    error::ErrorKind,
    ids::{self, BoundError, BoundStore},
    ingest::{
        Committed, DeltaBatch, FlushError, FlushSink, FlushedSegment, Ingest, IngestParts, KnownLog, RecoveredCatalog,
        RecoveredCollection, RecoveryReport, SealedRows, SegmentWriter,
    },
    model::{CollectionId, CollectionSchema, PartitionId},
};
use parking_lot::Mutex;
use uuid::Uuid;

use super::{
    choices::{Choices, counted},
    schema,
};

const COLLECTION: CollectionId = CollectionId(7);
const PARTITION: PartitionId = PartitionId(8);
const CHANNEL: &str = "c_7v0";
const MOST_FRAMES: usize = 12;

pub(super) fn run(input: &[u8]) {
    let dir = scratch();
    let file = file_of(&mut Choices::new(input));
    std::fs::write(dir.path().join(format!("{:020}.log", 1)), file).expect("a file of the log");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let Some((first, log)) = opened(dir.path(), None).await else { return };
        // Reading back changes nothing but a torn end, so the next start finds the same.
        let (second, _) = opened(dir.path(), Some(log)).await.expect("a log that was read once");
        assert_eq!(found(&second), found(&first));
        assert_eq!(second.torn, None);
    });
}

/// Rows, waiting deletes, and segments that grow or wait to be flushed.
fn found(report: &RecoveryReport) -> (u64, u64, HashSet<i64>) {
    let segments = report.growing.iter().chain(&report.sealed).map(|id| id.0).collect();
    (report.rows, report.pending_deletes, segments)
}

/// A directory in memory, where syncing is cheap, if the machine has one.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

/// Reads the log and stops. None: it is refused.
async fn opened(
    dir: &Path,
    log: Option<datacoord::model::WriteAheadLog>,
) -> Option<(RecoveryReport, datacoord::model::WriteAheadLog)> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000_000));
    let numbers = ids::open(Arc::new(Bounds::default()), Arc::clone(&clock)).await.expect("bounds in memory");
    let collection = RecoveredCollection {
        schema: Arc::new(schema::every_type()),
        partitions: HashSet::from([PARTITION]),
        has_segment: Box::new(|id| id.0 == 3),
        delta_lsn: HashMap::new(),
    };
    let known = RecoveredCatalog {
        collections: HashMap::from([(COLLECTION, collection)]),
        log: KnownLog { catalog: Uuid::nil(), noted: log, had_log: log.is_some() },
        ..RecoveredCatalog::default()
    };
    let away = Arc::new(Away);
    let opened = Ingest::open(IngestParts {
        config: IngestConfig::default(),
        wal_dir: dir.to_owned(),
        ids: numbers.ids,
        tso: numbers.tso,
        clock,
        writer: Arc::clone(&away) as Arc<dyn SegmentWriter>,
        sink: away,
        known,
    })
    .await;
    let (ingest, report) = opened.ok()?;
    let rows: u64 = ingest.snapshot(COLLECTION).segments.iter().map(|segment| segment.rows).sum();
    assert_eq!(rows, report.rows, "readers see the rows that the report counts");
    ingest.stop().await;
    let log = report.log;
    Some((report, log))
}

/// A store and a catalog that do not answer: nothing is flushed.
struct Away;

fn away<T>() -> Result<T, FlushError> {
    Err(FlushError::new(ErrorKind::Transient, "away"))
}

#[async_trait]
impl SegmentWriter for Away {
    async fn write(&self, _: SealedRows) -> Result<FlushedSegment, FlushError> {
        away()
    }
}

#[async_trait]
impl FlushSink for Away {
    async fn commit_flush(&self, _: FlushedSegment) -> Result<Committed, FlushError> {
        away()
    }

    async fn commit_deltas(&self, _: DeltaBatch) -> Result<Committed, FlushError> {
        away()
    }
}

#[derive(Default)]
struct Bounds(Mutex<BTreeMap<String, u64>>);

#[async_trait]
impl BoundStore for Bounds {
    async fn load(&self, name: &str) -> Result<u64, BoundError> {
        Ok(self.0.lock().get(name).copied().unwrap_or_default())
    }

    async fn save(&self, name: &str, bound: u64) -> Result<(), BoundError> {
        self.0.lock().insert(name.to_owned(), bound);
        Ok(())
    }
}

/// Frames, then bytes that are none.
fn file_of(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut ts = 1;
    for lsn in 1..=choices.below(MOST_FRAMES) as u64 {
        // A timestamp that does not grow, and one that leaves no room for the next, are among the choices.
        ts = match choices.below(16) {
            0 => choices.u64(),
            step => ts + step as u64,
        };
        let lsn = if choices.below(32) == 31 { choices.u64() } else { lsn };
        file.extend(frame(choices, lsn, ts));
    }
    file.extend_from_slice(choices.rest());
    file
}

fn frame(choices: &mut Choices<'_>, lsn: u64, ts: u64) -> Vec<u8> {
    let kind = 1 + choices.below(6) as u32;
    let durable = if choices.below(8) == 7 { choices.u64() } else { lsn.saturating_sub(1) };
    let (preamble, parts) = if choices.bool() {
        let preamble = choices.bytes().to_vec();
        let parts = (0..choices.below(3)).map(|_| choices.bytes().to_vec()).collect();
        (preamble, parts)
    } else if kind == 1 {
        write_of(choices)
    } else {
        (control_of(choices, kind), Vec::new())
    };
    let segments: Vec<u64> = parts.iter().map(|_| choices.below(6) as u64).collect();
    let rows: Vec<u32> = parts.iter().map(|_| if choices.below(8) == 7 { u32::MAX } else { 3 }).collect();
    let mut header = b"DCW1\0\0\0\0".to_vec();
    header.extend(kind.to_le_bytes());
    header.extend((parts.len() as u32).to_le_bytes());
    [lsn, ts, durable].iter().for_each(|number| header.extend(number.to_le_bytes()));
    header.extend((preamble.len() as u32).to_le_bytes());
    let body = [&preamble[..], &parts.concat()[..]].concat();
    header.extend(crc32c::crc32c(&body).to_le_bytes());
    for ((part, segment), rows) in parts.iter().zip(&segments).zip(&rows) {
        header.extend(segment.to_le_bytes());
        header.extend(rows.to_le_bytes());
        header.extend((part.len() as u32).to_le_bytes());
    }
    let sum = crc32c::crc32c(&header[8..]);
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    [header, body].concat()
}

/// Rows and deletes of one request, mostly of the collection that the catalog knows.
fn write_of(choices: &mut Choices<'_>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut preamble = id_of(choices, COLLECTION.0);
    let parts: Vec<Vec<u8>> = (0..choices.below(3)).map(|_| part(choices)).collect();
    preamble.extend((parts.len() as u32).to_le_bytes());
    for _ in &parts {
        preamble.extend(id_of(choices, PARTITION.0));
        preamble.extend(text(CHANNEL.as_bytes()));
    }
    let deletes = choices.below(3);
    preamble.extend((deletes as u32).to_le_bytes());
    for _ in 0..deletes {
        let scope = choices.below(5) as u8;
        preamble.push(scope);
        preamble.extend(id_of(choices, PARTITION.0));
        if scope & 2 != 0 {
            preamble.extend(choices.u64().to_le_bytes());
        }
        preamble.extend(text(CHANNEL.as_bytes()));
        let is_text = choices.below(8) == 7;
        preamble.push(is_text.into());
        let keys = choices.below(4);
        preamble.extend((keys as u32).to_le_bytes());
        for key in 0..keys as i64 {
            preamble.extend(if is_text { text(choices.bytes()) } else { key.to_le_bytes().to_vec() });
        }
    }
    (preamble, parts)
}

/// The id, or seldom another one.
fn id_of(choices: &mut Choices<'_>, usual: i64) -> Vec<u8> {
    let id = if choices.below(8) == 7 { choices.u64() as i64 } else { usual };
    id.to_le_bytes().to_vec()
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

fn control_of(choices: &mut Choices<'_>, kind: u32) -> Vec<u8> {
    match kind {
        2 | 3 => {
            let count = choices.below(4);
            let segments: Vec<u8> = (0..count).flat_map(|_| (choices.below(6) as i64).to_le_bytes()).collect();
            [&(count as u32).to_le_bytes()[..], &segments].concat()
        }
        4 => id_of(choices, COLLECTION.0),
        _ => [id_of(choices, COLLECTION.0), id_of(choices, PARTITION.0)].concat(),
    }
}

/// Rows as the log has them, with some bytes changed.
fn part(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut bytes = encoded(&schema::every_type());
    for _ in 0..choices.below(6) {
        let at = choices.u64() as usize % bytes.len();
        bytes[at] = choices.u8();
    }
    bytes
}

/// Three rows: all stored columns but the timestamp.
fn encoded(schema: &CollectionSchema) -> Vec<u8> {
    let rows = schema::rows();
    let row_ids: ArrayRef = Arc::new(Int64Array::from(vec![11, 12, 13]));
    let stored = schema.arrow_schema();
    let columns = stored.fields().iter().filter(|field| field.name() != "1").map(|field| {
        let column = rows.column_by_name(field.name()).unwrap_or(&row_ids);
        (field.name().clone(), Arc::clone(column), false)
    });
    let batch = RecordBatch::try_from_iter_with_nullable(columns.collect::<Vec<_>>()).expect("columns of one length");
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).expect("a schema");
    writer.write(&batch).and_then(|()| writer.finish()).expect("rows in memory");
    drop(writer);
    bytes
}

/// Decisions of [`file_of`], in its order.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    // One frame: timestamp, position, kind, durable, built; then what the kind asks for.
    let write = |parts: &[u8], deletes: &[u8]| [&[1, 1, 0, 0, 0, 0, 0][..], parts, deletes].concat();
    let row_part = [1, 0, 0];
    let one_write = write(&row_part, &[0, 0, 0]);
    let two = [&[2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 2, 0, 1, 0][..], &[1, 0, 1, 0, 0, 2, 1, 2]].concat();
    let raw =
        [&[1, 1, 0, 0, 0, 1][..], &counted(b"preamble"), &[1], &counted(b"part"), &[0, 0], b"DCW1 no frame"].concat();
    let controls: Vec<Vec<u8>> = (1..6u8).map(|kind| vec![1, 1, 0, kind, 0, 0, 2, 1, 2]).collect();
    [vec![Vec::new(), one_write, two, raw], controls].concat()
}
