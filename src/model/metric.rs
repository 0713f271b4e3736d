//! How near two vectors are: the metrics of Milvus.

use serde::{Deserialize, Serialize};

use super::DataType;

/// A metric of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The squared Euclidean distance.
    L2,
    /// The inner product.
    Ip,
    /// The cosine of the angle.
    Cosine,
    /// The number of bits that differ.
    Hamming,
    /// One minus the share of common bits in all bits that are set.
    Jaccard,
    /// 0 for vectors that have all bits of the query. Others are not found.
    Substructure,
    /// 0 for vectors whose bits are all in the query. Others are not found.
    Superstructure,
}

impl Metric {
    pub const ALL: [Self; 7] =
        [Self::L2, Self::Ip, Self::Cosine, Self::Hamming, Self::Jaccard, Self::Substructure, Self::Superstructure];

    /// The metric of this name, which is in upper case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::L2 => "L2",
            Self::Ip => "IP",
            Self::Cosine => "COSINE",
            Self::Hamming => "HAMMING",
            Self::Jaccard => "JACCARD",
            Self::Substructure => "SUBSTRUCTURE",
            Self::Superstructure => "SUPERSTRUCTURE",
        }
    }

    /// True if a greater value is nearer.
    pub fn greater_is_nearer(self) -> bool {
        matches!(self, Self::Ip | Self::Cosine)
    }

    /// False if values say only which vectors are found, so there is no range of them.
    pub fn has_ranges(self) -> bool {
        !matches!(self, Self::Substructure | Self::Superstructure)
    }

    /// True if vectors of the type have this metric.
    pub fn fits(self, vectors: DataType) -> bool {
        match self {
            Self::L2 | Self::Ip | Self::Cosine => vectors == DataType::FloatVector,
            Self::Hamming | Self::Jaccard | Self::Substructure | Self::Superstructure => {
                vectors == DataType::BinaryVector
            }
        }
    }

    /// The metric of a search that names none, in a field without an index.
    pub fn default_of(vectors: DataType) -> Self {
        if vectors == DataType::BinaryVector { Self::Hamming } else { Self::L2 }
    }
}
