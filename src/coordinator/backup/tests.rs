//! The moment of a backup.

use futures::FutureExt as _;

use crate::standalone::tests::World;

#[tokio::test]
async fn nothing_is_committed_from_the_snapshot_to_the_cut() {
    let world = World::new().await;
    let catalog = &world.coordinator.core.catalog;
    let frozen = world.coordinator.freeze().await.unwrap();
    assert!(catalog.hold_still().now_or_never().is_none(), "the frozen catalog holds it");
    let taken = frozen.thaw().await.unwrap();
    assert!(catalog.hold_still().now_or_never().is_some(), "what was taken holds nothing back");
    drop(taken);
}
