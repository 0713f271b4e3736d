//! `milvus.proto.data.DataCoord`: the compaction calls as other roles of a Milvus cluster make them.
//!
//! Same messages and same answers as in `MilvusService`: [`super::milvus`] serves both, and nothing is decided here.

mod service;

pub(super) use service::DataCoordApi;
