//! Generated protobuf code and every conversion between it and [`crate::model`].
//!
//! Whatever a peer can send that the model can't represent is an error here, so that no other module meets an invalid
//! enum or a missing field. Decides nothing.

pub mod compaction;
pub mod rows;
pub mod schema;
pub mod segment;
pub mod status;

/// Generated from `proto/`.
#[allow(clippy::all, clippy::pedantic, unreachable_pub, rust_2018_idioms)]
pub mod proto {
    pub mod common {
        tonic::include_proto!("milvus.proto.common");
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

    /// Encoded descriptor set of all of the above, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
