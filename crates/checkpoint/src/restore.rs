//! What a job begins with: what lies in its store, and what to do when the latest checkpoint cannot
//! be read (D20, D23, D24).
//!
//! INVARIANT: a checkpoint is complete if and only if its metadata is there; nothing older than
//! what a transactional sink has made visible is ever gone back to.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{CheckpointId, SinkName};

use crate::{JobPaths, ObjectInfo, SharedFile, SharedRegistry};

#[cfg(test)]
mod tests;

/// What lies in the store of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The complete checkpoints, in order: those with metadata. Whether it can be read is another
    /// matter.
    pub completed: Vec<CheckpointId>,
    /// What has objects and no metadata, in order: an attempt that is over was writing or deleting
    /// it. It is to be deleted before the next attempt begins.
    pub orphans: Vec<CheckpointId>,
    /// The shared files, in order; which of them nobody names say
    /// [`shared_orphans`](Self::shared_orphans).
    pub shared: Vec<SharedFile>,
    /// The highest checkpoint there is anything of, or was.
    pub highest: Option<CheckpointId>,
    /// Whether the job is marked as finished (D23).
    pub is_finished: bool,
}

impl Survey {
    /// Sorts out the objects of a store; those of other jobs are passed over.
    ///
    /// ```
    /// use weir_checkpoint::{JobPaths, ObjectInfo, Survey};
    /// use weir_model::{CheckpointId, Name};
    ///
    /// let paths = JobPaths::new(&Name::new("flights").unwrap());
    /// let objects = ["flights/chk-1/_metadata", "flights/chk-2/count/0/state"];
    /// let objects = objects.map(|path| ObjectInfo { path: path.into(), length: 9 });
    /// let survey = Survey::of(&paths, &objects);
    /// assert_eq!(survey.latest(), Some(CheckpointId(1)));
    /// assert_eq!(survey.orphans, [CheckpointId(2)]);
    /// assert_eq!(survey.next_id(), CheckpointId(3));
    /// ```
    #[must_use]
    pub fn of(paths: &JobPaths, objects: &[ObjectInfo]) -> Self {
        let all = |id: &dyn Fn(&str) -> Option<CheckpointId>| -> BTreeSet<CheckpointId> {
            objects.iter().filter_map(|o| id(&o.path)).collect()
        };
        let present = all(&|path| paths.checkpoint_of(path));
        let completed = all(&|path| paths.metadata_of(path));
        let finished = paths.finished();
        let shared = objects.iter().filter_map(|o| paths.shared_of(&o.path));
        let shared: BTreeSet<SharedFile> = shared.collect();
        let written = shared.iter().map(|file| file.checkpoint).max();
        Self {
            orphans: present.difference(&completed).copied().collect(),
            highest: present.last().copied().max(written),
            shared: shared.into_iter().collect(),
            completed: completed.into_iter().collect(),
            is_finished: objects.iter().any(|object| object.path == finished),
        }
    }

    /// The shared files that no complete checkpoint names: an attempt that is over left them, and
    /// they are to be deleted like [`orphans`](Self::orphans). `registry` has been told what each
    /// complete checkpoint names, or that it cannot be read.
    #[must_use]
    pub fn shared_orphans(&self, registry: &mut SharedRegistry) -> Vec<SharedFile> {
        registry.orphans(&self.shared)
    }

    /// The latest complete checkpoint: what a job goes on from by itself.
    #[must_use]
    pub fn latest(&self) -> Option<CheckpointId> {
        self.completed.last().copied()
    }

    /// The id of the next checkpoint, above everything there is, wherever the job goes on from
    /// (D24). 1 in an empty store.
    #[must_use]
    pub fn next_id(&self) -> CheckpointId {
        self.highest.map_or(CheckpointId(1), CheckpointId::next)
    }

    /// The checkpoint before `id`.
    #[must_use]
    pub fn before(&self, id: CheckpointId) -> Option<CheckpointId> {
        self.completed.iter().copied().rfind(|&older| older < id)
    }
}

/// What a sink has shown to the world, asked when a checkpoint turns out to be unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It commits with checkpoints; this is the last one that it made anything visible of.
    UpTo(Option<CheckpointId>),
    /// It is not transactional: rows are visible as they come.
    AtOnce,
}

/// What to do when a checkpoint cannot be read (D20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Go on from the one before.
    To {
        /// Which.
        checkpoint: CheckpointId,
        /// Sinks that will show rows again, in order of their names: this once, they are
        /// at-least-once.
        repeated: Vec<SinkName>,
    },
    /// Stop: sinks have made more visible than the one before knows of, and would repeat it. The
    /// user may order it with `--restore` and the path of that checkpoint.
    Stop {
        /// What the user may restore.
        checkpoint: CheckpointId,
        /// Which sinks have shown what, in order of their names.
        beyond: BTreeMap<SinkName, CheckpointId>,
    },
    /// Stop: there is no older one.
    NothingOlder,
}

impl Fallback {
    /// Decides for a checkpoint that was found `unreadable`.
    #[must_use]
    pub fn choose(
        survey: &Survey,
        unreadable: CheckpointId,
        sinks: &BTreeMap<SinkName, Shown>,
    ) -> Self {
        let Some(checkpoint) = survey.before(unreadable) else {
            return Self::NothingOlder;
        };
        let mut beyond = BTreeMap::new();
        let mut repeated = Vec::new();
        for (sink, shown) in sinks {
            match *shown {
                Shown::UpTo(Some(id)) if id > checkpoint => {
                    beyond.insert(sink.clone(), id);
                }
                Shown::UpTo(_) => {}
                Shown::AtOnce => repeated.push(sink.clone()),
            }
        }
        if beyond.is_empty() {
            Self::To {
                checkpoint,
                repeated,
            }
        } else {
            Self::Stop { checkpoint, beyond }
        }
    }
}
