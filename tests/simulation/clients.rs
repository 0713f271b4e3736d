//! Calls of clients, each a task of its own: writes, deletes, reads, flushes and compactions, as the edges hand them over.
//!
//! A call announces itself to the oracle before it begins, and reports its end. Some callers stop waiting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use datacoord::{
    coordinator::{
        CollectionCell, CompactionOptions,
        control::{CancelTarget, PauseScope},
    },
    error::{Classify, ErrorKind},
    model::{JobId, LoadError, PartitionId, RequestError},
    standalone::{CollectionName, LoadRequest, ReadRequest, Rows, Standalone, StandaloneError},
};

use crate::{
    journal::Journal,
    kit::{filters, numbers::Numbers},
    oracle::{Change, KEYS, Oracle, PARTITIONS, Standing, judge_count},
    rows::{self, Key, Version},
};

/// Rows of one request, at most.
const MOST_ROWS: u64 = 12;

/// A client of one process.
#[derive(Clone)]
pub struct Client {
    pub standalone: Arc<Standalone>,
    pub oracle: Oracle,
    pub journal: Journal,
    /// Of this call; no other call of the life has it.
    pub number: u64,
    pub numbers: Numbers,
    /// Reads may meet damage: the weather has had short reads, before this call or while it runs.
    pub may_be_damaged: Arc<AtomicBool>,
}

/// The metadata store did not say whether it has a change: no other one begins until a restart. Rooms in between pass on
/// the text of the error and no cause.
pub fn is_lost_answer(error: &StandaloneError) -> bool {
    error.to_string().contains("a change of the catalog died (without an answer: ")
}

/// A call that changes rows.
enum Write {
    Insert(Vec<(Key, Version)>),
    Upsert(Vec<(Key, Version)>),
    DeleteKeys(Vec<Key>),
    /// Those of the keys whose row has this version or an older one.
    DeleteUpTo(Vec<Key>, Version),
}

impl Write {
    fn changes(&self) -> Vec<(Key, Change)> {
        match self {
            Self::Insert(rows) | Self::Upsert(rows) => rows.iter().map(|(k, v)| (*k, Change::Set(*v))).collect(),
            Self::DeleteKeys(keys) => keys.iter().map(|key| (*key, Change::Delete)).collect(),
            Self::DeleteUpTo(keys, limit) => keys.iter().map(|key| (*key, Change::DeleteUpTo(*limit))).collect(),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Insert(_) => "insert",
            Self::Upsert(_) => "upsert",
            Self::DeleteKeys(_) => "delete by key",
            Self::DeleteUpTo(..) => "delete by expression",
        }
    }
}

/// The answer to a read.
enum Answer {
    Count(u64),
    Rows(Vec<(Key, Version)>),
}

impl Client {
    /// Waits for a call, or stops waiting.
    async fn call<T>(
        &mut self,
        what: &str,
        call: impl Future<Output = Result<T, StandaloneError>>,
    ) -> Option<Result<T, StandaloneError>> {
        let patience = if self.numbers.percent(10) {
            Duration::from_millis(self.numbers.below(40))
        } else {
            Duration::from_secs(600)
        };
        match tokio::time::timeout(patience, call).await {
            Ok(Ok(answer)) => {
                self.journal.saw(format!("{what}: done"));
                Some(Ok(answer))
            }
            Ok(Err(error)) => {
                let kind = error.kind();
                self.journal.saw(format!("{what}: {}", kind.as_str()));
                self.journal.note(format!("#{} {what} failed: {error}", self.number));
                Some(Err(error))
            }
            Err(_elapsed) => {
                self.journal.saw(format!("{what}: given up"));
                self.journal.note(format!("#{} {what} given up", self.number));
                None
            }
        }
    }

    /// Reports errors that no fault of a device explains.
    fn blame(&self, what: &str, error: &StandaloneError) {
        let is_defect = match error.kind() {
            ErrorKind::Internal => !is_lost_answer(error),
            ErrorKind::Corrupt => !self.may_be_damaged.load(Ordering::SeqCst),
            _ => false,
        };
        if is_defect {
            self.journal.violation(format!("#{} {what} failed as no device did: {error}", self.number));
        }
    }

    /// Some change of rows.
    pub async fn write(mut self, table: usize, cell: Arc<CollectionCell>) {
        let numbers = &mut self.numbers;
        let version = self.number as Version * 100;
        let (write, partition, strings) = {
            let drawn = self.oracle.with(table, |table| {
                let live: Vec<usize> =
                    (0..PARTITIONS.len()).filter(|at| table.partitions[*at] == Standing::Live).collect();
                let partition = *numbers.pick(&live)?;
                let mut keys = table.free(numbers, partition, MOST_ROWS);
                let rows = |keys: Vec<Key>| keys.into_iter().zip(version..).collect();
                let write = match numbers.below(100) {
                    0..25 => {
                        keys.retain(|key| table.is_absent(*key));
                        Write::Insert(rows(keys))
                    }
                    25..65 => Write::Upsert(rows(keys)),
                    65..85 => Write::DeleteKeys(keys),
                    _ => Write::DeleteUpTo(keys, numbers.below(version as u64 + 1) as Version),
                };
                let changes = write.changes();
                if changes.is_empty() {
                    return None;
                }
                table.begin(&changes);
                Some((write, partition, table.strings))
            });
            let Some(drawn) = drawn else { return };
            drawn
        };
        let (what, changes) = (write.name(), write.changes());
        self.journal.note(format!("#{} {what} in t{table}: {changes:?}", self.number));
        let schema = Arc::clone(&cell.meta().schema);
        let standalone = Arc::clone(&self.standalone);
        let partition = PARTITIONS[partition];
        let list = |keys: &[Key]| keys.iter().map(|key| rows::literal(*key, strings)).collect::<Vec<_>>().join(", ");
        let call = async {
            match &write {
                Write::Insert(rows) => standalone.insert(&cell, partition, rows::batch(&schema, rows)).await,
                Write::Upsert(rows) => standalone.upsert(&cell, partition, rows::batch(&schema, rows)).await,
                Write::DeleteKeys(keys) => {
                    let text = format!("id in [{}]", list(keys));
                    let expr = filters::compile(&text, &schema).unwrap().unwrap();
                    let scope = standalone.delete_scope(&cell, partition)?;
                    standalone.delete(&cell, scope, &expr, None).await
                }
                Write::DeleteUpTo(keys, limit) => {
                    let text = format!("v <= {limit} and id in [{}]", list(keys));
                    let expr = filters::compile(&text, &schema).unwrap().unwrap();
                    standalone.delete(&cell, None, &expr, None).await
                }
            }
        };
        let outcome = self.call(what, call).await;
        let done = matches!(outcome, Some(Ok(_)));
        if let Some(Err(error)) = &outcome {
            self.blame(what, error);
        }
        self.oracle.with(table, |table| table.end(&changes, done));
        if done {
            self.journal.note(format!("#{} is done", self.number));
        }
    }

    /// Some question about rows, whose answer is compared with the possible ones.
    pub async fn read(mut self, table: usize, cell: Arc<CollectionCell>) {
        let schema = Arc::clone(&cell.meta().schema);
        let strings = self.oracle.with(table, |table| table.strings);
        let all: Vec<Key> = (0..KEYS).collect();
        let kind = self.numbers.below(6);
        let least = match kind {
            1 | 5 => Some(self.numbers.below(self.number * 100 + 1) as Version),
            _ => None,
        };
        let keys = match kind {
            0 => (0..self.numbers.below(8) + 1).map(|_| self.numbers.below(u64::from(KEYS)) as Key).collect(),
            _ => all,
        };
        let filter = match (kind, least) {
            (0, _) => {
                let keys: Vec<String> = keys.iter().map(|key| rows::literal(*key, strings)).collect();
                filters::compile(&format!("id in [{}]", keys.join(", ")), &schema).unwrap()
            }
            (_, Some(least)) => filters::compile(&format!("v >= {least}"), &schema).unwrap(),
            _ => None,
        };
        let generation = self.oracle.with(table, |table| {
            table.watch(self.number, &keys);
            table.calls += 1;
            table.generation
        });
        let (what, outcome) = match kind {
            3 => ("count", self.count(&cell).await),
            4 | 5 => ("search", self.search(&cell, Rows::matching(filter)).await),
            _ => ("query", self.query(&cell, Rows::matching(filter)).await),
        };
        self.oracle.with(table, |table| {
            table.calls -= 1;
            let allowed = table.unwatch(self.number);
            if table.generation != generation {
                return;
            }
            let judged = match outcome {
                None => Ok(()),
                Some(Err(error)) => {
                    self.blame(what, &error);
                    Ok(())
                }
                Some(Ok(Answer::Count(count))) => judge_count(&table.name, &allowed, count),
                Some(Ok(Answer::Rows(rows))) => {
                    table.judge(&allowed, &rows, |version| least.is_none_or(|least| version >= least))
                }
            };
            if let Err(reason) = judged {
                self.journal.violation(format!("#{} {what}: {reason}", self.number));
            }
        });
    }

    async fn count(&mut self, cell: &CollectionCell) -> Option<Result<Answer, StandaloneError>> {
        let standalone = Arc::clone(&self.standalone);
        let outcome = self.call("count", standalone.count(cell, Rows::default())).await?;
        Some(outcome.map(Answer::Count))
    }

    async fn query(&mut self, cell: &CollectionCell, rows: Rows) -> Option<Result<Answer, StandaloneError>> {
        let standalone = Arc::clone(&self.standalone);
        let request = ReadRequest { rows, fields: rows::ALL.to_vec(), limit: None, offset: 0 };
        let outcome = self.call("query", standalone.query(cell, request)).await?;
        self.rows(outcome.map(|answer| rows::read(&answer.rows)))
    }

    /// All rows by their distance. Seen from the oldest versions a deleted row is nearer than the one that replaced it, so
    /// it is found if it is there.
    async fn search(&mut self, cell: &CollectionCell, rows: Rows) -> Option<Result<Answer, StandaloneError>> {
        let near = if self.numbers.percent(50) { 0 } else { self.number as Version * 100 };
        let standalone = Arc::clone(&self.standalone);
        if cell.meta().loaded.is_empty() {
            let refused = standalone.search(cell, rows::search(rows.clone(), near)).await;
            if !matches!(refused, Err(StandaloneError::Request(RequestError::Load(LoadError::CollectionNotLoaded(_)))))
            {
                self.journal.violation(format!("#{} a search without a load: {refused:?}", self.number));
            }
            self.load(cell).await?;
        }
        let outcome = self.call("search", standalone.search(cell, rows::search(rows, near))).await?;
        self.rows(outcome.map(|answer| rows::read_found(&answer, near)))
    }

    /// Loads a collection. None: it was not loaded, so there is nothing to search.
    async fn load(&mut self, cell: &CollectionCell) -> Option<()> {
        let (standalone, name) = (Arc::clone(&self.standalone), cell.meta().name.clone());
        let call = async {
            let name = CollectionName::new("", &name);
            standalone.create_index(name, rows::VECTOR_NAME, "", rows::index()).await?;
            standalone.load(name, LoadRequest::WHOLE).await
        };
        match self.call("load", call).await? {
            Ok(()) => Some(()),
            Err(error) => {
                self.blame("load", &error);
                None
            }
        }
    }

    /// An answer whose rows are as they were written; a violation, if they are not.
    fn rows(
        &self,
        outcome: Result<Result<Vec<(Key, Version)>, String>, StandaloneError>,
    ) -> Option<Result<Answer, StandaloneError>> {
        match outcome {
            Ok(Ok(rows)) => Some(Ok(Answer::Rows(rows))),
            Ok(Err(what)) => {
                self.journal.violation(format!("#{} {what}", self.number));
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    pub async fn flush(mut self, cell: Arc<CollectionCell>) {
        let standalone = Arc::clone(&self.standalone);
        if let Some(Err(error)) = self.call("flush", standalone.flush(&cell)).await {
            self.blame("flush", &error);
        }
    }

    pub async fn compact(mut self, cell: Arc<CollectionCell>) {
        let mut options =
            CompactionOptions { priority: self.numbers.below(3) as i32 - 1, ..CompactionOptions::default() };
        match self.numbers.below(5) {
            0 => options.is_clustering = true,
            1 => options.is_l0 = true,
            2 => options.target_size_mb = self.numbers.below(3) as i64 + 1,
            _ => {}
        }
        let partitions: Vec<PartitionId> = cell.meta().partitions.iter().map(|p| p.id).collect();
        if self.numbers.percent(20) {
            options.partition_id = self.numbers.pick(&partitions).map_or(0, |id| id.0);
        }
        let request = match options.parse() {
            Ok(request) => request,
            Err(error) => return self.journal.violation(format!("a request was refused: {error}")),
        };
        let policy = format!("{:?}", request.policy);
        let what = format!("compact {}", policy.split(' ').next().unwrap_or_default());
        let coordinator = Arc::clone(self.standalone.coordinator());
        let call = async { Ok(coordinator.manual_compaction(&cell, request).await?) };
        match self.call(&what, call).await {
            Some(Ok(made)) => self.journal.note(format!("#{} job {} with {} plans", self.number, made.job, made.plans)),
            Some(Err(error)) => self.blame(&what, &error),
            None => {}
        }
    }

    pub async fn cancel(mut self, job: JobId) {
        let coordinator = Arc::clone(self.standalone.coordinator());
        let call = async { Ok(coordinator.cancel_compaction(CancelTarget::Job(job), "the simulation").await?) };
        match self.call("cancel", call).await {
            Some(Ok(done)) if !done.cancelled.is_empty() => {
                self.journal.event("cancelled", format!("{:?}", done.cancelled))
            }
            Some(Err(error)) => self.blame("cancel", &error),
            _ => {}
        }
    }

    pub async fn pause(mut self, scope: PauseScope, pauses: bool) {
        let coordinator = Arc::clone(self.standalone.coordinator());
        let call = async {
            if pauses {
                coordinator.pause(scope, "the simulation").await?;
            } else {
                coordinator.resume(scope).await?;
            }
            Ok(())
        };
        if let Some(Err(error)) = self.call(if pauses { "pause" } else { "resume" }, call).await {
            self.blame("pause", &error);
        }
    }

    pub async fn collect(mut self) {
        let coordinator = Arc::clone(self.standalone.coordinator());
        let call = async { Ok(coordinator.collect_garbage().await?) };
        match self.call("collect", call).await {
            Some(Ok(done)) if done.files > 0 => self.journal.event("collected", format!("{done:?}")),
            Some(Err(error)) => self.blame("collect", &error),
            _ => {}
        }
    }
}
