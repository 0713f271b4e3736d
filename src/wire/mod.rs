//! Generated protobuf code and every conversion between it and [`crate::model`].
//!
//! A message that the model can't represent is an error here, so no other module sees an invalid enum or a missing field.
//!
//! Must never: decide anything beyond that.

pub mod as_json;
pub mod compaction;
pub mod footprint;
pub mod rows;
pub mod schema;
pub mod segment;
pub mod status;
pub mod system;
pub mod template;

/// Generated from `proto/`.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    rust_2018_idioms,
    reason = "generated code"
)]
pub mod proto {
    pub mod common {
        tonic::include_proto!("milvus.proto.common");
    }
    pub mod rg {
        tonic::include_proto!("milvus.proto.rg");
    }
    pub mod schema {
        tonic::include_proto!("milvus.proto.schema");
    }
    pub mod milvus {
        tonic::include_proto!("milvus.proto.milvus");
    }
    pub mod data {
        tonic::include_proto!("milvus.proto.data");
    }
    pub mod datacoord {
        tonic::include_proto!("datacoord.v1");
    }

    /// Encoded descriptor set of all modules above, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
