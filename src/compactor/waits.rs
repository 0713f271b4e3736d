//! Waits of a run, which a stop ends, and which are no stall.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{
    CompactError, ProgressSink,
    memory::{MemoryBudget, Reservation},
};

/// How often a plan that waits for memory says that it lives; the shortest time-out that can be configured is a second.
const SIGN_OF_LIFE: Duration = Duration::from_millis(250);

/// Ends with [`CompactError::Cancelled`] as soon as the run is stopped. `work` has to be safe to drop.
pub(super) async fn unless_stopped<T>(
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, CompactError> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(CompactError::Cancelled),
        value = work => Ok(value),
    }
}

/// Memory for the next step. A plan that waits for the memory of others has not stalled, so it reports signs of life:
/// otherwise its time without progress would run out.
pub(super) async fn reserve(
    budget: &MemoryBudget,
    bytes: u64,
    stop: &CancellationToken,
    progress: &ProgressSink,
) -> Result<Reservation, CompactError> {
    let reservation = budget.reserve(bytes);
    tokio::pin!(reservation);
    unless_stopped(stop, async {
        loop {
            match tokio::time::timeout(SIGN_OF_LIFE, &mut reservation).await {
                Ok(reservation) => return reservation,
                Err(_elapsed) => progress.alive(),
            }
        }
    })
    .await
}
