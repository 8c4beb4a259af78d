//! Opens stores: of folders of the local disk, and of buckets as the host file says how they are
//! reached.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use weir_checkpoint::{SnapshotStore, StoreError};
use weir_job_file::S3Access;
use weir_snapshot_store::LocalStore;

use super::Folder;
use crate::config::Config;

/// What stores are opened by. The host file is read when the first bucket is.
#[derive(Default)]
pub(crate) struct Stores {
    config: Config,
    access: OnceLock<Result<S3Access, String>>,
    /// Each bucket store has a client and a thread: one is enough for many to ask.
    buckets: Mutex<BTreeMap<Folder, Arc<dyn SnapshotStore>>>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

impl Stores {
    /// On the host file that the command line says.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// A store whose objects are those of a folder. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where what says how buckets are reached makes no sense.
    pub(crate) fn open(&self, folder: &Folder) -> Result<Arc<dyn SnapshotStore>, StoreError> {
        let (bucket, prefix) = match folder {
            Folder::Local(path) => return Ok(Arc::new(LocalStore::new(path))),
            Folder::Bucket { bucket, path } => (bucket, path),
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = buckets.get(folder) {
            return Ok(store.clone());
        }
        let access = self.access.get_or_init(|| self.access());
        let access = access.clone().map_err(|message| StoreError::Failed {
            operation: "use",
            path: folder.to_string(),
            message,
        })?;
        let store = bucket_store(bucket, prefix, access)?;
        buckets.insert(folder.clone(), store.clone());
        Ok(store)
    }

    /// A store that holds a checkpoint and all its files, and the folder of the checkpoint in
    /// there, ending in `/` unless empty. One of a job's own checkpoints may name files beside its
    /// folder, and one that was claimed is deleted with its folder.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn around(
        &self,
        checkpoint: &Folder,
    ) -> Result<(Arc<dyn SnapshotStore>, String), StoreError> {
        match checkpoint.split() {
            Some((parent, name)) => Ok((self.open(&parent)?, format!("{name}/"))),
            None => Ok((self.open(checkpoint)?, String::new())),
        }
    }

    /// Whether there is such a file in a folder.
    ///
    /// # Errors
    /// Where a bucket does not say.
    pub(crate) fn has(&self, folder: &Folder, file: &str) -> Result<bool, StoreError> {
        if let Folder::Local(path) = folder {
            return Ok(path.join(file).is_file());
        }
        let (store, inside) = self.around(folder)?;
        match store.get(&format!("{inside}{file}")) {
            Ok(_) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn access(&self) -> Result<S3Access, String> {
        let host = self.config.host_file();
        let host = host.map_err(|wrong| format!("the host file has errors: {wrong}"))?;
        Ok(host.s3)
    }
}

/// The store in a bucket.
#[cfg(feature = "s3")]
fn bucket_store(
    bucket: &str,
    prefix: &str,
    access: S3Access,
) -> Result<Arc<dyn SnapshotStore>, StoreError> {
    use weir_snapshot_store_s3::{S3Options, S3Store};

    let S3Access {
        endpoint,
        region,
        path_style,
        allow_http,
    } = access;
    let options = S3Options {
        endpoint,
        region,
        path_style,
        allow_http,
        ..S3Options::new(bucket, prefix)
    };
    Ok(Arc::new(S3Store::new(&options)?))
}

/// As above, of a program without a client for it.
#[cfg(not(feature = "s3"))]
fn bucket_store(
    bucket: &str,
    _prefix: &str,
    _access: S3Access,
) -> Result<Arc<dyn SnapshotStore>, StoreError> {
    Err(StoreError::Failed {
        operation: "use",
        path: format!("s3://{bucket}"),
        message: "this program was built without the feature `s3`".into(),
    })
}
