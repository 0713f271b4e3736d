//! The scrubber over real files, with the time set by hand.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{clock::ManualClock, standalone::tests::World};

const INTERVAL: Duration = Duration::from_secs(4000);

/// Four segments of about the same size, and as many objects each.
async fn world(clock: &Arc<ManualClock>) -> (World, u64) {
    // Off until there is something to be read.
    let world = World::at(clock.clone(), |config| config.scrub.interval = Duration::ZERO).await;
    let cell = world.collection("c").await;
    for segment in 0..4 {
        world.segment(&cell, segment * 1000..segment * 1000 + 100).await;
    }
    let world = world.restarted_with(|config| config.scrub.interval = INTERVAL).await;
    let objects = world.objects().iter().filter(|name| name.contains("_log/")).count() as u64;
    assert_eq!(objects % 4, 0);
    (world, objects / 4)
}

async fn look(world: &World) -> u64 {
    let core = &world.coordinator.core;
    core.scrub_due(&CancellationToken::new()).await;
    core.metrics.scrub.objects.get()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_object_has_its_turn_and_turns_are_spread() {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let (world, each) = world(&clock).await;
    assert_eq!(look(&world).await, each, "the first at once");
    for segment in 1..4 {
        clock.advance(INTERVAL / 4 - Duration::from_secs(50));
        assert_eq!(look(&world).await, segment * each, "too early for segment {segment}");
        clock.advance(Duration::from_secs(50) + Duration::from_secs(20) / 3);
        assert_eq!(look(&world).await, (segment + 1) * each, "segment {segment}");
    }
    clock.advance(INTERVAL / 4 - Duration::from_secs(50));
    assert_eq!(look(&world).await, 4 * each, "the round is over");
    clock.advance(Duration::from_secs(50));
    assert_eq!(look(&world).await, 5 * each, "the next one begins");
    let bytes: u64 =
        world.objects().iter().map(|name| std::fs::metadata(world.files().join(name)).unwrap().len()).sum();
    assert!(world.coordinator.core.metrics.scrub.bytes.get() > bytes, "they were read whole");
    assert_eq!(world.coordinator.health().reasons(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_of_any_kind_of_object_is_found_and_named_until_it_is_gone() {
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let (world, _) = world(&clock).await;
    look(&world).await;
    let round = async || {
        // Each turn of the round that is under way, and of the next one.
        for _ in 0..16 {
            clock.advance(INTERVAL / 8);
            look(&world).await;
        }
    };
    let core = &world.coordinator.core;
    let mut found = 0;
    for folder in ["insert_log", "stats_log"] {
        let name = world.objects().into_iter().rfind(|name| name.starts_with(folder)).unwrap();
        let good = std::fs::read(world.files().join(&name)).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        std::fs::write(world.files().join(&name), &bad).unwrap();
        round().await;
        round().await;
        found += 1;
        assert_eq!((core.metrics.scrub.damage.get(), core.damage.scrubbed()), (found, 1), "told once");
        let health = world.coordinator.health();
        assert!(health.takes_calls(), "everything else is served");
        let reasons = health.reasons();
        let [reason] = reasons.as_slice() else { panic!("{health:?}") };
        assert!(reason.contains(&name) && reason.contains("is damaged") && reason.contains("expected"), "{reason}");

        std::fs::remove_file(world.files().join(&name)).unwrap();
        std::fs::write(world.files().join(&name), &good).unwrap();
        round().await;
        assert_eq!(world.coordinator.health().reasons(), Vec::<String>::new(), "it was put back");

        std::fs::remove_file(world.files().join(&name)).unwrap();
        round().await;
        found += 1;
        let health = world.coordinator.health();
        assert!(health.reasons().iter().any(|r| r.contains(&name) && r.contains("not found")), "{health:?}");
        std::fs::write(world.files().join(&name), &good).unwrap();
        round().await;
    }
    assert_eq!(core.metrics.scrub.damage.get(), found);
}
