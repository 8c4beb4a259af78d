//! Runs an operator over batches: the loop over the rows, what becomes of an error, and the
//! hand-over of state, metrics and output at the end of a call.

mod results;
mod rows;

pub(crate) use rows::check_keys;

use std::marker::PhantomData;
use std::rc::Rc;

use crate::bindings::weir::operator::data::{
    Batch, BytesColumn, Descriptor, Emitted, Outcome, Poison, Slots,
};
use crate::call::{Call, Scope};
use crate::checkpointed::{Checkpointed, Hooks, Initialize, Snapshot};
use crate::column::{self, BatchRef, ColumnRef};
use crate::ctx::{Ctx, Env, HandKey};
use crate::describe::{Declared, Visit};
use crate::error::{Error, Result};
use crate::handles::making;
use crate::host::Host;
use crate::inputs::Inputs;
use crate::join::AllPairs;
use crate::operator::{IntoOperator, Operator};
use crate::output::{Hand, Lent, Outputs};
use crate::row::Row;
use crate::timers::{Due, Timer, TimerKind};
use crate::type_name::short_type_name;
use crate::window::{
    AllRows, AskedWindows, Decided, Folded, Groups, Happened, Rows, Trigger, TriggerHooks, Window,
};

/// The exports of the contract, whatever the types of the operator.
pub trait Logic {
    /// `logic.describe`
    ///
    /// # Errors
    /// What is wrong with the declarations.
    fn describe(&self) -> std::result::Result<Descriptor, String>;
    /// `logic.open`
    ///
    /// # Errors
    /// See the contract.
    fn open(&mut self) -> std::result::Result<(), String>;
    /// `logic.process`
    ///
    /// # Errors
    /// See the contract.
    fn process(
        &mut self,
        input: u32,
        rows: BatchRef<'_>,
        slots: Vec<Slots>,
    ) -> std::result::Result<Outcome, String>;
    /// The same with rows that may be handed back where they are what is emitted.
    ///
    /// # Errors
    /// See the contract.
    fn process_owned(
        &mut self,
        input: u32,
        rows: Batch,
        slots: Vec<Slots>,
    ) -> std::result::Result<Outcome, String>;
    /// `timed.on-timers`
    ///
    /// # Errors
    /// See the contract.
    fn on_timers(&mut self, due: &Due, slots: Vec<Slots>) -> std::result::Result<Outcome, String>;
    /// `keyed-broadcast.on-keys`
    ///
    /// # Errors
    /// See the contract.
    fn on_keys(
        &mut self,
        tag: &[u8],
        keys: BatchRef<'_>,
        slots: Vec<Slots>,
    ) -> std::result::Result<Outcome, String>;
    /// `aggregate.accumulate`
    ///
    /// # Errors
    /// See the contract.
    fn accumulate(
        &mut self,
        rows: &Rows<'_>,
    ) -> std::result::Result<(BytesColumn, Option<Poison>), String>;
    /// `aggregate.merge`
    ///
    /// # Errors
    /// See the contract.
    fn merge(&mut self, groups: &Groups<'_>) -> std::result::Result<BytesColumn, String>;
    /// `aggregate.get-result`
    ///
    /// # Errors
    /// See the contract.
    fn results(
        &mut self,
        keys: ColumnRef<'_>,
        windows: &[Window],
        accumulators: ColumnRef<'_>,
    ) -> std::result::Result<Vec<Emitted>, String>;
    /// `window-function.accept`, of input 0, and `join.accept`
    ///
    /// # Errors
    /// See the contract.
    fn accept(
        &mut self,
        input: u32,
        rows: ColumnRef<'_>,
    ) -> std::result::Result<Option<Poison>, String>;
    /// `window-function.apply`
    ///
    /// # Errors
    /// See the contract.
    fn apply(
        &mut self,
        keys: ColumnRef<'_>,
        windows: &[Window],
        rows: &AllRows,
    ) -> std::result::Result<Vec<Emitted>, String>;
    /// `join.project`
    ///
    /// # Errors
    /// See the contract.
    fn project(
        &mut self,
        pairs: &AllPairs,
    ) -> std::result::Result<std::result::Result<Vec<Emitted>, Poison>, String>;
    /// `trigger.on-rows` and `trigger.on-timers`
    ///
    /// # Errors
    /// See the contract.
    fn decide(
        &mut self,
        asked: AskedWindows,
        happened: Happened,
        window_of: Vec<u32>,
    ) -> std::result::Result<std::result::Result<Decided, Poison>, String>;
    /// `enrich.enrich`
    ///
    /// # Errors
    /// Why there is nothing, which says as well what becomes of the row.
    fn enrich(&mut self, row: OneRow) -> Result<Vec<Emitted>>;
    /// `logic.end-of-input`
    ///
    /// # Errors
    /// See the contract.
    fn end_of_input(&mut self, input: u32) -> std::result::Result<Vec<Emitted>, String>;
    /// `logic.finish`
    ///
    /// # Errors
    /// See the contract.
    fn finish(&mut self) -> std::result::Result<Vec<Emitted>, String>;
    /// `checkpointed.initialize`
    ///
    /// # Errors
    /// See the contract.
    fn initialize(&mut self, restored: bool, raw: Vec<Vec<u8>>) -> std::result::Result<(), String>;
    /// `checkpointed.snapshot`
    ///
    /// # Errors
    /// See the contract.
    fn snapshot(&mut self, checkpoint: u64) -> std::result::Result<Vec<Vec<u8>>, String>;
    /// `checkpointed.complete`
    ///
    /// # Errors
    /// What the operator returned; the contract has no place for it.
    fn complete(&mut self, checkpoint: u64) -> std::result::Result<(), String>;
    /// `checkpointed.aborted`
    ///
    /// # Errors
    /// What the operator returned; the contract has no place for it.
    fn aborted(&mut self, checkpoint: u64) -> std::result::Result<(), String>;
    /// Whether it is a function of all rows of windows.
    fn sees_windows(&self) -> bool;
    /// Whether the rows of an input go to all subtasks.
    fn is_broadcast(&self, input: u32) -> bool;
    /// The host does not keep what the last call did, and the operator lives on.
    fn undo(&mut self);
    /// The names of the metrics that are declared.
    fn metrics(&self) -> Vec<String>;
    /// From here on rows are processed one by one, though the operator may process batches.
    fn row_by_row(&mut self);
    /// Whether the operator has processed the rows of the last call that had some at once.
    fn was_whole(&self) -> bool;
}

/// A row of a call that has no other.
#[derive(Debug)]
pub struct OneRow {
    pub(crate) value: Vec<u8>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) key: Option<Vec<u8>>,
}

/// Makes the exports of an operator that lives on this host.
pub(crate) fn make<T, Kind>(host: Box<dyn Host>) -> Box<dyn Logic>
where
    T: IntoOperator<Kind>,
{
    make_with::<T, Kind>(host, None, None)
}

/// As [`make`], of an operator that saves and restores something itself.
pub(crate) fn make_checkpointed<T, Kind>(host: Box<dyn Host>) -> Box<dyn Logic>
where
    T: IntoOperator<Kind> + Checkpointed,
{
    make_with::<T, Kind>(host, Some(Hooks::of::<T, Kind>()), None)
}

/// As [`make`], of an operator that decides when windows give their results.
pub(crate) fn make_trigger<T, Kind>(host: Box<dyn Host>) -> Box<dyn Logic>
where
    T: IntoOperator<Kind> + Trigger,
{
    make_with::<T, Kind>(host, None, Some(TriggerHooks::of::<T, Kind>()))
}

fn make_with<T, Kind>(
    host: Box<dyn Host>,
    hooks: Option<Hooks<T::Operator>>,
    trigger: Option<TriggerHooks<T::Operator>>,
) -> Box<dyn Logic>
where
    T: IntoOperator<Kind>,
{
    let (mut operator, made) = making(T::make);
    let call = Call::new(host);
    let typed_inputs = <T::Operator as Operator>::In::COUNT;
    let mut declared = Declared::new(Rc::clone(&call), typed_inputs);
    operator.visit(Visit::Declare(&mut declared));
    declared.check();
    declared.check_handles(&short_type_name::<T>(), &made);
    call.read_alone(declared.accessed());
    let side_outputs = declared.descriptor.side_outputs.len();
    Box::new(Driver {
        operator,
        hooks,
        trigger,
        call,
        declared,
        outputs: Outputs::new(side_outputs),
        row_by_row: false,
        was_whole: false,
    })
}

/// Of a call without rows that could be emitted.
const NOTHING_LENT: Lent<'_> = Lent::Borrowed(ColumnRef::EMPTY);

struct Driver<O> {
    operator: O,
    /// The functions of an operator that saves and restores something itself.
    hooks: Option<Hooks<O>>,
    /// The function of an operator that decides when windows give their results.
    trigger: Option<TriggerHooks<O>>,
    call: Rc<Call>,
    declared: Declared,
    outputs: Outputs,
    /// Batches are not offered to the operator.
    row_by_row: bool,
    was_whole: bool,
}

impl<O: Operator> Driver<O> {
    /// Processes rows; what was emitted is left where it is.
    fn run(
        &mut self,
        input: u32,
        batch: BatchRef<'_>,
        slots: Vec<Slots>,
    ) -> Result<(Vec<Slots>, Option<Poison>)> {
        let scope = if self.declared.is_broadcast(input) {
            Scope::Broadcast
        } else {
            Scope::Subtask
        };
        let unkeyed = batch.keys.ends.is_empty() && !batch.values.ends.is_empty();
        if O::KEYED && unkeyed && scope != Scope::Broadcast {
            return Err(Error::fatal(format_args!(
                "the operator has keyed state: its input {input} needs a `key`"
            )));
        }
        if scope == Scope::Broadcast && !batch.keys.ends.is_empty() {
            return Err(Error::fatal(format_args!(
                "input {input} is a broadcast input: give it `broadcast: true` and no `key` in \
                 the job file"
            )));
        }
        self.call.begin(scope, batch.keys.ends.len() as u32, slots);
        self.outputs.take_watermarks();
        self.was_whole = self.process_whole(input, batch)?;
        let poisoned = match self.was_whole {
            true => None,
            false => self.process_each(input, batch)?,
        };
        self.call.leave_rows();
        let slots = self.flush()?;
        self.outputs.say_watermarks(&*self.call.host);
        Ok((slots, poisoned))
    }

    /// Processes rows one by one, up to the first that fails; only a fatal error is an error.
    fn process_each(&mut self, input: u32, batch: BatchRef<'_>) -> Result<Option<Poison>> {
        let decoded = if self.declared.looks_ahead {
            self.look_ahead(input, batch)?
        } else {
            Vec::new()
        };
        self.process_rows(input, batch, decoded)
    }

    /// Hands over what came of processing so many rows, these, with these event times.
    fn outcome(
        &mut self,
        processed: (Vec<Slots>, Option<Poison>),
        (rows, timestamps): (usize, &[i64]),
        lent: Lent<'_>,
    ) -> Result<Outcome> {
        let (slots, poisoned) = processed;
        let emitted = self.outputs.take(rows, timestamps, lent)?;
        Ok(Outcome {
            emitted,
            slots,
            poisoned,
        })
    }

    /// Takes back what a row did that fails; only a fatal error is an error.
    #[cold]
    fn refuse(&mut self, row: u32, error: Error) -> Result<Poison> {
        if error.is_fatal() {
            return Err(error);
        }
        self.operator.visit(Visit::Rollback);
        self.outputs.rollback(row);
        Ok(Poison {
            row,
            message: error.into_message(),
        })
    }

    /// Hands keys over up to the first that is refused; only a fatal error is an error.
    fn run_keys(&mut self, tag: &[u8], batch: BatchRef<'_>, slots: Vec<Slots>) -> Result<Outcome> {
        let keys = batch.keys.ends.len() as u32;
        self.call.begin(Scope::Subtask, keys, slots);
        self.outputs.take_watermarks();
        let mut poisoned = None;
        for index in 0..batch.values.ends.len() {
            let Some(key) = rows::key_of(batch, index)? else {
                return Err(Error::fatal("malformed keys from the host: there is none"));
            };
            self.call.enter_row(Some(key));
            let place = index as u32;
            let mut ctx = Ctx {
                env: Env {
                    host: &*self.call.host,
                },
                outputs: &mut self.outputs,
                origin: Some(place),
                key: HandKey::This(column::row(batch.keys, key as usize)?),
                hand: Hand::EMPTY,
                input: 0,
                types: PhantomData,
            };
            if let Err(error) = self.operator.on_key(tag, &mut ctx) {
                poisoned = Some(self.refuse(place, error)?);
                break;
            }
        }
        self.call.leave_rows();
        let slots = self.flush()?;
        let rows = batch.values.ends.len();
        self.outputs.say_watermarks(&*self.call.host);
        let emitted = self.outputs.take(rows, batch.timestamps, NOTHING_LENT)?;
        Ok(Outcome {
            emitted,
            slots,
            poisoned,
        })
    }

    fn run_timers(&mut self, due: &Due, slots: Vec<Slots>) -> Result<Outcome> {
        let keys = due.keys.ends.len() as u32;
        self.call.begin(Scope::Subtask, keys, slots);
        self.outputs.take_watermarks();
        let poisoned = self.fire(due)?;
        self.call.leave_rows();
        let slots = self.flush()?;
        let timestamps = match due.kind {
            TimerKind::EventTime => &due.at[..],
            TimerKind::ProcessingTime => &[],
        };
        self.outputs.say_watermarks(&*self.call.host);
        let emitted = self.outputs.take(due.at.len(), timestamps, NOTHING_LENT)?;
        Ok(Outcome {
            emitted,
            slots,
            poisoned,
        })
    }

    /// Hands timers over up to the first that fails; only a fatal error is an error.
    fn fire(&mut self, due: &Due) -> Result<Option<Poison>> {
        for (index, &at) in due.at.iter().enumerate() {
            let key = due.key_of_timer.get(index).copied();
            let key = key.filter(|key| (*key as usize) < due.keys.ends.len());
            let Some(key) = key else {
                return Err(Error::fatal(format_args!(
                    "malformed timers from the host: no key for timer {index}"
                )));
            };
            self.call.enter_row(Some(key));
            let place = index as u32;
            let mut ctx = Ctx {
                env: Env {
                    host: &*self.call.host,
                },
                outputs: &mut self.outputs,
                origin: Some(place),
                key: HandKey::This(column::row(&due.keys, key as usize)?),
                hand: Hand::EMPTY,
                input: 0,
                types: PhantomData,
            };
            let timer = Timer { kind: due.kind, at };
            if let Err(error) = self.operator.on_timer(timer, &mut ctx) {
                return self.refuse(place, error).map(Some);
            }
        }
        Ok(None)
    }

    /// The end of a call that may have refused a row.
    fn end_of_look(
        &mut self,
        result: Result<Option<(u32, Error)>>,
    ) -> std::result::Result<Option<Poison>, String> {
        let result = result.and_then(|refused| {
            if refused.is_some() {
                // The host calls again without the row.
                self.operator.visit(Visit::Rollback);
            }
            self.flush()?;
            Ok(refused)
        });
        let refused = self.finish_call(result)?;
        Ok(refused.map(|(row, error)| Poison {
            row,
            message: error.into_message(),
        }))
    }

    fn ask(&mut self, row: &OneRow) -> Result<Vec<Emitted>> {
        self.call.begin(Scope::Nothing, 0, Vec::new());
        self.call.enter_row(None);
        self.outputs.refuse_watermarks();
        let mut ctx = Ctx {
            env: Env {
                host: &*self.call.host,
            },
            outputs: &mut self.outputs,
            origin: Some(0),
            key: HandKey::This(row.key.as_deref().unwrap_or_default()),
            hand: Hand::EMPTY,
            input: 0,
            types: PhantomData,
        };
        let asked = Row {
            value: O::In::decode_row(0, &row.value)?,
            timestamp: row.timestamp,
            input: 0,
        };
        self.operator.enrich(asked, &mut ctx)?;
        self.call.leave_rows();
        self.flush()?;
        let timestamps: Vec<i64> = row.timestamp.into_iter().collect();
        self.outputs.take(1, &timestamps, NOTHING_LENT)
    }

    fn flush(&mut self) -> Result<Vec<Slots>> {
        let mut slots = Vec::new();
        let visit = Visit::Flush {
            slots: &mut slots,
            result: Ok(()),
        };
        match self.operator.visit(visit) {
            Visit::Flush { result, .. } => result?,
            Visit::Declare(_) | Visit::Rollback => {}
        }
        Ok(slots)
    }

    /// Calls a function of the operator that is handed no row.
    fn without_rows(
        &mut self,
        input: u32,
        function: fn(&mut O, &mut Ctx<O::Out>) -> Result<()>,
    ) -> Result<Vec<Emitted>> {
        self.call.begin_without_rows(Scope::Subtask);
        let mut ctx = Ctx {
            env: Env {
                host: &*self.call.host,
            },
            outputs: &mut self.outputs,
            origin: None,
            key: HandKey::This(&[]),
            hand: Hand::EMPTY,
            input,
            types: PhantomData,
        };
        function(&mut self.operator, &mut ctx)?;
        self.flush()?;
        self.outputs.take(0, &[], NOTHING_LENT)
    }

    /// Calls a function of the operator that emits nothing.
    fn aside<T>(
        &mut self,
        scope: Scope,
        function: impl FnOnce(&mut O, Env<'_>, Option<&Hooks<O>>) -> Result<T>,
    ) -> std::result::Result<T, String> {
        self.call.begin_without_rows(scope);
        let env = Env {
            host: &*self.call.host,
        };
        let result = function(&mut self.operator, env, self.hooks.as_ref());
        let result = result.and_then(|returned| self.flush().map(|_| returned));
        self.finish_call(result)
    }

    /// Leaves nothing of a failed call behind.
    fn finish_call<T>(&mut self, result: Result<T>) -> std::result::Result<T, String> {
        result.map_err(|error| {
            self.call.fail();
            self.outputs.clear();
            error.into_message()
        })
    }
}

impl<O: Operator> Logic for Driver<O> {
    fn describe(&self) -> std::result::Result<Descriptor, String> {
        if self.declared.mistakes.is_empty() {
            return Ok(self.declared.descriptor.clone());
        }
        Err(self.declared.mistakes.join("; "))
    }

    fn open(&mut self) -> std::result::Result<(), String> {
        self.aside(Scope::Subtask, |operator, env, _| operator.open(env))
    }

    fn process(
        &mut self,
        input: u32,
        rows: BatchRef<'_>,
        slots: Vec<Slots>,
    ) -> std::result::Result<Outcome, String> {
        let result = self.run(input, rows, slots).and_then(|processed| {
            let of = (rows.values.ends.len(), rows.timestamps);
            self.outcome(processed, of, Lent::Borrowed(rows.values))
        });
        self.finish_call(result)
    }

    fn process_owned(
        &mut self,
        input: u32,
        rows: Batch,
        slots: Vec<Slots>,
    ) -> std::result::Result<Outcome, String> {
        let result = self.run(input, (&rows).into(), slots);
        let result = result.and_then(|processed| {
            let of = (rows.values.ends.len(), &rows.timestamps[..]);
            self.outcome(processed, of, Lent::Owned(rows.values))
        });
        self.finish_call(result)
    }

    fn enrich(&mut self, row: OneRow) -> Result<Vec<Emitted>> {
        self.ask(&row).inspect_err(|_| {
            self.operator.visit(Visit::Rollback);
            self.call.fail();
            self.outputs.clear();
        })
    }

    fn on_timers(&mut self, due: &Due, slots: Vec<Slots>) -> std::result::Result<Outcome, String> {
        let result = self.run_timers(due, slots);
        self.finish_call(result)
    }

    fn on_keys(
        &mut self,
        tag: &[u8],
        keys: BatchRef<'_>,
        slots: Vec<Slots>,
    ) -> std::result::Result<Outcome, String> {
        let result = self.run_keys(tag, keys, slots);
        self.finish_call(result)
    }

    fn accumulate(
        &mut self,
        rows: &Rows<'_>,
    ) -> std::result::Result<(BytesColumn, Option<Poison>), String> {
        self.call.begin_without_rows(Scope::Nothing);
        let mut folded = Folded::new();
        let result = self.operator.accumulate(rows, &mut folded);
        let poisoned = self.end_of_look(result)?;
        Ok((folded.column, poisoned))
    }

    fn merge(&mut self, groups: &Groups<'_>) -> std::result::Result<BytesColumn, String> {
        self.call.begin_without_rows(Scope::Nothing);
        let mut merged = Folded::new();
        let result = self.operator.merge(groups, &mut merged);
        let result = result.and_then(|()| self.flush().map(|_| ()));
        self.finish_call(result)?;
        Ok(merged.column)
    }

    fn results(
        &mut self,
        keys: ColumnRef<'_>,
        windows: &[Window],
        accumulators: ColumnRef<'_>,
    ) -> std::result::Result<Vec<Emitted>, String> {
        self.all_results(keys, windows, |operator, (window, index), ctx| {
            operator.result(window, column::row(accumulators, index)?, ctx)
        })
    }

    fn accept(
        &mut self,
        input: u32,
        rows: ColumnRef<'_>,
    ) -> std::result::Result<Option<Poison>, String> {
        self.call.begin_without_rows(Scope::Nothing);
        let result = self.operator.accept(input, rows);
        self.end_of_look(result)
    }

    fn project(
        &mut self,
        pairs: &AllPairs,
    ) -> std::result::Result<std::result::Result<Vec<Emitted>, Poison>, String> {
        let result = self.run_pairs(pairs);
        if let Ok(Err(_)) = &result {
            // Nothing of the call counts; the host calls again without the pair.
            self.call.fail();
            self.outputs.clear();
        }
        self.finish_call(result)
    }

    fn apply(
        &mut self,
        keys: ColumnRef<'_>,
        windows: &[Window],
        rows: &AllRows,
    ) -> std::result::Result<Vec<Emitted>, String> {
        self.all_results(keys, windows, |operator, (window, index), ctx| {
            operator.apply(window, (rows, index), ctx)
        })
    }

    fn decide(
        &mut self,
        asked: AskedWindows,
        happened: Happened,
        window_of: Vec<u32>,
    ) -> std::result::Result<std::result::Result<Decided, Poison>, String> {
        self.call.begin_without_rows(Scope::Nothing);
        let result = match &self.trigger {
            Some(trigger) => (trigger.decide)(&mut self.operator, &asked, &happened, &window_of),
            None => Err(Error::fatal("this operator is no trigger")),
        };
        let result = result.and_then(|decided| {
            if decided.is_err() {
                // The host calls again without the row.
                self.operator.visit(Visit::Rollback);
            }
            self.flush()?;
            Ok(decided)
        });
        let decided = self.finish_call(result)?;
        Ok(decided.map_err(|(row, error)| Poison {
            row,
            message: error.into_message(),
        }))
    }

    fn end_of_input(&mut self, input: u32) -> std::result::Result<Vec<Emitted>, String> {
        let result = self.without_rows(input, O::end_of_input);
        self.finish_call(result)
    }

    fn finish(&mut self) -> std::result::Result<Vec<Emitted>, String> {
        let result = self.without_rows(0, O::finish);
        self.finish_call(result)
    }

    fn initialize(&mut self, restored: bool, raw: Vec<Vec<u8>>) -> std::result::Result<(), String> {
        self.aside(Scope::Subtask, |operator, env, hooks| match hooks {
            Some(hooks) => (hooks.initialize)(operator, &Initialize { env, restored, raw }),
            None => Ok(()),
        })
    }

    fn snapshot(&mut self, checkpoint: u64) -> std::result::Result<Vec<Vec<u8>>, String> {
        self.aside(Scope::Subtask, |operator, env, hooks| {
            let mut snapshot = Snapshot {
                env,
                checkpoint,
                raw: Vec::new(),
            };
            if let Some(hooks) = hooks {
                (hooks.snapshot)(operator, &mut snapshot)?;
            }
            Ok(snapshot.raw)
        })
    }

    fn complete(&mut self, checkpoint: u64) -> std::result::Result<(), String> {
        self.aside(Scope::Nothing, |operator, env, hooks| match hooks {
            Some(hooks) => (hooks.complete)(operator, checkpoint, env),
            None => Ok(()),
        })
    }

    fn aborted(&mut self, checkpoint: u64) -> std::result::Result<(), String> {
        self.aside(Scope::Nothing, |operator, env, hooks| match hooks {
            Some(hooks) => (hooks.aborted)(operator, checkpoint, env),
            None => Ok(()),
        })
    }

    fn sees_windows(&self) -> bool {
        O::SEES_WINDOWS
    }

    fn is_broadcast(&self, input: u32) -> bool {
        self.declared.is_broadcast(input)
    }

    fn undo(&mut self) {
        self.call.fail();
        self.outputs.clear();
    }

    fn metrics(&self) -> Vec<String> {
        self.declared.metrics()
    }

    fn row_by_row(&mut self) {
        self.row_by_row = true;
    }

    fn was_whole(&self) -> bool {
        self.was_whole
    }
}

#[cfg(test)]
mod tests;
