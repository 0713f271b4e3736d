//! Files that an unmodified Milvus 2.3.5 wrote, and its own account of their contents (`milvus-2.3.5/README.md`).

mod codec;
mod compaction;
mod damage;
mod digest;
#[path = "../kit/mod.rs"]
mod kit;
mod manifest;
