//! The catalog as a backup holds it: every record as of one moment, as bytes that only this module reads.
//!
//! The names that make a catalog this one stay behind: its identity, its epoch, the marks of its store, the name of its log. A
//! restored catalog gets new ones, so it is another catalog, which can't be taken for the one that was backed up. The bounds
//! of ids and timestamps are read last: numbers that are given out while the snapshot is taken are below them.
//!
//! A part is a sequence of pairs: the lengths of key and value (u32, little-endian), key, value. Must never restore a
//! record of a class that is not copied.

use std::sync::Arc;

use super::{Catalog, MetaError, MetaSnapshot, MetaStore, Op, PageLimit, RedbStore, Span, Txn, codec, key};
use crate::model::{Group, Mark, Marks, SegmentId, SegmentLogs, WriteAheadLog};
use bytes::{BufMut as _, Bytes, BytesMut};

/// A part of a snapshot: small enough for a message.
const PART: PageLimit = PageLimit::new(2048, 512 << 10);
/// The prefix of each class that is copied. Bounds come last, from a later moment.
const COPIED: [&str; 11] = [
    key::DATABASES,
    key::USERS,
    key::ROLES,
    key::COLLECTIONS,
    key::SEGMENTS,
    key::LOGS,
    key::JOBS,
    key::PLANS,
    key::CHANNELS,
    key::WRITE_STATS,
    key::CONTROLS,
];

/// All records of a catalog as of one moment.
#[derive(Debug)]
pub struct CatalogSnapshot {
    pairs: Arc<dyn MetaSnapshot>,
    live: Arc<dyn MetaStore>,
    /// To be read yet; the last one first.
    spans: Vec<Span>,
    bounds: Option<Bytes>,
}

impl CatalogSnapshot {
    pub(super) async fn of(store: Arc<dyn MetaStore>) -> Result<Self, MetaError> {
        let spans = COPIED.iter().rev().map(|prefix| Span::of(prefix)).collect();
        Ok(Self { pairs: store.snapshot().await?, live: store, spans, bounds: None })
    }

    /// Takes over the bounds of ids and timestamps as they are now. To be called once the log was cut.
    pub async fn note_bounds(&mut self) -> Result<(), MetaError> {
        let page = self.live.scan(&Span::of(key::BOUNDS), PART).await?;
        self.bounds = Some(encode(page.pairs()));
        Ok(())
    }

    /// The log lists that a segment had; `NotFound` if it had none.
    pub async fn segment_logs(&self, group: &Group, id: SegmentId) -> Result<SegmentLogs, MetaError> {
        let key = key::logs(group, id);
        match self.pairs.get(&key).await? {
            Some(bytes) => codec::decode_logs(&key, &bytes),
            None => Err(MetaError::NotFound { key }),
        }
    }

    /// The next records; none after the last ones.
    pub async fn next_part(&mut self) -> Result<Option<Bytes>, MetaError> {
        while let Some(span) = self.spans.pop() {
            let mut page = self.pairs.scan(&span, PART).await?;
            self.spans.extend(page.rest.take());
            if page.bytes() > 0 {
                return Ok(Some(encode(page.pairs())));
            }
        }
        Ok(self.bounds.take())
    }
}

fn encode<'a>(pairs: impl Iterator<Item = (&'a str, &'a [u8])>) -> Bytes {
    let mut part = BytesMut::new();
    for (key, value) in pairs {
        // Neither is near 4 GB: a value is one record.
        part.put_u32_le(key.len() as u32);
        part.put_u32_le(value.len() as u32);
        part.put_slice(key.as_bytes());
        part.put_slice(value);
    }
    part.freeze()
}

/// A new catalog that is filled from a backup.
#[derive(Debug)]
pub struct RestoredCatalog {
    store: RedbStore,
}

impl RestoredCatalog {
    /// Makes a catalog in a folder that has none.
    ///
    /// # Errors
    /// There is one.
    pub async fn create(folder: &std::path::Path) -> Result<Self, MetaError> {
        let store = RedbStore::open(folder)?;
        let is_new = store.scan(&Span::of(""), PageLimit::new(1, 1)).await?.bytes() == 0;
        if !is_new {
            let reason = "it has records already".to_owned();
            return Err(MetaError::Open {
                file: folder.display().to_string(),
                reason,
                kind: crate::error::ErrorKind::Precondition,
            });
        }
        Ok(Self { store })
    }

    /// Adds whole records from the front of `bytes`. Returns the bytes that they took; the rest is not a whole record.
    ///
    /// # Errors
    /// `Corrupt` for a key that no backup has.
    pub async fn add(&self, bytes: &Bytes) -> Result<usize, MetaError> {
        let (mut ops, mut taken) = (Vec::new(), 0);
        while let Some((key, value)) = pair(bytes, taken) {
            taken += 8 + key.len() + value.len();
            let is_copied =
                |key: &str| COPIED.iter().any(|prefix| key.starts_with(prefix)) || key.starts_with(key::BOUNDS);
            let name = String::from_utf8_lossy(&key).into_owned();
            if !is_copied(&name) {
                let reason = "a backup has no such record".to_owned();
                return Err(MetaError::Corrupt { key: name.chars().take(200).collect(), reason });
            }
            ops.push(Op::Put { key: name, value });
        }
        if !ops.is_empty() {
            self.store.commit(Txn { guards: Vec::new(), ops }).await?;
        }
        Ok(taken)
    }

    /// Gives the catalog the identity in the mark of its store, that mark, and the name of its log.
    pub async fn finish(self, mark: Mark, log: &WriteAheadLog) -> Result<(), MetaError> {
        let put = |key: &str, value| Op::Put { key: key.to_owned(), value };
        let ops = vec![
            put(key::IDENTITY, mark.catalog.to_string().into()),
            put(key::MARKS, codec::encode_json(key::MARKS, &Marks::settled(mark))?),
            put(key::WAL, codec::encode_json(key::WAL, log)?),
        ];
        self.store.commit(Txn { guards: Vec::new(), ops }).await
    }
}

/// The pair at an offset; none if it is not whole.
fn pair(bytes: &Bytes, at: usize) -> Option<(Bytes, Bytes)> {
    let length = |from: usize| -> Option<usize> {
        let four: [u8; 4] = bytes.get(from..from.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(four)).ok()
    };
    let (key, value) = (length(at)?, length(at.checked_add(4)?)?);
    let key_at = at.checked_add(8)?;
    let value_at = key_at.checked_add(key)?;
    let end = value_at.checked_add(value)?;
    (end <= bytes.len()).then(|| (bytes.slice(key_at..value_at), bytes.slice(value_at..end)))
}

impl Catalog {
    /// Everything that the catalog holds now, for a backup.
    pub async fn snapshot(&self) -> Result<CatalogSnapshot, MetaError> {
        CatalogSnapshot::of(Arc::clone(self.store())).await
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        meta::MemoryStore,
        model::{Database, Timestamp},
    };

    fn database(name: &str) -> Database {
        Database { name: name.to_owned(), created_at: Timestamp(7) }
    }

    async fn put(catalog: &Catalog, name: &str) {
        let mut txn = catalog.txn();
        txn.put_database(&database(name));
        txn.commit().await.unwrap();
    }

    /// All parts, in one piece.
    async fn parts(mut snapshot: CatalogSnapshot) -> Bytes {
        let mut all = BytesMut::new();
        while let Some(part) = snapshot.next_part().await.unwrap() {
            all.put(part);
        }
        all.freeze()
    }

    #[tokio::test]
    async fn a_snapshot_is_of_one_moment_and_a_restored_catalog_is_another_one() {
        for store in [Arc::new(MemoryStore::new()) as Arc<dyn MetaStore>, {
            let folder = tempfile::tempdir().unwrap().keep();
            Arc::new(RedbStore::open(&folder).unwrap())
        }] {
            let catalog = Catalog::open(store).await.unwrap();
            let identity = catalog.identity().await.unwrap();
            put(&catalog, "before").await;
            let mut snapshot = catalog.snapshot().await.unwrap();
            put(&catalog, "after").await;
            snapshot.note_bounds().await.unwrap();
            let bytes = parts(snapshot).await;

            let folder = tempfile::tempdir().unwrap();
            let restored = RestoredCatalog::create(folder.path()).await.unwrap();
            // A record that is cut in two waits for its rest.
            let cut = bytes.slice(..bytes.len() - 1);
            let taken = restored.add(&cut).await.unwrap();
            assert!(taken < cut.len());
            assert_eq!(restored.add(&bytes.slice(taken..)).await.unwrap(), bytes.len() - taken);
            let own = Uuid::from_u128(5);
            let mark = Mark { catalog: own, epoch: 0, run: Uuid::from_u128(6), turn: 0 };
            let log = WriteAheadLog { id: Uuid::from_u128(7), newest: crate::model::Lsn(3) };
            restored.finish(mark, &log).await.unwrap();

            let again = Catalog::open(Arc::new(RedbStore::open(folder.path()).unwrap())).await.unwrap();
            let contents = again.load(|_| ()).await.unwrap();
            assert_eq!(contents.databases, [database("before")]);
            assert_eq!(again.identity().await.unwrap(), own);
            assert_ne!(own, identity);
            assert_eq!(again.marks().await.unwrap(), Marks::settled(mark));
            assert_eq!(again.write_ahead_log().await.unwrap(), Some(log));
        }
    }

    #[tokio::test]
    async fn a_catalog_with_records_and_records_of_other_kinds_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let restored = RestoredCatalog::create(folder.path()).await.unwrap();
        let foreign = encode([(key::EPOCH, b"12345678".as_slice())].into_iter());
        let refused = restored.add(&foreign).await.unwrap_err();
        assert!(refused.to_string().contains(key::EPOCH), "{refused}");
        restored.add(&encode([("datacoord/database/d", b"x".as_slice())].into_iter())).await.unwrap();
        drop(restored);
        let refused = RestoredCatalog::create(folder.path()).await.unwrap_err();
        assert!(refused.to_string().contains("has records already"), "{refused}");
    }
}
