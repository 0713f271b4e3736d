//! Objects in an S3-compatible bucket, or in memory for tests, through the `object_store` crate.
//!
//! The store itself promises that a single object is written durably and atomically. Must never: retry, because
//! [`super::SegmentStore`] does and knows the bound.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use object_store::{
    ClientOptions, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig,
    UpdateVersion,
    aws::{AmazonS3, AmazonS3Builder},
    client::{HttpClient, HttpConnector, HttpRequestBody, ReqwestConnector},
    memory::InMemory,
    path::Path,
    signer::Signer,
};

use super::{
    backend::{Listed, Object, Rest, SPLICED_BYTES, StorageBackend, Swapped},
    error::{StorageError, causes},
    pace::Paced,
};
use crate::config::{S3Config, Secret};

/// Used when no region is configured; S3-compatible servers expect it.
const DEFAULT_REGION: &str = "us-east-1";
/// Slowest transfer that is not given up: it adds to the time that a request may take.
const LEAST_BYTES_PER_SECOND: u64 = 1 << 20;
/// Most bytes that are allocated because an answer states its size.
const MOST_RESERVED: u64 = 64 << 20;
/// Lifetime of the signed URL that creates a bucket.
const SIGNED_FOR: Duration = Duration::from_secs(60);
/// Bytes of one part of an upload: the smallest that S3 accepts, except for the last part.
const PART_BYTES: u64 = SPLICED_BYTES;

#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// Prefix of every name, without slashes at its ends; may be empty.
    root: String,
    place: BucketPlace,
    /// A request is given up when the server is silent for this long. `None`: never.
    request_timeout: Option<Duration>,
    /// Creates the bucket. `None`: that is not allowed.
    creator: Option<BucketCreator>,
}

impl Bucket {
    pub(super) fn in_memory() -> Self {
        let place = BucketPlace { text: Arc::from("(memory)"), secrets: Arc::default() };
        Self { store: Arc::new(InMemory::new()), root: String::new(), place, request_timeout: None, creator: None }
    }

    /// Builds the client; sends no request.
    pub(super) fn s3(config: &S3Config) -> Result<Self, StorageError> {
        if config.bucket.is_empty() {
            return Err(StorageError::Settings("bucket name is empty".to_owned()));
        }
        // The client has no TLS of its own and panics without one. An error says that the process has chosen before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let scheme = if config.use_ssl { "https" } else { "http" };
        let region = if config.region.is_empty() { DEFAULT_REGION } else { &config.region };
        // `SegmentStore` retries: one place, one bound.
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let request_timeout = Some(config.request_timeout).filter(|timeout| !timeout.is_zero());
        // The time that a request may take depends on its size, which the client does not know: `within` limits it.
        let options = ClientOptions::new().with_timeout_disabled().with_allow_http(!config.use_ssl);
        let options = match request_timeout {
            Some(request_timeout) => options.with_connect_timeout(request_timeout),
            None => options.with_connect_timeout_disabled(),
        };
        let mut builder = AmazonS3Builder::new()
            .with_client_options(options.clone())
            .with_bucket_name(&config.bucket)
            .with_region(region)
            .with_virtual_hosted_style_request(config.virtual_host)
            .with_retry(retry);
        if !config.endpoint.is_empty() {
            // The client adds the bucket to the path, and leaves the name of a host as it is.
            let bucket = if config.virtual_host { format!("{}.", config.bucket) } else { String::new() };
            builder = builder.with_endpoint(format!("{scheme}://{bucket}{}", config.endpoint));
        }
        // Without keys the client uses the role of the machine.
        if !config.access_key.is_empty() {
            builder = builder
                .with_access_key_id(config.access_key.expose())
                .with_secret_access_key(config.secret_key.expose());
        }
        let unusable = |e: object_store::Error| StorageError::Settings(causes(&e));
        let store = builder.build().map_err(unusable)?;
        let creator = if config.create_bucket {
            let client = ReqwestConnector::default().connect(&options).map_err(unusable)?;
            Some(BucketCreator { store: store.clone(), client, region: config.region.clone() })
        } else {
            None
        };
        let root = config.root_path.trim_matches('/').to_owned();
        let secrets = [&config.secret_key, &config.access_key].map(Secret::clone);
        let place = BucketPlace { text: config.place().into(), secrets: Arc::new(secrets) };
        Ok(Self { store: Arc::new(store), root, place, request_timeout, creator })
    }

    /// Converts errors of the client.
    fn failed<'a>(
        &'a self,
        operation: &'static str,
        name: &'a str,
    ) -> impl Fn(object_store::Error) -> StorageError + Copy + 'a {
        move |error| failure(&self.place, operation, name, error)
    }

    /// Waits for a request that moves `bytes`, at most as long as it may take.
    async fn within<T>(
        &self,
        operation: &'static str,
        name: &str,
        bytes: u64,
        request: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, StorageError> {
        let done = match self.request_timeout {
            None => Ok(request.await),
            Some(request_timeout) => {
                tokio::time::timeout(request_timeout + Duration::from_secs(bytes / LEAST_BYTES_PER_SECOND), request)
                    .await
            }
        };
        match done {
            Ok(done) => done.map_err(self.failed(operation, name)),
            Err(_elapsed) => Err(silent(operation, name, self.request_timeout)),
        }
    }

    /// Reads the bytes of an answer. Each part has the full time-out.
    async fn body(&self, name: &str, got: GetResult) -> Result<Bytes, StorageError> {
        let size = got.range.end.saturating_sub(got.range.start);
        let mut body = got.into_stream();
        let mut read = BytesMut::new();
        while let Some(part) = self.within("get", name, 0, async { body.next().await.transpose() }).await? {
            if read.is_empty() {
                // Most answers are one part, which is returned without a copy.
                if part.len() as u64 == size {
                    return Ok(part);
                }
                read.reserve(usize::try_from(size.min(MOST_RESERVED)).unwrap_or(0));
            }
            read.extend_from_slice(&part);
        }
        Ok(read.freeze())
    }

    async fn get_with(&self, name: &str, options: GetOptions) -> Result<(ObjectMeta, Bytes), StorageError> {
        let got = self.within("get", name, 0, self.store.get_opts(&self.path(name), options)).await?;
        let meta = got.meta.clone();
        Ok((meta, self.body(name, got).await?))
    }

    fn path(&self, name: &str) -> Path {
        if self.root.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.root)) }
    }
}

/// Creates a bucket; the client library has no call for it.
#[derive(Debug)]
struct BucketCreator {
    store: AmazonS3,
    client: HttpClient,
    /// Empty: the server's default.
    region: String,
}

impl BucketCreator {
    /// Succeeds too if the bucket exists by now.
    async fn create(&self) -> Result<(), String> {
        let signed = self.store.signed_url(http::Method::PUT, &Path::default(), SIGNED_FOR).await;
        let url = signed.map_err(|e| causes(&e))?;
        // The body names the region, except the default one: S3 refuses a body that names it.
        let body = match self.region.as_str() {
            "" | DEFAULT_REGION => Bytes::new(),
            region => format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{region}\
                 </LocationConstraint></CreateBucketConfiguration>"
            )
            .into(),
        };
        let request = http::Request::put(url.as_str()).header(http::header::CONTENT_LENGTH, body.len());
        let request = request.body(HttpRequestBody::from(body)).map_err(|e| e.to_string())?;
        // The query of the signed URL grants access, so it stays out of error texts.
        let secret = url.query().unwrap_or("?").to_owned();
        let failed = |e: &dyn std::error::Error| causes(e).replace(&secret, "");
        let answer = self.client.execute(request).await.map_err(|e| failed(&e))?;
        let status = answer.status();
        let said = answer.into_body().bytes().await.map_err(|e| failed(&e))?;
        let said = String::from_utf8_lossy(said.get(..said.len().min(500)).unwrap_or_default()).into_owned();
        if status.is_success() || said.contains("BucketAlreadyOwnedByYou") {
            return Ok(());
        }
        Err(format!("{status}: {said}"))
    }
}

/// The bucket in log lines and errors.
#[derive(Debug, Clone)]
struct BucketPlace {
    /// The location.
    text: Arc<str>,
    /// Keys that an answer of the server may repeat.
    secrets: Arc<[Secret; 2]>,
}

impl BucketPlace {
    fn without_secrets(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| secret.removed_from(text))
    }
}

/// Converts an error of the client. Tells a missing bucket from a missing object.
fn failure(place: &BucketPlace, operation: &'static str, name: &str, error: object_store::Error) -> StorageError {
    if matches!(error, object_store::Error::NotFound { .. }) && causes(&error).contains("NoSuchBucket") {
        return StorageError::NoBucket { place: place.text.to_string() };
    }
    StorageError::of_object_store(operation, name, error).with_text(|text| place.without_secrets(text))
}

fn silent(operation: &'static str, name: &str, request_timeout: Option<Duration>) -> StorageError {
    let seconds = request_timeout.unwrap_or_default().as_secs_f64();
    let what = format!("no answer within {seconds} s (minio.requestTimeoutMs)");
    StorageError::Unavailable { operation, object: name.to_owned(), what }
}

/// Whether an error says that the server has no conditional writes, or no ETag to write on.
fn has_no_conditions(error: &object_store::Error) -> bool {
    let said = |text: &str| text.contains("NotImplemented") || text.contains("ETag required");
    matches!(error, object_store::Error::NotImplemented { .. })
        || (matches!(error, object_store::Error::Generic { .. }) && said(&causes(error)))
}

/// Waits until all bytes of a request may move; the store gets them in one piece.
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
    /// Uploads an object that ends with a part of another one. Reads each part only when it is its turn.
    async fn splice(&self, object: &Object, rest: &Rest) -> Result<(), StorageError> {
        let (name, path) = (object.name.as_str(), self.path(&object.name));
        let mut upload = self.within("put", name, 0, self.store.put_multipart(&path)).await?;
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
                let bytes = (first.len() + next.len()) as u64;
                self.within("put", name, bytes, upload.put_part([first, next].into_iter().collect())).await?;
            }
            self.within("put", name, 0, upload.complete()).await.map(drop)
        }
        .await;
        if uploaded.is_err()
            && let Err(error) = self.within("abort", name, 0, upload.abort()).await
        {
            tracing::debug!(object = %object.name, %error, "an upload that failed is left to the store");
        }
        uploaded
    }
}

#[async_trait]
impl StorageBackend for Bucket {
    async fn get(&self, name: &str) -> Result<Bytes, StorageError> {
        self.get_with(name, GetOptions::default()).await.map(|(_, bytes)| bytes)
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.get_with(name, GetOptions::new().with_range(Some(range))).await.map(|(_, bytes)| bytes)
    }

    async fn size(&self, name: &str) -> Result<u64, StorageError> {
        self.within("head", name, 0, self.store.head(&self.path(name))).await.map(|meta| meta.size)
    }

    async fn put(&self, objects: &[Object]) -> Result<(), StorageError> {
        for object in objects {
            match &object.rest {
                Some(rest) => self.splice(object, rest).await?,
                None => {
                    take(&object.pace, object.size()).await?;
                    let payload = PutPayload::from_bytes(object.bytes.clone());
                    let path = self.path(&object.name);
                    self.within("put", &object.name, object.size(), self.store.put(&path, payload)).await?;
                }
            }
        }
        Ok(())
    }

    fn batch(&self) -> usize {
        1
    }

    async fn make_place(&self) -> Result<bool, StorageError> {
        let Some(creator) = &self.creator else { return Ok(false) };
        let making = async { Ok(creator.create().await) };
        let made = self.within("make", "the bucket", 0, making).await?;
        let place = &self.place;
        let refused = |what| StorageError::Refused {
            operation: "make",
            object: place.text.to_string(),
            what: place.without_secrets(what),
        };
        made.map(|()| true).map_err(refused)
    }

    async fn swap(&self, name: &str, expected: Option<Bytes>, next: Bytes) -> Result<Swapped, StorageError> {
        let path = self.path(name);
        let (found, version) = match self.get_with(name, GetOptions::default()).await {
            Ok((meta, bytes)) => (Some(bytes), Some(UpdateVersion { e_tag: meta.e_tag, version: meta.version })),
            Err(StorageError::NotFound { .. }) => (None, None),
            Err(error) => return Err(error),
        };
        if found != expected {
            return Ok(Swapped::Instead(found));
        }
        let mode = version.map_or(PutMode::Create, PutMode::Update);
        let payload = || PutPayload::from_bytes(next.clone());
        let put = async { Ok(self.store.put_opts(&path, payload(), mode.into()).await) };
        match self.within("swap", name, 0, put).await? {
            Ok(_) => Ok(Swapped::Done),
            Err(object_store::Error::Precondition { .. } | object_store::Error::AlreadyExists { .. }) => {
                match self.get(name).await {
                    Ok(bytes) => Ok(Swapped::Instead(Some(bytes))),
                    Err(StorageError::NotFound { .. }) => Ok(Swapped::Instead(None)),
                    Err(error) => Err(error),
                }
            }
            Err(error) if has_no_conditions(&error) => {
                let error = self.place.without_secrets(error.to_string());
                tracing::warn!(
                    error,
                    "the bucket has no conditional writes: two servers that start at the same instant are told apart by reading its mark again only"
                );
                self.within("swap", name, 0, self.store.put(&path, payload())).await.map(|_| Swapped::Done)
            }
            Err(error) => Err(self.failed("swap", name)(error)),
        }
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.within("copy", from, 0, self.store.copy(&self.path(from), &self.path(to))).await
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        match self.within("delete", name, 0, self.store.delete(&self.path(name))).await {
            Err(StorageError::NotFound { .. }) => Ok(()),
            done => done,
        }
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>> {
        let (prefix, root, place, request_timeout) =
            (prefix.to_owned(), self.root.clone(), self.place.clone(), self.request_timeout);
        let objects = self.store.list(Some(&self.path(&prefix)));
        // The server sends pages; each has the full time-out.
        stream::try_unfold(objects, move |mut objects| {
            let (prefix, root, place) = (prefix.clone(), root.clone(), place.clone());
            async move {
                let next = match request_timeout {
                    None => objects.next().await,
                    Some(request_timeout) => tokio::time::timeout(request_timeout, objects.next())
                        .await
                        .map_err(|_elapsed| silent("list", &prefix, Some(request_timeout)))?,
                };
                let Some(meta) = next.transpose().map_err(|e| failure(&place, "list", &prefix, e))? else {
                    return Ok(None);
                };
                let name = meta.location.as_ref();
                let listed = Listed {
                    name: name.strip_prefix(&root).unwrap_or(name).trim_start_matches('/').to_owned(),
                    bytes: meta.size,
                    modified_ms: u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0),
                };
                Ok(Some((listed, objects)))
            }
        })
        .boxed()
    }

    async fn clear_staging(&self) -> Result<u64, StorageError> {
        // Puts are atomic: nothing is outside the namespace.
        Ok(0)
    }
}

#[cfg(test)]
mod tests;
