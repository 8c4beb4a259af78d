//! A component as an operator of the engine.
//!
//! INVARIANT: a guest sees each call whole or not at all: an instance that failed is dropped, and a
//! new one is opened before the next call. What a component keeps in memory cannot be made anew, so
//! with `keeps-memory` only the engine may ask for that, and with `checkpointed` nobody may, once
//! the instance was given what it had saved.

use wasmtime::{Store, error::Context as _};
use weir_model::{CheckpointId, OptionalColumn, Rows};
use weir_operator::{Context, Due, Emitted, Failure, Operator, Outcome, TaskInfo};
use weir_state::{StateIndex, Which};

use crate::{
    Component, Limits,
    bindings::{BatchIn, ColumnIn, OptionalIn, SlotsIn, weir::operator::data},
    checkpointed::Checkpointed,
    guest::{Guest, Phase},
    instance::{Exports, Instance, NoInstance},
    log::cut,
    outcome::{self, Check, Checked, MAX_MESSAGE},
    size::Size,
    timed::TimersIn,
};

/// One parallel instance of a component.
pub struct ComponentOperator {
    component: Component,
    limits: Limits,
    task: TaskInfo,
    instance: Option<Instance>,
    /// Whether `open` has succeeded in the instance.
    open: bool,
    size: Size,
    scratch: Scratch,
}

/// Buffers that are used again from call to call.
#[derive(Default)]
struct Scratch {
    /// The values of each prefetched state.
    slots: Vec<OptionalColumn>,
    values: Vec<u32>,
    keys: Vec<u32>,
}

impl ComponentOperator {
    pub(crate) fn new(
        component: Component,
        limits: Limits,
        task: TaskInfo,
    ) -> Result<Self, Failure> {
        let mut operator = Self {
            component,
            limits,
            task,
            instance: None,
            open: false,
            size: Size::default(),
            scratch: Scratch::default(),
        };
        let prefetched = operator.component.prefetched().len();
        operator
            .scratch
            .slots
            .resize_with(prefetched, OptionalColumn::new);
        operator.instance = Some(operator.instantiate()?);
        Ok(operator)
    }

    /// The linear memory of the instance, in bytes; 0 while there is none.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory_bytes)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn instantiate(&self) -> Result<Instance, Failure> {
        let pre = self.component.pre();
        Instance::new(pre, &self.limits, Some(&self.task)).map_err(NoInstance::into_failure)
    }

    /// Calls a function of the instance. A failure of the instance loses it, an error that the
    /// function returns does not.
    pub(crate) fn call<R>(
        &mut self,
        phase: Phase,
        cx: &mut Box<Context>,
        call: impl FnOnce(&mut Instance, &mut Box<Context>, &Limits) -> CallResult<R>,
    ) -> Result<R, Failure> {
        let Some(mut instance) = self.instance.take() else {
            return Err(Failure::Internal {
                message: format!("{phase} of an instance that was lost and not made anew"),
            });
        };
        let result = call(&mut instance, cx, &self.limits)?;
        self.instance = Some(instance);
        result.map_err(|message| Failure::Guest {
            message: cut(&message, MAX_MESSAGE).to_owned(),
            row: None,
        })
    }

    /// Calls a function of `checkpointed`, if the component exports it.
    fn call_checkpointed<R: Default>(
        &mut self,
        phase: Phase,
        cx: &mut Box<Context>,
        function: impl FnOnce(&Checkpointed, &mut Store<Guest>) -> Entered<R>,
    ) -> Result<R, Failure> {
        if !self.component.descriptor().checkpointed {
            return Ok(R::default());
        }
        self.call(phase, cx, |instance, cx, limits| {
            instance.call_with(phase, cx, limits, |exports, store| {
                let missing = "`checkpointed` was there when the component was loaded";
                let checkpointed = exports.checkpointed.as_ref().context(missing)?;
                function(checkpointed, store)
            })
        })
    }

    fn open_instance(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        let opened = self.call(Phase::Open, cx, |instance, cx, limits| {
            instance.call_with(Phase::Open, cx, limits, |exports, store| {
                exports.open(store)
            })
        });
        if opened.is_err() {
            // No rows go to what is half open.
            self.instance = None;
        }
        opened?;
        self.open = true;
        self.size.opened(self.memory_bytes());
        Ok(())
    }

    /// Between calls: makes an instance where the last one was lost, and replaces one whose memory
    /// has outgrown what it needs.
    pub(crate) fn renew(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        match self.needs_another() {
            true => self.reset(cx),
            false => Ok(()),
        }
    }

    /// As [`renew`](Self::renew), in the midst of a call of an operator of the host, which may have
    /// written: that stays. For a component without state, whose `open` can write none.
    pub(crate) fn renew_amid(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        if !self.needs_another() {
            return Ok(());
        }
        let metrics = cx.metrics.clone();
        let replaced = self.replace(cx);
        // What `open` counts counts once.
        cx.metrics = metrics;
        replaced
    }

    /// Whether there is no instance, or one whose memory has outgrown what it needs, which goes.
    fn needs_another(&mut self) -> bool {
        if self.component.descriptor().keeps_memory {
            return false;
        }
        if self.instance.is_some() && self.size.outgrown(self.memory_bytes()) {
            tracing::debug!(
                job = %self.task.job, operator = %self.task.operator, subtask = self.task.subtask.0,
                memory = self.memory_bytes(), "replacing an instance that has grown"
            );
            self.size.replaced(self.memory_bytes());
            self.instance = None;
        }
        self.instance.is_none()
    }

    /// Makes another instance, open if the last one was.
    fn replace(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        if self.component.descriptor().checkpointed {
            return Err(Failure::Internal {
                message: "an instance that was given what it had saved cannot be made anew; its \
                          task has to be restored"
                    .into(),
            });
        }
        // The old one goes first, so that there are never two.
        self.instance = None;
        self.instance = Some(self.instantiate()?);
        match self.open {
            true => self.open_instance(cx),
            false => Ok(()),
        }
    }

    fn prefetch(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let states = self.component.prefetched();
        for (&state, slots) in states.iter().zip(&mut self.scratch.slots) {
            slots.clear();
            cx.state.value_get(StateIndex(state), Which::All, slots)?;
        }
        Ok(())
    }

    /// Calls a function with rows, and with what is prefetched of their keys.
    fn call_rows(
        &mut self,
        phase: Phase,
        cx: &mut Box<Context>,
        rows: Rows<'_>,
        function: impl FnOnce(
            &Exports,
            &mut Store<Guest>,
            BatchIn<'_>,
            &[SlotsIn<'_>],
        ) -> Entered<data::Outcome>,
    ) -> Result<data::Outcome, Failure> {
        // The scratch buffers are lent to the call.
        let mut scratch = std::mem::take(&mut self.scratch);
        let keyed = rows.keyed;
        let states = self.component.clone();
        let slots: Vec<SlotsIn<'_>> = match keyed {
            None => Vec::new(),
            Some(_) => (states.prefetched().iter().zip(&scratch.slots))
                .map(|(&state, values)| SlotsIn {
                    state,
                    values: optional(values),
                })
                .collect(),
        };
        let empty = ColumnIn {
            bytes: &[],
            ends: &[],
        };
        let batch = BatchIn {
            values: ColumnIn {
                bytes: rows.values.contents(),
                ends: rows.values.relative_ends(&mut scratch.values),
            },
            timestamps: rows.timestamps,
            keys: keyed.map_or(empty, |keyed| ColumnIn {
                bytes: keyed.keys.contents(),
                ends: keyed.keys.relative_ends(&mut scratch.keys),
            }),
            key_of_row: keyed.map_or(&[], |keyed| keyed.key_of_row),
        };
        let result = self.call(phase, cx, |instance, cx, limits| {
            instance.call_with(phase, cx, limits, |exports, store| {
                function(exports, store, batch, &slots)
            })
        });
        drop(slots);
        self.scratch = scratch;
        result
    }

    fn call_on_timers(
        &mut self,
        cx: &mut Box<Context>,
        due: Due<'_>,
    ) -> Result<data::Outcome, Failure> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let states = self.component.clone();
        let prefetched = states.prefetched().iter().zip(&scratch.slots);
        let slots: Vec<SlotsIn<'_>> = prefetched
            .map(|(&state, values)| SlotsIn {
                state,
                values: optional(values),
            })
            .collect();
        let timers = TimersIn {
            kind: due.kind.into(),
            at: due.at,
            keys: ColumnIn {
                bytes: due.keyed.keys.contents(),
                ends: due.keyed.keys.relative_ends(&mut scratch.keys),
            },
            key_of_timer: due.keyed.key_of_row,
        };
        let result = self.call(Phase::OnTimers, cx, |instance, cx, limits| {
            instance.call_with(Phase::OnTimers, cx, limits, |exports, store| {
                let missing = "`timed` was there when the component was loaded";
                let timed = exports.timed.as_ref().context(missing)?;
                timed.on_timers(store, timers, &slots)
            })
        });
        drop(slots);
        self.scratch = scratch;
        result
    }

    /// Checks what a call about so many rows or timers and keys came to, and takes in its slots.
    fn take_in(
        &self,
        cx: &mut Context,
        phase: Phase,
        (rows, keys): (usize, usize),
        outcome: data::Outcome,
    ) -> Result<Outcome, Failure> {
        let check = Check {
            rows: Some(rows),
            keys,
            ..self.check(phase)
        };
        let Checked { outcome, slots } = check.outcome(outcome)?;
        for (state, mut values) in slots {
            let put = cx.state.put_slots(state, &mut values);
            put.map_err(|error| Failure::Contract {
                message: format!("{phase} returned wrong `slots`: {error}"),
            })?;
        }
        Ok(outcome)
    }

    /// What the results of a call without rows are checked against.
    pub(crate) fn check(&self, phase: Phase) -> Check<'_> {
        let descriptor = self.component.descriptor();
        Check {
            phase,
            outputs: 1 + descriptor.side_outputs.len() as u32,
            states: descriptor.states.len(),
            rows: None,
            keys: 0,
            limits: &self.limits,
        }
    }
}

/// What a call of a guest comes to: the failure of the instance, or what the function returned.
pub(crate) type CallResult<R> = Result<Result<R, String>, Failure>;
/// The same, before the failure of the instance is told.
type Entered<R> = wasmtime::Result<Result<R, String>>;

impl Operator for ComponentOperator {
    fn initialize(
        &mut self,
        cx: &mut Box<Context>,
        restored: bool,
        raw: &[Vec<u8>],
    ) -> Result<(), Failure> {
        let initialized = self.call_checkpointed(Phase::Initialize, cx, |checkpointed, store| {
            checkpointed.initialize(store, restored, raw)
        });
        if initialized.is_err() {
            // What it was given is in no instance, so none may be opened.
            self.instance = None;
        }
        initialized
    }

    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        if self.instance.is_none() && !self.component.descriptor().checkpointed {
            self.instance = Some(self.instantiate()?);
        }
        self.open_instance(cx)
    }

    fn process(
        &mut self,
        cx: &mut Box<Context>,
        input: u32,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        self.renew(cx)?;
        if rows.keyed.is_some() {
            self.prefetch(cx)?;
        }
        let phase = Phase::Process;
        let outcome = self.call_rows(phase, cx, rows, |exports, store, batch, slots| {
            exports.process(store, (input, batch, slots))
        })?;
        let keys = rows.keyed.map_or(0, |keyed| keyed.keys.len());
        self.take_in(cx, Phase::Process, (rows.len(), keys), outcome)
    }

    fn on_timers(&mut self, cx: &mut Box<Context>, due: Due<'_>) -> Result<Outcome, Failure> {
        self.renew(cx)?;
        self.prefetch(cx)?;
        let outcome = self.call_on_timers(cx, due)?;
        let of = (due.len(), due.keyed.keys.len());
        self.take_in(cx, Phase::OnTimers, of, outcome)
    }

    fn on_keys(
        &mut self,
        cx: &mut Box<Context>,
        tag: &[u8],
        keys: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        self.renew(cx)?;
        self.prefetch(cx)?;
        let phase = Phase::OnKeys;
        let outcome = self.call_rows(phase, cx, keys, |exports, store, batch, slots| {
            let missing = "`keyed-broadcast` was there when the component was loaded";
            let keyed_broadcast = exports.keyed_broadcast.as_ref().context(missing)?;
            keyed_broadcast.on_keys(store, tag, batch, slots)
        })?;
        self.take_in(cx, Phase::OnKeys, (keys.len(), keys.len()), outcome)
    }

    fn end_of_input(&mut self, cx: &mut Box<Context>, input: u32) -> Result<Vec<Emitted>, Failure> {
        self.renew(cx)?;
        let emitted = self.call(Phase::EndOfInput, cx, |instance, cx, limits| {
            instance.call_with(Phase::EndOfInput, cx, limits, |exports, store| {
                exports.end_of_input(store, input)
            })
        })?;
        self.check(Phase::EndOfInput).emitted(emitted)
    }

    fn finish(&mut self, cx: &mut Box<Context>) -> Result<Vec<Emitted>, Failure> {
        self.renew(cx)?;
        let emitted = self.call(Phase::Finish, cx, |instance, cx, limits| {
            instance.call_with(Phase::Finish, cx, limits, |exports, store| {
                exports.finish(store)
            })
        })?;
        self.check(Phase::Finish).emitted(emitted)
    }

    fn snapshot(
        &mut self,
        cx: &mut Box<Context>,
        checkpoint: CheckpointId,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let raw = self.call_checkpointed(Phase::Snapshot, cx, |checkpointed, store| {
            checkpointed.snapshot(store, checkpoint.0)
        })?;
        outcome::raw(raw, &self.limits)
    }

    fn complete(&mut self, cx: &mut Box<Context>, checkpoint: CheckpointId) -> Result<(), Failure> {
        self.call_checkpointed(Phase::Complete, cx, |checkpointed, store| {
            checkpointed.complete(store, checkpoint.0).map(Ok)
        })
    }

    fn aborted(&mut self, cx: &mut Box<Context>, checkpoint: CheckpointId) -> Result<(), Failure> {
        self.call_checkpointed(Phase::Aborted, cx, |checkpointed, store| {
            checkpointed.aborted(store, checkpoint.0).map(Ok)
        })
    }

    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        if !self.open {
            return self.replace(cx);
        }
        let replaced = self.replace(cx);
        // What `open` writes counts once. Nothing else goes with it: whoever wants a fresh instance
        // has only just begun, or has rolled back.
        cx.state.rollback();
        cx.operator_state.rollback();
        cx.metrics.rollback();
        replaced
    }
}

pub(crate) fn optional(values: &OptionalColumn) -> OptionalIn<'_> {
    OptionalIn {
        present: values.present(),
        column: ColumnIn {
            bytes: values.column().bytes(),
            ends: values.column().ends(),
        },
    }
}
