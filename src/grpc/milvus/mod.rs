//! `milvus.proto.milvus.MilvusService`: the calls of stock SDKs.
//!
//! Each call reads its request, asks the coordinator and puts the outcome into the answer; nothing is decided here.
//! Business errors travel inside OK answers ([`call_error`]).

mod api;
mod call_error;
mod collections;
mod compaction;
mod flush;
mod hybrid;
mod index;
mod load;
mod members;
mod names;
mod query;
mod resource_groups;
mod rows;
mod search;
mod segments;
mod service;
mod system;
#[cfg(test)]
mod tests;
mod users;

use std::sync::Arc;

use tonic::{Request, Response, Status};

pub(super) use api::MilvusApi;
use api::{CallContext, Outcome};
use call_error::CallError;
pub(super) use call_error::answer;

use crate::{
    standalone::CollectionName,
    wire::proto::{common, milvus::*},
};
