//! Regions that fail alone: tasks that channels join go down together and are made anew from the
//! latest checkpoint, while the others go on, as `driver/regions.rs` of the runtime does it.

use std::collections::BTreeSet;

use weir_model::{Attempt, ProcessingTime};

use super::{End, Event, Running};
use crate::{
    Metadata, RestartDecision,
    simulation::{
        folders::Broken,
        plan::Role,
        seen::Seen,
        wiring::{load, open_sinks, wire},
        world::note,
    },
};

/// A region whose tasks are gone.
pub(super) struct Down {
    pub(super) vertices: BTreeSet<usize>,
    /// Its tasks are not made anew before.
    not_before: ProcessingTime,
}

impl Running<'_> {
    /// Whether a task is gone and not made anew yet.
    pub(super) fn is_down(&self, index: usize) -> bool {
        let vertex = self.tasks[index].id.vertex;
        self.down.iter().any(|down| down.vertices.contains(&vertex))
    }

    /// A task has failed, and with it its region; where that is all, or nothing but the whole job
    /// can go on, everything.
    pub(super) fn task_failed(&mut self, index: usize) -> Result<Option<End>, Broken> {
        if self.is_down(index) {
            return Ok(None);
        }
        let vertices = self.world.plan.region_of(self.tasks[index].id.vertex);
        let is_whole = vertices.len() == self.world.plan.vertices.len();
        if is_whole || self.last.is_some() || self.drains.is_some() {
            return Ok(Some(End::Failed));
        }
        self.take_down(vertices)
    }

    fn take_down(&mut self, vertices: BTreeSet<usize>) -> Result<Option<End>, Broken> {
        let decision = self
            .restart
            .on_failure(self.world.now, self.world.rng.next());
        let RestartDecision::Restart { after_ms, .. } = decision else {
            return Ok(Some(End::GivenUp));
        };
        note!(self.world, "the region of {vertices:?} is down");
        self.world.see(Seen::RegionDown);
        self.down.push(Down {
            vertices,
            not_before: self.world.now.plus_ms(after_ms),
        });
        let effects = self.coordinator.job_failed(self.world.now);
        self.carry_out(effects)?;
        Ok(None)
    }

    /// Makes a region anew whose tasks are gone and whose time has come. While metadata are being
    /// written it is not known which checkpoint is the latest.
    pub(super) fn revive(&mut self) -> Result<Option<End>, Broken> {
        let now = self.world.now;
        if self.coordinator.is_storing() {
            return Ok(None);
        }
        let Some(at) = self.down.iter().position(|down| now >= down.not_before) else {
            return Ok(None);
        };
        // It would read on behind where the job ends; or what another checkpoint has sealed, which
        // may be there, would be taken for what older attempts left.
        let latest = self.latest.as_ref().map(|latest| latest.checkpoint);
        if self.last.is_some() || self.in_doubt.last().copied() > latest {
            return Ok(Some(End::Whole));
        }
        let vertices = self.down[at].vertices.clone();
        self.let_go(&vertices)?;
        self.world.attempt = Attempt(self.world.attempt.0 + 1);
        note!(self.world, "attempt {} of {vertices:?}", self.world.attempt);
        let latest = match self.latest.clone() {
            // Falling back is for the whole job.
            Some(latest) if self.is_damaged(&latest) => return Ok(Some(End::Failed)),
            latest => latest,
        };
        for &sink in &vertices {
            if !matches!(self.world.plan.vertices[sink].role, Role::Sink(_)) {
                continue;
            }
            let name = self.world.plan.vertices[sink].name.as_str();
            let committables = latest.as_ref().map(|latest| latest.committables(name));
            let committables = committables.unwrap_or_default();
            let recovered = self.world.folders.recover(sink, &committables)?;
            if let Err(failure) = recovered {
                self.world.excuse(&failure.to_string())?;
                let down = self.down.remove(at);
                return self.take_down(down.vertices);
            }
        }
        let mut tasks = wire(&self.world.plan);
        tasks.retain(|task| vertices.contains(&task.id.vertex));
        if let Some(latest) = &latest {
            for &vertex in &vertices {
                load(self.world, latest, vertex, &mut tasks);
            }
        }
        if let Err(failure) = open_sinks(self.world, &mut tasks) {
            self.world.excuse(&failure.to_string())?;
            let down = self.down.remove(at);
            return self.take_down(down.vertices);
        }
        self.down.remove(at);
        let made: BTreeSet<_> = tasks.iter().map(|task| task.id).collect();
        for task in tasks {
            let old = self.tasks.iter_mut().find(|old| old.id == task.id);
            *old.unwrap() = task;
        }
        self.make_sources(&vertices, latest.as_ref());
        for index in 0..self.tasks.len() {
            if made.contains(&self.tasks[index].id) {
                self.deliver(index);
            }
        }
        self.deal(&vertices);
        self.world.see(Seen::Revived);
        if self.down.is_empty() {
            self.begin_checkpoints()?;
        }
        Ok(None)
    }

    /// What the tasks of a region were writing is written or not; what they said last is heard.
    fn let_go(&mut self, vertices: &BTreeSet<usize>) -> Result<(), Broken> {
        for index in 0..self.tasks.len() {
            if !vertices.contains(&self.tasks[index].id.vertex) {
                continue;
            }
            while self.world.rng.one_in(2) && !self.tasks[index].lane.is_empty() {
                self.tasks[index].run_lane(self.world)?;
            }
            self.tasks[index].lane.clear();
            while let Some(event) = self.tasks[index].events.pop_front() {
                if let Event::Ack(id, ack) = event {
                    let task = self.tasks[index].id;
                    let effects = self.coordinator.ack(id, task, ack);
                    self.carry_out(effects)?;
                }
            }
        }
        Ok(())
    }

    fn is_damaged(&self, metadata: &Metadata) -> bool {
        let id = metadata.checkpoint;
        self.world.storage.read(id).is_err()
    }
}
