//! Names of objects (see docs/formats.md). No other file builds or parses them.
//!
//! Names are relative to the root of the backend: a directory, or a prefix in a bucket.

use std::{fmt, str::FromStr};

use crate::{
    binlog::LogIds,
    model::{CollectionId, FieldId, LogId, PartitionId, SegmentId, SegmentIndex},
};

/// The kinds of objects; each has its own top folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogKind {
    Insert,
    Stats,
    Delta,
    Index,
}

impl LogKind {
    pub const ALL: [Self; 4] = [Self::Insert, Self::Stats, Self::Delta, Self::Index];

    /// The top folder. As a prefix it lists all objects of this kind.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Insert => "insert_log",
            Self::Stats => "stats_log",
            Self::Delta => "delta_log",
            Self::Index => "index_files",
        }
    }

    /// Prefix of one segment's objects of this kind. Index files are named by their build, so the prefix is that of all.
    pub fn segment_prefix(self, ids: LogIds) -> String {
        if self == Self::Index {
            return self.folder().to_owned();
        }
        format!("{}/{}/{}/{}", self.folder(), ids.collection, ids.partition, ids.segment)
    }
}

/// Name of one object. A log id belongs to one object, with two exceptions: id 1 is the compound statistics log of each segment
/// that Milvus or an older release flushed, and a compaction may carry a delta log over to its output under the same id. The
/// parts of an index are counted from 0; the build and its version are used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogPath {
    Insert { collection: CollectionId, partition: PartitionId, segment: SegmentId, field: FieldId, log: LogId },
    Stats { collection: CollectionId, partition: PartitionId, segment: SegmentId, field: FieldId, log: LogId },
    Delta { collection: CollectionId, partition: PartitionId, segment: SegmentId, log: LogId },
    Index { build: i64, version: i64, partition: PartitionId, segment: SegmentId, part: i64 },
}

impl LogPath {
    pub fn insert(ids: LogIds, field: FieldId, log: LogId) -> Self {
        let LogIds { collection, partition, segment } = ids;
        Self::Insert { collection, partition, segment, field, log }
    }

    /// `field` is the primary key.
    pub fn stats(ids: LogIds, field: FieldId, log: LogId) -> Self {
        let LogIds { collection, partition, segment } = ids;
        Self::Stats { collection, partition, segment, field, log }
    }

    pub fn delta(ids: LogIds, log: LogId) -> Self {
        let LogIds { collection, partition, segment } = ids;
        Self::Delta { collection, partition, segment, log }
    }

    pub fn index(ids: LogIds, index: &SegmentIndex, part: i64) -> Self {
        Self::Index { build: index.build, version: index.version, partition: ids.partition, segment: ids.segment, part }
    }

    pub fn kind(&self) -> LogKind {
        match self {
            Self::Insert { .. } => LogKind::Insert,
            Self::Stats { .. } => LogKind::Stats,
            Self::Delta { .. } => LogKind::Delta,
            Self::Index { .. } => LogKind::Index,
        }
    }

    /// The segment that the object belongs to.
    pub fn segment(&self) -> SegmentId {
        match *self {
            Self::Insert { segment, .. }
            | Self::Stats { segment, .. }
            | Self::Delta { segment, .. }
            | Self::Index { segment, .. } => segment,
        }
    }

    /// The segment that a log belongs to. `None` for index files, which do not name the collection.
    pub fn ids(&self) -> Option<LogIds> {
        match *self {
            Self::Insert { collection, partition, segment, .. }
            | Self::Stats { collection, partition, segment, .. }
            | Self::Delta { collection, partition, segment, .. } => Some(LogIds { collection, partition, segment }),
            Self::Index { .. } => None,
        }
    }

    /// The build of an index file.
    pub fn build(&self) -> Option<i64> {
        match *self {
            Self::Index { build, .. } => Some(build),
            _ => None,
        }
    }

    /// The log's id; of an index file the number of its part.
    pub fn log(&self) -> LogId {
        match *self {
            Self::Insert { log, .. } | Self::Stats { log, .. } | Self::Delta { log, .. } => log,
            Self::Index { part, .. } => LogId(part),
        }
    }

    /// `None` for delta logs and index files.
    pub fn field(&self) -> Option<FieldId> {
        match *self {
            Self::Insert { field, .. } | Self::Stats { field, .. } => Some(field),
            Self::Delta { .. } | Self::Index { .. } => None,
        }
    }
}

impl fmt::Display for LogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.kind().folder();
        match *self {
            Self::Index { build, version, partition, segment, .. } => {
                write!(f, "{folder}/{build}/{version}/{partition}/{segment}/")?;
            }
            Self::Insert { collection, partition, segment, .. }
            | Self::Stats { collection, partition, segment, .. }
            | Self::Delta { collection, partition, segment, .. } => {
                write!(f, "{folder}/{collection}/{partition}/{segment}/")?;
            }
        }
        if let Some(field) = self.field() {
            write!(f, "{field}/")?;
        }
        self.log().fmt(f)
    }
}

/// A name that is not that of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("object name {0:?} is not that of a log")]
pub struct ParsePathError(pub String);

impl FromStr for LogPath {
    type Err = ParsePathError;

    /// Accepts exactly the output of `Display`, so that no object has two names.
    fn from_str(name: &str) -> Result<Self, ParsePathError> {
        parse(name).filter(|path| path.to_string() == name).ok_or_else(|| ParsePathError(name.to_owned()))
    }
}

fn parse(name: &str) -> Option<LogPath> {
    let (folder, rest) = name.split_once('/')?;
    let numbers: Vec<i64> = rest.split('/').map(str::parse).collect::<Result<_, _>>().ok()?;
    let kind = LogKind::ALL.into_iter().find(|kind| kind.folder() == folder)?;
    let ids = |c, p, s| LogIds { collection: CollectionId(c), partition: PartitionId(p), segment: SegmentId(s) };
    match (kind, numbers.as_slice()) {
        (LogKind::Insert, &[c, p, s, field, log]) => Some(LogPath::insert(ids(c, p, s), FieldId(field), LogId(log))),
        (LogKind::Stats, &[c, p, s, field, log]) => Some(LogPath::stats(ids(c, p, s), FieldId(field), LogId(log))),
        (LogKind::Delta, &[c, p, s, log]) => Some(LogPath::delta(ids(c, p, s), LogId(log))),
        (LogKind::Index, &[build, version, p, s, part]) => {
            Some(LogPath::Index { build, version, partition: PartitionId(p), segment: SegmentId(s), part })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const IDS: LogIds = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };

    #[rstest]
    #[case(LogPath::insert(IDS, FieldId(0), LogId(4)), "insert_log/1/2/3/0/4")]
    #[case(LogPath::stats(IDS, FieldId(100), LogId::COMPOUND_STATS), "stats_log/1/2/3/100/1")]
    #[case(LogPath::delta(IDS, LogId(i64::MAX)), "delta_log/1/2/3/9223372036854775807")]
    #[case(
        LogPath::Index { build: 7, version: 8, partition: IDS.partition, segment: IDS.segment, part: 0 },
        "index_files/7/8/2/3/0"
    )]
    fn names_are_those_of_milvus(#[case] path: LogPath, #[case] name: &str) {
        assert_eq!(path.to_string(), name);
        assert_eq!(name.parse(), Ok(path));
        assert!(name.starts_with(&path.kind().segment_prefix(IDS)));
    }

    #[rstest]
    #[case("")]
    #[case("insert_log/1/2/3/4")]
    #[case("insert_log/1/2/3/4/5/6")]
    #[case("delta_log/1/2/3/4/5")]
    #[case("delta_log/1/2/3/04")]
    #[case("delta_log/1/2/3/+4")]
    #[case("delta_log/1/2/3/4/")]
    #[case("/delta_log/1/2/3/4")]
    #[case("delta_log/1/2/3/9223372036854775808")]
    #[case("index_files/1/2/3/4")]
    #[case("delta_log/1/2/3/4#1")]
    fn foreign_names_are_refused(#[case] name: &str) {
        assert_eq!(name.parse::<LogPath>(), Err(ParsePathError(name.to_owned())));
    }

    proptest! {
        #[test]
        fn every_path_parses_back(kind in 0..4, c: i64, p: i64, s: i64, field: i64, log: i64) {
            let ids = LogIds { collection: CollectionId(c), partition: PartitionId(p), segment: SegmentId(s) };
            let path = match kind {
                0 => LogPath::insert(ids, FieldId(field), LogId(log)),
                1 => LogPath::stats(ids, FieldId(field), LogId(log)),
                2 => LogPath::Index { build: c, version: field, partition: ids.partition, segment: ids.segment, part: log },
                _ => LogPath::delta(ids, LogId(log)),
            };
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }

        #[test]
        fn parsing_never_panics(name in "[a-z_0-9/+#-]{0,60}") {
            let _ = name.parse::<LogPath>();
        }
    }
}
