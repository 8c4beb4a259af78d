//! What is in flight to a task: announcements as the gate of the runtime makes them, what is
//! recorded of its channels while a barrier overtakes, and what it goes on from.

use std::collections::VecDeque;

use weir_model::{Barrier, CheckpointId, Passage};

use super::{Item, Part, Task, Work};
use crate::simulation::{
    row::Row,
    seen::Seen,
    world::{World, note},
};

/// The channels of a task beyond their queues.
#[derive(Default)]
pub(super) struct Flight {
    /// The input of each channel.
    pub(super) inputs: Vec<usize>,
    /// Barriers and markers that were not announced, by channel.
    marks: Vec<VecDeque<Mark>>,
    /// What is recovered, each of an input; one is emptied before the next is begun.
    recovery: VecDeque<(usize, VecDeque<Row>)>,
    recording: Option<Recording>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Barrier(Barrier),
    Cancel(CheckpointId),
}

struct Recording {
    id: CheckpointId,
    part: Part,
    /// What was recovered and taken since, by input.
    recovered: Vec<(usize, Vec<Row>)>,
    /// What was taken since, by channel; whether its barrier was.
    channels: Vec<Option<(Vec<Row>, bool)>>,
}

/// Rows in flight, by input.
pub(in crate::simulation) type InFlight = Vec<(usize, Vec<Row>)>;

impl Flight {
    pub(super) fn new(inputs: Vec<usize>) -> Self {
        Self {
            marks: inputs.iter().map(|_| VecDeque::new()).collect(),
            inputs,
            ..Self::default()
        }
    }

    /// Whether there is something to recover.
    pub(super) fn recovers(&self) -> bool {
        !self.recovery.is_empty()
    }

    /// Whether something of the input of a channel is still to be recovered.
    fn holds(&self, channel: usize) -> bool {
        let mut recovery = self.recovery.iter();
        recovery.any(|(input, _)| *input == self.inputs[channel])
    }

    /// An item was taken out of a channel.
    pub(super) fn taken(&mut self, channel: usize, item: &Item) {
        let mark = mark_of(item);
        if mark.is_some() && self.marks[channel].front() == mark.as_ref() {
            self.marks[channel].pop_front();
        }
        let Some(recording) = &mut self.recording else {
            return;
        };
        if let Some(of) = &mut recording.channels[channel] {
            see(of, recording.id, item);
        }
    }
}

/// Rows up to the barrier.
fn see((rows, is_whole): &mut (Vec<Row>, bool), id: CheckpointId, item: &Item) {
    match item {
        Item::Row(row) if !*is_whole => rows.push(row.clone()),
        Item::Barrier(barrier) => *is_whole |= barrier.checkpoint == id,
        Item::Row(_) | Item::Cancel(_) | Item::EndOfData | Item::EndOfChannel => {}
    }
}

fn mark_of(item: &Item) -> Option<Mark> {
    match item {
        Item::Barrier(barrier) => Some(Mark::Barrier(*barrier)),
        Item::Cancel(id) => Some(Mark::Cancel(*id)),
        Item::Row(_) | Item::EndOfData | Item::EndOfChannel => None,
    }
}

impl Task {
    /// Puts an item into a channel.
    pub(in crate::simulation) fn put(&mut self, channel: usize, item: Item) {
        self.flight.marks[channel].extend(mark_of(&item));
        self.channels[channel].push_back(item);
    }

    /// Rows that it is to begin with.
    pub(in crate::simulation) fn recover(&mut self, input: usize, rows: Vec<Row>) {
        self.flight.recovery.push_back((input, rows.into()));
    }

    /// Looks at what is announced, and at the time.
    pub(super) fn look_ahead(&mut self, world: &mut World) {
        if !self.overtakes {
            return;
        }
        for channel in 0..self.channels.len() {
            let is_told = |mark: &mut Mark| match mark {
                Mark::Barrier(barrier) => barrier.passage != Passage::Aligned,
                Mark::Cancel(_) => true,
            };
            while let Some(mark) = self.flight.marks[channel].pop_front_if(is_told) {
                let effects = match mark {
                    Mark::Barrier(b) => self.alignment.announced(channel, b, world.now),
                    Mark::Cancel(id) => self.alignment.cancel(id),
                };
                self.carry_out(world, effects);
            }
        }
        let effects = self.alignment.tick(world.now);
        self.carry_out(world, effects);
    }

    /// Whether nothing may be taken from a channel.
    pub(super) fn waits(&self, channel: usize) -> bool {
        self.alignment.is_blocked(channel) || self.flight.holds(channel)
    }

    /// Whether its sender is not held up by a channel, however full that is.
    pub(in crate::simulation) fn is_relaxed(&self, channel: usize) -> bool {
        self.alignment.is_relaxed(channel)
    }

    /// Takes the next row that is recovered, if there is one.
    pub(super) fn next_recovered(&mut self) -> Option<Row> {
        let flight = &mut self.flight;
        let (input, rows) = flight.recovery.front_mut()?;
        let row = rows.pop_front();
        if let (Some(row), Some(recording)) = (&row, &mut flight.recording) {
            match recording.recovered.last_mut() {
                Some((of, taken)) if of == input => taken.push(row.clone()),
                Some(_) | None => recording.recovered.push((*input, vec![row.clone()])),
            }
        }
        if rows.is_empty() {
            flight.recovery.pop_front();
        }
        row
    }

    /// A barrier overtakes: its part waits for what is recorded.
    pub(super) fn overtake(&mut self, world: &mut World, barrier: Barrier) {
        if let Some(part) = self.checkpoint(world, barrier) {
            world.see(Seen::Overtaken);
            self.flight.recording = Some(Recording {
                id: barrier.checkpoint,
                part,
                recovered: Vec::new(),
                channels: self.channels.iter().map(|_| None).collect(),
            });
        }
    }

    pub(super) fn record(&mut self, channel: usize) {
        if let Some(recording) = &mut self.flight.recording {
            recording.channels[channel] = Some((Vec::new(), false));
        }
    }

    /// Every barrier is in.
    pub(super) fn recorded(&mut self, world: &World, id: CheckpointId) {
        let Some(mut recording) = self.flight.recording.take_if(|of| of.id == id) else {
            return;
        };
        let mut in_flight = std::mem::take(&mut recording.recovered);
        let left = self.flight.recovery.iter();
        in_flight.extend(left.map(|(input, rows)| (*input, rows.iter().cloned().collect())));
        for (channel, of) in recording.channels.into_iter().enumerate() {
            let Some(mut of) = of else { continue };
            let queue = &self.channels[channel];
            queue.iter().for_each(|item| see(&mut of, id, item));
            in_flight.push((self.flight.inputs[channel], of.0));
        }
        in_flight.retain(|(_, rows)| !rows.is_empty());
        note!(world, "{} has recorded for {id}: {in_flight:?}", self.id);
        let mut part = recording.part;
        part.in_flight = in_flight;
        self.lane.push_back(Work::Part(id, Box::new(part)));
    }

    /// The checkpoint was given up while it was recorded.
    pub(super) fn discard(&mut self, id: CheckpointId) {
        if let Some(recording) = self.flight.recording.take_if(|of| of.id == id) {
            self.lane.push_back(Work::Seal(id, recording.part.epoch));
        }
    }
}

/// What is in flight, as it is written: the input before its rows.
pub(in crate::simulation) fn write(in_flight: &InFlight) -> String {
    let of = |(input, rows): &(usize, Vec<Row>)| {
        let rows: String = rows.iter().map(|row| row.line() + "\n").collect();
        format!("> {input}\n{rows}")
    };
    in_flight.iter().map(of).collect()
}

pub(in crate::simulation) fn read(text: &str) -> InFlight {
    let mut all = InFlight::new();
    for line in text.lines() {
        match line.strip_prefix("> ") {
            Some(input) => all.push((input.parse().unwrap(), Vec::new())),
            None => all.last_mut().unwrap().1.push(Row::parse(line).unwrap()),
        }
    }
    all
}
