//! Milvus 2.3's boolean expressions: filters of queries and deletes.
//!
//! ```text
//! text ──lex──▶ tokens ──parse──▶ Expr ──bind(schema)──▶ BoundExpr ──(query::eval)──▶ a bit per row
//!                                                            └─keys──▶ keys or a range of keys
//! ```
//!
//! The grammar is Milvus' (comparison, ranges, `in`, `like`, `and or not`, arithmetic, JSON keys and dynamic fields,
//! `exists`, `json_contains…`, `array_contains…`, `array_length`); the meanings were observed on Milvus 2.3.5. Some
//! expressions are accepted here although 2.3.5 refuses them or crashes, and a few have another meaning:
//!
//! | expression | here | Milvus 2.3.5 |
//! |---|---|---|
//! | `not a == 1` | `not (a == 1)` | refused: `not` binds tighter |
//! | `exists js["k"] and a == 1` | `(exists js["k"]) and …` | refused: `exists` binds looser |
//! | `AND`, `OR`, `NOT`, `IN` | as in lower case | refused |
//! | `a == -9223372036854775808` | the smallest integer | refused |
//! | `a + 1 > 2`, `a + b == 3`, `(a + 1) * 2 == 4` | computed | refused |
//! | integer overflow in arithmetic | no match | wraps |
//! | `a / 0 == 1` | refused | the server crashes |
//! | `a + 1.5 == 2.5`, `a` an integer field | computed in doubles | never true |
//! | `floats[0] == 0.1`, an array of Float | compared in single precision, as a Float field is | in double: never true |
//! | `like` with `%` elsewhere than at the end | any text | refused |
//! | `like "a_c%"` | `_` is any one character | an underscore |
//! | `like ""` | the empty text | any text |
//! | `"\ud83d\ude00"` | the character of the surrogate pair | refused |
//! | `js["k"] in [1, "1"]` | types may be mixed | refused |
//!
//! Must never panic, recurse without bound, or let a number wrap. Must never compare each stored value with each constant
//! of a list: binding puts constants into sets and compiles patterns. Must never allocate memory that a text decides and that was
//! not taken before.

mod ast;
mod bind;
pub(super) mod bound;
mod error;
mod fold;
mod keys;
mod lex;
mod like;
pub(super) mod num;
mod parse;
mod print;
mod room;
mod types;
pub(super) mod value;

#[cfg(test)]
mod tests;

pub use ast::{ArithmeticOp, Column, CompareOp, Expr, Function, List, Literal, Node, Step};
pub use bind::bind;
pub use bound::BoundExpr;
pub use error::{ExprError, FilterError};
pub use keys::PkFilter;
pub use parse::{MAX_BYTES, MAX_DEPTH, parse};

use crate::{memory::Growth, model::CollectionSchema};

/// True if the text is one name without a path, so it can name a key of the dynamic field.
pub fn is_key_name(text: &str) -> bool {
    lex::is_name(text)
}

/// Parses and checks an expression. None if it is empty: it matches every row. The tree gives its memory back, the result
/// keeps what it has taken from `growth`.
///
/// # Errors
/// [`FilterError`] if the expression is refused, or there is no memory for it.
pub fn compile(text: &str, schema: &CollectionSchema, growth: &Growth) -> Result<Option<BoundExpr>, FilterError> {
    // The message that brought the text was let in with twice its bytes.
    let admitted = 2 * text.len() as u64;
    let mut tree = growth.of_call(admitted);
    let Some(expr) = parse(text, &mut tree)? else { return Ok(None) };
    bind(text, &expr, schema, growth.of_call(admitted + tree.taken_bytes())).map(Some)
}
