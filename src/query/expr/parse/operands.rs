//! The operands of comparisons: arithmetic, constants, columns and calls.
//!
//! Must never enter a rule with a large frame where it does not apply: each level of an expression has a frame of each rule on
//! the stack.

use super::{MAX_DEPTH, Parsed, Parser, too_deep};
use crate::query::expr::{
    ast::{ArithmeticOp, Column, Expr, Function, Literal, Node, Step},
    error::ExprFault,
    lex::{Token, negative, positive},
    room::{ALLOCATION, push, text_bytes},
};

impl Parser<'_, '_> {
    pub(super) fn sum(&mut self) -> Parsed {
        let at = self.at;
        let mut left = self.product()?;
        loop {
            let op = match self.token {
                Token::Plus => ArithmeticOp::Add,
                Token::Minus => ArithmeticOp::Subtract,
                _ => return Ok(left),
            };
            left = self.joined(at, op, left, Self::product)?;
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
            left = self.joined(at, op, left, Self::sign)?;
        }
    }

    /// The operator, and the operand behind it.
    fn joined(&mut self, at: usize, op: ArithmeticOp, left: Expr, operand: fn(&mut Self) -> Parsed) -> Parsed {
        self.advance()?;
        let right = operand(self)?;
        self.grow(at, Node::Arithmetic(op, Box::new(left), Box::new(right)))
    }

    fn sign(&mut self) -> Parsed {
        match self.token {
            Token::Plus => {
                self.advance()?;
                self.nest(Self::sign)
            }
            Token::Minus => self.negated(),
            _ => self.power(),
        }
    }

    fn negated(&mut self) -> Parsed {
        let at = self.at;
        self.advance()?;
        if let Token::Int(magnitude) = self.token {
            let operand_at = self.at;
            self.advance()?;
            if self.token != Token::Power {
                // Read together with its sign, because the smallest integer has no positive counterpart.
                return self.grow(at, Node::Literal(Literal::Int(negative(at, magnitude)?)));
            }
            let base = self.grow(operand_at, Node::Literal(Literal::Int(positive(operand_at, magnitude)?)))?;
            let power = self.powers(operand_at, base)?;
            return self.grow(at, Node::Negate(Box::new(power)));
        }
        let operand = self.nest(Self::sign)?;
        match operand.node {
            Node::Literal(Literal::Int(v)) => match v.checked_neg() {
                Some(v) => self.grow(at, Node::Literal(Literal::Int(v))),
                None => Err(ExprFault::new(at, "integer does not fit 64 bits")),
            },
            Node::Literal(Literal::Float(v)) => self.grow(at, Node::Literal(Literal::Float(-v))),
            _ => self.grow(at, Node::Negate(Box::new(operand))),
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
        while self.token == Token::Power {
            left = self.joined(at, ArithmeticOp::Power, left, |parser| match parser.token {
                Token::Minus | Token::Plus => parser.nest(Self::sign),
                _ => parser.primary(),
            })?;
        }
        Ok(left)
    }

    fn primary(&mut self) -> Parsed {
        match self.token {
            Token::Open => self.bracketed(),
            Token::OpenList => {
                let at = self.at;
                self.advance()?;
                let list = self.list()?;
                self.grow(at, Node::List(list))
            }
            Token::Name(name) => self.named(name),
            Token::Exists => self.exists(),
            _ => self.literal(),
        }
    }

    fn bracketed(&mut self) -> Parsed {
        self.advance()?;
        let inner = self.nest(Self::any)?;
        self.expect(&Token::Close)?;
        Ok(inner)
    }

    fn literal(&mut self) -> Parsed {
        let at = self.at;
        let literal = match self.advance()? {
            Token::Int(v) => Literal::Int(positive(at, v)?),
            Token::Float(v) => Literal::Float(v),
            Token::Str(v) => Literal::Str(v),
            Token::Bool(v) => Literal::Bool(v),
            token => return Err(ExprFault::new(at, format_args!("expected a value, found {token}"))),
        };
        self.grow(at, Node::Literal(literal))
    }

    fn exists(&mut self) -> Parsed {
        let at = self.at;
        self.advance()?;
        let operand_at = self.at;
        let bracketed = self.take(&Token::Open)?;
        let Token::Name(name) = self.advance()? else {
            return Err(ExprFault::new(operand_at, "exists needs a JSON key"));
        };
        let column = self.column(name)?;
        if bracketed {
            self.expect(&Token::Close)?;
        }
        self.grow(at, Node::Exists(column))
    }

    /// A call or a column.
    fn named(&mut self, name: &str) -> Parsed {
        let at = self.at;
        self.advance()?;
        if self.token != Token::Open {
            let column = self.column(name)?;
            return self.grow(at, Node::Column(column));
        }
        let Some(function) = Function::named(name) else {
            return Err(ExprFault::new(at, format_args!("there is no function '{name}'")));
        };
        self.advance()?;
        let arguments = self.arguments()?;
        self.grow(at, Node::Call(function, arguments))
    }

    fn column(&mut self, name: &str) -> Result<Column, ExprFault> {
        let mut path = Vec::new();
        while self.take(&Token::OpenList)? {
            let at = self.at;
            let step = match self.advance()? {
                Token::Int(index) => Step::Index(index),
                Token::Str(key) if !key.is_empty() => Step::Key(key),
                Token::Str(_) => return Err(ExprFault::new(at, format_args!("a key of {name} is empty"))),
                token => {
                    return Err(ExprFault::new(
                        at,
                        format_args!("a key of {name} is a string or a number, not {token}"),
                    ));
                }
            };
            self.memory.take(ALLOCATION as u64)?;
            push(&mut path, step, self.memory)?;
            self.expect(&Token::CloseList)?;
            if path.len() > usize::from(MAX_DEPTH) {
                return Err(too_deep(at));
            }
        }
        self.memory.take(text_bytes(name))?;
        Ok(Column { name: name.to_owned(), path })
    }
}
