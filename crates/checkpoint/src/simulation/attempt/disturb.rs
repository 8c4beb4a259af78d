//! What goes wrong, and what somebody asks for, while an attempt runs.

use weir_model::SavepointFormat;

use super::{End, Running};
use crate::{
    CheckpointKind, Request,
    simulation::{folders::Broken, plan::Role, seen::Seen, task::Control, world::note},
};

impl Running<'_> {
    /// One thing goes wrong, or somebody asks for something.
    pub(super) fn disturb(&mut self) -> Result<Option<End>, Broken> {
        self.world.faults_left -= 1;
        match self.world.rng.below(24) {
            0 | 1 => return Ok(Some(End::Crashed)),
            2 | 21 | 22 => {
                note!(self.world, "a task fails");
                self.world.see(Seen::TaskFault);
                let task = self.world.rng.below(self.tasks.len());
                return self.task_failed(task);
            }
            3 | 4 => self.world.break_store(),
            5 | 6 => self.world.break_disk(),
            7 | 8 => {
                let task = self.world.rng.below(self.tasks.len());
                note!(self.world, "{} will decline", self.tasks[task].id);
                self.world.see(Seen::Decline);
                self.tasks[task].declines = true;
            }
            9 => {
                let timeout = self.world.plan.config.timeout_ms;
                note!(self.world, "time leaps");
                self.world.see(Seen::Timeout);
                self.world.now = self.world.now.plus_ms(timeout);
            }
            10 | 11 => {
                note!(self.world, "the next metadata will be the last");
                self.dies_storing = true;
            }
            12 => self.loses_ack = true,
            13 => self.repeats_ack = true,
            14 => return self.ask_for(Request::of(CheckpointKind::Manual)),
            15 => {
                self.world.see(Seen::Stop);
                return self.ask_for(Request::of(CheckpointKind::Stop));
            }
            16 | 17 => {
                let is_forced = self.world.rng.one_in(2);
                return self.ask_for(Request {
                    is_forced,
                    ..Request::savepoint(SavepointFormat::Canonical)
                });
            }
            18 => {
                let interval = self.world.rng.pick(&[None, Some(3), Some(50)]);
                note!(self.world, "the interval is now {interval:?}");
                self.world.see(Seen::Interval);
                let effects = self.coordinator.set_interval(self.world.now, interval);
                self.carry_out(effects)?;
            }
            19 | 20 => self.drain()?,
            _ => {
                return self.ask_for(Request {
                    kind: CheckpointKind::Stop,
                    ..Request::savepoint(SavepointFormat::Native)
                });
            }
        }
        Ok(None)
    }

    /// Somebody wants all operators to finish now.
    fn drain(&mut self) -> Result<(), Broken> {
        let ends = self.drains.is_some() || self.stops || self.with_data.is_empty();
        if ends || !self.down.is_empty() {
            return Ok(());
        }
        let with_savepoint = self.world.rng.one_in(2);
        note!(self.world, "drains, with a savepoint: {with_savepoint}");
        self.drains = Some(with_savepoint);
        let sources = self.tasks.iter_mut();
        let sources = sources.filter(|task| matches!(task.role, Role::Source { .. }));
        sources.for_each(|task| task.control.push_back(Control::Drain));
        let effects = self.coordinator.drain();
        self.carry_out(effects)
    }

    fn ask_for(&mut self, request: Request) -> Result<Option<End>, Broken> {
        note!(self.world, "somebody asks for {request:?}");
        self.stops |= request.kind == CheckpointKind::Stop;
        let effects = self.coordinator.request(self.world.now, request);
        self.carry_out(effects)?;
        Ok(None)
    }
}
