//! The fixture sets: manifests as the model's values, and stores filled with their objects.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use datacoord::{
    binlog::LogIds,
    model::{
        CollectionId, CollectionSchema, DataType, Delete, Field, FieldId, LogFile, LogId, PartitionId, PrimaryKey,
        SegmentId, SegmentLogs, Timestamp,
    },
    storage::{LogPath, SegmentStore},
};
use serde_json::Value;

use crate::kit::model;

pub const SETS: [&str; 5] = ["a_mixed", "b_varchar", "c_vec128", "d_split", "e_ttl"];

/// One set at one moment: before or after Milvus compacted it.
pub struct Fixture {
    pub name: String,
    root: PathBuf,
    pub json: Value,
    pub schema: CollectionSchema,
    /// Only segments whose files are included.
    pub segments: Vec<FixtureSegment>,
    pub expected: Expected,
    /// Groups of segments that may be compacted together.
    pub groups: Vec<Group>,
}

pub struct FixtureSegment {
    pub ids: LogIds,
    pub channel: String,
    pub rows: u64,
    pub compaction_from: Vec<i64>,
    pub logs: SegmentLogs,
    /// Rows that a full compaction keeps.
    pub surviving: Expected,
    pub json: Value,
}

/// A digest of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub rows: u64,
    pub sha256: String,
    pub user_fields_sha256: String,
}

/// Segments of one partition and channel.
pub struct Group {
    pub channel: String,
    pub segments: Vec<SegmentId>,
    pub expected: Expected,
}

/// All ten: every set before and after.
pub fn all() -> Vec<Fixture> {
    SETS.iter().flat_map(|set| ["before", "after"].map(|stage| Fixture::load(set, stage))).collect()
}

impl Fixture {
    pub fn load(set: &str, stage: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/milvus-2.3.5").join(set).join(stage);
        let text = std::fs::read(root.join("manifest.json")).unwrap();
        let json: Value = serde_json::from_slice(&text).unwrap();
        let collection = CollectionId(int(&json["collection"]["id"]));
        let segments = array(&json["segments"])
            .iter()
            .filter(|segment| segment["files_included"] == true)
            .map(|segment| FixtureSegment::of(collection, segment))
            .collect();
        let expected = &json["expected_after_full_compaction"];
        let groups = array(&expected["groups"])
            .iter()
            .map(|group| Group {
                channel: group["channel"].as_str().unwrap().to_owned(),
                segments: array(&group["segments"]).iter().map(|id| SegmentId(int(id))).collect(),
                expected: Expected::of(group),
            })
            .collect();
        let (schema, expected) = (schema(&json["collection"]), Expected::of(expected));
        Self { name: format!("{set}/{stage}"), root, json, schema, segments, expected, groups }
    }

    pub fn segment(&self, id: SegmentId) -> &FixtureSegment {
        self.segments.iter().find(|segment| segment.ids.segment == id).unwrap()
    }

    /// The bytes of an object.
    pub fn object(&self, path: &LogPath) -> Bytes {
        std::fs::read(self.root.join("store").join(path.to_string())).unwrap().into()
    }

    /// Every object of the set.
    pub fn objects(&self) -> Vec<(LogPath, Bytes)> {
        let mut objects = Vec::new();
        for segment in &self.segments {
            let logs = &segment.logs;
            for (field, files) in &logs.insert {
                objects.extend(files.iter().map(|file| LogPath::insert(segment.ids, *field, file.id)));
            }
            for (field, files) in &logs.stats {
                objects.extend(files.iter().map(|file| LogPath::stats(segment.ids, *field, file.id)));
            }
            objects.extend(logs.delta.iter().map(|file| LogPath::delta(segment.ids, file.id)));
        }
        objects.into_iter().map(|path| (path, self.object(&path))).collect()
    }

    /// A store that holds the objects of the set.
    pub async fn store(&self) -> SegmentStore {
        let store = SegmentStore::in_memory();
        store.put_all(self.objects()).await.unwrap();
        store
    }
}

impl FixtureSegment {
    fn of(collection: CollectionId, json: &Value) -> Self {
        let ids = LogIds {
            collection,
            partition: PartitionId(int(&json["partition_id"])),
            segment: SegmentId(int(&json["id"])),
        };
        let mut logs = SegmentLogs {
            insert: by_field(&json["insert_logs"]),
            stats: by_field(&json["stats_logs"]),
            delta: array(&json["delta_logs"]).iter().map(log_file).collect(),
        };
        logs.insert.sort_by_key(|(field, _)| *field);
        Self {
            ids,
            channel: json["channel"].as_str().unwrap().to_owned(),
            rows: json["num_of_rows"].as_u64().unwrap(),
            compaction_from: array(&json["compaction_from"]).iter().map(int).collect(),
            logs,
            surviving: Expected::of(&json["surviving"]),
            json: json.clone(),
        }
    }

    /// Deletes as the manifest lists them.
    pub fn delta_entries(&self) -> Vec<Delete> {
        let entry = |pair: &Value| {
            let key = match &pair[0] {
                Value::String(key) => PrimaryKey::Str(key.as_str().into()),
                key => PrimaryKey::Int(int(key)),
            };
            Delete { key, ts: Timestamp(pair[1].as_u64().unwrap()) }
        };
        array(&self.json["delta_entries"]).iter().map(entry).collect()
    }
}

impl Expected {
    fn of(json: &Value) -> Self {
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        Self {
            rows: json["rows"].as_u64().unwrap(),
            sha256: text("sha256"),
            user_fields_sha256: text("user_fields_sha256"),
        }
    }
}

fn int(json: &Value) -> i64 {
    json.as_i64().unwrap()
}

fn array(json: &Value) -> &[Value] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn by_field(logs: &Value) -> Vec<(FieldId, Vec<LogFile>)> {
    let mut fields: Vec<(FieldId, Vec<LogFile>)> = Vec::new();
    for log in array(logs) {
        let field = FieldId(int(&log["field"]));
        match fields.iter_mut().find(|(id, _)| *id == field) {
            Some((_, files)) => files.push(log_file(log)),
            None => fields.push((field, vec![log_file(log)])),
        }
    }
    fields
}

fn log_file(json: &Value) -> LogFile {
    let number = |key: &str| json[key].as_u64().unwrap();
    LogFile {
        id: LogId(int(&json["log_id"])),
        rows: number("entries_num"),
        ts_from: Timestamp(number("timestamp_from")),
        ts_to: Timestamp(number("timestamp_to")),
        bytes: number("file_size"),
        memory_bytes: number("log_size"),
        checksum: None,
    }
}

fn schema(collection: &Value) -> CollectionSchema {
    let primary = int(&collection["primary_field"]);
    let fields: Vec<Field> = array(&collection["fields"])
        .iter()
        .filter(|field| int(&field["id"]) >= FieldId::FIRST_USER.0)
        .map(|field| {
            let number = |key: &str| -> Option<u32> { field["params"][key].as_str().map(|v| v.parse().unwrap()) };
            let data_type = |key: &str| DataType::from_number(int(&field[key]) as i32);
            Field {
                element_type: data_type("element_type"),
                is_primary_key: int(&field["id"]) == primary,
                auto_id: field["auto_id"] == true,
                is_dynamic: field["is_dynamic"] == true,
                dim: number("dim"),
                max_length: number("max_length"),
                max_capacity: number("max_capacity"),
                ..model::field(int(&field["id"]), field["name"].as_str().unwrap(), data_type("type").unwrap())
            }
        })
        .collect();
    let enable_dynamic_field = collection["enable_dynamic_field"] == true;
    CollectionSchema { enable_dynamic_field, ..model::schema(collection["name"].as_str().unwrap(), fields) }
}
