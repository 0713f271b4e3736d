//! The catalog: model values in, model values out. The only user of keys and bytes, and the only thing the coordinator
//! sees of the metadata store.
//!
//! Holds no copy of stored values: the coordinator keeps the truth in memory, and folds a change in after the commit
//! that made it durable. Every transaction carries the guard of this catalog's epoch (P6).

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{Contents, Epoch, Expected, Guard, MetaError, MetaStore, Op, StoredBounds, Txn, codec, key, load};
use crate::{
    fault::{self, Planted},
    fence::Fence,
    ids,
    model::{
        Channel, Collection, CollectionId, Controls, Database, Group, Job, JobId, Lsn, Marks, Plan, Role, Segment,
        SegmentId, SegmentLogs, User, WriteAheadLog, WriteStats,
    },
};

/// The right to write the metadata store until another catalog is opened over it. Cheap to clone; the clones share the
/// right.
#[derive(Debug, Clone)]
pub struct Catalog {
    store: Arc<dyn MetaStore>,
    epoch: Epoch,
    fence: Fence,
}

impl Catalog {
    /// Takes the next epoch: catalogs opened before over the same store can't commit from now on.
    pub async fn open(store: Arc<dyn MetaStore>) -> Result<Self, MetaError> {
        let epoch = Epoch::take(store.as_ref()).await?;
        Ok(Self { store, epoch, fence: Fence::default() })
    }

    /// The same, behind a fence: commits nothing once the fence is up.
    #[must_use]
    pub fn behind(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn store(&self) -> &Arc<dyn MetaStore> {
        &self.store
    }

    /// Tells this catalog from every other one, for ever. Made by the first call.
    pub async fn identity(&self) -> Result<Uuid, MetaError> {
        let key = || key::IDENTITY.to_owned();
        if let Some(stored) = self.store.get(key::IDENTITY).await? {
            return Uuid::try_parse_ascii(&stored)
                .map_err(|e| MetaError::Corrupt { key: key(), reason: e.to_string() });
        }
        let identity = ids::unique_name();
        let mut txn = self.txn();
        txn.guard(key(), Expected::Absent).put(key(), identity.to_string().into());
        txn.commit().await?;
        Ok(identity)
    }

    /// The marks that this catalog wrote into its store; the default before the first one.
    pub async fn marks(&self) -> Result<Marks, MetaError> {
        let stored = self.store.get(key::MARKS).await?;
        stored.map_or_else(|| Ok(Marks::default()), |bytes| codec::decode_json(key::MARKS, &bytes))
    }

    /// Reads everything but log lists. Consistent if nothing is committed meanwhile: call it before the first transaction.
    pub async fn load<S: Send + 'static>(
        &self,
        gather: impl Fn(&mut Vec<Segment>) -> S + Send + Sync + 'static,
    ) -> Result<Contents<S>, MetaError> {
        load::contents(self.store.clone(), gather).await
    }

    /// The log lists of a segment; `NotFound` if it has none.
    pub async fn segment_logs(&self, group: &Group, id: SegmentId) -> Result<SegmentLogs, MetaError> {
        let key = key::logs(group, id);
        match self.store.get(&key).await? {
            Some(bytes) => codec::decode_logs(&key, &bytes),
            None => Err(MetaError::NotFound { key }),
        }
    }

    /// The standing orders; the default before the first one.
    pub async fn controls(&self) -> Result<Controls, MetaError> {
        let stored = self.store.get(key::CONTROLS).await?;
        stored.map_or_else(|| Ok(Controls::default()), |bytes| codec::decode_json(key::CONTROLS, &bytes))
    }

    /// The log that belongs to this catalog; none before the first process has stored one.
    pub async fn write_ahead_log(&self) -> Result<Option<WriteAheadLog>, MetaError> {
        let stored = self.store.get(key::WAL).await?;
        stored.map(|bytes| codec::decode_json(key::WAL, &bytes)).transpose()
    }

    /// Most operations that a transaction may have. Of guards it may have one less, because the epoch is guarded too.
    pub fn max_operations(&self) -> usize {
        self.store.max_operations()
    }

    /// An empty transaction of this epoch.
    pub fn txn(&self) -> CatalogTxn {
        let epoch = (!fault::planted(Planted::EpochUnchecked)).then(|| self.epoch.guard());
        let txn = Txn { guards: epoch.into_iter().collect(), ops: Vec::new() };
        let (store, fence) = (self.store.clone(), self.fence.clone());
        CatalogTxn { store, epoch: self.epoch, fence, txn, failure: None }
    }

    /// The durable bounds of id and timestamp allocation.
    pub fn bounds(&self) -> StoredBounds {
        StoredBounds::new(self.store.clone(), self.epoch, self.fence.clone())
    }
}

/// A transaction under construction: nothing happens before `commit`. Each record may be changed once.
#[derive(Debug)]
#[must_use = "nothing happens before commit"]
pub struct CatalogTxn {
    store: Arc<dyn MetaStore>,
    epoch: Epoch,
    fence: Fence,
    txn: Txn,
    /// The first value that could not be encoded: reported by `commit`.
    failure: Option<MetaError>,
}

impl CatalogTxn {
    /// Fails the commit with `Conflict` unless the stored record of this segment is exactly this one.
    pub fn expect_segment(&mut self, segment: &Segment) -> &mut Self {
        if fault::planted(Planted::ExpectationLeftOut) {
            return self;
        }
        let expected = Expected::Value(codec::encode_segment(segment));
        self.guard(key::segment(&segment.group, segment.id), expected)
    }

    /// Fails the commit with `Conflict` if there is a record with this id.
    pub fn expect_no_segment(&mut self, group: &Group, id: SegmentId) -> &mut Self {
        self.guard(key::segment(group, id), Expected::Absent)
    }

    pub fn put_segment(&mut self, segment: &Segment) -> &mut Self {
        self.put(key::segment(&segment.group, segment.id), codec::encode_segment(segment))
    }

    pub fn put_logs(&mut self, group: &Group, id: SegmentId, logs: &SegmentLogs) -> &mut Self {
        self.put(key::logs(group, id), codec::encode_logs(logs))
    }

    pub fn put_segment_and_logs(&mut self, segment: &Segment, logs: &SegmentLogs) -> &mut Self {
        self.put_segment(segment).put_logs(&segment.group, segment.id, logs)
    }

    /// Forgets a segment and its log lists.
    pub fn delete_segment(&mut self, group: &Group, id: SegmentId) -> &mut Self {
        self.delete(key::segment(group, id)).delete(key::logs(group, id))
    }

    pub fn put_collection(&mut self, collection: &Collection) -> &mut Self {
        let key = key::collection(collection.id);
        self.put_json(key, collection)
    }

    /// Forgets the definition and the write statistics. Segments are deleted one by one, with their files.
    pub fn delete_collection(&mut self, id: CollectionId) -> &mut Self {
        self.delete(key::collection(id)).delete(key::write_stats(id))
    }

    pub fn put_write_stats(&mut self, id: CollectionId, write_stats: &WriteStats) -> &mut Self {
        self.put_json(key::write_stats(id), write_stats)
    }

    pub fn put_database(&mut self, database: &Database) -> &mut Self {
        let key = key::database(&database.name);
        self.put_json(key, database)
    }

    pub fn delete_database(&mut self, name: &str) -> &mut Self {
        self.delete(key::database(name))
    }

    pub fn put_user(&mut self, user: &User) -> &mut Self {
        let key = key::user(&user.name);
        self.put_json(key, user)
    }

    /// Forgets a user, with the roles that it had.
    pub fn delete_user(&mut self, name: &str) -> &mut Self {
        self.delete(key::user(name))
    }

    pub fn put_role(&mut self, role: &Role) -> &mut Self {
        let key = key::role(&role.name);
        self.put_json(key, role)
    }

    /// Forgets a role and its grants. Users keep its id, which means nothing from then on.
    pub fn delete_role(&mut self, name: &str) -> &mut Self {
        self.delete(key::role(name))
    }

    pub fn put_job(&mut self, job: &Job) -> &mut Self {
        let key = key::job(job.id);
        self.put_json(key, job)
    }

    pub fn put_plan(&mut self, plan: &Plan) -> &mut Self {
        let key = key::plan(plan.job, plan.id);
        self.put_json(key, plan)
    }

    pub fn put_controls(&mut self, controls: &Controls) -> &mut Self {
        self.put_json(key::CONTROLS.to_owned(), controls)
    }

    pub fn put_write_ahead_log(&mut self, log: &WriteAheadLog) -> &mut Self {
        self.put_json(key::WAL.to_owned(), log)
    }

    pub fn put_marks(&mut self, marks: &Marks) -> &mut Self {
        self.put_json(key::MARKS.to_owned(), marks)
    }

    /// Forgets a job and all its plans.
    pub fn delete_job(&mut self, id: JobId) -> &mut Self {
        self.txn.ops.push(Op::DeletePrefix { prefix: key::plans(id) });
        self.delete(key::job(id))
    }

    pub fn set_channel_delta_lsn(&mut self, channel: &Channel, lsn: Lsn) -> &mut Self {
        self.put(key::channel(channel), codec::encode_u64(lsn.0))
    }

    /// True if a commit would change nothing.
    pub fn is_empty(&self) -> bool {
        self.operations() == 0
    }

    /// How many of [`Catalog::max_operations`] it has.
    pub fn operations(&self) -> usize {
        self.txn.ops.len()
    }

    /// All or nothing, durable when it returns.
    ///
    /// # Errors
    /// Kind Fenced when another catalog has taken over, `Conflict` when an expected segment is not as expected, `TooLarge`
    /// when the transaction exceeds the limit of the store, `Overlap` when it changes a record twice.
    pub async fn commit(self) -> Result<(), MetaError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.fence.check()?;
        match self.store.commit(self.txn).await {
            Err(MetaError::Conflict { .. }) if fault::planted(Planted::ConflictIsSuccess) => Ok(()),
            committed => committed.map_err(|e| self.epoch.explain(e)),
        }
    }

    fn guard(&mut self, key: String, expected: Expected) -> &mut Self {
        self.txn.guards.push(Guard { key, expected });
        self
    }

    fn put(&mut self, key: String, value: Bytes) -> &mut Self {
        self.txn.ops.push(Op::Put { key, value });
        self
    }

    fn put_json<T: serde::Serialize>(&mut self, key: String, value: &T) -> &mut Self {
        match codec::encode_json(&key, value) {
            Ok(bytes) => {
                self.put(key, bytes);
            }
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
        self
    }

    fn delete(&mut self, key: String) -> &mut Self {
        self.txn.ops.push(Op::Delete { key });
        self
    }
}

#[cfg(test)]
mod tests;
