//! Every key of the metadata store.
//!
//! | key | value |
//! |---|---|
//! | `datacoord-meta/s/{collection}/{partition}/{segment}` | `milvus.proto.data.SegmentInfo` without log lists |
//! | `datacoord-meta/logs/{collection}/{partition}/{segment}` | `milvus.proto.data.SegmentLogs` |
//! | `datacoord/database/{name}` | JSON of `model::Database` |
//! | `datacoord/user/{name}` | JSON of `model::User` |
//! | `datacoord/role/{name}` | JSON of `model::Role` |
//! | `datacoord/collection/{collection}` | JSON of `model::Collection` |
//! | `datacoord/job/{job}` | JSON of `model::Job` |
//! | `datacoord/plan/{job}/{plan}` | JSON of `model::Plan` |
//! | `datacoord/controls` | JSON of `model::Controls` |
//! | `datacoord/wal` | JSON of `model::WriteAheadLog`: the log that belongs to this catalog |
//! | `datacoord/traffic/{collection}` | JSON of `model::WriteStats` |
//! | `datacoord/channel/{vchannel}` | 8 bytes, big-endian: highest log position whose deletes are in delta logs |
//! | `datacoord/bound/{name}` | 8 bytes, big-endian: no id or timestamp at or above it was given out |
//! | `coordinator/epoch` | 8 bytes, big-endian: number of the catalog that may write |
//! | `coordinator/identity` | 36 characters: the UUID of this catalog, given at its first opening |
//! | `coordinator/marks` | JSON of `model::Marks`: the marks of its store that this catalog wrote or was about to write |
//!
//! Segment keys are spelled as Milvus spells them, so that its tools find them: plain decimals. Their order does not
//! matter, but the segments of a collection, and of a partition in it, must share a prefix. Ids of our own records are padded
//! to 19 digits: there byte order is the order of ids, which is the order of creation, so that history can be read and
//! trimmed oldest first. Parsing accepts only keys that the functions here write.

use super::MetaError;
use crate::model::{Channel, CollectionId, Group, JobId, PartitionId, PlanId, SegmentId};

pub(super) const EPOCH: &str = "coordinator/epoch";
pub(super) const IDENTITY: &str = "coordinator/identity";
pub(super) const MARKS: &str = "coordinator/marks";
/// With the slash: in a Milvus cluster `datacoord-meta/s` is also the beginning of `datacoord-meta/statslog`.
pub(super) const SEGMENTS: &str = "datacoord-meta/s/";
pub(super) const LOGS: &str = "datacoord-meta/logs/";
pub(super) const DATABASES: &str = "datacoord/database/";
pub(super) const USERS: &str = "datacoord/user/";
pub(super) const ROLES: &str = "datacoord/role/";
pub(super) const COLLECTIONS: &str = "datacoord/collection/";
pub(super) const JOBS: &str = "datacoord/job/";
pub(super) const PLANS: &str = "datacoord/plan/";
pub(super) const CHANNELS: &str = "datacoord/channel/";
pub(super) const CONTROLS: &str = "datacoord/controls";
pub(super) const WAL: &str = "datacoord/wal";
pub(super) const WRITE_STATS: &str = "datacoord/traffic/";
pub(super) const BOUNDS: &str = "datacoord/bound/";

pub(super) fn segment(group: &Group, id: SegmentId) -> String {
    format!("{SEGMENTS}{}/{}/{id}", group.collection, group.partition)
}

pub(super) fn logs(group: &Group, id: SegmentId) -> String {
    format!("{LOGS}{}/{}/{id}", group.collection, group.partition)
}

/// Prefix of all segments of a collection.
pub(super) fn segments_of(collection: CollectionId) -> String {
    format!("{SEGMENTS}{collection}/")
}

pub(super) fn database(name: &str) -> String {
    format!("{DATABASES}{name}")
}

pub(super) fn user(name: &str) -> String {
    format!("{USERS}{name}")
}

pub(super) fn role(name: &str) -> String {
    format!("{ROLES}{name}")
}

pub(super) fn collection(id: CollectionId) -> String {
    format!("{COLLECTIONS}{:019}", id.0)
}

pub(super) fn write_stats(id: CollectionId) -> String {
    format!("{WRITE_STATS}{:019}", id.0)
}

pub(super) fn job(id: JobId) -> String {
    format!("{JOBS}{:019}", id.0)
}

pub(super) fn plan(job: JobId, plan: PlanId) -> String {
    format!("{PLANS}{:019}/{:019}", job.0, plan.0)
}

/// Prefix of all plans of a job.
pub(super) fn plans(job: JobId) -> String {
    format!("{PLANS}{:019}/", job.0)
}

/// Where the plans of a job and of all later ones begin, by the job's key.
pub(super) fn plans_from(job: &str) -> Option<String> {
    job.strip_prefix(JOBS).map(|id| format!("{PLANS}{id}/"))
}

pub(super) fn channel(channel: &Channel) -> String {
    format!("{CHANNELS}{channel}")
}

pub(super) fn bound(name: &str) -> String {
    format!("{BOUNDS}{name}")
}

/// Collection, partition and segment of a key below [`SEGMENTS`].
pub(super) fn parse_segment(key: &str) -> Result<(CollectionId, PartitionId, SegmentId), MetaError> {
    let mut ids = rest(key, SEGMENTS)?.split('/');
    let collection = ids.next().and_then(plain).map(CollectionId);
    // Milvus files L0 segments that are of no one partition under -1.
    let partition =
        ids.next().and_then(|id| if id == "-1" { Some(PartitionId::ALL) } else { plain(id).map(PartitionId) });
    let segment = ids.next().and_then(plain).map(SegmentId);
    match (collection, partition, segment, ids.next()) {
        (Some(collection), Some(partition), Some(segment), None) => Ok((collection, partition, segment)),
        _ => Err(malformed(key, "three ids")),
    }
}

pub(super) fn parse_collection(key: &str) -> Result<CollectionId, MetaError> {
    padded(rest(key, COLLECTIONS)?).map(CollectionId).ok_or_else(|| malformed(key, "an id of 19 digits"))
}

pub(super) fn parse_write_stats(key: &str) -> Result<CollectionId, MetaError> {
    padded(rest(key, WRITE_STATS)?).map(CollectionId).ok_or_else(|| malformed(key, "an id of 19 digits"))
}

pub(super) fn parse_job(key: &str) -> Result<JobId, MetaError> {
    padded(rest(key, JOBS)?).map(JobId).ok_or_else(|| malformed(key, "an id of 19 digits"))
}

pub(super) fn parse_plan(key: &str) -> Result<(JobId, PlanId), MetaError> {
    let ids = rest(key, PLANS)?.split_once('/');
    ids.and_then(|(job, plan)| Some((JobId(padded(job)?), PlanId(padded(plan)?))))
        .ok_or_else(|| malformed(key, "two ids of 19 digits"))
}

pub(super) fn parse_channel(key: &str) -> Result<Channel, MetaError> {
    rest(key, CHANNELS).map(Channel::new)
}

fn rest<'a>(key: &'a str, prefix: &str) -> Result<&'a str, MetaError> {
    key.strip_prefix(prefix).ok_or_else(|| malformed(key, prefix))
}

fn plain(text: &str) -> Option<i64> {
    match text.as_bytes() {
        b"0" => Some(0),
        // `parse` alone would take a sign, and zeros before the number.
        [b'1'..=b'9', ..] => text.parse().ok(),
        _ => None,
    }
}

fn padded(text: &str) -> Option<i64> {
    (text.len() == 19 && text.starts_with(|c: char| c.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn malformed(key: &str, expected: &str) -> MetaError {
    MetaError::Corrupt { key: key.to_owned(), reason: format!("the key does not have the form {expected}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn group(c: i64, p: i64) -> Group {
        Group { collection: CollectionId(c), partition: PartitionId(p), channel: Channel::new("by-dev-dml_0_1v0") }
    }

    /// The key of a real 2.3.5 instance, below its root.
    #[test]
    fn segments_are_spelled_as_milvus_spells_them() {
        let key = segment(&group(470597209892061324, 470597209892061325), SegmentId(470597209892261333));
        assert_eq!(key, "datacoord-meta/s/470597209892061324/470597209892061325/470597209892261333");
    }

    proptest! {
        #[test]
        fn round_trip(c in 0..=i64::MAX, p in 0..=i64::MAX, s in 0..=i64::MAX, name in "[^/]{1,40}") {
            prop_assert_eq!(parse_segment(&segment(&group(c, p), SegmentId(s))),
                Ok((CollectionId(c), PartitionId(p), SegmentId(s))));
            prop_assert_eq!(parse_segment(&segment(&group(c, -1), SegmentId(s))),
                Ok((CollectionId(c), PartitionId::ALL, SegmentId(s))));
            prop_assert_eq!(parse_collection(&collection(CollectionId(c))), Ok(CollectionId(c)));
            prop_assert_eq!(parse_write_stats(&write_stats(CollectionId(c))), Ok(CollectionId(c)));
            prop_assert_eq!(parse_job(&job(JobId(p))), Ok(JobId(p)));
            prop_assert_eq!(parse_plan(&plan(JobId(p), PlanId(s))), Ok((JobId(p), PlanId(s))));
            prop_assert!(plan(JobId(p), PlanId(s)).starts_with(&plans(JobId(p))));
            let vchannel = Channel::new(&name);
            prop_assert_eq!(parse_channel(&channel(&vchannel)), Ok(vchannel));
        }

        #[test]
        fn order_of_own_keys_is_order_of_ids(a in 0..=i64::MAX, b in 0..=i64::MAX, c in 0..=i64::MAX, d in 0..=i64::MAX) {
            prop_assert_eq!(job(JobId(a)).cmp(&job(JobId(b))), a.cmp(&b));
            prop_assert_eq!(
                plan(JobId(a), PlanId(c)).cmp(&plan(JobId(b), PlanId(d))),
                (a, c).cmp(&(b, d))
            );
        }
    }

    #[rstest]
    #[case::too_few("datacoord-meta/s/1/2")]
    #[case::too_many("datacoord-meta/s/1/2/3/4")]
    #[case::padded("datacoord-meta/s/1/2/03")]
    #[case::negative("datacoord-meta/s/1/2/-3")]
    #[case::negative_partition("datacoord-meta/s/1/-2/3")]
    #[case::all_collections("datacoord-meta/s/-1/2/3")]
    #[case::plus("datacoord-meta/s/1/2/+3")]
    #[case::empty_part("datacoord-meta/s/1//3")]
    #[case::too_large("datacoord-meta/s/1/2/9223372036854775808")]
    #[case::neighbour("datacoord-meta/statslog/1/2/3")]
    fn refuses(#[case] key: &str) {
        let error = parse_segment(key).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }

    #[test]
    fn no_prefix_contains_another() {
        let all = [
            SEGMENTS,
            LOGS,
            DATABASES,
            USERS,
            ROLES,
            COLLECTIONS,
            JOBS,
            PLANS,
            CHANNELS,
            BOUNDS,
            EPOCH,
            IDENTITY,
            MARKS,
            CONTROLS,
            WAL,
            WRITE_STATS,
        ];
        for a in all {
            for b in all {
                assert!(a == b || !a.starts_with(b), "{a} is inside {b}");
            }
        }
    }
}
