//! A service over a whole coordinator in this process, for the tests of each topic.

pub(super) use tonic::{Code, Request};

pub(super) use super::ControlApi;
pub(super) use crate::{
    coordinator::CollectionCell,
    model::JobId,
    standalone::tests::World,
    wire::proto::datacoord::{data_coord_server::DataCoord, *},
};

pub(super) fn api(world: &World) -> ControlApi {
    ControlApi::new(world.standalone.clone())
}

pub(super) fn named(cell: &CollectionCell) -> Option<CollectionRef> {
    Some(CollectionRef { collection_id: cell.id.0, ..CollectionRef::default() })
}
