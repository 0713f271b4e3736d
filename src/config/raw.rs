//! Settings while layers are applied. Some keys make one setting together; they stay apart until all layers are in.

use std::{path::PathBuf, time::Duration};

use super::{
    error::ConfigError,
    secret::{MASK, Secret},
    settings::Config,
    storage::{S3Config, StorageKind},
};

/// The typed settings, and beside them the keys that only make sense together.
#[derive(Debug, Clone, Default)]
pub struct RawConfig {
    pub config: Config,
    pub storage: RawStorage,
}

/// The keys of the object store. [`RawConfig::finish`] makes one setting of them.
#[derive(Clone)]
pub struct RawStorage {
    /// `local`, `minio` or `remote`; the last two mean the same.
    pub kind: String,
    /// Empty: `files` below the data directory.
    pub local_path: String,
    pub address: String,
    pub port: u64,
    /// A layer has set `minio.useSSL`.
    pub names_ssl: bool,
    /// The endpoint stays empty until [`RawConfig::finish`].
    pub s3: S3Config,
}

impl Default for RawStorage {
    fn default() -> Self {
        Self {
            kind: "local".to_owned(),
            local_path: String::new(),
            address: "localhost".to_owned(),
            port: 9000,
            names_ssl: false,
            s3: S3Config {
                endpoint: String::new(),
                bucket: "a-bucket".to_owned(),
                root_path: "files".to_owned(),
                access_key: Secret::new("minioadmin"),
                secret_key: Secret::new("minioadmin"),
                region: String::new(),
                use_ssl: false,
                virtual_host: false,
                request_timeout: Duration::from_secs(10),
                create_bucket: true,
            },
        }
    }
}

impl std::fmt::Debug for RawStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawStorage").field("kind", &self.kind).field("s3", &self.s3).finish_non_exhaustive()
    }
}

impl RawConfig {
    /// Joins the keys that belong together.
    ///
    /// # Errors
    /// `Contradiction` when keys of the object store contradict each other or `minio.address` is no address.
    pub fn finish(self) -> Result<Config, ConfigError> {
        let Self { mut config, storage } = self;
        // A limit that was set does not depend on the machine.
        if config.memory.growing_bytes > 0 {
            config.ingest.memory_limit_bytes = config.memory.growing_bytes;
        }
        if config.memory.merges_bytes > 0 {
            config.worker.memory_limit_bytes = config.memory.merges_bytes;
        }
        config.storage.kind = if storage.kind == "local" {
            StorageKind::Local { root: (!storage.local_path.is_empty()).then(|| PathBuf::from(&storage.local_path)) }
        } else {
            let (address, is_https) = endpoint(&storage.address)?;
            // Milvus' rule: the port is added unless the address has one.
            let endpoint =
                if address.contains(':') { address.to_owned() } else { format!("{address}:{}", storage.port) };
            let use_ssl = is_https.unwrap_or(storage.s3.use_ssl);
            if use_ssl != storage.s3.use_ssl && storage.names_ssl {
                return Err(ConfigError::Contradiction(format!(
                    "minio.address is {:?} and minio.useSSL is {}: leave out the scheme, or let both say the same",
                    without_user(&storage.address),
                    storage.s3.use_ssl
                )));
            }
            StorageKind::S3(S3Config { endpoint, use_ssl, ..storage.s3 })
        };
        Ok(config)
    }
}

/// An address for an error: text before an @ may be a password.
fn without_user(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => address.to_owned(),
    }
}

/// Host and optional port of an address that may be a URL, and whether its scheme, if any, is HTTPS.
fn endpoint(address: &str) -> Result<(&str, Option<bool>), ConfigError> {
    let (scheme, host) = match address.split_once("://") {
        None => (None, address),
        Some((scheme, host)) => (Some(scheme), host.strip_suffix('/').unwrap_or(host)),
    };
    let is_https = match scheme.map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("http") => Some(false),
        Some("https") => Some(true),
        Some(_) => {
            let shown = without_user(address);
            let text = format!("minio.address is {shown:?}: a scheme must be http or https");
            return Err(ConfigError::Contradiction(text));
        }
    };
    if host.is_empty() || host.contains(['/', '?', '#', '@']) || host.contains(char::is_whitespace) {
        let shown = without_user(address);
        let text =
            format!("minio.address is {shown:?}: must be a host, host:port, or either behind http:// or https://");
        return Err(ConfigError::Contradiction(text));
    }
    Ok((host, is_https))
}
