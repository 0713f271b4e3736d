//! Weeks of a server's life in a second, on one thread, from one seed: the real process over devices that fail.
//!
//! ```text
//!  clients: insert, upsert, delete, query, count, search, flush, compact, cancel, pause       oracle: states of each key
//!     │                                                                                          ▲ what may be there
//!     ▼                                                                                          │
//!  Standalone: the real coordinator, log, flushes, merges, garbage collector, scrubber ──────────┘
//!     │            │            │            stage: one piece of work runs at a time, time is virtual
//!     ▼            ▼            ▼
//!  objects     metadata      log disk        power: a cut between any two steps; weather: errors, lost answers,
//!     └────────────┴────────────┴─▶ durable: invariants 1 to 8 after every step          short reads, full, slow
//! ```
//!
//! *Real*: everything from `Standalone` down, started as a server starts it. *Simulated*: time, the order in which pieces
//! of work run, the object store, the metadata store (in memory, with the rules of its trait), and the disk of the log,
//! whose files are real and whose syncs are not.
//!
//! Each life runs in a process of its own, because some numbers that decide an order are counted per process (tokio's, and
//! those of the standard library's hash maps: [`chance`]). The same seed leads to the same journal, byte for byte.
//!
//! A failure prints its seed and the end of its journal. `make sim SEED=…` lives that life again and prints all of it;
//! `SEEDS=1000` lives a thousand; `MINUTES=60` goes on for an hour, from seed `FIRST` on. `SIM_TRACE=debug` adds the
//! program's own log lines.

mod chance;
mod clients;
mod durable;
mod journal;
#[path = "../kit/mod.rs"]
mod kit;
mod life;
mod log_disk;
mod metadata;
mod objects;
mod oracle;
mod paper;
mod power;
mod rows;
mod stage;
mod time;

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use life::Life;

/// Lives of a plain run of all tests, and the time after which it begins no more of them: slow machines live fewer.
const SEEDS: u64 = 1000;
const MINUTES: u64 = 10;
/// So many lives meet everything that a life can meet.
const ENOUGH: u64 = 60;
/// Lines of a journal that a failure prints.
const TAIL: usize = 60;
const SEED_OF_CHILD: &str = "SIM_LIFE";

#[allow(clippy::disallowed_methods, reason = "a seed to replay is no configuration of the program")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// The outcome of a life as its process prints it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    journal: Vec<String>,
    seen: BTreeMap<String, u64>,
    broken: Vec<String>,
}

impl Outcome {
    fn print(&self) {
        self.journal.iter().for_each(|line| println!("journal\t{}", line.replace('\n', " ")));
        self.seen.iter().for_each(|(event, count)| println!("seen\t{event}\t{count}"));
        self.broken.iter().for_each(|what| println!("broken\t{}", what.replace('\n', " ")));
    }

    fn parse(text: &str) -> Self {
        let mut outcome = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, '\t');
            match (parts.next(), parts.next(), parts.next()) {
                (Some("journal"), Some(line), _) => outcome.journal.push(line.to_owned()),
                (Some("seen"), Some(event), Some(count)) => {
                    outcome.seen.insert(event.to_owned(), count.parse().unwrap());
                }
                (Some("broken"), Some(what), _) => outcome.broken.push(what.to_owned()),
                _ => {}
            }
        }
        outcome
    }

    fn failure(&self, seed: u64) -> Option<String> {
        if self.broken.is_empty() {
            return None;
        }
        let tail = self.journal[self.journal.len().saturating_sub(TAIL)..].join("\n");
        Some(format!("{tail}\n\n{}\n\nmake sim SEED={seed} lives it again", self.broken.join("\n")))
    }
}

/// Lives one life in a process of its own.
#[allow(clippy::disallowed_methods, reason = "the environment is that of the test program")]
fn live(seed: u64) -> Outcome {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "one_life", "--ignored", "--nocapture"]).env(SEED_OF_CHILD, seed.to_string());
    let done = child.output().unwrap();
    let mut outcome = Outcome::parse(&String::from_utf8_lossy(&done.stdout));
    if !done.status.success() {
        outcome.broken.push(format!(
            "its process ended with {}: {}",
            done.status,
            String::from_utf8_lossy(&done.stderr)
        ));
    }
    outcome
}

/// The part of [`live`] that runs in the other process.
#[test]
#[ignore = "another test begins it in a process of its own"]
fn one_life() {
    let seed = number(SEED_OF_CHILD).or_else(|| number("SEED")).expect("a seed");
    trace();
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let mut life = Life::new(seed, dir.path().to_owned());
    life.live();
    let journal = life.journal.lines();
    Outcome { journal, seen: life.journal.seen(), broken: life.journal.violations() }.print();
}

#[allow(clippy::disallowed_methods, reason = "the environment is that of the test program")]
fn trace() {
    if let Ok(level) = std::env::var("SIM_TRACE") {
        let filter = tracing_subscriber::EnvFilter::new(level);
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
}

/// Keeps the calling thread, and the processes that it begins, on one of the cores that it may use. The threads of a life
/// take turns, and a turn that is handed to another core costs several times as much.
#[cfg_attr(not(target_os = "linux"), allow(unused_variables, reason = "only Linux keeps a thread on a core"))]
fn stay_on(number: usize) {
    #[cfg(target_os = "linux")]
    {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let allowed = sched_getaffinity(None).unwrap();
        let core = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).nth(number);
        let mut own = CpuSet::new();
        own.set(core.expect("as many cores as threads"));
        sched_setaffinity(None, &own).unwrap();
    }
}

#[test]
fn promises_hold_in_every_life() {
    if let Some(seed) = number("SEED") {
        let outcome = live(seed);
        outcome.journal.iter().for_each(|line| println!("{line}"));
        println!("{:#?}", outcome.seen);
        if let Some(failure) = outcome.failure(seed) {
            panic!("{failure}");
        }
        return;
    }
    let first = number("FIRST").unwrap_or(1);
    let (seeds, minutes) = (number("SEEDS"), number("MINUTES"));
    let last = if minutes.is_some() && seeds.is_none() { u64::MAX } else { first + seeds.unwrap_or(SEEDS) - 1 };
    let minutes = minutes.or(if seeds.is_none() { Some(MINUTES) } else { None });
    let limit = minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let (begun, next) = (Instant::now(), AtomicU64::new(first));
    let (seen, failures) = (Mutex::<BTreeMap<String, u64>>::default(), Mutex::<Vec<String>>::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for core in 0..cores {
            let (next, seen, failures) = (&next, &seen, &failures);
            scope.spawn(move || {
                stay_on(core);
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed > last
                        || limit.is_some_and(|limit| begun.elapsed() > limit)
                        || failures.lock().unwrap().len() > 4
                    {
                        return;
                    }
                    let outcome = live(seed);
                    for (event, count) in &outcome.seen {
                        *seen.lock().unwrap().entry(event.clone()).or_default() += count;
                    }
                    if let Some(failure) = outcome.failure(seed) {
                        println!("SEED={seed} fails: {}", outcome.broken.join("; "));
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let lived = next.load(Ordering::SeqCst).min(last.saturating_add(1)) - first;
    let (seen, failures) = (seen.into_inner().unwrap(), failures.into_inner().unwrap());
    println!("{seen:#?}\n{lived} lives in {:?}", begun.elapsed());
    assert!(failures.is_empty(), "{} of {lived} lives break a promise\n\n{}", failures.len(), failures.join("\n\n"));
    // A simulation proves nothing about an event that never happens in it.
    if lived >= ENOUGH {
        let never: Vec<&&str> = EVENTS.iter().filter(|event| !seen.contains_key(**event)).collect();
        assert!(never.is_empty(), "never seen: {never:?}");
    }
}

/// Events that must happen somewhere in a run of all seeds.
const EVENTS: &[&str] = &[
    "end: Stopped",
    "end: Killed",
    "end: PowerLost",
    "end: NoStart",
    "take over",
    "insert: done",
    "upsert: done",
    "upsert: given up",
    "delete by key: done",
    "delete by expression: done",
    "query: done",
    "count: done",
    "load: done",
    "search: done",
    "flush: done",
    "cancelled",
    "collected",
    "create a partition",
    "drop a partition",
    "truncate a collection",
    "drop a collection",
    "store: an error",
    "store: full",
    "store: an answer lost",
    "store: a short read",
    "metadata: an error",
    "log: an error",
    "log: an error after it was done",
    "log: a file removed",
    "log: unsynced bytes at a loss of power",
];

#[test]
fn a_seed_always_leads_to_the_same_life() {
    for seed in [3, 11] {
        let (first, second) = (live(seed), live(seed));
        let differ = first.journal.iter().zip(&second.journal).find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
        assert!(first == second && !first.journal.is_empty(), "seed {seed}");
    }
}
