//! Collection schemas: as clients define them, and as they are described back.
//!
//! Rules and limits are those of Milvus 2.3.5, so that a described schema shows exactly the rules that are enforced. Features of
//! later releases that would change how rows are stored or read are refused by name. Settings that change nothing here
//! (memory mapping, unknown type parameters) are accepted, and type and index parameters are described as the client sent
//! them.
//!
//! Must never: let a schema through that the stored formats can't represent.
//!
//! ```text
//! define       a request becomes a CollectionDefinition
//!   rules      refusals of Milvus, and their texts
//!   sizes      dimensions, lengths and capacities
//! defaults     default values of fields: their rules, from and to messages
//! describe     the answer of DescribeCollection
//! error        SchemaError and its Milvus codes
//! ```

mod defaults;
mod define;
mod describe;
mod error;
mod rules;
mod sizes;

pub use define::{CollectionDefinition, define};
pub use describe::describe;
pub use error::SchemaError;
pub use rules::DYNAMIC_FIELD;

#[cfg(test)]
mod tests;
