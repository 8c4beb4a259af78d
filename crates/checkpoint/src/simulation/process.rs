//! A run of the job by one process: survey, restore, attempts, until it has finished or is dead.

use weir_model::CheckpointId;

use super::{
    attempt::{End, Running},
    folders::Broken,
    seen::Seen,
    world::{Stopped, World, note},
};
use crate::{
    CheckpointKind, Coordinator, Fallback, Metadata, Restart, RestartDecision, Shown,
    SnapshotStore, Survey,
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

/// Where an attempt begins.
enum Begin {
    At(Option<Box<Metadata>>),
    /// The latest checkpoint is damaged, and nothing older will do.
    Refused,
    /// A sink could not be asked or recovered.
    Failed,
}

pub(super) fn run(world: &mut World) -> Result<Exit, Broken> {
    let mut restart = Restart::new(world.plan.restart);
    let next_id = next_id(world);
    let mut coordinator = Coordinator::new(world.plan.config.clone(), next_id);
    loop {
        let survey = world.storage.survey();
        if survey.is_finished {
            return Ok(Exit::Finished);
        }
        world.begin_attempt();
        remove_orphans(world, &survey)?;
        if world.faults_left > 0 && world.rng.one_in(10) {
            world.faults_left -= 1;
            if world.rng.one_in(2) {
                world.break_disk();
            } else {
                world.die_soon();
            }
        }
        let begin = begin(world, &survey)?;
        if world.is_frozen() {
            world.crash()?;
            return Ok(Exit::Again);
        }
        let end = match begin {
            Begin::Refused => {
                world.see(Seen::Refused);
                return Ok(Exit::Refused);
            }
            Begin::Failed => End::Failed,
            Begin::At(Some(metadata)) if metadata.kind == CheckpointKind::Final => {
                // Nothing completes any more, and so nothing older is deleted.
                world.was_done = true;
                End::Finished
            }
            Begin::At(restored) => {
                let owned = owned(&survey, restored.as_deref());
                let restored = restored.as_deref();
                Running::run(world, &mut coordinator, &mut restart, restored, owned)?
            }
        };
        note!(world, "the attempt ended: {end:?}");
        match end {
            End::Finished => return finish(world),
            End::Stopped => return Ok(Exit::Again),
            End::Crashed => {
                world.crash()?;
                return Ok(Exit::Again);
            }
            End::Undrained | End::Whole => continue,
            End::Failed if restarts(world, &mut restart) => {}
            End::GivenUp | End::Failed => {
                world.see(Seen::GivenUp);
                return Ok(Exit::Again);
            }
        }
        // A driver may go on with its coordinator or make another.
        if world.rng.one_in(2) {
            let above = world.highest.map_or(CheckpointId(1), CheckpointId::next);
            let next_id = world.storage.survey().next_id().max(above);
            coordinator = Coordinator::new(world.plan.config.clone(), next_id);
        }
    }
}

/// Whether the job starts again after a failure; time passes until it does.
fn restarts(world: &mut World, restart: &mut Restart) -> bool {
    match restart.on_failure(world.now, world.rng.next()) {
        RestartDecision::Restart { after_ms, .. } => {
            world.see(Seen::Restart);
            world.now = world.now.plus_ms(after_ms);
            true
        }
        RestartDecision::GiveUp => false,
    }
}

/// The first number of a process: above all that there is anything of, and above what the job
/// stopped with.
fn next_id(world: &mut World) -> CheckpointId {
    world.storage.targets.clear();
    let stopped = world.storage.said().map(|said| said.above);
    world.highest = world.storage.highest().max(stopped);
    world.highest.map_or(CheckpointId(1), CheckpointId::next)
}

/// Says for ever that the job has finished (D23). A write that is lost is made good by the next
/// run.
fn finish(world: &mut World) -> Result<Exit, Broken> {
    let finished = world.storage.paths.finished();
    let written = world.storage.store.put(&finished, vec![b"\n".to_vec()]);
    if world.is_frozen() {
        world.crash()?;
    }
    Ok(match written {
        Ok(()) => Exit::Finished,
        Err(_) => Exit::Again,
    })
}

/// The checkpoints that the job owns and that are no later than what it goes on from.
fn owned(survey: &Survey, restored: Option<&Metadata>) -> Vec<CheckpointId> {
    let from = restored.map(|metadata| metadata.checkpoint);
    let all = survey.completed.iter().copied();
    all.filter(|&id| Some(id) <= from).collect()
}

fn remove_orphans(world: &mut World, survey: &Survey) -> Result<(), Broken> {
    let store = &world.storage.store;
    for object in store.list(world.storage.paths.root()).unwrap() {
        let id = world.storage.paths.checkpoint_of(&object.path);
        if id.is_some_and(|id| survey.orphans.contains(&id)) {
            store.delete(&object.path).unwrap();
        }
    }
    let orphans = survey.shared_orphans(&mut world.storage.registry());
    world.storage.delete_shared(&orphans);
    world.undeleted.retain(|id| survey.completed.contains(id));
    world.lost.clear();
    world.check_store()
}

/// Reads the latest checkpoint, or falls back (D20); commits what it holds, and removes what older
/// attempts left open (D21).
fn begin(world: &mut World, survey: &Survey) -> Result<Begin, Broken> {
    let begin = restore(world, survey)?;
    let Begin::At(restored) = &begin else {
        return Ok(begin);
    };
    let sinks: Vec<_> = world.plan.sinks().collect();
    for sink in sinks {
        let name = world.plan.vertices[sink].name.as_str();
        let committables = restored
            .as_ref()
            .map(|metadata| metadata.committables(name));
        let recovered = world
            .folders
            .recover(sink, &committables.unwrap_or_default())?;
        if let Err(failure) = recovered {
            world.excuse(&failure.to_string())?;
            return Ok(Begin::Failed);
        }
    }
    world.folders.check_rows(&world.plan, |way| {
        restored
            .as_ref()
            .map_or_else(Default::default, |metadata| world.arrived(metadata, way))
    })?;
    if let Some(metadata) = restored {
        let mut vertices = 0..world.plan.vertices.len();
        if vertices.any(|vertex| !world.in_flight(metadata, vertex).is_empty()) {
            world.see(Seen::InFlight);
        }
    }
    Ok(begin)
}

fn restore(world: &mut World, survey: &Survey) -> Result<Begin, Broken> {
    if let Some(Stopped { above, folder }) = world.storage.stopped() {
        // The user says so; nothing older is gone on from.
        note!(world, "goes on from {folder}");
        world.see(Seen::FromSavepoint);
        world.storage.targets.insert(above, folder.clone());
        let metadata = world.storage.read_at(&folder);
        let metadata = metadata.map_err(|e| format!("the job stopped with {folder}: {e}"))?;
        world.check_state(&metadata)?;
        return Ok(Begin::At(Some(Box::new(metadata))));
    }
    let mut survey = survey.clone();
    if let Some(said) = world.storage.said() {
        survey.completed.retain(|id| *id > said.above);
    }
    let survey = &survey;
    let Some(mut id) = survey.latest() else {
        return Ok(Begin::At(None));
    };
    loop {
        if let Ok(metadata) = world.storage.read(id) {
            note!(world, "goes on from checkpoint {id}");
            world.see(Seen::Restored);
            world.complete = Some(id);
            world.check_state(&metadata)?;
            return Ok(Begin::At(Some(Box::new(metadata))));
        }
        let shown = match world.folders.shown() {
            Ok(shown) => shown,
            Err(failure) => {
                world.excuse(&failure.to_string())?;
                return Ok(Begin::Failed);
            }
        };
        match Fallback::choose(survey, id, &shown) {
            Fallback::To { checkpoint, .. } => {
                note!(world, "checkpoint {id} cannot be read, {shown:?}");
                world.see(Seen::Fallback);
                id = checkpoint;
            }
            // Half-written metadata of the very first checkpoint: nothing was ever visible.
            Fallback::NothingOlder if shown.values().all(|s| *s == Shown::UpTo(None)) => {
                return Ok(Begin::At(None));
            }
            Fallback::Stop { .. } | Fallback::NothingOlder => return Ok(Begin::Refused),
        }
    }
}
