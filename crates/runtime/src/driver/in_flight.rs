//! What was in flight when a checkpoint was taken, dealt out to the tasks that go on from it (D10).
//!
//! INVARIANT: each row in flight comes to one subtask: the one that has its key, that gets what
//! follows it, or any where neither is asked for. Rows of one old channel that come to one subtask
//! keep their order.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use weir_checkpoint::TaskId;
use weir_graph::{Chain, Partitioning};
use weir_model::{Batch, Element, Keyed, Lineage, MaxParallelism, Parallelism, SubtaskIndex};
use weir_operator::Failure;
use weir_state::{ChannelFile, ChannelInput, InFlight};

use super::{
    deploy::{LETTERS, channel_inputs},
    restore::{NoRestore, Restored},
};
use crate::deployment::Deployment;

#[cfg(test)]
mod tests;

/// Which reader a split is dealt to at first, by the hash of its name.
pub(crate) type Deals = HashMap<u64, SubtaskIndex>;

/// A channel of recovery.
pub(crate) struct Recovered {
    /// The input that it takes the place of.
    pub(crate) input: u32,
    /// The old subtask that had sent.
    pub(crate) producer: u32,
    pub(crate) elements: VecDeque<Element>,
}

/// Where the rows of one input go.
pub(crate) struct Route<'a> {
    partitioning: &'a Partitioning,
    max: MaxParallelism,
    old: Parallelism,
    new: Parallelism,
    deals: &'a Deals,
}

impl Route<'_> {
    /// What of an old channel to `from` goes to `to`. Watermarks go everywhere.
    pub(crate) fn share(
        &self,
        elements: &[InFlight],
        from: SubtaskIndex,
        to: SubtaskIndex,
    ) -> VecDeque<Element> {
        let mut turn = from.index();
        let mut share = VecDeque::new();
        let mut has_rows = false;
        for element in elements {
            match element {
                InFlight::Watermark(time) => share.push_back(Element::Watermark(*time)),
                InFlight::Idle(idle) => share.push_back(Element::Idle(*idle)),
                InFlight::Rows(batch) => {
                    let batch = self.rows(batch, from, to, &mut turn);
                    has_rows |= batch.is_some();
                    share.extend(batch.map(|batch| Element::Batch(Arc::new(batch))));
                }
            }
        }
        if !has_rows {
            share.clear();
        }
        share
    }

    fn rows(
        &self,
        batch: &Batch,
        from: SubtaskIndex,
        to: SubtaskIndex,
        turn: &mut usize,
    ) -> Option<Batch> {
        if self.old == self.new {
            return (from == to).then(|| batch.clone());
        }
        let new = self.new.get() as usize;
        let mut next = || {
            let at = *turn % new;
            *turn += 1;
            SubtaskIndex(at as u32)
        };
        match self.partitioning {
            Partitioning::Global => (to.index() == 0).then(|| batch.clone()),
            // A batch at a time, as its producer did.
            Partitioning::Rebalance => (next() == to).then(|| batch.clone()),
            // Nothing is in flight on it (D9).
            Partitioning::Broadcast => None,
            Partitioning::Hash(_) => {
                let keyed = batch.keyed.as_ref()?;
                let keys = keyed.hashes.iter();
                let here: Vec<bool> = keys.map(|&hash| self.of_key(hash) == to).collect();
                let rows = keyed.key_of_row.iter();
                let rows: Vec<bool> = rows.map(|&key| here[key as usize]).collect();
                pick(batch, &rows)
            }
            Partitioning::Forward => {
                let rows: Vec<bool> = (0..batch.len())
                    .map(
                        |row| match batch.lineage.get(row).copied().unwrap_or_default() {
                            Lineage::Key(hash) => self.of_key(hash) == to,
                            Lineage::Split(split) => match self.deals.get(&split) {
                                Some(&reader) => reader == to,
                                // It had ended: nothing follows its rows.
                                None => split % new as u64 == u64::from(to.0),
                            },
                            Lineage::None => next() == to,
                        },
                    )
                    .collect();
                pick(batch, &rows)
            }
        }
    }

    fn of_key(&self, hash: u64) -> SubtaskIndex {
        self.max.subtask_of(self.max.key_group_of(hash), self.new)
    }
}

/// Some rows of a batch, with only the keys that occur in them.
fn pick(batch: &Batch, rows: &[bool]) -> Option<Batch> {
    let picked: Vec<usize> = (0..batch.len()).filter(|&row| rows[row]).collect();
    if picked.len() == batch.len() {
        return Some(batch.clone());
    }
    if picked.is_empty() {
        return None;
    }
    let of = |row: &usize| batch.values.get(*row);
    let keyed = batch.keyed.as_ref().map(|keyed| {
        let mut own = Keyed::default();
        let mut numbers = vec![None; keyed.keys.len()];
        for &row in &picked {
            let key = keyed.key_of_row[row] as usize;
            let number = *numbers[key].get_or_insert_with(|| {
                own.keys.push(keyed.keys.get(key));
                own.hashes.push(keyed.hashes[key]);
                own.hashes.len() as u32 - 1
            });
            own.key_of_row.push(number);
        }
        own
    });
    Some(Batch {
        values: picked.iter().map(of).collect(),
        timestamps: picked_of(&batch.timestamps, &picked),
        keyed,
        lineage: picked_of(&batch.lineage, &picked),
    })
}

fn picked_of<T: Copy>(column: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter()
        .filter_map(|&row| column.get(row).copied())
        .collect()
}

impl Restored {
    /// What was in flight to a task; to those that were before it where the parallelism is another.
    /// Blocking.
    pub(crate) fn in_flight(
        &self,
        deployment: &Deployment,
        task: TaskId,
        deals: &Deals,
    ) -> Result<Vec<Recovered>, Failure> {
        let plan = &deployment.plan;
        let chain = &plan.chains[task.vertex];
        let Some(saved) = self.metadata.operators.get(&chain.name) else {
            return Ok(Vec::new());
        };
        let inputs = channel_inputs(deployment, chain);
        let mut all = Vec::new();
        for (from, subtask) in saved.parallelism.subtasks().zip(&saved.subtasks) {
            let Some(file) = &subtask.channels else {
                continue;
            };
            let channels = self.open_channels(file).map_err(NoRestore::into_failure)?;
            let damaged = |message: String| Failure::Restore {
                message: format!("{}/{}: {message}", self.location, file.path),
            };
            for channel in channels.channels() {
                let was = self.input_then(&channels, channel.input);
                let input = input_like(&inputs, channel.input, &was);
                let input = input.ok_or_else(|| Failure::Unfit {
                    message: changed_input(chain, &inputs, &was),
                })?;
                let edge = &plan.edges[chain.inputs[input].0];
                let route = Route {
                    partitioning: &edge.partitioning,
                    max: plan.max_parallelism,
                    old: saved.parallelism,
                    new: chain.parallelism,
                    deals,
                };
                let elements = channels.elements(channel.index);
                let elements = elements.map_err(|e| damaged(e.to_string()))?;
                let elements = route.share(&elements, from, task.subtask);
                if !elements.is_empty() {
                    all.push(Recovered {
                        input: input as u32,
                        producer: channel.producer,
                        elements,
                    });
                }
            }
        }
        Ok(all)
    }

    /// Judges what was in flight: there must be a way to where it goes.
    pub(super) fn judge_in_flight(&mut self, deployment: &Deployment) -> Result<(), NoRestore> {
        let (mut problems, mut left) = (Vec::new(), Vec::new());
        for (name, saved) in &self.metadata.operators {
            let files: Vec<_> = saved
                .subtasks
                .iter()
                .filter_map(|s| s.channels.as_ref())
                .collect();
            if files.is_empty() || !self.is_ours(name) {
                continue;
            }
            let mut heads = deployment.plan.chains.iter();
            let chain = heads.find(|chain| chain.name == *name);
            if chain.is_none() && deployment.mapping.allow_non_restored_state {
                left.push(format!("rows that were in flight to `{name}`"));
                continue;
            }
            let Some(chain) = chain else {
                problems.push(format!(
                    "rows were in flight to `{name}`, and in the job nothing is in flight to it: \
                     it is gone, or chained to what is before it; go on from a savepoint, in which \
                     nothing is in flight, or with the job as it was"
                ));
                continue;
            };
            let inputs = channel_inputs(deployment, chain);
            for file in files {
                let channels = self.open_channels(file)?;
                for channel in channels.channels() {
                    let was = self.input_then(&channels, channel.input);
                    if input_like(&inputs, channel.input, &was).is_none() {
                        problems.push(changed_input(chain, &inputs, &was));
                    }
                }
            }
        }
        problems.dedup();
        self.fit.problems.extend(problems);
        self.fit.left.extend(left);
        Ok(())
    }

    /// What an input was, with the name that its node has now.
    fn input_then(&self, channels: &ChannelFile, input: u32) -> ChannelInput {
        let mut was = channels.inputs()[input as usize].clone();
        let (before, node) = match was.from.strip_prefix(LETTERS) {
            Some(node) => (LETTERS, node),
            None => ("", was.from.as_str()),
        };
        let (node, side) = node.split_at(node.find('.').unwrap_or(node.len()));
        let mut renamed = self.renamed.iter();
        if let Some((new, _)) = renamed.find(|(_, old)| old.as_str() == node) {
            was.from = format!("{before}{new}{side}");
        }
        was
    }
}

/// That an input is not what it was.
fn changed_input(chain: &Chain, inputs: &[ChannelInput], was: &ChannelInput) -> String {
    let is = inputs.iter().find(|input| input.from == was.from);
    let now = match is {
        None => "is no input of it in the job".to_owned(),
        Some(is) => format!("is dealt out by {} in the job", spelled(is)),
    };
    format!(
        "rows of `{}`, dealt out by {}, were in flight to `{}`, and `{}` {now}; go on from a \
         savepoint, in which nothing is in flight, or with the input as it was",
        was.from,
        spelled(was),
        chain.name,
        was.from,
    )
}

fn spelled(input: &ChannelInput) -> String {
    match &input.key {
        Some(key) => format!("{} of {key}", input.partitioning),
        None => input.partitioning.clone(),
    }
}

/// The input that is what another was: at the same place if it can be.
fn input_like(inputs: &[ChannelInput], at: u32, was: &ChannelInput) -> Option<usize> {
    let at = at as usize;
    match inputs.get(at) {
        Some(input) if input == was => Some(at),
        Some(_) | None => inputs.iter().position(|input| input == was),
    }
}
