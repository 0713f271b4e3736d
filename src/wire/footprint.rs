//! The memory that a message takes once it is decoded, told from its bytes as they arrive.
//!
//! The length of a message does not bound that memory: an empty message in a list takes two bytes on the wire and
//! hundreds in memory, an empty text two and 24, a small number in a packed list one and eight. So [`MessageReading`]
//! follows the wire format piece by piece and adds up the structures, the elements of lists, and the texts that the
//! decoder is going to allocate. It skips texts and packed numbers of a fixed width without looking at them.
//!
//! A message that breaks the wire format is refused here, though the decoder would find the fault too: on its way there it
//! may read past the end of an inner message, and allocate bytes that nobody has counted.
//!
//! Spare capacity is not counted: a list of more than four elements may have room for as many again, which is seldom touched,
//! and while it grows its half exists twice. If it were counted, ordinary vectors would take more than they are admitted with.
//!
//! Must never: allocate by a number in a message, or count less than the decoder fills.

mod shapes;

use shapes::{Content, ShapeField, Shapes, Wire};

pub use shapes::{ShapeId, input_of, shape_of};

/// Deepest nesting of messages: the limit of the decoder.
const MAX_DEPTH: usize = 100;
/// Larger allocations are counted as they are.
const SMALL_ALLOCATION: u64 = 1 << 10;
/// Elements that a list has room for, however few there are; those of one byte each have room for eight.
const LEAST_ELEMENTS: u64 = 4;

/// A message that breaks the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} of the message")]
pub struct Malformed {
    pub what: &'static str,
    pub at: u64,
}

/// Bytes in memory of a whole message, beside the bytes of the message itself.
///
/// # Errors
/// [`Malformed`].
pub fn decoded_bytes(shape: ShapeId, message: &[u8]) -> Result<u64, Malformed> {
    let mut reading = MessageReading::of(shape, message.len() as u64);
    reading.pass(message)?;
    Ok(reading.bytes())
}

/// How far a message has been read.
#[derive(Debug)]
pub struct MessageReading {
    shapes: &'static Shapes,
    /// The messages and groups that are open, the innermost last.
    open: Vec<OpenMessage>,
    /// Number of elements of each list of each open message.
    lists: Vec<u64>,
    expect: Expect,
    /// The varint under way: the bits so far, and how many.
    varint: (u64, u32),
    /// Place in the message.
    at: u64,
    /// Memory so far.
    bytes: u64,
}

/// A message or a group that has begun and not ended.
#[derive(Debug, Clone, Copy)]
struct OpenMessage {
    kind: OpenKind,
    /// Where it ends; of a group, where it has to be over.
    end: u64,
    /// Its first place in `MessageReading::lists`.
    lists: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenKind {
    Message(ShapeId),
    /// A message that a field of bytes holds. A handler decodes it later and has its own words for a broken one.
    Embedded(ShapeId),
    /// A group that no message has, by its field number.
    Group(u32),
}

#[derive(Debug, Clone, Copy)]
enum Expect {
    Key,
    /// The value of a field without memory of its own.
    Number,
    /// The length of a value; `None`: of an unknown field.
    Length(Option<ShapeField>),
    /// The rest of a value up to here.
    Skip {
        until: u64,
    },
    /// Varints of a packed list up to here.
    Packed {
        until: u64,
        field: ShapeField,
    },
}

impl MessageReading {
    /// For a message of `length` bytes.
    pub fn of(shape: ShapeId, length: u64) -> Self {
        let shapes = shapes::all();
        let mut reading = Self {
            shapes,
            open: Vec::new(),
            lists: Vec::new(),
            expect: Expect::Key,
            varint: (0, 0),
            at: 0,
            bytes: shapes.get(shape).bytes,
        };
        reading.enter(OpenKind::Message(shape), length);
        reading
    }

    /// Memory of the message so far. Grows only.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// [`Malformed`]; reading can't continue then.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        loop {
            match self.step(&mut bytes) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(fault) => self.leave_embedded().ok_or(fault)?,
            }
        }
    }

    /// False: the next step needs more bytes, or the message is over.
    fn step(&mut self, bytes: &mut &[u8]) -> Result<bool, Malformed> {
        let Some(top) = self.open.last().copied() else { return Ok(false) };
        if self.at == top.end {
            if !matches!(self.expect, Expect::Key) || matches!(top.kind, OpenKind::Group(_)) {
                return Err(self.fault("a value or a group is not complete"));
            }
            self.close();
            return Ok(true);
        }
        if bytes.is_empty() {
            return Ok(false);
        }
        match self.expect {
            Expect::Key => match self.read_varint(bytes, top.end)? {
                Some(key) => self.key(top, key)?,
                None => return Ok(false),
            },
            Expect::Number => match self.read_varint(bytes, top.end)? {
                Some(_) => self.expect = Expect::Key,
                None => return Ok(false),
            },
            Expect::Length(field) => match self.read_varint(bytes, top.end)? {
                Some(length) => self.length(top, field, length)?,
                None => return Ok(false),
            },
            Expect::Skip { until } => {
                self.take(bytes, until);
                self.over_at(until);
            }
            Expect::Packed { until, field } => {
                let numbers = self.take(bytes, until);
                self.grow(top, field, numbers_in(numbers));
                if self.at == until && numbers.last().is_some_and(|byte| *byte >= 0x80) {
                    return Err(self.fault("a packed list ends within a number"));
                }
                self.over_at(until);
            }
        }
        Ok(true)
    }

    fn fault(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.at }
    }

    /// Moves over the bytes up to `until`, as far as they are here.
    fn take<'b>(&mut self, bytes: &mut &'b [u8], until: u64) -> &'b [u8] {
        let length = usize::try_from(until.saturating_sub(self.at)).unwrap_or(usize::MAX).min(bytes.len());
        let (taken, rest) = bytes.split_at(length);
        *bytes = rest;
        self.at += length as u64;
        taken
    }

    fn over_at(&mut self, until: u64) {
        if self.at == until {
            self.expect = Expect::Key;
        }
    }

    /// A varint, once its last byte is here. It must not reach over `end`.
    fn read_varint(&mut self, bytes: &mut &[u8], end: u64) -> Result<Option<u64>, Malformed> {
        loop {
            if self.at == end {
                return Err(self.fault("a number is not complete"));
            }
            let Some((byte, rest)) = bytes.split_first() else { return Ok(None) };
            *bytes = rest;
            self.at += 1;
            let (value, bits) = self.varint;
            // The tenth byte has room for one bit.
            if bits == 63 && *byte > 1 {
                return Err(self.fault("a number has more than 64 bits"));
            }
            let value = value | u64::from(*byte & 0x7f) << bits;
            if *byte < 0x80 {
                self.varint = (0, 0);
                return Ok(Some(value));
            }
            self.varint = (value, bits + 7);
        }
    }

    /// A key was read: the number of a field, and the wire type of its value.
    fn key(&mut self, top: OpenMessage, key: u64) -> Result<(), Malformed> {
        let key = u32::try_from(key).map_err(|_| self.fault("a field number is too large"))?;
        let (number, wire) = (key >> 3, key & 7);
        if number == 0 {
            return Err(self.fault("a field has the number 0"));
        }
        let known = match top.kind {
            OpenKind::Message(shape) | OpenKind::Embedded(shape) => self.shapes.get(shape).field(number),
            OpenKind::Group(_) => None,
        };
        let (wire, width) = match wire {
            0 => (Wire::Varint, None),
            1 => (Wire::Eight, Some(8)),
            2 => (Wire::Length, None),
            3 if known.is_none() => return self.enter_checked(OpenKind::Group(number), top.end),
            4 if top.kind == OpenKind::Group(number) => {
                self.close();
                return Ok(());
            }
            5 => (Wire::Four, Some(4)),
            _ => return Err(self.fault("a field has a wire type that it can't have")),
        };
        // Lists of numbers may be packed or not.
        let is_other = |field: ShapeField| field.wire != wire && !(wire == Wire::Length && field.list.is_some());
        if known.is_some_and(is_other) {
            return Err(self.fault("a field has another wire type than its own"));
        }
        match (wire, width) {
            (Wire::Length, _) => self.expect = Expect::Length(known),
            (_, width) => {
                if let Some(field) = known {
                    self.grow(top, field, 1);
                }
                self.expect = match width {
                    None => Expect::Number,
                    Some(width) => Expect::Skip { until: self.until(top, width)? },
                };
            }
        }
        Ok(())
    }

    /// The end of a value of so many bytes.
    fn until(&self, top: OpenMessage, length: u64) -> Result<u64, Malformed> {
        let until = self.at.checked_add(length).filter(|until| *until <= top.end);
        until.ok_or_else(|| self.fault("a value is longer than its message"))
    }

    /// The length of a value was read.
    fn length(&mut self, top: OpenMessage, field: Option<ShapeField>, length: u64) -> Result<(), Malformed> {
        let until = self.until(top, length)?;
        self.expect = if length == 0 { Expect::Key } else { Expect::Skip { until } };
        let Some(field) = field else { return Ok(()) };
        match (field.content, field.wire) {
            (Content::Number, Wire::Varint) if length > 0 => self.expect = Expect::Packed { until, field },
            (Content::Number, wire) => self.grow(top, field, length / if wire == Wire::Four { 4 } else { 8 }),
            (Content::Text, _) => {
                self.grow(top, field, 1);
                self.add(allocated(length));
            }
            (Content::Embedded(shape), _) => {
                self.add(allocated(length).saturating_add(self.shapes.get(shape).bytes));
                self.enter_checked(OpenKind::Embedded(shape), until)?;
            }
            (Content::Message(shape), _) => {
                match field.list {
                    Some(_) => self.grow(top, field, 1),
                    // Some are boxed; most lie in the message around them and are counted twice.
                    None => self.add(allocated(self.shapes.get(shape).bytes)),
                }
                self.enter_checked(OpenKind::Message(shape), until)?;
            }
        }
        Ok(())
    }

    fn enter_checked(&mut self, kind: OpenKind, end: u64) -> Result<(), Malformed> {
        if self.open.len() > MAX_DEPTH {
            return Err(self.fault("messages are nested deeper than 100 levels"));
        }
        self.enter(kind, end);
        Ok(())
    }

    fn enter(&mut self, kind: OpenKind, end: u64) {
        let lists = self.lists.len();
        if let OpenKind::Message(shape) | OpenKind::Embedded(shape) = kind {
            self.lists.resize(lists + self.shapes.get(shape).lists, 0);
        }
        self.open.push(OpenMessage { kind, end, lists });
        self.expect = Expect::Key;
    }

    fn close(&mut self) {
        if let Some(over) = self.open.pop() {
            self.lists.truncate(over.lists);
        }
        self.expect = Expect::Key;
    }

    /// Goes on behind the outermost embedded message, if one is open.
    fn leave_embedded(&mut self) -> Option<()> {
        let place = self.open.iter().position(|open| matches!(open.kind, OpenKind::Embedded(_)))?;
        let end = self.open.get(place)?.end;
        while self.open.len() > place {
            self.close();
        }
        self.varint = (0, 0);
        self.over_at(end);
        if self.at < end {
            self.expect = Expect::Skip { until: end };
        }
        Some(())
    }

    /// Counts new elements of a list; other fields have no memory of their own.
    fn grow(&mut self, top: OpenMessage, field: ShapeField, elements: u64) {
        let Some(list) = field.list else { return };
        let Some(count) = self.lists.get_mut(top.lists + list) else { return };
        let before = *count;
        *count = before.saturating_add(elements);
        let bytes = if field.is_map { map_bytes } else { list_bytes };
        let more = bytes(*count, field.each).saturating_sub(bytes(before, field.each));
        self.add(more);
    }

    fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Number of varints that end in these bytes: the last byte of each has no continuation bit.
fn numbers_in(bytes: &[u8]) -> u64 {
    // Small sums, so that the loop compiles to vector instructions.
    let ends = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(*byte < 0x80)).sum::<u8>();
    bytes.chunks(128).map(|chunk| u64::from(ends(chunk))).sum()
}

/// Bytes that an allocator gives for an allocation: small ones are rounded up.
fn allocated(bytes: u64) -> u64 {
    let small = bytes.min(SMALL_ALLOCATION);
    bytes.max((small + small / 8).next_multiple_of(16))
}

/// A list of so many elements of `each` bytes.
fn list_bytes(count: u64, each: u64) -> u64 {
    let least = if each == 1 { 2 * LEAST_ELEMENTS } else { LEAST_ELEMENTS };
    if count == 0 { 0 } else { allocated(count.max(least).saturating_mul(each)) }
}

/// A hash map of so many entries of `each` bytes: at most seven eighths of its places are taken, and each has one more byte.
fn map_bytes(count: u64, each: u64) -> u64 {
    let places = match count {
        0 => return 0,
        1..=3 => 4,
        4..=7 => 8,
        _ => (count.saturating_mul(8) / 7 + 1).checked_next_power_of_two().unwrap_or(count),
    };
    allocated(places.saturating_mul(each + 1).saturating_add(16))
}

#[cfg(test)]
mod tests;
