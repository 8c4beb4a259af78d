//! The steps.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use weir_checkpoint::{FailureReason, JobPaths, SnapshotStore};
use weir_model::{CheckpointId, EventTime, Name, Parallelism, ProcessingTime};
use weir_runtime::{JobFailure, RestoreFrom, control::CommandError};

use crate::{
    clock::VirtualClock,
    held::Holding,
    run::Run,
    setup::Setup,
    shared::{Caught, Fed, FeedState, Row, Shared, State},
};

/// Why a step was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stopped {
    /// The job has failed. Nothing can be done with it any more but to go back to a snapshot.
    #[error("{}", .0.failure)]
    Failed(Box<JobFailure>),
    /// A snapshot was not taken, and the job goes on.
    #[error("no snapshot could be taken: {0}")]
    NoSnapshot(String),
    /// All inputs have ended, and with them the job.
    #[error("all inputs have ended")]
    Ended,
    /// This input has ended.
    #[error("input {0} has ended")]
    InputEnded(usize),
    /// There is no such input.
    #[error("there is no input {0}")]
    NoInput(usize),
    /// A watermark only rises.
    #[error("the watermark of input {input} is {now} and cannot become {to}")]
    Falling {
        /// The input.
        input: usize,
        /// What it is.
        now: EventTime,
        /// What it was to become.
        to: EventTime,
    },
    /// The harness itself does not work.
    #[error("the harness is broken: {0}")]
    Broken(String),
}

/// A point to go back to.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The checkpoint; `None` = the beginning.
    id: Option<CheckpointId>,
    parallelism: Parallelism,
    now: ProcessingTime,
    inputs: Vec<InputTime>,
    skipped: u64,
}

impl Snapshot {
    /// The number of the checkpoint; `None` = nothing has been done yet.
    #[must_use]
    pub fn id(&self) -> Option<CheckpointId> {
        self.id
    }
}

/// How far an input has come.
#[derive(Clone, Copy, Debug)]
struct InputTime {
    watermark: EventTime,
    is_idle: bool,
    has_ended: bool,
}

/// What came out after a crash, where that is not what came before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// The output: 0 is the main one, the last one is dead letters.
    pub output: usize,
    /// What came of the input since the snapshot before the crash.
    pub before: Vec<Caught>,
    /// What came of the same input after it.
    pub after: Vec<Caught>,
}

/// A step, as it is done again after a crash.
#[derive(Clone, Debug)]
enum Done {
    Fed(usize, Fed),
    Advanced(Duration),
}

/// An operator in a job, step by step. Each step ends when all that it brought about is done.
pub struct Harness {
    setup: Setup,
    parallelism: Parallelism,
    clock: Arc<VirtualClock>,
    now: ProcessingTime,
    shared: Arc<Shared>,
    run: Option<Run>,
    attempts: Arc<AtomicU32>,
    sources: Vec<Name>,
    inputs: Vec<InputTime>,
    /// The checkpoint behind the last step.
    latest: Option<CheckpointId>,
    /// What a crash goes back to, and what was done since then.
    last: Snapshot,
    since: Vec<Done>,
    /// What came of that, by output.
    emitted: Vec<Vec<Caught>>,
    /// What came and was not looked at, by output.
    out: Vec<VecDeque<Caught>>,
    /// Rows left out before this run, in it, and how many of them were looked at.
    skipped_before: u64,
    skipped: u64,
    skipped_seen: u64,
    failure: Option<Stopped>,
}

impl Harness {
    /// Starts the job and waits until it runs.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn start(setup: Setup) -> Result<Self, Stopped> {
        let fresh = InputTime {
            watermark: EventTime::MIN,
            is_idle: false,
            has_ended: false,
        };
        let inputs = vec![fresh; setup.inputs.len()];
        let outputs = setup.outputs + 1;
        let mut harness = Self {
            parallelism: setup.parallelism,
            clock: Arc::new(VirtualClock::at(setup.start)),
            now: setup.start,
            shared: Arc::default(),
            run: None,
            attempts: Arc::default(),
            sources: setup.sources(),
            latest: None,
            last: Snapshot {
                id: None,
                parallelism: setup.parallelism,
                now: setup.start,
                inputs: inputs.clone(),
                skipped: 0,
            },
            inputs,
            since: Vec::new(),
            emitted: vec![Vec::new(); outputs],
            out: vec![VecDeque::new(); outputs],
            skipped_before: 0,
            skipped: 0,
            skipped_seen: 0,
            failure: None,
            setup,
        };
        let begun = harness.begin(None);
        harness.noting(begun)?;
        Ok(harness)
    }

    /// Gives rows to an input, in order.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn rows(
        &mut self,
        input: usize,
        rows: impl IntoIterator<Item = Row>,
    ) -> Result<(), Stopped> {
        self.open(input)?;
        self.wake(input)?;
        let mut rows = rows.into_iter().peekable();
        while let Some(first) = rows.next() {
            // Rows of a batch all have a time, or none.
            let timed = first.time.is_some();
            let mut batch = vec![first];
            while let Some(row) = rows.next_if(|row| row.time.is_some() == timed) {
                batch.push(row);
            }
            self.feed(input, Fed::Rows(batch));
        }
        self.settle()
    }

    /// Lets the watermark of an input rise.
    ///
    /// # Errors
    /// [`Stopped`]; [`Stopped::Falling`] where it would not rise.
    pub fn watermark(&mut self, input: usize, to: EventTime) -> Result<(), Stopped> {
        let now = self.open(input)?.watermark;
        if to < now {
            return Err(Stopped::Falling { input, now, to });
        }
        self.wake(input)?;
        self.inputs[input].watermark = to;
        if to > now {
            self.feed(input, Fed::Watermark(to));
        }
        self.settle()
    }

    /// Says that nobody is to wait for an input. Its next row or watermark says that somebody is
    /// again.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn idle(&mut self, input: usize) -> Result<(), Stopped> {
        if !std::mem::replace(&mut self.open(input)?.is_idle, true) {
            self.feed(input, Fed::Idle(true));
        }
        self.settle()
    }

    /// Lets processing time pass.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn advance(&mut self, by: Duration) -> Result<(), Stopped> {
        self.alive()?;
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.now = ProcessingTime(self.now.0.saturating_add(ms));
        self.since.push(Done::Advanced(by));
        self.clock.set(self.now);
        self.settle()
    }

    /// Ends an input. With the last one the job ends, too.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn end(&mut self, input: usize) -> Result<(), Stopped> {
        self.open(input)?;
        self.wake(input)?;
        self.inputs[input].has_ended = true;
        self.feed(input, Fed::End);
        self.settle()
    }

    /// Takes a snapshot, by a checkpoint: a point that a crash goes back to.
    ///
    /// # Errors
    /// [`Stopped`]; [`Stopped::NoSnapshot`] where none could be taken.
    pub fn snapshot(&mut self) -> Result<Snapshot, Stopped> {
        self.running()?;
        self.settle()?;
        self.last = Snapshot {
            id: self.latest,
            parallelism: self.parallelism,
            now: self.now,
            inputs: self.inputs.clone(),
            skipped: self.skipped_before + self.skipped,
        };
        self.since.clear();
        self.emitted.iter_mut().for_each(Vec::clear);
        Ok(self.last.clone())
    }

    /// Goes back to a snapshot: what came after it, looked at or not, is forgotten. Time goes on as
    /// it was. Watermarks are no part of a snapshot (D15): inputs begin without any.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Stopped> {
        self.let_go();
        self.parallelism = snapshot.parallelism;
        self.forget(snapshot);
        self.out.iter_mut().for_each(VecDeque::clear);
        self.skipped_seen = snapshot.skipped;
        self.last = Snapshot {
            now: self.now,
            inputs: self.inputs.clone(),
            ..snapshot.clone()
        };
        let begun = self.begin(snapshot.id);
        self.noting(begun)
    }

    /// Takes a snapshot and goes on from it with another number of subtasks. Inputs begin without
    /// watermarks.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn rescale(&mut self, parallelism: Parallelism) -> Result<(), Stopped> {
        let snapshot = self.snapshot()?;
        self.let_go();
        self.parallelism = parallelism;
        self.forget(&snapshot);
        self.last = Snapshot {
            parallelism,
            inputs: self.inputs.clone(),
            ..snapshot.clone()
        };
        let begun = self.begin(snapshot.id);
        self.noting(begun)
    }

    /// Ends the job at once, as `kill -9` would, starts it from its last snapshot, or anew where
    /// there is none, and does again all that was done since then: from the same watermarks, at the
    /// same times. What comes of it must be what came before; if it does, it is as if nothing had
    /// happened, and what was not looked at is still there.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn crash(&mut self) -> Result<Vec<Differs>, Stopped> {
        self.let_go();
        let snapshot = self.last.clone();
        let (done, before) = (self.since.clone(), self.emitted.clone());
        let out = std::mem::take(&mut self.out);
        self.out = vec![VecDeque::new(); out.len()];
        self.parallelism = snapshot.parallelism;
        self.forget(&snapshot);
        self.now = snapshot.now;
        self.clock.set(self.now);
        let begun = self.begin(snapshot.id);
        self.noting(begun)?;
        self.say_again(&snapshot.inputs)?;
        for done in done {
            match done {
                Done::Fed(input, fed) => {
                    self.fed_again(input, &fed);
                    self.feed(input, fed);
                    self.settle()?;
                }
                Done::Advanced(by) => self.advance(by)?,
            }
        }
        let mut differs = Vec::new();
        for (output, (before, after)) in before.into_iter().zip(&self.emitted).enumerate() {
            if !is_same(&before, after) {
                let after = after.clone();
                differs.push(Differs {
                    output,
                    before,
                    after,
                });
            }
        }
        self.out = out;
        Ok(differs)
    }

    /// What an output has given since it was looked at: 0 is the main one, then the side outputs.
    pub fn take(&mut self, output: usize) -> Vec<Caught> {
        let out = self.out.get_mut(output);
        out.map_or_else(Vec::new, |out| out.drain(..).collect())
    }

    /// What an output has given that was not looked at; it is not looked at now either.
    #[must_use]
    pub fn waiting(&self, output: usize) -> usize {
        self.out.get(output).map_or(0, VecDeque::len)
    }

    /// The dead letters since they were looked at.
    pub fn take_dead_letters(&mut self) -> Vec<Caught> {
        self.take(self.setup.outputs)
    }

    /// How many rows were left out since somebody asked.
    pub fn take_skipped(&mut self) -> u64 {
        let all = self.skipped_before + self.skipped;
        all.saturating_sub(std::mem::replace(&mut self.skipped_seen, all))
    }

    /// How many subtasks there are now.
    #[must_use]
    pub fn parallelism(&self) -> Parallelism {
        self.parallelism
    }

    /// What the clock says.
    #[must_use]
    pub fn now(&self) -> ProcessingTime {
        self.now
    }

    /// Where the checkpoint behind the last step lies: its store, and its folder in there. It holds
    /// all state as it is now.
    #[must_use]
    pub fn saved(&self) -> Option<(Arc<dyn SnapshotStore>, String)> {
        let id = self.latest?;
        let folder = JobPaths::new(&self.setup.job).checkpoint(id);
        Some((Arc::clone(&self.setup.keeping.store), folder))
    }

    /// What the operator holds after the last step. State in files of a backend's own cannot be
    /// read here.
    ///
    /// # Errors
    /// [`Stopped::Broken`] where it cannot be read.
    pub fn held(&self) -> Result<Holding, Stopped> {
        let nothing = || Stopped::Broken("nothing was saved yet".into());
        let (store, folder) = self.saved().ok_or_else(nothing)?;
        Holding::read(&*store, &folder, &self.setup.name).map_err(Stopped::Broken)
    }

    /// Whether the job has failed, and why.
    #[must_use]
    pub fn failure(&self) -> Option<&Stopped> {
        self.failure.as_ref()
    }

    /// Whether all inputs have ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !self.inputs.is_empty() && self.inputs.iter().all(|input| input.has_ended)
    }

    fn alive(&self) -> Result<(), Stopped> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    /// Whether there is a job to be told something.
    fn running(&self) -> Result<(), Stopped> {
        self.alive()?;
        match self.has_ended() {
            true => Err(Stopped::Ended),
            false => Ok(()),
        }
    }

    fn open(&mut self, input: usize) -> Result<&mut InputTime, Stopped> {
        self.running()?;
        let found = self.inputs.get_mut(input).ok_or(Stopped::NoInput(input))?;
        match found.has_ended {
            true => Err(Stopped::InputEnded(input)),
            false => Ok(found),
        }
    }

    /// Whoever speaks is not idle.
    fn wake(&mut self, input: usize) -> Result<(), Stopped> {
        if std::mem::replace(&mut self.open(input)?.is_idle, false) {
            self.feed(input, Fed::Idle(false));
        }
        Ok(())
    }

    fn feed(&mut self, input: usize, fed: Fed) {
        self.since.push(Done::Fed(input, fed.clone()));
        self.shared.feed(input, fed);
    }

    /// What is said again after a crash is known again.
    fn fed_again(&mut self, input: usize, fed: &Fed) {
        let Some(time) = self.inputs.get_mut(input) else {
            return;
        };
        match fed {
            Fed::Rows(_) => {}
            Fed::Watermark(to) => time.watermark = *to,
            Fed::Idle(idle) => time.is_idle = *idle,
            Fed::End => time.has_ended = true,
        }
    }

    /// After a crash inputs are where they were, and say so.
    fn say_again(&mut self, inputs: &[InputTime]) -> Result<(), Stopped> {
        for (input, time) in inputs.iter().enumerate() {
            if time.has_ended {
                continue;
            }
            self.inputs[input] = *time;
            if time.watermark > EventTime::MIN {
                self.shared.feed(input, Fed::Watermark(time.watermark));
            }
            if time.is_idle {
                self.shared.feed(input, Fed::Idle(true));
            }
        }
        self.settle()
    }

    /// Forgets what happened since a snapshot.
    fn forget(&mut self, snapshot: &Snapshot) {
        self.since.clear();
        self.emitted.iter_mut().for_each(Vec::clear);
        self.failure = None;
        self.skipped_before = snapshot.skipped;
        self.skipped = 0;
        for (input, then) in self.inputs.iter_mut().zip(&snapshot.inputs) {
            *input = InputTime {
                watermark: EventTime::MIN,
                is_idle: false,
                has_ended: then.has_ended,
            };
        }
    }

    /// Ends the job at once.
    fn let_go(&mut self) {
        self.run = None;
    }

    /// Starts the job at a checkpoint, or at the beginning, and waits until it runs.
    fn begin(&mut self, at: Option<CheckpointId>) -> Result<(), Stopped> {
        // What is left of the run before is its own.
        self.shared = Arc::default();
        let outputs = self.setup.outputs + 1;
        self.shared.change(|state: &mut State| {
            let feed = |input: &InputTime| FeedState {
                has_ended: input.has_ended,
                ..FeedState::default()
            };
            state.feeds = self.inputs.iter().map(feed).collect();
            state.caught = vec![Vec::new(); outputs];
        });
        let deployment = self.setup.deployment(self.parallelism, &self.shared);
        let deployment = deployment.map_err(|error| Stopped::Broken(error.to_string()))?;
        let restore = match at {
            Some(id) => RestoreFrom::Own(id),
            None => RestoreFrom::Nothing,
        };
        self.run = Some(Run::start(
            deployment,
            &self.shared,
            &self.setup.keeping.store,
            self.clock.clone(),
            &self.attempts,
            restore,
        )?);
        self.shared.wait(|state| state.is_running);
        self.settle()
    }

    /// Waits until all is done that there is to do, and notes a failure.
    fn settle(&mut self) -> Result<(), Stopped> {
        let settled = self.try_to_settle();
        self.noting(settled)
    }

    fn noting(&mut self, done: Result<(), Stopped>) -> Result<(), Stopped> {
        if let Err(Stopped::Failed(_) | Stopped::Broken(_)) = &done {
            self.failure = done.clone().err();
        }
        done
    }

    fn try_to_settle(&mut self) -> Result<(), Stopped> {
        self.alive()?;
        let all_ended = self.has_ended();
        self.shared.wait(|state| {
            // A job whose input has ended is waited for to its end.
            !all_ended && state.feeds.iter().all(FeedState::is_done)
        });
        let fenced = match &self.run {
            Some(run) if !run.is_over() => self.fence(run),
            Some(_) | None => Err(CommandError::Ended("it is over".into())),
        };
        let settled = match fenced {
            Ok((id, skipped)) => {
                self.latest = Some(id);
                self.skipped = skipped;
                Ok(())
            }
            Err(CommandError::Failed { reason, message }) if is_survived(reason) => {
                Err(Stopped::NoSnapshot(message))
            }
            Err(CommandError::Refused(reason)) => Err(Stopped::NoSnapshot(reason.to_string())),
            Err(_) => self.over(),
        };
        self.gather();
        settled
    }

    /// A checkpoint behind all that there was to do.
    fn fence(&self, run: &Run) -> Result<(CheckpointId, u64), CommandError> {
        for (source, input) in self.sources.iter().zip(&self.inputs) {
            if input.has_ended {
                run.wait_for_end_of(source)?;
            }
        }
        let mut id = run.checkpoint()?;
        if self.setup.factory.waits().is_some() {
            // A barrier passes rows whose calls wait: what comes of them is behind a later one.
            run.wait_for_calls()?;
            id = run.checkpoint()?;
        }
        let skipped = run.status()?.nodes.iter().map(|node| node.skipped).sum();
        Ok((id, skipped))
    }

    /// The job has ended by itself: because its input has, or because it has failed.
    fn over(&mut self) -> Result<(), Stopped> {
        self.shared.wait(|_| false);
        let Some(run) = &mut self.run else {
            return Err(Stopped::Broken("there is no job".into()));
        };
        let report = run.ended();
        self.run = None;
        let report = report?;
        self.skipped = report.meters.iter().map(|node| node.skipped.get()).sum();
        self.latest = report.last.map(|stats| stats.id).or(self.latest);
        match self.has_ended() {
            true => Ok(()),
            false => Err(Stopped::Broken("the job ended by itself".into())),
        }
    }

    /// Takes over what has come out.
    fn gather(&mut self) {
        let caught = self.shared.change(|state| {
            let caught = state.caught.iter_mut();
            caught.map(std::mem::take).collect::<Vec<_>>()
        });
        for (output, caught) in caught.into_iter().enumerate() {
            self.out[output].extend(caught.iter().cloned());
            self.emitted[output].extend(caught);
        }
    }
}

/// Whether a job goes on though a checkpoint was given up for this reason; else it ends, and why is
/// known when it has.
fn is_survived(reason: FailureReason) -> bool {
    matches!(
        reason,
        FailureReason::CheckpointDeclined
            | FailureReason::CheckpointAsyncException
            | FailureReason::CheckpointExpired
            | FailureReason::IoException
            | FailureReason::FinalizeCheckpointFailure
    )
}

/// Whether the same rows came. Which subtask gave them may be another one, and those of timers of
/// one time come in any order.
fn is_same(before: &[Caught], after: &[Caught]) -> bool {
    let sorted = |all: &[Caught]| {
        let rows = all.iter().map(|row| (row.value.clone(), row.time));
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows
    };
    sorted(before) == sorted(after)
}
