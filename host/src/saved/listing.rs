//! The checkpoints of a job, told from its folder: their metadata are read, and the lengths of
//! their files compared; what is in the files is left to `verify`.

use weir_checkpoint::{JobPaths, ObjectInfo, SnapshotStore, StoreError, Survey};
use weir_model::{CheckpointId, Name};
use weir_runtime::{Begin, BeginFrom};

use super::{METADATA, Problem, Saved, place::JobFolder};
use crate::storage::{Folder, Stores};

/// What is said of the checkpoints of a job.
pub(crate) struct JobListing {
    pub(crate) job: Name,
    pub(crate) path: Folder,
    /// In order of their numbers.
    pub(crate) checkpoints: Vec<Listed>,
    /// The checkpoint with which the job has finished, if it has, as the mark says it.
    pub(crate) finished: Option<String>,
    /// Where it was told to begin, if it has completed no checkpoint since.
    pub(crate) told: Option<Told>,
}

/// Where a job was told to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Anew,
    /// At this checkpoint of its own, in this folder.
    Own(CheckpointId, Folder),
    /// At a checkpoint of another place.
    Elsewhere(String),
    /// The record in this file is damaged: nobody knows.
    Damaged(Folder),
}

/// One checkpoint of a job.
pub(crate) struct Listed {
    pub(crate) id: CheckpointId,
    pub(crate) path: Folder,
    pub(crate) state: State,
    /// Whether it is the one that the job goes on from by itself.
    pub(crate) is_latest: bool,
}

/// In which state a checkpoint is.
pub(crate) enum State {
    /// Its metadata can be read, and all files are there with their lengths.
    Complete(Box<Saved>),
    /// There are no metadata: it was never completed, and is passed over.
    Incomplete,
    /// It cannot be restored.
    Damaged(Problem),
    /// Its metadata cannot be read now.
    Unreadable(Problem),
}

impl JobListing {
    /// Looks into the folder of a job.
    ///
    /// # Errors
    /// Where the storage fails.
    pub(crate) fn of(folder: &JobFolder, stores: &Stores) -> Result<Self, StoreError> {
        let JobFolder { job, path } = folder;
        let paths = JobPaths::new(job);
        // The folder may be given in a way that does not end in its name.
        let store = stores.open(path)?;
        let objects: Vec<ObjectInfo> = store
            .list("")?
            .into_iter()
            .map(|object| ObjectInfo {
                path: format!("{job}/{}", object.path),
                ..object
            })
            .collect();
        let survey = Survey::of(&paths, &objects);
        let finished = match survey.is_finished {
            true => finished_with(&*store, &paths)?,
            false => None,
        };
        let told = told(folder, &*store, &paths, &survey, &objects)?;
        let begins_at = match &told {
            None => survey.latest(),
            Some(Told::Own(id, _)) => Some(*id),
            Some(Told::Anew | Told::Elsewhere(_) | Told::Damaged(_)) => None,
        };
        let mut ids: Vec<CheckpointId> = survey.completed.clone();
        ids.extend(&survey.orphans);
        ids.sort_unstable();
        let mut checkpoints = Vec::new();
        for id in ids {
            let path = path.join(&format!("chk-{id}"));
            let is_gone = || !stores.has(&path, METADATA).unwrap_or(true);
            let state = match survey.completed.contains(&id) {
                false => State::Incomplete,
                true => match Saved::read(&path, stores) {
                    Ok(Ok(saved)) => {
                        let problem = not_as_written(&paths, id, &saved, &objects);
                        match problem {
                            Some(_) if is_gone() => State::Incomplete,
                            Some(problem) => State::Damaged(problem),
                            None => State::Complete(Box::new(saved)),
                        }
                    }
                    Ok(Err(_)) if is_gone() => State::Incomplete,
                    Ok(Err(problem)) => State::Damaged(problem),
                    Err(e) => State::Unreadable(Problem::unread(METADATA, &e)),
                },
            };
            let is_latest = begins_at == Some(id);
            checkpoints.push(Listed {
                id,
                path,
                state,
                is_latest,
            });
        }
        Ok(Self {
            job: job.clone(),
            path: path.clone(),
            checkpoints,
            finished,
            told,
        })
    }
}

/// Where a job was told to begin, as its latest record says it, unless there is a checkpoint since.
fn told(
    folder: &JobFolder,
    store: &dyn SnapshotStore,
    paths: &JobPaths,
    survey: &Survey,
    objects: &[ObjectInfo],
) -> Result<Option<Told>, StoreError> {
    let numbers = objects.iter().filter_map(|o| paths.begin_of(&o.path));
    let Some(number) = numbers.max() else {
        return Ok(None);
    };
    let record = paths.begin(number);
    let name = record.strip_prefix(paths.root()).unwrap_or(&record);
    let bytes = match store.get(name) {
        Ok(bytes) => bytes,
        Err(e) if e.is_not_found() => return Ok(None),
        Err(e) => return Err(e),
    };
    let Some(begin) = Begin::read(&bytes) else {
        return Ok(Some(Told::Damaged(folder.path.join(name))));
    };
    if survey.latest().is_some_and(|latest| latest > begin.above) {
        return Ok(None);
    }
    Ok(Some(match begin.from {
        BeginFrom::Beginning => Told::Anew,
        BeginFrom::Own(id) => Told::Own(id, folder.path.join(&format!("chk-{id}"))),
        BeginFrom::Foreign(place) | BeginFrom::Claimed(place) => Told::Elsewhere(place),
    }))
}

/// What the mark of a finished job names.
fn finished_with(
    store: &dyn SnapshotStore,
    paths: &JobPaths,
) -> Result<Option<String>, StoreError> {
    let mark = paths.finished();
    match store.get(mark.strip_prefix(paths.root()).unwrap_or(&mark)) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            Ok(Some(text.trim().trim_end_matches('/').to_owned()))
        }
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

/// The first file that is not there, or not as long as it was.
fn not_as_written(
    paths: &JobPaths,
    id: CheckpointId,
    saved: &Saved,
    objects: &[ObjectInfo],
) -> Option<Problem> {
    saved.metadata.files().into_iter().find_map(|file| {
        let path = paths.in_checkpoint(id, &file.path);
        match objects.iter().find(|object| object.path == path) {
            None => Some(Problem::new(&file.path, "missing")),
            Some(object) if object.length != file.length => {
                let what = format!("{} bytes, {} were written", object.length, file.length);
                Some(Problem::new(&file.path, what))
            }
            Some(_) => None,
        }
    })
}
