//! Sizes and fields of the generated structures of messages, from the descriptors of the protocol.
//!
//! The sizes are bounds: they have a little more room than the compiler needs. Must never: be smaller than a structure.

use std::{collections::HashMap, sync::LazyLock};

use prost::Message as _;
use prost_types::{
    DescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

use crate::wire::proto;

/// A `Vec`, a `String`.
const LIST_BYTES: u64 = 24;
/// A `Bytes`; a `Vec<u8>` is smaller.
const SHARED_BYTES: u64 = 32;
const MAP_BYTES: u64 = 48;
const BOX_BYTES: u64 = 8;
/// Room for the mark of an optional value, or of one of several.
const MARK_BYTES: u64 = 8;

/// Fields of bytes whose handler decodes a message from them: message, field, message in it. The vectors of a search are
/// not among them, because they are counted before they are decoded.
const EMBEDDED: [(&str, &str, &str); 1] =
    [(".milvus.proto.milvus.CreateCollectionRequest", "schema", ".milvus.proto.schema.CollectionSchema")];

/// A message of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeId(usize);

/// The structure of a message.
#[derive(Debug, Default)]
pub(super) struct MessageShape {
    /// Of the structure itself.
    pub(super) bytes: u64,
    /// Number of fields that are lists or maps.
    pub(super) lists: usize,
    /// By field number.
    fields: Vec<(u32, ShapeField)>,
}

impl MessageShape {
    pub(super) fn field(&self, number: u32) -> Option<ShapeField> {
        // Most messages number their fields from 1 without a gap.
        let usual = self.fields.get(number.wrapping_sub(1) as usize).filter(|(found, _)| *found == number);
        let sought = || {
            let place = self.fields.binary_search_by_key(&number, |(number, _)| *number).ok()?;
            self.fields.get(place)
        };
        usual.or_else(sought).map(|(_, field)| *field)
    }
}

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShapeField {
    pub(super) wire: Wire,
    pub(super) content: Content,
    /// Its place among the lists of its message, if it is one.
    pub(super) list: Option<usize>,
    pub(super) is_map: bool,
    /// Bytes of an element in a list.
    pub(super) each: u64,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Four,
    Eight,
    Length,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Number,
    /// Texts and bytes.
    Text,
    Message(ShapeId),
    /// Bytes with a message in them.
    Embedded(ShapeId),
}

/// The shapes of all messages.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    shapes: Vec<MessageShape>,
    /// By full name, with a dot in front.
    names: HashMap<String, ShapeId>,
    /// Input of each method, by its path.
    inputs: HashMap<String, ShapeId>,
}

impl Shapes {
    pub(super) fn get(&self, id: ShapeId) -> &MessageShape {
        static NONE: MessageShape = MessageShape { bytes: 0, lists: 0, fields: Vec::new() };
        self.shapes.get(id.0).unwrap_or(&NONE)
    }
}

/// The shapes of the protocol that is compiled in.
pub(super) fn all() -> &'static Shapes {
    static ALL: LazyLock<Shapes> = LazyLock::new(|| match FileDescriptorSet::decode(proto::DESCRIPTORS) {
        Ok(set) => of(&set),
        Err(error) => {
            tracing::error!(%error, "the descriptors of the protocol can't be read: messages are not measured");
            Shapes::default()
        }
    });
    &ALL
}

/// The input of a method of our services: its path is `/package.Service/Method`.
pub fn input_of(path: &str) -> Option<ShapeId> {
    all().inputs.get(path).copied()
}

/// A message by its full name.
pub fn shape_of(name: &str) -> Option<ShapeId> {
    all().names.get(name).copied()
}

/// A message as it is described.
struct MessageDescription<'d> {
    message: &'d DescriptorProto,
    /// In proto3 a number needs no mark.
    is_proto3: bool,
}

impl MessageDescription<'_> {
    fn is_map_entry(&self) -> bool {
        self.message.options.as_ref().is_some_and(|options| options.map_entry())
    }
}

fn of(set: &FileDescriptorSet) -> Shapes {
    let (mut names, mut described) = (HashMap::new(), Vec::new());
    for file in &set.file {
        let package = format!(".{}", file.package());
        for message in &file.message_type {
            describe(&package, message, file.syntax() == "proto3", &mut names, &mut described);
        }
    }
    let shapes = described.iter().map(|message| shape(message, &names, &described)).collect();
    let mut inputs = HashMap::new();
    for (package, service) in set.file.iter().flat_map(|file| file.service.iter().map(|s| (file.package(), s))) {
        for method in &service.method {
            let path = format!("/{package}.{}/{}", service.name(), method.name());
            inputs.extend(names.get(method.input_type()).map(|id| (path, *id)));
        }
    }
    Shapes { shapes, names, inputs }
}

fn describe<'d>(
    outer: &str,
    message: &'d DescriptorProto,
    is_proto3: bool,
    names: &mut HashMap<String, ShapeId>,
    described: &mut Vec<MessageDescription<'d>>,
) {
    let name = format!("{outer}.{}", message.name());
    for inner in &message.nested_type {
        describe(&name, inner, is_proto3, names, described);
    }
    names.insert(name, ShapeId(described.len()));
    described.push(MessageDescription { message, is_proto3 });
}

type ShapeNames = HashMap<String, ShapeId>;

fn shape(of: &MessageDescription<'_>, names: &ShapeNames, described: &[MessageDescription<'_>]) -> MessageShape {
    let mut shape = MessageShape { bytes: structure(of, names, described, &mut Vec::new()), ..MessageShape::default() };
    for field in &of.message.field {
        let is_list = field.label() == Label::Repeated;
        let inner = names.get(field.type_name()).copied();
        let inner_of = inner.and_then(|id| described.get(id.0));
        let is_map = inner_of.is_some_and(MessageDescription::is_map_entry);
        let (wire, content) = match (field.r#type(), inner) {
            (Type::Message, Some(id)) => (Wire::Length, Content::Message(id)),
            (Type::String | Type::Bytes | Type::Message | Type::Group, _) => {
                let embedded = EMBEDDED.iter().find(|(message, name, _)| {
                    *name == field.name() && names.get(*message).is_some_and(|id| is_same(*id, of, described))
                });
                let embedded = embedded.and_then(|(_, _, inner)| names.get(*inner));
                (Wire::Length, embedded.map_or(Content::Text, |id| Content::Embedded(*id)))
            }
            (Type::Float | Type::Fixed32 | Type::Sfixed32, _) => (Wire::Four, Content::Number),
            (Type::Double | Type::Fixed64 | Type::Sfixed64, _) => (Wire::Eight, Content::Number),
            _ => (Wire::Varint, Content::Number),
        };
        let each = match inner_of {
            Some(inner) if content != Content::Number => structure(inner, names, described, &mut Vec::new()),
            _ => value(field.r#type()),
        };
        let list = is_list.then_some(shape.lists);
        shape.lists += usize::from(is_list);
        shape.fields.push((field.number().unsigned_abs(), ShapeField { wire, content, list, is_map, each }));
    }
    shape.fields.sort_by_key(|(number, _)| *number);
    shape
}

fn is_same(id: ShapeId, of: &MessageDescription<'_>, described: &[MessageDescription<'_>]) -> bool {
    described.get(id.0).is_some_and(|other| std::ptr::eq(other.message, of.message))
}

/// Bytes of a value that is no message.
fn value(of: Type) -> u64 {
    match of {
        Type::Bool => 1,
        Type::Float | Type::Int32 | Type::Uint32 | Type::Sint32 | Type::Fixed32 | Type::Sfixed32 | Type::Enum => 4,
        Type::String => LIST_BYTES,
        Type::Bytes => SHARED_BYTES,
        _ => 8,
    }
}

/// Bytes of the structure of a message. `around` are the messages that it is a part of: among its fields they are boxed.
fn structure<'d>(
    of: &MessageDescription<'d>,
    names: &ShapeNames,
    described: &[MessageDescription<'d>],
    around: &mut Vec<*const DescriptorProto>,
) -> u64 {
    around.push(of.message);
    let mut bytes = 0;
    // The largest value of each oneof.
    let mut choices: HashMap<i32, u64> = HashMap::new();
    for field in &of.message.field {
        let inner = names.get(field.type_name()).and_then(|id| described.get(id.0));
        if field.label() == Label::Repeated {
            bytes += if inner.is_some_and(MessageDescription::is_map_entry) { MAP_BYTES } else { LIST_BYTES };
            continue;
        }
        let single = match inner.filter(|_| field.r#type() == Type::Message) {
            Some(inner) if around.contains(&std::ptr::from_ref(inner.message)) => BOX_BYTES,
            Some(inner) => structure(inner, names, described, around) + MARK_BYTES,
            None if !of.is_proto3 || field.proto3_optional() => value(field.r#type()) + MARK_BYTES,
            None => value(field.r#type()),
        };
        if let Some(choice) = field.oneof_index.filter(|_| !field.proto3_optional()) {
            let largest = choices.entry(choice).or_default();
            *largest = single.max(*largest);
        } else {
            bytes += single;
        }
    }
    around.pop();
    let choices: u64 = choices.values().map(|largest| largest.next_multiple_of(8) + MARK_BYTES).sum();
    (bytes + choices).next_multiple_of(8)
}

/// Number of methods of our services.
#[cfg(test)]
pub(super) fn inputs() -> usize {
    all().inputs.len()
}
