//! The producing end of one edge: deals rows out to the subtasks behind it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use weir_graph::{OnError, Partitioning};
use weir_model::{Batch, Column, ColumnView, Element, MaxParallelism, Parallelism, hash64};
use weir_operator::{BadKey, Failure};

use super::{Sender, builder::BatchBuilder};
use crate::meters::NodeMeters;

/// How old the oldest row of a builder may get before it is handed over (D7).
const MAX_AGE: Duration = Duration::from_millis(5);
/// From how many rows on a column that arrives whole is handed over as it is: copying it into a
/// builder would cost more than the fixed cost of one more batch.
const WHOLE_FROM: usize = 256;

/// Rows with their event times: one a row, or none where the stream has none.
#[derive(Clone, Copy)]
pub(crate) struct TimedRows<'a> {
    pub(crate) values: ColumnView<'a>,
    pub(crate) timestamps: &'a [i64],
}

/// One receiving subtask of an edge.
pub(crate) struct Target {
    sender: Sender,
    builder: BatchBuilder,
}

impl Target {
    pub(crate) fn new(sender: Sender) -> Self {
        Self {
            sender,
            builder: BatchBuilder::default(),
        }
    }
}

/// The producing end of one edge.
pub(crate) struct EdgeOut {
    partitioning: Partitioning,
    on_error: OnError,
    max: MaxParallelism,
    parallelism: Parallelism,
    /// The receiving subtasks in order; on a forward edge the only one.
    targets: Vec<Target>,
    /// Which target a rebalanced batch goes to next.
    turn: usize,
    /// Since when the oldest row waits.
    waiting: Option<Instant>,
    keys: Column,
    bad: Vec<BadKey>,
    /// What the consumer counts: rows without a key are left out here (`on-error: skip`), before
    /// they belong to a subtask.
    consumer: Arc<NodeMeters>,
}

impl EdgeOut {
    pub(crate) fn new(
        partitioning: Partitioning,
        on_error: OnError,
        max: MaxParallelism,
        parallelism: Parallelism,
        targets: Vec<Target>,
        consumer: Arc<NodeMeters>,
    ) -> Self {
        Self {
            partitioning,
            on_error,
            max,
            parallelism,
            targets,
            turn: 0,
            waiting: None,
            keys: Column::new(),
            bad: Vec::new(),
            consumer,
        }
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
            Partitioning::Hash(_) => self.push_hashed(rows)?,
            Partitioning::Forward
            | Partitioning::Rebalance
            | Partitioning::Broadcast
            | Partitioning::Global => self.push_plain(rows),
        }
        if self.waiting.is_none() && self.targets.iter().any(|t| !t.builder.is_empty()) {
            self.waiting = Some(Instant::now());
        }
        Ok(())
    }

    /// Takes a column over that its producer no longer needs; a large one is not copied.
    pub(crate) fn push_owned(
        &mut self,
        values: Column,
        timestamps: Vec<i64>,
    ) -> Result<(), Failure> {
        let whole = values.len() >= WHOLE_FROM
            && values.len() <= Batch::MAX_ROWS
            && !matches!(self.partitioning, Partitioning::Hash(_));
        if !whole {
            return self.push(TimedRows {
                values: values.view(),
                timestamps: &timestamps,
            });
        }
        let at = self.plain_target();
        self.hand_over_at(at);
        self.send_at(
            at,
            Batch {
                values,
                timestamps,
                keyed: None,
            },
        );
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
        let timestamped = !rows.timestamps.is_empty();
        for (row, value) in rows.values.iter().enumerate() {
            let at = self.plain_target();
            if !self.targets[at].builder.fits(timestamped) {
                self.hand_over_at(at);
            }
            let builder = &mut self.targets[at].builder;
            builder.push(value, rows.timestamps.get(row).copied());
            if builder.is_full() {
                self.hand_over_at(at);
            }
        }
    }

    fn push_hashed(&mut self, rows: TimedRows<'_>) -> Result<(), Failure> {
        self.select_keys(rows.values)?;
        let timestamped = !rows.timestamps.is_empty();
        let mut bad = 0;
        for (row, value) in rows.values.iter().enumerate() {
            if self.bad.get(bad).is_some_and(|b| b.row as usize == row) {
                bad += 1;
                continue;
            }
            let key = self.keys.get(row);
            let hash = hash64(key);
            // Where there is one subtask, it has all key groups.
            let at = match self.targets.len() {
                1 => 0,
                _ => {
                    let group = self.max.key_group_of(hash);
                    self.max.subtask_of(group, self.parallelism).index()
                }
            };
            let target = &mut self.targets[at];
            if !target.builder.fits(timestamped) {
                target.hand_over();
            }
            target
                .builder
                .push_keyed(value, rows.timestamps.get(row).copied(), key, hash);
            if target.builder.is_full() {
                target.hand_over();
            }
        }
        Ok(())
    }

    fn select_keys(&mut self, values: ColumnView<'_>) -> Result<(), Failure> {
        let Partitioning::Hash(selector) = &self.partitioning else {
            return Ok(());
        };
        self.keys.clear();
        self.bad.clear();
        selector.select(values, &mut self.keys, &mut self.bad);
        if self.keys.len() != values.len() {
            let message = format!("{} keys for {} rows", self.keys.len(), values.len());
            return Err(Failure::Internal { message });
        }
        match (self.on_error, self.bad.first()) {
            (_, None) => {}
            (OnError::Skip, Some(_)) => self.consumer.skipped.add(self.bad.len()),
            (OnError::Fail, Some(first)) => {
                return Err(Failure::BadKey {
                    message: first.message.clone(),
                    row: first.row,
                });
            }
        }
        Ok(())
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

    /// Sends an element that is not a batch to all targets, behind all rows taken in so far.
    pub(crate) fn send_all(&mut self, element: &Element) {
        self.hand_over_all();
        for target in &self.targets {
            target.sender.send(element.clone());
        }
    }

    fn hand_over_at(&mut self, at: usize) {
        if self.targets[at].builder.is_empty() {
            return;
        }
        let batch = self.targets[at].builder.take();
        self.send_at(at, batch);
    }

    fn send_at(&mut self, at: usize, batch: Batch) {
        let batch = Arc::new(batch);
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

impl Target {
    fn hand_over(&mut self) {
        if !self.builder.is_empty() {
            self.sender
                .send(Element::Batch(Arc::new(self.builder.take())));
        }
    }
}
