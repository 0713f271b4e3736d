//! Reads the whole catalog at start, on every core.
//!
//! What is below a prefix is cut into spans; each is read from a snapshot and decoded where it lies, without a copy of
//! its bytes. Cuts fall between collections, so that the segments of one collection are met by one reader, in a row:
//! they share their groups, and are handed over as one list. Who is given it makes of it what is kept, so that nothing
//! is there twice: memory that is touched for the first time is a fifth of the cost. Nothing is left for later: once this
//! returns, all of it is known.

use std::collections::HashMap;

use rayon::prelude::*;

use super::{
    MetaError, MetaStore, Span, Tally,
    codec::{self, Groups},
    key,
};
use crate::model::{Channel, Collection, CollectionId, Database, Job, Lsn, Plan, Segment, WriteStats};

/// Spans that a prefix is cut into: enough that whoever finishes early finds another one, few enough that the cost of
/// beginning one does not count.
const SPANS: usize = 64;

/// Everything the catalog knew when it was loaded, except log lists. `S` is what the segments of a collection became.
#[derive(Debug)]
pub struct Contents<S> {
    /// Ascending by name.
    pub databases: Vec<Database>,
    /// Ascending by id.
    pub collections: Vec<Collection>,
    /// Of each collection that has any, flushed or dropped.
    pub segments: HashMap<CollectionId, S>,
    /// Ascending by id, which is by age.
    pub jobs: Vec<Job>,
    /// Ascending by job, then by id.
    pub plans: Vec<Plan>,
    /// Per channel, the log position up to which deletes of flushed segments are in delta logs.
    pub channel_delta_lsn: HashMap<Channel, Lsn>,
    /// What was written into each collection since it is counted.
    pub write_stats: HashMap<CollectionId, WriteStats>,
}

/// Blocks, and occupies the machine. `gather` empties the list of a collection's segments: ascending by id, and those of
/// a group share their `Arc<Group>`.
pub(super) fn contents<S: Send>(
    store: &dyn MetaStore,
    gather: impl Fn(&mut Vec<Segment>) -> S + Sync,
) -> Result<Contents<S>, MetaError> {
    let collections = list(store, &cut_at_keys(store, key::COLLECTIONS)?, codec::decode_collection)?;
    let write_stats = |key: &str, bytes: &[u8]| Ok((key::parse_write_stats(key)?, codec::decode_json(key, bytes)?));
    let channel = |key: &str, bytes: &[u8]| Ok((key::parse_channel(key)?, Lsn(codec::decode_u64(key, bytes)?)));
    let jobs = cut_at_keys(store, key::JOBS)?;
    let plans = Span::cut(key::PLANS, jobs.iter().filter_map(|s| key::plans_from(s.from.as_deref()?)).collect());
    Ok(Contents {
        databases: list(store, &[Span::of(key::DATABASES)], codec::decode_json)?,
        segments: segments(store, &collections, gather)?,
        jobs: list(store, &jobs, codec::decode_job)?,
        plans: list(store, &plans, codec::decode_plan)?,
        channel_delta_lsn: list(store, &cut_at_keys(store, key::CHANNELS)?, channel)?.into_iter().collect(),
        write_stats: list(store, &cut_at_keys(store, key::WRITE_STATS)?, write_stats)?.into_iter().collect(),
        collections,
    })
}

fn segments<S: Send>(
    store: &dyn MetaStore,
    collections: &[Collection],
    gather: impl Fn(&mut Vec<Segment>) -> S + Sync,
) -> Result<HashMap<CollectionId, S>, MetaError> {
    let mut starts: Vec<String> = collections.iter().map(|c| key::segments_of(c.id)).collect();
    starts.sort_unstable();
    let spans = Span::cut(key::SEGMENTS, every(&starts));
    let read = |span: &Span| {
        let mut groups = Groups::default();
        let mut gathered: Vec<(CollectionId, S)> = Vec::new();
        let mut collection = None;
        // Of one collection; the next one's take its place.
        let mut list: Vec<Segment> = Vec::new();
        let mut hand_over = |collection: Option<CollectionId>, list: &mut Vec<Segment>| {
            if let Some(collection) = collection {
                // The order of keys is that of their digits, and partitions come first.
                list.sort_unstable_by_key(|s| s.id);
                gathered.push((collection, gather(list)));
                list.clear();
            }
        };
        let tally = store.scan_blocking(span, &mut |key, bytes| {
            let segment = codec::decode_segment(key, bytes, &mut groups)?;
            if collection != Some(segment.group.collection) {
                hand_over(collection.replace(segment.group.collection), &mut list);
            }
            list.push(segment);
            Ok(())
        })?;
        hand_over(collection, &mut list);
        Ok((gathered, tally))
    };
    Ok(complete(store, &spans, spans.par_iter().map(read).collect::<Result<_, MetaError>>()?)?.collect())
}

/// The values of all spans, in their order.
fn list<T: Send>(
    store: &dyn MetaStore,
    spans: &[Span],
    decode: impl Fn(&str, &[u8]) -> Result<T, MetaError> + Sync,
) -> Result<Vec<T>, MetaError> {
    let read = |span: &Span| {
        let mut values = Vec::new();
        let tally = store.scan_blocking(span, &mut |key, bytes| {
            values.push(decode(key, bytes)?);
            Ok(())
        })?;
        Ok((values, tally))
    };
    Ok(complete(store, spans, spans.par_iter().map(read).collect::<Result<_, MetaError>>()?)?.collect())
}

/// What was read of the spans, in their order. Fails unless it is all that there is: the spans are a whole class, whose
/// tally the store keeps. A record that is lost is found here and nowhere else.
fn complete<T>(
    store: &dyn MetaStore,
    spans: &[Span],
    read: Vec<(Vec<T>, Tally)>,
) -> Result<impl Iterator<Item = T> + use<T>, MetaError> {
    let class = spans.first().map_or("", |span| span.prefix.as_str());
    if let Some(expected) = store.tally_blocking(class)? {
        let found = read.iter().map(|(_, tally)| *tally).fold(Tally::default(), Tally::and);
        if found != expected {
            return Err(store.incomplete(class, expected, found));
        }
    }
    Ok(read.into_iter().flat_map(|(values, _)| values))
}

/// Cuts a prefix into spans of equally many keys. Reads the keys once more, which is little beside decoding values.
fn cut_at_keys(store: &dyn MetaStore, prefix: &str) -> Result<Vec<Span>, MetaError> {
    let mut keys = Vec::new();
    store.scan_blocking(&Span::of(prefix), &mut |key, _| {
        keys.push(key.to_owned());
        Ok(())
    })?;
    Ok(Span::cut(prefix, every(&keys)))
}

/// Those of the keys at which spans of about equal length begin.
fn every(keys: &[String]) -> Vec<String> {
    keys.iter().step_by((keys.len() / SPANS).max(1)).skip(1).cloned().collect()
}
