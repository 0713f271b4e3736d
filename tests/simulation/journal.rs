//! The events of one life in order, with their virtual time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use datacoord::clock::Clock;

use crate::time::VirtualClock;

#[derive(Debug, Default)]
struct Book {
    lines: Vec<String>,
    seen: BTreeMap<String, u64>,
    violations: Vec<String>,
}

/// One journal for all processes of one life. Clones share it.
#[derive(Debug, Clone)]
pub struct Journal {
    clock: Arc<VirtualClock>,
    book: Arc<Mutex<Book>>,
}

impl Journal {
    pub fn new(clock: &Arc<VirtualClock>) -> Self {
        Self { clock: Arc::clone(clock), book: Arc::default() }
    }

    pub fn note(&self, line: impl AsRef<str>) {
        let seconds = self.clock.monotonic().as_secs_f64();
        self.book.lock().unwrap().lines.push(format!("{seconds:>12.3} s  {}", line.as_ref()));
    }

    /// Counts an event.
    pub fn saw(&self, event: impl Into<String>) {
        *self.book.lock().unwrap().seen.entry(event.into()).or_default() += 1;
    }

    /// Notes and counts an event.
    pub fn event(&self, event: &str, detail: impl AsRef<str>) {
        self.saw(event);
        self.note(format!("{event}: {}", detail.as_ref()));
    }

    /// A promise was broken.
    pub fn violation(&self, what: String) {
        self.note(format!("VIOLATION {what}"));
        self.book.lock().unwrap().violations.push(what);
    }

    pub fn violations(&self) -> Vec<String> {
        self.book.lock().unwrap().violations.clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.book.lock().unwrap().lines.clone()
    }

    pub fn seen(&self) -> BTreeMap<String, u64> {
        self.book.lock().unwrap().seen.clone()
    }
}
