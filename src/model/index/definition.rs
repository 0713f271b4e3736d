//! A definition as a whole: the type that a field can have, and the choice that a client leaves to the server.

use super::{
    fault::IndexFault,
    kind::{self, IndexKind},
    pairs::{AUTO_INDEX, INDEX_TYPE, METRIC_TYPE, Pairs},
};
use crate::model::{DataType, Field, Metric};

/// The kinds of index over texts and over numbers.
const TRIE: &str = "Trie";
const STL_SORT: &str = "STL_SORT";

/// A checked definition of an index over a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexDefinition {
    pub kind: IndexKind,
    /// None for an index over scalars. Milvus lets HNSW combine every metric with every kind of vector; a builder refuses
    /// a metric that the vectors do not have.
    pub metric: Option<Metric>,
    /// The client left the choice of the kind to the server.
    pub is_auto: bool,
}

impl IndexDefinition {
    /// Reads and checks the pairs of a definition for a field, those of a client or of the catalog. The value of the key
    /// `params` is a JSON object with more pairs; a key that is given twice counts as given last.
    ///
    /// # Errors
    /// The first fault in the order of Milvus' checks.
    pub fn of(field: &Field, pairs: &[(String, String)]) -> Result<Self, IndexFault> {
        let pairs = Pairs::of(pairs)?;
        match field.data_type {
            DataType::FloatVector | DataType::BinaryVector => Self::of_vectors(field, pairs),
            DataType::VarChar => Self::of_scalars(&pairs, IndexKind::Trie, TRIE, "marisa-trie"),
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float
            | DataType::Double => Self::of_scalars(&pairs, IndexKind::StlSort, STL_SORT, "Asceneding"),
            other @ (DataType::Bool | DataType::Json | DataType::Array) => Err(IndexFault::Field(other)),
        }
    }

    /// Each scalar type has one kind of index, with an older name beside it.
    fn of_scalars(pairs: &Pairs, kind: IndexKind, name: &'static str, older: &str) -> Result<Self, IndexFault> {
        match pairs.get(INDEX_TYPE) {
            Some(got) if got != name && got != older => {
                Err(IndexFault::ScalarType { expected: name, got: got.to_owned() })
            }
            _ => Ok(Self { kind, metric: None, is_auto: false }),
        }
    }

    fn of_vectors(field: &Field, mut pairs: Pairs) -> Result<Self, IndexFault> {
        let given = pairs.get(INDEX_TYPE);
        let is_auto = given.is_none_or(|given| given == AUTO_INDEX);
        if is_auto {
            let others = pairs.len() - usize::from(given.is_some()) - usize::from(pairs.get(METRIC_TYPE).is_some());
            if others > 0 {
                return Err(IndexFault::MoreThanAuto);
            }
            pairs.fill_auto();
        }
        let (kind, metric) = kind::check(field, &pairs)?;
        Ok(Self { kind, metric: Some(metric), is_auto })
    }

    /// The pairs that Milvus describes and compares: those of the client, with its own choices written out.
    pub fn described(&self, given: Vec<(String, String)>) -> Vec<(String, String)> {
        match (self.is_auto, self.metric) {
            (true, Some(metric)) => {
                vec![(INDEX_TYPE.to_owned(), AUTO_INDEX.to_owned()), (METRIC_TYPE.to_owned(), metric.name().to_owned())]
            }
            _ => given,
        }
    }

    /// The pairs of a definition as Milvus' statistics tell them: those that it describes, or, if there are none, the kind
    /// that it has chosen over scalars.
    pub fn chosen(field: &Field, described: &[(String, String)]) -> Vec<(String, String)> {
        let kind = match Self::of(field, described) {
            Ok(Self { kind: IndexKind::Trie, .. }) => TRIE,
            Ok(Self { kind: IndexKind::StlSort, .. }) => STL_SORT,
            _ => return described.to_vec(),
        };
        match described {
            [] => vec![(INDEX_TYPE.to_owned(), kind.to_owned())],
            given => given.to_vec(),
        }
    }
}
