//! Builds a tree from tokens by recursive descent, with one function per level of precedence.
//!
//! From loose to tight: `or`, `and`, `not`, comparison (`== != < <= > >=`, `in`, `like`; they can't be chained, except to
//! a range), `+ -`, `* / %`, sign, `**`. Must never exhaust the stack: lengths of texts and depths of trees are bounded.

use super::{
    ast::{ArithmeticOp, Column, CompareOp, Expr, Function, Literal, Node, Step},
    error::{ExprError, ExprFault},
    lex::{Lexer, Token},
};

/// Longest expression in bytes: room for some 800,000 keys in a list.
pub const MAX_BYTES: usize = 16 << 20;
/// Deepest tree. A chain of `and` or of `or` is one level, however long it is.
pub const MAX_DEPTH: u16 = 100;

/// The tree of `text`. None if it is empty or white space: that matches every row.
pub fn parse(text: &str) -> Result<Option<Expr>, ExprError> {
    parse_text(text).map_err(|fault| ExprError::of_syntax(text, fault))
}

fn parse_text(text: &str) -> Result<Option<Expr>, ExprFault> {
    if text.len() > MAX_BYTES {
        return Err(ExprFault::new(0, format!("expression has {} bytes, more than {MAX_BYTES}", text.len())));
    }
    let mut lexer = Lexer::new(text);
    let (at, token) = lexer.next()?;
    let mut parser = Parser { lexer, at, token, nested: 0 };
    if parser.token == Token::End {
        return Ok(None);
    }
    let expr = parser.any()?;
    match &parser.token {
        Token::End => Ok(Some(expr)),
        Token::Compare(_) => Err(ExprFault::new(parser.at, "comparisons can't be chained here")),
        token => Err(ExprFault::new(parser.at, format!("unexpected {}", token.describe()))),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// Byte offset of `token`.
    at: usize,
    /// The next token.
    token: Token<'a>,
    /// Calls of rules that have not returned. Bounds the stack while there is no tree yet.
    nested: u16,
}

type Parsed = Result<Expr, ExprFault>;

impl<'a> Parser<'a> {
    fn advance(&mut self) -> Result<Token<'a>, ExprFault> {
        let (at, token) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn take(&mut self, token: &Token<'_>) -> Result<bool, ExprFault> {
        let found = self.token == *token;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, token: &Token<'_>) -> Result<(), ExprFault> {
        if self.take(token)? {
            return Ok(());
        }
        Err(ExprFault::new(self.at, format!("expected {}, found {}", token.describe(), self.token.describe())))
    }

    /// Runs a rule that may be entered again before it returns.
    fn nest(&mut self, rule: fn(&mut Self) -> Parsed) -> Parsed {
        if self.nested >= MAX_DEPTH {
            return Err(too_deep(self.at));
        }
        self.nested += 1;
        let parsed = rule(self);
        self.nested -= 1;
        parsed
    }

    fn any(&mut self) -> Parsed {
        self.chain(&Token::Or, Self::all, Node::Any)
    }

    fn all(&mut self) -> Parsed {
        self.chain(&Token::And, Self::not, Node::All)
    }

    fn chain(&mut self, operator: &Token<'_>, part: fn(&mut Self) -> Parsed, node: fn(Vec<Expr>) -> Node) -> Parsed {
        let at = self.at;
        let first = part(self)?;
        if self.token != *operator {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take(operator)? {
            parts.push(part(self)?);
        }
        grow(at, node(parts))
    }

    fn not(&mut self) -> Parsed {
        let at = self.at;
        if self.take(&Token::Not)? {
            let inner = self.nest(Self::not)?;
            return grow(at, Node::Not(Box::new(inner)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed {
        let at = self.at;
        let left = self.sum()?;
        match self.token {
            Token::Compare(op) => {
                self.advance()?;
                let right = self.sum()?;
                let Token::Compare(second) = self.token else {
                    return grow(at, Node::Compare(op, Box::new(left), Box::new(right)));
                };
                if !same_direction(op, second) {
                    return Err(ExprFault::new(self.at, "only '<' with '<' or '>' with '>' make a range"));
                }
                self.advance()?;
                let high = self.sum()?;
                grow(at, Node::Range(Box::new(left), op, Box::new(right), second, Box::new(high)))
            }
            Token::In => {
                self.advance()?;
                self.membership(at, left, false)
            }
            Token::Not => {
                self.advance()?;
                self.expect(&Token::In)?;
                self.membership(at, left, true)
            }
            Token::Like => {
                self.advance()?;
                let pattern_at = self.at;
                match self.advance()? {
                    Token::Str(pattern) => grow(at, Node::Like(Box::new(left), pattern)),
                    token => Err(ExprFault::new(pattern_at, format!("expected a string, found {}", token.describe()))),
                }
            }
            _ => Ok(left),
        }
    }

    fn membership(&mut self, at: usize, value: Expr, negated: bool) -> Parsed {
        self.expect(&Token::OpenList)?;
        let list = self.items(&Token::CloseList)?;
        grow(at, Node::In { value: Box::new(value), list, negated })
    }

    /// Comma-separated expressions up to the closing token; a comma may precede it.
    fn items(&mut self, close: &Token<'_>) -> Result<Vec<Expr>, ExprFault> {
        let mut items = Vec::new();
        while self.token != *close {
            items.push(self.nest(Self::any)?);
            if !self.take(&Token::Comma)? {
                break;
            }
        }
        self.expect(close)?;
        Ok(items)
    }

    fn sum(&mut self) -> Parsed {
        let at = self.at;
        let mut left = self.product()?;
        loop {
            let op = match self.token {
                Token::Plus => ArithmeticOp::Add,
                Token::Minus => ArithmeticOp::Subtract,
                _ => return Ok(left),
            };
            self.advance()?;
            let right = self.product()?;
            left = grow(at, Node::Arithmetic(op, Box::new(left), Box::new(right)))?;
        }
    }

    fn product(&mut self) -> Parsed {
        let at = self.at;
        let mut left = self.sign()?;
        loop {
            let op = match self.token {
                Token::Star => ArithmeticOp::Multiply,
                Token::Slash => ArithmeticOp::Divide,
                Token::Percent => ArithmeticOp::Modulo,
                _ => return Ok(left),
            };
            self.advance()?;
            let right = self.sign()?;
            left = grow(at, Node::Arithmetic(op, Box::new(left), Box::new(right)))?;
        }
    }

    fn sign(&mut self) -> Parsed {
        let at = self.at;
        if self.take(&Token::Plus)? {
            return self.nest(Self::sign);
        }
        if !self.take(&Token::Minus)? {
            return self.power();
        }
        if let Token::Int(magnitude) = self.token {
            let operand_at = self.at;
            self.advance()?;
            if self.token != Token::Power {
                // Read together with its sign, because the smallest integer has no positive counterpart.
                return grow(at, Node::Literal(Literal::Int(negative(at, magnitude)?)));
            }
            let base = grow(operand_at, Node::Literal(Literal::Int(positive(operand_at, magnitude)?)))?;
            let power = self.powers(operand_at, base)?;
            return grow(at, Node::Negate(Box::new(power)));
        }
        let operand = self.nest(Self::sign)?;
        match operand.node {
            Node::Literal(Literal::Int(v)) => match v.checked_neg() {
                Some(v) => grow(at, Node::Literal(Literal::Int(v))),
                None => Err(ExprFault::new(at, "integer does not fit 64 bits")),
            },
            Node::Literal(Literal::Float(v)) => grow(at, Node::Literal(Literal::Float(-v))),
            _ => grow(at, Node::Negate(Box::new(operand))),
        }
    }

    fn power(&mut self) -> Parsed {
        let at = self.at;
        let base = self.primary()?;
        self.powers(at, base)
    }

    /// `**` is left-associative, as in Milvus' grammar.
    fn powers(&mut self, at: usize, base: Expr) -> Parsed {
        let mut left = base;
        while self.take(&Token::Power)? {
            let right =
                if matches!(self.token, Token::Minus | Token::Plus) { self.nest(Self::sign)? } else { self.primary()? };
            left = grow(at, Node::Arithmetic(ArithmeticOp::Power, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at;
        match self.advance()? {
            Token::Int(v) => grow(at, Node::Literal(Literal::Int(positive(at, v)?))),
            Token::Float(v) => grow(at, Node::Literal(Literal::Float(v))),
            Token::Str(v) => grow(at, Node::Literal(Literal::Str(v))),
            Token::Bool(v) => grow(at, Node::Literal(Literal::Bool(v))),
            Token::Open => {
                let inner = self.nest(Self::any)?;
                self.expect(&Token::Close)?;
                Ok(inner)
            }
            Token::OpenList => {
                let items = self.items(&Token::CloseList)?;
                grow(at, Node::List(items))
            }
            Token::Exists => {
                let operand_at = self.at;
                let bracketed = self.take(&Token::Open)?;
                let Token::Name(name) = self.advance()? else {
                    return Err(ExprFault::new(operand_at, "exists needs a JSON key"));
                };
                let column = self.column(name)?;
                if bracketed {
                    self.expect(&Token::Close)?;
                }
                grow(at, Node::Exists(column))
            }
            Token::Name(name) if self.token == Token::Open => {
                let Some(function) = Function::named(name) else {
                    return Err(ExprFault::new(at, format!("there is no function '{name}'")));
                };
                self.advance()?;
                let arguments = self.items(&Token::Close)?;
                grow(at, Node::Call(function, arguments))
            }
            Token::Name(name) => {
                let column = self.column(name)?;
                grow(at, Node::Column(column))
            }
            token => Err(ExprFault::new(at, format!("expected a value, found {}", token.describe()))),
        }
    }

    fn column(&mut self, name: &str) -> Result<Column, ExprFault> {
        let mut path = Vec::new();
        while self.take(&Token::OpenList)? {
            let at = self.at;
            path.push(match self.advance()? {
                Token::Int(index) => Step::Index(index),
                Token::Str(key) if !key.is_empty() => Step::Key(key),
                Token::Str(_) => return Err(ExprFault::new(at, format!("a key of {name} is empty"))),
                token => {
                    return Err(ExprFault::new(
                        at,
                        format!("a key of {name} is a string or a number, not {}", token.describe()),
                    ));
                }
            });
            self.expect(&Token::CloseList)?;
            if path.len() > usize::from(MAX_DEPTH) {
                return Err(too_deep(at));
            }
        }
        Ok(Column { name: name.to_owned(), path })
    }
}

fn same_direction(first: CompareOp, second: CompareOp) -> bool {
    let rising = |op| matches!(op, CompareOp::Lt | CompareOp::Le);
    let falling = |op| matches!(op, CompareOp::Gt | CompareOp::Ge);
    rising(first) && rising(second) || falling(first) && falling(second)
}

fn positive(at: usize, magnitude: u64) -> Result<i64, ExprFault> {
    i64::try_from(magnitude).map_err(|_| ExprFault::new(at, format!("integer {magnitude} does not fit 64 bits")))
}

fn negative(at: usize, magnitude: u64) -> Result<i64, ExprFault> {
    0i64.checked_sub_unsigned(magnitude)
        .ok_or_else(|| ExprFault::new(at, format!("integer -{magnitude} does not fit 64 bits")))
}

fn too_deep(at: usize) -> ExprFault {
    ExprFault::new(at, format!("expression is nested deeper than {MAX_DEPTH} levels"))
}

/// Makes a node of its children, unless the tree gets too deep.
fn grow(at: usize, node: Node) -> Parsed {
    let deepest = |parts: &[Expr]| parts.iter().map(|p| p.depth).max().unwrap_or(0);
    let below = match &node {
        Node::Literal(_) | Node::Column(_) | Node::Exists(_) => 0,
        Node::List(parts) | Node::All(parts) | Node::Any(parts) | Node::Call(_, parts) => deepest(parts),
        Node::Not(inner) | Node::Negate(inner) | Node::Like(inner, _) => inner.depth,
        Node::Arithmetic(_, left, right) | Node::Compare(_, left, right) => left.depth.max(right.depth),
        Node::Range(low, _, value, _, high) => low.depth.max(value.depth).max(high.depth),
        Node::In { value, list, .. } => value.depth.max(deepest(list)),
    };
    if below >= MAX_DEPTH {
        return Err(too_deep(at));
    }
    Ok(Expr { at, depth: below + 1, node })
}
