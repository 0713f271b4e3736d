//! Searches of a client among its own rows, and the rules for their answers. Without an index all that are known to be near
//! have to be there. With one most of them, and every row of an answer has to be live, found once, and as far as it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use anyhow::{Context, Result, bail, ensure};
use datacoord::wire::proto::{
    common::{PlaceholderGroup, PlaceholderType, PlaceholderValue},
    milvus::{SearchRequest, SearchResults, search_request::SearchInput},
    schema::i_ds::IdField,
};
use prost::Message;
use rand::{RngExt, rngs::StdRng, seq::IteratorRandom};

use crate::{
    KEYS,
    kit::rpc,
    ledger::Ledger,
    requests::{Client, DIM, check},
};

/// Distance between the rows of two clients in the first number of their vectors.
const APART: i64 = 10_000;
/// Values are taken modulo this number.
const VALUES: i64 = 1_024;
/// Single precision has 24 bits.
const PRECISION: f64 = 1e-6;
/// Rows in view of a graph whose recall counts.
const WIDE: u64 = 64;

/// The vector of a row. A row has another one when its value has changed.
pub fn vector(key: i64, value: i64) -> [f32; DIM] {
    let mut vector = [0.0; DIM];
    let parts = [key / KEYS * APART, key % KEYS, value.rem_euclid(VALUES)];
    for (number, part) in vector.iter_mut().zip(parts) {
        *number = part as f32;
    }
    vector
}

fn distance(one: &[f32; DIM], other: &[f32; DIM]) -> f64 {
    one.iter().zip(other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

/// A search for the rows near to one, perhaps among some keys only.
#[derive(Debug)]
pub struct Asked {
    near: [f32; DIM],
    limit: u64,
    /// Rows in view of a graph.
    ef: u64,
    window: Option<Range<i64>>,
}

/// Rows that have to be in answers, and how many of them are. An exact search has all.
#[derive(Debug, Default, Clone, Copy)]
pub struct Recall {
    expected: u64,
    right: u64,
}

impl Recall {
    pub fn add(&mut self, other: Self) {
        self.expected += other.expected;
        self.right += other.right;
    }

    /// # Errors
    /// The indexes of all clients have found too few rows.
    pub fn judge(all: impl Iterator<Item = Self>) -> Result<()> {
        let mut sum = Self::default();
        all.for_each(|one| sum.add(one));
        let Self { expected, right } = sum;
        eprintln!("searches with an index: {right} of {expected} rows");
        ensure!(right * 100 >= expected * 95, "a recall of less than 95 %: {right} of {expected} rows");
        Ok(())
    }
}

impl Asked {
    pub fn draw(ledger: &Ledger, rng: &mut StdRng) -> Self {
        let (key, value) = ledger.known().choose(rng).unwrap_or((ledger.keys.start, 0));
        let limit = [1, 10, 100][rng.random_range(0..3)];
        Self {
            near: vector(key + rng.random_range(0..3), value + rng.random_range(0..3)),
            limit,
            ef: if rng.random_bool(0.5) { limit.max(WIDE) } else { limit },
            window: rng.random_bool(0.5).then(|| ledger.window(300, rng)),
        }
    }

    pub fn request(&self, collection: &str) -> SearchRequest {
        let values = vec![self.near.map(f32::to_le_bytes).concat().into()];
        let r#type = PlaceholderType::FloatVector.into();
        let placeholder = PlaceholderValue { tag: "$0".into(), r#type, values, ..Default::default() };
        let group = PlaceholderGroup { placeholders: vec![placeholder] };
        let filter = self.window.as_ref().map(|keys| format!("id >= {} and id < {}", keys.start, keys.end));
        SearchRequest {
            collection_name: collection.into(),
            dsl: filter.unwrap_or_default(),
            dsl_type: 1,
            nq: 1,
            search_input: Some(SearchInput::PlaceholderGroup(group.encode_to_vec().into())),
            search_params: vec![
                rpc::pair("anns_field", "vec"),
                rpc::pair("metric_type", "L2"),
                rpc::pair("topk", self.limit),
                rpc::pair("params", format!("{{\"ef\": {}}}", self.ef)),
            ],
            output_fields: vec!["value".into()],
            ..Default::default()
        }
    }

    /// Compares an answer with the rows that are known, while calls may be under way.
    ///
    /// # Errors
    /// The first row that breaks a rule, with the promise that it breaks.
    pub fn judge(&self, ledger: &Ledger, answer: &SearchResults, is_exact: bool) -> Result<Recall> {
        let hits = hits(answer)?;
        ensure!(hits.len() as u64 <= self.limit, "{} rows instead of {}", hits.len(), self.limit);
        let mut found = BTreeMap::new();
        for (key, value, score) in &hits {
            ensure!(found.insert(*key, *value).is_none(), "key {key} is found twice (P1)");
            let expected = distance(&self.near, &vector(*key, *value));
            let is_true = (f64::from(*score) - expected).abs() <= expected * PRECISION;
            ensure!(is_true, "key {key} with value {value} is said to be {score} away, and is {expected}");
            let is_asked = self.window.as_ref().is_none_or(|window| window.contains(key));
            ensure!(is_asked, "key {key} was not asked for");
            let is_known = !ledger.keys.contains(key) || ledger.may_hold(*key, *value);
            ensure!(is_known, "a deleted row is found, or an old one (P4): key {key}, value {value}");
        }
        let is_in_order = hits.is_sorted_by(|(a, _, near), (b, _, far)| {
            (near, a).partial_cmp(&(far, b)).is_some_and(std::cmp::Ordering::is_lt)
        });
        ensure!(is_in_order, "rows are out of order: {hits:?}");
        let is_whole = (hits.len() as u64) < self.limit;
        let end = hits.last().map_or(0.0, |(_, _, score)| f64::from(*score) * (1.0 - PRECISION));
        let known = ledger.known().filter(|(key, _)| self.window.as_ref().is_none_or(|window| window.contains(key)));
        let due: BTreeSet<_> =
            known.filter(|(key, value)| is_whole || distance(&self.near, &vector(*key, *value)) < end).collect();
        let missed: Vec<_> = due.iter().filter(|(key, value)| found.get(key) != Some(value)).take(5).collect();
        ensure!(missed.is_empty() || !is_exact, "near rows are not found (P3): {missed:?}");
        if self.ef < WIDE {
            return Ok(Recall::default());
        }
        let right = due.iter().filter(|(key, value)| found.get(key) == Some(value)).count() as u64;
        Ok(Recall { expected: due.len() as u64, right })
    }
}

/// Key, value and score of each row.
fn hits(answer: &SearchResults) -> Result<Vec<(i64, i64, f32)>> {
    check(answer.status.clone(), "search")?;
    let Some(results) = &answer.results else { bail!("an answer without results") };
    let keys: &[i64] = match results.ids.as_ref().and_then(|ids| ids.id_field.as_ref()) {
        Some(IdField::IntId(keys)) => &keys.data,
        // An answer without rows has no type of keys.
        None => &[],
        Some(IdField::StrId(_)) => bail!("keys are texts"),
    };
    let values = rpc::longs_of(&results.fields_data, "value");
    ensure!(keys.len() == values.len() && keys.len() == results.scores.len(), "columns of different length");
    Ok(keys.iter().zip(values).zip(&results.scores).map(|((key, value), score)| (*key, *value, *score)).collect())
}

/// Some searches while no call is under way.
///
/// # Errors
/// Those of [`Asked::judge`].
pub async fn settle(
    client: &mut Client,
    collection: &str,
    ledger: &Ledger,
    is_exact: bool,
    rng: &mut StdRng,
) -> Result<Recall> {
    let mut recall = Recall::default();
    for _ in 0..4 {
        let asked = Asked::draw(ledger, rng);
        let answer = client.search(asked.request(collection)).await?.into_inner();
        recall.add(asked.judge(ledger, &answer, is_exact).with_context(|| format!("{asked:?} in {collection}"))?);
    }
    Ok(recall)
}
