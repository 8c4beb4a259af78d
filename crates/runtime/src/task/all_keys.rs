//! Calls for all keys of a state, which a row of a broadcast input has asked for (C28).
//!
//! They come right after the call that asked, before the next row: so the task takes such rows one
//! by one, and nothing else before all keys had their turn. No barrier comes between them either:
//! nothing overtakes on a broadcast edge (D9), and before the barriers of those were delivered
//! nothing overtakes anywhere else. Between the calls the task looks at control, and stops where
//! its outputs are full.
//!
//! INVARIANT: a key that had something in the state when its calls began has exactly one, and no
//! other key has one. A call may change what its own keys have, so keys are read group by group.

use std::collections::VecDeque;

use tokio::time::Instant;
use weir_model::{Column, KeyGroup, KeyGroupRange, Keyed, KeyedView, Lineage, Rows, hash64};
use weir_operator::Failure;
use weir_state::{ApplyToKeys, StateKeys};

use super::{
    calling::Calling,
    chain::{Chain, Kind, Node, NodeFailure},
    operator::OperatorNode,
    slicer::{Pace, Slicer},
};

/// The calls for all keys of an operator that are still to be made.
pub(crate) struct AllKeys {
    asked: VecDeque<Asked>,
    found: StateKeys,
    /// The keys in hand, of which those from `next` on have not had their turn.
    keyed: Keyed,
    next: usize,
    /// As many empty rows and times as there are keys.
    values: Column,
    timestamps: Vec<i64>,
    slicer: Slicer,
    pace: Pace,
}

/// What a row has asked for.
struct Asked {
    apply: ApplyToKeys,
    /// The event time of the row, which what is emitted inherits.
    timestamp: Option<i64>,
    /// The key group to go on with; `None` where there is no other.
    from: Option<KeyGroup>,
}

impl AllKeys {
    pub(crate) fn new() -> Self {
        Self {
            asked: VecDeque::new(),
            found: StateKeys::default(),
            keyed: Keyed::default(),
            next: 0,
            values: Column::new(),
            timestamps: Vec::new(),
            slicer: Slicer::default(),
            pace: Pace::new(),
        }
    }

    /// Takes what a row has asked for.
    pub(super) fn ask(
        &mut self,
        applies: Vec<ApplyToKeys>,
        timestamp: Option<i64>,
        groups: KeyGroupRange,
    ) {
        let asked = applies.into_iter().map(|apply| Asked {
            apply,
            timestamp,
            from: Some(groups.start),
        });
        self.asked.extend(asked);
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            values: self.values.view(),
            timestamps: &self.timestamps,
            keyed: Some(KeyedView {
                keys: self.keyed.keys.view(),
                hashes: &self.keyed.hashes,
                key_of_row: &self.keyed.key_of_row,
            }),
        }
    }

    /// Takes the keys that were found in hand.
    fn take_in(&mut self, timestamp: Option<i64>) {
        let Keyed {
            keys,
            hashes,
            key_of_row,
        } = &mut self.keyed;
        std::mem::swap(keys, &mut self.found.keys);
        self.found.clear();
        hashes.clear();
        hashes.extend(keys.iter().map(hash64));
        key_of_row.clear();
        key_of_row.extend(0..hashes.len() as u32);
        self.values.clear();
        hashes.iter().for_each(|_| self.values.push(&[]));
        self.timestamps.clear();
        let times = timestamp.map(|at| std::iter::repeat_n(at, hashes.len()));
        self.timestamps.extend(times.into_iter().flatten());
        self.next = 0;
    }
}

impl Chain {
    /// Whether rows of an input of the head are taken one by one, since each may ask for calls for
    /// all keys.
    pub(crate) fn takes_singly(&self, input: u32) -> bool {
        match self.nodes.first().map(|node| &node.kind) {
            Some(Kind::Operator(op)) => op.all_keys.is_some() && op.is_broadcast(input),
            Some(Kind::Source | Kind::Waiting(_) | Kind::Sink(_)) | None => false,
        }
    }

    /// Whether calls for all keys of the head are still to be made.
    pub(crate) fn asks_for_keys(&self) -> bool {
        match self.nodes.first().map(|node| &node.kind) {
            Some(Kind::Operator(op)) => {
                let all = op.all_keys.as_ref();
                all.is_some_and(|all| !all.asked.is_empty())
            }
            Some(Kind::Source | Kind::Waiting(_) | Kind::Sink(_)) | None => false,
        }
    }

    /// Calls the head for the next keys; gives back whether there were any. An operator with a
    /// broadcast input has two inputs, so it is a head.
    pub(crate) fn call_keys(&mut self) -> Result<bool, NodeFailure> {
        let now = self.clock.now();
        let Some(node) = self.nodes.first_mut() else {
            return Ok(false);
        };
        let Kind::Operator(op) = &mut node.kind else {
            return Ok(false);
        };
        let Some(mut all) = op.all_keys.take() else {
            return Ok(false);
        };
        op.set_time(now);
        let called = match op.next_keys(&mut all) {
            Ok(true) => self.call_next(&mut all).map(|()| true),
            Ok(false) => Ok(false),
            Err(failure) => Err(NodeFailure {
                node: node.name.clone(),
                failure,
            }),
        };
        if let Kind::Operator(op) = &mut self.nodes[0].kind {
            op.all_keys = Some(all);
        }
        called
    }

    fn call_next(&mut self, all: &mut AllKeys) -> Result<(), NodeFailure> {
        let Node { name, kind, .. } = &mut self.nodes[0];
        let (Kind::Operator(op), Some(asked)) = (kind, all.asked.front()) else {
            return Ok(());
        };
        let mut slicer = std::mem::take(&mut all.slicer);
        let count = all.pace.rows(all.keyed.hashes.len() - all.next);
        let began = Instant::now();
        let rows = slicer.cut(all.rows(), all.next..all.next + count);
        let tag = asked.apply.tag.as_slice();
        let calling = Calling::Keys { tag, rows };
        op.begin_calling(calling).map_err(|failure| NodeFailure {
            node: name.clone(),
            failure,
        })?;
        let result = op.call(calling);
        let took = began.elapsed();
        let lineage: Vec<Lineage> = match (self.keeps_lineage, rows.keyed) {
            (true, Some(keyed)) => keyed.hashes.iter().copied().map(Lineage::Key).collect(),
            (true, None) | (false, _) => Vec::new(),
        };
        let done = self.conclude(0, calling, &lineage, result)?;
        all.next += done;
        all.pace.learn(done, took);
        all.slicer = slicer;
        Ok(())
    }
}

impl OperatorNode {
    /// Takes the next keys in hand, if those before have all had their turn; gives back whether
    /// there are any.
    fn next_keys(&mut self, all: &mut AllKeys) -> Result<bool, Failure> {
        while all.next >= all.keyed.hashes.len() {
            let Some(asked) = all.asked.front_mut() else {
                return Ok(false);
            };
            let Some(from) = asked.from else {
                all.asked.pop_front();
                continue;
            };
            let state = &mut self.cx.state;
            asked.from = state.scan_keys(asked.apply.state, from, &mut all.found)?;
            let timestamp = asked.timestamp;
            all.take_in(timestamp);
        }
        Ok(true)
    }
}
