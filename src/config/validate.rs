//! Rules over several settings at once. The range of a single key is in the table of `keys`.

use super::{
    budget::Part,
    error::ConfigError,
    settings::Config,
    storage::StorageKind,
    tls::TlsMode::{Mutual, OneWay},
    trace::TraceExporter,
};

/// No part works with less. Zero is allowed: it means a share of the total.
const LEAST_MEMORY: u64 = 16 << 20;

/// Refuses settings that contradict each other; the error names both keys and both values.
pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    let contradiction = |text: String| Err(ConfigError::Contradiction(text));

    let (small, full) = (config.compaction.small_proportion, config.compaction.full_proportion);
    if small > full {
        return contradiction(format!(
            "dataCoord.segment.smallProportion is {small}: must not exceed dataCoord.segment.compactableProportion, \
             which is {full}"
        ));
    }
    let parts = Part::ALL.iter().map(|part| (part.key(), config.memory.of(*part)));
    let limits = parts.chain([("datacoord.memory.limit", config.memory.limit_bytes)]);
    for (key, bytes) in limits {
        if bytes != 0 && bytes < LEAST_MEMORY {
            return contradiction(format!(
                "{key} is {bytes} bytes: must be 0 (a share of what there is) or at least {LEAST_MEMORY} bytes"
            ));
        }
    }
    let ingest = &config.ingest;
    if ingest.wal_file_bytes > ingest.wal_max_bytes {
        return contradiction(format!(
            "datacoord.wal.fileSize is {} bytes: must not exceed datacoord.wal.maxSize, which is {} bytes",
            ingest.wal_file_bytes, ingest.wal_max_bytes
        ));
    }
    let access = &config.access;
    if access.min_password_length > access.max_password_length {
        return contradiction(format!(
            "proxy.minPasswordLength is {}: must not exceed proxy.maxPasswordLength, which is {}",
            access.min_password_length, access.max_password_length
        ));
    }
    let server = &config.server;
    if server.grpc_listen == server.http_listen && server.grpc_listen.port() != 0 {
        return contradiction(format!(
            "proxy.port and common.MetricsPort are both {}: must differ on one address",
            server.grpc_listen.port()
        ));
    }
    let tls = &config.tls;
    let needed = [
        ("tls.serverPemPath", &tls.certificate, tls.any(&[OneWay, Mutual])),
        ("tls.serverKeyPath", &tls.key, tls.any(&[OneWay, Mutual])),
        ("tls.caPemPath", &tls.authorities, tls.any(&[Mutual])),
    ];
    if let Some((key, ..)) = needed.iter().find(|(_, path, needed)| *needed && path.as_os_str().is_empty()) {
        return contradiction(format!(
            "{key} is empty: common.security.tlsMode {} and datacoord.http.tls {:?} need it",
            tls.mode.number(),
            tls.http_mode.map_or("same", |mode| mode.as_str())
        ));
    }
    if server.data_dir.as_os_str().is_empty() {
        return contradiction("datacoord.dataDir is empty: must name a directory".to_owned());
    }
    let prefix = &server.channel_prefix;
    if prefix.is_empty() || !prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
        return contradiction(format!(
            "common.chanNamePrefix.cluster is {prefix:?}: must be letters, digits, - and _, at least one"
        ));
    }
    if let StorageKind::S3(s3) = &config.storage.kind
        && (s3.bucket.contains('/') || s3.root_path.split('/').any(|part| part == ".."))
    {
        return contradiction(format!(
            "minio.bucketName is {:?} and minio.rootPath is {:?}: a bucket has no slash, a path no ..",
            s3.bucket, s3.root_path
        ));
    }
    if config.trace.exporter == TraceExporter::Otlp && config.trace.otlp_endpoint.is_empty() {
        return contradiction("trace.otlp.endpoint is empty: trace.exporter otlp needs it".to_owned());
    }
    let level = &config.log.level;
    if let Err(reason) = check_level(level) {
        return contradiction(format!("log.level is {level:?}: {reason}"));
    }
    Ok(())
}

/// Whether a text is a level of the log. The error says why not.
pub fn check_level(level: &str) -> Result<(), String> {
    // The filter would take a bare word that is no level for a module's name, and log nothing.
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let misspelt = |part: &str| !part.contains(['=', '[']) && !levels.contains(&part.to_ascii_lowercase().as_str());
    if let Some(part) = level.split(',').map(str::trim).find(|part| misspelt(part)) {
        return Err(format!("{part:?} is none of {}", levels.join(", ")));
    }
    tracing_subscriber::EnvFilter::try_new(level).map(drop).map_err(|error| error.to_string())
}
