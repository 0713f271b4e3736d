//! Filters for tests, with as much memory as they want.

use datacoord::{
    model::CollectionSchema,
    query::{BoundExpr, ExprError, FilterError, expr},
};

use super::pools;

pub(crate) fn compile(text: &str, schema: &CollectionSchema) -> Result<Option<BoundExpr>, ExprError> {
    expr::compile(text, schema, &pools::growth(u64::MAX)).map_err(refused)
}

pub(crate) fn parse(text: &str) -> Result<Option<expr::Expr>, ExprError> {
    expr::parse(text, &mut pools::ample()).map_err(refused)
}

fn refused(error: FilterError) -> ExprError {
    match error {
        FilterError::Expr(error) => error,
        FilterError::Memory(full) => panic!("memory of a test: {full}"),
    }
}
