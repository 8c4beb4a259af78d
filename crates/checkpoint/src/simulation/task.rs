//! A task: what it takes from its channels and the driver, and what it does about barriers.
//!
//! It calls the alignment and the two-phase commit as a task of the runtime does: the barrier goes
//! on first, the synchronous part is taken at once, the rest is done by its lane, in order.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use serde_json::json;
use weir_model::{Barrier, BarrierKind, Batch, CheckpointId, ProcessingTime};
use weir_operator::{PreCommit, Sink, Split};

use super::{
    plan::{KEYS, Role, Route, SPLIT_STRIDE, subtask_of},
    row::{Row, Visit},
    world::{World, note},
};
use crate::{
    AlignEffect, Alignment, CheckpointMode, FailureReason, FileRef, TaskId, Transaction, TwoPhase,
    TwoPhaseOptions,
};

pub(super) mod flight;
mod lane;

use flight::{Flight, InFlight};

pub(super) enum Item {
    Row(Row),
    Barrier(Barrier),
    Cancel(CheckpointId),
    EndOfData,
    EndOfChannel,
}

pub(super) enum Control {
    Trigger(Barrier),
    Complete(CheckpointId, BarrierKind),
    Aborted(CheckpointId),
    AddSplit(Split),
    NoMoreSplits,
    /// The input ends here.
    Drain,
}

pub(super) enum Event {
    Ack(CheckpointId, Ack),
    Declined(CheckpointId, FailureReason),
    Failed(String),
    SplitEnded(String),
    DataEnded,
}

/// What a task hands over with its part of a checkpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Ack {
    pub(super) file: Option<FileRef>,
    /// The files that it builds on, oldest first.
    pub(super) shared: Vec<FileRef>,
    pub(super) channels: Option<FileRef>,
    pub(super) open: Vec<Split>,
    pub(super) ended: Vec<String>,
    pub(super) transactions: Vec<Transaction>,
    pub(super) finished: bool,
}

/// The rest of a checkpoint, done beside the task.
pub(super) enum Work {
    Part(CheckpointId, Box<Part>),
    /// The checkpoint was declined, but what was sealed for it must not be lost.
    Seal(CheckpointId, Option<Epoch>),
    Commit(CheckpointId),
}

pub(super) struct Part {
    base: Option<CheckpointId>,
    counts: BTreeMap<u64, u64>,
    epoch: Option<Epoch>,
    in_flight: InFlight,
    ack: Ack,
}

/// The state of a task in a checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) counts: BTreeMap<u64, u64>,
    /// Oldest first; each overrides those before.
    pub(super) files: Vec<FileRef>,
}

/// What a sink wrote between two barriers.
pub(super) struct Epoch {
    /// When its first row was written.
    opened: Option<ProcessingTime>,
    pre_commit: PreCommit,
}

/// On which channels barriers never overtake.
pub(super) enum Aligned {
    All(CheckpointMode),
    Some(Vec<bool>),
}

pub(super) struct Output {
    pub(super) route: Route,
    /// Task and channel of each receiver; of a forward edge only the own one.
    pub(super) to: Vec<(usize, usize)>,
}

/// What a source reads.
#[derive(Default)]
struct Reader {
    /// Next row and end of each split, by the name of the split.
    open: VecDeque<(String, u64, u64)>,
    ended: Vec<String>,
    no_more: bool,
    drained: bool,
    stopped: Option<CheckpointId>,
}

pub(super) struct Task {
    pub(super) id: TaskId,
    pub(super) role: Role,
    pub(super) channels: Vec<VecDeque<Item>>,
    pub(super) outputs: Vec<Output>,
    pub(super) control: VecDeque<Control>,
    pub(super) events: VecDeque<Event>,
    pub(super) lane: VecDeque<Work>,
    /// What was sent: receiver, channel, item.
    pub(super) sent: Vec<(usize, usize, Item)>,
    pub(super) has_ended: bool,
    /// The next checkpoint is declined when its barrier is here.
    pub(super) declines: bool,
    pub(super) counts: BTreeMap<u64, u64>,
    /// What it has written for which checkpoint, to build on.
    pub(super) written: BTreeMap<CheckpointId, Written>,
    pub(super) finished: bool,
    alignment: Alignment,
    /// Whether barriers may overtake.
    overtakes: bool,
    flight: Flight,
    with_data: usize,
    reader: Reader,
    transactions: TwoPhase,
    sink: Option<Box<dyn Sink>>,
    opened: Option<ProcessingTime>,
    /// It has failed, and does nothing more.
    is_dead: bool,
}

impl Task {
    pub(super) fn new(
        id: TaskId,
        role: Role,
        aligned: Aligned,
        inputs: Vec<usize>,
        outputs: Vec<Output>,
    ) -> Self {
        let channels = inputs.len();
        let (alignment, overtakes) = match aligned {
            Aligned::All(mode) => (Alignment::new(channels, mode), false),
            Aligned::Some(stay) => (Alignment::overtaking(&stay), true),
        };
        Self {
            id,
            role,
            channels: (0..channels).map(|_| VecDeque::new()).collect(),
            outputs,
            control: VecDeque::new(),
            events: VecDeque::new(),
            lane: VecDeque::new(),
            sent: Vec::new(),
            has_ended: false,
            declines: false,
            counts: BTreeMap::new(),
            written: BTreeMap::new(),
            finished: false,
            alignment,
            overtakes,
            flight: Flight::new(inputs),
            with_data: channels,
            reader: Reader::default(),
            transactions: TwoPhase::new(TwoPhaseOptions::default()),
            sink: None,
            opened: None,
            is_dead: false,
        }
    }

    /// Gives a sink its writer.
    pub(super) fn open(&mut self, sink: Box<dyn Sink>) {
        self.sink = Some(sink);
    }

    /// Restored after it had finished: it only passes barriers on.
    pub(super) fn skip_to_end(&mut self) {
        self.end_of_data();
    }

    /// Reads a row, or takes an item of some channel that is not blocked. No row while `is_full`.
    pub(super) fn work(&mut self, world: &mut World, is_full: bool) {
        if self.has_ended || self.is_dead {
            return;
        }
        if self.channels.is_empty() {
            if !is_full {
                self.read(world);
            }
            return;
        }
        self.look_ahead(world);
        if self.flight.recovers() && !is_full && world.rng.one_in(2) {
            if let Some(row) = self.next_recovered() {
                self.process(world, row);
            }
            return;
        }
        let channel = world.rng.below(self.channels.len());
        if self.waits(channel) {
            return;
        }
        if is_full && matches!(self.channels[channel].front(), Some(Item::Row(_))) {
            return;
        }
        let Some(item) = self.channels[channel].pop_front() else {
            return;
        };
        self.flight.taken(channel, &item);
        match item {
            Item::Row(row) => self.process(world, row),
            Item::Barrier(barrier) => {
                let effects = self.alignment.barrier(channel, barrier);
                self.carry_out(world, effects);
            }
            Item::Cancel(id) => {
                let effects = self.alignment.cancel(id);
                self.carry_out(world, effects);
            }
            Item::EndOfData => {
                self.with_data -= 1;
                if self.with_data == 0 && !self.finished {
                    self.end_of_data();
                }
            }
            Item::EndOfChannel => {
                let effects = self.alignment.end(channel);
                self.carry_out(world, effects);
            }
        }
    }

    /// Takes a word of the driver.
    pub(super) fn obey(&mut self, world: &mut World) {
        if self.is_dead {
            return;
        }
        let Some(word) = self.control.pop_front() else {
            return;
        };
        match word {
            Control::Trigger(barrier) => self.part_of(world, barrier),
            Control::Complete(id, kind) => {
                self.lane.push_back(Work::Commit(id));
                if matches!(kind, BarrierKind::Stop | BarrierKind::Final) {
                    self.send_all(|| Item::EndOfChannel);
                    self.has_ended = true;
                }
            }
            Control::Aborted(id) => {
                self.reader.stopped = self.reader.stopped.filter(|&at| at != id);
                let effects = self.alignment.abort(id);
                self.carry_out(world, effects);
            }
            Control::AddSplit(split) => {
                let index: u64 = split.id[1..].parse().unwrap();
                let Role::Source { splits, .. } = &self.role else {
                    unreachable!()
                };
                let begin = index * SPLIT_STRIDE;
                let end = begin + splits[index as usize];
                let next = split.position.as_u64().unwrap_or(begin);
                self.reader.open.push_back((split.id, next, end));
            }
            Control::NoMoreSplits => self.reader.no_more = true,
            Control::Drain => self.reader.drained = true,
        }
    }

    fn read(&mut self, world: &mut World) {
        if self.finished || self.reader.stopped.is_some() {
            return;
        }
        if self.reader.drained {
            return self.end_of_data();
        }
        match self.reader.open.pop_front() {
            None if self.reader.no_more => self.end_of_data(),
            None => {}
            Some((split, next, end)) if next == end => {
                self.reader.ended.push(split.clone());
                self.events.push_back(Event::SplitEnded(split));
            }
            Some((split, next, end)) => {
                self.reader.open.push_back((split, next + 1, end));
                let row = Row {
                    number: next,
                    trail: Vec::new(),
                };
                self.process(world, row);
            }
        }
    }

    fn process(&mut self, world: &mut World, mut row: Row) {
        let key = row.number % KEYS;
        let count = match self.role {
            Role::Count => {
                let count = self.counts.entry(key).or_default();
                *count += 1;
                *count
            }
            Role::Source { .. } | Role::Sink(_) => 0,
        };
        let TaskId { vertex, subtask } = self.id;
        row.trail.push(Visit {
            vertex,
            subtask,
            count,
        });
        for output in &self.outputs {
            let to = match output.route {
                Route::Hash => subtask_of(key, output.to.len() as u32),
                Route::Forward | Route::Rebalance => world.rng.below(output.to.len()),
            };
            let (task, channel) = output.to[to];
            self.sent.push((task, channel, Item::Row(row.clone())));
        }
        if let Some(sink) = &mut self.sink {
            self.opened.get_or_insert(world.now);
            let batch = Batch {
                values: [row.line()].iter().map(String::as_bytes).collect(),
                ..Batch::default()
            };
            if let Err(failure) = sink.write(batch.rows()) {
                self.fail(failure.to_string());
            }
        }
    }

    fn fail(&mut self, failure: String) {
        self.is_dead = true;
        self.events.push_back(Event::Failed(failure));
    }

    fn end_of_data(&mut self) {
        self.finished = true;
        self.send_all(|| Item::EndOfData);
        self.events.push_back(Event::DataEnded);
    }

    fn carry_out(&mut self, world: &mut World, effects: Vec<AlignEffect>) {
        for effect in effects {
            match effect {
                AlignEffect::Block(_) | AlignEffect::UnblockAll => {}
                AlignEffect::Trigger(barrier) => self.part_of(world, barrier),
                AlignEffect::Abort { id, reason } => {
                    self.events.push_back(Event::Declined(id, reason));
                }
                AlignEffect::ForwardCancel(id) => self.send_all(|| Item::Cancel(id)),
                AlignEffect::Overtake(barrier) => self.overtake(world, barrier),
                AlignEffect::Record(channel) => self.record(channel),
                AlignEffect::Recorded(id) => self.recorded(world, id),
                AlignEffect::Discard(id) => self.discard(id),
            }
        }
    }

    /// Takes this task's part of a checkpoint with nothing in flight.
    fn part_of(&mut self, world: &World, barrier: Barrier) {
        if let Some(part) = self.checkpoint(world, barrier) {
            self.lane
                .push_back(Work::Part(barrier.checkpoint, Box::new(part)));
        }
    }

    /// The synchronous part of a checkpoint: the barrier goes on first (D4). `None` where it was
    /// declined.
    fn checkpoint(&mut self, world: &World, barrier: Barrier) -> Option<Part> {
        if self.has_ended || self.is_dead {
            return None;
        }
        let id = barrier.checkpoint;
        note!(world, "{} takes its part of {id}", self.id);
        self.send_all(|| Item::Barrier(barrier));
        let epoch = match self.sink.as_mut().map(|sink| sink.pre_commit(id)) {
            None => None,
            Some(Ok(pre_commit)) => Some(Epoch {
                opened: self.opened.take(),
                pre_commit,
            }),
            Some(Err(failure)) => {
                self.fail(failure.to_string());
                return None;
            }
        };
        if barrier.kind == BarrierKind::Stop {
            self.reader.stopped = Some(id);
        }
        if mem::take(&mut self.declines) {
            self.lane.push_back(Work::Seal(id, epoch));
            let reason = FailureReason::CheckpointDeclined;
            self.events.push_back(Event::Declined(id, reason));
            self.send_all(|| Item::Cancel(id));
            return None;
        }
        let open = self.reader.open.iter().map(|(split, next, _)| Split {
            id: split.clone(),
            position: json!(next),
        });
        let ack = Ack {
            open: open.collect(),
            ended: self.reader.ended.clone(),
            finished: self.finished,
            ..Ack::default()
        };
        Some(Part {
            base: barrier.base,
            counts: self.counts.clone(),
            epoch,
            in_flight: Vec::new(),
            ack,
        })
    }

    fn send_all(&mut self, item: impl Fn() -> Item) {
        let all = self.outputs.iter().flat_map(|output| &output.to);
        self.sent
            .extend(all.map(|&(task, channel)| (task, channel, item())));
    }
}
