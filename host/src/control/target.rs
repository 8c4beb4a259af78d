//! Where the savepoints of a job go.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
};

use weir_runtime::control::SavepointTarget;
use weir_snapshot_store::LocalStore;

/// Makes the targets of a job.
#[derive(Clone, Debug)]
pub(crate) struct Savepoints {
    job: String,
    /// `checkpoint.savepoint-dir`.
    usual: Option<PathBuf>,
}

/// Why there is no target.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoTarget {
    /// Nobody says one.
    #[error("nobody says where the savepoint goes")]
    Unsaid,
    /// It is no place.
    #[error("`{0}` is no absolute path of a local folder")]
    Elsewhere(String),
    /// It is a file.
    #[error("`{0}` is a file")]
    File(String),
}

impl NoTarget {
    pub(super) fn code(&self) -> &'static str {
        "W0014"
    }

    pub(super) fn help(&self) -> Option<&'static str> {
        match self {
            Self::Unsaid => {
                Some("name a folder, or give the job a `checkpoint.savepoint-dir`; the job goes on")
            }
            Self::Elsewhere(_) | Self::File(_) => Some("name a folder; the job goes on"),
        }
    }
}

impl Savepoints {
    /// Of a job, with the folder that is taken where none is named.
    pub(crate) fn new(job: String, usual: Option<PathBuf>) -> Self {
        Self { job, usual }
    }

    /// A place in which there is nothing yet, below the folder that is named, else the usual one.
    ///
    /// # Errors
    /// [`NoTarget`].
    pub(super) fn target(&self, said: Option<&str>) -> Result<SavepointTarget, NoTarget> {
        let root = match said {
            None => self.usual.clone().ok_or(NoTarget::Unsaid)?,
            Some(said) => {
                let path = said.strip_prefix("file://").unwrap_or(said);
                let path = Path::new(path);
                if !path.is_absolute() {
                    return Err(NoTarget::Elsewhere(said.to_owned()));
                }
                path.to_owned()
            }
        };
        if root.is_file() {
            return Err(NoTarget::File(root.display().to_string()));
        }
        // Keyed anew in each process and for each call, so two are never the same.
        let random = RandomState::new().build_hasher().finish();
        let folder = format!("savepoint-{}-{:012x}", self.job, random >> 16);
        let location = root.join(&folder).display().to_string();
        Ok(SavepointTarget {
            store: Arc::new(LocalStore::new(root)),
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
            let savepoints = Savepoints::new("a".into(), usual.map(PathBuf::from));
            savepoints.target(said).map(|target| target.location)
        };
        assert_eq!(said(None, None), Err(NoTarget::Unsaid));
        for wrong in ["saved", "s3://bucket/a", "./saved", ""] {
            assert_eq!(
                said(None, Some(wrong)),
                Err(NoTarget::Elsewhere(wrong.into()))
            );
        }
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
