//! Builds a tree from tokens by recursive descent, with one function per level of precedence.
//!
//! From loose to tight: `or`, `and`, `not`, comparison (`== != < <= > >=`, `in`, `like`; they can't be chained, except to
//! a range), `+ -`, `* / %`, sign, `**`.
//!
//! Must never exhaust the stack: lengths of texts and depths of trees are bounded. Must never allocate memory that was not taken
//! before: a byte of text may become a node of 70.

mod operands;

use super::{
    ast::{CompareOp, Expr, List, Literal, Node},
    error::{ExprFault, FilterError},
    lex::{Lexer, Token, positive},
    room::{ALLOCATION, push},
};
use crate::memory::Extra;

/// Longest expression in bytes: room for some 800,000 keys in a list.
pub const MAX_BYTES: usize = 16 << 20;
/// Deepest tree. A chain of `and` or of `or` is one level, however long it is.
pub const MAX_DEPTH: u16 = 100;

/// The tree of `text`. None if it is empty or white space: that matches every row. The tree takes its memory from `memory`.
///
/// # Errors
/// [`FilterError`] if the text is no expression, or there is no memory for it.
pub fn parse(text: &str, memory: &mut Extra) -> Result<Option<Expr>, FilterError> {
    parse_text(text, memory).map_err(|fault| FilterError::of_syntax(text, fault))
}

fn parse_text(text: &str, memory: &mut Extra) -> Result<Option<Expr>, ExprFault> {
    if text.len() > MAX_BYTES {
        return Err(ExprFault::new(0, format_args!("expression has {} bytes, more than {MAX_BYTES}", text.len())));
    }
    if text.contains(['"', '\'']) {
        // No text of the tree is longer than it is in the expression.
        memory.take(text.len() as u64)?;
    }
    let mut lexer = Lexer::new(text);
    let (at, token) = lexer.next()?;
    let mut parser = Parser { lexer, at, token, nested: 0, memory };
    if parser.token == Token::End {
        return Ok(None);
    }
    let expr = parser.any()?;
    match &parser.token {
        Token::End => Ok(Some(expr)),
        Token::Compare(_) => Err(ExprFault::new(parser.at, "comparisons can't be chained here")),
        token => Err(ExprFault::new(parser.at, format_args!("unexpected {token}"))),
    }
}

struct Parser<'a, 'm> {
    lexer: Lexer<'a>,
    /// Byte offset of `token`.
    at: usize,
    /// The next token.
    token: Token<'a>,
    /// Calls of rules that have not returned. Bounds the stack while there is no tree yet.
    nested: u16,
    memory: &'m mut Extra,
}

type Parsed = Result<Expr, ExprFault>;

impl<'a> Parser<'a, '_> {
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
        Err(ExprFault::new(self.at, format_args!("expected {token}, found {}", self.token)))
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
        let mut parts = Vec::new();
        push(&mut parts, first, self.memory)?;
        while self.take(operator)? {
            let next = part(self)?;
            push(&mut parts, next, self.memory)?;
        }
        self.grow(at, node(parts))
    }

    fn not(&mut self) -> Parsed {
        let at = self.at;
        if self.take(&Token::Not)? {
            let inner = self.nest(Self::not)?;
            return self.grow(at, Node::Not(Box::new(inner)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed {
        let at = self.at;
        let left = self.sum()?;
        self.compared(at, left)
    }

    /// A value that may be compared.
    fn compared(&mut self, at: usize, left: Expr) -> Parsed {
        match self.token {
            Token::Compare(op) => {
                self.advance()?;
                let right = self.sum()?;
                let Token::Compare(second) = self.token else {
                    return self.grow(at, Node::Compare(op, Box::new(left), Box::new(right)));
                };
                if !same_direction(op, second) {
                    return Err(ExprFault::new(self.at, "only '<' with '<' or '>' with '>' make a range"));
                }
                self.advance()?;
                let high = self.sum()?;
                self.grow(at, Node::Range(Box::new(left), op, Box::new(right), second, Box::new(high)))
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
                    Token::Str(pattern) => self.grow(at, Node::Like(Box::new(left), pattern)),
                    token => Err(ExprFault::new(pattern_at, format_args!("expected a string, found {token}"))),
                }
            }
            _ => Ok(left),
        }
    }

    fn membership(&mut self, at: usize, value: Expr, negated: bool) -> Parsed {
        self.expect(&Token::OpenList)?;
        let list = self.list()?;
        self.grow(at, Node::In { value: Box::new(value), list, negated })
    }

    /// The elements of a list up to its end; a comma may precede it.
    fn list(&mut self) -> Result<List, ExprFault> {
        let mut list = List::default();
        while self.token != Token::CloseList {
            if !self.constant(&mut list)? {
                let item = self.nest(Self::any)?;
                list.push(item, self.memory)?;
            }
            if !self.take(&Token::Comma)? {
                break;
            }
        }
        self.expect(&Token::CloseList)?;
        Ok(list)
    }

    /// Takes an element of a list that is one token, without a node for it. False: it is another element.
    fn constant(&mut self, list: &mut List) -> Result<bool, ExprFault> {
        if !matches!(self.token, Token::Int(_) | Token::Str(_)) {
            return Ok(false);
        }
        let mut ahead = self.lexer;
        if !matches!(ahead.next(), Ok((_, Token::Comma | Token::CloseList))) {
            return Ok(false);
        }
        let at = self.at;
        match self.advance()? {
            Token::Int(value) => list.push_int(at, positive(at, value)?, self.memory)?,
            Token::Str(text) => list.push_text(at, &text, self.memory)?,
            _ => {}
        }
        Ok(true)
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, ExprFault> {
        let mut arguments = Vec::new();
        while self.token != Token::Close {
            let argument = self.nest(Self::any)?;
            push(&mut arguments, argument, self.memory)?;
            if !self.take(&Token::Comma)? {
                break;
            }
        }
        self.expect(&Token::Close)?;
        Ok(arguments)
    }

    /// Makes a node of its children, unless the tree gets too deep.
    fn grow(&mut self, at: usize, node: Node) -> Parsed {
        let deepest = |parts: &[Expr]| parts.iter().map(|p| p.depth).max().unwrap_or(0);
        // Children in boxes, and texts.
        let (below, boxes, texts) = match &node {
            Node::Literal(Literal::Str(_)) | Node::Exists(_) | Node::Column(_) => (0, 0, 1),
            Node::Literal(_) => (0, 0, 0),
            Node::List(list) => (list.depth(), 0, 0),
            Node::All(parts) | Node::Any(parts) | Node::Call(_, parts) => (deepest(parts), 0, 0),
            Node::Not(inner) | Node::Negate(inner) => (inner.depth, 1, 0),
            Node::Like(inner, _) => (inner.depth, 1, 1),
            Node::Arithmetic(_, left, right) | Node::Compare(_, left, right) => (left.depth.max(right.depth), 2, 0),
            Node::Range(low, _, value, _, high) => (low.depth.max(value.depth).max(high.depth), 3, 0),
            Node::In { value, list, .. } => (value.depth.max(list.depth()), 1, 0),
        };
        if below >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.memory.take((boxes * (size_of::<Expr>() + ALLOCATION) + texts * ALLOCATION) as u64)?;
        Ok(Expr { at, depth: below + 1, node })
    }
}

fn same_direction(first: CompareOp, second: CompareOp) -> bool {
    let rising = |op| matches!(op, CompareOp::Lt | CompareOp::Le);
    let falling = |op| matches!(op, CompareOp::Gt | CompareOp::Ge);
    rising(first) && rising(second) || falling(first) && falling(second)
}

fn too_deep(at: usize) -> ExprFault {
    ExprFault::new(at, format_args!("expression is nested deeper than {MAX_DEPTH} levels"))
}
