//! The calls of the control API, against a whole coordinator in this process.

mod history;

use tonic::{Code, Request};

use crate::{
    coordinator::tests::World,
    grpc::datacoord::DatacoordApi,
    model::JobId,
    wire::proto::datacoord::{data_coord_server::DataCoord, *},
};

fn api(world: &World) -> DatacoordApi {
    DatacoordApi::new(world.coordinator.clone())
}
