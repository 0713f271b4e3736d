//! Resolves names to fields and checks that the parts of an expression fit together, as Milvus 2.3.5 does.
//!
//! Accepts some expressions that 2.3.5 refuses: arithmetic may be nested, may join fields and may stand in any comparison;
//! lists of JSON values may mix types; `like` takes any pattern.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    ast::{ArithmeticOp, Column, CompareOp, Expr, Function, List, Literal, Node, Step},
    bound::{BoundExpr, ContainsMode, FieldRef, LiteralSet, Predicate, Term, Test, ValueSource},
    error::{ExprFault, FilterError},
    fold,
    like::{self, Pattern},
    num::Num,
    room::{ALLOCATION, text_bytes},
    types::{element_item, fit, is_comparable, is_float, is_number, literal_type, mismatch, source_type, whole_json},
    value::{Item, ItemList, ItemSet},
};
use crate::{
    memory::Extra,
    model::{CollectionSchema, DataType, Field, FieldId},
};

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

/// Memory of a constant in a list that is compared with lists: as it is read, and in a set.
const ITEM_BYTES: u64 = 256;
/// A key in the filters and deletes that are made of an expression.
const KEY_BYTES: u64 = 104;
/// The name of a column.
const FIELD_BYTES: usize = 48;

struct Binder<'s, 'm> {
    schema: &'s CollectionSchema,
    fields: BTreeSet<FieldId>,
    memory: &'m mut Extra,
}

/// One side of a comparison.
enum Operand {
    Constant(Literal),
    List(Vec<Item>),
    Value(ValueSource),
    /// A JSON field without a key.
    WholeJson,
    Number(Term),
    Boolean,
}

impl Operand {
    fn type_name(&self) -> &'static str {
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
    fn predicate(&mut self, expr: &Expr) -> Result<Predicate, ExprFault> {
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

    /// Takes the memory of one allocation.
    fn take(&mut self, bytes: usize) -> Result<(), ExprFault> {
        Ok(self.memory.take((bytes + ALLOCATION) as u64)?)
    }

    fn boxed(&mut self, expr: &Expr) -> Result<Box<Predicate>, ExprFault> {
        self.take(size_of::<Predicate>())?;
        Ok(Box::new(self.predicate(expr)?))
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

    fn operand(&mut self, expr: &Expr) -> Result<Operand, ExprFault> {
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

    fn value(&mut self, at: usize, column: &Column) -> Result<Operand, ExprFault> {
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

    fn item(&mut self, item: Item) -> Result<Vec<Item>, ExprFault> {
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

    fn range(
        &mut self,
        low: &Expr,
        op1: CompareOp,
        value: &Expr,
        op2: CompareOp,
        high: &Expr,
    ) -> Result<Predicate, ExprFault> {
        self.take(2 * size_of::<Predicate>())?;
        let mut halves = Vec::with_capacity(2);
        for (bound, op) in [(low, op1.reversed()), (high, op2)] {
            let Operand::Constant(literal) = self.operand(bound)? else {
                return Err(ExprFault::new(
                    bound.at,
                    format_args!("bound of a range cannot be a non-const expression: {bound}"),
                ));
            };
            let operand = self.operand(value)?;
            if operand.type_name() == DataType::Bool.name() {
                return Err(ExprFault::new(value.at, "invalid range operations on boolean expr"));
            }
            halves.push(self.compare(value.at, op, operand, Operand::Constant(literal))?);
        }
        Ok(Predicate::All(halves))
    }

    fn compare(&mut self, at: usize, op: CompareOp, left: Operand, right: Operand) -> Result<Predicate, ExprFault> {
        use Operand::{Constant, List, Value, WholeJson};
        match (left, right) {
            (Constant(_) | List(_), Constant(_) | List(_)) => Err(ExprFault::new(at, "a comparison needs a field")),
            (left @ (Constant(_) | List(_)), right) => self.compare(at, op.reversed(), right, left),
            (WholeJson, _) | (_, WholeJson) => Err(whole_json(at)),
            (Value(source), Constant(literal)) => {
                let literal = fit(at, &source, literal)?;
                if is_primary_key(&source) {
                    self.memory.take(key_bytes(&literal))?;
                }
                Ok(Predicate::Test(source, Test::Compare(op, literal)))
            }
            (Value(source), List(items)) => list(at, op, source, items),
            (Value(ValueSource::Field(left)), Value(ValueSource::Field(right)))
                if left.kind == right.kind && matches!(left.kind, DataType::VarChar | DataType::Bool) =>
            {
                Ok(Predicate::Columns(left, op, right))
            }
            (Value(left), Value(right))
                if !matches!((&left, &right), (ValueSource::Field(_), ValueSource::Field(_)))
                    || !is_number(source_type(&left))
                    || !is_number(source_type(&right)) =>
            {
                Err(mismatch(at, source_type(&left).name(), source_type(&right).name()))
            }
            (left, right) => {
                let names = (left.type_name(), right.type_name());
                match (number(at, "compare", left), number(at, "compare", right)) {
                    (Ok(left), Ok(right)) => Ok(numbers(left, op, right)),
                    _ => Err(mismatch(at, names.0, names.1)),
                }
            }
        }
    }

    fn membership(&mut self, value: &Expr, list: &List) -> Result<Predicate, ExprFault> {
        let source = match self.operand(value)? {
            Operand::Value(source) => source,
            Operand::WholeJson => return Err(whole_json(value.at)),
            Operand::Constant(_) | Operand::List(_) => {
                return Err(ExprFault::new(
                    value.at,
                    format_args!("'term' can only be used on non-const expression, but got: {value}"),
                ));
            }
            Operand::Number(_) | Operand::Boolean => {
                return Err(ExprFault::new(
                    value.at,
                    format_args!("'term' can only be used on single field, but got: {value}"),
                ));
            }
        };
        let mut set = LiteralSet::default();
        let kind = source_type(&source).name();
        let misfit =
            |item: &Expr| ExprFault::new(item.at, format_args!("value '{item}' in list cannot be casted to {kind}"));
        let is_key = is_primary_key(&source);
        for item in list.iter() {
            let literal = match &item.node {
                // Most lists have constants alone, and the set is the only one that keeps them.
                Node::Literal(literal) => literal.clone(),
                _ => match self.operand(&item)? {
                    Operand::Constant(literal) => literal,
                    _ if matches!(item.node, Node::List(_)) => return Err(misfit(&item)),
                    _ => {
                        return Err(ExprFault::new(
                            item.at,
                            format_args!("value '{item}' in list cannot be a non-const expression"),
                        ));
                    }
                },
            };
            let literal = fit(item.at, &source, literal).map_err(|_| misfit(&item))?;
            if !set.contains(&literal) {
                self.memory.take(LiteralSet::entry_bytes(&literal))?;
                if is_key {
                    self.memory.take(key_bytes(&literal))?;
                }
            }
            set.insert(literal);
        }
        if list.is_empty() && !is_comparable(source_type(&source)) {
            return Err(ExprFault::new(value.at, format_args!("'in' is not supported on {kind}")));
        }
        Ok(Predicate::Test(source, Test::In(set)))
    }

    fn like(&mut self, value: &Expr, pattern: &str) -> Result<Predicate, ExprFault> {
        match self.operand(value)? {
            Operand::Value(source) if matches!(source_type(&source), DataType::VarChar | DataType::Json) => {
                self.memory.take(like::compiled_bytes(pattern))?;
                let pattern = Pattern::new(pattern).map_err(|e| ExprFault::new(value.at, e.to_string()))?;
                Ok(Predicate::Test(source, Test::Like(pattern)))
            }
            Operand::WholeJson => Err(whole_json(value.at)),
            _ => Err(ExprFault::new(value.at, "like operation on non-string or no-json field is unsupported")),
        }
    }

    fn contains(
        &mut self,
        at: usize,
        name: &str,
        mode: ContainsMode,
        arguments: &[Expr],
    ) -> Result<Predicate, ExprFault> {
        let [container, wanted] = arguments else {
            return Err(ExprFault::new(at, format_args!("{name} takes 2 arguments, got {}", arguments.len())));
        };
        let source = match self.operand(container)? {
            Operand::Value(source) if matches!(source_type(&source), DataType::Array | DataType::Json) => source,
            Operand::WholeJson => return Err(whole_json(container.at)),
            _ => {
                return Err(ExprFault::new(
                    container.at,
                    format_args!("{name} operation are only supported on json or array fields now, got: {container}"),
                ));
            }
        };
        let items = match (name, self.operand(wanted)?) {
            ("contains", Operand::Constant(literal)) => self.item(Item::Literal(literal))?,
            ("contains", Operand::List(items)) => self.item(Item::List(items))?,
            ("contains", _) => {
                return Err(ExprFault::new(
                    wanted.at,
                    format_args!("{name} operation are only supported explicit values, got: {wanted}"),
                ));
            }
            (_, Operand::List(items)) if !items.is_empty() => items,
            (_, Operand::List(_)) => {
                return Err(ExprFault::new(wanted.at, format_args!("{name} operation has an empty list")));
            }
            _ => return Err(ExprFault::new(wanted.at, format_args!("{name} operation element must be an array"))),
        };
        let items = match &source {
            ValueSource::Field(FieldRef { element: Some(element), .. }) => items
                .into_iter()
                .map(|item| {
                    element_item(*element, item).map_err(|found| {
                        let wanted_type = element.name();
                        let message = format!(
                            "{name} operation can't compare between array element type: {wanted_type} and {found}"
                        );
                        ExprFault::new(wanted.at, message)
                    })
                })
                .collect::<Result<_, _>>()?,
            _ => items,
        };
        Ok(Predicate::Contains { source, mode, items: ItemSet::new(items) })
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

fn is_primary_key(source: &ValueSource) -> bool {
    matches!(source, ValueSource::Field(field) if field.is_primary_key)
}

fn key_bytes(literal: &Literal) -> u64 {
    let text = if let Literal::Str(text) = literal { text_bytes(text) } else { 0 };
    KEY_BYTES + text
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

fn list(at: usize, op: CompareOp, source: ValueSource, items: Vec<Item>) -> Result<Predicate, ExprFault> {
    let equal = match op {
        CompareOp::Eq => true,
        CompareOp::Ne => false,
        _ => return Err(ExprFault::new(at, "lists can only be compared with '==' and '!='")),
    };
    let items = match &source {
        ValueSource::Json(..) => items,
        ValueSource::Field(FieldRef { kind: DataType::Array, element: Some(element), .. }) => items
            .into_iter()
            .map(|item| element_item(*element, item).map_err(|found| mismatch(at, "Array", found)))
            .collect::<Result<_, _>>()?,
        other => return Err(mismatch(at, source_type(other).name(), "Array")),
    };
    Ok(Predicate::List { source, equal, items: ItemList::new(items) })
}

fn number(at: usize, operator: &str, operand: Operand) -> Result<Term, ExprFault> {
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

fn numbers(left: Term, op: CompareOp, right: Term) -> Predicate {
    let (mut single, mut wide, mut json) = (false, false, false);
    for side in [&left, &right] {
        leaves(side, &mut |source| match source_type(source) {
            DataType::Float => single = true,
            DataType::Json => json = true,
            _ => wide = true,
        });
    }
    // An absent JSON value differs from every number. Any other absent value fails every comparison.
    Predicate::Numbers { left, op, right, single: single && !wide && !json, absent: json && op == CompareOp::Ne }
}

fn leaves(number: &Term, visit: &mut impl FnMut(&ValueSource)) {
    match number {
        Term::Constant(_) | Term::Length(_) => {}
        Term::Value(source) => visit(source),
        Term::Negate(inner) => leaves(inner, visit),
        Term::Arithmetic(_, left, right) => {
            leaves(left, visit);
            leaves(right, visit);
        }
    }
}
