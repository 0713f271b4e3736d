//! The tree of an expression as written: names are not resolved and types not checked.
//!
//! Must never allocate memory for a list that was not taken before.

use std::borrow::Cow;

use super::room::{push, text_bytes};
pub use crate::json::Step;
use crate::memory::{Extra, Full};

/// A node of the tree. Two trees are equal if their nodes are; offsets don't count.
#[derive(Debug, Clone)]
pub struct Expr {
    /// Byte offset where it begins.
    pub at: usize,
    /// Levels including this one. The parser bounds it, so recursion over a tree is safe.
    pub(super) depth: u16,
    pub node: Node,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Literal(Literal),
    Column(Column),
    List(List),
    /// Two or more operands of one chain of `and`.
    All(Vec<Expr>),
    /// Two or more operands of one chain of `or`.
    Any(Vec<Expr>),
    Not(Box<Expr>),
    /// Never of a number: the parser puts the sign into the literal.
    Negate(Box<Expr>),
    Arithmetic(ArithmeticOp, Box<Expr>, Box<Expr>),
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// `low op value op high`; both operators point in the same direction.
    Range(Box<Expr>, CompareOp, Box<Expr>, CompareOp, Box<Expr>),
    In {
        value: Box<Expr>,
        list: List,
        negated: bool,
    },
    Like(Box<Expr>, String),
    Exists(Column),
    Call(Function, Vec<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Bool(bool),
    Int(i64),
    /// Finite.
    Float(f64),
    Str(String),
}

/// A field, or a value inside a JSON or array field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub path: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl CompareOp {
    /// The operator for exchanged sides.
    pub fn reversed(self) -> Self {
        match self {
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            Self::Eq | Self::Ne => self,
        }
    }

    /// True if the operator holds for operands of this order. None means that there is no order (NaN).
    pub fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        match (self, order) {
            (Self::Ne, None) => true,
            (_, None) => false,
            (Self::Eq, Some(o)) => o.is_eq(),
            (Self::Ne, Some(o)) => o.is_ne(),
            (Self::Lt, Some(o)) => o.is_lt(),
            (Self::Le, Some(o)) => o.is_le(),
            (Self::Gt, Some(o)) => o.is_gt(),
            (Self::Ge, Some(o)) => o.is_ge(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArithmeticOp {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `json_contains` and `array_contains`: Milvus accepts both for both kinds of fields.
    Contains,
    ContainsAll,
    ContainsAny,
    ArrayLength,
}

impl Function {
    /// The function of a name. The grammar has each name in lower and in upper case.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "json_contains" | "JSON_CONTAINS" | "array_contains" | "ARRAY_CONTAINS" => Self::Contains,
            "json_contains_all" | "JSON_CONTAINS_ALL" | "array_contains_all" | "ARRAY_CONTAINS_ALL" => {
                Self::ContainsAll
            }
            "json_contains_any" | "JSON_CONTAINS_ANY" | "array_contains_any" | "ARRAY_CONTAINS_ANY" => {
                Self::ContainsAny
            }
            "array_length" | "ARRAY_LENGTH" => Self::ArrayLength,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Contains => "json_contains",
            Self::ContainsAll => "json_contains_all",
            Self::ContainsAny => "json_contains_any",
            Self::ArrayLength => "array_length",
        }
    }
}

/// The elements of a list. Lists of keys are long, so constants of one type take no node each.
///
/// Two lists are equal if their elements are; places don't count.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// Byte offset of the first element.
    at: usize,
    items: Items,
}

#[derive(Debug, Clone, PartialEq)]
enum Items {
    /// Integers alone, at least one.
    Ints(Vec<i64>),
    /// Texts alone, at least one.
    Texts(Texts),
    Mixed(Vec<Expr>),
}

impl Default for Items {
    fn default() -> Self {
        Self::Mixed(Vec::new())
    }
}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl List {
    pub fn len(&self) -> usize {
        match &self.items {
            Items::Ints(values) => values.len(),
            Items::Texts(texts) => texts.ends.len(),
            Items::Mixed(items) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements. Those of a list of constants are all at the place of the first one.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, Expr>> {
        let (ints, texts, mixed) = match &self.items {
            Items::Ints(values) => (values.as_slice(), None, [].as_slice()),
            Items::Texts(texts) => ([].as_slice(), Some(texts), [].as_slice()),
            Items::Mixed(items) => ([].as_slice(), None, items.as_slice()),
        };
        let constant = |literal| Cow::Owned(Expr { at: self.at, depth: 1, node: Node::Literal(literal) });
        let ints = ints.iter().map(move |value| constant(Literal::Int(*value)));
        let texts = texts.into_iter().flat_map(Texts::iter).map(move |text| constant(Literal::Str(text.to_owned())));
        ints.chain(texts).chain(mixed.iter().map(Cow::Borrowed))
    }

    /// Levels of the deepest element; 0 without any.
    pub(super) fn depth(&self) -> u16 {
        match &self.items {
            Items::Ints(_) | Items::Texts(_) => 1,
            Items::Mixed(items) => items.iter().map(|item| item.depth).max().unwrap_or(0),
        }
    }

    /// # Errors
    /// `Full` if there is no memory for it.
    pub fn push(&mut self, item: Expr, memory: &mut Extra) -> Result<(), Full> {
        match item.node {
            Node::Literal(Literal::Int(value)) => self.push_int(item.at, value, memory),
            Node::Literal(Literal::Str(text)) => self.push_text(item.at, &text, memory),
            _ => self.push_any(item, memory),
        }
    }

    pub(super) fn push_int(&mut self, at: usize, value: i64, memory: &mut Extra) -> Result<(), Full> {
        if self.is_empty() {
            *self = Self { at, items: Items::Ints(Vec::new()) };
        }
        match &mut self.items {
            Items::Ints(values) => push(values, value, memory),
            Items::Texts(_) | Items::Mixed(_) => {
                self.push_any(Expr { at, depth: 1, node: Node::Literal(Literal::Int(value)) }, memory)
            }
        }
    }

    pub(super) fn push_text(&mut self, at: usize, text: &str, memory: &mut Extra) -> Result<(), Full> {
        if self.is_empty() {
            *self = Self { at, items: Items::Texts(Texts::default()) };
        }
        match &mut self.items {
            Items::Texts(texts) => texts.push(text, memory),
            Items::Ints(_) | Items::Mixed(_) => {
                memory.take(text_bytes(text))?;
                self.push_any(Expr { at, depth: 1, node: Node::Literal(Literal::Str(text.to_owned())) }, memory)
            }
        }
    }

    fn push_any(&mut self, item: Expr, memory: &mut Extra) -> Result<(), Full> {
        if self.is_empty() {
            self.at = item.at;
        }
        if !matches!(self.items, Items::Mixed(_)) {
            let mut items = Vec::new();
            for constant in self.iter() {
                if let Node::Literal(Literal::Str(text)) = &constant.node {
                    memory.take(text_bytes(text))?;
                }
                push(&mut items, constant.into_owned(), memory)?;
            }
            self.items = Items::Mixed(items);
        }
        match &mut self.items {
            Items::Mixed(items) => push(items, item, memory),
            Items::Ints(_) | Items::Texts(_) => Ok(()),
        }
    }
}

/// Texts one behind the other.
#[derive(Debug, Clone, PartialEq, Default)]
struct Texts {
    all: String,
    /// Where each ends in `all`. An expression is shorter than 4 GiB.
    ends: Vec<u32>,
}

impl Texts {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let text = self.all.get(from..*end as usize).unwrap_or_default();
            from = *end as usize;
            text
        })
    }

    fn push(&mut self, text: &str, memory: &mut Extra) -> Result<(), Full> {
        if self.all.capacity() - self.all.len() < text.len() {
            let more = self.all.len().max(text.len());
            memory.take((self.all.len() + more) as u64)?;
            self.all.reserve_exact(more);
        }
        self.all.push_str(text);
        push(&mut self.ends, self.all.len() as u32, memory)
    }
}
