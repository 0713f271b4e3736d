//! Turns JSON text into events. No other file knows the grammar (RFC 8259).

use std::borrow::Cow;

/// The next piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonEvent<'t> {
    ObjectStart,
    ArrayStart,
    /// Ends the innermost object or array.
    End,
    /// The next event begins its value.
    Key(Text<'t>),
    Text(Text<'t>),
    Number(Number<'t>),
    Bool(bool),
    Null,
}

/// Where a text stops being JSON, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonFault {
    /// Byte offset.
    pub at: usize,
    pub what: &'static str,
}

/// A string as the text spells it, without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'t> {
    raw: &'t [u8],
    has_escapes: bool,
}

impl<'t> Text<'t> {
    /// As it is written.
    pub fn raw(self) -> &'t [u8] {
        self.raw
    }

    /// The decoded string. Half of a surrogate pair, and bytes that are not UTF-8, become U+FFFD.
    pub fn decode(self) -> Cow<'t, str> {
        if !self.has_escapes {
            return String::from_utf8_lossy(self.raw);
        }
        let mut bytes = Vec::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
            let (plain, escape) = rest.split_at(at);
            bytes.extend_from_slice(plain);
            let (c, length) = unescape(escape);
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = escape.get(length..).unwrap_or_default();
        }
        bytes.extend_from_slice(rest);
        Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        })
    }

    /// True if the decoded string equals `other`.
    pub fn is(self, other: &str) -> bool {
        if self.has_escapes { self.decode() == other } else { self.raw == other.as_bytes() }
    }
}

/// The character of a checked escape, and the number of bytes of the escape.
fn unescape(escape: &[u8]) -> (char, usize) {
    let c = match escape.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let unit = |at: usize| {
                let digits = escape.get(at..at + 6)?.strip_prefix(b"\\u")?;
                digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
            };
            let first = unit(0).unwrap_or(0xfffd);
            if let (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) = (first, unit(6)) {
                let c = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return (char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
            }
            return (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6);
        }
        Some(c) => char::from(*c),
        None => char::REPLACEMENT_CHARACTER,
    };
    (c, 2)
}

/// A number as the text spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<'t> {
    raw: &'t str,
    is_integer: bool,
}

impl<'t> Number<'t> {
    pub fn raw(self) -> &'t str {
        self.raw
    }

    /// The value of a number that has neither fraction nor exponent and fits 64 bits.
    pub fn as_i64(self) -> Option<i64> {
        if self.is_integer { self.raw.parse().ok() } else { None }
    }

    /// False for a number beyond the range of doubles.
    pub fn is_finite(self) -> bool {
        // The largest double has 309 digits, so most numbers need no parsing.
        let is_short = self.raw.len() < 300 && !self.raw.contains(['e', 'E']);
        is_short || self.as_f64().is_finite()
    }

    /// The nearest double; infinite beyond the range of doubles.
    pub fn as_f64(self) -> f64 {
        // `parse` accepts every number of JSON.
        self.raw.parse().unwrap_or(f64::NAN)
    }
}

/// The syntax that may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NextSyntax {
    Value,
    FirstKey,
    FirstElement,
    /// A comma, or the end of the open object or array.
    Rest,
    Nothing,
}

/// Reads one value and everything inside it, in the order of the text. Needs one bit of memory per open object or array.
#[derive(Debug, Clone)]
pub struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// Byte offset of the last event.
    start: usize,
    open: Nesting,
    expect: NextSyntax,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, start: 0, open: Nesting::default(), expect: NextSyntax::Value }
    }

    /// Number of open objects and arrays.
    pub fn depth(&self) -> usize {
        self.open.depth
    }

    /// Byte offset at which the last event began.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The text between the byte offset `start` and the current position.
    pub fn text_from(&self, start: usize) -> Option<&'t [u8]> {
        self.text.get(start..self.at)
    }

    /// The next event. `None` behind the value, where only white space may follow.
    ///
    /// # Errors
    /// The place at which the text stops being JSON. Reading can't continue there.
    pub fn event(&mut self) -> Result<Option<JsonEvent<'t>>, JsonFault> {
        let first = self.peek();
        match (self.expect, first) {
            (NextSyntax::Nothing, None) => return Ok(None),
            (NextSyntax::Nothing, Some(_)) => return Err(self.fault("something follows the value")),
            (NextSyntax::FirstKey, Some(b'}')) | (NextSyntax::FirstElement, Some(b']')) => {
                return Ok(Some(self.close()));
            }
            (NextSyntax::FirstKey, _) => return self.key().map(Some),
            (NextSyntax::Value | NextSyntax::FirstElement, _) => {}
            (NextSyntax::Rest, Some(b',')) => {
                self.at += 1;
                self.peek();
                if self.open.in_object() {
                    return self.key().map(Some);
                }
            }
            (NextSyntax::Rest, Some(b'}')) if self.open.in_object() => return Ok(Some(self.close())),
            (NextSyntax::Rest, Some(b']')) if !self.open.in_object() => return Ok(Some(self.close())),
            (NextSyntax::Rest, _) if self.open.in_object() => return Err(self.fault("expected ',' or '}'")),
            (NextSyntax::Rest, _) => return Err(self.fault("expected ',' or ']'")),
        }
        self.value().map(Some)
    }

    /// Reads to the end of the value that `event` began.
    pub fn skip(&mut self, event: JsonEvent<'t>) -> Result<(), JsonFault> {
        if matches!(event, JsonEvent::ObjectStart | JsonEvent::ArrayStart) {
            let outside = self.depth() - 1;
            while self.depth() > outside {
                self.event()?;
            }
        }
        Ok(())
    }

    /// The next byte that is not white space, without consuming it.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
        self.start = self.at;
        self.text.get(self.at).copied()
    }

    fn fault(&self, what: &'static str) -> JsonFault {
        let what = if self.at >= self.text.len() { "the text ends too early" } else { what };
        JsonFault { at: self.at, what }
    }

    fn open(&mut self, is_object: bool) {
        self.at += 1;
        self.open.push(is_object);
        self.expect = if is_object { NextSyntax::FirstKey } else { NextSyntax::FirstElement };
    }

    fn close(&mut self) -> JsonEvent<'t> {
        self.at += 1;
        self.open.pop();
        self.after_value();
        JsonEvent::End
    }

    fn after_value(&mut self) {
        self.expect = if self.open.depth == 0 { NextSyntax::Nothing } else { NextSyntax::Rest };
    }

    fn value(&mut self) -> Result<JsonEvent<'t>, JsonFault> {
        let event = match self.text.get(self.at) {
            Some(b'{') => {
                self.open(true);
                return Ok(JsonEvent::ObjectStart);
            }
            Some(b'[') => {
                self.open(false);
                return Ok(JsonEvent::ArrayStart);
            }
            Some(b'"') => JsonEvent::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => JsonEvent::Number(self.number()?),
            Some(b't') => self.word(b"true", JsonEvent::Bool(true))?,
            Some(b'f') => self.word(b"false", JsonEvent::Bool(false))?,
            Some(b'n') => self.word(b"null", JsonEvent::Null)?,
            _ => return Err(self.fault("expected a value")),
        };
        self.after_value();
        Ok(event)
    }

    fn key(&mut self) -> Result<JsonEvent<'t>, JsonFault> {
        if self.text.get(self.at) != Some(&b'"') {
            return Err(self.fault("expected a key in double quotes"));
        }
        let start = self.at;
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.fault("expected ':'"));
        }
        self.at += 1;
        self.start = start;
        self.expect = NextSyntax::Value;
        Ok(JsonEvent::Key(key))
    }

    fn word(&mut self, word: &[u8], event: JsonEvent<'t>) -> Result<JsonEvent<'t>, JsonFault> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.fault("expected true, false or null"));
        }
        self.at += word.len();
        Ok(event)
    }

    /// Reads a string from its opening to its closing quote.
    fn string(&mut self) -> Result<Text<'t>, JsonFault> {
        self.at += 1;
        let first = self.at;
        let mut has_escapes = false;
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                Some(0x20..) => self.at += 1,
                Some(_) => return Err(self.fault("a control character in a string has to be escaped")),
                None => return Err(self.fault("a string is not closed")),
            }
        }
        let raw = self.text.get(first..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Text { raw, has_escapes })
    }

    fn escape(&mut self) -> Result<(), JsonFault> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.text.get(self.at + 2..self.at + 6);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.fault("\\u needs four hexadecimal digits"));
                }
                self.at += 6;
            }
            _ => return Err(self.fault("unknown escape in a string")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Number<'t>, JsonFault> {
        let first = self.at;
        if self.text.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let leads_with_zero = self.text.get(self.at) == Some(&b'0');
        let digits = self.digits()?;
        if leads_with_zero && digits > 1 {
            return Err(JsonFault { at: self.at - digits, what: "a number begins with a zero" });
        }
        let mut is_integer = true;
        if self.text.get(self.at) == Some(&b'.') {
            is_integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            is_integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        let raw = self.text.get(first..self.at).unwrap_or_default();
        // A number is ASCII.
        Ok(Number { raw: std::str::from_utf8(raw).unwrap_or_default(), is_integer })
    }

    /// Reads one digit or more; returns how many.
    fn digits(&mut self) -> Result<usize, JsonFault> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.fault("expected a digit"));
        }
        self.at += count;
        Ok(count)
    }
}

/// One bit for each open bracket: whether it is an object.
#[derive(Debug, Clone, Default)]
struct Nesting {
    depth: usize,
    /// The innermost 64 brackets or fewer; the lowest bit is the innermost.
    top: u64,
    /// The brackets around them, 64 per word.
    below: Vec<u64>,
}

impl Nesting {
    fn in_object(&self) -> bool {
        self.depth > 0 && self.top & 1 == 1
    }

    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.below.push(self.top);
            self.top = 0;
        }
        self.top = self.top << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.top >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.top = self.below.pop().unwrap_or(0);
        }
    }
}
