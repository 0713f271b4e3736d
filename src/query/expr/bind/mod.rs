//! Resolves names to fields and checks that the parts of an expression fit together, as Milvus 2.3.5 does.
//!
//! Accepts some expressions that 2.3.5 refuses: arithmetic may be nested, may join fields and may stand in any comparison;
//! lists of JSON values may mix types; `like` takes any pattern.
//! Must never make a part of the bound form before its memory is taken.

mod binder;
mod comparison;
mod operand;
mod predicate;

use std::{collections::BTreeSet, sync::Arc};

use self::binder::Binder;
use super::{ast::Expr, bound::BoundExpr, error::FilterError};
use crate::{memory::Extra, model::CollectionSchema};

/// Checks `expr`, the tree of `text`, against a schema. The result takes its memory from `memory`, and keeps it.
///
/// # Errors
/// [`FilterError`] if the expression does not fit the schema, or there is no memory for its form that is evaluated.
pub fn bind(text: &str, expr: &Expr, schema: &CollectionSchema, mut memory: Extra) -> Result<BoundExpr, FilterError> {
    let mut binder = Binder { schema, fields: BTreeSet::new(), memory: &mut memory };
    let root = binder.predicate(expr).map_err(|fault| FilterError::of_meaning(text, fault))?;
    let fields = binder.fields.into_iter().collect();
    Ok(BoundExpr { root: Arc::new(root), fields, _memory: Arc::new(memory) })
}
