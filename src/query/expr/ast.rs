//! The tree of an expression as written: names are not resolved and types not checked.
//!
//! `Display` gives text that parses back to the same tree.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

use super::list::List;
pub use crate::json::Step;

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

impl Display for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        })
    }
}

impl Display for ArithmeticOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "**",
        })
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => v.fmt(f),
            Self::Int(v) => v.fmt(f),
            // Debug prints a point or an exponent, so that the text parses as a float again.
            Self::Float(v) => write!(f, "{v:?}"),
            Self::Str(v) => write_string(f, v),
        }
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    use fmt::Write;
    f.write_char('"')?;
    for c in value.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{:04x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for step in &self.path {
            f.write_str("[")?;
            match step {
                Step::Key(key) => write_string(f, key)?,
                Step::Index(index) => index.fmt(f)?,
            }
            f.write_str("]")?;
        }
        Ok(())
    }
}

/// Precedence of nodes, from `or` (loosest) to names and calls.
mod binding {
    pub(super) const ANY: u8 = 1;
    pub(super) const ALL: u8 = 2;
    pub(super) const NOT: u8 = 3;
    pub(super) const COMPARE: u8 = 4;
    pub(super) const SUM: u8 = 5;
    pub(super) const PRODUCT: u8 = 6;
    pub(super) const SIGN: u8 = 7;
    pub(super) const POWER: u8 = 8;
    pub(super) const ATOM: u8 = 9;
}

impl Expr {
    fn binding(&self) -> u8 {
        match &self.node {
            Node::Any(_) => binding::ANY,
            Node::All(_) => binding::ALL,
            Node::Not(_) => binding::NOT,
            Node::Compare(..) | Node::Range(..) | Node::In { .. } | Node::Like(..) => binding::COMPARE,
            Node::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Subtract, ..) => binding::SUM,
            Node::Arithmetic(ArithmeticOp::Power, ..) => binding::POWER,
            Node::Arithmetic(..) => binding::PRODUCT,
            Node::Negate(_) => binding::SIGN,
            Node::Literal(Literal::Int(v)) if *v < 0 => binding::SIGN,
            Node::Literal(Literal::Float(v)) if v.is_sign_negative() => binding::SIGN,
            Node::Literal(_) | Node::Column(_) | Node::List(_) | Node::Exists(_) | Node::Call(..) => binding::ATOM,
        }
    }

    /// Writes it, in parentheses if it binds less tightly than `place`.
    fn write(&self, f: &mut fmt::Formatter<'_>, place: u8) -> fmt::Result {
        if self.binding() < place { write!(f, "({self})") } else { self.fmt(f) }
    }
}

fn each(parts: &[Expr]) -> impl Iterator<Item = Cow<'_, Expr>> {
    parts.iter().map(Cow::Borrowed)
}

fn write_separated<'e>(
    f: &mut fmt::Formatter<'_>,
    parts: impl IntoIterator<Item = Cow<'e, Expr>>,
    separator: &str,
    place: u8,
) -> fmt::Result {
    for (i, part) in parts.into_iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        part.write(f, place)?;
    }
    Ok(())
}

impl Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Literal(v) => v.fmt(f),
            Node::Column(v) => v.fmt(f),
            Node::List(items) => {
                f.write_str("[")?;
                write_separated(f, items.iter(), ", ", binding::ANY)?;
                f.write_str("]")
            }
            Node::Any(parts) => write_separated(f, each(parts), " or ", binding::ALL),
            Node::All(parts) => write_separated(f, each(parts), " and ", binding::NOT),
            Node::Not(inner) => {
                f.write_str("not ")?;
                inner.write(f, binding::NOT)
            }
            Node::Negate(inner) => {
                f.write_str("-")?;
                inner.write(f, binding::SIGN)
            }
            Node::Arithmetic(op, left, right) => {
                let own = self.binding();
                left.write(f, own)?;
                write!(f, " {op} ")?;
                right.write(f, own + 1)
            }
            Node::Compare(op, left, right) => {
                left.write(f, binding::SUM)?;
                write!(f, " {op} ")?;
                right.write(f, binding::SUM)
            }
            Node::Range(low, op1, value, op2, high) => {
                low.write(f, binding::SUM)?;
                write!(f, " {op1} ")?;
                value.write(f, binding::SUM)?;
                write!(f, " {op2} ")?;
                high.write(f, binding::SUM)
            }
            Node::In { value, list, negated } => {
                value.write(f, binding::SUM)?;
                f.write_str(if *negated { " not in [" } else { " in [" })?;
                write_separated(f, list.iter(), ", ", binding::ANY)?;
                f.write_str("]")
            }
            Node::Like(value, pattern) => {
                value.write(f, binding::SUM)?;
                f.write_str(" like ")?;
                write_string(f, pattern)
            }
            Node::Exists(column) => write!(f, "exists {column}"),
            Node::Call(function, arguments) => {
                write!(f, "{}(", function.name())?;
                write_separated(f, each(arguments), ", ", binding::ANY)?;
                f.write_str(")")
            }
        }
    }
}
