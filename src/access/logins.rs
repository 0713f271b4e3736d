//! Is this the password of that user? Slow on purpose, and cheap for a client that asks again.
//!
//! ```text
//!   user, password ─▶ cache ─ known ─▶ right
//!                       │ new
//!                       ▼
//!                    guesses ─ has to wait ─▶ TooManyGuesses
//!                       │ counted
//!                       ▼
//!                    a turn (few at once) ─▶ argon2 on a blocking thread ─▶ right: into the cache; wrong: stays counted
//! ```
//!
//! A key of the cache is a digest of user, password, the password's version and the address, under a random key of this
//! process. A guesser at another address never meets an entry of it: otherwise it could try any number of passwords while
//! it has to wait, and would be let in with the right one. So the
//! cache has no password, and a new version makes every older entry worthless. The division of the process' memory has the
//! hashes that are computed at once (`config::AccessConfig`).

use std::{net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::{error::AccessFailure, guesses::Guesses, password, waiting::Waiting};
use crate::{
    clock::Clock,
    ids,
    model::{AccessRefusal, PasswordHash},
    telemetry::Metrics,
};

/// Right logins that are remembered.
const CACHED: usize = 1024;

/// Labels of the metric of logins.
const RESULTS: [&str; 5] = ["cached", "right", "wrong", "delayed", "failed"];

/// The secret that a password is compared with. Never printed.
#[derive(Clone)]
pub(super) enum LoginSecret {
    /// The default password of `root`, in plain text, from the settings.
    Default(Arc<str>),
    Hash(Arc<PasswordHash>),
}

impl std::fmt::Debug for LoginSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// The password of a user as it is now.
#[derive(Debug, Clone)]
pub(super) struct CurrentPassword {
    pub(super) secret: LoginSecret,
    /// Another number for each password that any user had in this process.
    pub(super) version: u64,
}

pub(super) struct Logins {
    /// Keys the digests of this process.
    seed: [u8; 32],
    cache: Cache<[u8; 32], ()>,
    guesses: Mutex<Guesses>,
    turns: Arc<Semaphore>,
    waiting: Waiting,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logins").field("cached", &self.cache.len()).finish_non_exhaustive()
    }
}

impl Logins {
    pub(super) fn new(at_once: usize, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let mut seed = [0; 32];
        let (first, second) = seed.split_at_mut(16);
        first.copy_from_slice(ids::unique_name().as_bytes());
        second.copy_from_slice(ids::unique_name().as_bytes());
        for result in RESULTS {
            metrics.access.logins.with([result]);
        }
        let turns = Arc::new(Semaphore::new(at_once));
        let (cache, waiting) = (Cache::new(CACHED), Waiting::default());
        Self { seed, cache, guesses: Mutex::default(), turns, waiting, clock, metrics }
    }

    /// Compares a password with that of its user; `current` is none if there is no such user.
    ///
    /// # Errors
    /// `WrongPassword`, `TooManyGuesses`, `Busy`; a stored hash that can't be read.
    pub(super) async fn check(
        &self,
        user: &str,
        given: &str,
        current: Option<CurrentPassword>,
        peer: Option<IpAddr>,
    ) -> Result<(), AccessFailure> {
        let outcome = self.do_check(user, given, current, peer).await;
        let result = match &outcome {
            Ok(is_cached) if *is_cached => "cached",
            Ok(_) => "right",
            Err(AccessFailure::Refused(AccessRefusal::WrongPassword)) => "wrong",
            Err(AccessFailure::Refused(_)) => "delayed",
            Err(_) => "failed",
        };
        self.metrics.access.logins.with([result]).inc();
        outcome.map(|_| ())
    }

    /// True if the answer came from the cache.
    async fn do_check(
        &self,
        user: &str,
        given: &str,
        current: Option<CurrentPassword>,
        peer: Option<IpAddr>,
    ) -> Result<bool, AccessFailure> {
        let key = current.as_ref().map(|current| self.digest(current.version, (user, given), peer));
        let short = self.short_digest(user);
        if key.is_some_and(|key| self.cache.get(&key).is_some()) {
            self.guesses.lock().check_remembered(short, peer, self.now())?;
            return Ok(true);
        }
        let _waits = self.waiting.begin(peer)?;
        let attempt = self.guesses.lock().begin(short, peer, self.now())?;
        let secret = current.map(|current| current.secret);
        let given = given.to_owned();
        let is_right = self.compute(move || is_right(secret, &given)).await?;
        if !is_right {
            return Err(AccessRefusal::WrongPassword.into());
        }
        self.guesses.lock().succeeded(attempt, self.now());
        if let Some(key) = key {
            self.cache.insert(key, ());
        }
        Ok(false)
    }

    /// Hashes a new password, in its turn.
    ///
    /// # Errors
    /// `Busy`.
    pub(super) async fn hash(&self, password: String) -> Result<PasswordHash, AccessFailure> {
        let _waits = self.waiting.begin(None)?;
        self.compute(move || password::hash(&password)).await
    }

    /// Runs on a blocking thread, few at once. Work that has begun keeps its turn when the caller goes away.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AccessFailure> + Send + 'static,
    ) -> Result<T, AccessFailure> {
        let closed = |_| AccessFailure::Internal("the turns of hashes are closed".to_owned());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(closed)?;
        let computed = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        computed.await.map_err(|e| AccessFailure::Internal(format!("a hash was not computed: {e}")))?
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn digest(&self, version: u64, (user, password): (&str, &str), peer: Option<IpAddr>) -> [u8; 32] {
        let peer = peer.map_or([0; 16], |peer| match peer.to_canonical() {
            IpAddr::V4(peer) => peer.to_ipv6_mapped().octets(),
            IpAddr::V6(peer) => peer.octets(),
        });
        let hasher = Sha256::new_with_prefix(self.seed);
        let hasher = hasher
            .chain_update(version.to_le_bytes())
            .chain_update(peer)
            .chain_update((user.len() as u64).to_le_bytes());
        hasher.chain_update(user).chain_update(password).chain_update(self.seed).finalize().into()
    }

    fn short_digest(&self, user: &str) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.digest(0, (user, ""), None);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

fn is_right(secret: Option<LoginSecret>, given: &str) -> Result<bool, AccessFailure> {
    match secret {
        Some(LoginSecret::Hash(hash)) => password::is_right(Some(&hash), given),
        Some(LoginSecret::Default(default)) if password::is_same(&default, given) => Ok(true),
        Some(LoginSecret::Default(_)) | None => password::is_right(None, given),
    }
}
