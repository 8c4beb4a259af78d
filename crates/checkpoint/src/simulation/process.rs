//! A run of the job by one process: survey, restore, attempts, until it has finished or is dead.

use std::collections::BTreeMap;

use weir_model::{Attempt, CheckpointId};

use super::{
    attempt::{End, Running},
    outside::Broken,
    world::{Seen, World},
};
use crate::{
    CheckpointKind, Coordinator, Fallback, Metadata, Restart, RestartDecision, Shown,
    SnapshotStore, Survey, testing::Fault,
};

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// The job has finished.
    Finished,
    /// It was stopped, has crashed or was given up: the user starts it again.
    Again,
    /// It cannot go on from a damaged checkpoint without repeating rows, and says so.
    Refused,
}

pub(super) fn run(world: &mut World) -> Result<Exit, Broken> {
    world.storage.store.thaw();
    let mut restart = Restart::new(world.plan.restart);
    let next_id = world.storage.survey().next_id();
    let mut coordinator = Coordinator::new(world.plan.config.clone(), next_id);
    loop {
        let survey = world.storage.survey();
        if survey.is_finished {
            return Ok(Exit::Finished);
        }
        world.attempt = Attempt(world.attempt.0 + 1);
        remove_orphans(world, &survey)?;
        let Ok(restored) = restore(world, &survey) else {
            world.see(Seen::Refused);
            return Ok(Exit::Refused);
        };
        recover(world, restored.as_ref())?;
        let is_done = restored
            .as_ref()
            .is_some_and(|metadata| metadata.kind == CheckpointKind::Final);
        let end = if is_done {
            End::Finished
        } else {
            let owned = owned(&survey, restored.as_ref());
            Running::new(world, &mut coordinator, restored.as_ref(), owned).run()?
        };
        match end {
            End::Finished => {
                let finished = world.storage.paths.finished();
                // A write that is lost is made good by the next run.
                let written = world.storage.store.put(&finished, vec![b"\n".to_vec()]);
                let is_known = written.is_ok_and(|()| true);
                return Ok(if is_known {
                    Exit::Finished
                } else {
                    Exit::Again
                });
            }
            End::Stopped | End::Crashed => return Ok(Exit::Again),
            End::Failed => {}
        }
        match restart.on_failure(world.now) {
            RestartDecision::Restart { after_ms, .. } => {
                world.see(Seen::Restart);
                world.now = world.now.plus_ms(after_ms);
            }
            RestartDecision::GiveUp => {
                world.see(Seen::GivenUp);
                return Ok(Exit::Again);
            }
        }
    }
}

/// The checkpoints that the job owns and that are no later than what it goes on from.
fn owned(survey: &Survey, restored: Option<&Metadata>) -> Vec<CheckpointId> {
    let from = restored.map(|metadata| metadata.checkpoint);
    let all = survey.completed.iter().copied();
    all.filter(|&id| Some(id) <= from).collect()
}

fn remove_orphans(world: &World, survey: &Survey) -> Result<(), Broken> {
    let store = &world.storage.store;
    for object in store.list(world.storage.paths.root()).unwrap() {
        let id = world.storage.paths.checkpoint_of(&object.path);
        if id.is_some_and(|id| survey.orphans.contains(&id)) {
            store.delete(&object.path).unwrap();
        }
    }
    world.check_store()
}

/// Reads the latest checkpoint, or falls back (D20). An error where the job must not go on.
fn restore(world: &mut World, survey: &Survey) -> Result<Option<Metadata>, ()> {
    let shown: BTreeMap<_, _> = world
        .plan
        .sinks()
        .map(|sink| {
            let name = world.plan.vertices[sink].name.clone();
            (name, Shown::UpTo(world.outside.shown(sink)))
        })
        .collect();
    let Some(mut id) = survey.latest() else {
        return Ok(None);
    };
    loop {
        if let Ok(metadata) = world.storage.read(id) {
            world.see(Seen::Restored);
            world.complete = Some(id);
            return Ok(Some(metadata));
        }
        match Fallback::choose(survey, id, &shown) {
            Fallback::To { checkpoint, .. } => {
                world.see(Seen::Fallback);
                id = checkpoint;
            }
            Fallback::Stop { .. } => return Err(()),
            // Half-written metadata of the very first checkpoint: nothing was ever visible.
            Fallback::NothingOlder if shown.values().all(|s| *s == Shown::UpTo(None)) => {
                return Ok(None);
            }
            Fallback::NothingOlder => return Err(()),
        }
    }
}

/// Commits what the checkpoint holds, then removes what older attempts left open (D21).
fn recover(world: &mut World, restored: Option<&Metadata>) -> Result<(), Broken> {
    if let Some(metadata) = restored {
        world.outside.name(metadata);
    }
    let sinks: Vec<_> = world.plan.sinks().collect();
    for sink in sinks {
        let name = world.plan.vertices[sink].name.as_str();
        let committables = restored.map(|metadata| metadata.committables(name));
        for committable in committables.unwrap_or_default() {
            world.outside.commit(&world.plan, sink, &committable)?;
        }
        world.outside.clear_older(sink, world.attempt);
    }
    Ok(())
}

impl World {
    /// The machine goes down. Now and then a bit of the latest checkpoint is damaged by it.
    pub(super) fn crash(&mut self) {
        self.see(Seen::Crash);
        let survey = self.storage.survey();
        if let Some(latest) = survey.latest()
            && self.rng.one_in(10)
        {
            let folder = self.storage.paths.checkpoint(latest);
            let objects = self.storage.store.list(&folder).unwrap();
            let object = self.rng.below(objects.len());
            let bit = self.rng.below(1 << 20);
            self.storage.store.flip(&objects[object].path, bit);
            self.has_litter = true;
            self.complete = None;
        }
    }

    /// Something is about to go wrong with the store.
    pub(super) fn break_store(&mut self) {
        self.see(Seen::StoreFault);
        let fault = self
            .rng
            .pick(&[Fault::Refuse, Fault::LoseReply, Fault::Tear]);
        let n = self.rng.within(1, 3) as u64;
        self.storage.store.inject(n, fault);
    }
}
