//! The shape of a graph: the vectors' dimension and metric, and the width of the graph.

use serde::{Deserialize, Serialize};

use crate::model::{DataType, Field, IndexDefinition, IndexKind, Metric};

/// Links of a node and width of the building search for kinds that are not graphs in Milvus. They find at least as
/// many of the nearest rows as those kinds do with their usual parameters.
const IVF_LINKS: u32 = 16;
const IVF_WIDTH: u32 = 200;
const DISK_LINKS: u32 = 24;
const DISK_WIDTH: u32 = 240;

/// Wider searches while building find nothing more, and the engine reserves memory for the width.
const MOST_WIDTH: u32 = 4096;
/// Bytes of a link, and of a node beside its links and its vector: key, level, place in tables.
const LINK_BYTES: u64 = 4;
const NODE_BYTES: u64 = 80;

/// Everything that decides over the bytes of a graph, beside the vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphShape {
    /// L2, IP or COSINE.
    pub metric: Metric,
    pub dim: u32,
    /// Links of a node; twice as many in the lowest layer.
    pub links: u32,
    /// Nodes that are kept in view while a node is linked.
    pub width: u32,
}

impl GraphShape {
    /// The graph that serves an index of this definition. None: exact search serves it (FLAT, and all indexes of binary
    /// vectors), or no search does (scalar indexes).
    pub fn of(definition: &IndexDefinition, field: &Field) -> Option<Self> {
        if field.data_type != DataType::FloatVector {
            return None;
        }
        let metric = definition.metric.filter(|metric| metric.fits(field.data_type))?;
        let (links, width) = match definition.kind {
            IndexKind::Hnsw { links, ef_construction } => (links, ef_construction),
            IndexKind::IvfFlat { .. }
            | IndexKind::IvfSq8 { .. }
            | IndexKind::IvfPq { .. }
            | IndexKind::Scann { .. }
            | IndexKind::GpuIvfFlat { .. }
            | IndexKind::GpuIvfPq { .. } => (IVF_LINKS, IVF_WIDTH),
            IndexKind::DiskAnn => (DISK_LINKS, DISK_WIDTH),
            IndexKind::Flat
            | IndexKind::BinFlat
            | IndexKind::BinIvfFlat { .. }
            | IndexKind::StlSort
            | IndexKind::Trie => return None,
        };
        // A node without links or with one is no graph.
        Some(Self { metric, dim: field.dim?, links: links.max(2), width: width.clamp(links.max(2), MOST_WIDTH) })
    }

    /// Bytes of a vector with its node, estimated from above.
    pub fn row_bytes(&self) -> u64 {
        u64::from(self.dim) * 4 + (3 * u64::from(self.links) + 2) * LINK_BYTES + NODE_BYTES
    }
}
