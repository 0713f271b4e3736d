//! Objects in an S3-compatible bucket, or in memory for tests: anything the `object_store` crate speaks to.
//!
//! Durability and atomicity of a single object are the store's own promise.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{
    TryStreamExt,
    stream::{BoxStream, StreamExt},
};
use object_store::{
    ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, aws::AmazonS3Builder, memory::InMemory, path::Path,
};

use super::{
    Paced, SPLICED_BYTES, StorageError,
    backend::{Backend, Listed, Object, Rest},
};
use crate::config::S3Config;

/// Used when none is configured: what S3-compatible servers take for granted.
const DEFAULT_REGION: &str = "us-east-1";
/// Bytes of one part of an upload: the least that S3 takes, but for the last part.
const PART_BYTES: u64 = SPLICED_BYTES;

#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// Prefix of every name, without slashes at its ends; may be empty.
    root: String,
}

impl Bucket {
    pub(super) fn in_memory() -> Self {
        Self { store: Arc::new(InMemory::new()), root: String::new() }
    }

    /// Builds the client; talks to nobody yet.
    pub(super) fn s3(config: &S3Config) -> Result<Self, StorageError> {
        if config.bucket.is_empty() {
            return Err(StorageError::Settings("bucket name is empty".to_owned()));
        }
        let scheme = if config.use_ssl { "https" } else { "http" };
        let region = if config.region.is_empty() { DEFAULT_REGION } else { &config.region };
        // Retrying is the business of `SegmentStore`: one place, one bound.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(region)
            .with_allow_http(!config.use_ssl)
            .with_virtual_hosted_style_request(config.virtual_host)
            .with_retry(retry);
        if !config.endpoint.is_empty() {
            builder = builder.with_endpoint(format!("{scheme}://{}", config.endpoint));
        }
        // Without keys the client asks the machine's own role.
        if !config.access_key.is_empty() {
            builder = builder.with_access_key_id(&config.access_key).with_secret_access_key(&config.secret_key);
        }
        let store = builder.build().map_err(|e| StorageError::Settings(e.to_string()))?;
        Ok(Self { store: Arc::new(store), root: config.root_path.trim_matches('/').to_owned() })
    }

    fn path(&self, name: &str) -> Path {
        if self.root.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.root)) }
    }
}

/// Waits until all of a request may move, which is one piece to the store.
async fn take(pace: &Paced, bytes: u64) -> Result<(), StorageError> {
    let mut left = bytes;
    while let Some(pace) = pace.as_ref().filter(|_| left > 0) {
        let now = pace.part().map_or(left, |part| part.clamp(1, left));
        pace.take(now).await?;
        left -= now;
    }
    Ok(())
}

impl Bucket {
    /// Uploads the bytes and what follows them in parts, each read when it is its turn.
    async fn splice(&self, object: &Object, rest: &Rest) -> Result<(), StorageError> {
        let failed = |e| StorageError::of_object_store("put", &object.name, e);
        let mut upload = self.store.put_multipart(&self.path(&object.name)).await.map_err(failed)?;
        let uploaded = async {
            let (mut first, mut at) = (object.bytes.clone(), rest.range.start);
            while !first.is_empty() || at < rest.range.end {
                let until = rest.range.end.min(at + PART_BYTES.saturating_sub(first.len() as u64));
                take(&object.pace, until - at).await?;
                let next = if at < until { self.get_range(&rest.name, at..until).await? } else { Bytes::new() };
                if (next.len() as u64) < until - at {
                    return Err(rest.ends_at(at + next.len() as u64));
                }
                at = until;
                let first = std::mem::take(&mut first);
                take(&object.pace, (first.len() + next.len()) as u64).await?;
                upload.put_part([first, next].into_iter().collect()).await.map_err(failed)?;
            }
            upload.complete().await.map(drop).map_err(failed)
        }
        .await;
        if uploaded.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::debug!(object = %object.name, %error, "an upload that failed is left to the store");
        }
        uploaded
    }
}

#[async_trait]
impl Backend for Bucket {
    async fn get(&self, name: &str) -> Result<Bytes, StorageError> {
        let failed = |e| StorageError::of_object_store("get", name, e);
        self.store.get(&self.path(name)).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let got = self.store.get_range(&self.path(name), range).await;
        got.map_err(|e| StorageError::of_object_store("get", name, e))
    }

    async fn size(&self, name: &str) -> Result<u64, StorageError> {
        let found = self.store.head(&self.path(name)).await;
        found.map(|meta| meta.size).map_err(|e| StorageError::of_object_store("head", name, e))
    }

    async fn put(&self, objects: &[Object]) -> Result<(), StorageError> {
        for object in objects {
            match &object.rest {
                Some(rest) => self.splice(object, rest).await?,
                None => {
                    take(&object.pace, object.size()).await?;
                    let payload = PutPayload::from_bytes(object.bytes.clone());
                    let put = self.store.put(&self.path(&object.name), payload).await;
                    put.map_err(|e| StorageError::of_object_store("put", &object.name, e))?;
                }
            }
        }
        Ok(())
    }

    fn batch(&self) -> usize {
        1
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.store
            .copy(&self.path(from), &self.path(to))
            .await
            .map_err(|e| StorageError::of_object_store("copy", from, e))
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(StorageError::of_object_store("delete", name, e)),
        }
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>> {
        let (failing, root) = (prefix.to_owned(), self.root.clone());
        let objects = self.store.list(Some(&self.path(prefix)));
        objects
            .map_err(move |e| StorageError::of_object_store("list", &failing, e))
            .map_ok(move |meta| {
                let name = meta.location.as_ref();
                Listed {
                    name: name.strip_prefix(&root).unwrap_or(name).trim_start_matches('/').to_owned(),
                    bytes: meta.size,
                    modified_ms: u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0),
                }
            })
            .boxed()
    }

    async fn clear_staging(&self) -> Result<u64, StorageError> {
        // Puts of a bucket are atomic: there is nothing outside the namespace.
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_below_the_root_and_secrets_stay_out_of_errors() {
        let config = S3Config {
            endpoint: "localhost:9000".to_owned(),
            bucket: "b".to_owned(),
            root_path: "/files/".to_owned(),
            access_key: "key".to_owned(),
            secret_key: "hidden".to_owned(),
            ..S3Config::default()
        };
        let bucket = Bucket::s3(&config).unwrap();
        assert_eq!(bucket.path("delta_log/1/2/3/4").as_ref(), "files/delta_log/1/2/3/4");
        assert!(!format!("{bucket:?}").contains("hidden"));
        let error = Bucket::s3(&S3Config::default()).unwrap_err().to_string();
        assert_eq!(error, "storage settings: bucket name is empty");
    }
}
