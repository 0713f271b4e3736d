//! `kill -9` against the real binary, at random moments of inserting, flushing and compacting (P1, P2, P3, P4, P7).
//!
//! A journal keeps what was acknowledged. After every kill the server is started again on the same data and asked for
//! everything: acknowledged rows must be there, acknowledged deletes must have stayed, an unacknowledged request must
//! have happened as a whole or not at all, and every job id that was ever answered must still be known.
//!
//! The moments are random but no timers: the killer waits for the n-th event of the workload and strikes while the
//! next calls are under way. `CRASH_SEED` replays a run, `CRASH_ROUNDS` sets the kills per kind of work.

mod connections;
mod exit;
mod journal;
mod memory;
mod pipe;
mod server;
mod workload;

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use journal::Journal;
use server::Server;
use workload::Work;

fn setting(name: &str, default: u64) -> u64 {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_to_kill_9() -> Result<()> {
    let seed = setting("CRASH_SEED", rand::random());
    let rounds = setting("CRASH_ROUNDS", 20);
    eprintln!("replay with CRASH_SEED={seed} CRASH_ROUNDS={rounds}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir()?;
    let mut journal = Journal::default();

    let mut server = Server::start(dir.path()).await?;
    workload::create(&mut server.client()).await?;
    for round in 0..rounds {
        for work in [Work::Insert, Work::Flush, Work::Compact] {
            let events = rng.random_range(1..=work.most_events());
            workload::run_until_killed(&mut server, work, events, &mut rng, &mut journal).await?;
            server =
                Server::start(dir.path()).await.with_context(|| format!("restart after {work:?}, round {round}"))?;
            journal
                .verify(&mut server.client())
                .await
                .with_context(|| format!("round {round}, killed during {work:?} at event {events}, seed {seed}"))?;
        }
    }
    // At last everything is compacted, and still the same rows are there.
    workload::compact_to_the_end(&mut server.client(), &mut journal).await?;
    journal.verify(&mut server.client()).await.context("after the last compaction")?;
    server.stop().await?;
    let server = Server::start(dir.path()).await?;
    journal.verify(&mut server.client()).await.context("after a graceful restart")?;
    server.stop().await
}
