//! The type rules of expressions: which constants fit which values, as observed on Milvus 2.3.5.

use super::{ast::Literal, bound::ValueSource, error::ExprFault, value::Item};
use crate::model::DataType;

pub(super) fn literal_type(literal: &Literal) -> DataType {
    match literal {
        Literal::Bool(_) => DataType::Bool,
        Literal::Int(_) => DataType::Int64,
        Literal::Float(_) => DataType::Double,
        Literal::Str(_) => DataType::VarChar,
    }
}

pub(super) fn source_type(source: &ValueSource) -> DataType {
    match source {
        ValueSource::Field(field) => field.kind,
        ValueSource::Json(..) => DataType::Json,
        ValueSource::Element(_, _, kind) => *kind,
    }
}

fn is_integer(kind: DataType) -> bool {
    matches!(kind, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

pub(super) fn is_float(kind: DataType) -> bool {
    matches!(kind, DataType::Float | DataType::Double)
}

pub(super) fn is_number(kind: DataType) -> bool {
    is_integer(kind) || is_float(kind)
}

pub(super) fn is_comparable(kind: DataType) -> bool {
    is_number(kind) || matches!(kind, DataType::Bool | DataType::VarChar | DataType::Json)
}

pub(super) fn whole_json(at: usize) -> ExprFault {
    ExprFault::new(at, "can not comparisons jsonField directly")
}

pub(super) fn mismatch(at: usize, left: &str, right: &str) -> ExprFault {
    ExprFault::new(at, format_args!("comparisons between {left} and {right} are not supported"))
}

/// The constant as a value of the source's type. Integers become floats for a float field, never the reverse. Their range
/// is not checked: a comparison with a number out of the field's range has a clear result.
pub(super) fn fit(at: usize, source: &ValueSource, literal: Literal) -> Result<Literal, ExprFault> {
    let kind = source_type(source);
    match (kind, literal) {
        (DataType::Json, literal)
        | (DataType::Bool, literal @ Literal::Bool(_))
        | (DataType::VarChar, literal @ Literal::Str(_)) => Ok(literal),
        (kind, literal @ Literal::Int(_)) if is_integer(kind) => Ok(literal),
        (kind, Literal::Float(value)) if is_integer(kind) => {
            Err(ExprFault::new(at, format_args!("cannot cast value to {}, value: {value:?}", kind.name())))
        }
        (kind, Literal::Int(value)) if is_float(kind) => Ok(Literal::Float(rounded(kind, value as f64))),
        (kind, Literal::Float(value)) if is_float(kind) => Ok(Literal::Float(rounded(kind, value))),
        (DataType::Array, _) => Err(ExprFault::new(at, "can not comparisons array fields directly")),
        (kind, literal) => Err(mismatch(at, kind.name(), literal_type(&literal).name())),
    }
}

fn rounded(kind: DataType, value: f64) -> f64 {
    if kind == DataType::Float { f64::from(value as f32) } else { value }
}

/// An item as an element of an array of this type. The error is the name of the item's own type.
pub(super) fn element_item(element: DataType, item: Item) -> Result<Item, &'static str> {
    match item {
        Item::Literal(Literal::Int(value)) if is_float(element) => {
            Ok(Item::Literal(Literal::Float(rounded(element, value as f64))))
        }
        Item::Literal(Literal::Float(value)) if is_float(element) => {
            Ok(Item::Literal(Literal::Float(rounded(element, value))))
        }
        Item::Literal(literal) => match (&literal, element) {
            (Literal::Int(_) | Literal::Float(_), kind) if is_integer(kind) => Ok(Item::Literal(literal)),
            (Literal::Bool(_), DataType::Bool) | (Literal::Str(_), DataType::VarChar) => Ok(Item::Literal(literal)),
            _ => Err(literal_type(&literal).name()),
        },
        Item::List(_) => Err("Array"),
    }
}
