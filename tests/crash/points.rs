//! A kill at every place of `src/fault/point.rs`, and a restart after it: each is a state of log, catalog and store that a
//! crash can leave.
//!
//! The list is in the code, so a new place is here at once. A place that is not reached fails the test: it would prove
//! nothing. `POINT` tries one place alone, `PLACES` so many that the seed chooses, and `CRASH_SEED` replays a run.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use datacoord::fault::{POINT, Point, PointPhase};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use crate::{
    journal::Journal,
    server::{Launched, Server},
    setting, workload,
};

/// How clients lead a server to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Not at all: it comes there before it serves.
    Start,
    /// They write, flush, compact and collect garbage all the time.
    Mixed,
    /// The same as [`Load::Mixed`], with an object in the store that no segment names.
    Orphan,
}

/// A place for a round of many clients, in half of the rounds.
pub fn any(rng: &mut StdRng) -> Option<String> {
    let (point, phase) = *Point::ALL.choose(rng)?;
    let times = if phase == PointPhase::Start { 1 } else { rng.random_range(1..40) };
    rng.random_bool(0.5).then(|| format!("{}:{times}", point.name()))
}

pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGKILL)
}

/// The load that leads to a place, and how often the server comes there until it is killed: later calls meet a server
/// that has done everything once. In 40 s on two busy cores the load led to each place ten times or more, apart from those
/// that are named here.
fn way(point: Point, phase: PointPhase) -> (Load, &'static [u64]) {
    match (phase, point) {
        (PointPhase::Start, _) => (Load::Start, &[1]),
        // A turn is taken every ten seconds.
        (_, Point::TurnIntended | Point::TurnReplaced) => (Load::Mixed, &[1]),
        (_, Point::OrphanGone) => (Load::Orphan, &[1]),
        _ => (Load::Mixed, &[1, 4]),
    }
}

/// The places to be tried, in the order of the list.
fn chosen(rng: &mut StdRng) -> Vec<(Point, PointPhase)> {
    #[allow(clippy::disallowed_methods, reason = "a test's own switch")]
    let only = std::env::var("POINT").ok();
    let all = Point::ALL.iter().copied().filter(|(point, _)| only.as_deref().is_none_or(|name| name == point.name()));
    let all: Vec<(Point, PointPhase)> = all.collect();
    let places = setting("PLACES", all.len() as u64) as usize;
    let mut some = rand::seq::index::sample(rng, all.len(), places.min(all.len())).into_vec();
    some.sort_unstable();
    some.into_iter().map(|at| all[at]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_every_place_loses_nothing() -> Result<()> {
    let seed = setting("CRASH_SEED", rand::random());
    eprintln!("replay with CRASH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir()?;
    let mut journal = Journal::default();
    let mut server = Server::start(dir.path()).await?;
    workload::create(&mut server.client()).await?;
    let chosen = chosen(&mut rng);
    ensure!(!chosen.is_empty(), "POINT names no place");
    let mut kills = 0;
    for (point, phase) in &chosen {
        let (load, times) = way(*point, *phase);
        for at in times {
            // It leaves a plan under way, segments, and rows in the log.
            if matches!(load, Load::Start | Load::Orphan) {
                let events = rng.random_range(5..25);
                workload::run_until_killed(&mut server, workload::Work::Compact, events, &mut rng, &mut journal)
                    .await?;
            } else {
                server.kill()?;
            }
            if load == Load::Orphan {
                leave_an_orphan(dir.path())?;
            }
            let place = format!("{}:{at}", point.name());
            let status = reach(dir.path(), load, &place, &mut rng, &mut journal).await;
            let status = status.with_context(|| format!("on the way to {place}, seed {seed}"))?;
            ensure!(was_killed(status), "{place}: the server ended with {status}, seed {seed}");
            kills += 1;
            server = Server::start(dir.path()).await.with_context(|| format!("restart after {place}, seed {seed}"))?;
            let verified = journal.verify(&mut server.client()).await;
            verified.with_context(|| format!("after a kill at {place}, seed {seed}"))?;
        }
    }
    workload::compact_to_the_end(&mut server.client(), &mut journal).await?;
    journal.verify(&mut server.client()).await.context("after the last compaction")?;
    eprintln!("{kills} kills at {} places", chosen.len());
    server.stop().await
}

/// Leads a server to a place, and returns how it ended.
async fn reach(data: &Path, load: Load, place: &str, rng: &mut StdRng, journal: &mut Journal) -> Result<ExitStatus> {
    match Server::launch(data, &[(POINT, place)], &[]).await? {
        Launched::Ended(status, _) => Ok(status),
        Launched::Serving(_) if load == Load::Start => anyhow::bail!("it serves and was to end before"),
        Launched::Serving(mut server) => workload::run_until_gone(&mut server, rng, journal).await,
    }
}

/// Copies an object to the name of a segment that never was, as a crash of long ago could have left it.
fn leave_an_orphan(data: &Path) -> Result<()> {
    let objects = data.join("data/files/insert_log");
    let first = |folder: &Path| -> Result<PathBuf> {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<Result<_>>()?;
        entries.sort();
        entries.into_iter().next().with_context(|| format!("{} is empty", folder.display()))
    };
    let partition = first(&first(&objects)?)?;
    let (field, log) = {
        let field = first(&first(&partition)?)?;
        let log = first(&field)?;
        (field, log)
    };
    let orphan = partition.join("7").join(field.file_name().context("a field")?).join("8");
    std::fs::create_dir_all(orphan.parent().context("a folder")?)?;
    std::fs::copy(log, &orphan)?;
    let long_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    Ok(std::fs::File::options().write(true).open(&orphan)?.set_modified(long_ago)?)
}
