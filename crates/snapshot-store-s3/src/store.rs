//! The store: what checkpoints ask, as requests.

use std::{
    future::Future,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore, PutMode, PutOptions, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    list::{PaginatedListOptions, PaginatedListStore},
    multipart::{MultipartStore, PartId},
    path::Path,
};
use tokio::runtime::{Builder, Runtime};
use weir_checkpoint::{ObjectInfo, Refusal, SnapshotStore, StoreError};

use crate::{
    S3Credentials, S3Options,
    answer::{Answer, Failed},
    client::Connector,
    retry::Policy,
};

/// Larger objects are uploaded in parts, each of which is tried again by itself.
const WHOLE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The size of a part; S3 takes none below 5 MiB but the last, and at most 10,000.
const PART_BYTES: usize = 16 * 1024 * 1024;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A store in a bucket.
pub struct S3Store {
    inner: Arc<Inner>,
    /// Requests run on a thread of the store: whoever asks may or may not be on a runtime.
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

struct Inner {
    client: AmazonS3,
    /// As the user writes it: `s3://bucket/prefix`.
    place: String,
    /// The bucket and where it is looked for.
    server: String,
    /// Empty, or with `/` at its end.
    prefix: String,
    policy: Policy,
    whole_bytes_max: usize,
    part_bytes: usize,
}

impl std::fmt::Debug for S3Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Store")
            .field("place", &self.inner.place)
            .finish_non_exhaustive()
    }
}

impl Drop for S3Store {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not allowed where it may be dropped.
            runtime.shutdown_background();
        }
    }
}

impl S3Store {
    /// A store in a bucket. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where the options, or the environment, make no sense.
    pub fn new(options: &S3Options) -> Result<Self, StoreError> {
        Self::with(options, Policy::USUAL, WHOLE_BYTES_MAX, PART_BYTES)
    }

    fn with(
        options: &S3Options,
        policy: Policy,
        whole_bytes_max: usize,
        part_bytes: usize,
    ) -> Result<Self, StoreError> {
        let place = match options.prefix.is_empty() {
            true => format!("s3://{}", options.bucket),
            false => format!("s3://{}/{}", options.bucket, options.prefix),
        };
        let failed = |message: String| StoreError::Failed {
            operation: "use",
            path: place.clone(),
            message,
        };
        // TLS needs to know by whom; somebody else in this process may have said so already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = client(options).map_err(|e| failed(Failed::of(&e).message))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("weir-s3")
            .enable_all()
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let endpoint = options.named_endpoint();
        let server = match &endpoint {
            Some(endpoint) => format!("bucket `{}` at {endpoint}", options.bucket),
            None => format!("bucket `{}`", options.bucket),
        };
        let prefix = match options.prefix.is_empty() {
            true => String::new(),
            false => format!("{}/", options.prefix),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                place,
                server,
                prefix,
                policy,
                whole_bytes_max,
                part_bytes,
            }),
            runtime: Some(runtime),
        })
    }

    /// Runs requests to their end on the store's own thread.
    fn wait<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Failed {
            operation,
            path: path.to_owned(),
            message: "the thread of the store has ended".into(),
        };
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        let (done, result) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // Whoever asked waits for it.
            let _ = done.send(work.await);
        });
        result.recv().map_err(|_| gone())?
    }
}

fn client(options: &S3Options) -> object_store::Result<AmazonS3> {
    let client = ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT);
    // We try again ourselves.
    let never = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    let allow_http = options.allow_http.or_else(|| {
        let set = std::env::var("AWS_ALLOW_HTTP").ok()?;
        Some(matches!(set.as_str(), "true" | "1"))
    });
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&options.bucket)
        .with_client_options(client)
        .with_allow_http(allow_http.unwrap_or(false))
        .with_retry(never)
        .with_http_connector(Connector::default());
    if let Some(endpoint) = options.named_endpoint() {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(S3Credentials { key, secret }) = &options.credentials {
        builder = builder
            .with_access_key_id(key)
            .with_secret_access_key(secret);
    }
    if let Some(path_style) = options.path_style {
        builder = builder.with_virtual_hosted_style_request(!path_style);
    }
    builder.build()
}

impl Inner {
    fn path(&self, operation: &'static str, path: &str) -> Result<Path, StoreError> {
        let whole = format!("{}{path}", self.prefix);
        let parsed = Path::parse(&whole).ok().filter(|parsed| {
            // One spelling for each object, and none for a prefix.
            !path.is_empty() && parsed.as_ref() == whole
        });
        parsed.ok_or_else(|| StoreError::Failed {
            operation,
            path: path.to_owned(),
            message: "this is no path of an object".into(),
        })
    }

    /// Tries until it works, or is not worth another try. Says whether an earlier try may have
    /// taken place.
    async fn try_on<T, F>(&self, mut request: impl FnMut() -> F) -> (Result<T, Failed>, bool)
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let began = Instant::now();
        let mut tries = 0;
        let mut is_doubtful = false;
        loop {
            let error = match request().await {
                Ok(done) => return (Ok(done), is_doubtful),
                Err(error) => error,
            };
            let mut failed = Failed::of(&error);
            tries += 1;
            let elapsed = began.elapsed();
            let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            let dice = u64::from(elapsed.subsec_nanos());
            let Some(pause) = self.policy.pause(failed.trouble, tries, elapsed_ms, dice) else {
                if tries > 1 {
                    let seconds = elapsed.as_secs_f64();
                    failed.message += &format!(", after {tries} tries in {seconds:.1} s");
                }
                return (Err(failed), is_doubtful);
            };
            is_doubtful |= failed.trouble.is_doubtful();
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn ask<T, F>(
        &self,
        operation: &'static str,
        path: &str,
        request: impl FnMut() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        let (result, _) = self.try_on(request).await;
        result.map_err(|failed| self.error(operation, path, failed))
    }

    fn error(&self, operation: &'static str, path: &str, failed: Failed) -> StoreError {
        let path = path.to_owned();
        let place = self.server.clone();
        if failed.is_missing() {
            return StoreError::NotFound { path };
        }
        if failed.is_taken() {
            return StoreError::AlreadyExists { path };
        }
        let refusal = if failed.is_no_bucket() {
            Refusal::NoBucket {
                place,
                message: failed.message,
            }
        } else if failed.is_denied() {
            Refusal::Denied {
                place,
                message: failed.message,
            }
        } else if failed.answer.is_none() && failed.trouble.is_transient() {
            Refusal::Unreachable {
                place,
                message: failed.message,
            }
        } else {
            return StoreError::Failed {
                operation,
                path,
                message: format!("{place}: {}", failed.message),
            };
        };
        StoreError::Refused {
            operation,
            path,
            refusal,
        }
    }

    async fn put(&self, path: &str, payload: PutPayload) -> Result<(), StoreError> {
        let object = self.path("write", path)?;
        if payload.content_length() > self.whole_bytes_max {
            return self.put_in_parts(path, &object, payload).await;
        }
        let create = || PutOptions::from(PutMode::Create);
        let put = || self.client.put_opts(&object, payload.clone(), create());
        let (result, is_doubtful) = self.try_on(put).await;
        self.written(path, result.map(|_| ()), is_doubtful, payload)
            .await
    }

    /// In parts, so that one that is lost is sent again alone.
    async fn put_in_parts(
        &self,
        path: &str,
        object: &Path,
        payload: PutPayload,
    ) -> Result<(), StoreError> {
        // Before anything is sent, for not every server looks when the parts are put together.
        let look = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match self
            .ask("write", path, || self.client.get_opts(object, look.clone()))
            .await
        {
            Ok(_) => {
                return Err(StoreError::AlreadyExists {
                    path: path.to_owned(),
                });
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e),
        }
        let begin = || self.client.create_multipart(object);
        let id = self.ask("write", path, begin).await?;
        let mut done: Vec<PartId> = Vec::new();
        for (index, part) in parts(&payload, self.part_bytes).into_iter().enumerate() {
            let send = || self.client.put_part(object, &id, index, part.clone());
            match self.ask("write", path, send).await {
                Ok(part) => done.push(part),
                Err(error) => {
                    // What stays there costs money until somebody tidies up.
                    let _ = self.client.abort_multipart(object, &id).await;
                    return Err(error);
                }
            }
        }
        let complete = || self.client.complete_multipart(object, &id, done.clone());
        let (result, is_doubtful) = self.try_on(complete).await;
        // An upload that is complete is no longer known when it is asked for again.
        let (result, is_doubtful) = match result {
            Err(failed) if failed.is_missing() && is_doubtful => {
                let answer = failed.answer.map(|answer| Answer {
                    status: 412,
                    ..answer
                });
                (Err(Failed { answer, ..failed }), true)
            }
            result => (result.map(|_| ()), is_doubtful),
        };
        if result.is_err() {
            let _ = self.client.abort_multipart(object, &id).await;
        }
        self.written(path, result, is_doubtful, payload).await
    }

    /// What came of a write: where an earlier try may have taken place, an object that is there may
    /// be what was to be written.
    async fn written(
        &self,
        path: &str,
        result: Result<(), Failed>,
        is_doubtful: bool,
        payload: PutPayload,
    ) -> Result<(), StoreError> {
        match result {
            Ok(()) => Ok(()),
            Err(failed) if failed.is_taken() && is_doubtful => {
                let there = self.get(path, None).await?;
                let ours = payload.iter().flat_map(|chunk| chunk.iter());
                match there.len() == payload.content_length() && there.iter().eq(ours) {
                    true => Ok(()),
                    false => Err(self.error("write", path, failed)),
                }
            }
            Err(failed) => Err(self.error("write", path, failed)),
        }
    }

    /// An object, or a part of one.
    async fn get(&self, path: &str, range: Option<(u64, u64)>) -> Result<Vec<u8>, StoreError> {
        let object = self.path("read", path)?;
        let options = GetOptions {
            range: range.map(|(start, end)| GetRange::Bounded(start..end)),
            ..GetOptions::default()
        };
        let read = || async {
            let found = self.client.get_opts(&object, options.clone()).await?;
            found.bytes().await
        };
        let (result, _) = self.try_on(read).await;
        match result {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(failed) if failed.is_out_of_range() => Ok(Vec::new()),
            Err(failed) => Err(self.error("read", path, failed)),
        }
    }

    async fn size(&self, path: &str) -> Result<u64, StoreError> {
        let object = self.path("read", path)?;
        let look = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let found = self.ask("read", path, || self.client.get_opts(&object, look.clone()));
        Ok(found.await?.meta.size)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        if !prefix.is_empty() && self.path("list", prefix.trim_end_matches('/')).is_err() {
            return Err(StoreError::Failed {
                operation: "list",
                path: prefix.to_owned(),
                message: "this is no prefix".into(),
            });
        }
        let whole = format!("{}{prefix}", self.prefix);
        let mut objects = Vec::new();
        let mut token = None;
        loop {
            let page = || {
                let options = PaginatedListOptions {
                    page_token: token.clone(),
                    ..PaginatedListOptions::default()
                };
                self.client.list_paginated(Some(&whole), options)
            };
            let page = self.ask("list", prefix, page).await?;
            for object in page.result.objects {
                // What others have put beside is passed over.
                if let Some(path) = object.location.as_ref().strip_prefix(&self.prefix) {
                    objects.push(ObjectInfo {
                        path: path.to_owned(),
                        length: object.size,
                    });
                }
            }
            token = page.page_token;
            if token.is_none() {
                break;
            }
        }
        objects.sort_unstable();
        Ok(objects)
    }

    async fn delete(&self, path: &str) -> Result<(), StoreError> {
        use object_store::ObjectStoreExt;

        let object = self.path("delete", path)?;
        let (result, _) = self.try_on(|| self.client.delete(&object)).await;
        match result {
            Ok(()) => Ok(()),
            Err(failed) if failed.is_missing() => Ok(()),
            Err(failed) => Err(self.error("delete", path, failed)),
        }
    }
}

/// The bytes in parts of that size; only the last one is smaller.
fn parts(payload: &PutPayload, part_bytes: usize) -> Vec<PutPayload> {
    let mut parts = Vec::new();
    let (mut part, mut room) = (Vec::new(), part_bytes);
    for chunk in payload.iter() {
        let mut chunk = chunk.clone();
        while !chunk.is_empty() {
            let piece = chunk.split_to(chunk.len().min(room));
            room -= piece.len();
            part.push(piece);
            if room == 0 {
                parts.push(std::mem::take(&mut part).into_iter().collect());
                room = part_bytes;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part.into_iter().collect());
    }
    parts
}

impl SnapshotStore for S3Store {
    fn put(&self, path: &str, chunks: Vec<Vec<u8>>) -> Result<(), StoreError> {
        let payload: PutPayload = chunks.into_iter().flat_map(PutPayload::from).collect();
        let (inner, object) = (self.inner.clone(), path.to_owned());
        self.wait(
            "write",
            path,
            async move { inner.put(&object, payload).await },
        )
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        let (inner, object) = (self.inner.clone(), path.to_owned());
        self.wait("read", path, async move { inner.get(&object, None).await })
    }

    fn get_range(&self, path: &str, offset: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let (inner, object) = (self.inner.clone(), path.to_owned());
        self.wait("read", path, async move {
            let end = offset.checked_add(length);
            if let Some(end) = end.filter(|_| length > 0) {
                let bytes = inner.get(&object, Some((offset, end))).await?;
                if bytes.len() as u64 == length {
                    return Ok(bytes);
                }
            }
            let size = inner.size(&object).await?;
            if length == 0 && offset <= size {
                return Ok(Vec::new());
            }
            Err(StoreError::OutOfRange {
                path: object,
                offset,
                length,
                size,
            })
        })
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let (inner, under) = (self.inner.clone(), prefix.to_owned());
        self.wait("list", prefix, async move { inner.list(&under).await })
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        let (inner, object) = (self.inner.clone(), path.to_owned());
        self.wait("delete", path, async move { inner.delete(&object).await })
    }

    fn describe(&self) -> String {
        self.inner.place.clone()
    }
}

#[cfg(test)]
mod tests;
