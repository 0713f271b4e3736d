//! The sides of comparisons: constants, lists, fields, elements and keys of fields, arithmetic.
//!
//! Must never name a field that the schema doesn't have.

use super::{
    super::{
        ast::{ArithmeticOp, Column, Expr, Function, List, Literal, Node, Step},
        bound::{FieldRef, Term, ValueSource},
        error::ExprFault,
        fold,
        num::Num,
        room::{ALLOCATION, text_bytes},
        types::{is_float, is_number, literal_type, source_type, whole_json},
        value::Item,
    },
    binder::Binder,
};
use crate::model::{CollectionSchema, DataType, Field};

/// Memory of a constant in a list that is compared with lists: as it is read, and in a set.
const ITEM_BYTES: u64 = 256;
/// The name of a column.
const FIELD_BYTES: usize = 48;

/// One side of a comparison.
pub(super) enum Operand {
    Constant(Literal),
    List(Vec<Item>),
    Value(ValueSource),
    /// A JSON field without a key.
    WholeJson,
    Number(Term),
    Boolean,
}

impl Operand {
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Constant(literal) => literal_type(literal).name(),
            Self::List(_) => "Array",
            Self::Value(source) => source_type(source).name(),
            Self::WholeJson => "JSON",
            Self::Number(_) => "arithmetic",
            Self::Boolean => "Bool",
        }
    }
}

impl Binder<'_, '_> {
    pub(super) fn operand(&mut self, expr: &Expr) -> Result<Operand, ExprFault> {
        match &expr.node {
            Node::Literal(literal) => self.constant(literal).map(Operand::Constant),
            Node::List(items) => Ok(Operand::List(self.items(items)?)),
            Node::Column(column) => self.value(expr.at, column),
            Node::Negate(inner) => match self.operand(inner)? {
                Operand::Constant(literal) => fold::negate(expr.at, &literal).map(Operand::Constant),
                operand => self.term(Term::Negate(Box::new(number(inner.at, "-", operand)?))),
            },
            Node::Arithmetic(op, left_expr, right_expr) => {
                match (self.operand(left_expr)?, self.operand(right_expr)?) {
                    (Operand::Constant(left), Operand::Constant(right)) => {
                        fold::arithmetic(expr.at, *op, &left, &right).map(Operand::Constant)
                    }
                    (left, right) => {
                        let term = arithmetic(expr, *op, (left_expr.at, left), (right_expr.at, right))?;
                        self.term(term)
                    }
                }
            }
            Node::Call(Function::ArrayLength, arguments) => self.length(expr.at, arguments),
            _ => Ok(Operand::Boolean),
        }
    }

    pub(super) fn value(&mut self, at: usize, column: &Column) -> Result<Operand, ExprFault> {
        // The name of a column, and the path with one more step.
        self.take(FIELD_BYTES + (column.path.len() + 1) * (size_of::<Step>() + ALLOCATION) + column.name.len())?;
        for step in &column.path {
            if let Step::Key(key) = step {
                self.memory.take(key.len() as u64)?;
            }
        }
        let schema = self.schema;
        let (field, path) = match (schema.field(&column.name), schema.dynamic_field()) {
            (Some(field), _) => (field, column.path.clone()),
            (None, Some(dynamic)) if column.name == "$meta" => (dynamic, column.path.clone()),
            (None, Some(dynamic)) => {
                let mut path = vec![Step::Key(column.name.clone())];
                path.extend(column.path.iter().cloned());
                (dynamic, path)
            }
            (None, None) => return Err(ExprFault::new(at, format_args!("field {} not exist", column.name))),
        };
        self.fields.insert(field.id);
        let reference = reference(field, schema);
        match (field.data_type, path.as_slice()) {
            (DataType::Json, []) => Ok(Operand::WholeJson),
            (DataType::Json, _) => Ok(Operand::Value(ValueSource::Json(reference, path))),
            (_, []) => Ok(Operand::Value(ValueSource::Field(reference))),
            (DataType::Array, [Step::Index(index)]) => {
                let kind = field
                    .element_type
                    .ok_or_else(|| ExprFault::new(at, format_args!("array {} has no element type", field.name)))?;
                // An index beyond the address space is beyond the end of every array.
                let index = usize::try_from(*index).unwrap_or(usize::MAX);
                Ok(Operand::Value(ValueSource::Element(reference, index, kind)))
            }
            (DataType::Array, _) => Err(ExprFault::new(at, "can only access array field with integer index")),
            (kind, _) => {
                Err(ExprFault::new(at, format_args!("{} data type not supported accessed with []", kind.name())))
            }
        }
    }

    /// Constants of a list.
    fn items(&mut self, list: &List) -> Result<Vec<Item>, ExprFault> {
        self.memory.take(list.len() as u64 * ITEM_BYTES)?;
        let mut items = Vec::with_capacity(list.len());
        for item in list.iter() {
            items.push(match self.operand(&item)? {
                Operand::Constant(literal) => Item::Literal(literal),
                Operand::List(items) => Item::List(items),
                _ => {
                    return Err(ExprFault::new(
                        item.at,
                        format_args!("value '{item}' in list cannot be a non-const expression"),
                    ));
                }
            });
        }
        Ok(items)
    }

    pub(super) fn item(&mut self, item: Item) -> Result<Vec<Item>, ExprFault> {
        self.memory.take(ITEM_BYTES)?;
        Ok(vec![item])
    }

    fn length(&mut self, at: usize, arguments: &[Expr]) -> Result<Operand, ExprFault> {
        let [argument] = arguments else {
            return Err(ExprFault::new(at, format_args!("array_length takes 1 argument, got {}", arguments.len())));
        };
        match self.operand(argument)? {
            Operand::Value(source) if matches!(source_type(&source), DataType::Array | DataType::Json) => {
                Ok(Operand::Number(Term::Length(source)))
            }
            Operand::WholeJson => Err(whole_json(argument.at)),
            _ => Err(ExprFault::new(
                argument.at,
                format_args!("array_length operation are only supported on json or array fields now, got: {argument}"),
            )),
        }
    }

    fn term(&mut self, term: Term) -> Result<Operand, ExprFault> {
        // Its children are in boxes.
        self.take(2 * (size_of::<Term>() + ALLOCATION))?;
        Ok(Operand::Number(term))
    }

    fn constant(&mut self, literal: &Literal) -> Result<Literal, ExprFault> {
        if let Literal::Str(text) = literal {
            self.memory.take(text_bytes(text))?;
        }
        Ok(literal.clone())
    }
}

fn reference(field: &Field, schema: &CollectionSchema) -> FieldRef {
    FieldRef {
        id: field.id,
        column: field.column_name(),
        kind: field.data_type,
        element: field.element_type,
        is_primary_key: schema.primary_key().id == field.id,
    }
}

pub(super) fn number(at: usize, operator: &str, operand: Operand) -> Result<Term, ExprFault> {
    match operand {
        Operand::Constant(Literal::Int(value)) => Ok(Term::Constant(Num::Int(value))),
        Operand::Constant(Literal::Float(value)) => Ok(Term::Constant(Num::Float(value))),
        Operand::Number(number) => Ok(number),
        Operand::Value(source) if is_number(source_type(&source)) || source_type(&source) == DataType::Json => {
            Ok(Term::Value(source))
        }
        Operand::WholeJson => Err(whole_json(at)),
        _ => {
            let message =
                format!("'{operator}' can only be used between integer or floating or json field expressions");
            Err(ExprFault::new(at, message))
        }
    }
}

fn arithmetic(
    expr: &Expr,
    op: ArithmeticOp,
    (left_at, left): (usize, Operand),
    (right_at, right): (usize, Operand),
) -> Result<Term, ExprFault> {
    let name = op.to_string();
    let left = number(left_at, &name, left)?;
    let right = number(right_at, &name, right)?;
    match op {
        ArithmeticOp::Power => Err(ExprFault::new(expr.at, format_args!("power can only apply on constants: {expr}"))),
        ArithmeticOp::Modulo if has_float(&left) || has_float(&right) => {
            Err(ExprFault::new(expr.at, "modulo can only apply on integer types"))
        }
        // Evaluating this crashes a Milvus 2.3.5 process.
        ArithmeticOp::Divide | ArithmeticOp::Modulo if matches!(right, Term::Constant(value) if value.as_f64() == 0.0) => {
            Err(ExprFault::new(right_at, "division by zero"))
        }
        _ => Ok(Term::Arithmetic(op, Box::new(left), Box::new(right))),
    }
}

fn has_float(number: &Term) -> bool {
    match number {
        Term::Constant(value) => matches!(value, Num::Float(_)),
        Term::Value(source) => is_float(source_type(source)),
        Term::Length(_) => false,
        Term::Negate(inner) => has_float(inner),
        Term::Arithmetic(_, left, right) => has_float(left) || has_float(right),
    }
}
