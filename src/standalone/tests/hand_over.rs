//! Searches between the commit of a merge and the index of its output.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    super::*,
    World,
    indexes::{NAME, VECTOR, check, impatient, indexed, loaded},
    searches::{found, near},
};
use crate::{
    coordinator::{CollectionCell, control::PauseScope},
    kit::{filters, gate::Operation},
    model::SegmentId,
};

const ROWS: i64 = 8_000;

/// Two segments with indexes, merged into one whose index is held back.
async fn merged(world: &World) -> (Arc<CollectionCell>, [SegmentId; 2], SegmentId) {
    let cell = loaded(world).await;
    let sources = [world.segment(&cell, 0..ROWS / 2).await, world.segment(&cell, ROWS / 2..ROWS).await];
    indexed(world, &cell).await;
    world.gate.hold(Operation::Put, "index_files");
    let job = world.compact(&cell).await;
    assert_eq!(world.ended(job).await.counts().completed, 1);
    world.held().await;
    let [output] = cell.live().try_into().unwrap();
    (cell, sources, output.id)
}

/// Segments that a search opens.
fn searched(world: &World, cell: &CollectionCell) -> Vec<SegmentId> {
    let list = world.coordinator.pinned_list_for_search(cell, cell.meta().indexes[0].id);
    list.read.iter().map(|read| read.segment.id).collect()
}

#[tokio::test]
async fn sources_are_searched_until_the_output_has_its_index() {
    let world = World::with(|config| config.index.min_rows = 100).await;
    let (cell, sources, output) = merged(&world).await;
    assert_eq!(searched(&world, &cell), sources);
    let mut live: BTreeSet<i64> = (0..ROWS).collect();
    check(&found(&world, &cell, near(4_000, 50)).await, &live, 4_000);
    // Deletes that wait, and deletes that the flush has given to the output.
    world.delete(&cell, 3_990..4_010).await;
    live.retain(|key| !(3_990..4_010).contains(key));
    check(&found(&world, &cell, near(4_000, 50)).await, &live, 4_000);
    world.standalone.flush(&cell).await.unwrap();
    assert_eq!((cell.segment(output).unwrap().delta_rows, cell.segment(sources[0]).unwrap().delta_rows), (20, 0));
    assert_eq!(searched(&world, &cell), sources);
    check(&found(&world, &cell, near(4_000, 50)).await, &live, 4_000);
    let rows = Rows::matching(filters::compile("id % 2 == 0", &cell.meta().schema).unwrap());
    let even = live.iter().copied().filter(|key| key % 2 == 0).collect();
    check(&found(&world, &cell, SearchRequest { rows, ..near(4_000, 50) }).await, &even, 4_000);
    world.release();
    indexed(&world, &cell).await;
    assert_eq!(searched(&world, &cell), [output]);
    check(&found(&world, &cell, near(4_000, 50)).await, &live, 4_000);
}

#[tokio::test]
async fn without_the_files_of_the_sources_the_output_is_searched() {
    let world = World::with(|config| config.index.min_rows = 100).await;
    let (cell, sources, _) = merged(&world).await;
    for source in sources {
        let group = &cell.segment(source).unwrap().group;
        let folder = format!("insert_log/{}/{}/{source}/{VECTOR}", cell.id, group.partition);
        std::fs::remove_dir_all(world.files().join(folder)).unwrap();
    }
    assert_eq!(searched(&world, &cell), sources);
    // The vectors of an answer are read from the files.
    let answer = world.standalone.search(&cell, SearchRequest { fields: vec![VECTOR], ..near(17, 3) }).await.unwrap();
    assert_eq!((answer.counts, answer.scores[0]), (vec![3], 0.0));
}

#[tokio::test]
async fn collected_sources_stand_in_for_nothing() {
    let world = World::with(impatient).await;
    let (cell, _, output) = merged(&world).await;
    world.coordinator.collect_garbage().await.unwrap();
    assert_eq!(searched(&world, &cell), [output]);
    assert_eq!(found(&world, &cell, near(500, 3)).await, [500, 499, 501]);
    assert!(cell.dropped().is_empty());
}

#[tokio::test]
async fn sources_stand_in_after_a_restart_too() {
    let world = World::with(|config| config.index.min_rows = 100).await;
    let (_, sources, _) = merged(&world).await;
    // The build begins again after the restart, and waits.
    world.coordinator.pause(PauseScope::Everything, "a test").await.unwrap();
    let world = world.restarted().await;
    let cell = world.standalone.resolve(CollectionName::new("", NAME)).unwrap();
    assert_eq!(searched(&world, &cell), sources);
    assert_eq!(found(&world, &cell, near(500, 1)).await, [500]);
}
