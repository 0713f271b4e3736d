//! Searches of the demo: how many a second, and how many of the nearest rows they find.
//!
//! Must never: call a row found that is not live, or whose distance is another one.

use std::fmt;

use anyhow::{Context as _, ensure};
use tokio::time::Instant;

use super::books::{self, Books};
use crate::client::Client;

/// Searches of one run, one after the other.
const SEARCHES: usize = 200;
/// Rows that each of them wants.
const NEAREST: usize = 10;
/// Distances that the demo computes itself, to know which rows are the nearest.
const COMPARED: usize = 10_000_000;
/// Distances are sums of eight squares below ten; so much of one is rounding.
const ROUNDING: f32 = 1e-4;

/// Vectors to search with, between those of the rows.
pub(super) struct Searches {
    pub(super) vectors: Vec<Vec<f32>>,
    /// For as many of the vectors as the demo looks at itself: the distance within which the nearest rows are.
    reach: Vec<f32>,
}

/// The figures of a run.
pub(super) struct SearchFigures {
    segments: usize,
    per_second: f64,
    /// Share of the nearest rows that were found.
    recall: f64,
}

impl Searches {
    pub(super) fn of(books: &Books) -> Self {
        let rows: Vec<Vec<f32>> = books.live.iter().map(|(id, edition)| books::row(*id, *edition).vector).collect();
        let vectors: Vec<Vec<f32>> = (0..SEARCHES)
            .filter_map(|number| rows.get(number * rows.len() / SEARCHES))
            .map(|row| row.iter().zip([0.013, 0.029].into_iter().cycle()).map(|(at, shift)| at + shift).collect())
            .collect();
        let looked_at = (COMPARED / rows.len().max(1)).clamp(1, SEARCHES);
        let reach = vectors.iter().take(looked_at).map(|vector| {
            let mut distances: Vec<f32> = rows.iter().map(|row| distance(vector, row)).collect();
            distances.sort_by(f32::total_cmp);
            distances.get(NEAREST.min(distances.len()).saturating_sub(1)).copied().unwrap_or(f32::INFINITY)
        });
        let reach = reach.collect();
        Self { vectors, reach }
    }

    /// Runs all searches over the `segments` segments of a collection, and checks the rows that they find.
    pub(super) async fn run(
        &self,
        client: &Client,
        collection: &str,
        books: &Books,
        segments: usize,
    ) -> anyhow::Result<SearchFigures> {
        let began = Instant::now();
        let mut answers = Vec::with_capacity(self.vectors.len());
        for vector in &self.vectors {
            answers.push(client.search(collection, books::VECTOR, vector, NEAREST).await?);
        }
        let per_second = self.vectors.len() as f64 / began.elapsed().as_secs_f64();
        Ok(SearchFigures { segments, per_second, recall: self.recall(books, &answers)? })
    }

    /// The share of the nearest rows that are among the answers: keys and distances, for each vector. Fails if one is
    /// wrong.
    pub(super) fn recall(&self, books: &Books, answers: &[Vec<(i64, f32)>]) -> anyhow::Result<f64> {
        let (mut right, mut wanted) = (0u32, 0u32);
        for (number, (vector, found)) in self.vectors.iter().zip(answers).enumerate() {
            ensure!(found.len() == NEAREST.min(books.live.len()), "a search found {} rows", found.len());
            for (id, told) in found {
                let edition = books.live.get(id).with_context(|| format!("a search found {id}, which is deleted"))?;
                let is = distance(vector, &books::row(*id, *edition).vector);
                ensure!((told - is).abs() <= ROUNDING, "row {id} is {is} away, a search says {told}");
                if let Some(reach) = self.reach.get(number) {
                    wanted += 1;
                    right += u32::from(is <= reach + ROUNDING);
                }
            }
        }
        Ok(f64::from(right) / f64::from(wanted.max(1)))
    }
}

impl fmt::Display for SearchFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segments, per_second, recall } = self;
        let segments = if *segments == 1 { "one segment".to_owned() } else { format!("{segments} segments") };
        write!(
            f,
            "{SEARCHES} searches for the {NEAREST} nearest in {segments}: {per_second:.0} a second, recall {recall:.3}"
        )
    }
}

/// By L2, as Milvus tells it: not its root.
pub(super) fn distance(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum()
}
