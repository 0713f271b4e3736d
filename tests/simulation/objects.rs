//! An object store in memory: slow, failing, and durable once a put has returned.
//!
//! It keeps the promise of every backend: an object appears whole or not at all, and after an error any object of the
//! request may exist. It also notes a fault that no store can refuse and no process may make, not even one that was taken over
//! and does not know it yet: one name for other bytes.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use datacoord::{
    clock::Clock,
    storage::{Listed, Object, StorageBackend, StorageError, Swapped},
};
use futures::stream::{self, BoxStream, StreamExt};

use crate::{
    journal::Journal,
    power::{Fate, Plug, Sky, pass_time},
    time::VirtualClock,
};

/// Name of the owner's mark, the only object that changes.
pub const MARK: &str = "datacoord-owner";

#[derive(Debug, Clone)]
pub struct Stored {
    pub bytes: Bytes,
    modified_ms: u64,
}

/// The objects; they outlive every process.
#[derive(Debug)]
pub struct Objects {
    stored: Mutex<BTreeMap<String, Stored>>,
    /// Checksums of every object that ever was, as it was last.
    ever: Mutex<BTreeMap<String, u32>>,
    clock: Arc<VirtualClock>,
    journal: Journal,
}

impl Objects {
    pub fn new(clock: &Arc<VirtualClock>, journal: &Journal) -> Arc<Self> {
        let (clock, journal) = (Arc::clone(clock), journal.clone());
        Arc::new(Self { stored: Mutex::default(), ever: Mutex::default(), clock, journal })
    }

    pub fn get(&self, name: &str) -> Option<Bytes> {
        self.stored.lock().unwrap().get(name).map(|stored| stored.bytes.clone())
    }

    /// The checksum of an object as it was written last.
    pub fn sum(&self, name: &str) -> Option<u32> {
        self.ever.lock().unwrap().get(name).copied()
    }

    pub fn names(&self) -> Vec<String> {
        self.stored.lock().unwrap().keys().cloned().collect()
    }

    fn put(&self, name: &str, bytes: Bytes) {
        let sum = crc32c::crc32c(&bytes);
        let before = self.ever.lock().unwrap().insert(name.to_owned(), sum);
        if name != MARK && before.is_some_and(|before| before != sum) {
            self.journal.violation(format!("object {name} was written twice, with other bytes"));
        }
        let stored = Stored { bytes, modified_ms: self.clock.now_ms() };
        self.stored.lock().unwrap().insert(name.to_owned(), stored);
    }

    fn remove(&self, name: &str) {
        self.stored.lock().unwrap().remove(name);
    }

    /// The bytes of an object to be written.
    fn whole(&self, object: &Object) -> Result<Bytes, StorageError> {
        let Some(rest) = &object.rest else { return Ok(object.bytes.clone()) };
        let part = self.get(&rest.name).and_then(|from| slice(&from, &rest.range));
        let part = part.ok_or_else(|| StorageError::NotFound { object: rest.name.clone() })?;
        Ok([object.bytes.as_ref(), part.as_ref()].concat().into())
    }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    let (start, end) = (range.start as usize, range.end as usize);
    (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
}

/// The objects as one process reaches them.
#[derive(Debug)]
pub struct Remote {
    pub objects: Arc<Objects>,
    pub sky: Arc<Sky>,
    pub plug: Arc<Plug>,
}

impl Remote {
    fn unavailable(&self, operation: &'static str, name: &str) -> StorageError {
        let what = "the store is away".to_owned();
        self.objects.journal.saw("store: an error");
        StorageError::Unavailable { operation, object: name.to_owned(), what }
    }

    /// A request on its way, and its fate.
    async fn arrive(&self, operation: &'static str, name: &str, writes: bool) -> Result<Fate, StorageError> {
        self.plug.pass().await;
        pass_time(&self.sky).await;
        self.plug.pass().await;
        match self.sky.fate(writes) {
            Fate::Error => Err(self.unavailable(operation, name)),
            Fate::Full => {
                self.objects.journal.saw("store: full");
                let what = "the store is full".to_owned();
                Err(StorageError::Full { operation, object: name.to_owned(), what })
            }
            fate => Ok(fate),
        }
    }

    /// The answer on its way back.
    async fn answer<T>(&self, fate: Fate, operation: &'static str, name: &str, value: T) -> Result<T, StorageError> {
        self.plug.pass().await;
        pass_time(&self.sky).await;
        if fate == Fate::AnswerLost {
            self.objects.journal.saw("store: an answer lost");
            return Err(self.unavailable(operation, name));
        }
        Ok(value)
    }

    fn read(&self, name: &str, fate: Fate, range: Option<&Range<u64>>) -> Result<Bytes, StorageError> {
        let bytes = self.objects.get(name);
        let bytes = range.map_or(bytes.clone(), |range| bytes.and_then(|bytes| slice(&bytes, range)));
        let bytes = bytes.ok_or_else(|| StorageError::NotFound { object: name.to_owned() })?;
        if fate == Fate::Short && name != MARK {
            self.objects.journal.saw("store: a short read");
            return Ok(bytes.slice(..self.sky.below(bytes.len() as u64) as usize));
        }
        Ok(bytes)
    }
}

#[async_trait]
impl StorageBackend for Remote {
    async fn get(&self, name: &str) -> Result<Bytes, StorageError> {
        let fate = self.arrive("get", name, false).await?;
        let bytes = self.read(name, fate, None)?;
        self.answer(fate, "get", name, bytes).await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let fate = self.arrive("get", name, false).await?;
        let bytes = self.read(name, fate, Some(&range))?;
        self.answer(fate, "get", name, bytes).await
    }

    async fn size(&self, name: &str) -> Result<u64, StorageError> {
        let fate = self.arrive("size", name, false).await?;
        let bytes = self.read(name, Fate::Done, None)?;
        self.answer(fate, "size", name, bytes.len() as u64).await
    }

    async fn put(&self, objects: &[Object]) -> Result<(), StorageError> {
        for object in objects {
            if let Some(pace) = &object.pace {
                pace.take(object.size()).await?;
            }
            if object.name.starts_with("index_files/") {
                // Graphs of a few rows are built in no time. Large ones take minutes, and searches go on meanwhile.
                tokio::time::sleep(Duration::from_secs(self.sky.below(2) * self.sky.below(240))).await;
            }
            let fate = self.arrive("put", &object.name, true).await?;
            let bytes = self.objects.whole(object)?;
            self.objects.put(&object.name, bytes);
            self.answer(fate, "put", &object.name, ()).await?;
        }
        Ok(())
    }

    fn batch(&self) -> usize {
        4
    }

    async fn swap(&self, name: &str, expected: Option<Bytes>, next: Bytes) -> Result<Swapped, StorageError> {
        let fate = self.arrive("swap", name, true).await?;
        let found = self.objects.get(name);
        let swapped = if found == expected {
            self.objects.put(name, next);
            Swapped::Done
        } else {
            Swapped::Instead(found)
        };
        self.answer(fate, "swap", name, swapped).await
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError> {
        let fate = self.arrive("copy", from, true).await?;
        let bytes = self.read(from, Fate::Done, None)?;
        self.objects.put(to, bytes);
        self.answer(fate, "copy", from, ()).await
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        // A full store deletes.
        let fate = self.arrive("delete", name, false).await?;
        self.objects.remove(name);
        self.answer(fate, "delete", name, ()).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>> {
        let own = Self { objects: Arc::clone(&self.objects), sky: Arc::clone(&self.sky), plug: Arc::clone(&self.plug) };
        let prefix = prefix.to_owned();
        let pages = async move {
            let fate = match own.arrive("list", &prefix, false).await {
                Ok(fate) => fate,
                Err(error) => return stream::iter(vec![Err(error)]),
            };
            let mut found: Vec<_> = own
                .objects
                .stored
                .lock()
                .unwrap()
                .iter()
                .filter(|(name, _)| name.starts_with(&prefix))
                .map(|(name, stored)| {
                    let (name, bytes) = (name.clone(), stored.bytes.len() as u64);
                    Ok(Listed { name, bytes, modified_ms: stored.modified_ms })
                })
                .collect();
            if let Err(error) = own.answer(fate, "list", &prefix, ()).await {
                // A listing breaks off anywhere.
                found.truncate(own.sky.below(found.len() as u64 + 1) as usize);
                found.push(Err(error));
            }
            stream::iter(found)
        };
        stream::once(pages).flatten().boxed()
    }

    async fn clear_staging(&self) -> Result<u64, StorageError> {
        Ok(0)
    }
}
