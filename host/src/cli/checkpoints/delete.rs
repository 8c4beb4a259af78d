//! `weir checkpoints delete`: deletes checkpoints of a job that does not run.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use clap::Args;
use serde_json::{Value, json};
use weir_checkpoint::{JobPaths, Metadata, SharedRegistry, SnapshotStore, StoreError};
use weir_model::CheckpointId;
use weir_snapshot_store::{EpochLock, JobLock, LocalStore, LockError};

use super::{count, place, storage_failed};
use crate::{
    cli::{Output, Shared},
    control::{self, Which},
    exit::Exit,
    render::{error, say, tell},
    saved::{JobFolder, JobListing, Listed, Place, Problem, State, Told},
    storage::{Folder, HELD, NO_CHECKPOINT, NO_STORAGE, code_of},
};

/// Deletes checkpoints of a job that does not run.
///
/// With a checkpoint go those of the shared files that no other one names. The job is locked
/// meanwhile, so none is deleted that a running job needs. In a bucket there are no locks: the job
/// is taken over, as by a `weir run`, so a process that runs it on another machine ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir checkpoints delete job.yaml 3 4
  weir checkpoints delete checkpoints/flights --keep 1
  weir checkpoints delete s3://my-bucket/checkpoints/flights --keep 1 --dry-run")]
pub(super) struct Delete {
    /// A job file, or the folder of a job in a checkpoint directory.
    #[arg(value_name = "JOB|DIR")]
    path: PathBuf,

    /// The numbers of checkpoints.
    #[arg(value_name = "ID", required_unless_present = "keep")]
    ids: Vec<u64>,

    /// Deletes all but so many of the newest complete ones.
    #[arg(long, value_name = "N", conflicts_with = "ids")]
    keep: Option<usize>,

    /// Says what would be deleted; nothing is, and nothing is locked.
    #[arg(long)]
    dry_run: bool,
}

impl Delete {
    pub(super) fn run(self, shared: &Shared) -> Exit {
        let folder = match place(&self.path, shared) {
            Ok(Place::Jobs(mut jobs)) if jobs.len() == 1 => jobs.remove(0),
            Ok(Place::Jobs(_) | Place::Checkpoint(_)) => {
                let message = format!("`{}` is not the folder of one job", self.path.display());
                let help = "name a job file, or a folder such as `checkpoints/flights`, and the \
                            numbers of checkpoints";
                error(shared, NO_CHECKPOINT, &message, Some(help));
                return Exit::Usage;
            }
            Err(exit) => return exit,
        };
        let Some((root, _)) = folder.path.split() else {
            let message = format!("`{}` is in no checkpoint directory", folder.path);
            error(shared, NO_CHECKPOINT, &message, None);
            return Exit::Usage;
        };
        let store = match shared.stores.open(&root) {
            Ok(store) => store,
            Err(failure) => return storage_failed(&root, &failure, shared),
        };
        let paths = JobPaths::new(&folder.job);
        if self.dry_run {
            return self.delete(&folder, &*store, &paths, shared);
        }
        match lock(&root, store, &paths, &folder, shared) {
            Ok((_held, store)) => self.delete(&folder, &*store, &paths, shared),
            Err(exit) => exit,
        }
    }

    fn delete(
        &self,
        folder: &JobFolder,
        store: &dyn SnapshotStore,
        paths: &JobPaths,
        shared: &Shared,
    ) -> Exit {
        let listing = match JobListing::of(folder, &shared.stores) {
            Ok(listing) => listing,
            Err(failure) => return storage_failed(&folder.path, &failure, shared),
        };
        if self.keep.is_some()
            && let Some((id, problem)) = listing.checkpoints.iter().find_map(unreadable)
        {
            let message = format!("checkpoint {id}: `{}` {}", problem.file, problem.what);
            let help = "nothing was deleted: whether it is one of those to keep is not known; try \
                        again";
            error(shared, NO_STORAGE, &message, Some(help));
            return Exit::Failed;
        }
        let doomed = match self.doomed(&listing) {
            Ok(doomed) => doomed,
            Err(missing) => {
                let message = format!("job `{}` has no checkpoint {missing}", listing.job);
                let shown = self.path.display();
                let help = format!("`weir checkpoints list {shown}` says which there are");
                error(shared, NO_CHECKPOINT, &message, Some(&help));
                return Exit::Usage;
            }
        };
        let done = objects(store, paths, &listing, &doomed).and_then(|objects| {
            if !self.dry_run {
                objects.iter().try_for_each(|object| store.delete(object))?;
            }
            Ok(objects.len())
        });
        match done {
            Ok(files) => self.print(&listing, &doomed, files, shared),
            Err(failure) => storage_failed(&folder.path, &failure, shared),
        }
    }

    /// Which are to go; else which one is not there.
    fn doomed(&self, listing: &JobListing) -> Result<BTreeSet<CheckpointId>, CheckpointId> {
        let Some(keep) = self.keep else {
            let ids: BTreeSet<_> = self.ids.iter().copied().map(CheckpointId).collect();
            let is_there = |id: &CheckpointId| listing.checkpoints.iter().any(|c| c.id == *id);
            let missing = ids.iter().find(|id| !is_there(id)).copied();
            return missing.map_or(Ok(ids), Err);
        };
        let complete = listing.checkpoints.iter();
        let complete = complete.filter(|listed| matches!(listed.state, State::Complete(_)));
        let kept: BTreeSet<_> = complete.rev().take(keep).map(|c| c.id).collect();
        let all = listing.checkpoints.iter().map(|listed| listed.id);
        Ok(all.filter(|id| !kept.contains(id)).collect())
    }
}

/// A checkpoint that may be complete, and why that is not known.
fn unreadable(listed: &Listed) -> Option<(CheckpointId, &Problem)> {
    match &listed.state {
        State::Unreadable(problem) => Some((listed.id, problem)),
        State::Complete(_) | State::Incomplete | State::Damaged(_) => None,
    }
}

/// Locks a job, so that nobody runs it meanwhile; where that cannot be, it is told. Gives what
/// holds the lock of a folder, and the store by which to delete.
fn lock(
    root: &Folder,
    store: Arc<dyn SnapshotStore>,
    paths: &JobPaths,
    folder: &JobFolder,
    shared: &Shared,
) -> Result<(Option<JobLock>, Arc<dyn SnapshotStore>), Exit> {
    let locked = match root {
        Folder::Local(path) => {
            let lock = JobLock::acquire(&LocalStore::new(path), paths);
            lock.map(|lock| (Some(lock), store))
        }
        Folder::Bucket { .. } => {
            // Nobody is fenced who can be asked.
            let dir = root.to_string();
            let which = Which {
                dir: Some(&dir),
                pid: None,
            };
            let running = control::find(&control::folder(), folder.job.as_str(), which);
            match running {
                Ok(running) => {
                    let message = format!(
                        "nothing was deleted: job `{}` is running, as process {}",
                        folder.job, running.named.pid
                    );
                    error(shared, HELD, &message, Some("`weir stop` ends it"));
                    return Err(Exit::Failed);
                }
                Err(none) if none.code == control::NOT_RUNNING => {}
                // It may be one of several, or one that does not answer.
                Err(why) => {
                    let message = format!("nothing was deleted: {}", why.message);
                    error(shared, &why.code, &message, why.help.as_deref());
                    return Err(Exit::Failed);
                }
            }
            // Whoever is superseded meanwhile deletes nothing more.
            EpochLock::acquire(store, paths).map(|lock| (None, lock.store()))
        }
    };
    locked.map_err(|wrong: LockError| {
        let message = format!("nothing was deleted: {wrong}");
        error(shared, code_of(&wrong), &message, None);
        Exit::Failed
    })
}

/// The objects that go with checkpoints, in the order in which they are to go: the metadata of each
/// first, last the shared files that no other names.
fn objects(
    store: &dyn SnapshotStore,
    paths: &JobPaths,
    listing: &JobListing,
    doomed: &BTreeSet<CheckpointId>,
) -> Result<Vec<String>, StoreError> {
    let mut registry = SharedRegistry::default();
    for listed in &listing.checkpoints {
        let metadata = match store.get(&paths.metadata(listed.id)) {
            Ok(bytes) => Metadata::decode(&bytes).ok(),
            // Without metadata it names nothing.
            Err(e) if e.is_not_found() => continue,
            Err(e) => return Err(e),
        };
        match metadata {
            Some(metadata) => registry.found(listed.id, metadata.shared()),
            None => registry.found_unreadable(listed.id),
        }
    }
    // A file that nobody names is left to the next start, but for what one that cannot be read may
    // name: with that it goes.
    let present = store.list(&paths.shared())?;
    let present: Vec<_> = present
        .iter()
        .filter_map(|object| paths.shared_of(&object.path))
        .collect();
    registry.orphans(&present);
    let mut objects = Vec::new();
    for id in doomed {
        let metadata = paths.metadata(*id);
        let inside = store.list(&paths.checkpoint(*id))?;
        let (first, rest): (Vec<_>, Vec<_>) = inside
            .into_iter()
            .map(|object| object.path)
            .partition(|path| *path == metadata);
        objects.extend(first.into_iter().chain(rest));
        let gone = registry.removed(*id);
        objects.extend(gone.iter().map(|file| paths.shared_file(file)));
    }
    Ok(objects)
}

impl Delete {
    fn print(
        &self,
        listing: &JobListing,
        doomed: &BTreeSet<CheckpointId>,
        files: usize,
        shared: &Shared,
    ) -> Exit {
        match shared.output {
            Output::Json => tell(&self.document(listing, doomed, files).to_string()),
            Output::Text => tell(&self.text(listing, doomed, files)),
        }
        if let Some(Told::Own(told, _)) = &listing.told
            && doomed.contains(told)
        {
            say(&format!(
                "note: the job was told to begin at checkpoint {told}: say where to begin with \
                 `--restore`"
            ));
        }
        Exit::Done
    }

    fn document(
        &self,
        listing: &JobListing,
        doomed: &BTreeSet<CheckpointId>,
        files: usize,
    ) -> Value {
        let ids: Vec<u64> = doomed.iter().map(|id| id.0).collect();
        json!({
            "job": listing.job.as_str(), "deleted": ids, "files": files,
            "latest": latest(listing, doomed).map(|id| id.0), "dry_run": self.dry_run,
            "errors": [],
        })
    }

    fn text(&self, listing: &JobListing, doomed: &BTreeSet<CheckpointId>, files: usize) -> String {
        let of = count(doomed.len(), "checkpoint", "checkpoints");
        let files = count(files, "file", "files");
        let (done, now) = match self.dry_run {
            true => ("would be deleted", "would be the latest"),
            false => ("deleted", "is the latest now"),
        };
        let next = match (latest(listing, doomed), self.dry_run) {
            (Some(id), _) => format!("checkpoint {id} {now}"),
            (None, true) => "none would be left: the job would begin anew".to_owned(),
            (None, false) => "none is left: the job begins anew".to_owned(),
        };
        format!("{}: {of} {done}, {files}; {next}", listing.job)
    }
}

/// The latest complete checkpoint that is left.
fn latest(listing: &JobListing, doomed: &BTreeSet<CheckpointId>) -> Option<CheckpointId> {
    let left = listing.checkpoints.iter().rev();
    let mut left = left.filter(|listed| {
        matches!(listed.state, State::Complete(_)) && !doomed.contains(&listed.id)
    });
    left.next().map(|listed| listed.id)
}

#[cfg(test)]
mod tests;
