//! Model values to bytes and back. Segments are Milvus' own messages; everything else of ours is JSON.
//!
//! Two rules make old records safe to read and to compare. A field that is added to a message or a record later reads
//! as its default from older bytes, and a default is written as nothing; so decoding and encoding a segment that any
//! release of ours stored gives the stored bytes again, and `CatalogTxn::expect_segment` can compare bytes.
//! Nothing here panics on any bytes: a value that the model can't represent is `Corrupt`, with the key.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use rustc_hash::FxHashMap;
use serde::{Serialize, de::DeserializeOwned};

use super::{MetaError, key};
use crate::{
    model::{
        Channel, ClusterRange, Collection, CollectionId, Database, FieldId, Group, IndexPart, Job, LogFile, LogId, Lsn,
        PartitionId, PkRange, Plan, PrimaryKey, Role, Scalar, Segment, SegmentId, SegmentIndex, SegmentLogs,
        SegmentState, Timestamp, User,
    },
    wire::{proto::data, segment as wire},
};

const NANOS_PER_MS: u64 = 1_000_000;
/// The field under which Milvus keeps delta logs.
const DELTA_FIELD: i64 = 0;

/// The groups seen so far: segments of a group share one value, and channels of a collection one name.
#[derive(Debug, Default)]
pub(super) struct Groups {
    known: FxHashMap<(CollectionId, PartitionId), Vec<Arc<Group>>>,
    channels: FxHashMap<Arc<str>, ()>,
}

impl Groups {
    fn intern(&mut self, collection: CollectionId, partition: PartitionId, channel: &str) -> Arc<Group> {
        let groups = self.known.entry((collection, partition)).or_default();
        if let Some(group) = groups.iter().find(|g| g.channel.as_str() == channel) {
            return group.clone();
        }
        let name: Arc<str> = match self.channels.get_key_value(channel) {
            Some((name, ())) => name.clone(),
            None => {
                let name: Arc<str> = channel.into();
                self.channels.insert(name.clone(), ());
                name
            }
        };
        let group = Arc::new(Group { collection, partition, channel: Channel(name) });
        groups.push(group.clone());
        group
    }
}

pub(super) fn encode_segment(segment: &Segment) -> Bytes {
    let (mut min_int, mut max_int, mut min_str, mut max_str) = (None, None, None, None);
    if let Some(range) = &segment.pk_range {
        match &range.min {
            PrimaryKey::Int(v) => min_int = Some(*v),
            PrimaryKey::Str(v) => min_str = Some(v.to_string()),
        }
        match &range.max {
            PrimaryKey::Int(v) => max_int = Some(*v),
            PrimaryKey::Str(v) => max_str = Some(v.to_string()),
        }
    }
    let ids = |ids: &[SegmentId]| ids.iter().map(|id| id.0).collect();
    data::SegmentInfo {
        id: segment.id.0,
        collection_id: segment.group.collection.0,
        partition_id: segment.group.partition.0,
        insert_channel: segment.group.channel.as_str().to_owned(),
        num_of_rows: segment.rows as i64,
        state: wire::state_number(segment.state),
        created_by_compaction: !segment.compaction_from.is_empty(),
        compaction_from: ids(&segment.compaction_from),
        dropped_at: segment.dropped_at_ms.saturating_mul(NANOS_PER_MS),
        compacted: segment.state == SegmentState::Dropped && !segment.compaction_to.is_empty(),
        level: wire::level_number(segment.level),
        insert_bytes: segment.insert_bytes as i64,
        memory_bytes: segment.memory_bytes as i64,
        delta_rows: segment.delta_rows as i64,
        delta_bytes: segment.delta_bytes as i64,
        delta_log_count: i64::from(segment.delta_logs),
        timestamp_from: segment.ts_from.0,
        timestamp_to: segment.ts_to.0,
        min_int_pk: min_int,
        max_int_pk: max_int,
        min_str_pk: min_str,
        max_str_pk: max_str,
        end_lsn: segment.end_lsn.0,
        version: segment.version,
        compacted_to: ids(&segment.compaction_to),
        delta_timestamp_from: segment.delta_ts_from.0,
        cluster_range: segment.cluster_range.as_deref().map(encode_cluster_range),
        indexes: segment.indexes.iter().map(encode_index).collect(),
        expired_before: segment.expired_before.0,
        ..Default::default()
    }
    .encode_to_vec()
    .into()
}

/// Fields that only Milvus writes (positions, expiry, row limit) are read over.
pub(super) fn decode_segment(key: &str, bytes: &[u8], groups: &mut Groups) -> Result<Segment, MetaError> {
    let (collection, partition, id) = key::parse_segment(key)?;
    let info = data::SegmentInfo::decode(bytes).map_err(|e| corrupt(key, e))?;
    if (info.collection_id, info.partition_id, info.id) != (collection.0, partition.0, id.0) {
        let found = format!("{}/{}/{}", info.collection_id, info.partition_id, info.id);
        return Err(corrupt(key, format!("the value is of segment {found}")));
    }
    let number = |name: &str, value: i64| unsigned(key, name, value);
    let ids = |ids: Vec<i64>| ids.into_iter().map(SegmentId).collect();
    let state = wire::state(info.state);
    let level = wire::level(info.level);
    Ok(Segment {
        id,
        group: groups.intern(collection, partition, &info.insert_channel),
        state: state.ok_or_else(|| corrupt(key, format!("state {} is unknown", info.state)))?,
        level: level.ok_or_else(|| corrupt(key, format!("level {} is unknown", info.level)))?,
        rows: number("num_of_rows", info.num_of_rows)?,
        insert_bytes: number("insert_bytes", info.insert_bytes)?,
        memory_bytes: number("memory_bytes", info.memory_bytes)?,
        delta_rows: number("delta_rows", info.delta_rows)?,
        delta_bytes: number("delta_bytes", info.delta_bytes)?,
        delta_logs: u32::try_from(info.delta_log_count)
            .map_err(|_| corrupt(key, format!("delta_log_count {} is out of range", info.delta_log_count)))?,
        delta_ts_from: Timestamp(info.delta_timestamp_from),
        ts_from: Timestamp(info.timestamp_from),
        ts_to: Timestamp(info.timestamp_to),
        pk_range: pk_range(key, info.min_int_pk, info.max_int_pk, info.min_str_pk, info.max_str_pk)?,
        cluster_range: cluster_range(key, info.cluster_range)?,
        compaction_from: ids(info.compaction_from),
        compaction_to: ids(info.compacted_to),
        expired_before: Timestamp(info.expired_before),
        dropped_at_ms: info.dropped_at / NANOS_PER_MS,
        end_lsn: Lsn(info.end_lsn),
        version: info.version,
        indexes: info.indexes.into_iter().map(|index| decode_index(key, index)).collect::<Result<_, _>>()?,
    })
}

fn encode_index(index: &SegmentIndex) -> data::SegmentIndexFiles {
    let part = |part: &IndexPart| data::IndexPart {
        num_rows: part.rows as i64,
        size: part.bytes as i64,
        checksum: part.checksum,
    };
    data::SegmentIndexFiles {
        index_id: index.index,
        field_id: index.field.0,
        build_id: index.build,
        version: index.version,
        parts: index.parts.iter().map(part).collect(),
    }
}

fn decode_index(key: &str, index: data::SegmentIndexFiles) -> Result<SegmentIndex, MetaError> {
    let part = |part: data::IndexPart| {
        let (rows, bytes) = (unsigned(key, "num_rows", part.num_rows)?, unsigned(key, "size", part.size)?);
        Ok(IndexPart { rows, bytes, checksum: part.checksum })
    };
    Ok(SegmentIndex {
        index: index.index_id,
        field: FieldId(index.field_id),
        build: index.build_id,
        version: index.version,
        parts: index.parts.into_iter().map(part).collect::<Result<_, MetaError>>()?,
    })
}

fn pk_range(
    key: &str,
    min_int: Option<i64>,
    max_int: Option<i64>,
    min_str: Option<String>,
    max_str: Option<String>,
) -> Result<Option<PkRange>, MetaError> {
    let (min, max) = match (min_int, max_int, min_str, max_str) {
        (None, None, None, None) => return Ok(None),
        (Some(min), Some(max), None, None) => (PrimaryKey::Int(min), PrimaryKey::Int(max)),
        (None, None, Some(min), Some(max)) => (PrimaryKey::Str(min.into()), PrimaryKey::Str(max.into())),
        _ => return Err(corrupt(key, "the primary-key range is incomplete or of two kinds")),
    };
    if min > max {
        return Err(corrupt(key, format!("the primary-key range {min}..={max} is reversed")));
    }
    Ok(Some(PkRange { min, max }))
}

fn encode_cluster_range(range: &ClusterRange) -> data::ClusterRange {
    let mut message = data::ClusterRange { field_id: range.field.0, ..Default::default() };
    match &range.min {
        Scalar::Int(v) => message.min_int = Some(*v),
        Scalar::Float(v) => message.min_float = Some(*v),
        Scalar::Str(v) => message.min_str = Some(v.to_string()),
    }
    match &range.max {
        Scalar::Int(v) => message.max_int = Some(*v),
        Scalar::Float(v) => message.max_float = Some(*v),
        Scalar::Str(v) => message.max_str = Some(v.to_string()),
    }
    message
}

fn cluster_range(key: &str, message: Option<data::ClusterRange>) -> Result<Option<Box<ClusterRange>>, MetaError> {
    let Some(message) = message else { return Ok(None) };
    let data::ClusterRange { field_id, min_int, max_int, min_float, max_float, min_str, max_str } = message;
    let pairs = [
        min_int.map(Scalar::Int).zip(max_int.map(Scalar::Int)),
        min_float.map(Scalar::Float).zip(max_float.map(Scalar::Float)),
        min_str.map(|v| Scalar::Str(v.into())).zip(max_str.map(|v| Scalar::Str(v.into()))),
    ];
    let mut pairs = pairs.into_iter().flatten();
    let (Some((min, max)), None) = (pairs.next(), pairs.next()) else {
        return Err(corrupt(key, "the range of the clustering key is incomplete or of two kinds"));
    };
    if min > max {
        return Err(corrupt(key, format!("the range {min}..={max} of the clustering key is reversed")));
    }
    Ok(Some(Box::new(ClusterRange { field: FieldId(field_id), min, max })))
}

pub(super) fn encode_logs(logs: &SegmentLogs) -> Bytes {
    let field = |id: i64, files: &[LogFile]| data::FieldBinlog {
        field_id: id,
        binlogs: files.iter().map(encode_log).collect(),
    };
    let fields = |list: &[(FieldId, Vec<LogFile>)]| list.iter().map(|(id, files)| field(id.0, files)).collect();
    let deltalogs = if logs.delta.is_empty() { Vec::new() } else { vec![field(DELTA_FIELD, &logs.delta)] };
    data::SegmentLogs { binlogs: fields(&logs.insert), statslogs: fields(&logs.stats), deltalogs }
        .encode_to_vec()
        .into()
}

/// `log_path` stays empty: the path follows from the key and the id.
fn encode_log(log: &LogFile) -> data::Binlog {
    data::Binlog {
        entries_num: log.rows as i64,
        timestamp_from: log.ts_from.0,
        timestamp_to: log.ts_to.0,
        log_path: String::new(),
        log_size: log.bytes as i64,
        log_id: log.id.0,
        memory_size: log.memory_bytes as i64,
        checksum: log.checksum,
    }
}

pub(super) fn decode_logs(key: &str, bytes: &[u8]) -> Result<SegmentLogs, MetaError> {
    let logs = data::SegmentLogs::decode(bytes).map_err(|e| corrupt(key, e))?;
    let files = |list: Vec<data::Binlog>| -> Result<Vec<LogFile>, MetaError> {
        list.into_iter().map(|log| decode_log(key, log)).collect()
    };
    let fields = |list: Vec<data::FieldBinlog>| -> Result<Vec<_>, MetaError> {
        list.into_iter().map(|field| Ok((FieldId(field.field_id), files(field.binlogs)?))).collect()
    };
    let insert: Vec<(FieldId, Vec<LogFile>)> = fields(logs.binlogs)?;
    if let Some((first, others)) = insert.split_first()
        && let Some((id, list)) = others.iter().find(|(_, list)| list.len() != first.1.len())
    {
        let (n, of) = (list.len(), first.1.len());
        return Err(corrupt(key, format!("field {id} has {n} insert logs, field {} has {of}", first.0)));
    }
    let delta = logs.deltalogs.into_iter().flat_map(|field| field.binlogs).collect();
    Ok(SegmentLogs { insert, stats: fields(logs.statslogs)?, delta: files(delta)? })
}

fn decode_log(key: &str, log: data::Binlog) -> Result<LogFile, MetaError> {
    Ok(LogFile {
        id: LogId(log.log_id),
        rows: unsigned(key, "entries_num", log.entries_num)?,
        ts_from: Timestamp(log.timestamp_from),
        ts_to: Timestamp(log.timestamp_to),
        bytes: unsigned(key, "log_size", log.log_size)?,
        memory_bytes: unsigned(key, "memory_size", log.memory_size)?,
        checksum: log.checksum,
    })
}

pub(super) fn encode_json<T: Serialize>(key: &str, value: &T) -> Result<Bytes, MetaError> {
    let bytes = serde_json::to_vec(value);
    bytes.map(Bytes::from).map_err(|e| MetaError::Encode { key: key.to_owned(), reason: e.to_string() })
}

pub(super) fn decode_json<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, MetaError> {
    serde_json::from_slice(bytes).map_err(|e| corrupt(key, e))
}

pub(super) fn decode_database(key: &str, bytes: &[u8]) -> Result<Database, MetaError> {
    let database: Database = decode_json(key, bytes)?;
    if key::database(&database.name) != key {
        return Err(corrupt(key, format!("the value is of database {}", database.name)));
    }
    Ok(database)
}

/// Checks the properties of a schema that the rest of the program takes for granted.
pub(super) fn decode_collection(key: &str, bytes: &[u8]) -> Result<Collection, MetaError> {
    let id = key::parse_collection(key)?;
    let collection: Collection = decode_json(key, bytes)?;
    if collection.id != id {
        return Err(corrupt(key, format!("the value is of collection {}", collection.id)));
    }
    match collection.schema.fields.get(collection.schema.primary) {
        Some(field) if field.is_primary_key => Ok(collection),
        _ => Err(corrupt(key, format!("field {} is not a primary key", collection.schema.primary))),
    }
}

pub(super) fn decode_job(key: &str, bytes: &[u8]) -> Result<Job, MetaError> {
    let id = key::parse_job(key)?;
    let job: Job = decode_json(key, bytes)?;
    if job.id != id {
        return Err(corrupt(key, format!("the value is of job {}", job.id)));
    }
    Ok(job)
}

pub(super) fn decode_plan(key: &str, bytes: &[u8]) -> Result<Plan, MetaError> {
    let (job, id) = key::parse_plan(key)?;
    let plan: Plan = decode_json(key, bytes)?;
    if (plan.job, plan.id) != (job, id) {
        return Err(corrupt(key, format!("the value is of plan {} of job {}", plan.id, plan.job)));
    }
    Ok(plan)
}

pub(super) fn decode_user(key: &str, bytes: &[u8]) -> Result<User, MetaError> {
    let user: User = decode_json(key, bytes)?;
    if key != key::user(&user.name) {
        return Err(corrupt(key, format!("the value is of user {}", user.name)));
    }
    Ok(user)
}

pub(super) fn decode_role(key: &str, bytes: &[u8]) -> Result<Role, MetaError> {
    let role: Role = decode_json(key, bytes)?;
    if key != key::role(&role.name) {
        return Err(corrupt(key, format!("the value is of role {}", role.name)));
    }
    Ok(role)
}

/// Big-endian, as Milvus keeps its own bounds.
pub(super) fn encode_u64(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

pub(super) fn decode_u64(key: &str, bytes: &[u8]) -> Result<u64, MetaError> {
    let array = bytes.try_into().map_err(|_| corrupt(key, format!("{} bytes instead of 8", bytes.len())))?;
    Ok(u64::from_be_bytes(array))
}

fn unsigned(key: &str, name: &str, value: i64) -> Result<u64, MetaError> {
    u64::try_from(value).map_err(|_| corrupt(key, format!("{name} {value} is negative")))
}

fn corrupt(key: &str, reason: impl ToString) -> MetaError {
    MetaError::Corrupt { key: key.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
