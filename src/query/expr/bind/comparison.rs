//! The tests of operands: comparisons, ranges, membership in lists, patterns, contents of arrays.
//!
//! Must never accept two sides of types that Milvus 2.3.5 doesn't compare.

use super::{
    super::{
        ast::{CompareOp, Expr, List, Literal, Node},
        bound::{ContainsMode, FieldRef, LiteralSet, Predicate, Term, Test, ValueSource},
        error::ExprFault,
        like::{self, Pattern},
        room::text_bytes,
        types::{element_item, fit, is_comparable, is_number, mismatch, source_type, whole_json},
        value::{Item, ItemList, ItemSet},
    },
    binder::Binder,
    operand::{Operand, number},
};
use crate::model::DataType;

/// A key in the filters and deletes that are made of an expression.
const KEY_BYTES: u64 = 104;

impl Binder<'_, '_> {
    pub(super) fn range(
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

    pub(super) fn compare(
        &mut self,
        at: usize,
        op: CompareOp,
        left: Operand,
        right: Operand,
    ) -> Result<Predicate, ExprFault> {
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

    pub(super) fn membership(&mut self, value: &Expr, list: &List) -> Result<Predicate, ExprFault> {
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

    pub(super) fn like(&mut self, value: &Expr, pattern: &str) -> Result<Predicate, ExprFault> {
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

    pub(super) fn contains(
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

fn is_primary_key(source: &ValueSource) -> bool {
    matches!(source, ValueSource::Field(field) if field.is_primary_key)
}

fn key_bytes(literal: &Literal) -> u64 {
    let text = if let Literal::Str(text) = literal { text_bytes(text) } else { 0 };
    KEY_BYTES + text
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
