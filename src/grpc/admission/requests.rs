//! The memory of requests: two pools for messages, one for their growth, and the memory that a call holds.
//!
//! Must never: let a message in without its memory.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    config::{Config, Part},
    memory::{Extra, Full, Growth, Pool, Reserved},
};

/// The largest small message.
const SMALL_BYTES: u64 = 64 << 10;
/// Memory of a call beside its message.
const CALL_BYTES: u64 = 4 << 10;
/// Structures of the columns of a large message. A row of numbers and vectors takes no more when it is decoded than on the
/// wire, so ordinary inserts of them never need more than they were admitted with.
const STRUCTURE_BYTES: u64 = 20 << 10;
/// Copies of a message in memory: as it arrives, and decoded.
pub(super) const COPIES: u64 = 2;
/// Calls that may wait for memory at once; each may have a window of its body in memory meanwhile.
pub(super) const WAITING: u64 = 128;
/// Longest message of health and reflection, which is not measured: it has the name of a service or a symbol.
pub(in crate::grpc) const UNMEASURED_BYTES: usize = 16 << 10;
/// Smallest and largest number of unread bytes that a client may send ahead.
const WINDOW_BYTES: (u64, u64) = (64 << 10, 8 << 20);

/// The memory of the calls in flight. Clones share it.
#[derive(Debug, Clone)]
pub struct Requests {
    pub(super) small: Pool,
    pub(super) large: Pool,
    pub(super) growth: Growth,
    pub(super) waiting: Arc<Semaphore>,
    pub(super) window_bytes: u32,
    pub(super) max_message_bytes: usize,
    pub(super) size_key: &'static str,
    pub(super) queue_timeout: Duration,
    pub(super) idle_timeout: Duration,
}

impl Requests {
    pub fn new(config: &Config) -> Self {
        let (bytes, key) = (config.budget.requests, Part::Requests.key());
        let windows = bytes / 16 * 3;
        let window = (windows / WAITING).clamp(WINDOW_BYTES.0, WINDOW_BYTES.1);
        let large = Pool::new(key, bytes / 16 * 11);
        let room = large.limit_bytes().saturating_sub(CALL_BYTES + STRUCTURE_BYTES) / COPIES;
        let most = usize::try_from(room).unwrap_or(usize::MAX);
        Self {
            small: Pool::new(key, bytes / 16),
            max_message_bytes: config.server.max_request_bytes.min(most),
            size_key: if config.server.max_request_bytes > most { key } else { "proxy.grpc.serverMaxRecvSize" },
            growth: Growth::new(Pool::new(key, bytes / 16), large.clone()),
            large,
            waiting: Arc::new(Semaphore::new((windows / window).clamp(1, WAITING) as usize)),
            window_bytes: window as u32,
            queue_timeout: config.server.admission_timeout,
            idle_timeout: config.server.idle_timeout,
        }
    }

    /// A larger message is refused.
    pub fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }

    /// The setting that this limit comes from.
    pub fn size_key(&self) -> &'static str {
        self.size_key
    }

    /// Unread bytes of a body that a client may send ahead.
    pub fn window_bytes(&self) -> u32 {
        self.window_bytes
    }

    /// Where small messages take their memory.
    pub fn small(&self) -> &Pool {
        &self.small
    }

    /// Where large messages take theirs.
    pub fn large(&self) -> &Pool {
        &self.large
    }

    /// Where calls under way take more.
    pub fn growth(&self) -> &Growth {
        &self.growth
    }

    pub fn used_bytes(&self) -> u64 {
        self.small.used_bytes() + self.large.used_bytes() + self.growth.used_bytes()
    }

    /// Takes the memory of messages with `bytes` bytes in all, if it is free now.
    pub(super) fn try_take(&self, bytes: u64) -> Result<Reserved, Full> {
        self.pool(bytes).try_reserve(charge(bytes))
    }

    /// The same, waiting for a while.
    pub(super) async fn take(self, bytes: u64) -> Result<Reserved, Full> {
        let pool = self.pool(bytes);
        let full = || pool.full(charge(bytes));
        let _waits = self.waiting.try_acquire().map_err(|_| full())?;
        tokio::time::timeout(self.queue_timeout, pool.reserve(charge(bytes))).await.map_err(|_| full())
    }

    pub(super) fn pool(&self, bytes: u64) -> &Pool {
        if bytes <= SMALL_BYTES { &self.small } else { &self.large }
    }
}

/// Memory of messages with `bytes` bytes in all, as they are admitted.
pub(super) fn charge(bytes: u64) -> u64 {
    let structures = if bytes <= SMALL_BYTES { 0 } else { STRUCTURE_BYTES };
    bytes.saturating_mul(COPIES).saturating_add(CALL_BYTES + structures)
}

/// Memory that a call holds until it is answered.
#[derive(Debug, Default)]
pub(super) struct CallMemory {
    pub(super) held: Mutex<HeldMemory>,
    pub(super) is_refused: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct HeldMemory {
    /// The admissions of its messages.
    pub(super) messages: Vec<Reserved>,
    /// Memory of the decoded messages beyond that.
    pub(super) decoded: Option<Extra>,
}

pub(super) fn refusal(full: &Full) -> String {
    format!("too many requests are in flight, try again later: {full}")
}
