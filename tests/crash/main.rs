//! The real binary, killed and crowded (P1, P2, P3, P4, P7, P8).
//!
//! `nothing_acknowledged_is_lost_to_kill_9`: `kill -9` at random moments of inserting, flushing and compacting. A journal
//! keeps acknowledged writes. After every kill the server is started again on the same data and asked for everything:
//! acknowledged rows must be there, acknowledged deletes must have stayed, an unacknowledged request must
//! have happened as a whole or not at all, and every job id that was ever returned must still be known.
//!
//! The moments are random but not timed: the killer waits for the n-th event of the workload and kills while the next
//! calls are under way. `CRASH_SEED` replays a run, `CRASH_ROUNDS` sets the kills per kind of work.
//!
//! `many_clients_keep_exact_rows`: clients that insert, upsert, delete by key and by value, query, search, flush, compact
//! and cancel at once, a third of their calls with a deadline of 1 to 50 ms; some rounds end by `kill -9`. Each client knows
//! its rows exactly; half of the collections are searched exactly, the others with a graph. `LOAD_CLIENTS`, `LOAD_CALLS` (of each client in a round), `LOAD_KILLS`, `LOAD_SECONDS` (of the last
//! round, instead of calls), `LOAD_MEMORY_MIB` (a control group for the server), `LOAD_SERVER` (another binary) make it
//! larger; `make soak` and `make kills` do. Built with `planted-faults`, the server kills itself in half of the rounds, at a
//! place between two steps of a change (`src/fault/point.rs`).
//!
//! `points`: a kill at every such place, one after the other. `surroundings`: a directory that is full, read-only, in use,
//! copied or damaged, a clock that goes back, SIGTERM under load.

mod connections;
mod disk;
mod exit;
mod journal;
#[path = "../kit/mod.rs"]
mod kit;
mod ledger;
mod memory;
mod mixed;
mod pipe;
#[cfg(feature = "planted-faults")]
mod points;
mod requests;
mod searches;
mod secrets;
mod server;
mod surroundings;
mod tls;
mod workload;

use std::{
    os::unix::process::ExitStatusExt as _,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinSet;

use journal::Journal;
use memory::Group;
use mixed::{Round, Seat};
use searches::Recall;
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
    // In the end everything is compacted, and the same rows are there.
    workload::compact_to_the_end(&mut server.client(), &mut journal).await?;
    journal.verify(&mut server.client()).await.context("after the last compaction")?;
    server.stop().await?;
    let server = Server::start(dir.path()).await?;
    journal.verify(&mut server.client()).await.context("after a graceful restart")?;
    server.stop().await
}

/// Keys of one client.
const KEYS: i64 = 1_000_000_000;
/// Clients share this many collections.
const COLLECTIONS: u64 = 8;
/// Segments of few rows have a graph, too.
const SMALL_GRAPHS: (&str, &str) = ("DATACOORD__INDEXCOORD__SEGMENT__MINSEGMENTNUMROWSTOENABLEINDEX", "64");
/// How long memory that was freed may stay resident after the load, and how much then.
const REST: Duration = Duration::from_secs(60);
const REST_MIB: u64 = 250;
/// Far longer than a round takes that the server may end by itself.
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_keep_exact_rows() -> Result<()> {
    let seed = setting("LOAD_SEED", rand::random());
    let (clients, calls) = (setting("LOAD_CLIENTS", 24), setting("LOAD_CALLS", 40));
    let (kills, seconds) = (setting("LOAD_KILLS", 2), setting("LOAD_SECONDS", 0));
    let memory_mib = setting("LOAD_MEMORY_MIB", 0);
    let group = if memory_mib > 0 { Some(Group::new("load", memory_mib << 20)?) } else { None };
    let through = group.as_ref().map(Group::through).unwrap_or_default();
    let start = async |data: &Path| Server::start_in(data, &[SMALL_GRAPHS], &through).await;
    eprintln!("seed {seed}: {clients} clients, {calls} calls a round, {kills} kills, {seconds} s, {memory_mib} MiB");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir()?;
    let mut server = start(dir.path()).await?;
    let collections: Vec<String> = (0..COLLECTIONS).map(|i| format!("load_{i}")).collect();
    let has_graph = |number: u64| number % 2 == 1;
    for (number, name) in (0..).zip(&collections) {
        let client = &mut server.client();
        if has_graph(number) {
            requests::make_with_graph(client, name).await?;
        } else {
            requests::make(client, name).await?;
        }
    }
    let mut seats: Vec<Seat> = (0..clients)
        .map(|i| {
            let (first, number) = (i as i64 * KEYS, i % COLLECTIONS);
            Seat::new(collections[number as usize].clone(), has_graph(number), first..first + KEYS, rng.random())
        })
        .collect();
    let mut before_kills = 0;
    for kill in 0..kills {
        let kills_itself = may_kill_itself(&mut server, dir.path(), &through, &mut rng).await?;
        let round = Round::new(rng.random_range(1..=(clients * calls).max(1)), kills_itself);
        let mut tasks = begin(&server, seats, &round)?;
        if kills_itself {
            // The clients see it, too, and end; their errors are looked at afterwards.
            tokio::select! {
                () = round.fuse.burnt() => {}
                gone = server.gone_within(PATIENCE) => drop(gone.with_context(|| format!("kill {kill}, seed {seed}"))?),
            }
        } else {
            unless_one_fails(&mut tasks, round.fuse.burnt())
                .await
                .with_context(|| format!("before kill {kill}, seed {seed}"))?;
        }
        round.killing.store(true, Relaxed);
        server.kill()?;
        let status = server.gone().await?;
        ensure!(status.signal() == Some(libc::SIGKILL), "the server ended with {status}, seed {seed}");
        seats = end(tasks).await.with_context(|| format!("kill {kill}, seed {seed}"))?;
        before_kills += round.answered.load(Relaxed);
        server = start(dir.path()).await.with_context(|| format!("restart {kill}, seed {seed}"))?;
        settle(&mut seats, &server).await.with_context(|| format!("after kill {kill}, seed {seed}"))?;
    }
    let round = Round::new(if seconds > 0 { u64::MAX } else { clients * calls }, false);
    let mut tasks = begin(&server, seats, &round)?;
    let enough = async {
        if seconds > 0 {
            // The load has a length; nothing is asserted about time.
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        } else {
            round.fuse.burnt().await;
        }
    };
    unless_one_fails(&mut tasks, enough).await.with_context(|| format!("seed {seed}"))?;
    round.over.store(true, Relaxed);
    seats = end(tasks).await.with_context(|| format!("seed {seed}"))?;
    server.check_alive(dir.path())?;
    for name in &collections {
        requests::compact_to_the_end(&mut server.client(), name).await.with_context(|| format!("{name} is stuck"))?;
    }
    settle(&mut seats, &server).await.with_context(|| format!("after the load, seed {seed}"))?;
    Recall::judge(seats.iter().map(|seat| seat.recall)).with_context(|| format!("seed {seed}"))?;
    ensure!(dir.path().join("data/files/index_files").exists(), "no segment has got a graph");
    let rows: usize = seats.iter().map(|seat| seat.ledger.rows()).sum();
    let [answered, unanswered, pushed_back] =
        [&round.answered, &round.unanswered, &round.pushed_back].map(|count| count.load(Relaxed));
    let (now, peak) = server.resident_mib()?;
    eprintln!("{kills} kills, {before_kills} calls answered before them");
    eprintln!(
        "last round: {answered} calls answered, {unanswered} ended by their deadline, {pushed_back} pushed back; \
         {rows} rows; resident {now} MiB, at most {peak}"
    );
    if let Some(group) = &group {
        ensure!(group.killed()? == 0, "the kernel has killed something");
        ensure!(peak <= memory_mib, "{peak} MiB were resident, limit {memory_mib}");
        tokio::time::sleep(REST).await;
        let (now, _) = server.resident_mib()?;
        eprintln!("{REST:?} later {now} MiB");
        ensure!(now <= REST_MIB, "{now} MiB are resident {REST:?} after the load, expected at most {REST_MIB}");
    }
    server.stop().await?;
    let server = start(dir.path()).await?;
    settle(&mut seats, &server).await.with_context(|| format!("after a graceful restart, seed {seed}"))?;
    server.stop().await
}

/// Starts the server once more, in half of the rounds, with a place at which it kills itself. False: it has none.
#[cfg(feature = "planted-faults")]
async fn may_kill_itself(server: &mut Server, data: &Path, through: &[String], rng: &mut StdRng) -> Result<bool> {
    let Some(place) = points::any(rng) else { return Ok(false) };
    server.kill()?;
    match Server::launch(data, &[SMALL_GRAPHS, (datacoord::fault::POINT, &place)], through).await? {
        server::Launched::Serving(next) => {
            *server = *next;
            Ok(true)
        }
        // It came to the place before it served.
        server::Launched::Ended(status, log) => {
            ensure!(points::was_killed(status), "{place}: the server ended with {status}:\n{log}");
            *server = Server::start_in(data, &[SMALL_GRAPHS], through).await?;
            Ok(false)
        }
    }
}

/// A build for users has no such places.
#[cfg(not(feature = "planted-faults"))]
async fn may_kill_itself(_: &mut Server, _: &Path, _: &[String], _: &mut StdRng) -> Result<bool> {
    Ok(false)
}

fn begin(server: &Server, seats: Vec<Seat>, round: &Arc<Round>) -> Result<JoinSet<Result<Seat>>> {
    let mut tasks = JoinSet::new();
    for seat in seats {
        // The server may be gone before it has answered once.
        tasks.spawn(mixed::work(seat, server.connect_later()?, Arc::clone(round)));
    }
    Ok(tasks)
}

/// Waits for an event. A client ends before it only by an error, which is returned at once.
async fn unless_one_fails(tasks: &mut JoinSet<Result<Seat>>, event: impl Future<Output = ()>) -> Result<()> {
    tokio::select! {
        () = event => Ok(()),
        Some(done) = tasks.join_next() => done?.map(drop),
    }
}

async fn end(mut tasks: JoinSet<Result<Seat>>) -> Result<Vec<Seat>> {
    let mut seats = Vec::new();
    while let Some(done) = tasks.join_next().await {
        seats.push(done??);
    }
    Ok(seats)
}

async fn settle(seats: &mut [Seat], server: &Server) -> Result<()> {
    for seat in seats {
        seat.settle(&mut server.client()).await?;
    }
    Ok(())
}
