//! Looks at a process: at the durable state after each step, at all rows after a start, and at everything at rest.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use datacoord::{
    coordinator::{CollectionCell, Condition, control::PauseScope},
    standalone::{CollectionName, ReadRequest, Rows},
    storage::SegmentStore,
};
use tokio::time::sleep;

use super::{End, Life, Process};
use crate::{
    durable::Picture,
    objects::{MARK, Remote},
    oracle::{KEYS, PARTITIONS, Standing},
    power::{Plug, Sky},
    rows,
};

const BETWEEN_LOOKS: Duration = Duration::from_secs(1_200);
/// Together longer than all tolerances and pauses between attempts: after them everything must be at rest.
const MOST_LOOKS: usize = 8;
/// So many looks in a row show that it stays at rest. Together longer than the tolerances of garbage.
const LOOKS_AT_REST: usize = 3;

impl Life {
    pub(super) async fn inspect(&mut self) {
        let store = SegmentStore::with_backend(Arc::new(self.unfailing()), &self.config.storage);
        for broken in self.inspector.look(&self.pairs, &self.objects, &store).await {
            self.journal.violation(broken);
        }
    }

    /// The objects as they are, without a device in front of them.
    pub(super) fn unfailing(&self) -> Remote {
        let sky = Arc::new(Sky::new(0, 0));
        Remote { objects: Arc::clone(&self.objects), sky, plug: Arc::new(Plug::default()) }
    }

    /// Nothing is under way: every table agrees with the oracle. From then on only that is possible.
    pub(super) async fn check_everything(&mut self, process: &Process) -> Result<(), End> {
        self.inspect().await;
        for table in self.oracle.which(|table| table.standing != Standing::Gone) {
            let (name, standing) = self.oracle.with(table, |table| (table.name.clone(), table.standing));
            let found = process.standalone.resolve(CollectionName::new("", &name));
            let cell = match (found, standing) {
                (Ok(cell), _) => cell,
                (Err(_), Standing::Unsure) => {
                    self.oracle.with(table, |table| table.standing = Standing::Gone);
                    continue;
                }
                (Err(error), _) => {
                    self.journal.violation(format!("P1: {name} is lost: {error}"));
                    return Err(End::Broken);
                }
            };
            let has_second = cell.meta().partition(PARTITIONS[1]).is_some();
            self.oracle.with(table, |table| {
                table.standing = Standing::Live;
                if table.partitions[1] == Standing::Unsure {
                    table.partitions[1] = if has_second { Standing::Live } else { Standing::Gone };
                    if !has_second {
                        table.clear(&[1], true);
                    }
                }
            });
            self.check_rows(process, table, &cell).await;
        }
        if self.journal.violations().is_empty() { Ok(()) } else { Err(End::Broken) }
    }

    pub(super) async fn check_rows(&mut self, process: &Process, table: usize, cell: &CollectionCell) {
        let keys: Vec<rows::Key> = (0..KEYS).collect();
        self.calls += 1;
        self.oracle.with(table, |table| table.watch(self.calls, &keys));
        let all = ReadRequest { rows: Rows::default(), fields: rows::ALL.to_vec(), limit: None, offset: 0 };
        let rows = process.standalone.query(cell, all).await;
        let count = process.standalone.count(cell, Rows::default()).await;
        let searched = if cell.meta().loaded.is_empty() {
            Ok(None)
        } else {
            process.standalone.search(cell, rows::search(Rows::default(), 0)).await.map(Some)
        };
        let allowed = self.oracle.with(table, |table| table.unwatch(self.calls));
        match (rows, count, searched) {
            (Ok(answer), Ok(count), Ok(searched)) => {
                let found = match rows::read(&answer.rows) {
                    Ok(found) => found,
                    Err(what) => return self.journal.violation(what),
                };
                let judged = self.oracle.with(table, |table| table.judge(&allowed, &found, |_| true));
                if let Err(what) = judged {
                    return self.journal.violation(what);
                }
                if found.len() as u64 != count {
                    self.journal.violation(format!("t{table}: {count} rows are counted, {} are there", found.len()));
                }
                match searched.map(|answer| rows::read_found(&answer, 0)).transpose() {
                    Err(what) => self.journal.violation(what),
                    Ok(Some(mut searched)) => {
                        searched.sort_unstable();
                        if searched != found {
                            self.journal.violation(format!("t{table}: a search finds {searched:?}, a query {found:?}"));
                        }
                    }
                    Ok(None) => {}
                }
                self.oracle.settle(table, &found);
                self.journal.event("all rows are as they must be", format!("{count} in t{table}"));
            }
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
                if self.is_calm() && !self.may_be_damaged.load(Ordering::SeqCst) {
                    self.journal.violation(format!("t{table} can't be read: {error}"));
                }
                self.journal.event("not all rows can be read", format!("t{table}: {error}"));
            }
        }
    }

    /// Nothing fails any more: every job ends, no garbage stays, nothing holds memory, and the process is well.
    pub(super) async fn rest(&mut self, process: &Process) -> End {
        self.journal.note("calm");
        let coordinator = Arc::clone(process.standalone.coordinator());
        let pauses = coordinator.pauses();
        self.journal.note(format!("{pauses:?}"));
        for scope in scopes(&pauses) {
            if let Err(error) = coordinator.resume(scope).await {
                self.journal.violation(format!("can't resume {scope:?}: {error}"));
            }
        }
        for table in self.oracle.which(|table| table.standing == Standing::Live) {
            let name = self.oracle.with(table, |table| table.name.clone());
            let cell = process.standalone.resolve(CollectionName::new("", &name)).unwrap();
            if let Err(error) = process.standalone.flush(&cell).await {
                self.journal.violation(format!("can't flush at rest: {error}"));
            }
        }
        let mut looks_at_rest = 0;
        for _ in 0..MOST_LOOKS {
            sleep(BETWEEN_LOOKS).await;
            self.inspect().await;
            if !self.journal.violations().is_empty() {
                return End::Broken;
            }
            looks_at_rest = if self.unrest(process).await.is_empty() { looks_at_rest + 1 } else { 0 };
            if looks_at_rest == LOOKS_AT_REST {
                break;
            }
        }
        if self.check_everything(process).await.is_err() {
            return End::Broken;
        }
        for broken in self.unrest(process).await {
            self.journal.violation(broken);
        }
        process.standalone.shutdown().await;
        End::Stopped
    }

    pub(super) async fn unrest(&self, process: &Process) -> Vec<String> {
        let mut broken = Vec::new();
        let picture = Picture::of(&self.pairs).await;
        let coordinator = process.standalone.coordinator();
        for plan in picture.plans.values() {
            if !plan.state.is_terminal() {
                broken.push(format!("P8: plan {} never ended: {:?}", plan.id, plan.state));
            }
            if coordinator.jobs().plan(plan.id).as_ref() != Some(plan) {
                broken.push(format!("P7: plan {} in memory is not that of the catalog", plan.id));
            }
        }
        let stats = coordinator.scheduler_stats();
        if stats.queued.total() + stats.executing.total() > 0 {
            broken.push(format!("P8: the scheduler has work at rest: {stats:?}"));
        }
        let mut in_memory = BTreeMap::new();
        for cell in coordinator.collections() {
            in_memory.extend(cell.live().into_iter().map(|segment| (segment.id, segment)));
        }
        let live: BTreeMap<_, _> = picture.live().map(|segment| (segment.id, segment.clone())).collect();
        if in_memory != live {
            broken.push("P1: segments in memory are not those of the catalog".to_owned());
        }
        let named = picture.named();
        let unnamed: Vec<String> =
            self.objects.names().into_iter().filter(|name| name != MARK && !named.contains(name)).collect();
        if !unnamed.is_empty() {
            broken.push(format!("garbage stays: {unnamed:?}"));
        }
        let dropped: Vec<_> = picture.segments.values().filter(|s| !s.is_live()).map(|s| s.id).collect();
        if !dropped.is_empty() {
            broken.push(format!("dropped segments stay: {dropped:?}"));
        }
        let health = process.standalone.health();
        if health.condition() != Condition::Alive && !self.may_be_damaged.load(Ordering::SeqCst) {
            broken.push(format!("it is not well: {:?}", health.reasons()));
        }
        coordinator.refresh_metrics();
        for family in process.registry.gather() {
            if family.name().contains("memory_used") {
                let merges =
                    |m: &&prometheus::proto::Metric| m.get_label().iter().any(|label| label.value() == "merges");
                for metric in family.get_metric().iter().filter(merges) {
                    if metric.get_gauge().get_value() != 0.0 {
                        broken.push(format!("P8: {} is {} at rest", family.name(), metric.get_gauge().get_value()));
                    }
                }
            }
        }
        broken
    }
}

fn scopes(pauses: &datacoord::model::Pauses) -> Vec<PauseScope> {
    let mut scopes = Vec::new();
    if pauses.everything.is_some() {
        scopes.push(PauseScope::Everything);
    }
    scopes.extend(pauses.collections.keys().map(|id| PauseScope::Collection(*id)));
    scopes.extend(pauses.jobs.keys().map(|id| PauseScope::Job(*id)));
    scopes
}
