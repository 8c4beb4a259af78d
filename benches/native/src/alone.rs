//! The exports of an operator that go from thread to thread with their task, one call at a time.

use std::{cell::RefCell, rc::Rc};

use weir_guest::native::{Host, Logic};
use weir_model::{EventTime, ProcessingTime};
use weir_operator::{Context, Failure, Metrics, TaskInfo};
use weir_state::{HeapBackend, KeyedState, OperatorState};

use crate::host::{Lender, Lent};

/// Makes an operator on a host: the `native_operator` of a module that says `operator!`.
pub type Make = fn(Box<dyn Host>) -> Box<dyn Logic>;

/// An operator, and all that it shares with its host.
pub(crate) struct Alone {
    logic: Box<dyn Logic>,
    lent: Rc<Lent>,
    /// What stands in for the task's context while that is lent.
    spare: Option<Box<Context>>,
}

// SAFETY: all reference counts and cells that the operator is made of are made in `Alone::new`, by
// the SDK, and are reached from this value alone; nothing of them is bound to a thread. They go
// where it goes. What an author could do against it is to put a handle into a thread-local of their
// own: this crate runs operators of this repository, which do not.
#[expect(
    unsafe_code,
    reason = "handles of the SDK share one `Rc`, which a guest never sees from two threads"
)]
unsafe impl Send for Alone {}

impl Alone {
    pub(crate) fn new(make: Make) -> Self {
        let lent = Rc::new(Lent {
            context: RefCell::new(None),
            failed: RefCell::new(None),
        });
        Self {
            logic: make(Box::new(Lender(Rc::clone(&lent)))),
            lent,
            spare: None,
        }
    }

    /// What the operator says of itself; its context is not here.
    pub(crate) fn logic(&self) -> &dyn Logic {
        &*self.logic
    }

    /// Lends the context of the task, calls, and takes it back.
    ///
    /// # Errors
    /// What failed in the host, else what the operator returned.
    pub(crate) fn call<T>(
        &mut self,
        cx: &mut Box<Context>,
        function: impl FnOnce(&mut dyn Logic) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let mut context = match self.spare.take() {
            Some(spare) => spare,
            None => stand_in(&cx.task)?,
        };
        std::mem::swap(cx, &mut context);
        self.lent.context.replace(Some(context));
        let returned = function(&mut *self.logic);
        if let Some(mut context) = self.lent.context.take() {
            std::mem::swap(cx, &mut context);
            self.spare = Some(context);
        }
        if let Some(failure) = self.lent.failed.take() {
            return Err(failure);
        }
        returned.map_err(|message| Failure::Guest { message, row: None })
    }
}

/// A context without state.
fn stand_in(task: &TaskInfo) -> Result<Box<Context>, Failure> {
    let internal = |message: String| Failure::Internal { message };
    let range = task
        .max_parallelism
        .range_of(task.subtask, task.parallelism)
        .map_err(|error| internal(error.to_string()))?;
    let backend = HeapBackend::new(Vec::new(), range)?;
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
