//! Index definitions: the pairs that a client gives become typed parameters, or a fault that says why not.
//!
//! The rules and their order are those of Milvus 2.3.5. The pairs are stored as they came, because clients ask for them
//! again; builders of indexes read them through [`IndexDefinition::of`]. Must never build or store anything.

mod definition;
mod fault;
mod kind;
mod pairs;
#[cfg(test)]
mod tests;

pub use definition::IndexDefinition;
pub use fault::{IndexFault, VectorKind};
pub use kind::IndexKind;
pub use pairs::AUTO_INDEX;
