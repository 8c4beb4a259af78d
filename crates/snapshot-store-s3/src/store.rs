//! The store: what checkpoints ask, as requests.

use std::{
    future::Future,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use object_store::{
    GetOptions, GetRange, ObjectStore, PutMode, PutOptions, PutPayload,
    aws::AmazonS3,
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path,
};
use tokio::runtime::{Builder, Runtime};
use weir_checkpoint::{ObjectInfo, ObjectWriter, Refusal, SnapshotStore, StoreError};

use crate::{
    S3Options,
    access::{Access, Machine},
    answer::Failed,
    retry::Policy,
    upload::Sizes,
    writer::Writer,
};

/// A store in a bucket.
pub struct S3Store {
    inner: Arc<Inner>,
    /// Requests run on a thread of the store: whoever asks may or may not be on a runtime.
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

pub(crate) struct Inner {
    pub(crate) client: AmazonS3,
    /// As the user writes it: `s3://bucket/prefix`.
    place: String,
    /// The bucket and where it is looked for.
    server: String,
    /// Empty, or with `/` at its end.
    prefix: String,
    policy: Policy,
    pub(crate) sizes: Sizes,
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
        Self::with(options, Policy::USUAL, Sizes::USUAL)
    }

    fn with(options: &S3Options, policy: Policy, sizes: Sizes) -> Result<Self, StoreError> {
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
        let access = Access::find(options, &Machine).map_err(failed)?;
        let client = access.client(&options.bucket).map_err(failed)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("weir-s3")
            .enable_all()
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let server = match &access.endpoint {
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
                sizes,
            }),
            runtime: Some(runtime),
        })
    }

    /// Begins requests on the store's own thread; what comes of them is waited for later.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<Answers<T>, StoreError> {
        let gone = StoreError::Failed {
            operation,
            path: path.to_owned(),
            message: "the thread of the store has ended".into(),
        };
        let Some(runtime) = &self.runtime else {
            return Err(gone);
        };
        let (done, result) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // Whoever asked waits for it, or does not care any more.
            let _ = done.send(work.await);
        });
        Ok(Answers { result, gone })
    }

    /// Runs requests to their end.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.begin(operation, path, work)?.wait()
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }
}

/// Where what comes of requests is waited for.
pub(crate) struct Answers<T> {
    result: mpsc::Receiver<Result<T, StoreError>>,
    gone: StoreError,
}

impl<T> Answers<T> {
    pub(crate) fn wait(self) -> Result<T, StoreError> {
        self.result.recv().map_err(|_| self.gone)?
    }
}

impl Inner {
    pub(crate) fn path(&self, operation: &'static str, path: &str) -> Result<Path, StoreError> {
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
    pub(crate) async fn try_on<T, F>(
        &self,
        mut request: impl FnMut() -> F,
    ) -> (Result<T, Failed>, bool)
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

    pub(crate) async fn ask<T, F>(
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

    /// Creates an object by one request.
    pub(crate) async fn put(&self, path: &str, payload: PutPayload) -> Result<(), StoreError> {
        let object = self.path("write", path)?;
        let create = || PutOptions::from(PutMode::Create);
        let put = || self.client.put_opts(&object, payload.clone(), create());
        let (result, is_doubtful) = self.try_on(put).await;
        let mut written = Written::default();
        payload.iter().for_each(|chunk| written.add(chunk));
        self.written(path, result.map(|_| ()), is_doubtful, written)
            .await
    }

    /// What came of a write: where an earlier try may have taken place, an object that is there may
    /// be what was to be written.
    pub(crate) async fn written(
        &self,
        path: &str,
        result: Result<(), Failed>,
        is_doubtful: bool,
        written: Written,
    ) -> Result<(), StoreError> {
        match result {
            Ok(()) => Ok(()),
            Err(failed) if failed.is_taken() && is_doubtful => {
                match self.holds(path, written).await? {
                    true => Ok(()),
                    false => Err(self.error("write", path, failed)),
                }
            }
            Err(failed) => Err(self.error("write", path, failed)),
        }
    }

    /// Whether an object holds just that.
    async fn holds(&self, path: &str, written: Written) -> Result<bool, StoreError> {
        let (length, piece) = (written.length, self.sizes.part_bytes as u64);
        if self.size(path).await? != length {
            return Ok(false);
        }
        let mut there = Written::default();
        if length <= piece {
            there.add(&self.get(path, None).await?);
        }
        while there.length < length {
            let end = length.min(there.length + piece);
            let bytes = self.get(path, Some((there.length, end))).await?;
            if bytes.is_empty() {
                break; // it was replaced meanwhile: not by what was written
            }
            there.add(&bytes);
        }
        Ok(there == written)
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

    pub(crate) async fn size(&self, path: &str) -> Result<u64, StoreError> {
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

/// What was written of an object: enough to know it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    length: u64,
    crc32c: u32,
}

impl Written {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
    }
}

impl SnapshotStore for S3Store {
    fn create<'a>(&'a self, path: &str) -> Result<Box<dyn ObjectWriter + 'a>, StoreError> {
        self.inner.path("write", path)?;
        Ok(Box::new(Writer::new(self, path)))
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

    fn size(&self, path: &str) -> Result<u64, StoreError> {
        let (inner, object) = (self.inner.clone(), path.to_owned());
        self.wait("read", path, async move { inner.size(&object).await })
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
