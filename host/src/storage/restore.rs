//! Where a run begins: `--restore`, and which checkpoint that is.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use weir_checkpoint::{JobPaths, StoreError};
use weir_job_file::JobFile;
use weir_model::CheckpointId;
use weir_runtime::{Claims, Foreign, RestoreFrom};

use super::{Folder, NO_CHECKPOINT, Stores, code_of_store};
use crate::exit::Exit;

/// `--restore`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restore {
    /// The latest completed checkpoint of the job, if there is one.
    Latest,
    /// Nothing: the job begins anew.
    None,
    /// A checkpoint by its path or address.
    Path(PathBuf),
}

impl FromStr for Restore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Self::Latest),
            "none" => Ok(Self::None),
            "" => Err("expected `latest`, `none` or the path of a checkpoint".into()),
            path => Ok(Self::Path(path.into())),
        }
    }
}

/// Why a job does not begin where it is told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotThere {
    /// It makes no sense, or there is no checkpoint.
    #[error("{0}")]
    Said(String),
    /// The storage does not say.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl NotThere {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Said(_) => NO_CHECKPOINT,
            Self::Store(error) => code_of_store(error),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Said(_) => Exit::Usage,
            Self::Store(_) => Exit::Failed,
        }
    }
}

impl Restore {
    /// As the engine wants it, for this job. A path names the folder of a checkpoint, or its
    /// `_metadata`; one of the job's own in its own directory is no fork.
    ///
    /// # Errors
    /// [`NotThere`].
    pub(crate) fn from(
        &self,
        job: &JobFile,
        claim: bool,
        stores: &Stores,
    ) -> Result<RestoreFrom, NotThere> {
        let said = |message: &str| Err(NotThere::Said(message.to_owned()));
        let path = match (self, claim) {
            (Self::Latest, false) => return Ok(RestoreFrom::Latest),
            (Self::None, false) => return Ok(RestoreFrom::Nothing),
            (Self::Latest | Self::None, true) => {
                return said("`--claim` needs the path of a checkpoint: `--restore PATH`");
            }
            (Self::Path(path), _) => path,
        };
        let foreign = checkpoint_at(path, stores)?;
        let (folder, _) = Folder::of(path).map_err(NotThere::Said)?.without_metadata();
        match (own(&folder, job), claim) {
            (Some(_), true) => said(&format!(
                "`{}` is the job's own already: leave `--claim` out",
                path.display()
            )),
            (Some(id), false) => Ok(RestoreFrom::Own(id)),
            (None, true) if job.checkpoint.is_none() => said(
                "`--claim` needs a job that keeps checkpoints of its own: set `checkpoint.dir`",
            ),
            (None, true) => {
                let whole = folder.absolute().map_err(NotThere::Said)?;
                Ok(RestoreFrom::Claimed(foreign_of(&whole, stores)?))
            }
            (None, false) => Ok(RestoreFrom::Checkpoint(foreign)),
        }
    }
}

/// The number of a checkpoint of this job, where the folder is one in the job's own directory.
fn own(folder: &Folder, job: &JobFile) -> Option<CheckpointId> {
    let dir = Folder::of_place(&job.checkpoint.as_ref()?.dir)?;
    let dir = dir.join(job.job.as_str());
    let inside = match (folder, &dir) {
        (Folder::Local(path), Folder::Local(dir)) => {
            let path = path.canonicalize().ok()?;
            let inside = path.strip_prefix(dir.canonicalize().ok()?).ok()?;
            inside.to_str()?.to_owned()
        }
        (Folder::Bucket { .. }, Folder::Bucket { .. }) => {
            let (parent, name) = folder.split()?;
            (parent == dir).then_some(name)?
        }
        (Folder::Local(_), Folder::Bucket { .. }) | (Folder::Bucket { .. }, Folder::Local(_)) => {
            return None;
        }
    };
    let name = format!("{}/{inside}/_metadata", job.job);
    JobPaths::new(&job.job).metadata_of(&name)
}

/// How a job claims checkpoints; nobody can claim without keeping checkpoints.
pub(crate) fn claims(job: &JobFile, stores: &Arc<Stores>) -> Option<Claims> {
    let dir = &job.checkpoint.as_ref()?.dir;
    let dir = match Folder::of_place(dir) {
        Some(folder) => folder.absolute().ok()?.to_string(),
        None => dir.to_string(),
    };
    let stores = Arc::clone(stores);
    Some(Claims {
        owner: format!("job `{}`, with its checkpoints in {dir}", job.job),
        opener: Arc::new(move |place: &str| {
            checkpoint_at(Path::new(place), &stores).map_err(|wrong| wrong.to_string())
        }),
    })
}

/// A checkpoint by the path or address of its folder, or of its `_metadata`.
///
/// # Errors
/// [`NotThere`].
pub(crate) fn checkpoint_at(path: &Path, stores: &Stores) -> Result<Foreign, NotThere> {
    let (folder, _) = Folder::of(path).map_err(NotThere::Said)?.without_metadata();
    match stores.has(&folder, "_metadata")? {
        true => foreign_of(&folder, stores),
        false => Err(NotThere::Said(no_checkpoint(&folder, path))),
    }
}

/// That a folder is no checkpoint.
pub(crate) fn no_checkpoint(folder: &Folder, said: &Path) -> String {
    let what = match folder {
        Folder::Local(_) if !said.exists() => "does not exist",
        Folder::Local(_) => "is no checkpoint: there is no `_metadata` in it",
        Folder::Bucket { .. } => "is no checkpoint: there is no `_metadata` under it",
    };
    format!("`{}` {what}", said.display())
}

fn foreign_of(folder: &Folder, stores: &Stores) -> Result<Foreign, NotThere> {
    let (store, folder) = stores.around(folder)?;
    Ok(Foreign { store, folder })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn job(text: &str, dir: &Path) -> JobFile {
        let text = format!(
            "apiVersion: weir/v1\njob: a\ncheckpoint: {{ dir: \"{text}\" }}\n\
             sources: {{ r: {{ connector: generator }} }}\n"
        );
        JobFile::load(&text, &dir.join("job.yaml"), &[]).unwrap()
    }

    #[test]
    fn only_a_checkpoint_of_this_job_in_its_own_directory_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let job = job("saved", dir.path());
        for place in [
            "saved/a/chk-7",
            "saved/a/chk-07",
            "saved/b/chk-7",
            "copy/a/chk-7",
        ] {
            let folder = dir.path().join(place);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("_metadata"), "").unwrap();
        }
        let stores = Stores::default();
        let restore = |place: &str| {
            let restore = Restore::Path(dir.path().join(place)).from(&job, false, &stores);
            restore.map_err(|wrong| wrong.to_string())
        };
        for place in ["saved/a/chk-7", "saved/b/../a/chk-7/_metadata"] {
            let own = matches!(restore(place), Ok(RestoreFrom::Own(CheckpointId(7))));
            assert!(own, "{place}");
        }
        for place in ["saved/a/chk-07", "saved/b/chk-7", "copy/a/chk-7"] {
            let foreign = matches!(restore(place), Ok(RestoreFrom::Checkpoint(_)));
            assert!(foreign, "{place}");
        }
        assert!(restore("saved/a/chk-8").is_err_and(|e| e.contains("does not exist")));
        assert!(restore("saved/a").is_err_and(|e| e.contains("no `_metadata`")));
    }

    #[test]
    fn a_checkpoint_in_the_bucket_of_the_job_is_its_own_however_it_is_written() {
        let job = job("s3://saved/jobs", Path::new(""));
        let own = |text: &str| own(&Folder::of(Path::new(text)).unwrap(), &job);
        assert_eq!(own("s3a://saved/jobs/a/chk-7/"), Some(CheckpointId(7)));
        for other in [
            "s3://saved/jobs/b/chk-7",
            "s3://saved/a/chk-7",
            "s3://other/jobs/a/chk-7",
            "s3://saved/jobs/a/savepoint-7",
            "saved/jobs/a/chk-7",
        ] {
            assert_eq!(own(other), None, "{other}");
        }
    }
}
