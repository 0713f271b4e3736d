//! Segment information.

use super::{load::NODE, *};
use crate::{
    model::{Segment, SegmentState},
    wire::segment,
};

impl MilvusApi {
    /// Flushed segments, or those in the states that the request names.
    pub(super) async fn do_get_persistent_segment_info(
        &self,
        request: Request<GetPersistentSegmentInfoRequest>,
    ) -> Outcome<GetPersistentSegmentInfoResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let wanted: Vec<SegmentState> = if request.states.is_empty() {
            vec![SegmentState::Flushed]
        } else {
            request.states.iter().filter_map(|n| segment::state(*n)).collect()
        };
        let infos = self
            .coordinator
            .segments(&cell)
            .iter()
            .filter(|s: &&Segment| wanted.contains(&s.state))
            .map(segment::persistent_info)
            .collect();
        Ok(GetPersistentSegmentInfoResponse { infos, ..Default::default() })
    }

    /// The segments that a query node would hold: the live ones of a loaded collection, none otherwise.
    pub(super) async fn do_get_query_segment_info(
        &self,
        request: Request<GetQuerySegmentInfoRequest>,
    ) -> Outcome<GetQuerySegmentInfoResponse> {
        let (call, request) = self.read(request)?;
        let cell = self.collection(&call, &request.db_name, &request.collection_name)?;
        let meta = cell.meta();
        let live = cell.live();
        let loaded = live.iter().filter(|s| meta.loaded.contains(&s.group.partition));
        let infos = loaded.map(|s| segment::query_info(s, &meta.indexes, NODE)).collect();
        Ok(GetQuerySegmentInfoResponse { infos, ..Default::default() })
    }
}
