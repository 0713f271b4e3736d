//! L0 segments are read, not written.

use super::*;
use crate::error::Classify;

fn l0(world: &mut World) {
    world.kind = PlanKind::L0Delete;
    world.inputs.iter_mut().for_each(|input| input.segment.level = SegmentLevel::L0);
}

#[tokio::test]
async fn deletes_of_all_inputs_are_read() {
    let mut world = World::new(DataType::Int64);
    world.segment(1, &[], &[vec![delete(10, 300), delete(20, 100)], vec![delete(10, 200)]]).await;
    world.segment(2, &[], &[vec![delete(20, 100), delete(5, 100)]]).await;
    l0(&mut world);
    let before = world.objects().await;
    let progress = ProgressSink::new();
    let run = world.compactor();
    let outcome = run.run(&world.task(), &progress, &CancellationToken::new()).await.unwrap();
    assert!(outcome.bytes_read > 0);
    assert_eq!((outcome.outputs.len(), outcome.consumed_deltas.len()), (0, 3));
    assert_eq!(world.objects().await, before);
    let done = progress.snapshot();
    assert_eq!((done.done_rows, done.total_rows), (5, 5));
}

#[tokio::test]
async fn a_key_of_the_other_type_is_corrupt() {
    let mut world = World::new(DataType::VarChar);
    world.segment(1, &[], &[vec![delete(10, 300)]]).await;
    l0(&mut world);
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("delete of key 10") && error.to_string().contains("VarChar"), "{error}");
}
