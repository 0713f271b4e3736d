//! Values of `model`. Each function takes the parts that tests care about and fills in the rest; a test changes that by
//! struct update: `Field { auto_id: true, ..field(101, "n", DataType::Int64) }`.

use std::{collections::BTreeMap, sync::Arc};

use datacoord::model::{
    Channel, Collection, CollectionId, CollectionSchema, DataType, Delete, Field, FieldId, Group, Job, JobId, LogFile,
    LogId, Partition, PartitionId, Plan, PlanId, PlanInput, PlanKind, PlanReason, PlanState, PrimaryKey, Segment,
    SegmentId, Terms, Timestamp, Trigger,
};

/// A plain field without parameters.
pub(crate) fn field(id: i64, name: &str, data_type: DataType) -> Field {
    Field::new(FieldId(id), name, data_type)
}

/// A primary key. A VarChar key may have 64 bytes.
pub(crate) fn key(id: i64, name: &str, data_type: DataType) -> Field {
    let max_length = (data_type == DataType::VarChar).then_some(64);
    Field { is_primary_key: true, max_length, ..field(id, name, data_type) }
}

/// A float vector.
pub(crate) fn vector(id: i64, name: &str, dim: u32) -> Field {
    Field { dim: Some(dim), ..field(id, name, DataType::FloatVector) }
}

/// The hidden JSON field of a collection with dynamic fields.
pub(crate) fn dynamic(id: i64) -> Field {
    Field { is_dynamic: true, ..field(id, "$meta", DataType::Json) }
}

/// The primary key is the field that says so (the first one, if none does); a dynamic field enables dynamic fields.
pub(crate) fn schema(name: &str, fields: Vec<Field>) -> CollectionSchema {
    CollectionSchema {
        name: name.to_owned(),
        description: String::new(),
        enable_dynamic_field: fields.iter().any(|f| f.is_dynamic),
        primary: fields.iter().position(|f| f.is_primary_key).unwrap_or_default(),
        fields,
    }
}

/// A group of a channel that is named as it stands here, for example `c_1v0`.
pub(crate) fn group(collection: i64, partition: i64, channel: &str) -> Group {
    Group { collection: CollectionId(collection), partition: PartitionId(partition), channel: Channel::new(channel) }
}

/// A group of shard 0, with the channel that Milvus would name: collections share 16 physical channels.
pub(crate) fn group_of_shard_0(collection: i64, partition: i64) -> Group {
    group(collection, partition, &format!("by-dev-rootcoord-dml_{}_{collection}v0", collection.rem_euclid(16)))
}

/// A collection without channels and partitions, made at timestamp 1 in the database `default`.
pub(crate) fn collection(id: i64, schema: CollectionSchema) -> Collection {
    Collection {
        id: CollectionId(id),
        database: "default".to_owned(),
        name: schema.name.clone(),
        schema: Arc::new(schema),
        channels: Vec::new(),
        partitions: Vec::new(),
        aliases: Vec::new(),
        properties: BTreeMap::new(),
        consistency_level: 0,
        created_at: Timestamp(1),
        updated_at: Timestamp(1),
        indexes: Vec::new(),
        loaded: Vec::new(),
        loads_new: false,
        dropped: false,
        truncated_before: SegmentId::default(),
    }
}

/// The partition that every collection has.
pub(crate) fn default_partition(id: i64) -> Partition {
    Partition { id: PartitionId(id), name: "_default".to_owned(), created_at: Timestamp(1) }
}

/// A flushed segment that one commit has changed, without rows.
pub(crate) fn segment(id: i64, group: &Arc<Group>) -> Segment {
    Segment { version: 1, ..Segment::new(SegmentId(id), Arc::clone(group)) }
}

/// A log whose rows all have one timestamp; as large in memory as the object is, and without a checksum.
pub(crate) fn log_file(id: i64, rows: u64, bytes: u64, ts: Timestamp) -> LogFile {
    LogFile { id: LogId(id), rows, ts_from: ts, ts_to: ts, bytes, memory_bytes: bytes, checksum: None }
}

/// A delete of a row with this Int64 key.
pub(crate) fn delete_of_int(key: i64, ts: u64) -> Delete {
    Delete { key: PrimaryKey::Int(key), ts: Timestamp(ts) }
}

/// The same with a VarChar key.
pub(crate) fn delete_of_text(key: &str, ts: u64) -> Delete {
    Delete { key: PrimaryKey::Str(key.into()), ts: Timestamp(ts) }
}

/// A segment as an input of a plan.
pub(crate) fn input(segment: &Segment) -> PlanInput {
    let Segment { id, rows, insert_bytes, delta_rows, .. } = *segment;
    PlanInput { segment: id, rows, bytes: insert_bytes, delta_rows }
}

/// A manual merge that waits to be executed, made at time 0. It applies all deletes and no time to live.
pub(crate) fn plan(id: i64, job: i64, group: Group, inputs: Vec<PlanInput>) -> Plan {
    Plan {
        id: PlanId(id),
        job: JobId(job),
        group,
        kind: PlanKind::Mix,
        reason: PlanReason::ManualMerge,
        inputs,
        keep_deletes_after: Timestamp::MAX,
        ttl: None,
        max_output_bytes: 1 << 29,
        created_at_ms: 0,
        attempts: 0,
        state: PlanState::Queued { not_before_ms: 0 },
    }
}

/// A client's job, made at time 0 on the usual terms.
pub(crate) fn job(id: i64, collection: i64, plans: &[i64]) -> Job {
    Job {
        id: JobId(id),
        trigger: Trigger::Manual,
        collection: CollectionId(collection),
        created_at_ms: 0,
        plans: plans.iter().copied().map(PlanId).collect(),
        nothing_to_do: None,
        terms: Terms::default(),
    }
}
