//! Reads the whole catalog at start, on every core.
//!
//! The keys below a prefix are cut into spans. Several spans are read at once, each page by page, and a page is decoded
//! where it lies. Cuts fall between collections: one reader meets the segments of a collection in a row, so they share
//! their groups. The callback builds the final structures from them directly, which saves touching the memory twice.
//! Everything is known once this returns.

use std::{collections::HashMap, mem, sync::Arc};

use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};

use super::{
    MetaError, MetaStore, PageLimit, Span, Tally,
    codec::{self, Groups},
    key,
};
use crate::{
    background::{blocking, cores},
    model::{Channel, Collection, CollectionId, Database, Job, Lsn, Plan, Role, Segment, User, WriteStats},
};

/// The values of one span, and their tally.
type SpanRead<V> = BoxFuture<'static, Result<(Vec<V>, Tally), MetaError>>;

/// Spans that a prefix is cut into: enough that a core that finishes early finds another one, few enough that the cost of
/// beginning one does not count.
const SPANS: usize = 64;
/// Some thousand records of a segment. Large enough that the calls for a page do not count, small enough that the
/// allocator gives the same memory to the next one.
const PAGE: PageLimit = PageLimit::new(4096, 512 << 10);
/// Decoding more than this would hold up an async thread.
const INLINE_BYTES: usize = 32 << 10;

/// Everything the catalog knew when it was loaded, except log lists. `S` is the value that the callback made of a collection's
/// segments.
#[derive(Debug)]
pub struct Contents<S> {
    /// Ascending by name.
    pub databases: Vec<Database>,
    /// Ascending by name.
    pub users: Vec<User>,
    /// Ascending by name.
    pub roles: Vec<Role>,
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
    /// Write statistics of each collection that has any.
    pub write_stats: HashMap<CollectionId, WriteStats>,
}

/// Occupies the machine. `gather` empties the list of a collection's segments: ascending by id, and those of a group
/// share their `Arc<Group>`.
pub(super) async fn contents<S: Send + 'static>(
    store: Arc<dyn MetaStore>,
    gather: impl Fn(&mut Vec<Segment>) -> S + Send + Sync + 'static,
) -> Result<Contents<S>, MetaError> {
    let load = Load { store };
    let collections = load.list(load.cut_at_keys(key::COLLECTIONS).await?, codec::decode_collection).await?;
    let databases = load.list(vec![Span::of(key::DATABASES)], codec::decode_database).await?;
    let users = load.list(vec![Span::of(key::USERS)], codec::decode_user).await?;
    let roles = load.list(vec![Span::of(key::ROLES)], codec::decode_role).await?;
    let segments = load.segments(&collections, Arc::new(gather)).await?;
    let job_spans = load.cut_at_keys(key::JOBS).await?;
    let plan_cuts = job_spans.iter().filter_map(|s| key::plans_from(s.from.as_deref()?)).collect();
    let jobs = load.list(job_spans, codec::decode_job).await?;
    let plans = load.list(Span::cut(key::PLANS, plan_cuts), codec::decode_plan).await?;
    let channel = |key: &str, bytes: &[u8]| Ok((key::parse_channel(key)?, Lsn(codec::decode_u64(key, bytes)?)));
    let write_stats = |key: &str, bytes: &[u8]| Ok((key::parse_write_stats(key)?, codec::decode_json(key, bytes)?));
    let channels: Vec<(Channel, Lsn)> = load.list(load.cut_at_keys(key::CHANNELS).await?, channel).await?;
    let write_stats: Vec<(CollectionId, WriteStats)> =
        load.list(load.cut_at_keys(key::WRITE_STATS).await?, write_stats).await?;
    Ok(Contents {
        databases,
        users,
        roles,
        segments,
        jobs,
        plans,
        channel_delta_lsn: channels.into_iter().collect(),
        write_stats: write_stats.into_iter().collect(),
        collections,
    })
}

/// Makes values of the pairs of a span.
trait PairReader: Send + 'static {
    type Value: Send + 'static;

    fn pair(&mut self, key: &str, bytes: &[u8]) -> Result<(), MetaError>;

    /// There is no further pair.
    fn end(&mut self) {}

    fn into_values(self) -> Vec<Self::Value>;
}

/// A value for each pair.
struct Decoded<T> {
    decode: fn(&str, &[u8]) -> Result<T, MetaError>,
    values: Vec<T>,
}

impl<T: Send + 'static> PairReader for Decoded<T> {
    type Value = T;

    fn pair(&mut self, key: &str, bytes: &[u8]) -> Result<(), MetaError> {
        self.values.push((self.decode)(key, bytes)?);
        Ok(())
    }

    fn into_values(self) -> Vec<T> {
        self.values
    }
}

/// A value for each collection.
struct Gathered<S, G> {
    gather: Arc<G>,
    groups: Groups,
    /// The collection that `segments` belong to.
    collection: Option<CollectionId>,
    segments: Vec<Segment>,
    values: Vec<(CollectionId, S)>,
}

impl<S, G: Fn(&mut Vec<Segment>) -> S> Gathered<S, G> {
    fn hand_over(&mut self, next: Option<CollectionId>) {
        if let Some(collection) = mem::replace(&mut self.collection, next) {
            // The order of keys is that of their digits, and partitions come first.
            self.segments.sort_unstable_by_key(|s| s.id);
            self.values.push((collection, (self.gather)(&mut self.segments)));
            self.segments.clear();
        }
    }
}

impl<S: Send + 'static, G: Fn(&mut Vec<Segment>) -> S + Send + Sync + 'static> PairReader for Gathered<S, G> {
    type Value = (CollectionId, S);

    fn pair(&mut self, key: &str, bytes: &[u8]) -> Result<(), MetaError> {
        let segment = codec::decode_segment(key, bytes, &mut self.groups)?;
        if self.collection != Some(segment.group.collection) {
            self.hand_over(Some(segment.group.collection));
        }
        self.segments.push(segment);
        Ok(())
    }

    fn end(&mut self) {
        self.hand_over(None);
    }

    fn into_values(self) -> Vec<(CollectionId, S)> {
        self.values
    }
}

struct Load {
    store: Arc<dyn MetaStore>,
}

impl Load {
    async fn segments<S: Send + 'static, G: Fn(&mut Vec<Segment>) -> S + Send + Sync + 'static>(
        &self,
        collections: &[Collection],
        gather: Arc<G>,
    ) -> Result<HashMap<CollectionId, S>, MetaError> {
        let mut starts: Vec<String> = collections.iter().map(|c| key::segments_of(c.id)).collect();
        starts.sort_unstable();
        let reader = || Gathered {
            gather: Arc::clone(&gather),
            groups: Groups::default(),
            collection: None,
            segments: Vec::new(),
            values: Vec::new(),
        };
        let values = self.read(Span::cut(key::SEGMENTS, every(&starts)), reader).await?;
        Ok(values.into_iter().flatten().collect())
    }

    /// The values of all spans, in their order.
    async fn list<T: Send + 'static>(
        &self,
        spans: Vec<Span>,
        decode: fn(&str, &[u8]) -> Result<T, MetaError>,
    ) -> Result<Vec<T>, MetaError> {
        let values = self.read(spans, || Decoded { decode, values: Vec::new() }).await?;
        Ok(values.into_iter().flatten().collect())
    }

    /// Reads spans that are a whole class together. Fails unless every pair of the class is there, which the store's
    /// tally tells: only this finds a record that was lost.
    async fn read<R: PairReader>(
        &self,
        spans: Vec<Span>,
        reader: impl Fn() -> R,
    ) -> Result<Vec<Vec<R::Value>>, MetaError> {
        let class = spans.first().map_or_else(String::new, |span| span.prefix.clone());
        let reads: Vec<SpanRead<R::Value>> =
            spans.into_iter().map(|span| read_span(Arc::clone(&self.store), span, reader()).boxed()).collect();
        // Twice as many as cores: while one page is decoded the next one is read.
        let at_once = 2 * cores();
        let read: Vec<(Vec<R::Value>, Tally)> = stream::iter(reads).buffered(at_once).try_collect().await?;
        if let Some(expected) = self.store.tally(&class).await? {
            let found = read.iter().map(|(_, tally)| *tally).fold(Tally::default(), Tally::and);
            if found != expected {
                return Err(self.store.incomplete(&class, expected, found));
            }
        }
        Ok(read.into_iter().map(|(values, _)| values).collect())
    }

    /// Cuts a prefix into spans of equally many keys. Reads the keys once more, which is little beside decoding values.
    async fn cut_at_keys(&self, prefix: &str) -> Result<Vec<Span>, MetaError> {
        let mut keys = Vec::new();
        let mut rest = Some(Span::of(prefix));
        while let Some(span) = rest {
            let page = self.store.scan(&span, PAGE).await?;
            keys.extend(page.pairs().map(|(key, _)| key.to_owned()));
            rest = page.rest;
        }
        Ok(Span::cut(prefix, every(&keys)))
    }
}

async fn read_span<R: PairReader>(
    store: Arc<dyn MetaStore>,
    span: Span,
    mut reader: R,
) -> Result<(Vec<R::Value>, Tally), MetaError> {
    let (mut tally, mut rest) = (Tally::default(), Some(span));
    while let Some(span) = rest {
        let mut page = store.scan(&span, PAGE).await?;
        tally = tally.and(page.tally);
        rest = page.rest.take();
        let (is_large, is_last) = (page.bytes() > INLINE_BYTES, rest.is_none());
        let decode = move || {
            page.pairs().try_for_each(|(key, bytes)| reader.pair(key, bytes))?;
            if is_last {
                reader.end();
            }
            Ok::<R, MetaError>(reader)
        };
        reader = if is_large { blocking(decode).await? } else { decode()? };
    }
    Ok((reader.into_values(), tally))
}

/// Those of the keys at which spans of about equal length begin.
fn every(keys: &[String]) -> Vec<String> {
    keys.iter().step_by((keys.len() / SPANS).max(1)).skip(1).cloned().collect()
}
