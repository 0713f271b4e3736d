//! Lineage, amplification, garbage.

use tonic::Status;

use super::{ControlApi, grpc_status, invalid};
use crate::{
    coordinator::{
        Collected, Garbage, Pin,
        control::{Ancestor, Origin},
    },
    model::SegmentId,
    wire::proto::datacoord::*,
};

const DEFAULT_ITEMS: usize = 1000;
const MAX_ITEMS: i32 = 100_000;

impl ControlApi {
    pub(super) fn do_get_lineage(&self, request: GetLineageRequest) -> Result<GetLineageResponse, Status> {
        let lineage = self.coordinator.lineage(SegmentId(request.segment_id)).map_err(grpc_status)?;
        let is_complete = lineage.iter().all(|a| a.origin != Origin::Unknown);
        Ok(GetLineageResponse { segments: lineage.iter().map(ancestor_message).collect(), is_complete })
    }

    pub(super) fn do_get_amplification(
        &self,
        request: GetAmplificationRequest,
    ) -> Result<GetAmplificationResponse, Status> {
        let cell = self.collection(request.collection)?;
        let found = self.coordinator.amplification(&cell);
        Ok(GetAmplificationResponse {
            read: found.read(),
            write: found.write_stats.write_amplification(),
            space: found.space(),
            groups: found.groups as i64,
            live_segments: found.live_segments as i64,
            live_rows: found.live_rows as i64,
            live_bytes: found.live_bytes as i64,
            stored_bytes: found.stored_bytes as i64,
            dropped_bytes: found.dropped_bytes as i64,
            flushed_rows: found.write_stats.flushed_rows as i64,
            flushed_bytes: found.write_stats.flushed_bytes as i64,
            merged_in_bytes: found.write_stats.merged_in_bytes as i64,
            merged_out_bytes: found.write_stats.merged_out_bytes as i64,
            counted_since_ms: found.write_stats.since_ms as i64,
        })
    }

    pub(super) async fn do_collect_garbage(
        &self,
        request: CollectGarbageRequest,
    ) -> Result<CollectGarbageResponse, Status> {
        let most = match request.max_items {
            0 => DEFAULT_ITEMS,
            most @ 1..=MAX_ITEMS => most as usize,
            most => return Err(invalid("max_items", most, "0 to 100000")),
        };
        if !request.dry_run {
            let collected = self.coordinator.collect_garbage().await.map_err(grpc_status)?;
            return Ok(CollectGarbageResponse { collected: Some(sum_message(collected)), ..Default::default() });
        }
        let report = self.coordinator.inspect_garbage(most).await.map_err(grpc_status)?;
        Ok(CollectGarbageResponse {
            collected: Some(sum_message(report.free)),
            pinned: Some(sum_message(report.pinned)),
            items: report.items.iter().map(garbage_message).collect(),
        })
    }
}

fn ancestor_message(ancestor: &Ancestor) -> LineageSegment {
    let origin = match ancestor.origin {
        Origin::Flush => SegmentOrigin::Flush,
        Origin::Compaction => SegmentOrigin::Compaction,
        Origin::Unknown => SegmentOrigin::Unknown,
    };
    let mut message = LineageSegment {
        segment_id: ancestor.id.0,
        origin: origin as i32,
        depth: ancestor.depth as i32,
        ..LineageSegment::default()
    };
    if let Some(segment) = &ancestor.segment {
        message.state = segment.state.as_str().to_owned();
        message.rows = segment.rows as i64;
        message.bytes = segment.insert_bytes as i64;
        message.compaction_from = segment.compaction_from.iter().map(|id| id.0).collect();
        message.dropped_at_ms = segment.dropped_at_ms as i64;
    }
    message
}

fn sum_message(sum: Collected) -> GarbageSum {
    GarbageSum { segments: Some(sum.segments as i64), files: Some(sum.files as i64), bytes: Some(sum.bytes as i64) }
}

fn garbage_message(garbage: &Garbage) -> GarbageItem {
    GarbageItem {
        segment_id: garbage.segment.0,
        collection_id: garbage.collection.0,
        object: garbage.object.map(|path| path.to_string()).unwrap_or_default(),
        files: garbage.files as i64,
        bytes: garbage.bytes as i64,
        pins: garbage.pins.iter().map(pin_message).collect(),
    }
}

fn pin_message(pin: &Pin) -> GarbagePin {
    let (kind, until_ms, plan_id) = match pin {
        Pin::Tolerance { until_ms } => ("tolerance", *until_ms as i64, 0),
        Pin::Log => ("log", 0, 0),
        Pin::Reader => ("reader", 0, 0),
        Pin::Plan(plan) => ("plan", 0, plan.0),
    };
    GarbagePin { kind: kind.to_owned(), until_ms, plan_id }
}

#[cfg(test)]
mod tests;
