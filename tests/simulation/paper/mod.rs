//! Weeks of a coordinator's life in seconds: writers, deleters, clients, failing workers, a failing store and crashes, in
//! virtual time, all drawn from one seed.
//!
//! ```text
//!  actors ─▶ World: plan, cancel, flush, delete ─▶ Catalog ─▶ store that fails
//!                │ enqueue        ▲ prepare, completed, failed, timed out
//!                ▼                │
//!            Scheduler ────▶ Worker that fails, hangs, panics, is late
//! ```
//!
//! *Real*: `planner::propose` and `planner::validate`, the scheduler with its loop, queue, slots, retries and watch, the
//! life cycle (`scheduler::transition`), the job book, the catalog with its keys, codecs, guards and epochs.
//! *Simulated*: time, the rows (a segment is its record; 1 KiB a row), the merge, and the coordinator between the
//! planner and the catalog: [`world::World`] follows the rules of `coordinator/`. A commit that the store refuses has not
//! happened. A commit that happens without an answer is simulated by a crash in between.
//!
//! After every step the durable state is checked against the numbered invariants of [`invariants`]. In the end, when
//! nothing fails any more, everything must come to rest. A failure prints its seed:
//! `SEED=… cargo test --test simulation` (or `make sim SEED=…`) replays the same steps; `SEEDS=1000` lives a thousand lives.

mod actors;
mod invariants;
mod store;
mod worker;
mod world;

use actors::Simulation;

/// Steps of one run: a few days of virtual time.
const STEPS: usize = 250;

fn run(seed: u64) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut simulation = runtime.block_on(Simulation::new(seed));
    let broken = runtime.block_on(simulation.run(STEPS));
    let journal = simulation.journal();
    if let Err(broken) = broken {
        let tail = journal[journal.len().saturating_sub(60)..].join("\n");
        panic!("{tail}\n\n{broken}\n\nSEED={seed} cargo test --test simulation replays this");
    }
    journal
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a seed to replay is no configuration of the program")]
fn invariants_hold_in_every_life() {
    let seeds: Vec<u64> = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (1..=std::env::var("SEEDS").map_or(40, |n| n.parse().expect("SEEDS is a number"))).collect(),
    };
    let mut seen = std::collections::BTreeMap::<&str, usize>::new();
    for seed in &seeds {
        println!("SEED={seed}");
        let journal = run(*seed);
        for what in EVENTS {
            *seen.entry(what).or_default() += journal.iter().filter(|line| line.contains(what)).count();
        }
    }
    println!("{seen:#?}");
    // A simulation proves nothing about an event that never happens in it.
    if seeds.len() > 1 {
        for what in EVENTS {
            assert!(seen[what] > 0, "never seen: {what}");
        }
    }
}

/// Events that must happen somewhere in a run of all seeds.
const EVENTS: &[&str] = &[
    "flushed",
    "deleted",
    "level 0",
    "asked for Standard",
    "asked for ForceMerge",
    "asked for Clustering",
    "asked for L0Delete",
    "planned by a flush",
    "planned by a tick",
    "committed",
    "late deletes",
    "again",
    "transient",
    "corrupt",
    "panicked",
    "no progress",
    "timed out",
    "a late answer is offered",
    "cancelled",
    "held",
    "killed",
    "stopped",
    "a zombie stays",
    "the store is away",
    "fenced",
];

#[test]
fn a_seed_always_leads_to_the_same_life() {
    for seed in [3, 11] {
        let (first, second) = (run(seed), run(seed));
        let differ = first.iter().zip(&second).find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first.len(), second.len());
    }
}
