//! The process as Milvus' clients and health checks see it: roles and their states.

use super::proto::common::StateCode;

/// Milvus' names of the roles that this one process fills; health checks expect to find them.
pub const ROLES: [&str; 4] = ["rootcoord", "datacoord", "datanode", "proxy"];

/// The state of every role of a process that takes calls or refuses them.
pub fn component_state(takes_calls: bool) -> StateCode {
    if takes_calls { StateCode::Healthy } else { StateCode::Abnormal }
}
