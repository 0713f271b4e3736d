//! The client's knowledge: acknowledged rows and deletes, requests in doubt, and job ids.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use datacoord::wire::proto::milvus::GetCompactionStateRequest;

use crate::{
    requests::{self, Client, check},
    workload::COLLECTION,
};

#[derive(Debug, Default)]
pub struct Journal {
    /// Acknowledged and not deleted: key → value.
    live: BTreeMap<i64, i64>,
    /// Acknowledged as deleted.
    dead: BTreeSet<i64>,
    /// Requests without an answer: all of it happened, or nothing.
    doubtful: Vec<Doubt>,
    jobs: BTreeSet<i64>,
    next_key: i64,
}

#[derive(Debug, Clone)]
pub enum Doubt {
    Insert(Vec<(i64, i64)>),
    Delete(Vec<i64>),
    Upsert(Vec<(i64, i64)>),
}

impl Journal {
    pub fn fresh_keys(&mut self, count: i64) -> Vec<i64> {
        let first = self.next_key;
        self.next_key += count;
        (first..self.next_key).collect()
    }

    pub fn live_keys(&self) -> Vec<i64> {
        self.live.keys().copied().collect()
    }

    pub fn acknowledge(&mut self, done: Doubt) {
        match done {
            Doubt::Insert(rows) | Doubt::Upsert(rows) => {
                for (key, value) in rows {
                    self.dead.remove(&key);
                    self.live.insert(key, value);
                }
            }
            Doubt::Delete(keys) => {
                for key in keys {
                    self.live.remove(&key);
                    self.dead.insert(key);
                }
            }
        }
    }

    pub fn doubt(&mut self, request: Doubt) {
        self.doubtful.push(request);
    }

    pub fn job(&mut self, id: i64) {
        self.jobs.insert(id);
    }

    /// Compares the journal with the server, and settles requests in doubt by the rows that the server returns.
    pub async fn verify(&mut self, client: &mut Client) -> Result<()> {
        let found = requests::read(client, COLLECTION, 0..i64::MAX).await?;
        for doubt in std::mem::take(&mut self.doubtful) {
            let happened: Vec<bool> = match &doubt {
                Doubt::Insert(rows) | Doubt::Upsert(rows) => {
                    rows.iter().map(|(key, value)| found.get(key) == Some(value)).collect()
                }
                Doubt::Delete(keys) => keys.iter().map(|key| !found.contains_key(key)).collect(),
            };
            let all = happened.iter().all(|h| *h);
            ensure!(all || happened.iter().all(|h| !*h), "half of an unacknowledged request happened: {doubt:?}");
            if all {
                self.acknowledge(doubt);
            }
        }
        let lost: Vec<_> = self.live.iter().filter(|(key, value)| found.get(key) != Some(value)).take(10).collect();
        ensure!(lost.is_empty(), "acknowledged rows are lost or changed (P3): {lost:?}");
        let back: Vec<_> = self.dead.iter().filter(|key| found.contains_key(key)).take(10).collect();
        ensure!(back.is_empty(), "deleted rows are back (P4): {back:?}");
        ensure!(found.len() == self.live.len(), "{} rows are there, {} were written", found.len(), self.live.len());
        ensure!(requests::count(client, COLLECTION).await? == self.live.len() as i64, "count(*) differs from the rows");
        for id in &self.jobs {
            let request = GetCompactionStateRequest { compaction_id: *id };
            let state = client.get_compaction_state(request).await?.into_inner();
            check(state.status, &format!("job {id} is forgotten (P7)"))?;
        }
        Ok(())
    }
}
