//! What the client knows: rows and deletes that were acknowledged, those in doubt, and job ids.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use datacoord::wire::proto::{
    milvus::{milvus_service_client::MilvusServiceClient, *},
    schema::{field_data, scalar_field},
};
use tonic::transport::Channel;

use crate::workload::{COLLECTION, check};

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

    /// Compares the journal with the server, and settles the doubtful requests by what the server says.
    pub async fn verify(&mut self, client: &mut MilvusServiceClient<Channel>) -> Result<()> {
        let found = read_all(client).await?;
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
        ensure!(count(client).await? == self.live.len() as i64, "count(*) differs from the rows");
        for id in &self.jobs {
            let request = GetCompactionStateRequest { compaction_id: *id };
            let state = client.get_compaction_state(request).await?.into_inner();
            check(state.status, &format!("job {id} is forgotten (P7)"))?;
        }
        Ok(())
    }
}

/// Every row, page by page along the key.
async fn read_all(client: &mut MilvusServiceClient<Channel>) -> Result<BTreeMap<i64, i64>> {
    let mut found = BTreeMap::new();
    let mut from = 0;
    loop {
        let request = QueryRequest {
            collection_name: COLLECTION.into(),
            expr: format!("id >= {from}"),
            output_fields: vec!["id".into(), "value".into()],
            query_params: vec![datacoord::wire::proto::common::KeyValuePair {
                key: "limit".into(),
                value: "10000".into(),
            }],
            ..Default::default()
        };
        let answer = client.query(request).await?.into_inner();
        check(answer.status.clone(), "query")?;
        let (ids, values) = (column(&answer, "id"), column(&answer, "value"));
        ensure!(ids.len() == values.len(), "columns of different length");
        let Some(last) = ids.iter().max() else { return Ok(found) };
        from = last + 1;
        for (id, value) in ids.into_iter().zip(values) {
            ensure!(found.insert(id, value).is_none(), "key {id} is there twice");
        }
    }
}

async fn count(client: &mut MilvusServiceClient<Channel>) -> Result<i64> {
    let request = QueryRequest {
        collection_name: COLLECTION.into(),
        expr: "id >= 0".into(),
        output_fields: vec!["count(*)".into()],
        ..Default::default()
    };
    let answer = client.query(request).await?.into_inner();
    check(answer.status.clone(), "count")?;
    Ok(column(&answer, "count(*)").first().copied().unwrap_or_default())
}

fn column(answer: &QueryResults, name: &str) -> Vec<i64> {
    let field = answer.fields_data.iter().find(|f| f.field_name == name);
    match field.and_then(|f| f.field.as_ref()) {
        Some(field_data::Field::Scalars(s)) => match &s.data {
            Some(scalar_field::Data::LongData(l)) => l.data.clone(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}
