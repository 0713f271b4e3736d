//! Whose turn it is on a busy machine: merging fills every core, and a client's call must not wait for its turn.

/// Of merging threads; 0 is that of all others.
const NICENESS: i32 = 10;

/// Puts the current thread, which merges, reads or writes for merges only, behind those that answer clients.
pub(crate) fn give_way() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(%error, "merging runs at the priority of calls");
    }
}
