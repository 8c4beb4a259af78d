//! Any history of checkpoints: with bases, several in the air, completed out of order, given up,
//! restored at another parallelism and gone on from. What a completed one gives back is what was
//! there at its barrier.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{
    collection::{btree_set, vec},
    prelude::*,
    sample::Index,
};
use weir_model::{CheckpointId, KeyGroup, KeyGroupRange, ProcessingTime};

use super::{
    MAX, Make, decls,
    model::{Call, Model},
    run,
    saved::{Files, Part},
    steps,
};
use crate::{Backend, BaseIndex, Snapshot, SnapshotFormat, SnapshotRequest};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    Call(Call),
    /// A barrier reaches all tasks.
    Trigger(Kind),
    /// A checkpoint is written by all tasks and completes.
    Complete(Index),
    /// A checkpoint is given up, written or not.
    GiveUp(Index),
    /// The job begins again from the latest checkpoint, with tasks that end at these key groups.
    Restart(Vec<u16>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Increment,
    /// A checkpoint without a base.
    Full,
    Canonical,
}

/// A task with its backend and what it knows of its checkpoints.
struct Task {
    backend: Box<dyn Backend>,
    indexes: BTreeMap<CheckpointId, Arc<BaseIndex>>,
}

/// A checkpoint in the air.
struct Pending {
    id: CheckpointId,
    base: Option<CheckpointId>,
    kind: Kind,
    snapshots: Vec<Box<dyn Snapshot>>,
    model: Model,
}

/// A completed checkpoint.
struct Complete {
    id: CheckpointId,
    parts: Vec<Part>,
    model: Model,
}

/// A job that takes checkpoints.
struct Job<'a> {
    make: Make<'a>,
    tasks: Vec<Task>,
    model: Model,
    files: Files,
    pending: Vec<Pending>,
    complete: Option<Complete>,
    last: u64,
}

const NOW: ProcessingTime = ProcessingTime(0);

pub(super) fn any_checkpoints(cases: u32, make: Make<'_>) {
    run(cases, vec(step(), 1..30), |history| {
        let mut job = Job::new(make, &[]);
        for step in history {
            job.step(step);
        }
        job.trigger(Kind::Increment);
        job.complete(job.pending.len() - 1);
        job.restart(&[9, 25]);
        job.check();
    });
}

/// Lists, maps and values that are large, with small changes between checkpoints, so that deltas
/// are parts of them.
pub(super) fn large_values_in_increments(make: Make<'_>) {
    let mut job = Job::new(make, &[19]);
    for round in 0..6u16 {
        for part in 0..10u16 {
            job.call(&steps::bulk_call(round, part));
            if part % 3 == 0 {
                job.trigger(Kind::Increment);
                job.complete(0);
            }
        }
        if round % 2 == 0 {
            job.restart(&[u16::from(round == 2) * 7 + 12, 30]);
        }
    }
    job.check();
}

fn step() -> impl Strategy<Value = Step> {
    let cuts = btree_set(0..MAX as u16, 0..4).prop_map(|cuts| cuts.into_iter().collect());
    let kind = prop_oneof![
        6 => Just(Kind::Increment),
        1 => Just(Kind::Full),
        1 => Just(Kind::Canonical),
    ];
    prop_oneof![
        6 => steps::call().prop_map(Step::Call),
        4 => kind.prop_map(Step::Trigger),
        4 => any::<Index>().prop_map(Step::Complete),
        1 => any::<Index>().prop_map(Step::GiveUp),
        1 => cuts.prop_map(Step::Restart),
    ]
}

/// The ranges of tasks that end at these key groups.
fn ranges(cuts: &[u16]) -> Vec<KeyGroupRange> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([MAX as u16 - 1]) {
        if start <= end {
            ranges.push(KeyGroupRange {
                start: KeyGroup(start),
                end: KeyGroup(end),
            });
            start = end + 1;
        }
    }
    ranges
}

impl<'a> Job<'a> {
    fn new(make: Make<'a>, cuts: &[u16]) -> Self {
        let task = |range| Task {
            backend: make(decls(), range),
            indexes: BTreeMap::new(),
        };
        Self {
            make,
            tasks: ranges(cuts).into_iter().map(task).collect(),
            model: Model::default(),
            files: Files::default(),
            pending: Vec::new(),
            complete: None,
            last: 0,
        }
    }

    fn step(&mut self, step: Step) {
        let pending = self.pending.len();
        match step {
            Step::Call(call) => self.call(&call),
            Step::Trigger(_) if pending >= 3 => {}
            Step::Trigger(kind) => self.trigger(kind),
            Step::Complete(_) | Step::GiveUp(_) if pending == 0 => {}
            Step::Complete(which) => self.complete(which.index(pending)),
            Step::GiveUp(which) => self.give_up(which.index(pending)),
            Step::Restart(cuts) => self.restart(&cuts),
        }
    }

    fn call(&mut self, call: &Call) {
        for task in &mut self.tasks {
            let call = call.within(task.backend.key_groups());
            let batch = call.batch();
            let writes = call.writes(&batch);
            task.backend.apply(&batch.view(), &writes).unwrap();
        }
        self.model.apply(call);
    }

    fn trigger(&mut self, kind: Kind) {
        self.last += 1;
        let id = CheckpointId(self.last);
        let base = self.complete.as_ref().map(|complete| complete.id);
        let base = base.filter(|_| kind == Kind::Increment);
        let request = SnapshotRequest {
            id,
            base,
            tracked: kind != Kind::Canonical,
            format: match kind {
                Kind::Canonical => SnapshotFormat::Canonical,
                Kind::Increment | Kind::Full => SnapshotFormat::Native,
            },
            now: NOW,
        };
        let tasks = self.tasks.iter_mut();
        let snapshots = tasks.map(|task| task.backend.snapshot(&request).unwrap());
        self.pending.push(Pending {
            id,
            base,
            kind,
            snapshots: snapshots.collect(),
            model: self.model.clone(),
        });
    }

    /// Writes a checkpoint and completes it; those before it are given up, without a word.
    fn complete(&mut self, which: usize) {
        let mut pending = self.pending.remove(which);
        let parts = self.write(&mut pending);
        let cuts = [&[][..], &[7, 20, 21], &[30]][pending.id.0 as usize % 3];
        for range in ranges(cuts) {
            let mut backend = (self.make)(decls(), range);
            self.files.restore(&parts, backend.as_mut(), NOW);
            pending.model.within(range).check(backend.as_mut(), range);
        }
        let latest = self.complete.as_ref().is_none_or(|c| c.id < pending.id);
        if pending.kind == Kind::Canonical || !latest {
            return;
        }
        self.pending.retain(|other| other.id > pending.id);
        for task in &mut self.tasks {
            task.backend.completed(pending.id);
        }
        self.complete = Some(Complete {
            id: pending.id,
            parts,
            model: pending.model,
        });
    }

    fn give_up(&mut self, which: usize) {
        let mut pending = self.pending.remove(which);
        if pending.id.0.is_multiple_of(2) {
            self.write(&mut pending);
        }
        for task in &mut self.tasks {
            task.backend.aborted(pending.id);
        }
    }

    fn restart(&mut self, cuts: &[u16]) {
        self.pending.clear();
        self.tasks = Self::new(self.make, cuts).tasks;
        let Some(complete) = &self.complete else {
            self.model = Model::default();
            return;
        };
        for task in &mut self.tasks {
            let index = self
                .files
                .restore(&complete.parts, task.backend.as_mut(), NOW);
            task.backend.restored(complete.id);
            task.indexes.insert(complete.id, index);
        }
        self.model = complete.model.clone();
    }

    fn write(&mut self, pending: &mut Pending) -> Vec<Part> {
        let mut parts = Vec::new();
        let snapshots = pending.snapshots.drain(..);
        for (n, (task, snapshot)) in self.tasks.iter_mut().zip(snapshots).enumerate() {
            // Some checkpoints cannot refer to a base that they were asked to have.
            let base = pending.base.filter(|_| !pending.id.0.is_multiple_of(7));
            let base = base.map(|base| (base, Arc::clone(&task.indexes[&base])));
            let path = format!("../shared/{n}/{}", pending.id);
            let (file, index) = self.files.write(path, &decls(), snapshot, base);
            let range = task.backend.key_groups();
            parts.push(Part { range, file });
            task.indexes.insert(pending.id, index);
        }
        parts
    }

    fn check(&mut self) {
        for task in &mut self.tasks {
            let range = task.backend.key_groups();
            self.model.within(range).check(task.backend.as_mut(), range);
        }
    }
}
