//! Compiles `proto/` into Rust with protox, so that no system `protoc` is needed.
//!
//! The descriptor set is kept as a file for gRPC reflection.

use std::{env, fs, path::PathBuf};

use prost_build::Config;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["common.proto", "schema.proto", "milvus.proto", "data_coord.proto", "datacoord/v1/datacoord.proto"];
    let descriptors: FileDescriptorSet = protox::compile(files, ["proto/milvus", "proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;

    let mut config = Config::new();
    // Row payloads are handed on as they came: no copy from the request buffer.
    config.bytes([".milvus.proto.schema.VectorField", ".milvus.proto.schema.JSONArray"]);
    // Without `build_transport` the client has no `connect` constructor, which would clash with the RPC of that name.
    tonic_prost_build::configure()
        .build_transport(false)
        .build_client(true)
        .build_server(true)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
