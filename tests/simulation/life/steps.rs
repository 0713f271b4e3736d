//! The steps of a process: calls of clients, changes of definitions, storms, and time that passes.

use std::{sync::Arc, time::Duration};

use datacoord::{
    coordinator::{CollectionCell, control::PauseScope},
    error::{Classify, ErrorKind},
    standalone::{CollectionName, NewCollection, StandaloneError},
};
use tokio::{task::JoinSet, time::sleep};

use super::{Life, Process};
use crate::{
    clients::{Client, is_lost_answer},
    kit::numbers::Numbers,
    oracle::{PARTITIONS, Standing, Table},
    rows,
};

/// Tables that exist at once, at most.
const MOST_TABLES: usize = 2;

impl Life {
    pub(super) fn client(&mut self, process: &Process) -> Client {
        self.calls += 1;
        Client {
            standalone: Arc::clone(&process.standalone),
            oracle: self.oracle.clone(),
            journal: self.journal.clone(),
            number: self.calls,
            numbers: Numbers::of(self.numbers.next(), &[self.calls]),
            may_be_damaged: Arc::clone(&self.may_be_damaged),
        }
    }

    /// A table that exists for sure, and its cell.
    pub(super) fn table(&mut self, process: &Process) -> Option<(usize, Arc<CollectionCell>)> {
        let tables = self.oracle.which(|table| table.standing == Standing::Live);
        let table = *self.numbers.pick(&tables)?;
        let name = self.oracle.with(table, |table| table.name.clone());
        match process.standalone.resolve(CollectionName::new("", &name)) {
            Ok(cell) => Some((table, cell)),
            Err(error) => {
                self.journal.violation(format!("{name} is not there: {error}"));
                None
            }
        }
    }

    pub(super) async fn step(&mut self, process: &Process, tasks: &mut JoinSet<()>) {
        if self.oracle.which(|table| table.standing == Standing::Live).is_empty() {
            self.create_table(process).await;
        }
        let Some((table, cell)) = self.table(process) else { return };
        let drawn = self.numbers.below(100);
        match drawn {
            0..38 => {
                for _ in 0..=self.numbers.below(6) {
                    let client = self.client(process);
                    tasks.spawn(client.write(table, Arc::clone(&cell)));
                }
            }
            38..52 => {
                for _ in 0..=self.numbers.below(2) {
                    let client = self.client(process);
                    tasks.spawn(client.read(table, Arc::clone(&cell)));
                }
            }
            52..60 => {
                let client = self.client(process);
                tasks.spawn(client.flush(cell));
            }
            60..70 => {
                let client = self.client(process);
                tasks.spawn(client.compact(cell));
            }
            70..73 => {
                let jobs: Vec<_> = self.inspector.picture().jobs.keys().copied().collect();
                if let Some(job) = self.numbers.pick(&jobs).copied() {
                    let client = self.client(process);
                    tasks.spawn(client.cancel(job));
                }
            }
            73..75 => {
                let scope =
                    if self.numbers.percent(50) { PauseScope::Everything } else { PauseScope::Collection(cell.id) };
                let pauses = self.numbers.percent(40);
                let client = self.client(process);
                tasks.spawn(client.pause(scope, pauses));
            }
            75..79 => {
                let client = self.client(process);
                tasks.spawn(client.collect());
            }
            79..84 => self.define(process, table).await,
            84..88 => {
                let calm = self.numbers.percent(50);
                self.set_weather(calm);
            }
            _ => {}
        }
        let pause = match self.numbers.below(100) {
            0..50 => Duration::from_millis(self.numbers.below(30)),
            50..80 => Duration::from_millis(self.numbers.below(5_000)),
            80..95 => Duration::from_secs(self.numbers.below(400)),
            _ => Duration::from_secs(self.numbers.below(3_600)),
        };
        sleep(pause).await;
    }

    pub(super) async fn create_table(&mut self, process: &Process) {
        let strings = self.numbers.percent(30);
        let table = self.oracle.add(strings);
        let name = self.oracle.with(table, |table| table.name.clone());
        let new = NewCollection {
            database: "default".to_owned(),
            schema: rows::schema(&name, strings),
            shards: self.numbers.below(2) as u32 + 1,
            consistency_level: 0,
            properties: Default::default(),
            partitions: None,
        };
        let done = process.standalone.create_collection(new).await;
        self.defined(table, "create a collection", done, |table| table.standing = Standing::Live);
        if self.numbers.percent(70) {
            self.define_index(process, table).await;
        }
    }

    /// A definition that is refused, or whose answer is lost, is no harm: nothing depends on it.
    async fn define_index(&mut self, process: &Process, table: usize) {
        let name = self.oracle.with(table, |table| table.name.clone());
        let pairs = [("index_type", "HNSW"), ("metric_type", "L2"), ("M", "8"), ("efConstruction", "40")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let done = process.standalone.create_index(CollectionName::new("", &name), "vector", "", pairs).await;
        self.defined(table, "define an index", done, |_| ());
    }

    /// Changes a definition, alone: no call of a client is under way in this table.
    pub(super) async fn define(&mut self, process: &Process, table: usize) {
        let is_free = self.oracle.with(table, |table| table.calls == 0);
        if !is_free {
            return;
        }
        let name = self.oracle.with(table, |table| {
            table.generation += 1;
            table.name.clone()
        });
        let name = CollectionName::new("", &name);
        let second = self.oracle.with(table, |table| table.partitions[1]);
        match (self.numbers.below(10), second) {
            (0, _) => {
                self.oracle.with(table, |table| table.standing = Standing::Unsure);
                let done = process.standalone.drop_collection(name).await;
                self.defined(table, "drop a collection", done, |table| table.standing = Standing::Gone);
            }
            (1, _) => {
                self.oracle.with(table, |table| table.clear(&[0, 1], false));
                let done = process.standalone.truncate_collection(name).await;
                self.defined(table, "truncate a collection", done, |table| table.clear(&[0, 1], true));
            }
            (2..5, _) if self.oracle.which(|table| table.standing != Standing::Gone).len() < MOST_TABLES => {
                self.create_table(process).await;
            }
            (_, Standing::Live) => {
                self.oracle.with(table, |table| {
                    table.clear(&[1], false);
                    table.partitions[1] = Standing::Unsure;
                });
                // One that is loaded is not dropped.
                let released = process.standalone.release_partitions(name, &[PARTITIONS[1].to_owned()]).await;
                let done = match released {
                    Ok(()) => process.standalone.drop_partition(name, PARTITIONS[1]).await,
                    Err(error) => Err(error),
                };
                self.defined(table, "drop a partition", done, |table| {
                    table.clear(&[1], true);
                    table.partitions[1] = Standing::Gone;
                });
            }
            (_, Standing::Gone) => {
                self.oracle.with(table, |table| table.partitions[1] = Standing::Unsure);
                let done = process.standalone.create_partition(name, PARTITIONS[1]).await;
                let made = |table: &mut Table| table.partitions[1] = Standing::Live;
                self.defined(table, "create a partition", done, made);
            }
            (_, Standing::Unsure) => {}
        }
    }

    pub(super) fn defined(
        &self,
        table: usize,
        what: &str,
        done: Result<(), StandaloneError>,
        certain: impl FnOnce(&mut Table),
    ) {
        match done {
            Ok(()) => {
                self.oracle.with(table, certain);
                self.journal.event(what, format!("t{table}"));
            }
            Err(error) => {
                if error.kind() == ErrorKind::Internal && !is_lost_answer(&error) {
                    self.journal.violation(format!("{what} failed as no device did: {error}"));
                }
                self.journal.event(&format!("{what}: failed"), format!("t{table}: {error}"));
            }
        }
    }
}
