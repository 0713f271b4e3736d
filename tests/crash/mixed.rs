//! A client that does everything in turn, often with a deadline that ends the call half-way, and checks each answer,
//! those of searches too.
//!
//! Its keys are its own; its collection is shared with others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use datacoord::wire::proto::{
    common::Status as MilvusStatus,
    datacoord::{CancelCompactionRequest, cancel_compaction_request::Target, data_coord_client::DataCoordClient},
    milvus::GetCompactionStateRequest,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tonic::{Code, Request, Response, Status, transport::Channel};

use crate::{
    ledger::{Change, Ending, Ledger},
    requests::{self, Client, check},
    searches::{self, Asked, Recall},
    workload::Fuse,
};

/// Values in use are few, so that a delete by value hits several rows.
const VALUES: i64 = 12;
/// Milvus' codes for "slow down": memory, requests in flight, rate.
const BACK_PRESSURE: [i32; 3] = [3, 4, 8];

/// The state of a client, over rounds and restarts.
pub struct Seat {
    pub collection: String,
    pub ledger: Ledger,
    /// Ids of jobs that the server returned.
    pub jobs: Vec<i64>,
    /// Values of rows. One is never used again after a delete by it had no answer: that may still take effect, and must
    /// not hit a row that is written later.
    values: Vec<i64>,
    next_value: i64,
    rng: StdRng,
    /// The collection has a graph; otherwise its searches are exact.
    has_graph: bool,
    /// Of searches with the graph.
    pub recall: Recall,
}

impl Seat {
    pub fn new(collection: String, has_graph: bool, keys: std::ops::Range<i64>, seed: u64) -> Self {
        Self {
            collection,
            ledger: Ledger::new(keys),
            jobs: Vec::new(),
            values: (0..VALUES).collect(),
            next_value: VALUES,
            rng: StdRng::seed_from_u64(seed),
            has_graph,
            recall: Recall::default(),
        }
    }

    fn value(&mut self) -> i64 {
        self.values[self.rng.random_range(0..self.values.len())]
    }

    fn retire(&mut self, value: i64) {
        self.values.retain(|v| *v != value);
        self.values.push(self.next_value);
        self.next_value += 1;
    }

    fn rows(&mut self, keys: Vec<i64>) -> Vec<(i64, i64)> {
        keys.into_iter().map(|key| (key, self.value())).collect()
    }

    fn note(&mut self, recall: Recall) {
        if self.has_graph {
            self.recall.add(recall);
        }
    }

    /// # Errors
    /// Rows that differ from the ledger in a query or a search, or a job that is forgotten (P7).
    pub async fn settle(&mut self, client: &mut Client) -> Result<()> {
        let found = requests::read(client, &self.collection, self.ledger.keys.clone()).await?;
        self.ledger.settle(&found).with_context(|| format!("keys {:?} of {}", self.ledger.keys, self.collection))?;
        let (collection, is_exact) = (&self.collection, !self.has_graph);
        let recall = searches::settle(client, collection, &self.ledger, is_exact, &mut self.rng).await?;
        self.note(recall);
        for id in &self.jobs {
            let request = GetCompactionStateRequest { compaction_id: *id };
            let state = client.get_compaction_state(request).await?.into_inner();
            check(state.status, &format!("job {id} is forgotten (P7)"))?;
        }
        Ok(())
    }
}

/// State that all clients of a round share.
#[derive(Debug)]
pub struct Round {
    pub fuse: Fuse,
    /// Ends the clients; each finishes its call.
    pub over: AtomicBool,
    /// The server is being killed: any error is explained.
    pub killing: AtomicBool,
    /// The server kills itself at some time: the first call whose connection breaks says that it has.
    pub kills_itself: bool,
    pub answered: AtomicU64,
    pub unanswered: AtomicU64,
    pub pushed_back: AtomicU64,
}

impl Round {
    /// Answers until the round ends.
    pub fn new(answers: u64, kills_itself: bool) -> Arc<Self> {
        Arc::new(Self {
            fuse: Fuse::new(answers),
            over: false.into(),
            killing: false.into(),
            kills_itself,
            answered: 0.into(),
            unanswered: 0.into(),
            pushed_back: 0.into(),
        })
    }
}

/// Works until the round is over or the server is gone.
pub async fn work(mut seat: Seat, channel: Channel, round: Arc<Round>) -> Result<Seat> {
    let mut call = Caller {
        milvus: Client::new(channel.clone()).max_decoding_message_size(usize::MAX),
        own: DataCoordClient::new(channel),
        round: Arc::clone(&round),
        deadline: None,
    };
    while !round.over.load(Relaxed) && !round.killing.load(Relaxed) {
        // A third of the calls ends in the middle.
        call.deadline = seat.rng.random_bool(0.3).then(|| Duration::from_millis(seat.rng.random_range(1..=50)));
        match call.one(&mut seat).await {
            Ok(()) => {}
            Err(_) if round.killing.load(Relaxed) => return Ok(seat),
            Err(error) => return Err(error),
        }
    }
    Ok(seat)
}

struct Caller {
    milvus: Client,
    own: DataCoordClient<Channel>,
    round: Arc<Round>,
    deadline: Option<Duration>,
}

impl Caller {
    async fn one(&mut self, seat: &mut Seat) -> Result<()> {
        match seat.rng.random_range(0..100) {
            0..30 => self.insert(seat).await,
            30..48 => self.upsert(seat).await,
            48..58 => self.delete_keys(seat).await,
            58..68 => self.delete_value(seat).await,
            68..77 => self.query(seat).await,
            77..86 => self.search(seat).await,
            86..92 => self.flush(seat).await,
            92..95 => self.compact(seat).await,
            95..98 => self.state(seat).await,
            _ => self.cancel(seat).await,
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline);
        }
        request
    }

    /// How a call ended, from its answer and the status in it.
    fn ending<T>(
        &self,
        what: &str,
        answer: Result<Response<T>, Status>,
        status: impl Fn(&T) -> Option<MilvusStatus>,
    ) -> Result<(Ending, Option<T>)> {
        let round = &self.round;
        let answer = match answer {
            Ok(answer) => answer.into_inner(),
            Err(_) if round.killing.load(Relaxed) => return Ok((Ending::Unknown, None)),
            // Before the next one: the client's own deadline has a source, too, and says nothing of the server.
            Err(error)
                if self.deadline.is_some() && matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled) =>
            {
                round.unanswered.fetch_add(1, Relaxed);
                return Ok((Ending::Unknown, None));
            }
            Err(error) if round.kills_itself && is_broken(&error) => {
                round.killing.store(true, Relaxed);
                return Ok((Ending::Unknown, None));
            }
            Err(error) if error.code() == Code::ResourceExhausted => {
                round.pushed_back.fetch_add(1, Relaxed);
                return Ok((Ending::Unknown, None));
            }
            Err(error) => bail!("{what}: {error}"),
        };
        let said = status(&answer).unwrap_or_default();
        if BACK_PRESSURE.contains(&said.code) {
            round.pushed_back.fetch_add(1, Relaxed);
            return Ok((Ending::Unknown, None));
        }
        if said.code != 0 && round.killing.load(Relaxed) {
            return Ok((Ending::Unknown, None));
        }
        check(Some(said), what)?;
        round.answered.fetch_add(1, Relaxed);
        round.fuse.tick();
        Ok((Ending::Acknowledged, Some(answer)))
    }

    async fn insert(&mut self, seat: &mut Seat) -> Result<()> {
        let keys = seat.ledger.fresh(seat.rng.random_range(1..60));
        if keys.is_empty() {
            return Ok(());
        }
        let rows = seat.rows(keys);
        let answer = self.milvus.insert(self.request(requests::insert(&seat.collection, &rows))).await;
        let (ending, _) = self.ending("insert", answer, |a| a.status.clone())?;
        seat.ledger.note(set(&rows), ending);
        Ok(())
    }

    async fn upsert(&mut self, seat: &mut Seat) -> Result<()> {
        let keys = seat.ledger.sample(20, &mut seat.rng);
        if keys.is_empty() {
            return Ok(());
        }
        let rows = seat.rows(keys);
        let answer = self.milvus.upsert(self.request(requests::upsert(&seat.collection, &rows))).await;
        let (ending, _) = self.ending("upsert", answer, |a| a.status.clone())?;
        seat.ledger.note(set(&rows), ending);
        Ok(())
    }

    async fn delete_keys(&mut self, seat: &mut Seat) -> Result<()> {
        let keys = seat.ledger.sample(10, &mut seat.rng);
        if keys.is_empty() {
            return Ok(());
        }
        let request = requests::delete(&seat.collection, requests::keys_filter(&keys));
        let answer = self.milvus.delete(self.request(request)).await;
        let (ending, _) = self.ending("delete by key", answer, |a| a.status.clone())?;
        seat.ledger.note(keys.into_iter().map(|key| (key, None)).collect(), ending);
        Ok(())
    }

    async fn delete_value(&mut self, seat: &mut Seat) -> Result<()> {
        let value = seat.value();
        let keys = &seat.ledger.keys;
        let filter = format!("value == {value} and id >= {} and id < {}", keys.start, keys.end);
        let answer = self.milvus.delete(self.request(requests::delete(&seat.collection, filter))).await;
        let (ending, _) = self.ending("delete by value", answer, |a| a.status.clone())?;
        seat.ledger.doubt_value(value);
        let change = seat.ledger.with_value(value);
        seat.ledger.note(change, ending);
        if ending == Ending::Unknown {
            seat.retire(value);
        }
        Ok(())
    }

    async fn query(&mut self, seat: &mut Seat) -> Result<()> {
        // One answer has all rows of the window, however many rows the client has by now.
        let window = seat.ledger.window(requests::PAGE, &mut seat.rng);
        let filter = format!("id >= {} and id < {}", window.start, window.end);
        let answer = self.milvus.query(self.request(requests::query(&seat.collection, filter))).await;
        if let (_, Some(answer)) = self.ending("query", answer, |a| a.status.clone())? {
            seat.ledger.compare(window, &requests::rows(&answer)?).context("a query beside everything else")?;
        }
        Ok(())
    }

    async fn search(&mut self, seat: &mut Seat) -> Result<()> {
        let asked = Asked::draw(&seat.ledger, &mut seat.rng);
        let answer = self.milvus.search(self.request(asked.request(&seat.collection))).await;
        if let (_, Some(answer)) = self.ending("search", answer, |a| a.status.clone())? {
            let judged = asked.judge(&seat.ledger, &answer, !seat.has_graph);
            let recall = judged.with_context(|| format!("a search beside everything else: {asked:?}"))?;
            seat.note(recall);
        }
        Ok(())
    }

    async fn flush(&mut self, seat: &Seat) -> Result<()> {
        let answer = self.milvus.flush(self.request(requests::flush(&seat.collection))).await;
        self.ending("flush", answer, |a| a.status.clone()).map(drop)
    }

    async fn compact(&mut self, seat: &mut Seat) -> Result<()> {
        let answer = self.milvus.manual_compaction(self.request(requests::compact(&seat.collection))).await;
        if let (_, Some(answer)) = self.ending("compact", answer, |a| a.status.clone())? {
            seat.jobs.push(answer.compaction_id);
        }
        Ok(())
    }

    async fn state(&mut self, seat: &Seat) -> Result<()> {
        let Some(job) = seat.jobs.last() else { return Ok(()) };
        let request = GetCompactionStateRequest { compaction_id: *job };
        let answer = self.milvus.get_compaction_state(self.request(request)).await;
        self.ending("state of a compaction", answer, |a| a.status.clone()).map(drop)
    }

    async fn cancel(&mut self, seat: &Seat) -> Result<()> {
        let Some(job) = seat.jobs.last() else { return Ok(()) };
        let request = CancelCompactionRequest { target: Some(Target::JobId(*job)), ..Default::default() };
        let answer = self.own.cancel_compaction(self.request(request)).await;
        self.ending("cancel", answer, |_| None).map(drop)
    }
}

/// The call has no answer because its connection is gone.
fn is_broken(error: &Status) -> bool {
    std::error::Error::source(error).is_some()
}

fn set(rows: &[(i64, i64)]) -> Change {
    rows.iter().map(|(key, value)| (*key, Some(*value))).collect()
}
