//! The text of a tree, which parses back to the same tree.
//!
//! Must never hold a text: one of a list of keys would be as long as the expression.

use std::{
    borrow::Cow,
    fmt::{self, Display},
};

use super::ast::{ArithmeticOp, Column, CompareOp, Expr, Literal, Node, Step};

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
