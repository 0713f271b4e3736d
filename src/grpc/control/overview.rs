//! The whole server at a glance.

use tonic::Status;

use super::{BYTES_PER_MB, ControlApi, invalid, pause::pause_entries};
use crate::{
    access::{Caller, Need},
    coordinator::{CollectionShape, DELETED_BOUNDS, FILL_BOUNDS, control::UnfinishedWork},
    model::{Privilege, access::ANY},
    standalone::CollectionView,
    wire::proto::datacoord::*,
};

const DEFAULT_COLLECTIONS: usize = 100;
const MAX_COLLECTIONS: i32 = 1000;

impl ControlApi {
    pub(super) fn do_get_overview(
        &self,
        request: &GetOverviewRequest,
        caller: &Caller,
    ) -> Result<GetOverviewResponse, Status> {
        let most = match request.max_collections {
            0 => DEFAULT_COLLECTIONS,
            most @ 1..=MAX_COLLECTIONS => most as usize,
            most => return Err(invalid("max_collections", most, "0 to 1000")),
        };
        let gatekeeper = self.standalone.gatekeeper();
        let look = Need::global(Privilege::DescribeCollection);
        let sees_all = gatekeeper.allows(caller, look, ANY, ANY);
        let seen = self
            .standalone
            .overview(most, &|meta| sees_all || gatekeeper.allows(caller, look, &meta.database, &meta.name));
        let compact = Need::collection(Privilege::Compaction);
        let may_compact =
            |view: &CollectionView| gatekeeper.allows(caller, compact, &view.meta.database, &view.meta.name);
        let config = &self.coordinator.config().compaction;
        Ok(GetOverviewResponse {
            at_ms: seen.at_ms as i64,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            verdict: Some(OverviewVerdict { code: seen.verdict.code().to_owned(), text: seen.verdict.to_string() }),
            health_reasons: seen.health.reasons(),
            backlog: Some(backlog_message(&seen.work)),
            throttle: Some(self.do_get_throttle()),
            pauses: pause_entries(self.coordinator.pauses(), |id| self.collection_ref(id)),
            memory: seen
                .memory
                .iter()
                .map(|(part, used, limit)| MemoryUse {
                    part: part.as_str().to_owned(),
                    used_bytes: *used as i64,
                    limit_bytes: *limit as i64,
                })
                .collect(),
            collections: seen.worst.iter().map(|view| collection_message(view, may_compact(view))).collect(),
            total_collections: seen.collections as i64,
            sum: Some(sum_message(&seen.sum)),
            next_look_ms: self.coordinator.next_global_look_ms().map_or(0, |ms| ms as i64),
            max_segment_bytes: config.max_segment_bytes as i64,
            small_below_bytes: self.coordinator.small_below_bytes() as i64,
            user: caller.name().unwrap_or_default().to_owned(),
            may_control: gatekeeper.allows_admin(caller),
        })
    }
}

fn backlog_message(work: &UnfinishedWork) -> Backlog {
    Backlog {
        queued_plans: work.queued as i64,
        executing_plans: work.executing as i64,
        slots: work.slots as i64,
        rows: work.rows as i64,
        bytes: work.bytes as i64,
        drain_mb_per_second: work.bytes_per_second.map(|rate| rate / BYTES_PER_MB),
        eta_seconds: work.eta_seconds(),
    }
}

fn collection_message(view: &CollectionView, may_compact: bool) -> CollectionOverview {
    CollectionOverview {
        collection: Some(CollectionRef {
            db_name: view.meta.database.clone(),
            collection_name: view.meta.name.clone(),
            collection_id: view.id.0,
        }),
        score: view.shape.score as i32,
        sum: Some(sum_message(&view.shape)),
        cells: cell_messages(&view.shape),
        held: view.held.clone().unwrap_or_default(),
        may_compact,
    }
}

fn sum_message(shape: &CollectionShape) -> ShapeSum {
    ShapeSum {
        segments: shape.segments as i64,
        small_segments: shape.small as i64,
        rows: shape.rows as i64,
        live_rows: shape.live_rows as i64,
        stored_bytes: shape.stored_bytes as i64,
        dead_bytes: shape.dead_bytes as i64,
        dropped_segments: shape.dropped as i64,
        dropped_bytes: shape.dropped_bytes as i64,
    }
}

fn cell_messages(shape: &CollectionShape) -> Vec<ShapeCell> {
    let lower = |bounds: &[f64], at: usize| at.checked_sub(1).and_then(|at| bounds.get(at).copied());
    let mut cells = Vec::new();
    for (fill, row) in shape.cells.iter().enumerate() {
        for (deleted, cell) in row.iter().enumerate().filter(|(_, cell)| cell.segments > 0) {
            cells.push(ShapeCell {
                fill_from: lower(&FILL_BOUNDS, fill).unwrap_or_default(),
                fill_below: FILL_BOUNDS.get(fill).copied(),
                deleted_above: lower(&DELETED_BOUNDS, deleted),
                deleted_to: DELETED_BOUNDS.get(deleted).copied().unwrap_or(1.0),
                segments: cell.segments as i64,
                bytes: cell.bytes as i64,
            });
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;

    async fn see(api: &ControlApi, max_collections: i32) -> GetOverviewResponse {
        api.get_overview(Request::new(GetOverviewRequest { max_collections })).await.unwrap().into_inner()
    }

    #[tokio::test]
    async fn a_collection_with_its_cells_and_rights() {
        let world = World::with(|config| config.compaction.max_small_segments = 1).await;
        let cell = world.collection("books").await;
        for n in 0..2 {
            world.segment(&cell, n * 10..n * 10 + 10).await;
        }
        let seen = see(&api(&world), 0).await;
        assert_eq!(seen.verdict.unwrap().code, "untidy");
        assert_eq!((seen.total_collections, seen.max_segment_bytes, seen.small_below_bytes), (1, 512 << 20, 256 << 20));
        let [books] = &seen.collections[..] else { panic!("{:?}", seen.collections) };
        assert_eq!((books.score, books.collection.as_ref().unwrap().collection_id), (50, cell.id.0));
        let bytes = books.sum.unwrap().stored_bytes;
        let cells = [ShapeCell {
            fill_from: 0.0,
            fill_below: Some(0.01),
            deleted_above: None,
            deleted_to: 0.0,
            segments: 2,
            bytes,
        }];
        assert_eq!(books.cells, cells);
        // Without users everybody may do everything.
        assert!(books.may_compact && seen.may_control);
        let parts: Vec<&str> = seen.memory.iter().map(|part| part.part.as_str()).collect();
        assert_eq!(parts, ["growing", "queries", "merges", "caches", "vectors"]);
    }

    #[tokio::test]
    async fn a_number_of_collections_out_of_range_is_refused() {
        let world = World::new().await;
        let api = api(&world);
        for max_collections in [-1, 1001] {
            let refused = api.get_overview(Request::new(GetOverviewRequest { max_collections })).await.unwrap_err();
            assert_eq!(refused.message(), format!("max_collections: {max_collections}, expected 0 to 1000"));
        }
        assert_eq!(see(&api, 1000).await.total_collections, 0);
    }
}
