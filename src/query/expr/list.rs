//! The elements of a list in an expression. Lists of keys are long, so constants of one type take no node each.
//!
//! Must never allocate memory that was not taken before.

use std::borrow::Cow;

use super::ast::{Expr, Literal, Node};
use crate::memory::{Extra, Full};

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

/// Appends to a vector. One that is full grows to twice its length.
pub(super) fn push<T>(items: &mut Vec<T>, item: T, memory: &mut Extra) -> Result<(), Full> {
    if items.len() == items.capacity() {
        let more = items.len().max(4);
        memory.take(((items.len() + more) * size_of::<T>()) as u64)?;
        items.reserve_exact(more);
    }
    items.push(item);
    Ok(())
}

/// Memory of a text on its own.
pub(super) fn text_bytes(text: &str) -> u64 {
    (text.len() + ALLOCATION) as u64
}

/// What an allocation takes beyond its bytes.
pub(super) const ALLOCATION: usize = 16;
