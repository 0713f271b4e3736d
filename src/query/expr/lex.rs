//! Splits text into tokens, one at a time, so that a list of a million keys is not in memory twice.
//!
//! Numbers and escapes follow Milvus' grammar: integers in decimal, `0x`, `0b` and octal with a leading zero, decimal
//! floats (hexadecimal ones are refused), strings in single or double quotes with the escapes of C.

use std::fmt;

use super::{ast::CompareOp, error::ExprFault};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// An integer without its sign, which is an operator.
    Int(u64),
    Float(f64),
    Str(String),
    Bool(bool),
    Name(&'a str),
    Compare(CompareOp),
    And,
    Or,
    Not,
    In,
    Like,
    Exists,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Power,
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    End,
}

/// Its name in error texts.
impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int(v) => return write!(f, "'{v}'"),
            Self::Float(v) => return write!(f, "'{v:?}'"),
            Self::Bool(v) => return write!(f, "'{v}'"),
            Self::Name(v) => return write!(f, "'{v}'"),
            Self::Compare(op) => return write!(f, "'{op}'"),
            Self::Str(_) => "a string",
            Self::And => "'and'",
            Self::Or => "'or'",
            Self::Not => "'not'",
            Self::In => "'in'",
            Self::Like => "'like'",
            Self::Exists => "'exists'",
            Self::Plus => "'+'",
            Self::Minus => "'-'",
            Self::Star => "'*'",
            Self::Slash => "'/'",
            Self::Percent => "'%'",
            Self::Power => "'**'",
            Self::Open => "'('",
            Self::Close => "')'",
            Self::OpenList => "'['",
            Self::CloseList => "']'",
            Self::Comma => "','",
            Self::End => "the end",
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token and the byte offset where it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'a>), ExprFault> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        let at = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok((at, Token::End)) };
        let token = match first {
            '0'..='9' | '.' => self.number()?,
            '"' | '\'' => self.string(first)?,
            'a'..='z' | 'A'..='Z' | '_' | '$' => self.word()?,
            _ => self.symbol(first)?,
        };
        Ok((at, token))
    }

    fn symbol(&mut self, first: char) -> Result<Token<'a>, ExprFault> {
        const SYMBOLS: [(&str, Token<'static>); 20] = [
            ("**", Token::Power),
            ("==", Token::Compare(CompareOp::Eq)),
            ("!=", Token::Compare(CompareOp::Ne)),
            ("<=", Token::Compare(CompareOp::Le)),
            (">=", Token::Compare(CompareOp::Ge)),
            ("&&", Token::And),
            ("||", Token::Or),
            ("<", Token::Compare(CompareOp::Lt)),
            (">", Token::Compare(CompareOp::Gt)),
            ("!", Token::Not),
            ("+", Token::Plus),
            ("-", Token::Minus),
            ("*", Token::Star),
            ("/", Token::Slash),
            ("%", Token::Percent),
            ("(", Token::Open),
            (")", Token::Close),
            ("[", Token::OpenList),
            ("]", Token::CloseList),
            (",", Token::Comma),
        ];
        let rest = self.rest();
        if rest.starts_with("<<") || rest.starts_with(">>") {
            return Err(ExprFault::new(self.at, "shifts are not supported"));
        }
        if let Some((symbol, token)) = SYMBOLS.iter().find(|(s, _)| rest.starts_with(s)) {
            self.at += symbol.len();
            return Ok(token.clone());
        }
        Err(ExprFault::new(
            self.at,
            match first {
                '&' | '|' | '^' | '~' => format!("bit operator '{first}' is not supported"),
                '=' => "'=' is not an operator, equality is '=='".to_owned(),
                _ => format!("unexpected character {first:?}"),
            },
        ))
    }

    fn word(&mut self) -> Result<Token<'a>, ExprFault> {
        let rest = self.rest();
        let body = rest.strip_prefix('$').unwrap_or(rest);
        let length = rest.len() - body.len() + body.find(|c: char| !is_word(c)).unwrap_or(body.len());
        let word = &rest[..length];
        if word.starts_with('$') && word != "$meta" {
            return Err(ExprFault::new(self.at, format_args!("'{word}' is not a name, only $meta begins with '$'")));
        }
        self.at += length;
        Ok(match word {
            "and" | "AND" => Token::And,
            "or" | "OR" => Token::Or,
            "not" | "NOT" => Token::Not,
            "in" | "IN" => Token::In,
            "like" | "LIKE" => Token::Like,
            "exists" | "EXISTS" => Token::Exists,
            "true" | "True" | "TRUE" => Token::Bool(true),
            "false" | "False" | "FALSE" => Token::Bool(false),
            _ => Token::Name(word),
        })
    }

    fn number(&mut self) -> Result<Token<'a>, ExprFault> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let mut end = 0;
        while let Some(&byte) = bytes.get(end) {
            let signed = matches!(byte, b'+' | b'-')
                && matches!(bytes.get(end.wrapping_sub(1)), Some(b'e' | b'E'))
                && !rest.starts_with("0x")
                && !rest.starts_with("0X");
            if !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || signed) {
                break;
            }
            end += 1;
        }
        let literal = &rest[..end];
        let at = self.at;
        self.at += end;
        let wrong = || ExprFault::new(at, format_args!("'{literal}' is not a number"));
        let (digits, radix) = match literal.as_bytes() {
            [b'0', b'x' | b'X', ..] => (&literal[2..], 16),
            [b'0', b'b' | b'B', ..] => (&literal[2..], 2),
            [b'0', b'0'..=b'9', ..] if literal.bytes().all(|b| b.is_ascii_digit()) => (&literal[1..], 8),
            _ => (literal, 10),
        };
        if !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)) {
            return u64::from_str_radix(digits, radix)
                .map(Token::Int)
                .map_err(|_| ExprFault::new(at, format_args!("integer {literal} does not fit 64 bits")));
        }
        if radix == 16 && digits.contains(['.', 'p', 'P']) {
            return Err(ExprFault::new(at, format_args!("hexadecimal float '{literal}' is not supported")));
        }
        if radix != 10 || !literal.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b)) {
            return Err(wrong());
        }
        let value: f64 = literal.parse().map_err(|_| wrong())?;
        if !value.is_finite() {
            return Err(ExprFault::new(at, format_args!("number {literal} does not fit a double")));
        }
        Ok(Token::Float(value))
    }

    fn string(&mut self, quote: char) -> Result<Token<'a>, ExprFault> {
        let start = self.at;
        let rest = self.rest();
        // An escape is never longer than its text.
        let mut value: Vec<u8> = Vec::with_capacity(quoted_bytes(rest, quote));
        let mut offset = 1;
        while let Some(c) = rest[offset..].chars().next() {
            match c {
                _ if c == quote => {
                    self.at = start + offset + 1;
                    let value =
                        String::from_utf8(value).map_err(|_| ExprFault::new(start, "string is not valid UTF-8"))?;
                    return Ok(Token::Str(value));
                }
                '\n' | '\r' => break,
                '\\' => {
                    offset += unescape(&rest[offset + 1..], &mut value)
                        .map_err(|message| ExprFault::new(start + offset, message))?;
                }
                _ => value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            // Escapes are ASCII, so `offset` stays on a character boundary.
            offset += c.len_utf8();
        }
        Err(ExprFault::new(start, "string is not closed"))
    }
}

/// Bytes between the quote at the beginning and the one that closes it. Everything, if none does.
fn quoted_bytes(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let closes = char::from(byte) == quote && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        closes || byte == b'\n'
    });
    end.unwrap_or(text.len())
}

/// The value of an integer without a sign.
pub(super) fn positive(at: usize, magnitude: u64) -> Result<i64, ExprFault> {
    i64::try_from(magnitude).map_err(|_| ExprFault::new(at, format_args!("integer {magnitude} does not fit 64 bits")))
}

/// The value of an integer behind a minus.
pub(super) fn negative(at: usize, magnitude: u64) -> Result<i64, ExprFault> {
    0i64.checked_sub_unsigned(magnitude)
        .ok_or_else(|| ExprFault::new(at, format_args!("integer -{magnitude} does not fit 64 bits")))
}

/// True if the text is exactly one name. Operators in capitals are names in Milvus' grammar.
pub(super) fn is_name(text: &str) -> bool {
    let is_word = matches!(Lexer::new(text).next(), Ok((0, Token::Name(name))) if name == text);
    is_word || ["AND", "OR", "NOT", "IN"].contains(&text)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Appends the character of the escape at the beginning of `text` (without the backslash). Returns its length in bytes.
fn unescape(text: &str, value: &mut Vec<u8>) -> Result<usize, String> {
    let bytes = text.as_bytes();
    let simple = match bytes.first() {
        Some(b'a') => 7,
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'v') => 11,
        Some(&c @ (b'\\' | b'\'' | b'"' | b'?')) => c,
        Some(b'x') => return digits(text, 1, 2, 16, value),
        Some(b'u') => return digits(text, 1, 4, 16, value),
        Some(b'U') => return digits(text, 1, 8, 16, value),
        Some(b'0'..=b'7') => return digits(text, 0, 3, 8, value),
        _ => return Err(format!("unknown escape '\\{}'", text.chars().next().unwrap_or(' '))),
    };
    value.push(simple);
    Ok(1)
}

fn digits(text: &str, skip: usize, count: usize, radix: u32, value: &mut Vec<u8>) -> Result<usize, String> {
    let number = text
        .get(skip..skip + count)
        .filter(|d| d.chars().all(|c| c.is_digit(radix)))
        .and_then(|d| u32::from_str_radix(d, radix).ok())
        .ok_or_else(|| format!("escape needs {count} digits of base {radix}"))?;
    if count < 4 {
        value.push(u8::try_from(number).map_err(|_| "octal escape is over 255".to_owned())?);
    } else {
        let second = text.get(skip + count..).and_then(|rest| low_surrogate(number, rest));
        let length = skip + count + if second.is_some() { "\\u0000".len() } else { 0 };
        let number = second.map_or(number, |low| 0x10000 + ((number & 0x3ff) << 10) + (low & 0x3ff));
        let c = char::from_u32(number).ok_or_else(|| format!("U+{number:X} is not a character"))?;
        value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        return Ok(length);
    }
    Ok(skip + count)
}

/// The second half of a surrogate pair, if `first` is the first half and `text` begins with the second. JSON writes
/// characters beyond U+FFFF as such pairs.
fn low_surrogate(first: u32, text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let second = u32::from_str_radix(digits, 16).ok()?;
    ((0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&second)).then_some(second)
}
