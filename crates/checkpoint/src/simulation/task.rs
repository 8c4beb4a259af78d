//! A task: what it takes from its channels and the driver, and what it does about barriers.
//!
//! It calls the alignment and the two-phase commit as a task of the runtime does: the barrier goes
//! on first, the synchronous part is taken at once, the rest is done by its lane, in order.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use serde_json::json;
use weir_model::{Attempt, Barrier, BarrierKind, CheckpointId, ProcessingTime};
use weir_operator::Split;

use super::{
    outside::{Broken, Outside, Row, Visit},
    plan::{KEYS, Plan, Role, Route, SPLIT_STRIDE},
    rng::Rng,
    world::Storage,
};
use crate::{
    AlignEffect, Alignment, FailureReason, FileRef, JobPaths, SnapshotStore, TaskId, Transaction,
    TwoPhase, TwoPhaseOptions,
};

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
}

pub(super) enum Event {
    Ack(CheckpointId, Ack),
    Declined(CheckpointId, FailureReason),
    SplitEnded(String),
    DataEnded,
}

/// What a task hands over with its part of a checkpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Ack {
    pub(super) file: Option<FileRef>,
    pub(super) open: Vec<Split>,
    pub(super) ended: Vec<String>,
    pub(super) transactions: Vec<Transaction>,
    pub(super) finished: bool,
}

/// The rest of a checkpoint, done beside the task.
pub(super) enum Work {
    Part(CheckpointId, Part),
    /// The checkpoint was declined, but what was sealed for it must not be lost.
    Seal(CheckpointId, Vec<Row>),
    Commit(CheckpointId),
}

pub(super) struct Part {
    counts: BTreeMap<u64, u64>,
    rows: Vec<Row>,
    ack: Ack,
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
    pub(super) finished: bool,
    alignment: Alignment,
    with_data: usize,
    reader: Reader,
    transactions: TwoPhase,
    rows: Vec<Row>,
    sealed: u64,
}

impl Task {
    pub(super) fn new(id: TaskId, role: Role, channels: usize, outputs: Vec<Output>) -> Self {
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
            finished: false,
            alignment: Alignment::new(channels),
            with_data: channels,
            reader: Reader::default(),
            transactions: TwoPhase::new(TwoPhaseOptions::default()),
            rows: Vec::new(),
            sealed: 0,
        }
    }

    /// Restored after it had finished: it only passes barriers on.
    pub(super) fn skip_to_end(&mut self) {
        self.end_of_data();
    }

    /// Reads a row, or takes an item of some channel that is not blocked. No row while `is_full`.
    pub(super) fn work(&mut self, rng: &mut Rng, is_full: bool) {
        if self.has_ended {
            return;
        }
        if self.channels.is_empty() {
            if !is_full {
                self.read(rng);
            }
            return;
        }
        let channel = rng.below(self.channels.len());
        if self.alignment.is_blocked(channel) {
            return;
        }
        if is_full && matches!(self.channels[channel].front(), Some(Item::Row(_))) {
            return;
        }
        let Some(item) = self.channels[channel].pop_front() else {
            return;
        };
        match item {
            Item::Row(row) => self.process(rng, row),
            Item::Barrier(barrier) => {
                let effects = self.alignment.barrier(channel, barrier);
                self.carry_out(effects);
            }
            Item::Cancel(id) => {
                let effects = self.alignment.cancel(id);
                self.carry_out(effects);
            }
            Item::EndOfData => {
                self.with_data -= 1;
                if self.with_data == 0 && !self.finished {
                    self.end_of_data();
                }
            }
            Item::EndOfChannel => {
                let effects = self.alignment.end(channel);
                self.carry_out(effects);
            }
        }
    }

    /// Takes a word of the driver.
    pub(super) fn obey(&mut self) {
        let Some(word) = self.control.pop_front() else {
            return;
        };
        match word {
            Control::Trigger(barrier) => self.checkpoint(barrier),
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
                self.carry_out(effects);
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
        }
    }

    /// Does the next part of what is left to do beside the task.
    pub(super) fn run_lane(&mut self, plan: &Plan, lane: &mut Lane<'_>) -> Result<(), Broken> {
        match self.lane.pop_front() {
            None => Ok(()),
            Some(Work::Seal(id, rows)) => self.seal(lane, id, rows),
            Some(Work::Part(id, part)) => {
                self.seal(lane, id, part.rows)?;
                let mut ack = part.ack;
                ack.transactions = self.transactions.pending_up_to(id);
                let event = match write(self.id, plan, lane, id, &part.counts) {
                    Ok(file) => {
                        ack.file = file;
                        Event::Ack(id, ack)
                    }
                    Err(()) => Event::Declined(id, FailureReason::CheckpointAsyncException),
                };
                self.events.push_back(event);
                Ok(())
            }
            Some(Work::Commit(id)) => {
                for transaction in self.transactions.complete(id) {
                    for committable in &transaction.committables {
                        lane.outside.commit(plan, self.id.vertex, committable)?;
                    }
                    self.transactions.committed(transaction.checkpoint);
                }
                Ok(())
            }
        }
    }

    fn seal(
        &mut self,
        lane: &mut Lane<'_>,
        id: CheckpointId,
        rows: Vec<Row>,
    ) -> Result<(), Broken> {
        let mut committables = Vec::new();
        if !rows.is_empty() {
            self.sealed += 1;
            let writer = (lane.attempt, self.id.subtask, self.sealed);
            let sealed = lane.outside.seal(self.id.vertex, writer, id, rows)?;
            committables.push(sealed);
        }
        self.transactions.pre_committed(id, lane.now, committables);
        Ok(())
    }

    fn read(&mut self, rng: &mut Rng) {
        if self.finished || self.reader.stopped.is_some() {
            return;
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
                self.process(rng, row);
            }
        }
    }

    fn process(&mut self, rng: &mut Rng, mut row: Row) {
        let key = row.number % KEYS;
        let count = match self.role {
            Role::Count => {
                let count = self.counts.entry(key).or_default();
                *count += 1;
                *count
            }
            Role::Source { .. } | Role::Sink => 0,
        };
        let TaskId { vertex, subtask } = self.id;
        row.trail.push(Visit {
            vertex,
            subtask,
            count,
        });
        for output in &self.outputs {
            let to = match output.route {
                Route::Hash => key as usize % output.to.len(),
                Route::Forward | Route::Rebalance => rng.below(output.to.len()),
            };
            let (task, channel) = output.to[to];
            self.sent.push((task, channel, Item::Row(row.clone())));
        }
        if matches!(self.role, Role::Sink) {
            self.rows.push(row);
        }
    }

    fn end_of_data(&mut self) {
        self.finished = true;
        self.send_all(|| Item::EndOfData);
        self.events.push_back(Event::DataEnded);
    }

    fn carry_out(&mut self, effects: Vec<AlignEffect>) {
        for effect in effects {
            match effect {
                AlignEffect::Block(_) | AlignEffect::UnblockAll => {}
                AlignEffect::Trigger(barrier) => self.checkpoint(barrier),
                AlignEffect::Abort { id, reason } => {
                    self.events.push_back(Event::Declined(id, reason));
                }
                AlignEffect::ForwardCancel(id) => self.send_all(|| Item::Cancel(id)),
            }
        }
    }

    fn checkpoint(&mut self, barrier: Barrier) {
        if self.has_ended {
            return;
        }
        let id = barrier.checkpoint;
        self.send_all(|| Item::Barrier(barrier));
        let rows = mem::take(&mut self.rows);
        if barrier.kind == BarrierKind::Stop {
            self.reader.stopped = Some(id);
        }
        if mem::take(&mut self.declines) {
            self.lane.push_back(Work::Seal(id, rows));
            let reason = FailureReason::CheckpointDeclined;
            self.events.push_back(Event::Declined(id, reason));
            self.send_all(|| Item::Cancel(id));
            return;
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
        let part = Part {
            counts: self.counts.clone(),
            rows,
            ack,
        };
        self.lane.push_back(Work::Part(id, part));
    }

    fn send_all(&mut self, item: impl Fn() -> Item) {
        let all = self.outputs.iter().flat_map(|output| &output.to);
        self.sent
            .extend(all.map(|&(task, channel)| (task, channel, item())));
    }
}

/// What a lane works with.
pub(super) struct Lane<'a> {
    pub(super) storage: &'a Storage,
    pub(super) outside: &'a mut Outside,
    pub(super) attempt: Attempt,
    pub(super) now: ProcessingTime,
}

/// Writes the state of a task, if it keeps any.
fn write(
    task: TaskId,
    plan: &Plan,
    lane: &Lane<'_>,
    id: CheckpointId,
    counts: &BTreeMap<u64, u64>,
) -> Result<Option<FileRef>, ()> {
    let vertex = &plan.vertices[task.vertex];
    if !matches!(vertex.role, Role::Count) {
        return Ok(None);
    }
    let bytes = serde_json::to_vec(counts).unwrap();
    let path = JobPaths::state_file(&vertex.name, task.subtask);
    let file = FileRef {
        path: path.clone(),
        length: bytes.len() as u64,
        crc32c: crc32c::crc32c(&bytes),
    };
    let Storage { store, paths } = lane.storage;
    let path = paths.in_checkpoint(id, &path);
    match store.put(&path, vec![bytes]) {
        Ok(()) => Ok(Some(file)),
        // It may be there all the same, and the checkpoint may be gone: nobody else removes it.
        Err(_) => {
            store.delete(&path).unwrap();
            Err(())
        }
    }
}
