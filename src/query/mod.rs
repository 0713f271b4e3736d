//! Reads: filters, queries and counts over growing and flushed segments minus deletes.

pub mod error;
pub mod expr;

pub use error::QueryError;
pub use expr::{BoundExpr, ExprError, PkFilter, compile};
