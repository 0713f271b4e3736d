//! The kinds of vector indexes: which vectors, metrics and numbers each of them takes.

use super::{
    fault::{IndexFault, VectorKind},
    pairs::{DIM, INDEX_TYPE, METRIC_TYPE, Pairs},
};
use crate::model::{DataType, Field, Metric};

const FLOAT_METRICS: &[Metric] = &[Metric::L2, Metric::Ip, Metric::Cosine];
const BINARY_METRICS: &[Metric] = &[Metric::Hamming, Metric::Jaccard, Metric::Substructure, Metric::Superstructure];
const BINARY_IVF_METRICS: &[Metric] = &[Metric::Hamming, Metric::Jaccard];
const HNSW_METRICS: &[Metric] = &[Metric::L2, Metric::Ip, Metric::Cosine, Metric::Hamming, Metric::Jaccard];

/// Bits of a code when a definition gives none, and the only number for IVF_SQ8.
const DEFAULT_BITS: u32 = 8;

/// A kind of index with its parameters. Numbers are inside the ranges that Milvus allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    Flat,
    IvfFlat {
        lists: u32,
    },
    /// Components of 8 bits.
    IvfSq8 {
        lists: u32,
    },
    /// `parts` divides the dimension; `bits` are those of the code of one part.
    IvfPq {
        lists: u32,
        parts: u32,
        bits: u32,
    },
    /// Over an even dimension.
    Scann {
        lists: u32,
    },
    /// `links` of a node, and the width of the search while the graph is built.
    Hnsw {
        links: u32,
        ef_construction: u32,
    },
    DiskAnn,
    BinFlat,
    BinIvfFlat {
        lists: u32,
    },
    GpuIvfFlat {
        lists: u32,
    },
    /// `parts` of 0: the builder's choice.
    GpuIvfPq {
        lists: u32,
        parts: u32,
        bits: u32,
    },
    /// Sorted numbers.
    StlSort,
    /// A trie of texts.
    Trie,
}

/// The kind that the pairs name, with its numbers, and the metric.
pub(super) fn check(field: &Field, pairs: &Pairs) -> Result<(IndexKind, Metric), IndexFault> {
    let name = pairs.get(INDEX_TYPE).unwrap_or_default();
    let is_over = match name {
        "FLAT" | "IVF_FLAT" | "IVF_SQ8" | "IVF_PQ" | "SCANN" | "DISKANN" | "GPU_IVF_FLAT" | "GPU_IVF_PQ" => {
            Some(VectorKind::Float)
        }
        "BIN_FLAT" | "BIN_IVF_FLAT" => Some(VectorKind::Binary),
        "HNSW" => None,
        other => return Err(IndexFault::UnknownType(other.to_owned())),
    };
    check_dimension(field, pairs)?;
    let has = if field.data_type == DataType::BinaryVector { VectorKind::Binary } else { VectorKind::Float };
    if let Some(other) = is_over.filter(|kind| *kind != has) {
        return Err(IndexFault::Vectors(other));
    }
    let dim = field.dim.unwrap_or_default();
    let lists = || range(pairs, "nlist", 1, 65_536);
    Ok(match name {
        "FLAT" => (IndexKind::Flat, metric(pairs, FLOAT_METRICS)?),
        "IVF_FLAT" => (IndexKind::IvfFlat { lists: lists()? }, metric(pairs, FLOAT_METRICS)?),
        "GPU_IVF_FLAT" => (IndexKind::GpuIvfFlat { lists: lists()? }, metric(pairs, FLOAT_METRICS)?),
        "IVF_SQ8" => {
            if pairs.get("nbits").is_some_and(|bits| bits.parse() != Ok(DEFAULT_BITS)) {
                return Err(IndexFault::SqBits);
            }
            (IndexKind::IvfSq8 { lists: lists()? }, metric(pairs, FLOAT_METRICS)?)
        }
        "IVF_PQ" => {
            let (lists, metric) = (lists()?, metric(pairs, FLOAT_METRICS)?);
            let (parts, bits) = product(pairs, dim, 1)?;
            (IndexKind::IvfPq { lists, parts, bits }, metric)
        }
        "GPU_IVF_PQ" => {
            let (lists, metric) = (lists()?, metric(pairs, FLOAT_METRICS)?);
            let (parts, bits) = product(pairs, dim, 0)?;
            (IndexKind::GpuIvfPq { lists, parts, bits }, metric)
        }
        "SCANN" => {
            let found = (IndexKind::Scann { lists: lists()? }, metric(pairs, FLOAT_METRICS)?);
            if !dim.is_multiple_of(2) {
                return Err(IndexFault::OddDimension(dim));
            }
            found
        }
        "HNSW" => {
            let ef_construction = range(pairs, "efConstruction", 1, i32::MAX as u32)?;
            let links = range(pairs, "M", 1, 2048)?;
            (IndexKind::Hnsw { links, ef_construction }, metric(pairs, HNSW_METRICS)?)
        }
        "DISKANN" => (IndexKind::DiskAnn, metric(pairs, FLOAT_METRICS)?),
        "BIN_FLAT" => (IndexKind::BinFlat, metric(pairs, BINARY_METRICS)?),
        // Milvus asks twice, and lists other metrics each time.
        _ => {
            metric(pairs, BINARY_METRICS)?;
            let metric = metric(pairs, BINARY_IVF_METRICS)?;
            (IndexKind::BinIvfFlat { lists: lists()? }, metric)
        }
    })
}

/// A dimension may be repeated, and is then the field's.
fn check_dimension(field: &Field, pairs: &Pairs) -> Result<(), IndexFault> {
    let given = field.type_params.iter().find(|(key, _)| key == DIM).map(|(_, value)| value.as_str());
    match (given, pairs.get(DIM)) {
        (Some(schema), Some(got)) if schema != got => {
            Err(IndexFault::Dimension { schema: schema.to_owned(), got: got.to_owned() })
        }
        _ => Ok(()),
    }
}

fn metric(pairs: &Pairs, allowed: &'static [Metric]) -> Result<Metric, IndexFault> {
    let given = pairs.get(METRIC_TYPE);
    let found = allowed.iter().find(|metric| given == Some(metric.name()));
    found.copied().ok_or(IndexFault::Metric(allowed))
}

fn range(pairs: &Pairs, key: &'static str, least: u32, most: u32) -> Result<u32, IndexFault> {
    let number = pairs.get(key).and_then(|text| text.parse().ok());
    number.filter(|number| (least..=most).contains(number)).ok_or(IndexFault::Range { key, least, most })
}

/// Parts and bits of product quantization.
fn product(pairs: &Pairs, dim: u32, least_parts: u32) -> Result<(u32, u32), IndexFault> {
    let bits = match pairs.get("nbits") {
        None => DEFAULT_BITS,
        Some(text) => text.parse().map_err(|_| IndexFault::BadBits(text.to_owned()))?,
    };
    let text = pairs.get("m").ok_or(IndexFault::NoParts)?;
    let parts = text.parse().ok().filter(|parts| *parts >= least_parts);
    let parts: u32 = parts.ok_or_else(|| IndexFault::BadParts(text.to_owned()))?;
    if parts != 0 && !dim.is_multiple_of(parts) {
        return Err(IndexFault::Indivisible { dim, parts });
    }
    Ok((parts, bits))
}
