//! The process at a glance: one verdict, the backlog, memory, and the shape of each collection.
//!
//! Puts together what its parts say. Costs a look at each segment of a collection that has changed since the last call, and
//! nothing for the others. Must never: ask the store, which may be slow, or list segments.

use std::{fmt, sync::Arc};

use super::Standalone;
use crate::{
    config::Part,
    coordinator::{CollectionCell, CollectionShape, Condition, HealthReport, control::UnfinishedWork},
    model::{Collection, CollectionId, properties::AUTO_COMPACTION},
};

/// A collection and its shape.
#[derive(Debug, Clone)]
pub struct CollectionView {
    pub id: CollectionId,
    pub meta: Arc<Collection>,
    pub shape: Arc<CollectionShape>,
    /// Why automatic compaction waits now, apart from its switches.
    pub held: Option<String>,
}

/// The state of the process in one sentence, which its `Display` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverallVerdict {
    Failed(String),
    Degraded(String),
    /// There is no collection.
    Empty,
    /// Everything is paused.
    Paused {
        by: String,
        waiting: u64,
    },
    Compacting {
        executing: u64,
        queued: u64,
    },
    /// Plans wait, and none executes.
    Waiting {
        queued: u64,
    },
    /// Collections have more small segments or deletes than is tolerated.
    Untidy {
        collections: u64,
        of: u64,
        /// The setting that keeps them from being compacted by themselves.
        switch: Option<&'static str>,
    },
    Tidy {
        collections: u64,
    },
}

/// Everything at one moment, as far as the caller may see it.
#[derive(Debug, Clone)]
pub struct Overview {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    pub verdict: OverallVerdict,
    pub health: HealthReport,
    pub work: UnfinishedWork,
    /// Bytes in use and their limits, by part.
    pub memory: Vec<(Part, u64, u64)>,
    /// Lowest score first, no more than were asked for.
    pub worst: Vec<CollectionView>,
    /// Visible collections.
    pub collections: u64,
    /// Over all of them. Its score is the lowest.
    pub sum: CollectionShape,
}

/// Says whether a collection is visible to the caller.
pub type Visible<'a> = &'a dyn Fn(&Collection) -> bool;

impl Standalone {
    /// The process as of now, with the `most` visible collections that have the lowest scores.
    pub fn overview(&self, most: usize, visible: Visible<'_>) -> Overview {
        let config = &self.config.compaction;
        let cells = self.coordinator.collections();
        let mut shapes: Vec<(&Arc<CollectionCell>, Arc<Collection>, Arc<CollectionShape>)> = cells
            .iter()
            .map(|cell| (cell, cell.meta()))
            .filter(|(_, meta)| visible(meta))
            .map(|(cell, meta)| (cell, meta, cell.shape(config)))
            .collect();
        let mut sum = CollectionShape { score: 100, ..CollectionShape::default() };
        shapes.iter().for_each(|(_, _, shape)| sum.add_all(shape));
        let mut untidy = Untidy::default();
        for (_, meta, _) in shapes.iter().filter(|(_, _, shape)| shape.score < 100) {
            untidy.collections += 1;
            untidy.automatic |= meta.auto_compaction();
        }
        shapes.sort_by_key(|(cell, _, shape)| (shape.score, cell.id));
        let collections = shapes.len() as u64;
        shapes.truncate(most);
        let worst = shapes.into_iter().map(|(cell, meta, shape)| CollectionView {
            id: cell.id,
            meta,
            shape,
            held: self.coordinator.automatic_held(cell),
        });
        let (health, work) = (self.health(), self.coordinator.unfinished_work());
        let pause = self.coordinator.pauses().everything;
        let verdict = match (health.condition(), pause) {
            (Condition::Failed, _) => OverallVerdict::Failed(first_reason(&health)),
            (Condition::Degraded, _) => OverallVerdict::Degraded(first_reason(&health)),
            (Condition::Alive, _) if collections == 0 => OverallVerdict::Empty,
            (Condition::Alive, Some(pause)) => OverallVerdict::Paused { by: pause.by, waiting: work.queued },
            (Condition::Alive, None) => self.verdict_of(&work, &untidy, collections),
        };
        let mut memory = Vec::new();
        for (part, used) in self.memory_used().into_iter().chain(self.coordinator.memory_used()) {
            memory.push((part, used, self.config.budget.of(part)));
        }
        Overview { at_ms: self.clock.now_ms(), verdict, health, work, memory, worst: worst.collect(), collections, sum }
    }

    fn verdict_of(&self, work: &UnfinishedWork, untidy: &Untidy, collections: u64) -> OverallVerdict {
        let config = &self.config.compaction;
        match work {
            UnfinishedWork { executing: 1.., queued, .. } => {
                OverallVerdict::Compacting { executing: work.executing, queued: *queued }
            }
            UnfinishedWork { queued: 1.., .. } => OverallVerdict::Waiting { queued: work.queued },
            _ if untidy.collections == 0 => OverallVerdict::Tidy { collections },
            _ => {
                let switch = match (config.enabled, config.auto_enabled) {
                    (false, _) => Some("dataCoord.enableCompaction"),
                    (true, false) => Some("dataCoord.compaction.enableAutoCompaction"),
                    (true, true) if !untidy.automatic => Some(AUTO_COMPACTION),
                    (true, true) => None,
                };
                OverallVerdict::Untidy { collections: untidy.collections, of: collections, switch }
            }
        }
    }
}

/// The collections with more small segments or deletes than is tolerated.
#[derive(Debug, Default)]
struct Untidy {
    collections: u64,
    /// The own property of one of them lets it be compacted by itself.
    automatic: bool,
}

fn first_reason(health: &HealthReport) -> String {
    health.reasons().into_iter().next().unwrap_or_default()
}

impl OverallVerdict {
    /// Name of the verdict, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::Degraded(_) => "degraded",
            Self::Empty => "empty",
            Self::Paused { .. } => "paused",
            Self::Compacting { .. } => "compacting",
            Self::Waiting { .. } => "waiting",
            Self::Untidy { .. } => "untidy",
            Self::Tidy { .. } => "tidy",
        }
    }
}

impl fmt::Display for OverallVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        match self {
            Self::Failed(reason) => write!(f, "Writes are refused until a restart: {reason}"),
            Self::Degraded(reason) => write!(f, "Works, but something waits for the world around it: {reason}"),
            Self::Empty => f.write_str("Ready: there is no collection yet"),
            Self::Paused { by, waiting: 0 } => write!(f, "Compaction is paused by {by}"),
            Self::Paused { by, waiting } => {
                write!(f, "Compaction is paused by {by}: {} until it is resumed", waits(*waiting))
            }
            Self::Compacting { executing, queued: 0 } => write!(f, "Compacting: {}", counted(*executing, "plan")),
            Self::Compacting { executing, queued } => {
                write!(f, "Compacting: {}, {queued} more in the queue", counted(*executing, "plan"))
            }
            Self::Waiting { queued } => write!(f, "Nothing is compacted at the moment: {}", waits(*queued)),
            Self::Untidy { collections, of, switch } => {
                write!(f, "{collections} of {} would gain from a compaction", counted(*of, "collection"))?;
                match switch {
                    Some(key) => write!(f, ", which needs a request: {key} is false"),
                    None => f.write_str(", which comes by itself"),
                }
            }
            Self::Tidy { collections } => {
                write!(f, "In good shape: {}, nothing to compact", counted(*collections, "collection"))
            }
        }
    }
}

fn waits(plans: u64) -> String {
    if plans == 1 { "1 plan waits".to_owned() } else { format!("{plans} plans wait") }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::{coordinator::Ailment, standalone::tests::World};

    #[rstest]
    #[case::one(OverallVerdict::Tidy { collections: 1 }, "In good shape: 1 collection, nothing to compact")]
    #[case::paused(
        OverallVerdict::Paused { by: "ops".into(), waiting: 2 },
        "Compaction is paused by ops: 2 plans wait until it is resumed"
    )]
    #[case::running(
        OverallVerdict::Compacting { executing: 1, queued: 4 },
        "Compacting: 1 plan, 4 more in the queue"
    )]
    #[case::switched_off(
        OverallVerdict::Untidy { collections: 1, of: 3, switch: Some("a.key") },
        "1 of 3 collections would gain from a compaction, which needs a request: a.key is false"
    )]
    fn sentences(#[case] verdict: OverallVerdict, #[case] text: &str) {
        assert_eq!(verdict.to_string(), text);
    }

    fn see(world: &World) -> Overview {
        world.standalone.overview(100, &|_| true)
    }

    #[tokio::test]
    async fn the_verdict_follows_what_happens() {
        let world = World::with(|config| config.compaction.max_small_segments = 2).await;
        assert_eq!(see(&world).verdict, OverallVerdict::Empty);
        let cell = world.collection("books").await;
        assert_eq!(see(&world).verdict, OverallVerdict::Tidy { collections: 1 });
        for n in 0..4 {
            world.segment(&cell, n * 10..n * 10 + 10).await;
        }
        let untidy = see(&world);
        let switch = Some("dataCoord.compaction.enableAutoCompaction");
        assert_eq!(untidy.verdict, OverallVerdict::Untidy { collections: 1, of: 1, switch });
        // Two of four small segments are tolerated.
        assert_eq!((untidy.worst[0].shape.score, untidy.sum.segments, untidy.sum.rows), (50, 4, 40));
        world.hold();
        let job = world.compact(&cell).await;
        world.executing(world.view(job).plans[0].id).await;
        let running = see(&world);
        assert_eq!(running.verdict, OverallVerdict::Compacting { executing: 1, queued: 0 });
        assert_eq!(running.work.rows, 40);
        world.release();
        world.ended(job).await;
        let done = see(&world);
        assert_eq!(done.verdict, OverallVerdict::Tidy { collections: 1 });
        assert_eq!((done.sum.segments, done.sum.dropped, done.work.bytes), (1, 4, 0));
        assert!(done.work.bytes_per_second.is_some(), "the rate was measured");
        world.coordinator.pause(crate::coordinator::control::PauseScope::Everything, "ops").await.unwrap();
        assert_eq!(see(&world).verdict, OverallVerdict::Paused { by: "ops".to_owned(), waiting: 0 });
        let reason = "bad sectors".to_owned();
        world.standalone.note("log", Some(Ailment { part: "log", condition: Condition::Failed, reason }));
        assert_eq!(see(&world).verdict.code(), "failed");
    }

    #[tokio::test]
    async fn a_collection_that_is_switched_off_needs_a_request() {
        let world = World::with(|config| {
            config.compaction.max_small_segments = 1;
            config.compaction.auto_enabled = true;
            config.compaction.global_interval = std::time::Duration::from_secs(1 << 20);
        })
        .await;
        let off = [(AUTO_COMPACTION.to_owned(), "false".to_owned())].into();
        let cell = world.collection_with("books", off).await;
        for n in 0..2 {
            world.segment(&cell, n * 10..n * 10 + 10).await;
        }
        let switch = Some("collection.autocompaction.enabled");
        assert_eq!(see(&world).verdict, OverallVerdict::Untidy { collections: 1, of: 1, switch });
    }

    #[tokio::test]
    async fn the_worst_come_first_and_hidden_ones_not_at_all() {
        let world = World::with(|config| config.compaction.max_small_segments = 1).await;
        for (name, segments) in [("tidy", 1), ("worst", 4), ("bad", 2), ("hidden", 5)] {
            let cell = world.collection(name).await;
            for n in 0..segments {
                world.segment(&cell, n * 10..n * 10 + 10).await;
            }
        }
        let seen = world.standalone.overview(2, &|meta| meta.name != "hidden");
        let names: Vec<&str> = seen.worst.iter().map(|view| view.meta.name.as_str()).collect();
        assert_eq!(names, ["worst", "bad"]);
        assert_eq!((seen.collections, seen.sum.segments, seen.sum.score), (3, 7, 25));
    }
}
