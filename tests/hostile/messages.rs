//! Messages of any type of the protocol with hostile content, made from the descriptors that the server itself serves.

use std::collections::{HashMap, HashSet};

use datacoord::wire::proto;
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use crate::kit::numbers::Numbers;

/// Deepest nesting of messages; deeper ones have a test of their own.
const MOST_DEPTH: usize = 5;
/// Numbers at the ends of ranges.
const INTS: [i64; 12] = [0, 1, -1, 2, 7, 128, 65_536, i32::MAX as i64, i32::MIN as i64, i64::MAX, i64::MIN, 1 << 62];
const FLOATS: [f64; 7] = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE];
/// Names of several scripts, of other languages' syntax, and of nothing.
const NAMES: [&str; 22] = [
    "",
    " ",
    "книга",
    "本",
    "كتاب",
    "ספר",
    "🙂",
    "a\u{0}b",
    "a\u{202e}b",
    "e\u{301}",
    "../../etc/passwd",
    "%s%n",
    "$meta",
    "'; drop",
    "a.b",
    "a b",
    "0a",
    "_",
    "RowID",
    "Timestamp",
    "NaN",
    "default",
];
const TEXTS: [&str; 14] = [
    "0",
    "-1",
    "9223372036854775808",
    "1e308",
    "true",
    "{}",
    "[[[[",
    "null",
    "L2",
    "HNSW",
    "dim",
    "16384",
    "collection.ttl.seconds",
    "{\"metric_type\":\"L2\"}",
];
const FILTERS: [&str; 16] = [
    "id >= 0",
    "id in [1, 2, 3]",
    "id in []",
    "not (id == 1)",
    "id == 9223372036854775808",
    "id % 0 == 1",
    "id ** 99 > 1",
    "((((((((((id > 0))))))))))",
    "id > 0 and",
    "id like \"%%%%%%%%%%\"",
    "\"\\ud83d\" == \"\\ud83d\"",
    "nosuch == 1",
    "vec == 1",
    "exists vec[0]",
    "json_contains_all([1], [[[1]]])",
    "\u{0}",
];

/// A value with its length in front.
fn put(bytes: &mut Vec<u8>, field: u32, value: &[u8]) {
    encode_key(field, WireType::LengthDelimited, bytes);
    encode_varint(value.len() as u64, bytes);
    bytes.extend_from_slice(value);
}

/// A method that is served.
#[derive(Debug, Clone)]
pub struct Method {
    pub path: String,
    pub input: String,
    pub output: String,
    pub is_stream: bool,
}

/// All messages and methods.
pub struct Protocol {
    messages: HashMap<String, DescriptorProto>,
    pub methods: Vec<Method>,
    /// Names and ids that mean something to the server.
    names: Vec<String>,
    ids: Vec<i64>,
}

impl Protocol {
    pub fn new(names: &[&str], ids: &[i64]) -> Self {
        let set = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("the descriptors of the build");
        let (mut messages, mut methods) = (HashMap::new(), Vec::new());
        for file in set.file {
            let package = format!(".{}", file.package());
            for message in &file.message_type {
                add(&mut messages, &package, message);
            }
            for service in &file.service {
                methods.extend(service.method.iter().map(|method| Method {
                    path: format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                    input: method.input_type().to_owned(),
                    output: method.output_type().to_owned(),
                    is_stream: method.server_streaming(),
                }));
            }
        }
        Self { messages, methods, names: names.iter().map(|n| (*n).to_owned()).collect(), ids: ids.to_vec() }
    }

    /// Number of the field in a message, if it has one of this name and type.
    pub fn field_number(&self, message: &str, field: &str, of_type: &str) -> Option<i32> {
        let fields = &self.messages.get(message)?.field;
        fields.iter().find(|f| f.name() == field && f.type_name() == of_type).map(FieldDescriptorProto::number)
    }

    /// For each list in a message, or in a message within it, a message whose `bytes` bytes are the smallest elements of
    /// that list alone. `seen` are the lists of inner messages that other messages have shown already.
    pub fn crowded(&self, name: &str, bytes: usize, seen: &mut HashSet<String>) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let Some(message) = self.messages.get(name) else { return found };
        for field in &message.field {
            let path = format!("{name}.{}", field.name());
            let is_list = field.label() == Label::Repeated;
            if is_list {
                found.push((path.clone(), self.crowd(field, bytes)));
            }
            let is_message = field.r#type() == Type::Message && !self.is_map(field);
            if is_message && seen.insert(field.type_name().to_owned()) {
                for (path, inner) in self.crowded(field.type_name(), bytes, seen) {
                    let mut outer = Vec::with_capacity(inner.len() + 12);
                    put(&mut outer, field.number() as u32, &inner);
                    found.push((path, outer));
                }
            }
        }
        found
    }

    fn is_map(&self, field: &FieldDescriptorProto) -> bool {
        let options = self.messages.get(field.type_name()).and_then(|message| message.options.as_ref());
        options.is_some_and(|options| options.map_entry())
    }

    fn crowd(&self, field: &FieldDescriptorProto, bytes: usize) -> Vec<u8> {
        let tag = field.number() as u32;
        let mut crowd = Vec::with_capacity(bytes + 32);
        match field.r#type() {
            Type::Message if self.is_map(field) => {
                // Of entries with equal keys one is left.
                let mut key = 0_u32;
                while crowd.len() < bytes {
                    let mut entry = Vec::new();
                    put(&mut entry, 1, format!("{key:x}").as_bytes());
                    put(&mut crowd, tag, &entry);
                    key += 1;
                }
            }
            Type::Message | Type::Group | Type::String | Type::Bytes => {
                while crowd.len() < bytes {
                    put(&mut crowd, tag, &[]);
                }
            }
            // Packed; a number of eight bytes is no smaller than its element.
            _ => put(&mut crowd, tag, &vec![0; bytes.next_multiple_of(8)]),
        }
        crowd
    }

    /// A message with fields of any value.
    pub fn message(&self, numbers: &mut Numbers, name: &str) -> Vec<u8> {
        let mut bytes = self.nested(numbers, name, 0);
        match numbers.below(20) {
            0 => bytes.truncate(bytes.len().saturating_sub(1)),
            // An unknown field of each wire type.
            1 => bytes.extend_from_slice(&[0xF8, 0x7F, 1, 0xF9, 0x7F, 1, 2, 3, 4, 5, 6, 7, 8, 0xFA, 0x7F, 2, 9, 9]),
            // A group that is opened very often.
            2 => bytes.extend(std::iter::repeat_n(0xFBu8, 4000)),
            // The same once more: of equal fields the last one counts, or both.
            3 => bytes.extend_from_within(..),
            _ => {}
        }
        bytes
    }

    fn nested(&self, numbers: &mut Numbers, name: &str, depth: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Some(message) = self.messages.get(name) else { return bytes };
        for field in &message.field {
            let is_list = field.label() == Label::Repeated;
            let times = match numbers.below(12) {
                0..=3 => 0,
                4..=9 => 1,
                10 => 2,
                _ if is_list && depth == 0 => 200,
                _ => 1,
            };
            (0..times).for_each(|_| self.field(numbers, field, depth, &mut bytes));
        }
        bytes
    }

    fn field(&self, numbers: &mut Numbers, field: &FieldDescriptorProto, depth: usize, bytes: &mut Vec<u8>) {
        let tag = field.number() as u32;
        let mut put = |value: &[u8]| put(bytes, tag, value);
        match field.r#type() {
            Type::Message | Type::Group => {
                let inner =
                    if depth < MOST_DEPTH { self.nested(numbers, field.type_name(), depth + 1) } else { Vec::new() };
                put(&inner);
            }
            Type::String => put(&self.text(numbers, field.name())),
            Type::Bytes => {
                let value = match (field.name(), numbers.percent(70)) {
                    ("schema", true) => self.nested(numbers, ".milvus.proto.schema.CollectionSchema", depth + 1),
                    _ => (0..numbers.below(40)).map(|_| numbers.next() as u8).collect(),
                };
                put(&value);
            }
            Type::Double => {
                encode_key(tag, WireType::SixtyFourBit, bytes);
                bytes.extend_from_slice(&numbers.pick(&FLOATS).copied().unwrap_or_default().to_le_bytes());
            }
            Type::Float => {
                encode_key(tag, WireType::ThirtyTwoBit, bytes);
                let value = numbers.pick(&FLOATS).copied().unwrap_or_default() as f32;
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            Type::Fixed64 | Type::Sfixed64 => {
                encode_key(tag, WireType::SixtyFourBit, bytes);
                bytes.extend_from_slice(&numbers.next().to_le_bytes());
            }
            Type::Fixed32 | Type::Sfixed32 => {
                encode_key(tag, WireType::ThirtyTwoBit, bytes);
                bytes.extend_from_slice(&(numbers.next() as u32).to_le_bytes());
            }
            // Unknown values of an enum, and a boolean that is neither 0 nor 1, are among them.
            _ => {
                encode_key(tag, WireType::Varint, bytes);
                let known = numbers.percent(40).then(|| numbers.pick(&self.ids).copied()).flatten();
                let value = known.or_else(|| numbers.pick(&INTS).copied()).unwrap_or_default();
                encode_varint(value as u64, bytes);
            }
        }
    }

    fn text(&self, numbers: &mut Numbers, field: &str) -> Vec<u8> {
        let known = numbers.percent(50).then(|| numbers.pick(&self.names)).flatten();
        let text = match (field, numbers.below(20)) {
            (_, 0) => return vec![0xFF, 0xFE, b'x'],
            (_, 1) => "x".repeat(100_000),
            ("expr" | "dsl", _) => numbers.pick(&FILTERS).copied().unwrap_or_default().to_owned(),
            ("key" | "value", _) => numbers.pick(&TEXTS).copied().unwrap_or_default().to_owned(),
            _ => known.cloned().unwrap_or_else(|| numbers.pick(&NAMES).copied().unwrap_or_default().to_owned()),
        };
        text.into_bytes()
    }
}

fn add(messages: &mut HashMap<String, DescriptorProto>, outer: &str, message: &DescriptorProto) {
    let name = format!("{outer}.{}", message.name());
    for inner in &message.nested_type {
        add(messages, &name, inner);
    }
    messages.insert(name, message.clone());
}

/// The bytes of the last field with this number, if the message has one; none of bytes that are no message.
pub fn field_of(mut message: &[u8], number: i32) -> Option<Vec<u8>> {
    let mut found = None;
    while !message.is_empty() {
        let (tag, kind) = prost::encoding::decode_key(&mut message).ok()?;
        if kind == WireType::LengthDelimited {
            let length = prost::encoding::decode_varint(&mut message).ok()? as usize;
            let (value, rest) = message.split_at_checked(length)?;
            message = rest;
            if tag as i32 == number {
                found = Some(value.to_vec());
            }
        } else {
            let context = prost::encoding::DecodeContext::default();
            prost::encoding::skip_field(kind, tag, &mut message, context).ok()?;
        }
    }
    found
}
