//! What a path on the command line leads to: a checkpoint, the checkpoints of a job, or those of
//! several jobs. Paths are as a user would give them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use weir_checkpoint::{JobPaths, StoreError};
use weir_job_file::{Diagnostics, JobFile};
use weir_model::{CheckpointId, Name};

use super::METADATA;
use crate::{
    config::Config,
    load::load_file,
    render::say,
    storage::{Folder, Stores, checkpoint_name},
};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One checkpoint, by its folder. Whether it is whole is another matter.
    Checkpoint(Folder),
    /// Folders of jobs; at least one.
    Jobs(Vec<JobFolder>),
}

/// The folder of the checkpoints of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobFolder {
    pub(crate) job: Name,
    pub(crate) path: Folder,
}

/// Why a path leads to none of them.
pub(crate) enum Wrong {
    /// The job file is wrong.
    Job(Diagnostics),
    /// There is nothing of that kind.
    Nothing {
        message: String,
        help: Option<String>,
    },
    /// The folder cannot be read.
    Unreadable(String),
    /// The bucket cannot be asked.
    Store(StoreError),
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Place {
    /// Finds out.
    ///
    /// # Errors
    /// [`Wrong`].
    pub(crate) fn of(path: &Path, config: &Config, stores: &Stores) -> Result<Self, Wrong> {
        let said = Folder::of(path).map_err(|message| nothing(message, None))?;
        let (folder, is_named) = said.without_metadata();
        match &folder {
            _ if is_named => Ok(Self::Checkpoint(folder)),
            Folder::Local(path) => Self::of_local(path, config, stores),
            Folder::Bucket { .. } => Self::of_bucket(folder, stores),
        }
    }

    fn of_local(path: &Path, config: &Config, stores: &Stores) -> Result<Self, Wrong> {
        let folder = Folder::Local(path.to_owned());
        if path.join(METADATA).is_file() {
            return Ok(Self::Checkpoint(folder));
        }
        if path.is_file() {
            return of_job(path, config, stores);
        }
        if !path.is_dir() {
            let message = format!("`{}` does not exist", path.display());
            let help = "name a job file, a checkpoint directory, the folder of a job in it, or a \
                        checkpoint, such as `checkpoints/flights/chk-7`";
            return Err(nothing(message, Some(help)));
        }
        let name = name_of(path);
        if name
            .as_deref()
            .is_some_and(|name| checkpoint_name(name).is_some())
        {
            return Ok(Self::Checkpoint(folder));
        }
        if let Some(folder) = job_folder(path)? {
            return Ok(Self::Jobs(vec![folder]));
        }
        let inside = entries(path)?.into_iter().map(|entry| path.join(entry));
        let inside = inside.filter(|inside| inside.is_dir());
        let (mut jobs, unreadable) = readable(inside, job_folder)?;
        if jobs.is_empty()
            && let Some(message) = unreadable.first()
        {
            return Err(Wrong::Unreadable(message.clone()));
        }
        for message in unreadable {
            say(&format!("note: {message}; it is passed over"));
        }
        jobs.sort_by(|a, b| a.job.cmp(&b.job));
        some(jobs, &folder)
    }

    /// Of what lies under an address, which is one list.
    fn of_bucket(folder: Folder, stores: &Stores) -> Result<Self, Wrong> {
        let objects = stores.open(&folder)?.list("")?;
        let objects: Vec<&str> = objects.iter().map(|object| object.path.as_str()).collect();
        if objects.is_empty() {
            return Err(nothing(format!("there is nothing under `{folder}`"), None));
        }
        let name = folder.split().map(|(_, name)| name);
        let name = name.as_deref().unwrap_or_default();
        if objects.contains(&METADATA) || checkpoint_name(name).is_some() {
            return Ok(Self::Checkpoint(folder));
        }
        // The first parts of what lies in each folder, by the folder.
        let job = |job: &str, path: Folder, objects: &[&str]| {
            let job = Name::new(job).ok()?;
            let entry = |object: &&str| object.split('/').next().map(str::to_owned);
            let mut entries = objects.iter().filter_map(entry);
            let is_one = entries.any(|entry| is_of_job(&job, &entry));
            is_one.then_some(JobFolder { job, path })
        };
        if let Some(folder) = job(name, folder.clone(), &objects) {
            return Ok(Self::Jobs(vec![folder]));
        }
        let split = objects.iter().filter_map(|object| object.split_once('/'));
        let mut inside: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (first, rest) in split {
            inside.entry(first).or_default().push(rest);
        }
        let jobs = inside.iter();
        let jobs = jobs.filter_map(|(name, objects)| job(name, folder.join(name), objects));
        some(jobs.collect(), &folder)
    }
}

/// The jobs that are there.
fn some(jobs: Vec<JobFolder>, folder: &Folder) -> Result<Place, Wrong> {
    if !jobs.is_empty() {
        return Ok(Place::Jobs(jobs));
    }
    let message = match folder {
        Folder::Local(_) => format!("there are no checkpoints in `{folder}`"),
        Folder::Bucket { .. } => format!("there are no checkpoints under `{folder}`"),
    };
    let help = "a checkpoint directory (`checkpoint.dir` of a job file) has a folder for each job, \
                with a folder `chk-<n>` for each checkpoint";
    Err(nothing(message, Some(help)))
}

fn nothing(message: String, help: Option<&str>) -> Wrong {
    Wrong::Nothing {
        message,
        help: help.map(str::to_owned),
    }
}

/// Those folders that are jobs', and why others cannot be read: they may be somebody else's.
fn readable(
    folders: impl Iterator<Item = PathBuf>,
    job: impl Fn(&Path) -> Result<Option<JobFolder>, Wrong>,
) -> Result<(Vec<JobFolder>, Vec<String>), Wrong> {
    let (mut jobs, mut unreadable) = (Vec::new(), Vec::new());
    for folder in folders {
        match job(&folder) {
            Ok(found) => jobs.extend(found),
            Err(Wrong::Unreadable(message)) => unreadable.push(message),
            Err(wrong) => return Err(wrong),
        }
    }
    Ok((jobs, unreadable))
}

/// Where a job file says that its checkpoints are.
fn of_job(path: &Path, config: &Config, stores: &Stores) -> Result<Place, Wrong> {
    let job: JobFile = load_file(path, &[], config).map_err(Wrong::Job)?;
    let Some(checkpoint) = &job.checkpoint else {
        let message = format!("job `{}` takes no checkpoints", job.job);
        return Err(nothing(message, None));
    };
    let Some(folder) = Folder::of_place(&checkpoint.dir) else {
        let message = format!(
            "job `{}` keeps its checkpoints in the memory of its process",
            job.job
        );
        let help = "name a folder: one that a savepoint of it was written to";
        return Err(nothing(message, Some(help)));
    };
    let folder = match folder {
        Folder::Local(path) => Folder::Local(path.components().collect()),
        bucket @ Folder::Bucket { .. } => bucket,
    };
    let path = folder.join(job.job.as_str());
    let is_there = match &path {
        Folder::Local(path) => path.is_dir(),
        Folder::Bucket { .. } => !stores.open(&path)?.list("")?.is_empty(),
    };
    if !is_there {
        let message = format!(
            "job `{}` has no checkpoints yet: there is no `{path}`",
            job.job
        );
        return Err(nothing(message, None));
    }
    Ok(Place::Jobs(vec![JobFolder { job: job.job, path }]))
}

/// The folder as that of a job, if it is one: it has the name of a job and something of one in it.
fn job_folder(path: &Path) -> Result<Option<JobFolder>, Wrong> {
    let Some(job) = name_of(path).and_then(|name| Name::new(&name).ok()) else {
        return Ok(None);
    };
    let is_one = entries(path)?.iter().any(|entry| is_of_job(&job, entry));
    let path = Folder::Local(path.to_owned());
    Ok(is_one.then_some(JobFolder { job, path }))
}

/// Whether something in a folder is of the job of that name.
fn is_of_job(job: &Name, entry: &str) -> bool {
    let paths = JobPaths::new(job);
    let object = format!("{job}/{entry}");
    let marks = [paths.lock(), paths.finished()];
    checkpoint_name(entry).is_some()
        || marks.contains(&object)
        || paths.begin_of(&object).is_some()
        || paths.epoch_of(&object).is_some()
}

/// The number in the name of the folder of a checkpoint, if it has such a name.
pub(super) fn number_of(folder: &Folder) -> Option<CheckpointId> {
    let name = match folder {
        Folder::Local(path) => {
            let name = path.file_name().and_then(|name| name.to_str());
            name.map_or_else(|| name_of(path), |name| Some(name.to_owned()))
        }
        Folder::Bucket { .. } => folder.split().map(|(_, name)| name),
    };
    checkpoint_name(&name?)
}

/// The name of a folder, however the way to it is written.
fn name_of(path: &Path) -> Option<String> {
    let whole = path.canonicalize().ok()?;
    Some(whole.file_name()?.to_str()?.to_owned())
}

/// The names in a folder, those that are text.
fn entries(path: &Path) -> Result<Vec<String>, Wrong> {
    let unreadable =
        |e: std::io::Error| Wrong::Unreadable(format!("cannot read `{}`: {e}", path.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        if let Ok(name) = entry.map_err(unreadable)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(paths: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in paths {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        dir
    }

    #[track_caller]
    fn jobs(place: Result<Place, Wrong>) -> Vec<String> {
        match place {
            Ok(Place::Jobs(jobs)) => jobs.iter().map(|job| job.job.to_string()).collect(),
            Ok(Place::Checkpoint(path)) => panic!("{path}"),
            Err(Wrong::Nothing { message, .. } | Wrong::Unreadable(message)) => vec![message],
            Err(Wrong::Job(diagnostics)) => vec![diagnostics.to_string()],
            Err(Wrong::Store(error)) => vec![error.to_string()],
        }
    }

    #[test]
    fn every_way_to_say_it_leads_to_the_same() {
        let dir = folder(&[
            "saved/a/chk-1/_metadata",
            "saved/a/chk-2/op/0/state",
            "saved/b/LOCK",
            "saved/c/notes.txt",
            "saved/Not a job/chk-1/_metadata",
        ]);
        let of =
            |path: &str| Place::of(&dir.path().join(path), &Config::none(), &Stores::default());
        assert_eq!(jobs(of("saved")), ["a", "b"]);
        assert_eq!(jobs(of("saved/a")), ["a"]);
        assert_eq!(jobs(of("saved/b/../a/")), ["a"]);
        for path in ["saved/a/chk-1", "saved/a/chk-1/_metadata", "saved/a/chk-2"] {
            assert!(matches!(of(path), Ok(Place::Checkpoint(_))), "{path}");
        }
        assert!(jobs(of("saved/c"))[0].starts_with("there are no checkpoints in"));
        assert!(jobs(of("saved/a/chk-3"))[0].ends_with("does not exist"));
    }

    #[test]
    fn a_folder_that_cannot_be_read_hides_no_other() {
        let folders = ["a", "locked", "b"].map(PathBuf::from);
        let look = |path: &Path| match path.to_str() {
            Some("locked") => Err(Wrong::Unreadable("cannot read `locked`".into())),
            name => Ok(Some(JobFolder {
                job: Name::new(name.unwrap()).unwrap(),
                path: Folder::Local(path.to_owned()),
            })),
        };
        let Ok((jobs, unreadable)) = readable(folders.into_iter(), look) else {
            panic!("one of them hides the others");
        };
        assert_eq!(jobs.len(), 2);
        assert_eq!(unreadable, ["cannot read `locked`"]);
    }

    #[test]
    fn a_job_file_leads_to_the_folder_of_its_job() {
        let dir = folder(&["saved/a/chk-1/_metadata"]);
        let write = |name: &str, text: &str| {
            let text = format!(
                "apiVersion: weir/v1\n{text}\nsources: {{ r: {{ connector: generator }} }}\n"
            );
            fs::write(dir.path().join(name), text).unwrap();
            Place::of(&dir.path().join(name), &Config::none(), &Stores::default())
        };
        assert_eq!(
            jobs(write("a.yaml", "job: a\ncheckpoint: { dir: ./saved }")),
            ["a"]
        );
        let none = jobs(write("b.yaml", "job: b\ncheckpoint: { dir: saved }"));
        assert!(
            none[0].starts_with("job `b` has no checkpoints yet"),
            "{none:?}"
        );
        let never = jobs(write("c.yaml", "job: c"));
        assert_eq!(never, ["job `c` takes no checkpoints"]);
        assert!(jobs(write("d.yaml", "jub: d"))[0].contains("jub"));
    }
}
