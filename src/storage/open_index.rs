//! The index of a segment as a search uses it: its graphs, and keys and timestamps of the rows, to which places lead.
//!
//! Must never: use bytes of an object before they were compared with its checksum.

use arrow_array::{Array, RecordBatch};
use futures::TryStreamExt;

use super::{
    MappedFolder, checksum::StoredObject, error::StorageError, segment_reader::read_columns, store::SegmentStore,
};
use crate::{
    background::blocking,
    binlog::BinlogError,
    graph::{Graph, GraphError, GraphShape, Walk},
    memory::Spare,
    model::{CollectionSchema, FieldId, LogIds, SegmentIndex, SegmentLogs},
};

/// Rows of a batch while keys are read.
const BATCH_ROWS: usize = 64 << 10;
/// Memory of a key and its timestamp before they are read, estimated.
const ROW_BYTES: u64 = 32;

/// How the graphs of an index are opened.
#[derive(Debug, Clone)]
pub struct IndexOpening<'a> {
    pub shape: &'a GraphShape,
    pub walk: Walk,
    /// Where their bytes are. None: in memory.
    pub mapped: Option<&'a MappedFolder>,
    /// The memory that was reserved for them.
    pub memory: Spare,
}

/// The index of one field of one segment.
#[derive(Debug)]
pub struct OpenIndex {
    /// Each has some of the rows.
    pub graphs: Vec<Graph>,
    /// Primary key and timestamp of every row of the segment, by place.
    pub rows: RecordBatch,
}

impl OpenIndex {
    /// Memory that opening it takes, in bytes, estimated.
    pub fn estimate_bytes(index: &SegmentIndex, rows: u64, shape: &GraphShape, walk: Walk) -> u64 {
        let nodes: u64 = index.parts.iter().map(|part| part.rows).sum();
        index
            .bytes()
            .saturating_add(Graph::bytes_beside(shape, nodes, walk))
            .saturating_add(rows.saturating_mul(ROW_BYTES))
    }

    /// Memory that it takes, in bytes.
    pub fn bytes_in_memory(&self) -> u64 {
        let keys = self.rows.columns().iter().map(|column| column.get_array_memory_size() as u64).sum::<u64>();
        self.graphs.iter().map(Graph::bytes_in_memory).sum::<u64>() + keys
    }

    /// Reads an index. Its graphs are in memory, or mapped. If the caller leaves, the graph under way is opened to its end
    /// and dropped, and its memory counts until then.
    ///
    /// # Errors
    /// Of kind corrupt if an object is missing or damaged, or is another index.
    pub async fn read(
        store: &SegmentStore,
        ids: LogIds,
        index: &SegmentIndex,
        (schema, logs): (&CollectionSchema, &SegmentLogs),
        opening: IndexOpening<'_>,
    ) -> Result<Self, StorageError> {
        let mut graphs = Vec::with_capacity(index.parts.len());
        let places = logs.rows();
        for (number, part) in index.parts.iter().enumerate() {
            let object = StoredObject::index(ids, index, number, part);
            let bytes = store.get(&object.path).await?;
            let (shape, walk, mapped) = (*opening.shape, opening.walk, opening.mapped.cloned());
            let memory = opening.memory.for_thread();
            let open = move || {
                let _counted = memory;
                object.check(&bytes)?;
                let bytes = match mapped {
                    Some(folder) => folder.hold(&bytes)?,
                    None => bytes,
                };
                Graph::open(bytes, shape, places, walk).map_err(|error| unusable(&object, &error))
            };
            graphs.push(blocking(open).await?);
        }
        let fields = [schema.primary_key().id, FieldId::TIMESTAMP];
        let batches: Vec<RecordBatch> =
            read_columns(store, ids, logs, schema, &fields, BATCH_ROWS).try_collect().await?;
        let Some(first) = batches.first() else {
            return Err(StorageError::Segment {
                segment: ids.segment.0,
                field: index.field,
                what: "has no rows".into(),
            });
        };
        let rows = arrow_select::concat::concat_batches(&first.schema(), &batches);
        let rows = rows.map_err(|error| StorageError::Task(format!("keys of an index: {error}")))?;
        Ok(Self { graphs, rows })
    }
}

fn unusable(object: &StoredObject, error: &GraphError) -> StorageError {
    match error {
        GraphError::Engine(what) => {
            StorageError::Full { operation: "open", object: object.path.to_string(), what: what.clone() }
        }
        GraphError::Other { .. } => {
            let source = BinlogError::Corrupt { offset: 0, what: error.to_string() };
            StorageError::Object { object: object.path.to_string(), source }
        }
    }
}
