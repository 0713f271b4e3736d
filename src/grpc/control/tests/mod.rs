//! The calls of the control API, against a whole coordinator in this process.

mod explain;
mod history;
mod lineage;
mod pause;
mod watch;

use tonic::{Code, Request};

use crate::{
    coordinator::CollectionCell,
    grpc::datacoord::DatacoordApi,
    model::JobId,
    standalone::tests::World,
    wire::proto::datacoord::{data_coord_server::DataCoord, *},
};

fn api(world: &World) -> DatacoordApi {
    DatacoordApi::new(world.standalone.clone())
}

fn named(cell: &CollectionCell) -> Option<CollectionRef> {
    Some(CollectionRef { collection_id: cell.id.0, ..CollectionRef::default() })
}
