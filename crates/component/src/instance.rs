//! One instance of a component in a store of its own, and the way in and out of it.
//!
//! INVARIANT: after an error the instance is not entered again; the caller drops it.

use std::time::Duration;

use wasmtime::{Store, component::TypedFunc};
use weir_model::{EventTime, ProcessingTime};
use weir_operator::{Context, Failure, Metrics, TaskInfo};
use weir_state::{HeapBackend, KeyedState, OperatorState};

use crate::{
    Limits,
    aggregate::Aggregate,
    bindings::{
        BatchIn, OperatorIndices, OperatorPre, SlotsIn, exports::weir::operator::logic,
        weir::operator::data,
    },
    checkpointed::Checkpointed,
    engine::TICK,
    evolving::Evolving,
    guest::{Guest, Phase},
    join::Joins,
    keyed_broadcast::KeyedBroadcast,
    timed::Timed,
    trap::FailedCall,
    trigger::Triggers,
    window_function::WindowFunctions,
};

/// The most handles of resources that a component may hold in its own tables.
pub(crate) const MAX_HANDLES: usize = 10_000;

/// The arguments of `process`, borrowed.
pub(crate) type ProcessIn<'a> = (u32, BatchIn<'a>, &'a [SlotsIn<'a>]);
type ProcessOut = (Result<data::Outcome, String>,);

/// The functions of an instance.
pub(crate) struct Exports {
    logic: logic::Guest,
    process: TypedFunc<ProcessIn<'static>, ProcessOut>,
    /// The optional interface, where the component has it.
    pub(crate) checkpointed: Option<Checkpointed>,
    /// The other one.
    pub(crate) evolving: Option<Evolving>,
    /// And one more.
    pub(crate) timed: Option<Timed>,
    /// Called for all keys of a state.
    pub(crate) keyed_broadcast: Option<KeyedBroadcast>,
    /// And what folds windows.
    pub(crate) aggregate: Option<Aggregate>,
    /// Or sees all rows of them.
    pub(crate) windows: Option<WindowFunctions>,
    /// And decides when they give their results.
    pub(crate) trigger: Option<Triggers>,
    /// And makes the rows of joins.
    pub(crate) join: Option<Joins>,
}

/// An instance and its store.
pub(crate) struct Instance {
    store: Store<Guest>,
    exports: Exports,
    /// What stands in for the task's context while that is lent to the store, so that only a
    /// pointer moves.
    spare: Option<Box<Context>>,
}

/// Why there is no instance.
pub(crate) enum NoInstance {
    /// Its start failed.
    Failed(Failure),
    /// A function has another type than the contract says.
    Types(wasmtime::Error),
}

impl NoInstance {
    /// For a component that was found fit before.
    pub(crate) fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Types(error) => Failure::Internal {
                message: format!("the component was described but does not match: {error:#}"),
            },
        }
    }
}

impl Instance {
    /// Makes an instance for a task, or for `describe`.
    ///
    /// # Errors
    /// [`NoInstance`].
    pub(crate) fn new(
        pre: &OperatorPre<Guest>,
        limits: &Limits,
        task: Option<&TaskInfo>,
    ) -> Result<Self, NoInstance> {
        let mut store = Store::new(pre.engine(), Guest::new(task, limits));
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(limits.hostcall_fuel());
        store.set_max_component_handles(MAX_HANDLES);
        store.set_epoch_deadline(ticks(limits.time_per_call));
        let spare = task.map(stand_in).transpose().map_err(NoInstance::Failed)?;
        let instance = pre
            .instance_pre()
            .instantiate(&mut store)
            .map_err(|error| {
                store.data_mut().leave();
                let call = FailedCall {
                    phase: Phase::Start,
                    limits,
                    time: limits.time_per_call,
                    last_words: store.data().log.last_words(),
                    refusal: None,
                };
                NoInstance::Failed(call.failure(&error))
            })?;
        let exports = Exports::of(pre, &mut store, &instance).map_err(NoInstance::Types)?;
        Ok(Self {
            store,
            exports,
            spare,
        })
    }

    /// The linear memory in use, in bytes. It never shrinks.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().memory.bytes()
    }

    /// `describe`, which has no context.
    ///
    /// # Errors
    /// [`Failure`], of which [`Failure::Guest`] is what the guest said itself; then the instance is
    /// lost.
    pub(crate) fn describe(&mut self, limits: &Limits) -> Result<data::Descriptor, Failure> {
        let describe = |exports: &Exports, store: &mut _| exports.logic.call_describe(store);
        let time = limits.time_per_call;
        let described = self.call(Phase::Describe, None, limits, time, describe);
        match &described {
            // These tell what the guest logged last.
            Err(Failure::Guest { .. } | Failure::Trap(_)) => {}
            Ok(_) | Err(_) => self.store.data().log.tell_held(),
        }
        described
    }

    /// Calls a function that has no context, and the time of the limits.
    ///
    /// # Errors
    /// [`Failure`]; then the instance is lost.
    pub(crate) fn call_without<R>(
        &mut self,
        phase: Phase,
        limits: &Limits,
        function: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        self.call(phase, None, limits, limits.time_per_call, function)
    }

    /// Lends the context of the task to the store, calls, and takes it back. The call has the time
    /// of the limits; for rows it has less where the context says so, but an instance that is made
    /// anew to isolate a row may take as long to open as the first one.
    ///
    /// # Errors
    /// [`Failure`]; then the instance is lost.
    pub(crate) fn call_with<R>(
        &mut self,
        phase: Phase,
        cx: &mut Box<Context>,
        limits: &Limits,
        function: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        let rows = matches!(
            phase,
            Phase::Process
                | Phase::OnTimers
                | Phase::OnKeys
                | Phase::Accumulate
                | Phase::Merge
                | Phase::GetResult
                | Phase::Accept
                | Phase::Apply
                | Phase::OnRows
                | Phase::OnWindowTimers
                | Phase::AcceptJoined
                | Phase::Project
        );
        let deadline = cx.deadline.filter(|_| rows);
        let time = deadline.map_or(limits.time_per_call, |d| d.min(limits.time_per_call));
        let mut context = match self.spare.take() {
            Some(spare) => spare,
            None => stand_in(&cx.task)?,
        };
        std::mem::swap(cx, &mut context);
        let result = self.call(phase, Some(context), limits, time, function);
        if let Some(mut context) = self.store.data_mut().cx.take() {
            std::mem::swap(cx, &mut context);
            self.spare = Some(context);
        }
        result
    }

    fn call<R>(
        &mut self,
        phase: Phase,
        cx: Option<Box<Context>>,
        limits: &Limits,
        time: Duration,
        function: impl FnOnce(&Exports, &mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Failure> {
        self.store.set_epoch_deadline(ticks(time));
        self.store.data_mut().enter(phase, cx);
        let result = function(&self.exports, &mut self.store);
        self.store.data_mut().leave();
        result.map_err(|error| {
            let log = &self.store.data().log;
            let call = FailedCall {
                phase,
                limits,
                time,
                last_words: log.last_words(),
                refusal: log.refusal().filter(|_| phase == Phase::Describe),
            };
            call.failure(&error)
        })
    }
}

impl Exports {
    fn of(
        pre: &OperatorPre<Guest>,
        store: &mut Store<Guest>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Self> {
        let indices = OperatorIndices::new(pre.instance_pre())?;
        let operator = indices.load(&mut *store, instance)?;
        let logic = operator.weir_operator_logic().clone();
        let process = logic.func_process().func().typed(&*store)?;
        let component = pre.instance_pre().component();
        Ok(Self {
            logic,
            process,
            checkpointed: Checkpointed::of(component, store, instance)?,
            evolving: Evolving::of(component, store, instance)?,
            timed: Timed::of(component, store, instance)?,
            keyed_broadcast: KeyedBroadcast::of(component, store, instance)?,
            aggregate: Aggregate::of(component, store, instance)?,
            windows: WindowFunctions::of(component, store, instance)?,
            trigger: Triggers::of(component, store, instance)?,
            join: Joins::of(component, store, instance)?,
        })
    }

    pub(crate) fn open(&self, store: &mut Store<Guest>) -> wasmtime::Result<Result<(), String>> {
        self.logic.call_open(store)
    }

    pub(crate) fn process(
        &self,
        store: &mut Store<Guest>,
        arguments: ProcessIn<'_>,
    ) -> wasmtime::Result<Result<data::Outcome, String>> {
        let process: TypedFunc<ProcessIn<'_>, ProcessOut> = self.process;
        let (result,) = process.call(store, arguments)?;
        Ok(result)
    }

    pub(crate) fn end_of_input(
        &self,
        store: &mut Store<Guest>,
        input: u32,
    ) -> wasmtime::Result<Result<Vec<data::Emitted>, String>> {
        self.logic.call_end_of_input(store, input)
    }

    pub(crate) fn finish(
        &self,
        store: &mut Store<Guest>,
    ) -> wasmtime::Result<Result<Vec<data::Emitted>, String>> {
        self.logic.call_finish(store)
    }
}

/// A context without state.
pub(crate) fn stand_in(task: &TaskInfo) -> Result<Box<Context>, Failure> {
    let internal = |message: String| Failure::Internal { message };
    let range = task
        .max_parallelism
        .range_of(task.subtask, task.parallelism)
        .map_err(|error| internal(error.to_string()))?;
    let backend = HeapBackend::new(Vec::new(), range).map_err(|e| internal(e.to_string()))?;
    Ok(Box::new(Context {
        task: task.clone(),
        config: "".into(),
        state: KeyedState::new(Box::new(backend), task.max_parallelism),
        operator_state: OperatorState::new(&[]),
        watermark: EventTime::MIN,
        processing_time: ProcessingTime::default(),
        metrics: Metrics::default(),
        deadline: None,
        rehearsal: false,
        said_watermarks: Vec::new(),
    }))
}

/// A time in steps of the clock. The step that is under way does not count.
fn ticks(time: Duration) -> u64 {
    // wasmtime adds it to the count so far, unchecked; half of the range is for ever, too.
    const EVER: u64 = u64::MAX / 2;
    let ticks = time.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks)
        .unwrap_or(EVER)
        .saturating_add(1)
        .min(EVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rounded_up_to_steps_and_the_step_under_way_is_extra() {
        assert_eq!(ticks(Duration::ZERO), 1);
        assert_eq!(ticks(Duration::from_nanos(1)), 2);
        assert_eq!(ticks(TICK), 2);
        assert_eq!(ticks(TICK * 3 + Duration::from_millis(1)), 5);
        assert_eq!(ticks(Duration::MAX), u64::MAX / 2);
    }
}
