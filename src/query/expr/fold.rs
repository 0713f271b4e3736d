//! Arithmetic of constants, computed while an expression is bound. Must never wrap: a result that does not fit is an error.

use super::{
    ast::{ArithmeticOp, Literal},
    error::ExprFault,
};

pub(super) fn negate(at: usize, value: &Literal) -> Result<Literal, ExprFault> {
    match value {
        Literal::Int(v) => v.checked_neg().map(Literal::Int).ok_or_else(|| overflow(at)),
        Literal::Float(v) => Ok(Literal::Float(-v)),
        Literal::Bool(_) | Literal::Str(_) => Err(not_numbers(at, "-")),
    }
}

/// Integers stay integers (division truncates), except that a power is always a float. Milvus does the same.
pub(super) fn arithmetic(at: usize, op: ArithmeticOp, left: &Literal, right: &Literal) -> Result<Literal, ExprFault> {
    let (Some(a), Some(b)) = (as_f64(left), as_f64(right)) else { return Err(not_numbers(at, &op.to_string())) };
    if matches!(op, ArithmeticOp::Divide | ArithmeticOp::Modulo) && b == 0.0 {
        return Err(ExprFault::new(at, "division by zero"));
    }
    if let (Literal::Int(a), Literal::Int(b)) = (left, right)
        && op != ArithmeticOp::Power
    {
        return match op {
            ArithmeticOp::Add => a.checked_add(*b),
            ArithmeticOp::Subtract => a.checked_sub(*b),
            ArithmeticOp::Multiply => a.checked_mul(*b),
            ArithmeticOp::Divide => a.checked_div(*b),
            // `checked_rem` would refuse the smallest integer by -1, whose remainder is 0. Zero was refused above.
            _ => Some(a.wrapping_rem(*b)),
        }
        .map(Literal::Int)
        .ok_or_else(|| overflow(at));
    }
    let value = match op {
        ArithmeticOp::Add => a + b,
        ArithmeticOp::Subtract => a - b,
        ArithmeticOp::Multiply => a * b,
        ArithmeticOp::Divide => a / b,
        ArithmeticOp::Modulo => return Err(ExprFault::new(at, "modulo can only apply on integer types")),
        ArithmeticOp::Power => a.powf(b),
    };
    if value.is_finite() { Ok(Literal::Float(value)) } else { Err(ExprFault::new(at, "result does not fit a double")) }
}

fn as_f64(literal: &Literal) -> Option<f64> {
    match literal {
        Literal::Int(v) => Some(*v as f64),
        Literal::Float(v) => Some(*v),
        Literal::Bool(_) | Literal::Str(_) => None,
    }
}

fn overflow(at: usize) -> ExprFault {
    ExprFault::new(at, "result does not fit 64 bits")
}

fn not_numbers(at: usize, operator: &str) -> ExprFault {
    ExprFault::new(
        at,
        format_args!("'{operator}' can only be used between integer or floating or json field expressions"),
    )
}
