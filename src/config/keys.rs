//! The one table of keys: name, unit, range, sentence, and typed field. No other file knows a name, a unit or a range.
//!
//! Keys that Milvus 2.3.5 has keep its name, meaning and unit; ours are under `datacoord:`.

use std::path::PathBuf;

use uuid::Uuid;

use super::{
    address::parse_ip,
    key::{Key, RefusedKey},
    server::LogFormat,
    setting::{
        Setting,
        Unit::{Bytes, Count, Flag, Megabytes, Milliseconds, Ratio, Seconds, Secret, Text},
    },
    tls::TlsMode,
    trace::TraceExporter,
    windows::Windows,
};

macro_rules! key {
    ($name:literal $([$($alias:literal),+])?, $unit:ident, $range:expr, $kind:ident($($field:ident).+), $doc:literal) => {
        Key {
            name: $name,
            aliases: &[$($($alias),+)?],
            unit: $unit,
            range: $range,
            choices: &[],
            doc: $doc,
            get: |draft| key!(@get $kind, draft.$($field).+),
            set: |draft, setting| {
                if let Setting::$kind(value) = setting {
                    key!(@set $kind, draft.$($field).+, value);
                }
                Ok(())
            },
        }
    };
    (@get Count, $place:expr) => { Setting::Count($place as u64) };
    (@get Bytes, $place:expr) => { Setting::Bytes($place as u64) };
    (@get $kind:ident, $place:expr) => { Setting::$kind($place.clone()) };
    // The range of the key keeps the value inside the field's type.
    (@set Count, $place:expr, $value:ident) => { $place = $value as _ };
    (@set Bytes, $place:expr, $value:ident) => { $place = $value as _ };
    (@set $kind:ident, $place:expr, $value:ident) => { $place = $value };
}

macro_rules! address {
    ($name:literal, $field:ident, $doc:literal) => {
        Key {
            name: $name,
            aliases: &[],
            unit: Text,
            range: None,
            choices: &[],
            doc: $doc,
            get: |draft| Setting::Text(draft.config.server.$field.ip().to_string()),
            set: |draft, setting| {
                if let Setting::Text(text) = setting {
                    draft.config.server.$field.set_ip(parse_ip(&text)?);
                }
                Ok(())
            },
        }
    };
}

macro_rules! port {
    ($name:literal, $field:ident, $doc:literal) => {
        Key {
            name: $name,
            aliases: &[],
            unit: Count,
            range: Some((0.0, 65_535.0)),
            choices: &[],
            doc: $doc,
            get: |draft| Setting::Count(draft.config.server.$field.port().into()),
            set: |draft, setting| {
                if let Setting::Count(port) = setting {
                    draft.config.server.$field.set_port(port as u16);
                }
                Ok(())
            },
        }
    };
}

macro_rules! path {
    ($name:literal, $($field:ident).+, $doc:literal) => {
        Key {
            name: $name,
            aliases: &[],
            unit: Text,
            range: None,
            choices: &[],
            doc: $doc,
            get: |draft| Setting::Text(draft.config.$($field).+.display().to_string()),
            set: |draft, setting| {
                if let Setting::Text(path) = setting {
                    draft.config.$($field).+ = PathBuf::from(path);
                }
                Ok(())
            },
        }
    };
}

/// Value of `datacoord.http.tls` without a mode of its own.
const SAME: &str = "same";

const YEAR_SECONDS: f64 = 366.0 * 86_400.0;
const MAX_MB: f64 = 1_048_576.0;
/// Megabytes, or 0 for a share of the total. `validate` refuses values that are too small.
const OR_SHARE: Option<(f64, f64)> = Some((0.0, MAX_MB));
const SHARE: Option<(f64, f64)> = Some((0.01, 1.0));
const TIME: Option<(f64, f64)> = Some((1.0, YEAR_SECONDS));

/// All keys, sections together, in the order of the example file.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    port!("proxy.port", grpc_listen, "Port of the gRPC services; 0 takes a free one."),
    key!("proxy.grpc.serverMaxRecvSize", Bytes, Some((1_048_576.0, 2_147_483_647.0)),
        Bytes(config.server.max_request_bytes), "A larger request is refused with RESOURCE_EXHAUSTED."),
    key!("proxy.maxNameLength", Count, Some((1.0, 255.0)), Count(config.limits.max_name_length),
        "Longest name of a collection, partition, alias or field."),
    key!("proxy.maxFieldNum", Count, Some((1.0, 1024.0)), Count(config.limits.max_fields),
        "Most fields of a collection."),
    key!("proxy.maxShardNum", Count, Some((1.0, 64.0)), Count(config.limits.max_shards),
        "Most shards of a collection."),
    key!("proxy.maxDimension", Count, Some((1.0, 32_768.0)), Count(config.limits.max_dimension),
        "Largest dimension of a vector."),
    key!("proxy.minPasswordLength", Count, Some((1.0, 256.0)), Count(config.access.min_password_length),
        "Shortest password of a user, bytes."),
    key!("proxy.maxPasswordLength", Count, Some((1.0, 4096.0)), Count(config.access.max_password_length),
        "Longest password of a user, bytes."),
    key!("proxy.maxUsernameLength", Count, Some((1.0, 255.0)), Count(config.access.max_username_length),
        "Longest name of a user."),
    key!("proxy.maxUserNum", Count, Some((1.0, 65_536.0)), Count(config.access.max_users), "Most users, root included."),
    key!("proxy.maxRoleNum", Count, Some((2.0, 65_536.0)), Count(config.access.max_roles),
        "Most roles, admin and public included."),
    key!("rootCoord.maxDatabaseNum", Count, Some((1.0, 65_536.0)), Count(config.limits.max_databases),
        "Most databases, the default one included."),
    key!("rootCoord.maxPartitionNum", Count, Some((1.0, 65_536.0)), Count(config.limits.max_partitions),
        "Most partitions of a collection."),
    key!("quotaAndLimits.limits.maxCollectionNum", Count, Some((1.0, 1_048_576.0)),
        Count(config.limits.max_collections), "Most collections, of all databases together."),
    key!("quotaAndLimits.limits.maxCollectionNumPerDB", Count, Some((1.0, 1_048_576.0)),
        Count(config.limits.max_database_collections), "Most collections of a database."),
    key!("quotaAndLimits.limits.maxQueryResultWindow", Count, Some((1.0, 1_048_576.0)),
        Count(config.limits.max_query_rows), "Most rows of one query, limit and offset together."),
    key!("dataCoord.segment.maxSize", Megabytes, Some((0.0625, 65_536.0)), Bytes(config.compaction.max_segment_bytes),
        "Largest size of a segment."),
    key!("dataCoord.segment.sealProportion", Ratio, SHARE, Ratio(config.ingest.seal_proportion),
        "A growing segment is sealed at this share of the maximum size."),
    key!("dataCoord.segment.maxLife", Seconds, TIME, Time(config.ingest.max_life),
        "A growing segment is sealed at this age."),
    key!("dataCoord.segment.maxIdleTime", Seconds, TIME, Time(config.ingest.max_idle),
        "A growing segment is sealed when nothing was written to it for this long."),
    key!("dataCoord.segment.minSizeFromIdleToSealed", Megabytes, Some((0.0, 65_536.0)),
        Bytes(config.ingest.min_idle_bytes), "An idle segment below this size is left alone."),
    key!("dataCoord.segment.smallProportion", Ratio, SHARE, Ratio(config.compaction.small_proportion),
        "A segment below this share of the maximum size is small."),
    key!("dataCoord.segment.compactableProportion", Ratio, SHARE, Ratio(config.compaction.full_proportion),
        "Few small segments are merged if they fill this share of the maximum size together."),
    key!("dataCoord.enableCompaction", Flag, None, Flag(config.compaction.enabled),
        "Switches all compaction, also on request."),
    key!("dataCoord.compaction.enableAutoCompaction", Flag, None, Flag(config.compaction.auto_enabled),
        "Switches automatic compaction."),
    key!("dataCoord.compaction.indexBasedCompaction", Flag, None, Flag(config.compaction.indexed_only),
        "Only segments whose vectors have their index are compacted, also when a client asks."),
    key!("dataCoord.compaction.global.interval", Seconds, TIME, Time(config.compaction.global_interval),
        "How often every group of segments is looked at."),
    Key {
        name: "dataCoord.compaction.min.segment",
        aliases: &[],
        unit: Count,
        range: Some((2.0, 100_000.0)),
        choices: &[],
        doc: "This many small segments of a group are merged, however small.",
        // Milvus' number is the first that is enough; the typed setting is the last that is not.
        get: |draft| Setting::Count(u64::from(draft.config.compaction.max_small_segments) + 1),
        set: |draft, setting| {
            if let Setting::Count(enough) = setting {
                draft.config.compaction.max_small_segments = enough.saturating_sub(1) as u32;
            }
            Ok(())
        },
    },
    key!("dataCoord.compaction.max.segment", Count, Some((2.0, 100_000.0)), Count(config.compaction.max_inputs),
        "Most segments that one plan merges."),
    key!("dataCoord.compaction.single.ratio.threshold", Ratio, SHARE, Ratio(config.compaction.delta_ratio),
        "A segment is rewritten beyond this share of deleted rows."),
    key!("dataCoord.compaction.single.deltalog.maxsize", Bytes, Some((1.0, 1e12)), Bytes(config.compaction.delta_bytes),
        "A segment is rewritten beyond this many bytes of delta logs."),
    key!("dataCoord.compaction.single.deltalog.maxnum", Count, Some((1.0, 100_000.0)),
        Count(config.compaction.delta_logs), "A segment is rewritten beyond this many delta logs."),
    key!("dataCoord.compaction.timeout", Seconds, TIME, Time(config.worker.progress_timeout),
        "A running plan without progress for this long is stopped and begun anew; the last attempt has timed out."),
    key!("dataCoord.enableGarbageCollection", Flag, None, Flag(config.gc.enabled),
        "Switches the deletion of files that are not needed any more."),
    key!("dataCoord.gc.interval", Seconds, TIME, Time(config.gc.interval),
        "How often files that are not needed any more are looked for."),
    key!("dataCoord.gc.missingTolerance", Seconds, Some((60.0, YEAR_SECONDS)), Time(config.gc.missing_tolerance),
        "Files that no segment names are deleted after this."),
    key!("dataCoord.gc.dropTolerance", Seconds, Some((0.0, YEAR_SECONDS)), Time(config.gc.drop_tolerance),
        "Files of segments that a compaction replaced are deleted after this."),
    key!("indexCoord.segment.minSegmentNumRowsToEnableIndex", Count, Some((0.0, 1e12)), Count(config.index.min_rows),
        "Segments with fewer rows get no index: they are searched row by row."),
    key!("dataNode.segment.binlog.maxsize", Bytes, Some((65_536.0, 2_147_483_647.0)), Bytes(config.binlog.max_bytes),
        "A batch of rows is cut into a new binlog beyond this size in memory."),
    key!("dataNode.compaction.maxConcurrency" ["dataCoord.compaction.workerMaxParallelTaskNum"], Count,
        Some((1.0, 1024.0)), Count(config.worker.max_concurrency), "Plans that run at once."),
    Key {
        name: "common.storageType",
        aliases: &[],
        unit: Text,
        range: None,
        choices: &["local", "minio", "remote"],
        doc: "Where binlogs are kept; minio and remote both mean an S3-compatible bucket.",
        get: |draft| Setting::Text(draft.storage.kind.clone()),
        set: |draft, setting| {
            if let Setting::Text(kind) = setting {
                draft.storage.kind = kind;
            }
            Ok(())
        },
    },
    key!("common.chanNamePrefix.cluster" ["msgChannel.chanNamePrefix.cluster"], Text, None,
        Text(config.server.channel_prefix), "First part of every channel name."),
    key!("common.maxBloomFalsePositive", Ratio, Some((0.0001, 0.5)), Ratio(config.binlog.bloom_false_positive),
        "False-positive rate of the filters over primary keys."),
    key!("common.retentionDuration" ["dataCoord.compaction.retentionDuration"], Seconds, Some((0.0, YEAR_SECONDS)),
        Time(config.compaction.retention), "Deletes newer than this are not compacted away."),
    key!("common.JSONMaxLength", Bytes, Some((1.0, 16_777_216.0)), Bytes(config.limits.max_json_bytes),
        "Largest JSON value."),
    port!("common.MetricsPort", http_listen, "Port of REST, health and metrics; 0 takes a free one."),
    key!("common.gracefulStopTimeout", Seconds, Some((0.0, 86_400.0)), Time(config.server.drain_timeout),
        "How long a stop waits for calls in flight."),
    key!("common.security.authorizationEnabled", Flag, None, Flag(config.access.enabled),
        "Callers need a user and its privileges. User root has the password Milvus until it is changed."),
    key!("common.security.superUsers", Text, None, Text(config.access.super_users),
        "Users, separated by commas, that may set a password without knowing the old one."),
    key!("common.security.defaultRootPassword", Secret, None, Secret(config.access.root_password),
        "Password of root until it is changed; empty: Milvus."),
    Key {
        name: "common.security.tlsMode",
        aliases: &[],
        unit: Count,
        range: Some((0.0, 2.0)),
        choices: &[],
        doc: "TLS of the gRPC port: 0 none, 1 the server has a certificate, 2 clients need one too.",
        get: |draft| Setting::Count(draft.config.tls.mode.number()),
        set: |draft, setting| {
            if let Setting::Count(number) = setting {
                draft.config.tls.mode = TlsMode::of_number(number).ok_or("must be 0, 1 or 2")?;
            }
            Ok(())
        },
    },
    path!("tls.serverPemPath", tls.certificate,
        "PEM file with the server's certificate, and behind it those between it and its authority."),
    path!("tls.serverKeyPath", tls.key, "PEM file with the key of that certificate, not encrypted."),
    path!("tls.caPemPath", tls.authorities,
        "PEM file with the authorities whose certificates clients may have; for tlsMode 2."),
    key!("localStorage.path", Text, None, Text(storage.local_path),
        "Directory of the binlogs with local storage; empty: `files` below the data directory."),
    key!("minio.address", Text, None, Text(storage.address),
        "Host of the S3-compatible store, or host:port; also behind http:// or https://, which then decides minio.useSSL."),
    key!("minio.port", Count, Some((1.0, 65_535.0)), Count(storage.port),
        "Port of the S3-compatible store, unless the address has one."),
    key!("minio.accessKeyID", Secret, None, Secret(storage.s3.access_key), "Access key."),
    key!("minio.secretAccessKey", Secret, None, Secret(storage.s3.secret_key), "Secret key."),
    Key {
        name: "minio.useSSL",
        aliases: &[],
        unit: Flag,
        range: None,
        choices: &[],
        doc: "Speak HTTPS to the store.",
        get: |draft| Setting::Flag(draft.storage.s3.use_ssl),
        set: |draft, setting| {
            if let Setting::Flag(use_ssl) = setting {
                draft.storage.s3.use_ssl = use_ssl;
                draft.storage.names_ssl = true;
            }
            Ok(())
        },
    },
    key!("minio.bucketName", Text, None, Text(storage.s3.bucket), "Bucket."),
    key!("minio.rootPath", Text, None, Text(storage.s3.root_path), "Prefix of every object name."),
    key!("minio.region", Text, None, Text(storage.s3.region), "Region, if the store wants one."),
    key!("minio.requestTimeoutMs", Milliseconds, Some((0.0, 3_600_000.0)), Time(storage.s3.request_timeout),
        "A request to the store that hears nothing for this long is given up and tried again; 0: never."),
    key!("minio.createBucket", Flag, None, Flag(storage.s3.create_bucket),
        "Make the bucket at the start if it is missing."),
    key!("minio.useVirtualHost", Flag, None, Flag(storage.s3.virtual_host), "The bucket is part of the host name."),
    Key {
        name: "log.level",
        aliases: &[],
        unit: Text,
        range: None,
        choices: &[],
        doc: "debug, info, warn or error, or directives such as datacoord=debug,info.",
        get: |draft| Setting::Text(draft.config.log.level.clone()),
        set: |draft, setting| {
            if let Setting::Text(level) = setting {
                // Milvus has two levels that we never log at.
                draft.config.log.level =
                    if matches!(level.as_str(), "panic" | "fatal") { "error".to_owned() } else { level };
            }
            Ok(())
        },
    },
    Key {
        name: "log.format",
        aliases: &[],
        unit: Text,
        range: None,
        choices: &["text", "json"],
        doc: "Shape of a log line.",
        get: |draft| {
            Setting::Text(match draft.config.log.format {
                LogFormat::Text => "text".to_owned(),
                LogFormat::Json => "json".to_owned(),
            })
        },
        set: |draft, setting| {
            draft.config.log.format =
                if setting == Setting::Text("json".to_owned()) { LogFormat::Json } else { LogFormat::Text };
            Ok(())
        },
    },
    Key {
        name: "trace.exporter",
        aliases: &[],
        unit: Text,
        range: None,
        choices: &["noop", "stdout", "otlp"],
        doc: "Spans of calls and plans go to a collector of OpenTelemetry (otlp), or nowhere.",
        get: |draft| {
            Setting::Text(match draft.config.trace.exporter {
                TraceExporter::None => "noop".to_owned(),
                TraceExporter::Otlp => "otlp".to_owned(),
            })
        },
        set: |draft, setting| {
            draft.config.trace.exporter = match setting {
                Setting::Text(text) if text == "otlp" => TraceExporter::Otlp,
                _ => TraceExporter::None,
            };
            Ok(())
        },
    },
    key!("trace.sampleFraction", Ratio, Some((0.0, 1.0)), Ratio(config.trace.sample_fraction),
        "Part of the traces that is sent; calls with a trace of their client follow the client's choice."),
    key!("trace.otlp.endpoint", Text, None, Text(config.trace.otlp_endpoint),
        "The collector's port for gRPC, such as collector:4317, or its URL."),
    key!("trace.otlp.secure", Flag, None, Flag(config.trace.otlp_secure), "TLS to an endpoint that is no URL."),
    path!("queryNode.mmapDirPath", query.mapped_indexes,
        "Folder on a local disk: open indexes are mapped from files in it, so that the kernel can take their memory back. \
         They count towards datacoord.vectorCache.memoryLimit all the same. Empty: they are in memory."),
    path!("datacoord.dataDir", server.data_dir,
        "Metadata store, write-ahead log and, with local storage, the binlogs are below it."),
    address!("datacoord.grpc.address", grpc_listen, "Address the gRPC services listen on: an IP address or a name."),
    key!("datacoord.grpc.memoryLimit", Megabytes, OR_SHARE, Bytes(config.memory.requests_bytes),
        "Memory for the messages of calls in flight, all together; 0: a share of memory.limit."),
    key!("datacoord.grpc.queueTimeout", Seconds, Some((0.0, 3600.0)), Time(config.server.admission_timeout),
        "A call whose message waits longer than this for memory is refused; clients of Milvus try again."),
    key!("datacoord.grpc.maxStreams", Count, Some((1.0, 1_000_000.0)), Count(config.server.max_streams),
        "Calls at once on one connection; a client that has more waits."),
    address!("datacoord.http.address", http_listen, "Address of REST, health and metrics: an IP address or a name."),
    Key {
        name: "datacoord.http.tls",
        aliases: &[],
        unit: Text,
        range: None,
        choices: &["same", "off", "one-way", "mutual"],
        doc: "TLS of the HTTP port; same: as common.security.tlsMode says.",
        get: |draft| Setting::Text(draft.config.tls.http_mode.map_or(SAME, TlsMode::as_str).to_owned()),
        set: |draft, setting| {
            if let Setting::Text(text) = setting {
                let modes = [TlsMode::Off, TlsMode::OneWay, TlsMode::Mutual];
                draft.config.tls.http_mode = modes.into_iter().find(|mode| mode.as_str() == text);
            }
            Ok(())
        },
    },
    key!("datacoord.http.names", Text, None, Text(config.server.http_names),
        "Names with a dot, separated by commas, under which browsers reach the HTTP port while it has neither users nor \
         TLS; addresses and names without a dot need no entry."),
    key!("datacoord.http.openMetrics", Flag, None, Flag(config.server.open_metrics),
        "/metrics needs neither a login nor, in mutual TLS, a certificate."),
    key!("datacoord.tls.reloadInterval", Seconds, Some((0.1, 86_400.0)), Time(config.tls.reload_interval),
        "How often the files of tls are compared with those in use; new ones are used at once."),
    key!("datacoord.connections.max", Count, Some((0.0, 1_000_000.0)), Count(config.server.max_connections),
        "Connections at once, of both ports; one more is refused. 0: as many as descriptors and memory allow."),
    key!("datacoord.connections.idleTimeout", Seconds, Some((1.0, 86_400.0)), Time(config.server.idle_timeout),
        "A connection is closed when a handshake, a head or a body that has begun does not get on for this long."),
    key!("datacoord.storage.maxAttempts", Count, Some((1.0, 100.0)), Count(config.storage.max_attempts),
        "Attempts of one request to the object store, the first included."),
    key!("datacoord.storage.retryBackoff", Milliseconds, Some((1.0, 60_000.0)), Time(config.storage.retry_backoff),
        "First pause between attempts; it doubles each time."),
    key!("datacoord.storage.startTimeout", Seconds, Some((1.0, 86_400.0)), Time(config.storage.start_timeout),
        "A start that hears nothing from the object store for this long fails."),
    key!("datacoord.storage.takeOver", Text, None, Text(config.storage.take_over),
        "The run whose store this start takes over, as its refusal names it: the other server is fenced; empty: none."),
    key!("datacoord.binlog.zstdLevel", Count, Some((1.0, 22.0)), Count(config.binlog.zstd_level),
        "Level of the zstd compression of binlogs."),
    key!("datacoord.binlog.pageSize", Bytes, Some((4096.0, 16_777_216.0)), Bytes(config.binlog.page_bytes),
        "Bytes of a page before compression; merges make them no larger than a sixteenth of their memory limit."),
    key!("datacoord.binlog.rowGroupRows", Count, Some((100.0, 1_073_741_824.0)), Count(config.binlog.row_group_rows),
        "Rows of a row group at most."),
    key!("datacoord.binlog.dictionary", Flag, None, Flag(config.binlog.dictionary),
        "Columns whose values may repeat begin with a dictionary."),
    key!("datacoord.memory.limit", Megabytes, Some((0.0, MAX_MB)), Bytes(config.memory.limit_bytes),
        "Memory that the process may use; 0: the limit of its cgroup, or three quarters of the machine's."),
    key!("datacoord.memory.hugePages", Flag, None, Flag(config.memory.huge_pages),
        "Let the allocator take huge pages, which make inserts and merges faster. A process that may use less than 2 GB \
         never takes them."),
    key!("datacoord.ingest.memoryLimit", Megabytes, OR_SHARE, Bytes(config.memory.growing_bytes),
        "Growing segments are sealed, largest first, while they hold more than this; writers wait at twice that. \
         0: a share of memory.limit."),
    key!("datacoord.flush.memoryLimit", Megabytes, OR_SHARE, Bytes(config.memory.flushes_bytes),
        "Memory of flushes for encoding and writing; 0: a share of memory.limit."),
    key!("datacoord.query.memoryLimit", Megabytes, OR_SHARE, Bytes(config.memory.queries_bytes),
        "Memory for running queries and their answers, all together; 0: a share of memory.limit."),
    key!("datacoord.query.maxConcurrency", Count, Some((0.0, 1024.0)), Count(config.query.max_concurrency),
        "Queries that run at once, others wait in order; 0: two for each core, and four at least."),
    key!("datacoord.cache.memoryLimit", Megabytes, OR_SHARE, Bytes(config.memory.caches_bytes),
        "Memory for the caches of the catalog and of filters over keys; 0: a share of memory.limit."),
    key!("datacoord.vectorCache.memoryLimit", Megabytes, OR_SHARE, Bytes(config.memory.vectors_bytes),
        "Columns and indexes of flushed segments that reads keep; 0: a share of memory.limit."),
    key!("datacoord.wal.maxSize", Megabytes, Some((1.0, MAX_MB)), Bytes(config.ingest.wal_max_bytes),
        "The oldest growing segments are sealed while the write-ahead log is longer than this."),
    key!("datacoord.wal.fileSize", Megabytes, Some((0.0625, 65_536.0)), Bytes(config.ingest.wal_file_bytes),
        "A new file of the log is begun beyond this size."),
    Key {
        name: "datacoord.wal.acceptLoss",
        aliases: &[],
        unit: Text,
        range: None,
        choices: &[],
        doc: "Name of a write-ahead log that is lost, as the refused start has it: a new one is begun without the rows that only that one had.",
        get: |draft| {
            Setting::Text(draft.config.ingest.accept_lost_log.map(|name| name.to_string()).unwrap_or_default())
        },
        set: |draft, setting| {
            if let Setting::Text(text) = setting {
                let name = Uuid::try_parse(&text).map_err(|_| "expected the name of a log, a UUID".to_owned());
                draft.config.ingest.accept_lost_log = if text.is_empty() { None } else { Some(name?) };
            }
            Ok(())
        },
    },
    key!("datacoord.delta.maxRows", Count, Some((1.0, 1e9)), Count(config.ingest.delta_max_rows),
        "Deletes of flushed segments are written when this many wait."),
    key!("datacoord.delta.maxAge", Seconds, TIME, Time(config.ingest.delta_max_age),
        "Deletes of flushed segments are written when the oldest waits for this long."),
    key!("datacoord.scrub.interval", Seconds, Some((0.0, YEAR_SECONDS)), Time(config.scrub.interval),
        "Every object is read and compared with its checksum once in this time; 0 switches it off."),
    key!("datacoord.compaction.expiredRatio", Ratio, SHARE, Ratio(config.compaction.expired_ratio),
        "A segment is rewritten beyond this share of rows past the collection's time to live."),
    key!("datacoord.compaction.inclusiveShares", Flag, None, Flag(config.compaction.inclusive_shares),
        "A share of deleted or expired rows that equals its threshold is beyond it, as in Milvus."),
    key!("datacoord.compaction.memoryLimit", Megabytes, OR_SHARE, Bytes(config.memory.merges_bytes),
        "Memory for merging, all plans together; 0: a share of memory.limit."),
    key!("datacoord.compaction.throttle", Megabytes, Some((0.0, MAX_MB)), Bytes(config.worker.throttle_bytes),
        "Bytes that merges may read and write per second, all together, until SetThrottle says otherwise; 0: no limit."),
    Key {
        name: "datacoord.compaction.windows",
        aliases: &[],
        unit: Text,
        range: None,
        choices: &[],
        doc: "Times of the day (UTC) at which automatic compaction may begin, e.g. 22:00-06:00; empty: always.",
        get: |draft| Setting::Text(draft.config.compaction.windows.to_string()),
        set: |draft, setting| {
            if let Setting::Text(text) = setting {
                draft.config.compaction.windows = Windows::parse(&text)?;
            }
            Ok(())
        },
    },
    key!("datacoord.compaction.maxAttempts", Count, Some((1.0, 100.0)), Count(config.worker.max_attempts),
        "Executions of a plan, the first included, before transient errors or hangs end it."),
    key!("datacoord.compaction.retryBackoff", Milliseconds, Some((1.0, 3_600_000.0)), Time(config.worker.retry_backoff),
        "First pause between attempts; it doubles each time."),
    key!("datacoord.compaction.historyAge", Seconds, Some((60.0, 100.0 * YEAR_SECONDS)),
        Time(config.compaction.history_age), "Finished jobs are kept this long."),
    key!("datacoord.compaction.historyJobs", Count, Some((1.0, 1e8)), Count(config.compaction.history_jobs),
        "Not more finished jobs than this are kept."),
    key!("datacoord.limits.maxVarCharLength", Count, Some((1.0, 65_535.0)), Count(config.limits.max_varchar_length),
        "Longest varchar that a field may allow."),
    key!("datacoord.limits.maxArrayCapacity", Count, Some((1.0, 4096.0)), Count(config.limits.max_array_capacity),
        "Most elements that an array field may allow."),
    key!("datacoord.limits.defaultPartitionCount", Count, Some((1.0, 4096.0)),
        Count(config.limits.default_partition_count),
        "Partitions of a collection with a partition key, when the client names no number."),
];

/// Keys whose values must not be ignored: that would lose security, data or rows.
pub(super) const REFUSED: &[RefusedKey] = &[
    RefusedKey {
        name: "common.entityExpiration",
        accepted: &["-1"],
        instead: "give the collection the property collection.ttl.seconds",
    },
    RefusedKey { name: "common.storage.enablev2", accepted: &["false"], instead: "only storage format v1 is written" },
    RefusedKey {
        name: "minio.useIAM",
        accepted: &["false"],
        instead: "use minio.accessKeyID and minio.secretAccessKey",
    },
    RefusedKey {
        name: "minio.cloudProvider",
        accepted: &["aws"],
        instead: "any S3-compatible store is aws; set minio.useVirtualHost where it needs that",
    },
];
