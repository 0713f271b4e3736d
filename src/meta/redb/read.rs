//! Reads, each from a snapshot of its own or from one that is kept: one value, one page of a span, the tallies. Every value is checked before it is returned.

use std::{ops::Bound, sync::Arc};

use ::redb::{Database, ReadTransaction, ReadableDatabase, TableError, TableHandle};
use bytes::Bytes;

use super::{
    error::RedbFailure,
    file::File,
    frame::{ALL_TALLIES, PAIRS, TALLIES, Tallies, UNCHECKED, checked, shown},
};
use crate::meta::{MetaError, Page, PageLimit, Span, Tally, span::prefix_end, tally::class};

/// Classes of at most this many pairs are checked when the file is opened, however large it is: bounds, identity, epoch.
const FEW_PAIRS: u64 = 1000;

/// The file as it was at one moment.
pub(super) struct FileSnapshot {
    file: Arc<File>,
    read: ReadTransaction,
}

impl std::fmt::Debug for FileSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSnapshot").field("file", &self.file).finish_non_exhaustive()
    }
}

impl FileSnapshot {
    pub(super) fn take(file: Arc<File>) -> Result<Self, MetaError> {
        let read = file.call("read", |database| Ok(database.begin_read()?))?;
        Ok(Self { file, read })
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        self.file.call("read", |_| value(&self.read, key))
    }

    pub(super) fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        self.file.call("read", |_| page(&self.read, span, limit))
    }
}

pub(super) fn read_one(file: &File, key: &str) -> Result<Option<Bytes>, MetaError> {
    file.call("read", |database| value(&database.begin_read()?, key))
}

pub(super) fn scan(file: &File, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
    file.call("read", |database| page(&database.begin_read()?, span, limit))
}

fn value(read: &ReadTransaction, key: &str) -> Result<Option<Bytes>, RedbFailure> {
    let table = read.open_table(PAIRS)?;
    let Some(stored) = table.get(key.as_bytes())? else { return Ok(None) };
    let (value, _) = checked(key.as_bytes(), stored.value()).map_err(RedbFailure::Damaged)?;
    Ok(Some(Bytes::copy_from_slice(value)))
}

fn page(read: &ReadTransaction, span: &Span, limit: PageLimit) -> Result<Page, RedbFailure> {
    let Some((from, end)) = span.bounds() else { return Ok(Page::default()) };
    let bounds = (Bound::Included(from.as_bytes()), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
    let mut page = Page::default();
    for pair in read.open_table(PAIRS)?.range::<&[u8]>(bounds)? {
        let (key, stored) = pair?;
        let Ok(text) = std::str::from_utf8(key.value()) else {
            return Err(RedbFailure::Damaged(format!("key {} is not text", shown(key.value()))));
        };
        // A scan over a damaged file gets to its end too: it never goes back.
        if page.last_key().map_or(text < from, |last| text <= last) {
            return Err(RedbFailure::Damaged(format!("its keys below {:?} are not in order", span.prefix)));
        }
        if page.is_full(limit) {
            page.cut(span, text);
            break;
        }
        let (value, checksum) = checked(key.value(), stored.value()).map_err(RedbFailure::Damaged)?;
        page.push(text, value, checksum);
    }
    Ok(page)
}

/// The tallies as of a transaction.
pub(super) fn read_tallies(read: &ReadTransaction) -> Result<Tallies, RedbFailure> {
    let missing = || RedbFailure::Damaged("its tables are missing".to_owned());
    match read.open_table(TALLIES) {
        Ok(table) => {
            let stored = table.get(ALL_TALLIES)?;
            let tallies = stored.as_ref().and_then(|stored| Tallies::decode(stored.value()));
            tallies.ok_or_else(|| RedbFailure::Damaged("the record of what it holds can't be read".to_owned()))
        }
        Err(TableError::TableDoesNotExist(_)) => {
            let has_old = read.list_tables()?.any(|table| table.name() == UNCHECKED.name());
            Err(if has_old { RedbFailure::Unchecked } else { missing() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads the classes of few pairs, and fails unless they are all there.
pub(super) fn check_small_classes(database: &Database, tallies: &Tallies) -> Result<(), RedbFailure> {
    let table = database.begin_read()?.open_table(PAIRS)?;
    for (name, expected) in tallies.iter().filter(|(_, tally)| tally.pairs <= FEW_PAIRS) {
        let end = prefix_end(name.as_bytes());
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = Tally::default();
        let mut from = name.as_bytes().to_vec();
        while found.pairs <= expected.pairs
            && let Some(pair) = table.range::<&[u8]>((Bound::Included(from.as_slice()), end))?.next()
        {
            let (key, stored) = pair?;
            if key.value() < from.as_slice() {
                return Err(RedbFailure::Damaged(format!("its keys below {name:?} are not in order")));
            }
            let of = std::str::from_utf8(key.value()).map_or("", class);
            // A class may be the beginning of another one, which is passed over.
            let next = if of == name {
                found.add(checked(key.value(), stored.value()).map_err(RedbFailure::Damaged)?.1);
                Some([key.value(), &[0]].concat())
            } else {
                prefix_end(of.as_bytes())
            };
            let Some(next) = next else { break };
            from = next;
            if matches!(end, Bound::Excluded(end) if from.as_slice() >= end) {
                break;
            }
        }
        if found != expected {
            return Err(RedbFailure::Damaged(incomplete(name, expected, found)));
        }
    }
    Ok(())
}

pub(super) fn incomplete(class: &str, expected: Tally, found: Tally) -> String {
    let (there, of) = (found.pairs, expected.pairs);
    format!("of {of} records below {class:?} {there} can be read, or others than were written")
}
