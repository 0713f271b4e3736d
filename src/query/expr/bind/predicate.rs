//! The parts of an expression that are true or false.
//!
//! Must never take an operand for one of them.

use super::{
    super::{
        ast::{Expr, Function, Node},
        bound::{ContainsMode, Predicate, ValueSource},
        error::ExprFault,
    },
    binder::Binder,
    operand::Operand,
};

impl Binder<'_, '_> {
    pub(super) fn predicate(&mut self, expr: &Expr) -> Result<Predicate, ExprFault> {
        match &expr.node {
            Node::All(parts) => Ok(Predicate::All(self.operands_of("and", parts)?)),
            Node::Any(parts) => Ok(Predicate::Any(self.operands_of("or", parts)?)),
            Node::Not(inner) if !is_predicate(inner) => {
                Err(ExprFault::new(inner.at, "not op can only be applied on boolean expression"))
            }
            Node::Not(inner) => Ok(Predicate::Not(self.boxed(inner)?)),
            Node::Compare(op, left, right) => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                self.compare(expr.at, *op, left, right)
            }
            Node::Range(low, op1, value, op2, high) => self.range(low, *op1, value, *op2, high),
            Node::In { value, list, negated } => {
                let found = self.membership(value, list)?;
                if !*negated {
                    return Ok(found);
                }
                self.take(size_of::<Predicate>())?;
                Ok(Predicate::Not(Box::new(found)))
            }
            Node::Like(value, pattern) => self.like(value, pattern),
            Node::Exists(column) => match self.value(expr.at, column)? {
                Operand::Value(ValueSource::Json(field, path)) => Ok(Predicate::Exists(field, path)),
                operand => Err(ExprFault::new(
                    expr.at,
                    format_args!("exists operations are only supported on json keys, got: {}", operand.type_name()),
                )),
            },
            Node::Call(Function::ContainsAll, arguments) => {
                self.contains(expr.at, "contains_all", ContainsMode::All, arguments)
            }
            Node::Call(Function::ContainsAny, arguments) => {
                self.contains(expr.at, "contains_any", ContainsMode::Any, arguments)
            }
            Node::Call(Function::Contains, arguments) => {
                self.contains(expr.at, "contains", ContainsMode::Any, arguments)
            }
            Node::Literal(_)
            | Node::Column(_)
            | Node::List(_)
            | Node::Negate(_)
            | Node::Arithmetic(..)
            | Node::Call(Function::ArrayLength, _) => {
                let kind = self.operand(expr)?.type_name();
                Err(ExprFault::new(
                    expr.at,
                    format_args!("predicate is not a boolean expression: {expr}, data type: {kind}"),
                ))
            }
        }
    }

    fn operands_of(&mut self, operator: &str, parts: &[Expr]) -> Result<Vec<Predicate>, ExprFault> {
        self.take(parts.len() * size_of::<Predicate>())?;
        let mut operands = Vec::with_capacity(parts.len());
        for part in parts {
            if !is_predicate(part) {
                let message = format_args!("'{operator}' can only be used between boolean expressions");
                return Err(ExprFault::new(part.at, message));
            }
            operands.push(self.predicate(part)?);
        }
        Ok(operands)
    }

    fn boxed(&mut self, expr: &Expr) -> Result<Box<Predicate>, ExprFault> {
        self.take(size_of::<Predicate>())?;
        Ok(Box::new(self.predicate(expr)?))
    }
}

fn is_predicate(expr: &Expr) -> bool {
    !matches!(
        expr.node,
        Node::Literal(_)
            | Node::Column(_)
            | Node::List(_)
            | Node::Negate(_)
            | Node::Arithmetic(..)
            | Node::Call(Function::ArrayLength, _)
    )
}
