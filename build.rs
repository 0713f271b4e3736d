//! Compiles `proto/` into Rust with protox, so that no system `protoc` is needed.
//!
//! The descriptor set is kept as a file for gRPC reflection.

use std::{env, fs, path::PathBuf};

use prost_build::Config;
use prost_types::FileDescriptorSet;

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
