//! The clients' work until the server is killed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Result;
#[cfg(feature = "planted-faults")]
use datacoord::wire::proto::datacoord::{CollectGarbageRequest, data_coord_client::DataCoordClient};
use datacoord::wire::proto::milvus::GetCompactionStateRequest;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::{sync::Notify, task::JoinSet};
#[cfg(feature = "planted-faults")]
use tonic::transport::Channel;

use crate::{
    journal::{Doubt, Journal},
    requests::{self, Client, check},
    server::Server,
};

pub const COLLECTION: &str = "crash";
/// New keys that one writer may use in a round.
const WRITER_KEYS: i64 = 4_000;
/// Far longer than any place takes to be reached as often as it is asked for.
#[cfg(feature = "planted-faults")]
const REACHED_WITHIN: std::time::Duration = std::time::Duration::from_secs(300);

#[derive(Debug, Clone, Copy)]
pub enum Work {
    Insert,
    Flush,
    Compact,
}

impl Work {
    /// The kill comes after at most this many answered calls.
    pub fn most_events(self) -> u64 {
        match self {
            Self::Insert => 60,
            Self::Flush => 12,
            Self::Compact => 25,
        }
    }
}

pub async fn create(client: &mut Client) -> Result<()> {
    requests::make(client, COLLECTION).await
}

/// Sends one write. Without an answer it stays in doubt.
async fn write(client: &mut Client, request: Doubt) -> (Doubt, bool) {
    let outcome = match &request {
        Doubt::Insert(rows) => client.insert(requests::insert(COLLECTION, rows)).await,
        Doubt::Upsert(rows) => client.upsert(requests::upsert(COLLECTION, rows)).await,
        Doubt::Delete(keys) => client.delete(requests::delete(COLLECTION, requests::keys_filter(keys))).await,
    };
    let acknowledged = outcome.is_ok_and(|answer| check(answer.into_inner().status, "write").is_ok());
    (request, acknowledged)
}

/// Counts answered calls and tells the killer when it is time.
#[derive(Debug)]
pub struct Fuse {
    left: AtomicU64,
    burnt: Notify,
}

impl Fuse {
    pub fn new(events: u64) -> Self {
        Self { left: AtomicU64::new(events), burnt: Notify::new() }
    }

    pub async fn burnt(&self) {
        self.burnt.notified().await;
    }

    pub fn tick(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.burnt.notify_one();
        }
    }
}

/// Works until `events` calls have been answered, then kills the server while the next ones are under way.
pub async fn run_until_killed(
    server: &mut Server,
    work: Work,
    events: u64,
    rng: &mut StdRng,
    journal: &mut Journal,
) -> Result<()> {
    let fuse = Arc::new(Fuse::new(events));
    let tasks = begin(server, work, &fuse, rng, journal);
    fuse.burnt().await;
    server.kill()?;
    note(tasks, journal).await
}

/// Works until the server ends by itself.
///
/// # Errors
/// A server that is still there after five minutes: nothing has led it to its end.
#[cfg(feature = "planted-faults")]
pub async fn run_until_gone(
    server: &mut Server,
    rng: &mut StdRng,
    journal: &mut Journal,
) -> Result<std::process::ExitStatus> {
    let fuse = Arc::new(Fuse::new(u64::MAX));
    let mut tasks = begin(server, Work::Compact, &fuse, rng, journal);
    tasks.spawn(collector(DataCoordClient::new(server.connect_later()?)));
    let status = server.gone_within(REACHED_WITHIN).await?;
    note(tasks, journal).await?;
    Ok(status)
}

fn begin(
    server: &Server,
    work: Work,
    fuse: &Arc<Fuse>,
    rng: &mut StdRng,
    journal: &mut Journal,
) -> JoinSet<Vec<Entry>> {
    let mut tasks = JoinSet::new();
    // Two writers with keys of their own, so that an unanswered request is never overtaken by another one.
    let live = journal.live_keys();
    let (even, odd): (Vec<i64>, Vec<i64>) = live.iter().partition(|key| *key % 2 == 0);
    for victims in [even, odd] {
        let keys = journal.fresh_keys(WRITER_KEYS);
        let (client, fuse, seed) = (server.client(), Arc::clone(fuse), rng.random());
        tasks.spawn(writer(client, keys, victims, fuse, seed, matches!(work, Work::Insert)));
    }
    if matches!(work, Work::Flush | Work::Compact) {
        tasks.spawn(flusher(server.client(), Arc::clone(fuse)));
    }
    if matches!(work, Work::Compact) {
        tasks.spawn(compactor(server.client(), Arc::clone(fuse)));
    }
    tasks
}

/// Waits for the clients of a server that is gone, and notes their knowledge.
async fn note(mut tasks: JoinSet<Vec<Entry>>, journal: &mut Journal) -> Result<()> {
    while let Some(done) = tasks.join_next().await {
        for entry in done? {
            match entry {
                Entry::Acknowledged(request) => journal.acknowledge(request),
                Entry::Doubtful(request) => journal.doubt(request),
                Entry::Job(id) => journal.job(id),
            }
        }
    }
    Ok(())
}

enum Entry {
    Acknowledged(Doubt),
    Doubtful(Doubt),
    Job(i64),
}

/// Inserts, upserts and deletes keys of its own until a call fails. Its calls burn the fuse only if they are the work.
async fn writer(
    mut client: Client,
    fresh: Vec<i64>,
    mut victims: Vec<i64>,
    fuse: Arc<Fuse>,
    seed: u64,
    burns: bool,
) -> Vec<Entry> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut entries = Vec::new();
    let mut fresh = fresh.into_iter();
    loop {
        let mut some_victims = || {
            let count = rng.random_range(1..30);
            let chosen: Vec<i64> = victims.sample(&mut rng, count).copied().collect();
            chosen
        };
        let chosen = some_victims();
        let draw = rng.random_range(0..10);
        let new: Vec<i64> = match draw {
            0..6 => fresh.by_ref().take(rng.random_range(1..60)).collect(),
            _ => Vec::new(),
        };
        let request = match draw {
            _ if !new.is_empty() => Some(Doubt::Insert(new.into_iter().map(|k| (k, rng.random())).collect())),
            8.. if !chosen.is_empty() && fresh.len() > 0 => {
                victims.retain(|k| !chosen.contains(k));
                Some(Doubt::Delete(chosen))
            }
            // Without new keys it writes those that are left again and again: the load does not dry up.
            _ if !chosen.is_empty() => Some(Doubt::Upsert(chosen.iter().map(|k| (*k, rng.random())).collect())),
            _ => None,
        };
        let Some(request) = request else {
            if fresh.len() == 0 && victims.is_empty() {
                return entries;
            }
            continue;
        };
        let (request, acknowledged) = write(&mut client, request).await;
        if !acknowledged {
            entries.push(Entry::Doubtful(request));
            return entries;
        }
        if let Doubt::Insert(rows) = &request {
            victims.extend(rows.iter().map(|r| r.0));
        }
        entries.push(Entry::Acknowledged(request));
        if burns {
            fuse.tick();
        }
    }
}

async fn flusher(mut client: Client, fuse: Arc<Fuse>) -> Vec<Entry> {
    loop {
        if client.flush(requests::flush(COLLECTION)).await.is_err() {
            return Vec::new();
        }
        fuse.tick();
    }
}

/// Compacts again and again, and asks for the state while a job runs.
async fn compactor(mut client: Client, fuse: Arc<Fuse>) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let Ok(answer) = client.manual_compaction(requests::compact(COLLECTION)).await else { return entries };
        let answer = answer.into_inner();
        if check(answer.status, "compact").is_ok() {
            entries.push(Entry::Job(answer.compaction_id));
        }
        fuse.tick();
        let request = GetCompactionStateRequest { compaction_id: answer.compaction_id };
        loop {
            let Ok(state) = client.get_compaction_state(request).await else { return entries };
            if state.into_inner().state == 2 {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Collects garbage again and again.
#[cfg(feature = "planted-faults")]
async fn collector(mut client: DataCoordClient<Channel>) -> Vec<Entry> {
    while client.collect_garbage(CollectGarbageRequest::default()).await.is_ok() {}
    Vec::new()
}

pub async fn compact_to_the_end(client: &mut Client, journal: &mut Journal) -> Result<()> {
    journal.job(requests::compact_to_the_end(client, COLLECTION).await?);
    Ok(())
}
