//! Objects of which a bit has flipped since they were written: no merge makes new objects out of the damaged bytes.

use futures::TryStreamExt;

use super::{large_objects, *};
use crate::{
    error::Classify,
    storage::{StorageError, read_columns},
};

/// Two segments of two batches, with deletes.
async fn world() -> World {
    let mut world = World::new(DataType::Int64);
    for segment in 1..=2 {
        let rows = |from: i64| (from..from + 50).map(|n| int(segment * 1000 + n, n, 100)).collect::<Vec<_>>();
        world.segment(segment, &[rows(0), rows(50)], &[vec![delete(3, 200), delete(segment, 200)]]).await;
    }
    world
}

/// Numbers that follow from a seed.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    }
}

fn flipped(bytes: &[u8], at: usize, bit: usize) -> bytes::Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << bit;
    bytes.into()
}

/// Whichever bit of whichever object it is, the plan fails for good, names the object and leaves the inputs.
async fn every_flip_is_found(world: &World, flips: usize) {
    let before = world.objects().await;
    for name in &before {
        let path: LogPath = name.parse().unwrap();
        let good = world.store.get(&path).await.unwrap();
        let mut number = numbers(path.log().0 as u64);
        for _ in 0..flips {
            let (at, bit) = (number(good.len()), number(8));
            world.store.put(&path, flipped(&good, at, bit)).await.unwrap();
            let error = world.run().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit} of byte {at}: {error}");
            assert!(error.to_string().contains(name), "bit {bit} of byte {at} of {name}: {error}");
            assert_eq!(world.objects().await, before, "nothing is left behind, nothing is gone");
        }
        world.store.put(&path, good).await.unwrap();
    }
    world.run().await.unwrap();
}

#[tokio::test]
async fn a_flipped_bit_in_an_object_that_is_read_whole_fails_the_plan() {
    every_flip_is_found(&world().await, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_an_object_that_is_read_in_windows_fails_the_plan() {
    for interleaved in [false, true] {
        let (world, _) = large_objects::world(interleaved).await;
        every_flip_is_found(&world, 3).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_fails_an_l0_delete() {
    let mut world = world().await;
    world.kind = PlanKind::L0Delete;
    for input in &mut world.inputs {
        input.logs.insert.clear();
    }
    let name = LogPath::delta(world.ids(SegmentId(1)), world.inputs[0].logs.delta[0].id);
    let good = world.store.get(&name).await.unwrap();
    world.store.put(&name, flipped(&good, good.len() / 2, 1)).await.unwrap();
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(&name.to_string()), "{error}");
}

/// Objects of Milvus or of an older release have no checksum. They are merged as ever, and copies of them have none either.
#[tokio::test]
async fn objects_without_a_checksum_are_merged() {
    let mut world = world().await;
    world.forget_checksums();
    let outcome = world.run().await.unwrap();
    assert_eq!(outcome.rows_out, 200 - 2 * 3);
    let rows = world.read(&outcome.outputs[0]).await.concat();
    assert_eq!(rows.len(), 200 - 2 * 3);
}

/// The store copies large columns unread. The copy of a damaged column keeps its checksum, so the damage shows later.
#[rstest::rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_a_column_that_is_copied_unseen_shows_in_the_copy(#[values(false, true)] known: bool) {
    let mut world = World::new(DataType::Int64);
    let batch: Vec<Row> = (0..80_000).map(|n| int(n, n, 100)).collect();
    world.segment(1, &[batch], &[]).await;
    world.worker.memory_limit_bytes = 8 << 20;
    let (field, fields) = (FieldId(100), world.schema.stored_fields());
    let source = world.inputs[0].logs.field(field)[0].clone();
    assert!(source.bytes > 1 << 20, "{} bytes are too few to be moved by the store", source.bytes);
    if !known {
        let vectors = world.inputs[0].logs.insert.iter_mut().find(|(id, _)| *id == field).unwrap();
        vectors.1[0].checksum = None;
    }
    let outcome = world.run().await.unwrap();
    let [sound] = outcome.outputs.as_slice() else { panic!("{outcome:?}") };
    // Compares the checksum with one over the real bytes.
    world.read(sound).await;
    assert_eq!(sound.logs.field(field)[0].checksum.is_some(), known);

    let path = LogPath::insert(world.ids(SegmentId(1)), field, source.id);
    let good = world.store.get(&path).await.unwrap();
    world.store.put(&path, flipped(&good, good.len() / 3, 4)).await.unwrap();
    let outcome = world.run().await.unwrap();
    let [copy] = outcome.outputs.as_slice() else { panic!("{outcome:?}") };
    let read = |wanted: FieldId| {
        let batches = read_columns(&world.store, world.ids(copy.id), &copy.logs, &world.schema, &[wanted], 1000);
        batches.try_collect::<Vec<_>>()
    };
    for other in fields.iter().filter(|f| f.id != field) {
        read(other.id).await.unwrap();
    }
    match read(field).await {
        Err(StorageError::Damaged { object, .. }) if known => {
            let expected = LogPath::insert(world.ids(copy.id), field, copy.logs.field(field)[0].id);
            assert_eq!(object, expected.to_string());
        }
        found => assert!(!known, "{found:?}"),
    }
}
