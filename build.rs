//! Compiles `proto/` into Rust with protox, so that no system `protoc` is needed.
//!
//! The descriptor set is kept as a file for gRPC reflection.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use prost_build::Config;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

/// The package of our own service. The command line prints its messages as JSON.
const OWN_SERVICE: &str = "datacoord.v1";
/// Members that hold ids or hybrid timestamps though their names do not end with `_id` or `_ids`.
const OTHER_IDS: [&str; 10] = [
    "sources",
    "targets",
    "compaction_from",
    "compaction_to",
    "shared_plans",
    "cancelled",
    "ended_before",
    "left_to_others",
    "timestamp_from",
    "timestamp_to",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "common.proto",
        "rg.proto",
        "schema.proto",
        "milvus.proto",
        "data_coord.proto",
        "datacoord/v1/datacoord.proto",
    ];
    let mut descriptors: FileDescriptorSet = protox::compile(files, ["proto/milvus", "proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;

    spell_out_maps(&mut descriptors, "FlushResponse");
    let mut config = Config::new();
    // Row payloads and query vectors are passed on unchanged, so they share the request's buffer instead of being copied.
    config.bytes([
        ".milvus.proto.schema.VectorField",
        ".milvus.proto.schema.JSONArray",
        ".milvus.proto.milvus.SearchRequest",
        ".milvus.proto.common.PlaceholderValue",
    ]);
    for file in descriptors.file.iter().filter(|file| file.package() == OWN_SERVICE) {
        config.type_attribute(format!(".{OWN_SERVICE}"), "#[derive(serde::Serialize)]");
        for message in &file.message_type {
            name_as_in_json(&mut config, &format!(".{OWN_SERVICE}.{}", message.name()), message);
        }
    }
    // Without `build_transport` the client has no `connect` constructor, which would clash with the RPC of that name.
    tonic_prost_build::configure()
        .build_transport(false)
        .build_client(true)
        .build_server(true)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

/// Turns the maps of a message into repeated pairs in the generated code. Both are the same on the wire.
///
/// The code generated for a map leaves out a value that is an empty message. Servers in Go always write it, and the Node
/// SDK fails without it. The code for pairs writes every value.
fn spell_out_maps(descriptors: &mut FileDescriptorSet, message: &str) {
    for file in &mut descriptors.file {
        for entry in file.message_type.iter_mut().filter(|m| m.name() == message).flat_map(|m| &mut m.nested_type) {
            entry.options = None;
            // The generator would look for comments of the pairs, and there are none.
            file.source_code_info = None;
        }
    }
}

/// Attributes with which a message is written as `wire::as_json` says. `path` is the full name of the message.
fn name_as_in_json(config: &mut Config, path: &str, message: &DescriptorProto) {
    let choices: BTreeSet<&str> = message.field.iter().filter_map(|field| choice_of(message, field)).collect();
    for choice in choices {
        let choice = format!("{path}.{choice}");
        // Without the leading dot the path means this member alone, and not those inside of it.
        config.field_attribute(choice.trim_start_matches('.'), "#[serde(flatten)]");
        config.enum_attribute(&choice, "#[serde(rename_all = \"snake_case\")]");
    }
    for field in &message.field {
        let Some(writer) = writer(field) else { continue };
        let owner = match choice_of(message, field) {
            Some(choice) => format!("{path}.{choice}"),
            None => path.to_owned(),
        };
        let attribute = format!("#[serde(serialize_with = \"crate::wire::as_json::{writer}\")]");
        config.field_attribute(format!("{owner}.{}", field.name()), attribute);
    }
    for inner in &message.nested_type {
        name_as_in_json(config, &format!("{path}.{}", inner.name()), inner);
    }
}

/// The `oneof` that a field belongs to, apart from the hidden one of an optional field.
fn choice_of<'m>(message: &'m DescriptorProto, field: &FieldDescriptorProto) -> Option<&'m str> {
    let choice = usize::try_from(field.oneof_index.filter(|_| !field.proto3_optional())?).ok()?;
    Some(message.oneof_decl.get(choice)?.name())
}

/// The function of `wire::as_json` that writes a field; none if serde's own way is right.
fn writer(field: &FieldDescriptorProto) -> Option<String> {
    let is_list = field.label() == Label::Repeated;
    let name = field.name();
    match field.r#type() {
        // `.datacoord.v1.PlanState` is written by `plan_state`.
        Type::Enum => Some(snake_case(field.type_name().rsplit('.').next()?)),
        Type::Int64 | Type::Uint64 if name.ends_with("_id") || name.ends_with("_ids") || OTHER_IDS.contains(&name) => {
            Some(if is_list { "ids" } else { "id" }.to_owned())
        }
        _ => None,
    }
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
