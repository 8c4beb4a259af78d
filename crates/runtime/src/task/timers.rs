//! Timers that are due fire, many to a call (D14).
//!
//! A call is optimistic: one key may have several timers in it, as if each knew what those before
//! it did. Where that turns out wrong nothing of the call is kept, and fewer are called again: as
//! many as are sure to be as they would be one by one. The same where a call fails: then each key
//! comes once, and what fails so is a failure.
//!
//! INVARIANT: timers of a kind fire in the order in which they are due, each after all that those
//! before it did to timers of its key.

use hashbrown::HashTable;
use tokio::time::Instant;
use weir_model::{Batch, EventTime, Keyed, KeyedView, Lineage, ProcessingTime, hash64, same_key};
use weir_operator::{Due, Failure};
use weir_state::{TimerKind, Timers};

use super::{
    calling::Calling,
    chain::{Chain, Kind, NodeFailure},
    operator::OperatorNode,
    slicer::{Pace, Slicer},
};

/// The timers of an operator that are due, on their way into a call.
pub(crate) struct Firing {
    timers: Timers,
    keyed: Keyed,
    /// Index of each distinct key, found by its hash.
    index: HashTable<u32>,
    /// How many timers there are before a key comes again.
    distinct: usize,
    slicer: Slicer,
    pace: Pace,
    /// How many may come at once: halved by what could not fire together, doubled by what could.
    most: usize,
}

impl Firing {
    pub(crate) fn new() -> Self {
        Self {
            timers: Timers::default(),
            keyed: Keyed::default(),
            index: HashTable::new(),
            distinct: 0,
            slicer: Slicer::default(),
            pace: Pace::new(),
            most: Batch::MAX_ROWS,
        }
    }

    fn due(&self, kind: TimerKind) -> Due<'_> {
        Due {
            kind,
            at: &self.timers.at,
            keyed: KeyedView {
                keys: self.keyed.keys.view(),
                hashes: &self.keyed.hashes,
                key_of_row: &self.keyed.key_of_row,
            },
        }
    }

    /// Numbers the distinct keys of the timers.
    fn number_keys(&mut self) {
        let Keyed {
            keys,
            hashes,
            key_of_row,
        } = &mut self.keyed;
        keys.clear();
        hashes.clear();
        key_of_row.clear();
        self.index.clear();
        let mut distinct = None;
        for key in self.timers.keys.iter() {
            let hash = hash64(key);
            let same = |&i: &u32| hashes[i as usize] == hash && same_key(keys.get(i as usize), key);
            let index = match self.index.find(hash, same) {
                Some(&index) => {
                    distinct.get_or_insert(key_of_row.len());
                    index
                }
                None => {
                    let index = hashes.len() as u32;
                    keys.push(key);
                    hashes.push(hash);
                    self.index
                        .insert_unique(hash, index, |&i| hashes[i as usize]);
                    index
                }
            };
            key_of_row.push(index);
        }
        self.distinct = distinct.unwrap_or(self.timers.len());
    }
}

impl Chain {
    /// The nodes with timers.
    pub(crate) fn with_timers(&self) -> impl Iterator<Item = usize> + '_ {
        let nodes = self.nodes.iter().enumerate();
        let timed = nodes.filter(|(_, node)| match &node.kind {
            Kind::Operator(op) => op.firing.is_some(),
            Kind::Source | Kind::Waiting(_) | Kind::Sink(_) => false,
        });
        timed.map(|(at, _)| at)
    }

    /// The watermark of a node has risen.
    pub(crate) fn set_watermark(&mut self, at: usize, watermark: EventTime) {
        let node = &mut self.nodes[at];
        node.meters.watermark.set(watermark);
        if let Kind::Operator(op) = &mut node.kind {
            op.cx.watermark = watermark;
        }
    }

    /// When the first processing-time timer of a node is due.
    pub(crate) fn next_timer(&mut self, at: usize) -> Result<Option<ProcessingTime>, NodeFailure> {
        let node = &mut self.nodes[at];
        let Kind::Operator(op) = &mut node.kind else {
            return Ok(None);
        };
        let next = op.cx.state.next_timer(TimerKind::ProcessingTime);
        let next = next.map_err(|error| NodeFailure {
            node: node.name.clone(),
            failure: error.into(),
        })?;
        Ok(next.map(ProcessingTime))
    }

    /// Fires the first timers of a node that are due at `until`, in one call; gives back whether
    /// there were any.
    pub(crate) fn fire(
        &mut self,
        at: usize,
        kind: TimerKind,
        until: i64,
    ) -> Result<bool, NodeFailure> {
        let now = self.clock.now();
        let node = &mut self.nodes[at];
        let Kind::Operator(op) = &mut node.kind else {
            return Ok(false);
        };
        let Some(mut firing) = op.firing.take() else {
            return Ok(false);
        };
        op.set_time(now);
        let fetched = op.fetch(&mut firing, kind, until);
        let fired = fetched.map_err(|failure| NodeFailure {
            node: node.name.clone(),
            failure,
        });
        let fired = match fired {
            Ok(0) => Ok(false),
            Ok(count) => self
                .fire_fetched(at, kind, &mut firing, count)
                .map(|()| true),
            Err(failure) => Err(failure),
        };
        if let Kind::Operator(op) = &mut self.nodes[at].kind {
            op.firing = Some(firing);
        }
        fired
    }

    /// Calls the operator with the first `count` timers that were fetched, or with fewer.
    fn fire_fetched(
        &mut self,
        at: usize,
        kind: TimerKind,
        firing: &mut Firing,
        mut count: usize,
    ) -> Result<(), NodeFailure> {
        let all = count;
        let mut slicer = std::mem::take(&mut firing.slicer);
        let mut pace = std::mem::replace(&mut firing.pace, Pace::new());
        let done = loop {
            let began = Instant::now();
            let node = &mut self.nodes[at];
            let Kind::Operator(op) = &mut node.kind else {
                break 0;
            };
            let fail = |failure| NodeFailure {
                node: node.name.clone(),
                failure,
            };
            let calling = Calling::Timers(firing.due(kind)).cut(&mut slicer, 0..count);
            op.begin_calling(calling).map_err(fail)?;
            let result = op.call(calling);
            let fewer = match &result {
                Ok(_) => op.cx.state.timer_conflict(),
                Err(failure) => {
                    if failure.lost_instance() && firing.distinct < count {
                        op.roll_back();
                        op.operator.reset(&mut op.cx).map_err(fail)?;
                    }
                    Some(firing.distinct)
                }
            };
            pace.learn(count, began.elapsed());
            if let Some(fewer) = fewer.filter(|&fewer| fewer < count) {
                op.roll_back();
                count = fewer;
                continue;
            }
            let lineage: Vec<Lineage> = match self.keeps_lineage {
                true => lineage_of(calling),
                false => Vec::new(),
            };
            break self.conclude(at, calling, &lineage, result)?;
        };
        (firing.slicer, firing.pace) = (slicer, pace);
        firing.most = match done < all {
            true => done.max(1),
            false => (firing.most * 2).min(Batch::MAX_ROWS),
        };
        Ok(())
    }
}

impl OperatorNode {
    /// Reads the timers that are to fire next; gives back how many they are.
    fn fetch(
        &mut self,
        firing: &mut Firing,
        kind: TimerKind,
        until: i64,
    ) -> Result<usize, Failure> {
        firing.timers.clear();
        let limit = firing.pace.rows(firing.most).min(firing.most);
        let timers = &mut firing.timers;
        self.cx.state.due_timers(kind, until, limit, timers)?;
        firing.number_keys();
        // What it keeps in memory cannot be rolled back.
        Ok(match self.keeps_memory {
            true => firing.distinct,
            false => firing.timers.len(),
        })
    }
}

/// Rows that a timer emits go where its key goes (D10).
fn lineage_of(calling: Calling<'_>) -> Vec<Lineage> {
    match calling {
        Calling::Rows { .. } | Calling::Keys { .. } => Vec::new(),
        Calling::Timers(due) => {
            let keys = due.keyed.key_of_row.iter();
            let hashes = due.keyed.hashes;
            keys.map(|&key| Lineage::Key(hashes[key as usize]))
                .collect()
        }
    }
}
