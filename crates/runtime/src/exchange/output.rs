//! The producing end of one edge: deals rows out to the subtasks behind it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use weir_graph::{EdgeId, Partitioning};
use weir_model::{
    Batch, Column, ColumnView, Element, Lineage, MaxParallelism, Parallelism, Picker, SubtaskIndex,
};
use weir_operator::{BadKey, Failure, RowInfo};

use super::{
    numbers::Keys,
    target::{Dealt, Target},
};
use crate::{
    letters::{BadRow, BadRows, Cause},
    meters::NodeMeters,
};

/// How old the oldest row of a builder may get before it is handed over (D7).
const MAX_AGE: Duration = Duration::from_millis(5);
/// From how many rows on, or bytes, a column that arrives whole is handed over as it is: to copy it
/// into a builder would cost more than one more batch does. Half a batch of short rows is cheap to
/// copy, and its keys come again in the other half: whoever keeps state looks at them once.
const WHOLE_FROM: usize = Batch::MAX_ROWS / 2;
const WHOLE_FROM_BYTES: usize = 64 * 1024;

/// Up to how many bytes: what a batch may have, and as much again by which its rows grew.
const WHOLE_BYTES: usize = 2 * Batch::MAX_BYTES;

/// So many rows are worth a batch of their own, where another edge of their producer has filled
/// one.
const WORTH_A_BATCH: usize = 64;
/// Stands for the subtask of a row without a key.
const NOWHERE: SubtaskIndex = SubtaskIndex(u32::MAX);

/// Rows with their event times: one a row, or none where the stream has none.
#[derive(Clone, Copy)]
pub(crate) struct TimedRows<'a> {
    pub(crate) values: ColumnView<'a>,
    pub(crate) timestamps: &'a [i64],
    /// Where each row came from; empty where it is not known.
    pub(crate) lineage: &'a [Lineage],
}

impl TimedRows<'_> {
    /// The rows `from..to`.
    fn slice(self, from: usize, to: usize) -> Self {
        let Self {
            values,
            timestamps,
            lineage,
        } = self;
        Self {
            values: values.slice(from, to),
            timestamps: timestamps.get(from..to).unwrap_or_default(),
            lineage: lineage.get(from..to).unwrap_or_default(),
        }
    }
}

/// The producing end of one edge.
pub(crate) struct EdgeOut {
    partitioning: Partitioning,
    /// What becomes of rows without a key.
    bad_rows: BadRows,
    max: MaxParallelism,
    parallelism: Parallelism,
    /// The receiving subtasks in order; on a forward edge the only one.
    targets: Vec<Target>,
    /// Whether rows go on with their lineage: on a forward edge of a job whose rows may become
    /// channel state (D10).
    keeps_lineage: bool,
    /// Which target a rebalanced batch goes to next.
    turn: usize,
    /// Since when the oldest row waits.
    waiting: Option<Instant>,
    /// Of the rows in hand on a hash edge: their keys, and which have none.
    keys: Keys,
    bad: Vec<BadKey>,
    /// Where each of them goes, if there are several targets.
    subtasks: Vec<SubtaskIndex>,
    /// What the consumer counts: rows without a key are left out here, before they belong to a
    /// subtask.
    consumer: Arc<NodeMeters>,
}

impl EdgeOut {
    pub(crate) fn new(
        partitioning: Partitioning,
        bad_rows: BadRows,
        max: MaxParallelism,
        parallelism: Parallelism,
        targets: Vec<Target>,
        consumer: Arc<NodeMeters>,
    ) -> Self {
        Self {
            partitioning,
            bad_rows,
            max,
            parallelism,
            targets,
            keeps_lineage: false,
            turn: 0,
            waiting: None,
            keys: Keys::default(),
            bad: Vec::new(),
            subtasks: Vec::new(),
            consumer,
        }
    }

    /// Whether rows go on with their lineage.
    pub(crate) fn keeps_lineage(&self) -> bool {
        self.keeps_lineage
    }

    /// Rows go on with their lineage, if this is a forward edge: on the others a row itself says
    /// where it belongs, or it belongs nowhere.
    pub(crate) fn keep_lineage(&mut self) {
        self.keeps_lineage = matches!(self.partitioning, Partitioning::Forward);
    }

    /// Whether a channel of this edge is over its budget.
    pub(crate) fn is_over(&self) -> bool {
        self.targets.iter().any(|t| t.sender.is_over())
    }

    /// Takes rows in; full batches are handed over at once.
    pub(crate) fn push(&mut self, rows: TimedRows<'_>) -> Result<(), Failure> {
        if rows.values.is_empty() {
            return Ok(());
        }
        match &self.partitioning {
            Partitioning::Hash(_) => {
                self.select_keys(rows)?;
                self.push_hashed(rows);
            }
            Partitioning::Forward
            | Partitioning::Rebalance
            | Partitioning::Broadcast
            | Partitioning::Global => self.push_plain(rows),
        }
        self.note_waiting();
        Ok(())
    }

    fn note_waiting(&mut self) {
        if self.waiting.is_none() && self.targets.iter().any(|t| !t.builder.is_empty()) {
            self.waiting = Some(Instant::now());
        }
    }

    /// Takes a column over that its producer no longer needs; a large one that goes to one target
    /// is not copied.
    pub(crate) fn push_owned(
        &mut self,
        values: Column,
        timestamps: Vec<i64>,
        mut lineage: Vec<Lineage>,
    ) -> Result<(), Failure> {
        let rows = TimedRows {
            values: values.view(),
            timestamps: &timestamps,
            lineage: &lineage,
        };
        let is_hashed = matches!(self.partitioning, Partitioning::Hash(_));
        let is_large = values.len() >= WHOLE_FROM || values.byte_len() >= WHOLE_FROM_BYTES;
        let whole = is_large
            && values.len() <= Batch::MAX_ROWS
            && values.byte_len() <= WHOLE_BYTES
            && !(is_hashed && self.targets.len() > 1);
        if !whole {
            return self.push(rows);
        }
        if is_hashed {
            self.select_keys(rows)?;
            if !self.bad.is_empty() {
                self.push_hashed(rows);
                self.note_waiting();
                return Ok(());
            }
        }
        match self.keeps_lineage {
            true => lineage.resize(values.len(), Lineage::None),
            false => lineage.clear(),
        }
        self.hand_over_at(self.plain_target());
        // Where rows go round, it may be the turn of the next one now.
        let at = self.plain_target();
        let builder = &mut self.targets[at].builder;
        if is_hashed {
            builder.extend_keys(&self.keys, 0..values.len());
        }
        let mut batch = builder.take_with(values, timestamps);
        batch.lineage = lineage;
        self.send_at(at, batch);
        Ok(())
    }

    /// The builder that plain rows go to now. A broadcast edge fills one for all.
    fn plain_target(&self) -> usize {
        match self.partitioning {
            Partitioning::Rebalance => self.turn,
            Partitioning::Forward
            | Partitioning::Hash(_)
            | Partitioning::Broadcast
            | Partitioning::Global => 0,
        }
    }

    fn push_plain(&mut self, rows: TimedRows<'_>) {
        let mut rest = rows;
        while !rest.values.is_empty() {
            let at = self.plain_target();
            let rows = self.next_rows(at, &mut rest);
            if self.keeps_lineage {
                let builder = &mut self.targets[at].builder;
                builder.extend_lineage(rows.lineage);
            }
            if self.targets[at].builder.is_full() {
                self.hand_over_at(at);
            }
        }
    }

    /// Moves rows that fit from the front of `rest` to the builder of a target.
    fn next_rows<'a>(&mut self, at: usize, rest: &mut TimedRows<'a>) -> TimedRows<'a> {
        if !self.targets[at].builder.fits(!rest.timestamps.is_empty()) {
            self.hand_over_at(at);
        }
        let builder = &mut self.targets[at].builder;
        let (count, all) = (builder.room_for(rest.values), rest.values.len());
        let rows = rest.slice(0, count);
        builder.extend(rows);
        *rest = rest.slice(count, all);
        rows
    }

    /// Deals out rows whose keys have been selected.
    fn push_hashed(&mut self, rows: TimedRows<'_>) {
        // Where there is one subtask, it has all key groups.
        if self.targets.len() == 1 && self.bad.is_empty() {
            self.push_hashed_to_one(rows);
            return;
        }
        self.subtasks.clear();
        self.max
            .subtasks_of(&self.keys.hashes, self.parallelism, &mut self.subtasks);
        for bad in &self.bad {
            if let Some(subtask) = self.subtasks.get_mut(bad.row as usize) {
                *subtask = NOWHERE;
            }
        }
        for (row, &subtask) in (0..).zip(&self.subtasks) {
            if subtask != NOWHERE {
                self.targets[subtask.index()].pick(row);
            }
        }
        let rows = Dealt {
            values: Picker::new(rows.values),
            timestamps: rows.timestamps,
            keys: &self.keys,
        };
        for target in &mut self.targets {
            target.take_in(rows);
        }
    }

    fn push_hashed_to_one(&mut self, rows: TimedRows<'_>) {
        let (mut rest, mut done) = (rows, 0);
        while !rest.values.is_empty() {
            let count = self.next_rows(0, &mut rest).values.len();
            let builder = &mut self.targets[0].builder;
            builder.extend_keys(&self.keys, done..done + count);
            done += count;
            if builder.is_full() {
                self.hand_over_at(0);
            }
        }
    }

    /// Selects and hashes the keys of rows on a hash edge.
    fn select_keys(&mut self, rows: TimedRows<'_>) -> Result<(), Failure> {
        let Partitioning::Hash(selector) = &self.partitioning else {
            return Ok(());
        };
        let values = rows.values;
        self.bad.clear();
        let bad = &mut self.bad;
        let number_at = selector.number_at();
        if !number_at.is_some_and(|at| self.keys.refill_numbers(values, at)) {
            self.keys.refill(|keys| selector.select(values, keys, bad));
        }
        let keys = self.keys.len();
        if keys != values.len() {
            let message = format!("{keys} keys for {} rows", values.len());
            return Err(Failure::Internal { message });
        }
        if !rows.timestamps.is_empty() && rows.timestamps.len() != values.len() {
            let (times, rows) = (rows.timestamps.len(), values.len());
            let message = format!("{times} event times for {rows} rows");
            return Err(Failure::Internal { message });
        }
        match &self.bad[..] {
            [] => Ok(()),
            [first, ..] => self.leave_out(first.clone(), rows),
        }
    }

    /// What becomes of rows without a key.
    fn leave_out(&mut self, first: BadKey, rows: TimedRows<'_>) -> Result<(), Failure> {
        let failure = Failure::BadKey {
            message: first.message,
            row: first.row,
        };
        match &mut self.bad_rows {
            BadRows::Fail => return Err(failure),
            BadRows::Skip => {
                for bad in &self.bad {
                    let at = bad.row as usize;
                    let info = || {
                        RowInfo::new(rows.values.get(at), rows.timestamps.get(at).copied(), None)
                    };
                    self.consumer.skip(&bad.message, info);
                }
            }
            BadRows::DeadLetter(letters) => {
                self.consumer.dead_lettered.add(self.bad.len());
                for bad in &self.bad {
                    let cause = Cause {
                        code: failure.code(),
                        error: &bad.message,
                    };
                    let row = BadRow {
                        timer: None,
                        value: rows.values.get(bad.row as usize),
                        timestamp: rows.timestamps.get(bad.row as usize).copied(),
                        key_hash: None,
                    };
                    letters.add(Some(0), cause, row);
                }
            }
        }
        Ok(())
    }

    /// Takes away the dead letters of the rows that were pushed, with the edge they leave on.
    pub(crate) fn letters(&mut self) -> Option<(EdgeId, Column, Vec<i64>)> {
        match &mut self.bad_rows {
            BadRows::DeadLetter(letters) if !letters.is_empty() => {
                let (lines, timestamps) = letters.take();
                Some((letters.to(), lines, timestamps))
            }
            BadRows::Fail | BadRows::Skip | BadRows::DeadLetter(_) => None,
        }
    }

    /// Hands over what has waited for [`MAX_AGE`]; looked at once per input batch.
    pub(crate) fn hand_over_old(&mut self, now: Instant) {
        if self
            .waiting
            .is_some_and(|since| now.duration_since(since) >= MAX_AGE)
        {
            self.hand_over_all();
        }
    }

    /// Hands over everything.
    pub(crate) fn hand_over_all(&mut self) {
        self.waiting = None;
        for at in 0..self.targets.len() {
            self.hand_over_at(at);
        }
    }

    /// Whether rows were handed over since this was asked last.
    fn take_sent(&mut self) -> bool {
        let targets = self.targets.iter_mut();
        targets.fold(false, |any, target| {
            std::mem::take(&mut target.has_sent) | any
        })
    }

    /// Hands over what is worth a batch.
    fn hand_over_many(&mut self) {
        let rows: usize = self.targets.iter().map(|target| target.builder.len()).sum();
        if rows >= WORTH_A_BATCH {
            self.hand_over_all();
        }
    }

    /// Sends an element that is not a batch to all targets, behind all rows taken in so far.
    pub(crate) fn send_all(&mut self, element: &Element) {
        self.hand_over_all();
        for target in &self.targets {
            target.sender.send(element.clone());
        }
    }

    fn hand_over_at(&mut self, at: usize) {
        if self.targets.len() == 1 {
            // What comes behind them has not waited.
            self.waiting = None;
        }
        if self.targets[at].builder.is_empty() {
            return;
        }
        let batch = self.targets[at].builder.take();
        self.send_at(at, batch);
    }

    fn send_at(&mut self, at: usize, batch: Batch) {
        let batch = Arc::new(batch);
        self.targets[at].has_sent = true;
        match self.partitioning {
            Partitioning::Broadcast => {
                for target in &self.targets {
                    target.sender.send(Element::Batch(batch.clone()));
                }
            }
            Partitioning::Rebalance => {
                self.targets[at].sender.send(Element::Batch(batch));
                self.turn = (self.turn + 1) % self.targets.len();
            }
            Partitioning::Forward | Partitioning::Hash(_) | Partitioning::Global => {
                self.targets[at].sender.send(Element::Batch(batch));
            }
        }
    }
}

/// Where one edge of a task has handed over a batch, the others do so as well: who has both for its
/// inputs would be ahead with the one that has many rows, by as many of its batches as the other
/// needs to fill one, and keep what waits for its counterpart.
pub(crate) fn hand_over_beside(edges: &mut [EdgeOut]) {
    let has_sent = edges
        .iter_mut()
        .fold(false, |any, edge| edge.take_sent() | any);
    if has_sent && edges.len() > 1 {
        for edge in edges {
            edge.hand_over_many();
            edge.take_sent();
        }
    }
}
