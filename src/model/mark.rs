//! The mark of an object store: the catalog that names its objects, and the run of the coordinator that wrote it last.
//!
//! A mark is text that an operator can read: `datacoord 1 catalog <uuid> epoch <n> run <uuid> turn <n>`. Older releases
//! wrote the catalog's UUID alone. Such a mark has a nil run and is written as it was read.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Two marks are equal only if one is a copy of the other: each run draws a UUID of its own and counts its turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mark {
    /// Identity of the catalog.
    pub catalog: Uuid,
    /// Epoch of the coordinator that wrote it.
    pub epoch: u64,
    /// Drawn when that coordinator started; nil in a mark of an older release.
    pub run: Uuid,
    /// Grows each time the run writes its mark again.
    pub turn: u64,
}

impl Mark {
    /// True for a mark of an older release, which has no run.
    pub fn is_old(&self) -> bool {
        self.run.is_nil()
    }

    /// The word with which an operator refers to it in a setting.
    pub fn name(&self) -> Uuid {
        if self.is_old() { self.catalog } else { self.run }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { catalog, epoch, run, turn } = self;
        if self.is_old() {
            return catalog.fmt(f);
        }
        write!(f, "datacoord 1 catalog {catalog} epoch {epoch} run {run} turn {turn}")
    }
}

/// The text is not a mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the mark of a store")]
pub struct ParseMarkError(pub String);

impl FromStr for Mark {
    type Err = ParseMarkError;

    fn from_str(text: &str) -> Result<Self, ParseMarkError> {
        let text = text.trim();
        parse(text).ok_or_else(|| ParseMarkError(text.chars().take(120).collect()))
    }
}

fn parse(text: &str) -> Option<Mark> {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["datacoord", "1", "catalog", catalog, "epoch", epoch, "run", run, "turn", turn] => Some(Mark {
            catalog: catalog.parse().ok()?,
            epoch: epoch.parse().ok()?,
            run: run.parse().ok().filter(|run: &Uuid| !run.is_nil())?,
            turn: turn.parse().ok()?,
        }),
        [catalog] => Some(Mark { catalog: catalog.parse().ok()?, epoch: 0, run: Uuid::nil(), turn: 0 }),
        _ => None,
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        mark.to_string()
    }
}

impl TryFrom<String> for Mark {
    type Error = ParseMarkError;

    fn try_from(text: String) -> Result<Self, ParseMarkError> {
        text.parse()
    }
}

/// The marks that a catalog remembers as its own. Stored as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The last mark that the store is known to have had.
    pub settled: Option<Mark>,
    /// Marks that may have been written since. Each is noted before it is written, so a crash in between leaves no
    /// unknown mark in the store.
    #[serde(default)]
    pub intended: Vec<Mark>,
}

/// An interrupted start leaves one intended mark; older ones than these few are dropped.
const MOST_INTENDED: usize = 8;

impl Marks {
    /// True if this catalog wrote the mark, or may have.
    pub fn know(&self, mark: &Mark) -> bool {
        self.settled.as_ref() == Some(mark) || self.intended.contains(mark)
    }

    /// The marks to store before `next` replaces `found` in the object store.
    #[must_use]
    pub fn intending(mut self, found: Option<Mark>, next: Mark) -> Self {
        self.intended.retain(|mark| Some(*mark) != found);
        self.settled = found;
        self.intended.push(next);
        let surplus = self.intended.len().saturating_sub(MOST_INTENDED);
        self.intended.drain(..surplus);
        self
    }

    /// The marks to store once the object store has `mark`.
    pub fn settled(mark: Mark) -> Self {
        Self { settled: Some(mark), intended: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(run: u128, turn: u64) -> Mark {
        Mark { catalog: Uuid::from_u128(1), epoch: 7, run: Uuid::from_u128(run), turn }
    }

    #[test]
    fn marks_are_read_as_they_were_written() {
        let old = Mark { catalog: Uuid::from_u128(5), epoch: 0, run: Uuid::nil(), turn: 0 };
        for mark in [mark(2, 3), old] {
            assert_eq!(mark.to_string().parse(), Ok(mark));
            assert_eq!(format!("{mark}\n").parse(), Ok(mark));
            let json = serde_json::to_string(&Marks::settled(mark)).unwrap();
            assert_eq!(serde_json::from_str::<Marks>(&json).unwrap(), Marks::settled(mark));
        }
        // The format of older releases.
        assert_eq!(old.to_string(), "00000000-0000-0000-0000-000000000005");
        for text in ["", "x", "datacoord 1", "datacoord 2 catalog a epoch b run c turn d"] {
            assert_eq!(text.parse::<Mark>(), Err(ParseMarkError(text.to_owned())));
        }
    }

    #[test]
    fn an_intended_mark_is_known_until_another_one_has_settled() {
        let marks = Marks::settled(mark(1, 0)).intending(Some(mark(1, 0)), mark(2, 0));
        assert!(marks.know(&mark(1, 0)) && marks.know(&mark(2, 0)) && !marks.know(&mark(2, 1)));
        let later = marks.intending(Some(mark(2, 0)), mark(3, 0));
        assert_eq!(later, Marks { settled: Some(mark(2, 0)), intended: vec![mark(3, 0)] });
        let many = (4..40).fold(later, |marks, run| marks.intending(Some(mark(2, 0)), mark(run, 0)));
        assert_eq!(many.intended.len(), MOST_INTENDED);
        assert!(many.know(&mark(39, 0)));
    }
}
