//! Which key a name means.
//!
//! Names are compared as Milvus compares them: without case, dots and underscores. That is why an environment variable can
//! name a key (`DATACOORD_SEGMENT_MAXSIZE`), and why no two keys may differ only in those.

use super::{
    key::Key,
    keys::{KEYS, REFUSED},
};

/// Name for comparison: lower case, without dots, underscores and slashes.
pub(super) fn normal(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '.' | '_' | '/')).flat_map(char::to_lowercase).collect()
}

/// Finds a key by its name or an alias, in any spelling that Milvus would accept.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let wanted = normal(name);
    KEYS.iter().find(|key| key.spellings().any(|spelling| normal(spelling) == wanted))
}

/// Whether a name means a key of Milvus that is refused unless it has a value without effect.
pub(super) fn is_refused(name: &str) -> bool {
    let wanted = normal(name);
    REFUSED.iter().any(|refused| normal(refused.name) == wanted)
}

/// Sections in which an unknown key may be a misspelling of a known one.
const OUR_SECTIONS: [&str; 7] = ["dataCoord", "dataNode", "common", "minio", "localStorage", "tls", "datacoord"];
/// Milvus has further keys in these sections, so only small misspellings count.
const MOST_EDITS: usize = 2;

/// The known key that an unknown name of one of our sections nearly matches, if there is one.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let section = name.split(['.', '_']).next()?;
    if !OUR_SECTIONS.iter().any(|ours| ours.eq_ignore_ascii_case(section)) {
        return None;
    }
    let wanted = normal(name);
    let known = KEYS.iter().flat_map(Key::spellings);
    let (edits, key) = known.map(|key| (edits(&wanted, &normal(key)), key)).min_by_key(|(edits, _)| *edits)?;
    (1..=MOST_EDITS).contains(&edits).then_some(key)
}

/// Number of letters to change, add, remove or swap with a neighbour to turn one name into the other. Names whose lengths
/// differ by more than `MOST_EDITS` are not compared, so a name of any length is cheap.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(200).collect(), b.chars().take(200).collect());
    if a.len().abs_diff(b.len()) > MOST_EDITS {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let left = row.last().copied().unwrap_or_default();
            let (above, corner) = (last.get(j + 1).copied(), last.get(j).copied());
            let change = corner.unwrap_or_default() + usize::from(x != y);
            let mut least = change.min(left + 1).min(above.unwrap_or_default() + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if let (true, Some(cost)) = (swapped, before.get(j.wrapping_sub(1))) {
                least = least.min(cost + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(usize::MAX)
}
