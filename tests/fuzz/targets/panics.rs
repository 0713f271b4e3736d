//! Notes panics of threads behind a target: a runtime catches them, and the call may look like one that failed well.

use std::{
    panic,
    sync::{Mutex, Once, PoisonError},
    thread::{self, ThreadId},
};

static SEEN: Mutex<Option<String>> = Mutex::new(None);

/// From now on the calling thread is the one that runs targets.
///
/// Its own panics are left to the code that catches them: the readers of parquet files and of the log catch those of their
/// libraries, the runner all others. Nothing is printed for them here, or a run would print thousands of lines.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_decoder = info
                .location()
                .is_some_and(|at| ["/parquet-", "/arrow-"].iter().any(|library| at.file().contains(library)));
            if is_decoder {
                return;
            }
            if is_behind(thread::current().id()) {
                *SEEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.to_string());
            }
            usual(info);
        }));
    });
    *RUNNER.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread::current().id());
}

static RUNNER: Mutex<Option<ThreadId>> = Mutex::new(None);

fn is_behind(thread: ThreadId) -> bool {
    RUNNER.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|runner| runner != thread)
}

/// The text of a panic since the last call.
pub(super) fn of_other_threads() -> Option<String> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).take()
}
