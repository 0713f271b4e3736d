//! The epoch: which catalog may write (P6).
//!
//! Opening a catalog takes the next number; every transaction of a catalog carries a guard that the stored number is
//! still its own. The check is part of the transaction, so there is no moment between check and write. A process that
//! was paused and superseded therefore fails at its next write, although it does not know yet.

use bytes::Bytes;

use super::{Expected, Guard, MetaError, MetaStore, Op, Txn, codec, key};

/// How often another process may take an epoch while this one is trying.
const ATTEMPTS: usize = 16;

/// Number of an opened catalog; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Takes the next epoch, durably.
    pub(super) async fn take(store: &dyn MetaStore) -> Result<Self, MetaError> {
        let mut conflict = MetaError::Conflict { key: key::EPOCH.to_owned() };
        for _ in 0..ATTEMPTS {
            let stored = store.get(key::EPOCH).await?;
            let last = stored.as_deref().map_or(Ok(0), |bytes| codec::decode_u64(key::EPOCH, bytes))?;
            let next = last.checked_add(1).ok_or_else(|| MetaError::Corrupt {
                key: key::EPOCH.to_owned(),
                reason: "the last epoch is used up".to_owned(),
            })?;
            let expected = stored.map_or(Expected::Absent, Expected::Value);
            let put = Op::Put { key: key::EPOCH.to_owned(), value: Self(next).bytes() };
            let guard = Guard { key: key::EPOCH.to_owned(), expected };
            match store.commit(Txn { guards: vec![guard], ops: vec![put] }).await {
                Ok(()) => return Ok(Self(next)),
                Err(error @ MetaError::Conflict { .. }) => conflict = error,
                Err(error) => return Err(error),
            }
        }
        Err(conflict)
    }

    /// The guard that every transaction of this epoch carries.
    pub(super) fn guard(self) -> Guard {
        Guard { key: key::EPOCH.to_owned(), expected: Expected::Value(self.bytes()) }
    }

    /// Tells a lost epoch from other conflicts.
    pub(super) fn explain(self, error: MetaError) -> MetaError {
        match error {
            MetaError::Conflict { key } if key == key::EPOCH => MetaError::Fenced { ours: self.0 },
            other => other,
        }
    }

    fn bytes(self) -> Bytes {
        codec::encode_u64(self.0)
    }
}
