//! What outlives a crash, and the promises that are checked while a job runs.

use std::collections::BTreeMap;

use weir_model::{Attempt, CheckpointId, Name, ProcessingTime};

use super::{
    outside::{Broken, Outside},
    plan::Plan,
    rng::Rng,
};
use crate::{JobPaths, Metadata, SnapshotStore, StoreError, Survey, testing::MemoryStore};

/// What can happen in a run. A simulation in which one of them never does proves little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    Completed,
    Aborted,
    LateAck,
    Deleted,
    Restored,
    Crash,
    Restart,
    GivenUp,
    Stop,
    Fallback,
    Refused,
    StoreFault,
    Finished,
}

impl Seen {
    pub(super) const ALL: [Self; 13] = [
        Self::Completed,
        Self::Aborted,
        Self::LateAck,
        Self::Deleted,
        Self::Restored,
        Self::Crash,
        Self::Restart,
        Self::GivenUp,
        Self::Stop,
        Self::Fallback,
        Self::Refused,
        Self::StoreFault,
        Self::Finished,
    ];
}

pub(super) struct Storage {
    pub(super) store: MemoryStore,
    pub(super) paths: JobPaths,
}

impl Storage {
    pub(super) fn survey(&self) -> Survey {
        let objects = self.store.list(self.paths.root()).unwrap();
        Survey::of(&self.paths, &objects)
    }

    /// The metadata of a checkpoint, if it and all that it names can be read.
    pub(super) fn read(&self, id: CheckpointId) -> Result<Metadata, String> {
        let get = |path: &str| self.store.get(path).map_err(|e: StoreError| e.to_string());
        let bytes = get(&self.paths.metadata(id))?;
        let metadata = Metadata::decode(&bytes).map_err(|e| e.to_string())?;
        for file in metadata.files() {
            let bytes = get(&self.paths.in_checkpoint(id, &file.path))?;
            if bytes.len() as u64 != file.length || crc32c::crc32c(&bytes) != file.crc32c {
                return Err(format!("{} is damaged", file.path));
            }
        }
        Ok(metadata)
    }
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) plan: Plan,
    pub(super) job: Name,
    pub(super) storage: Storage,
    pub(super) outside: Outside,
    pub(super) now: ProcessingTime,
    pub(super) attempt: Attempt,
    /// How much more goes wrong.
    pub(super) faults_left: usize,
    /// The latest checkpoint that was ever said to be complete.
    pub(super) complete: Option<CheckpointId>,
    /// Something was deleted in vain, or damaged: the store may hold more, or less, than it should.
    pub(super) has_litter: bool,
    pub(super) steps: u64,
    pub(super) seen: BTreeMap<Seen, u64>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let job = Name::new("sim").unwrap();
        Self {
            plan: Plan::random(&mut rng),
            faults_left: rng.below(12),
            storage: Storage {
                store: MemoryStore::new(),
                paths: JobPaths::new(&job),
            },
            job,
            outside: Outside::default(),
            now: ProcessingTime(0),
            attempt: Attempt(0),
            complete: None,
            has_litter: false,
            steps: 0,
            seen: BTreeMap::new(),
            rng,
        }
    }

    pub(super) fn see(&mut self, what: Seen) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// The store was changed: what was said to be complete is still there, or something newer is,
    /// and everything that metadata names is there.
    pub(super) fn check_store(&self) -> Result<(), Broken> {
        let survey = self.storage.survey();
        if self.has_litter {
            return Ok(());
        }
        let is_there = |&id: &CheckpointId| self.storage.read(id).is_ok();
        let latest = survey.completed.iter().copied().rfind(is_there);
        if latest < self.complete {
            return Err(format!(
                "{:?} was complete, {survey:?} is left",
                self.complete
            ));
        }
        for &id in &survey.completed {
            // Torn metadata are no checkpoint; that is told apart by reading them.
            let bytes = self.storage.store.get(&self.storage.paths.metadata(id));
            if bytes.is_ok_and(|bytes| Metadata::decode(&bytes).is_ok())
                && let Err(error) = self.storage.read(id)
            {
                return Err(format!("checkpoint {id} has metadata, but {error}"));
            }
        }
        Ok(())
    }

    /// The job has finished.
    pub(super) fn judge(&self) -> Result<(), Broken> {
        self.outside.judge(&self.plan)?;
        let survey = self.storage.survey();
        if self.has_litter {
            return Ok(());
        }
        // One that was asked for outlives its completion.
        if survey.completed.len() > self.plan.config.retained + 1 || !survey.orphans.is_empty() {
            let retained = self.plan.config.retained;
            return Err(format!(
                "{retained} are to be retained, there are {survey:?}"
            ));
        }
        Ok(())
    }
}
