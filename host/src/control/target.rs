//! Where the savepoints of a job go.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    path::Path,
    sync::Arc,
};

use weir_checkpoint::StoreError;
use weir_runtime::control::SavepointTarget;

use crate::storage::{Folder, Stores, code_of_store};

/// Makes the targets of a job.
#[derive(Clone, Debug)]
pub(crate) struct Savepoints {
    job: String,
    /// `checkpoint.savepoint-dir`.
    usual: Option<Folder>,
    stores: Arc<Stores>,
}

/// Why there is no target.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTarget {
    /// Nobody says one.
    #[error("nobody says where the savepoint goes")]
    Unsaid,
    /// It is no place.
    #[error("`{0}` is neither the absolute path of a folder nor `s3://bucket/path`")]
    Elsewhere(String),
    /// What names a bucket makes no sense.
    #[error("{0}")]
    Address(String),
    /// It cannot be reached.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// It is a file.
    #[error("`{0}` is a file")]
    File(String),
}

impl NoTarget {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Unsaid | Self::Elsewhere(_) | Self::Address(_) | Self::File(_) => "W0014",
            Self::Store(error) => code_of_store(error),
        }
    }

    pub(super) fn help(&self) -> Option<&'static str> {
        match self {
            Self::Unsaid => {
                Some("name a folder, or give the job a `checkpoint.savepoint-dir`; the job goes on")
            }
            Self::Elsewhere(_) | Self::Address(_) | Self::File(_) => {
                Some("name a folder; the job goes on")
            }
            Self::Store(_) => Some("the job goes on"),
        }
    }
}

impl Savepoints {
    /// Of a job, with the folder that is taken where none is named.
    pub(crate) fn new(job: String, usual: Option<Folder>, stores: Arc<Stores>) -> Self {
        Self { job, usual, stores }
    }

    /// A place in which there is nothing yet, below the folder that is named, else the usual one.
    ///
    /// # Errors
    /// [`NoTarget`].
    pub(super) fn target(&self, said: Option<&str>) -> Result<SavepointTarget, NoTarget> {
        let root = match said {
            None => self.usual.clone().ok_or(NoTarget::Unsaid)?,
            Some(said) => {
                let folder = Folder::of(Path::new(said)).map_err(NoTarget::Address)?;
                if matches!(&folder, Folder::Local(path) if !path.is_absolute()) {
                    return Err(NoTarget::Elsewhere(said.to_owned()));
                }
                folder
            }
        };
        if matches!(&root, Folder::Local(path) if path.is_file()) {
            return Err(NoTarget::File(root.to_string()));
        }
        // Keyed anew in each process and for each call, so two are never the same.
        let random = RandomState::new().build_hasher().finish();
        let folder = format!("savepoint-{}-{:012x}", self.job, random >> 16);
        let location = root.join(&folder).to_string();
        Ok(SavepointTarget {
            store: self.stores.open(&root)?,
            folder,
            location,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_savepoint_goes_where_somebody_says_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let said = |usual: Option<&str>, said: Option<&str>| {
            let usual = usual.map(|usual| Folder::Local(usual.into()));
            let savepoints = Savepoints::new("a".into(), usual, Arc::default());
            savepoints.target(said).map(|target| target.location)
        };
        assert_eq!(said(None, None), Err(NoTarget::Unsaid));
        for wrong in ["saved", "gs://bucket/a", "./saved", ""] {
            assert_eq!(
                said(None, Some(wrong)),
                Err(NoTarget::Elsewhere(wrong.into()))
            );
        }
        let odd = said(None, Some("s3://A/b"));
        assert!(matches!(odd, Err(NoTarget::Address(_))), "{odd:?}");
        let file = file.to_str().unwrap();
        assert_eq!(
            said(Some("/usual"), Some(file)),
            Err(NoTarget::File(file.into()))
        );
        assert!(
            said(Some("/usual"), None)
                .unwrap()
                .starts_with("/usual/savepoint-a-")
        );
        let named = said(Some("/usual"), Some("file:///named")).unwrap();
        let (folder, hex) = named.rsplit_once('-').unwrap();
        assert_eq!((folder, hex.len()), ("/named/savepoint-a", 12));
        assert_ne!(said(None, Some("/named")), said(None, Some("/named")));
    }
}
