//! An operator whose calls wait, with its rows and the calls that are under way.
//!
//! The calls belong to the task and do their work only while it polls them: so nothing of them is
//! left when the task is gone, and there is no lock between a call and what comes of it.
//!
//! INVARIANT: a call that was dropped does nothing any more; what it might have given does not
//! count.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::{
    StreamExt,
    future::{AbortHandle, Abortable},
    stream::FuturesUnordered,
};
use tokio::{sync::Notify, time::Instant};
use weir_model::{Column, EventTime, Name, ProcessingTime};
use weir_operator::{
    AsyncCall, AsyncOperator, AsyncOptions, AsyncReady, BatchRow, Called, Calling, Failure,
    Metrics, NotCalled,
};
use weir_state::{OperatorState, StateDecl, StateIndex};

use super::{
    queue::{Ended, Leaving, Queue},
    saved,
};
use crate::{letters::BadRows, task::lane::NodeState};

/// The most bytes of rows that are held before no more are taken: the list of them in a checkpoint
/// has a bound, and what is taken at once is 256 KiB, or one row of at most 16 MiB.
const MAX_HELD: usize = 64 << 20;

/// How long calls are polled before the task looks at control again (D6).
const TURN: Duration = Duration::from_millis(5);

/// See the module.
pub(crate) struct WaitingNode {
    operator: Box<dyn AsyncOperator>,
    /// The rows whose results are not out yet, as the latest checkpoint has them.
    state: OperatorState,
    decls: Vec<StateDecl>,
    pub(super) bad_rows: BadRows,
    pub(super) queue: Queue<BatchRow, Settled>,
    /// The bytes of the rows in it.
    held: usize,
    calls: FuturesUnordered<Abortable<Numbered>>,
    /// How the calls are dropped that are under way.
    drops: HashMap<u64, AbortHandle>,
    waker: Waker,
    pub(super) watermark: EventTime,
    pub(super) metrics: Metrics,
    /// Since when nothing goes on, by the clock that tells what took too long.
    held_since: Option<ProcessingTime>,
}

/// What becomes of a row.
pub(crate) enum Settled {
    Called(Called),
    /// The operator does not take it.
    Refused(String),
    /// Its last call failed.
    Failed(String),
    /// The instance is lost that was called.
    Lost(Failure),
    /// It took too long, with so many calls.
    TimedOut(u32),
}

/// A call with the number of its row.
struct Numbered {
    number: u64,
    call: Calling,
}

impl Future for Numbered {
    type Output = (u64, Result<Called, NotCalled>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let number = self.number;
        self.call.as_mut().poll(cx).map(|result| (number, result))
    }
}

/// Wakes the task.
struct WakesTask(Arc<Notify>);

impl Wake for WakesTask {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

/// The times of the task.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    /// By which it is told what took too long.
    pub(crate) monotonic: ProcessingTime,
    /// That which operators see.
    pub(crate) clock: ProcessingTime,
}

impl WaitingNode {
    /// With what a checkpoint has of it, in `state`.
    pub(crate) fn new(
        operator: Box<dyn AsyncOperator>,
        options: AsyncOptions,
        state: (Vec<StateDecl>, OperatorState),
    ) -> Self {
        let (decls, state) = state;
        Self {
            operator,
            state,
            decls,
            bad_rows: BadRows::Fail,
            queue: Queue::new(options),
            held: 0,
            calls: FuturesUnordered::new(),
            drops: HashMap::new(),
            waker: Waker::noop().clone(),
            watermark: EventTime::MIN,
            metrics: Metrics::default(),
            held_since: None,
        }
    }

    /// What becomes of rows that gave nothing, and which task its calls wake.
    pub(crate) fn with(self, bad_rows: BadRows, wake: Arc<Notify>) -> Self {
        Self {
            bad_rows,
            waker: Waker::from(Arc::new(WakesTask(wake))),
            ..self
        }
    }

    /// Takes in the rows of the checkpoint, which come before any other.
    pub(crate) fn open(&mut self) -> Result<(), Failure> {
        let mut rows = Column::new();
        self.state.list_get(WAITING, &mut rows)?;
        for saved in rows.iter() {
            self.push(saved::read(saved)?);
        }
        Ok(())
    }

    /// A row has come.
    pub(super) fn push(&mut self, row: BatchRow) {
        self.held += weight(&row);
        self.queue.push(row);
    }

    /// What leaves next, if it can.
    pub(super) fn leave(&mut self) -> Option<Leaving<BatchRow, Settled>> {
        let leaving = self.queue.leave()?;
        if let Leaving::Row(row, _) = &leaving {
            self.held = self.held.saturating_sub(weight(row));
        }
        Some(leaving)
    }

    /// Whether no more rows are taken.
    pub(super) fn is_full(&self) -> bool {
        self.queue.is_full() || self.held > MAX_HELD
    }

    /// Nothing goes on for a while: what calls wait for may come meanwhile, and is not too late.
    pub(crate) fn hold(&mut self, now: Now) {
        self.held_since.get_or_insert(now.monotonic);
    }

    /// Lets calls do their work, begins those that are to be made, and gives up what took too long.
    /// Gives back whether there is more to do at once.
    ///
    /// # Errors
    /// What is not about a row.
    pub(crate) fn work(&mut self, now: Now) -> Result<bool, Failure> {
        let began = Instant::now();
        if let Some(since) = self.held_since.take() {
            self.queue.postpone(now.monotonic.since(since));
        }
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        loop {
            while let Poll::Ready(Some(ended)) = self.calls.poll_next_unpin(&mut cx) {
                // One that was dropped is not told of again.
                if let Ok((number, result)) = ended {
                    self.drops.remove(&number);
                    self.queue.ended(number, ended_as(result)?, now.monotonic);
                }
                if began.elapsed() > TURN {
                    return Ok(true);
                }
            }
            for late in self.queue.tick(now.monotonic, Settled::TimedOut) {
                if let Some(dropped) = self.drops.remove(&late) {
                    dropped.abort();
                }
            }
            let mut begun = false;
            while self.is_ready(now, &mut cx)?
                && let Some((number, row)) = self.queue.begin(now.monotonic)
            {
                // What comes after it has its time from then on.
                let is_over = began.elapsed() > TURN;
                let call = self.operator.call(AsyncCall {
                    row: row.clone(),
                    watermark: self.watermark,
                    now: now.clock,
                });
                let (drop, registration) = AbortHandle::new_pair();
                self.drops.insert(number, drop);
                let call = Numbered { number, call };
                self.calls.push(Abortable::new(call, registration));
                begun = true;
                if is_over {
                    return Ok(true);
                }
            }
            if !begun {
                return Ok(false);
            }
        }
    }

    /// Whether there is a call to begin that can be begun.
    fn is_ready(&mut self, now: Now, cx: &mut Context<'_>) -> Result<bool, Failure> {
        let ready = AsyncReady {
            wanted: self.queue.wanted(),
            watermark: self.watermark,
            now: now.clock,
        };
        match self.operator.poll_ready(ready, cx) {
            Poll::Ready(result) => result.map(|()| ready.wanted > 0),
            Poll::Pending => Ok(false),
        }
    }

    /// The operator's part of a checkpoint: the rows whose results are not out.
    pub(crate) fn freeze(&mut self, name: &Name) -> Result<NodeState, Failure> {
        let (mut rows, mut row) = (Column::new(), Vec::new());
        for one in self.queue.rows() {
            row.clear();
            saved::write(one, &mut row);
            rows.push(&row);
        }
        self.state.begin(false);
        self.state.list_set(WAITING, rows)?;
        self.state.commit();
        Ok(NodeState {
            operator: name.clone(),
            decls: self.decls.clone(),
            keyed: None,
            own: Some((self.state.snapshot(), Vec::new())),
        })
    }
}

/// What a row takes in a checkpoint, about.
fn weight(row: &BatchRow) -> usize {
    row.value().len() + row.key().map_or(0, |(key, _)| key.len())
}

/// The one state there is.
const WAITING: StateIndex = StateIndex(0);

fn ended_as(result: Result<Called, NotCalled>) -> Result<Ended<Settled>, Failure> {
    Ok(match result {
        Ok(called) => Ended::Settled(Settled::Called(called)),
        Err(NotCalled::Failed(message)) => Ended::Failed(Settled::Failed(message)),
        Err(NotCalled::Refused(message)) => Ended::Settled(Settled::Refused(message)),
        Err(NotCalled::Lost(failure)) => Ended::Settled(Settled::Lost(failure)),
        Err(NotCalled::Broken(failure)) => return Err(failure),
    })
}

#[cfg(test)]
mod tests;
