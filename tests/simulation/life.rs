//! One life: processes one after the other over the same devices, each with steps that the seed draws.
//!
//! A process ends by a stop, a kill, a loss of power at any step of any device, or because another one takes over. The
//! next one must start, and show every row as the oracle knows it.

mod rest;
mod steps;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use datacoord::{
    clock::Clock,
    config::Config,
    coordinator::{Condition, Parts},
    error::{Classify, ErrorKind},
    meta::{MemoryStore, MetaStore},
    standalone::Standalone,
    storage::{SegmentStore, StorageBackend},
    telemetry::Metrics,
};
use tokio::task::JoinSet;

use crate::{
    durable::Inspector,
    journal::Journal,
    kit::numbers::Numbers,
    log_disk::{LogDisk, SimulatedLog},
    metadata::Metadata,
    objects::{Objects, Remote},
    oracle::Oracle,
    power::{Plug, Sky, Weather},
    stage::Stage,
    time::VirtualClock,
};

/// Processes of one life before the last one.
const PROCESSES: u64 = 5;
/// Steps of one process, at most.
const STEPS: u64 = 30;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Stopped,
    Killed,
    PowerLost,
    /// It could not start.
    NoStart,
    /// A promise was broken: nothing more to see.
    Broken,
}

/// A running process.
struct Process {
    standalone: Arc<Standalone>,
    /// Whether the folder of the log is its own.
    attached: Arc<AtomicBool>,
    registry: prometheus::Registry,
}

/// Everything that outlives a process.
pub struct Life {
    numbers: Numbers,
    clock: Arc<VirtualClock>,
    pub journal: Journal,
    objects: Arc<Objects>,
    pairs: Arc<MemoryStore>,
    log: Arc<LogDisk>,
    store_sky: Arc<Sky>,
    meta_sky: Arc<Sky>,
    log_sky: Arc<Sky>,
    oracle: Oracle,
    inspector: Inspector,
    config: Config,
    dir: PathBuf,
    stage: Arc<Stage>,
    calls: u64,
    failed_starts: u64,
    may_be_damaged: Arc<AtomicBool>,
}

fn config(dir: PathBuf, numbers: &mut Numbers) -> Config {
    let mut config = Config::default();
    let minutes = |n: u64| Duration::from_secs(60 * n);
    config.server.data_dir = dir;
    config.storage.retry_backoff = Duration::from_millis(100);
    config.ingest.max_segment_bytes = 16 << 10;
    config.ingest.max_idle = minutes(3);
    config.ingest.min_idle_bytes = 1;
    config.ingest.memory_limit_bytes = 64 << 10;
    config.ingest.wal_file_bytes = 1 << (10 + numbers.below(4));
    config.ingest.wal_max_bytes = 64 << 10;
    config.ingest.delta_max_rows = 20 + numbers.below(100);
    config.ingest.delta_max_age = minutes(2);
    config.binlog.max_bytes = 2 << 10;
    config.compaction.max_segment_bytes = 16 << 10;
    config.compaction.max_small_segments = 3;
    config.compaction.delta_logs = 3;
    config.index.min_rows = 1 + numbers.below(8);
    config.gc.interval = minutes(10);
    config.gc.drop_tolerance = minutes(20);
    config.gc.missing_tolerance = minutes(30);
    config.scrub.interval = minutes(60);
    config.worker.retry_backoff = Duration::from_secs(1);
    config.worker.progress_timeout = minutes(5);
    config
}

impl Life {
    pub fn new(seed: u64, dir: PathBuf) -> Self {
        let clock = VirtualClock::new();
        let journal = Journal::new(&clock);
        let mut numbers = Numbers::of(seed, &[0x11FE]);
        let config = config(dir.clone(), &mut numbers);
        let sky = |device| Arc::new(Sky::new(seed, device));
        Self {
            objects: Objects::new(&clock, &journal),
            pairs: Arc::new(MemoryStore::new()),
            log: LogDisk::new(dir.join("wal")),
            store_sky: sky(1),
            meta_sky: sky(2),
            log_sky: sky(3),
            oracle: Oracle::default(),
            inspector: Inspector::new(config.worker.max_attempts),
            stage: Stage::new(seed),
            calls: 0,
            failed_starts: 0,
            may_be_damaged: Arc::default(),
            numbers,
            clock,
            journal,
            config,
            dir,
        }
    }

    /// Lives. Broken promises are in the journal.
    pub fn live(&mut self) {
        let _machine =
            datacoord::machine::put_in_place(Arc::clone(&self.stage) as Arc<dyn datacoord::machine::Machine>);
        for _ in 0..PROCESSES {
            if self.process(false) == End::Broken {
                return;
            }
        }
        // Until one can start.
        while self.process(true) == End::NoStart {}
    }

    /// From the start of a process to its end.
    fn process(&mut self, is_last: bool) -> End {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let plug = Arc::new(Plug::default());
        let clock = Arc::clone(&self.clock);
        let end = runtime.block_on(async {
            clock.go_on();
            let end = tokio::select! {
                biased;
                () = plug.off() => End::PowerLost,
                end = self.run(&plug, is_last) => end,
            };
            clock.stop();
            end
        });
        // Everything in memory goes; no device does anything for it any more.
        plug.cut();
        drop(runtime);
        self.journal.event("process ended", format!("{end:?}"));
        self.journal.saw(format!("end: {end:?}"));
        if end == End::PowerLost {
            self.log.power_lost(&mut self.numbers, &self.journal);
        } else {
            self.log.process_ended();
        }
        self.oracle.process_ended();
        if self.journal.violations().is_empty() { end } else { End::Broken }
    }

    async fn run(&mut self, plug: &Arc<Plug>, is_last: bool) -> End {
        self.set_weather(true);
        if !is_last && self.failed_starts < 2 {
            if self.numbers.percent(30) {
                self.set_weather(false);
            }
            if self.numbers.percent(20) {
                plug.cut_after(self.numbers.below(120) as i64);
            }
        }
        let mut process = match self.start(plug).await {
            Ok(process) => process,
            Err(end) => return end,
        };
        if let Err(end) = self.check_everything(&process).await {
            return end;
        }
        if is_last {
            return self.rest(&process).await;
        }
        let mut tasks = JoinSet::new();
        let steps = self.numbers.below(STEPS) + 5;
        let ending = self.numbers.below(10);
        for step in 0..steps {
            if step + 4 == steps && ending < 5 {
                plug.cut_after(self.numbers.below(150) as i64);
            }
            if step == steps / 2 && ending == 9 {
                tasks.abort_all();
                while tasks.join_next().await.is_some() {}
                process = match self.take_over(process, plug).await {
                    Ok(process) => process,
                    Err(end) => return end,
                };
            }
            self.step(&process, &mut tasks).await;
            while let Some(ended) = tasks.try_join_next() {
                self.joined(ended);
            }
            self.inspect().await;
            if !self.journal.violations().is_empty() {
                return End::Broken;
            }
            if process.standalone.health().condition() == Condition::Failed && self.numbers.percent(30) {
                self.journal.event("restart", process.standalone.health().reasons().join("; "));
                return End::Killed;
            }
        }
        match ending {
            0..5 => End::PowerLost,
            5..8 => End::Killed,
            _ => {
                self.set_weather(true);
                process.standalone.shutdown().await;
                End::Stopped
            }
        }
    }

    fn joined(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            self.journal.violation(format!("a client's call panicked: {error}"));
        }
    }

    /// Draws the weather of every device, or ends all storms.
    fn set_weather(&mut self, calm: bool) {
        let mut weathers = [Weather::default(); 3];
        for weather in &mut weathers {
            weather.latency_ms = 2;
        }
        if !calm {
            let [store, meta, log] = &mut weathers;
            match self.numbers.below(8) {
                0 => store.error = 1000,
                1 => store.full = true,
                2 => (store.error, store.answer_lost) = (100, 50),
                3 => store.latency_ms = 20_000,
                4 => meta.error = 200,
                5 => (meta.error, meta.latency_ms) = (1000, 5),
                6 => (log.error, log.answer_lost) = (20, 20),
                _ => {
                    store.error = 50;
                    store.short_read = 5;
                    self.may_be_damaged.store(true, Ordering::SeqCst);
                }
            }
        }
        let [store, meta, log] = weathers;
        let changed = self.store_sky.now() != store || self.meta_sky.now() != meta || self.log_sky.now() != log;
        if changed {
            self.journal.event("weather", format!("store {store:?}, metadata {meta:?}, log {log:?}"));
        }
        self.store_sky.set(store);
        self.meta_sky.set(meta);
        self.log_sky.set(log);
    }

    fn is_calm(&self) -> bool {
        let calm = |sky: &Sky| sky.now() == Weather { latency_ms: 2, ..Weather::default() };
        calm(&self.store_sky) && calm(&self.meta_sky) && calm(&self.log_sky)
    }

    async fn start(&mut self, plug: &Arc<Plug>) -> Result<Process, End> {
        let remote =
            Remote { objects: Arc::clone(&self.objects), sky: Arc::clone(&self.store_sky), plug: Arc::clone(plug) };
        let metadata = Metadata {
            pairs: Arc::clone(&self.pairs),
            sky: Arc::clone(&self.meta_sky),
            plug: Arc::clone(plug),
            journal: self.journal.clone(),
        };
        let registry = prometheus::Registry::new();
        let attached = Arc::new(AtomicBool::new(true));
        let log = SimulatedLog::new(&self.log, &self.log_sky, plug, &self.journal, &attached);
        let parts = Parts {
            config: Arc::new(self.config.clone()),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            metrics: Arc::new(Metrics::new(registry.clone()).unwrap()),
            meta: Arc::new(metadata) as Arc<dyn MetaStore>,
            store: SegmentStore::with_backend(Arc::new(remote) as Arc<dyn StorageBackend>, &self.config.storage),
        };
        self.journal.event("start", format!("with {} files of the log", self.log.size().1));
        match Standalone::start_with_log(parts, Box::new(log)).await {
            Ok(standalone) => {
                self.failed_starts = 0;
                self.journal.note("started");
                Ok(Process { standalone, attached, registry })
            }
            Err(error) => {
                let error_text = error.to_string().replace(&self.dir.display().to_string(), "<dir>");
                self.journal.event("no start", &error_text);
                self.failed_starts += 1;
                let is_fatal = error.kind() == ErrorKind::Corrupt && !self.may_be_damaged.load(Ordering::SeqCst);
                if self.is_calm() || is_fatal {
                    self.journal.violation(format!("no start: {error_text}"));
                    return Err(End::Broken);
                }
                Err(End::NoStart)
            }
        }
    }

    /// Another process opens the catalog and takes the store while this one still runs, without clients.
    async fn take_over(&mut self, old: Process, plug: &Arc<Plug>) -> Result<Process, End> {
        self.set_weather(true);
        // Of a real data directory it would still have the lock. Without the lock it has lost the log.
        old.attached.store(false, Ordering::SeqCst);
        self.oracle.process_ended();
        self.journal.event("take over", "a second process");
        let new = self.start(plug).await?;
        self.check_everything(&new).await?;
        // The old one goes on by itself, for as long as the new one lives.
        drop(tokio::spawn(async move {
            let _old = old;
            std::future::pending::<()>().await;
        }));
        Ok(new)
    }
}
