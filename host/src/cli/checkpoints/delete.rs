//! `weir checkpoints delete`: deletes checkpoints of a job that does not run.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use serde_json::json;
use weir_checkpoint::{JobPaths, Metadata, SharedRegistry, SnapshotStore, StoreError};
use weir_model::CheckpointId;
use weir_snapshot_store::{JobLock, LocalStore};

use super::{count, place, storage_failed};
use crate::{
    cli::{Output, Shared},
    exit::Exit,
    render::{error, say, tell},
    saved::{JobFolder, JobListing, Place, State, Told},
    storage::{NO_CHECKPOINT, code_of},
};

/// Deletes checkpoints of a job that does not run.
///
/// With a checkpoint go those of the shared files that no other one names. The job is locked
/// meanwhile, so none is deleted that a running job needs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir checkpoints delete job.yaml 3 4
  weir checkpoints delete checkpoints/flights --keep 1")]
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
        let Some(root) = folder.path.parent() else {
            let message = format!("`{}` is in no checkpoint directory", folder.path.display());
            error(shared, NO_CHECKPOINT, &message, None);
            return Exit::Usage;
        };
        let root = match root.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => root.to_owned(),
        };
        let (store, paths) = (LocalStore::new(root), JobPaths::new(&folder.job));
        let lock = match JobLock::acquire(&store, &paths) {
            Ok(lock) => lock,
            Err(wrong) => {
                let message = format!("nothing was deleted: {wrong}");
                error(shared, code_of(&wrong), &message, None);
                return Exit::Failed;
            }
        };
        let exit = self.delete(&folder, &store, &paths, shared);
        drop(lock);
        exit
    }

    fn delete(
        &self,
        folder: &JobFolder,
        store: &LocalStore,
        paths: &JobPaths,
        shared: &Shared,
    ) -> Exit {
        let listing = match JobListing::of(folder) {
            Ok(listing) => listing,
            Err(failure) => return storage_failed(&folder.path, &failure, shared),
        };
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
        match delete_all(store, paths, &listing, &doomed) {
            Ok(files) => print(&listing, &doomed, files, shared),
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

/// Deletes checkpoints, the metadata of each first, and the shared files that no other names. Gives
/// back how many objects that were.
fn delete_all(
    store: &LocalStore,
    paths: &JobPaths,
    listing: &JobListing,
    doomed: &BTreeSet<CheckpointId>,
) -> Result<usize, StoreError> {
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
    let mut deleted = 0;
    for id in doomed {
        let inside = store.list(&paths.checkpoint(*id))?;
        store.delete(&paths.metadata(*id))?;
        let gone = registry.removed(*id);
        for object in &inside {
            store.delete(&object.path)?;
        }
        deleted += inside.len() + gone.len();
        for file in &gone {
            store.delete(&paths.shared_file(file))?;
        }
    }
    Ok(deleted)
}

fn print(
    listing: &JobListing,
    doomed: &BTreeSet<CheckpointId>,
    files: usize,
    shared: &Shared,
) -> Exit {
    let left = listing.checkpoints.iter().rev();
    let mut left = left.filter(|listed| {
        matches!(listed.state, State::Complete(_)) && !doomed.contains(&listed.id)
    });
    let latest = left.next().map(|listed| listed.id);
    let ids: Vec<u64> = doomed.iter().map(|id| id.0).collect();
    match shared.output {
        Output::Json => tell(
            &json!({
                "job": listing.job.as_str(), "deleted": ids, "files": files,
                "latest": latest.map(|id| id.0), "errors": [],
            })
            .to_string(),
        ),
        Output::Text => {
            let of = count(doomed.len(), "checkpoint", "checkpoints");
            let files = count(files, "file", "files");
            let next = match latest {
                Some(id) => format!("checkpoint {id} is the latest now"),
                None => "none is left: the job begins anew".to_owned(),
            };
            tell(&format!("{}: {of} deleted, {files}; {next}", listing.job));
        }
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
