//! A task: one subtask of one chain, with its closed loop of events.
//!
//! A task waits for an element of an input that is not blocked, a word of the driver, room in its
//! outputs, or the time at which its source has more. It owns its operators, their state and its
//! builders: there is no lock on the data path but that of the channels, once per batch.

mod ahead;
mod all_keys;
mod bases;
mod calling;
mod chain;
mod coming;
mod event_time;
mod isolate;
mod lane;
mod object;
mod operator;
mod overtaken;
mod own_time;
mod sink;
mod slicer;
mod source;
mod timers;
mod waiting;
mod wires;

use std::{collections::VecDeque, ops::Range, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;

use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};
use weir_checkpoint::{AlignEffect, Alignment, CheckpointMode, FailureReason, TaskId};
use weir_event_time::{Change, Passed, Watermarks};
use weir_model::{
    Barrier, BarrierKind, Batch, CheckpointId, Element, EventTime, Lineage, ProcessingTime, hash64,
};
use weir_operator::{Failure, SourceRows};

pub(crate) use all_keys::AllKeys;
pub(crate) use bases::Bases;
pub(crate) use chain::{Chain, Kind, Node, NodeFailure};
pub(crate) use event_time::{Drifts, EventTimes};
pub(crate) use lane::{Lane, LaneHandle, LaneSink, Storage, lock};
pub(crate) use operator::{Beginning, Holds, OperatorNode};
pub(crate) use own_time::OwnTime;
pub(crate) use sink::{SinkNode, Transactions};
pub(crate) use slicer::{Pace, Slicer};
pub(crate) use source::SourceHead;
pub(crate) use timers::Firing;
pub(crate) use waiting::WaitingNode;
pub(crate) use wires::Wires;

use self::{
    coming::{Alarm, Coming},
    lane::{Epoch, Part, Work},
    operator::{Fate, NotFrozen, request},
    overtaken::Overtaken,
    source::{Fetched, Read},
};
use crate::{
    clock::Monotonic,
    exchange::Gate,
    memory,
    messages::{Ack, Control, Event, FromTask, TaskFailure},
};

/// How long a task works before it lets others on its thread.
const TURN: Duration = Duration::from_millis(2);

/// Everything a task is made of.
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) chain: Chain,
    pub(crate) source: Option<SourceHead>,
    pub(crate) gate: Gate,
    /// The input of the head that each channel belongs to, those of recovery at the end.
    pub(crate) input_of: Vec<u32>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) control: mpsc::UnboundedReceiver<Control>,
    pub(crate) events: mpsc::UnboundedSender<FromTask>,
    pub(crate) lane: LaneHandle,
    /// Whether checkpoints may refer to earlier ones.
    pub(crate) increments: bool,
    /// Whether barriers block.
    pub(crate) mode: CheckpointMode,
    /// Where barriers may overtake: of each channel, whether they do not on it (D9).
    pub(crate) stay_aligned: Option<Vec<bool>>,
    /// The time of the protocols.
    pub(crate) monotonic: Monotonic,
    /// Restored from a checkpoint that was taken after it had finished: nothing is opened, read or
    /// finished again.
    pub(crate) finished: bool,
}

/// The task while it runs.
struct Running {
    task: Task,
    alignment: Alignment,
    aligning_since: Option<Instant>,
    /// When the alignment under way has taken too long.
    deadline: Option<Instant>,
    /// A checkpoint whose channel state is being recorded.
    overtaken: Option<Overtaken>,
    /// Of each input, the channels of recovery that are not empty yet: what is new waits for them.
    recovering: Vec<usize>,
    watermarks: Watermarks,
    /// Channels of each input that still have rows to come.
    with_data: Vec<usize>,
    in_hand: Option<InHand>,
    pace: Pace,
    /// The same of rows that leave after they waited.
    leaves: Pace,
    slicer: Slicer,
    /// Where the rows of the slice came from, where it matters.
    lineage: Vec<Lineage>,
    /// Time that has come, and what waits behind it.
    coming: VecDeque<Coming>,
    alarm: Alarm,
    /// The last barrier of the job, which waits for results that are not out yet.
    last: Option<Barrier>,
    /// The stop barrier that has gone out.
    stopping: Option<CheckpointId>,
    finished: bool,
}

/// A batch that is being processed slice by slice.
struct InHand {
    batch: Arc<Batch>,
    channel: usize,
    next: usize,
}

/// What one step came to.
enum Step {
    Worked,
    /// Nothing to do before that time, or before something arrives.
    Wait(Option<Instant>),
    /// An output is over its budget.
    Full,
}

/// Whether the loop goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    End,
}

impl Task {
    /// Runs until the job lets it end, is cancelled or fails, and tells the driver.
    pub(crate) async fn run(self) {
        let (id, events) = (self.id, self.events.clone());
        let mut running = Running::new(self);
        // A panic is caught here and not by whoever joins the task: the lane must be waited for.
        let driven = AssertUnwindSafe(running.drive()).catch_unwind().await;
        let driven = driven.unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            let message = format!("a task panicked: {}", what.unwrap_or("without a word"));
            Err(NodeFailure {
                node: running.task.chain.nodes[0].name.clone(),
                failure: Failure::Internal { message },
            })
        });
        let tell = |event| {
            let _ = events.send(FromTask { task: id, event });
        };
        let ended = match driven {
            Ok(cancelled) => !cancelled,
            Err(NodeFailure { node, failure }) => {
                tell(Event::Failed(TaskFailure { node, failure }));
                false
            }
        };
        // The lane reports its own failures; what it was doing is done or reported before the task
        // counts as gone, so that it does not reach into the next attempt.
        let LaneHandle { work, done } = running.task.lane;
        drop(work);
        let _ = done.await;
        if ended {
            tell(Event::Ended);
        }
    }
}

impl Running {
    fn new(task: Task) -> Self {
        let channels = task.gate.channels();
        let inputs = task
            .input_of
            .iter()
            .max()
            .map_or(0, |&last| last as usize + 1);
        let (mut with_data, mut recovering) = (vec![0; inputs], vec![0; inputs]);
        for (channel, &input) in task.input_of.iter().enumerate() {
            let count = match channel < channels {
                true => &mut with_data,
                false => &mut recovering,
            };
            count[input as usize] += 1;
        }
        let finished = task.finished;
        let alignment = match &task.stay_aligned {
            Some(stay_aligned) => Alignment::overtaking(stay_aligned),
            None => Alignment::new(channels, task.mode),
        };
        let watermarks = Watermarks::new(task.input_of.len());
        let alarm = Alarm::of(task.chain.with_timers().collect());
        Self {
            task,
            alignment,
            aligning_since: None,
            deadline: None,
            overtaken: None,
            recovering,
            watermarks,
            with_data,
            in_hand: None,
            pace: Pace::new(),
            leaves: Pace::new(),
            slicer: Slicer::default(),
            lineage: Vec::new(),
            coming: VecDeque::new(),
            alarm,
            last: None,
            stopping: None,
            finished,
        }
    }

    /// The loop; gives back whether the task was cancelled.
    async fn drive(&mut self) -> Result<bool, NodeFailure> {
        if self.finished {
            // Whoever has not finished fires what is left of time first, as it would have done.
            let ended = Element::Watermark(EventTime::MAX);
            self.task.chain.send_all(&ended);
            self.send_end_of_data();
        } else {
            self.task.chain.open()?;
        }
        self.tell(Event::Running);
        let mut turn = Instant::now();
        loop {
            while let Ok(message) = self.task.control.try_recv() {
                if let Some(cancelled) = self.control(message)? {
                    return Ok(cancelled);
                }
            }
            match self.step()? {
                Step::Worked => {
                    memory::step();
                    if turn.elapsed() > TURN {
                        tokio::task::yield_now().await;
                        turn = Instant::now();
                    }
                }
                Step::Wait(until) => {
                    self.task.chain.say_watermarks();
                    self.task.chain.flush()?;
                    let alarm = self.next_alarm()?;
                    if turn.elapsed() > TURN {
                        // What has woken it already is no wait: a call that computes does so.
                        tokio::task::yield_now().await;
                    }
                    if let Some(cancelled) = self.wait(until, alarm).await? {
                        return Ok(cancelled);
                    }
                    turn = Instant::now();
                }
                Step::Full => {
                    if let Some(source) = &mut self.task.source {
                        source.hold_up();
                    }
                    // Rows for those that have room do not wait for the one that has none (D7).
                    self.task.chain.flush()?;
                    // No timer fires before there is room for what it emits.
                    let until = self.next_call();
                    if turn.elapsed() > TURN {
                        tokio::task::yield_now().await;
                    }
                    if let Some(cancelled) = self.wait(until, None).await? {
                        return Ok(cancelled);
                    }
                    turn = Instant::now();
                }
            }
        }
    }

    async fn wait(
        &mut self,
        until: Option<Instant>,
        alarm: Option<ProcessingTime>,
    ) -> Result<Option<bool>, NodeFailure> {
        let clock = self.task.chain.clock.clone();
        let alarm = async {
            match alarm {
                Some(at) => clock.reached(at).await,
                None => std::future::pending().await,
            }
        };
        let until = until.into_iter().chain(self.deadline).min();
        let timer = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            biased;
            message = self.task.control.recv() => message.unwrap_or(Control::Cancel),
            () = self.task.wake.notified() => return Ok(None),
            () = timer => return Ok(None),
            () = alarm => return Ok(None),
        };
        self.control(message)
    }

    fn step(&mut self) -> Result<Step, NodeFailure> {
        self.look_ahead()?;
        let more = self.work()?;
        if self.task.chain.is_over() {
            // No batch while an output is full, but barriers and the like still pass (D5).
            if self.in_hand.is_none()
                && self.coming.is_empty()
                && let Some((channel, element)) = self.next(false)
            {
                self.element(channel, element)?;
                return Ok(Step::Worked);
            }
            return Ok(if more { Step::Worked } else { Step::Full });
        }
        if self.stopping.is_some() && !self.coming.is_empty() {
            // It waits until the checkpoint that the job stops with fails, or is complete.
            return Ok(Step::Wait(None));
        }
        if let Some(step) = self.come()? {
            // Timers go on for long, and emit.
            self.task.chain.hand_over_old(Instant::now());
            return Ok(step);
        }
        if self.tick()? == Flow::On {
            self.task.chain.hand_over_old(Instant::now());
            return Ok(Step::Worked);
        }
        if self.let_leave()? {
            return Ok(Step::Worked);
        }
        if let Some(in_hand) = self.in_hand.take() {
            self.slice(in_hand)?;
            return Ok(Step::Worked);
        }
        if self.task.source.is_some() {
            return self.read();
        }
        let batches = !self.has_waiting_rows();
        match self.next(batches) {
            Some((channel, element)) => {
                self.element(channel, element)?;
                Ok(Step::Worked)
            }
            None if more => Ok(Step::Worked),
            None => Ok(Step::Wait(self.next_call())),
        }
    }

    /// The next element of a channel that waits for nothing.
    fn next(&mut self, batches: bool) -> Option<(usize, Element)> {
        let waits = |channel: usize| {
            let input = self.task.input_of[channel] as usize;
            self.alignment.is_blocked(channel) || self.recovering[input] > 0
        };
        self.task.gate.next(waits, batches)
    }

    /// Processes the next slice of the batch in hand (D6).
    fn slice(&mut self, mut in_hand: InHand) -> Result<(), NodeFailure> {
        let rows = in_hand.batch.rows();
        let input = self.task.input_of[in_hand.channel];
        let count = match self.task.chain.takes_singly(input) {
            true => 1,
            false => self.pace.rows(rows.len() - in_hand.next),
        };
        let range = in_hand.next..in_hand.next + count;
        let slice = self.slicer.cut(rows, range);
        let began = Instant::now();
        self.lineage.clear();
        if self.task.chain.keeps_lineage {
            let range = in_hand.next..in_hand.next + count;
            add_lineage(&mut self.lineage, &in_hand.batch, range);
        }
        self.task.chain.process(0, input, slice, &self.lineage)?;
        let ended = Instant::now();
        self.pace.learn(count, ended.duration_since(began));
        if self.task.chain.asks_for_keys() {
            self.coming.push_back(Coming::Keys);
        }
        in_hand.next += count;
        if in_hand.next < in_hand.batch.len() {
            self.in_hand = Some(in_hand);
        }
        self.task.chain.hand_over_old(ended);
        Ok(())
    }

    fn read(&mut self) -> Result<Step, NodeFailure> {
        let now = Instant::now();
        let Some(source) = &mut self.task.source else {
            return Ok(Step::Wait(None));
        };
        let name = &self.task.chain.nodes[0].name;
        let fail = |failure| NodeFailure {
            node: name.clone(),
            failure,
        };
        // What is chained behind the source runs before the next barrier is looked for (D6).
        let most = self.pace.rows(Batch::MAX_ROWS);
        let read = source.read(now, most).map_err(fail)?;
        self.task.chain.nodes[0]
            .meters
            .skipped
            .set(source.skipped());
        let (fetched, step) = match read {
            Read::Rows(fetched) => (fetched, Step::Worked),
            Read::Wait(fetched, until) => (fetched, Step::Wait(until)),
            Read::SplitEnded(fetched, id) => {
                self.tell(Event::SplitEnded(id));
                (fetched, Step::Worked)
            }
            Read::Nothing => return Ok(Step::Wait(None)),
            Read::End => {
                if self.finished {
                    return Ok(Step::Wait(None));
                }
                let ended = Coming::Watermark {
                    to: EventTime::MAX,
                    node: 0,
                };
                self.coming.extend([ended, Coming::EndOfData]);
                return Ok(Step::Worked);
            }
        };
        let Fetched { rows, .. } = fetched;
        let count = rows.values.len();
        if fetched.was_idle {
            // Before the rows: nothing waits to go out before it here.
            self.task.chain.send_idle(false);
        }
        if count > 0 {
            let chain = &mut self.task.chain;
            let lineage = match chain.keeps_lineage {
                true => lineage_of(&rows, fetched.split),
                false => Vec::new(),
            };
            chain.emit(0, 0, rows.values, rows.timestamps, lineage)?;
            let ended = Instant::now();
            self.pace.learn(count, ended.duration_since(now));
            self.task.chain.hand_over_old(ended);
        }
        let Passed { watermark, idle } = fetched.passed;
        self.time_changed(watermark.map(Change::Watermark));
        self.time_changed(idle.then_some(Change::Idle(true)));
        if !self.coming.is_empty() {
            return Ok(Step::Worked);
        }
        Ok(step)
    }

    fn element(&mut self, channel: usize, element: Element) -> Result<(), NodeFailure> {
        match element {
            Element::Batch(batch) if self.take_in(&batch) => Ok(()),
            Element::Batch(batch) => self.slice(InHand {
                batch,
                channel,
                next: 0,
            }),
            Element::Watermark(watermark) => {
                let change = self.watermarks.watermark(channel, watermark);
                self.time_changed(change);
                Ok(())
            }
            Element::Idle(idle) => {
                let changes = self.watermarks.idle(channel, idle);
                self.time_changed(changes);
                Ok(())
            }
            Element::Barrier(barrier) => {
                let effects = self.alignment.barrier(channel, barrier);
                self.aligned(effects)
            }
            Element::Cancel(id) => {
                let effects = self.alignment.cancel(id);
                self.aligned(effects)
            }
            Element::EndOfData => self.channel_has_no_more_data(channel),
            Element::EndOfChannel if channel >= self.task.gate.channels() => {
                self.recovered(channel);
                Ok(())
            }
            Element::EndOfChannel => {
                let effects = self.alignment.end(channel);
                self.aligned(effects)
            }
        }
    }

    fn aligned(&mut self, effects: Vec<AlignEffect>) -> Result<(), NodeFailure> {
        for effect in effects {
            match effect {
                // Blocked channels are asked for by the gate: there is nothing to carry out.
                AlignEffect::Block(_) => {
                    self.aligning_since.get_or_insert_with(Instant::now);
                }
                AlignEffect::UnblockAll => {}
                AlignEffect::Trigger(barrier) if self.waits_for_end(barrier) => {
                    self.last = Some(barrier);
                }
                AlignEffect::Trigger(barrier) => {
                    if let Some(part) = self.checkpoint(barrier)? {
                        self.snapshot(part);
                    }
                }
                AlignEffect::Overtake(barrier) => self.overtake(barrier)?,
                AlignEffect::Record(channel) => self.task.gate.record(channel),
                AlignEffect::Recorded(id) => self.recorded(id),
                AlignEffect::Discard(id) => self.discard(id),
                AlignEffect::Abort { id, reason } => {
                    self.aligning_since = None;
                    self.last = self.last.filter(|last| last.checkpoint != id);
                    self.tell(Event::Declined(id, reason, String::new()));
                }
                AlignEffect::ForwardCancel(id) => {
                    self.aligning_since = None;
                    self.last = self.last.filter(|last| last.checkpoint != id);
                    self.task.chain.send_all(&Element::Cancel(id));
                }
            }
        }
        if self.task.stay_aligned.is_some() {
            let alignment = &self.alignment;
            self.task
                .gate
                .relax(|channel| alignment.is_relaxed(channel));
        }
        let deadline = self.alignment.next_deadline();
        self.deadline = deadline.map(|at| self.task.monotonic.instant_of(at));
        Ok(())
    }

    fn channel_has_no_more_data(&mut self, channel: usize) -> Result<(), NodeFailure> {
        let input = self.task.input_of[channel];
        let left = &mut self.with_data[input as usize];
        *left = left.saturating_sub(1);
        if *left > 0 || self.finished {
            return Ok(());
        }
        if self.with_data.iter().all(|&left| left == 0) && self.mark_end() {
            return Ok(());
        }
        self.task.chain.end_of_input(0, input)?;
        if self.with_data.iter().all(|&left| left == 0) {
            self.end_of_data()
        } else {
            Ok(())
        }
    }

    /// All rows are through (D4): operators finish, and those downstream are told.
    fn end_of_data(&mut self) -> Result<(), NodeFailure> {
        self.task.chain.finish(0)?;
        self.finished = true;
        self.send_end_of_data();
        if let Some(last) = self.last.take()
            && let Some(part) = self.checkpoint(last)?
        {
            self.snapshot(part);
        }
        Ok(())
    }

    fn send_end_of_data(&mut self) {
        self.task.chain.send_all(&Element::EndOfData);
        self.tell(Event::DataEnded);
    }

    /// A word of the driver; `Some` ends the task, with whether it was cancelled.
    fn control(&mut self, message: Control) -> Result<Option<bool>, NodeFailure> {
        let name = self.task.chain.nodes[0].name.clone();
        match message {
            Control::Trigger(barrier) => {
                if let Some(part) = self.checkpoint(barrier)? {
                    self.snapshot(part);
                }
            }
            Control::Complete { id, kind } => {
                let _ = self.task.lane.work.send(Work::Commit(id));
                self.task.chain.told(id, Fate::Complete)?;
                match kind {
                    BarrierKind::Periodic => {}
                    BarrierKind::Stop | BarrierKind::Final => {
                        self.task.chain.send_all(&Element::EndOfChannel);
                        return Ok(Some(false));
                    }
                }
            }
            Control::Aborted(id) => {
                self.stopping = self.stopping.filter(|&at| at != id);
                self.last = self.last.filter(|last| last.checkpoint != id);
                if let Some(source) = &mut self.task.source {
                    source.aborted(id);
                }
                let _ = self.task.lane.work.send(Work::Aborted(id));
                let effects = self.alignment.abort(id);
                self.aligned(effects)?;
                self.task.chain.told(id, Fate::Aborted)?;
            }
            Control::AddSplit(split) => {
                if let Some(source) = &mut self.task.source {
                    source.add_split(split).map_err(|failure| NodeFailure {
                        node: name,
                        failure,
                    })?;
                }
            }
            Control::NoMoreSplits => {
                if let Some(source) = &mut self.task.source {
                    source.no_more_splits();
                }
            }
            Control::Drain => {
                if let Some(source) = &mut self.task.source {
                    source.drain();
                }
            }
            Control::OpenSplits(all) => {
                if let Some(source) = &mut self.task.source {
                    source.share(all);
                }
            }
            Control::Cancel => return Ok(Some(true)),
        }
        Ok(None)
    }

    /// Takes this task's part of a checkpoint: builders and barrier first, then the synchronous
    /// part of the snapshot; the rest is for the lane (D4). `None` where it was declined.
    fn checkpoint(&mut self, barrier: Barrier) -> Result<Option<Box<Part>>, NodeFailure> {
        let alignment = self.aligning_since.take().map(|since| since.elapsed());
        let began = Instant::now();
        self.task.chain.send_all(&Element::Barrier(barrier));
        let mut part = Part {
            id: barrier.checkpoint,
            base: None,
            tracked: false,
            now: self.task.chain.clock.now(),
            states: Vec::new(),
            sinks: Vec::new(),
            channels: Vec::new(),
            ack: Ack {
                finished: self.finished,
                ..Ack::default()
            },
        };
        let frozen = self.freeze(barrier, &mut part)?;
        if barrier.kind == BarrierKind::Stop {
            self.stopping = Some(barrier.checkpoint);
        }
        if barrier.kind == BarrierKind::Stop
            && let Some(source) = &mut self.task.source
        {
            source.stop(barrier.checkpoint);
        }
        match frozen {
            Flow::On => {
                part.ack.sync_ms = began.elapsed().as_secs_f64() * 1e3;
                part.ack.alignment_ms =
                    alignment.map_or(0, |a| u64::try_from(a.as_millis()).unwrap_or(u64::MAX));
                Ok(Some(Box::new(part)))
            }
            Flow::End => {
                let cancel = Element::Cancel(barrier.checkpoint);
                self.task.chain.send_all(&cancel);
                Ok(None)
            }
        }
    }

    /// Leaves the rest to the lane.
    fn snapshot(&self, part: Box<Part>) {
        let _ = self.task.lane.work.send(Work::Snapshot(part));
    }

    /// The synchronous part of a snapshot; `End` where the checkpoint was declined.
    fn freeze(&mut self, barrier: Barrier, part: &mut Part) -> Result<Flow, NodeFailure> {
        let id = barrier.checkpoint;
        let request = request(barrier, self.task.increments, part.now);
        part.base = request.base;
        part.tracked = request.tracked;
        let mut declined: Option<Failure> = None;
        for node in &mut self.task.chain.nodes {
            match &mut node.kind {
                Kind::Source => {}
                Kind::Operator(_) | Kind::Waiting(_) if declined.is_some() => {}
                Kind::Waiting(waiting) => match waiting.freeze(&node.name) {
                    Ok(state) => part.states.push(state),
                    Err(failure) => declined = Some(failure),
                },
                Kind::Operator(op) => match op.freeze(&node.name, part.now, &request) {
                    Ok(state) => part.states.extend(state),
                    Err(NotFrozen::Declined(failure)) => declined = Some(failure),
                    Err(NotFrozen::Failed(failure)) => {
                        let node = node.name.clone();
                        return Err(NodeFailure { node, failure });
                    }
                },
                // What a sink has sealed must reach the lane, even if the checkpoint is declined:
                // its rows are in no later transaction. So a sink that cannot seal fails the task.
                Kind::Sink(sink) => {
                    let pre_commit = sink.sink.pre_commit(id).map_err(|failure| NodeFailure {
                        node: node.name.clone(),
                        failure,
                    })?;
                    part.sinks.push(Epoch {
                        sink: node.name.clone(),
                        opened: sink.opened.take(),
                        pre_commit,
                    });
                }
            }
        }
        if let Some(source) = &mut self.task.source {
            match source.snapshot() {
                Ok(reader) => part.ack.source = Some(reader),
                Err(failure) => declined = Some(failure),
            }
        }
        let Some(failure) = declined else {
            return Ok(Flow::On);
        };
        let sinks = std::mem::take(&mut part.sinks);
        let _ = self.task.lane.work.send(Work::Seal {
            id,
            now: part.now,
            sinks,
        });
        self.tell(Event::Declined(
            id,
            FailureReason::CheckpointDeclined,
            failure.to_string(),
        ));
        Ok(Flow::End)
    }

    fn tell(&self, event: Event) {
        // The driver outlives its tasks; if it is gone, so is the job.
        let _ = self.task.events.send(FromTask {
            task: self.task.id,
            event,
        });
    }
}

/// Where some rows of a batch came from: what it says itself, or the keys that it was dealt out by.
/// Where the rows of a source come from (D10): its splits, as far as they are known. `only` is the
/// hash of the one that is open.
fn lineage_of(rows: &SourceRows, only: Option<u64>) -> Vec<Lineage> {
    let count = rows.values.len();
    if rows.runs.is_empty() {
        let lineage = only.map(|split| vec![Lineage::Split(split); count]);
        return lineage.unwrap_or_default();
    }
    let mut lineage = Vec::with_capacity(count);
    for run in &rows.runs {
        let split = hash64(run.split.as_bytes());
        lineage.resize(run.end, Lineage::Split(split));
    }
    lineage
}

fn add_lineage(lineage: &mut Vec<Lineage>, batch: &Batch, range: Range<usize>) {
    match &batch.keyed {
        Some(keyed) => {
            let keys = keyed.key_of_row[range].iter();
            lineage.extend(keys.map(|&key| Lineage::Key(keyed.hashes[key as usize])));
        }
        None => lineage.extend_from_slice(batch.lineage.get(range).unwrap_or_default()),
    }
}
