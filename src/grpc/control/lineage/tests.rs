//! Lineage, amplification, garbage.

use super::super::tests::*;
use crate::{kit::within, model::SegmentId};

/// Zeros are sent, so that they show in JSON.
const NOTHING: GarbageSum = GarbageSum { segments: Some(0), files: Some(0), bytes: Some(0) };

async fn lineage(api: &ControlApi, id: SegmentId) -> GetLineageResponse {
    api.get_lineage(Request::new(GetLineageRequest { segment_id: id.0 })).await.unwrap().into_inner()
}

async fn amplification(api: &ControlApi, cell: &CollectionCell) -> GetAmplificationResponse {
    let request = GetAmplificationRequest { collection: named(cell) };
    api.get_amplification(Request::new(request)).await.unwrap().into_inner()
}

async fn collect(api: &ControlApi, dry_run: bool) -> CollectGarbageResponse {
    let request = CollectGarbageRequest { dry_run, max_items: 0 };
    api.collect_garbage(Request::new(request)).await.unwrap().into_inner()
}

/// Two flushes, merged; a third, merged with that.
async fn generations(world: &World) -> (std::sync::Arc<CollectionCell>, Vec<SegmentId>) {
    let cell = world.collection("books").await;
    let a = world.segment(&cell, 0..10).await;
    let b = world.segment(&cell, 10..20).await;
    let job = world.compact(&cell).await;
    world.ended(job).await;
    let ab = cell.live()[0].id;
    let c = world.segment(&cell, 20..30).await;
    let job = world.compact(&cell).await;
    world.ended(job).await;
    let abc = cell.live()[0].id;
    (cell, vec![a, b, ab, c, abc])
}

#[tokio::test]
async fn back_to_the_flushes_as_far_as_records_go() {
    let world = World::with(|config| config.gc.drop_tolerance = std::time::Duration::ZERO).await;
    let (_, ids) = generations(&world).await;
    let [a, b, ab, c, abc] = ids[..] else { panic!("{ids:?}") };
    let api = api(&world);
    let found = lineage(&api, abc).await;
    assert!(found.is_complete);
    let shape: Vec<(i64, i32, SegmentOrigin)> =
        found.segments.iter().map(|s| (s.segment_id, s.depth, s.origin())).collect();
    use SegmentOrigin::{Compaction, Flush, Unknown};
    let expected = [(abc, 0, Compaction), (ab, 1, Compaction), (c, 1, Flush), (a, 2, Flush), (b, 2, Flush)];
    assert_eq!(shape, expected.map(|(id, depth, origin)| (id.0, depth, origin)));
    assert_eq!((found.segments[0].rows, found.segments[1].state.as_str()), (30, "Dropped"));

    collect(&api, false).await;
    let found = lineage(&api, abc).await;
    assert!(!found.is_complete);
    let shape: Vec<(i64, SegmentOrigin)> = found.segments.iter().map(|s| (s.segment_id, s.origin())).collect();
    assert_eq!(shape, [(abc.0, Compaction), (ab.0, Unknown), (c.0, Unknown)]);
    let gone = api.get_lineage(Request::new(GetLineageRequest { segment_id: a.0 })).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test]
async fn amplification_is_measured_and_survives() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    let nothing = amplification(&api(&world), &cell).await;
    assert_eq!((nothing.read, nothing.write, nothing.space), (None, None, None));
    for n in 0..2 {
        world.segment(&cell, n * 100..n * 100 + 100).await;
    }
    let flushed = amplification(&api(&world), &cell).await;
    assert_eq!((flushed.read, flushed.write, flushed.space), (Some(1.0), Some(1.0), Some(1.0)));
    assert_eq!((flushed.flushed_rows, flushed.flushed_bytes), (200, flushed.stored_bytes));

    let job = world.compact(&cell).await;
    world.ended(job).await;
    let world = world.restarted().await;
    let cell = world.coordinator.collection(cell.id).unwrap();
    let merged = amplification(&api(&world), &cell).await;
    let (read, dropped) = (merged.read.unwrap(), merged.dropped_bytes);
    assert_eq!((read, dropped, merged.merged_in_bytes), (1.0, flushed.stored_bytes, flushed.stored_bytes));
    let space = (merged.stored_bytes + dropped) as f64 / merged.live_bytes as f64;
    assert_eq!(merged.space, Some(space));
    let write = 1.0 + merged.merged_out_bytes as f64 / flushed.flushed_bytes as f64;
    assert!((merged.write.unwrap() - write).abs() < 1e-9, "{merged:?}");

    world.delete(&cell, 0..50).await;
    world.standalone.flush(&cell).await.unwrap();
    let deleted = amplification(&api(&world), &cell).await;
    // A quarter of the rows is dead, and the deletes themselves are read too.
    assert!(deleted.read.unwrap() > 4.0 / 3.0 - 0.01, "{deleted:?}");
    assert_eq!(deleted.live_rows, 150);
    assert!(deleted.flushed_bytes > merged.flushed_bytes, "delta logs are writes too");
}

#[tokio::test]
async fn a_dry_run_lists_garbage_and_its_pins() {
    let world = World::new().await;
    let (cell, ids) = generations(&world).await;
    let api = api(&world);
    let objects = world.objects();
    // For a moment a segment may also be pinned by the scrubber, or by a log that does not say yet that it is flushed.
    let dry_run = within("pins that pass", async {
        loop {
            let dry_run = collect(&api, true).await;
            if dry_run.items.iter().all(|item| item.pins.len() == 1) {
                return dry_run;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (free, pinned) = (dry_run.collected.unwrap(), dry_run.pinned.unwrap());
    assert_eq!((free, pinned.segments), (NOTHING, Some(4)));
    assert!(dry_run.items.iter().all(|i| i.pins[0].kind == "tolerance" && i.bytes > 0));
    assert!(dry_run.items.iter().all(|i| i.pins[0].until_ms > 0));
    assert_eq!(world.objects(), objects);

    // A reader of the first two.
    let reader = world.coordinator.pin([ids[0], ids[1]]);
    let dry_run = collect(&api, true).await;
    let pins: usize = dry_run.items.iter().map(|i| i.pins.iter().filter(|p| p.kind == "reader").count()).sum();
    assert_eq!(pins, 2);
    drop((reader, cell, api));

    let world = world.restarted_with(|config| config.gc.drop_tolerance = std::time::Duration::ZERO).await;
    let api = super::super::tests::api(&world);
    let reader = world.coordinator.pin([ids[0]]);
    let dry_run = collect(&api, true).await;
    let would = dry_run.collected.unwrap();
    assert_eq!((would.segments, dry_run.pinned.unwrap().segments), (Some(3), Some(1)));
    let did = collect(&api, false).await.collected.unwrap();
    assert_eq!(did, would, "what the dry run said");
    drop(reader);
    assert_eq!(collect(&api, false).await.collected.unwrap().segments, Some(1));
    assert_eq!(collect(&api, true).await.collected.unwrap(), NOTHING);
    let bad = CollectGarbageRequest { dry_run: true, max_items: -1 };
    let status = api.collect_garbage(Request::new(bad)).await.unwrap_err();
    assert!(status.message().starts_with("max_items: -1"), "{status}");
}
